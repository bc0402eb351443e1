package dhcp4

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// maxText is about the most octets of text that one value is shown with.
const maxText = 1024

// maxHex is the most octets of one value that are shown in hexadecimal.
const maxHex = 320

// AppendText appends val, the whole value of option d, as one line of text. What
// comes from the network is shown harmless: only printable ASCII, text in quotes,
// at most about 1,100 octets of it, "..." where it was cut. A value that has not
// the format of d is shown as hexadecimal with a remark.
func (d *Def) AppendText(dst, val []byte) []byte {
	start := len(dst)
	s := sink{dst: dst, base: start, space: d.spaced()}
	if !d.decode(&s, val) {
		dst = appendHex(dst[:start], val, maxHex)
		return append(dst, d.complaint(val)...)
	}
	if s.cut {
		return append(s.dst, "..."...)
	}
	return s.dst
}

// AppendJSON appends val, the whole value of option d, as one JSON value: a
// number, true, a string, or an array of them for a list or a record. Given as
// words to AppendValue they give the same octets again, unless they were cut or
// escaped. A value that has not the format of d gives null. Sizes are bounded as
// in AppendText.
func (d *Def) AppendJSON(dst, val []byte) []byte {
	start := len(dst)
	array := d.manyItems()
	if array {
		dst = append(dst, '[')
	}
	s := sink{dst: dst, base: len(dst), json: true}
	if !d.decode(&s, val) {
		return append(s.dst[:start], "null"...)
	}
	switch {
	case array:
		return append(s.dst, ']')
	case d.Type == TypeFlag || d.Type == TypeNone:
		return append(s.dst, "true"...)
	}
	return s.dst
}

// Valid reports whether val has the length and the form of option d's value.
func (d *Def) Valid(val []byte) bool {
	s := sink{cut: true}
	return d.decode(&s, val)
}

// manyItems reports whether a value of d is more than one item.
func (d *Def) manyItems() bool { return d.List || d.Type >= TypeClientFQDN }

// spaced reports whether the items of d are fields of one thing, not a list.
func (d *Def) spaced() bool {
	return d.Type == TypeRecord || d.Type == TypeClientFQDN || d.Type == TypeSubOptions
}

// complaint says what is wrong with a value that does not decode.
func (d *Def) complaint(val []byte) string {
	if n, fixed := d.Size(); fixed && len(val) != n {
		return " (wrong: " + strconv.Itoa(len(val)) + " octets, must be " + strconv.Itoa(n) + ")"
	}
	return " (wrong: " + strconv.Itoa(len(val)) + " octets, not " + d.Layout() + ")"
}

// sink takes the items of a decoded value and writes them as text or JSON, until
// there is enough.
type sink struct {
	dst   []byte
	base  int  // where the value starts in dst
	n     int  // items so far
	json  bool // write JSON, not text
	space bool // text: items are apart by a space, not a comma and a space
	cut   bool // enough is written: leave out the rest
	tmp   []byte
}

// next makes ready for one more item; false: leave it out.
func (s *sink) next() bool {
	if s.cut || len(s.dst)-s.base > maxText {
		s.cut = true
		return false
	}
	if s.n++; s.n > 1 {
		switch {
		case s.json:
			s.dst = append(s.dst, ',')
		case s.space:
			s.dst = append(s.dst, ' ')
		default:
			s.dst = append(s.dst, ", "...)
		}
	}
	return true
}

// num writes a number.
func (s *sink) num(n int64) {
	if s.next() {
		s.dst = strconv.AppendInt(s.dst, n, 10)
	}
}

// bool writes true or false.
func (s *sink) bool(v bool) {
	if s.next() {
		s.dst = strconv.AppendBool(s.dst, v)
	}
}

// text writes text from the network, quoted.
func (s *sink) text(b []byte) {
	if !s.next() {
		return
	}
	s.dst = append(s.dst, '"')
	s.dst = appendEscaped(s.dst, b, maxText, s.json)
	s.dst = append(s.dst, '"')
}

// plain writes b, which is harmless already: printable ASCII of our own making.
func (s *sink) plain(b []byte) {
	if !s.next() {
		return
	}
	if len(b) > maxText {
		b, s.cut = b[:maxText], true
	}
	if !s.json {
		s.dst = append(s.dst, b...)
		return
	}
	s.dst = append(s.dst, '"')
	for _, c := range b {
		if c == '"' || c == '\\' {
			s.dst = append(s.dst, '\\')
		}
		s.dst = append(s.dst, c)
	}
	s.dst = append(s.dst, '"')
}

// hex writes octets in hexadecimal.
func (s *sink) hex(b []byte) {
	s.tmp = appendHex(s.tmp[:0], b, maxHex)
	s.plain(s.tmp)
}

// element writes the item of type t at b[0], where b ends with the value, and
// returns its size; 0 when there is none. A string or binary takes all of b.
func (s *sink) element(t Type, b []byte) int {
	n := t.size()
	if len(b) < n {
		return 0
	}
	switch t {
	case TypeUint8:
		s.num(int64(b[0]))
	case TypeUint16:
		s.num(int64(binary.BigEndian.Uint16(b)))
	case TypeUint32:
		s.num(int64(binary.BigEndian.Uint32(b)))
	case TypeInt32:
		s.num(int64(int32(binary.BigEndian.Uint32(b))))
	case TypeBool:
		if b[0] > 1 {
			return 0
		}
		s.bool(b[0] == 1)
	case TypeAddr:
		s.tmp = AddrFromBytes(b).Netip().AppendTo(s.tmp[:0])
		s.plain(s.tmp)
	case TypeAddr6:
		s.tmp = netip.AddrFrom16([16]byte(b[:16])).AppendTo(s.tmp[:0])
		s.plain(s.tmp)
	case TypeString:
		s.text(b)
		return len(b)
	case TypeBinary:
		s.hex(b)
		return len(b)
	}
	return n
}

const hexDigits = "0123456789abcdef"

// appendHex writes octets as two digits each with colons between them, at most
// limit octets.
func appendHex(dst, b []byte, limit int) []byte {
	cut := len(b) > limit
	if cut {
		b = b[:limit]
	}
	for i, c := range b {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	if cut {
		dst = append(dst, "..."...)
	}
	return dst
}

// AppendQuoted appends text from the network in quotes: printable ASCII as it
// is, every other octet as \xNN, at most limit octets of b and "..." after them.
func AppendQuoted(dst, b []byte, limit int) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, b, limit, false)
	return append(dst, '"')
}

// appendEscaped writes the inside of a quoted text. In JSON the backslash of an
// escape is itself escaped, because \x is none of JSON's.
func appendEscaped(dst, b []byte, limit int, json bool) []byte {
	start := len(dst)
	for _, c := range b {
		if len(dst)-start >= limit {
			return append(dst, "..."...)
		}
		switch {
		case c == '"' || c == '\\' && !json:
			dst = append(dst, '\\', c)
		case c == '\\':
			dst = append(dst, `\\`...)
		case c >= ' ' && c < 0x7f:
			dst = append(dst, c)
		case json:
			dst = append(dst, '\\', '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return dst
}
