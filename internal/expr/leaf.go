package expr

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"unsafe"

	"cel.dev/cel-go/cel"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// kind is the kind of a value in an expression.
type kind uint8

const (
	kindOther kind = iota
	kindBool
	kindInt
	kindText
	kindOctets
	kindBools
	kindInts
	kindTexts
)

var kindNames = [...]string{"something else", "true or false", "a number", "text", "octets", "a list of true and false", "a list of numbers", "a list of texts"}

func (k kind) String() string { return kindNames[k] }

// isList reports whether k is a list; item is then the kind of its items.
func (k kind) isList() bool { return k >= kindBools }

func (k kind) item() kind {
	switch k {
	case kindBools:
		return kindBool
	case kindInts:
		return kindInt
	case kindTexts:
		return kindText
	}
	return kindOther
}

// form is how octets are a value.
type form uint8

const (
	formFlag      form = iota // being there is the value
	formBool                  // one octet, 0 or 1
	formUint                  // width octets
	formInt                   // width octets, two's complement
	formText                  // text; NULs at its end do not belong to it (RFC 2132 2)
	formChars                 // octets that are mostly text, all of them
	formOctets                // octets
	formHex                   // octets, as text like 02:00:5e:10:00:01
	formAddr                  // an IPv4 address, as text
	formAddr6                 // an IPv6 address, as text
	formName                  // a domain name
	formFQDN                  // the name in option 81 (RFC 4702 2)
	formUserClass             // texts (RFC 3004), or one text as iPXE sends it
)

// maxValue is how many octets of one value a test reads. Longer ones are as if
// they were not there, so that no packet makes a test dear.
const maxValue = 1024

// maxNames is how many domain names of one value are read: with compression, an octet
// pair is a name.
const maxNames = 32

// NoValue is the error of a test that is false because something that it needs is
// not there.
type NoValue struct {
	Name string // as the expression writes it
	Why  string
}

// Error returns one line without any text from the network.
func (e *NoValue) Error() string { return e.Name + " " + e.Why }

// leaf is a variable: a value of the facts. Of the functions one is set.
type leaf struct {
	name  string // as the expression writes it
	form  form
	width int // octets of an item, 0 where that varies
	list  bool
	pairs bool
	min   int

	octets func(*policy.Facts) ([]byte, bool)
	text   func(*policy.Facts) (string, bool)
	addr   func(*policy.Facts) dhcp4.Addr
	truth  func(*policy.Facts) bool

	absent, malformed, long *NoValue
}

func newLeaf(name, absent string, f form) *leaf {
	return &leaf{name: name, form: f,
		absent:    &NoValue{name, absent},
		malformed: &NoValue{name, "has not the form of that option"},
		long:      &NoValue{name, "is too long for a test"}}
}

func (l *leaf) kind() kind {
	k := kindText
	switch l.form {
	case formFlag, formBool:
		k = kindBool
	case formUint, formInt:
		k = kindInt
	case formOctets:
		k = kindOctets
	}
	if l.list || l.form == formUserClass {
		switch k {
		case kindBool:
			return kindBools
		case kindInt:
			return kindInts
		default:
			return kindTexts
		}
	}
	return k
}

func (l *leaf) celType() *cel.Type {
	switch l.kind() {
	case kindBool:
		return cel.BoolType
	case kindInt:
		return cel.IntType
	case kindOctets:
		return cel.BytesType
	case kindBools:
		return cel.ListType(cel.BoolType)
	case kindInts:
		return cel.ListType(cel.IntType)
	case kindTexts:
		return cel.ListType(cel.StringType)
	}
	return cel.StringType
}

// get returns the octets, which alias the facts, when they have the leaf's form.
func (l *leaf) get(f *policy.Facts) ([]byte, *NoValue) {
	b, ok := l.octets(f)
	switch {
	case !ok:
		return nil, l.absent
	case len(b) > maxValue:
		return nil, l.long
	case len(b) < l.min:
		return nil, l.malformed
	case l.width == 0:
		return b, nil
	case len(b) == 0, len(b)%l.width != 0, !l.list && len(b) != l.width, l.pairs && len(b)/l.width%2 != 0:
		return nil, l.malformed
	case l.form == formBool && !truths(b):
		return nil, l.malformed
	}
	return b, nil
}

func truths(b []byte) bool {
	for _, c := range b {
		if c > 1 {
			return false
		}
	}
	return true
}

// bool returns the value of a leaf of kindBool.
func (l *leaf) bool(f *policy.Facts) (bool, *NoValue) {
	if l.truth != nil {
		return l.truth(f), nil
	}
	b, why := l.get(f)
	return why == nil && b[0] == 1, why
}

// number reads one item of b, which has the leaf's width.
func (l *leaf) number(b []byte) int64 {
	switch l.width {
	case 1:
		return int64(b[0])
	case 2:
		return int64(binary.BigEndian.Uint16(b))
	}
	if l.form == formInt {
		return int64(int32(binary.BigEndian.Uint32(b)))
	}
	return int64(binary.BigEndian.Uint32(b))
}

// int returns the value of a leaf of kindInt.
func (l *leaf) int(f *policy.Facts) (int64, *NoValue) {
	b, why := l.get(f)
	if why != nil {
		return 0, why
	}
	return l.number(b), nil
}

// view is b as a string without a copy. It is valid as long as b is unchanged, which
// is the call of a test; what outlives that is copied.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// str returns the value of a leaf of kindText or, as octets, of kindOctets. It may
// alias the facts.
func (l *leaf) str(f *policy.Facts) (string, *NoValue) {
	switch {
	case l.text != nil:
		s, ok := l.text(f)
		if !ok {
			return "", l.absent
		}
		return s, nil
	case l.addr != nil:
		return l.addr(f).String(), nil
	}
	b, why := l.get(f)
	if why != nil {
		return "", why
	}
	switch l.form {
	case formText:
		return view(bytes.TrimRight(b, "\x00")), nil
	case formHex:
		return view(appendHex(make([]byte, 0, 3*len(b)), b)), nil
	case formAddr, formAddr6:
		return addrText(b), nil
	case formName:
		if name, after, ok := dhcp4.AppendName(nil, b, 0, false); ok && after == len(b) {
			return view(name), nil
		}
		return "", l.malformed
	case formFQDN:
		return l.fqdn(b)
	}
	return view(b), nil
}

// fqdn returns the name of option 81; its first flag says whether it is labels or
// text (RFC 4702 2.1).
func (l *leaf) fqdn(b []byte) (string, *NoValue) {
	const labels = 0x04
	if len(b) < 3 {
		return "", l.malformed
	}
	if b[0]&labels == 0 || len(b) == 3 {
		return view(bytes.TrimRight(b[3:], "\x00")), nil
	}
	name, after, ok := dhcp4.AppendName(nil, b[3:], 0, true)
	if !ok || after != len(b)-3 {
		return "", l.malformed
	}
	return view(name), nil
}

func addrText(b []byte) string {
	if len(b) == 16 {
		return netip.AddrFrom16([16]byte(b)).String()
	}
	return dhcp4.AddrFromBytes(b).String()
}

const hexDigits = "0123456789abcdef"

func appendHex(dst, b []byte) []byte {
	for i, c := range b {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}

// each calls yield with each item of a list until it returns false. Nothing is yielded
// of a value that has not the right form.
func (l *leaf) each(f *policy.Facts, yield func(item) bool) *NoValue {
	b, why := l.get(f)
	if why != nil {
		return why
	}
	switch l.form {
	case formBool, formUint, formInt:
		for ; len(b) > 0; b = b[l.width:] {
			if !yield(item{n: l.number(b)}) {
				return nil
			}
		}
	case formAddr, formAddr6:
		for ; len(b) > 0; b = b[l.width:] {
			if !yield(item{s: addrText(b[:l.width])}) {
				return nil
			}
		}
	case formName:
		return l.eachName(b, yield)
	case formUserClass:
		eachUserClass(b, yield)
	default: // text has no lists but of one
		yield(item{s: view(bytes.TrimRight(b, "\x00"))})
	}
	return nil
}

func (l *leaf) eachName(b []byte, yield func(item) bool) *NoValue {
	var names []string
	for pos := 0; pos < len(b); {
		name, after, ok := dhcp4.AppendName(nil, b, pos, false)
		if !ok {
			return l.malformed
		}
		if names, pos = append(names, view(name)), after; len(names) > maxNames {
			return l.long
		}
	}
	for _, n := range names {
		if !yield(item{s: n}) {
			break
		}
	}
	return nil
}

// eachUserClass yields the classes in option 77: each with its length before it (RFC
// 3004 4) or, when the lengths do not add up, the whole of it as one text.
func eachUserClass(b []byte, yield func(item) bool) {
	rest := b
	for len(rest) > 0 && rest[0] > 0 && len(rest) > int(rest[0]) {
		rest = rest[1+int(rest[0]):]
	}
	if len(rest) > 0 {
		yield(item{s: view(bytes.TrimRight(b, "\x00"))})
		return
	}
	for len(b) > 0 {
		n := 1 + int(b[0])
		if !yield(item{s: view(b[1:n])}) {
			return
		}
		b = b[n:]
	}
}
