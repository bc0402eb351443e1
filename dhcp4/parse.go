package dhcp4

import "strconv"

// Sizes and places of the fixed part of a message (RFC 2131 2, figure 1).
const (
	offSName   = 44  // server name, 64 octets
	offFile    = 108 // boot file name, 128 octets
	offCookie  = 236 // magic cookie, 4 octets (RFC 2131 3)
	offOptions = 240 // first option
	maxMessage = 65535
)

// MinSize is the size of the shortest message that parses: header and cookie.
const MinSize = offOptions

var cookie = [4]byte{99, 130, 83, 99}

// Area is the part of a message that holds options.
type Area uint8

// The areas, in the order in which the parts of a split option are joined
// (RFC 3396 5).
const (
	AreaHeader  Area = iota // the fixed part; it holds no options
	AreaOptions             // the options field
	AreaFile                // the file field, when option 52 says so
	AreaSName               // the sname field, when option 52 says so
)

var areaNames = [...]string{"header", "options", "file", "sname"}

// String returns the RFC 2131 name of the field.
func (a Area) String() string {
	if int(a) < len(areaNames) {
		return areaNames[a]
	}
	return "area " + strconv.Itoa(int(a))
}

// Problem says what is wrong with a message that does not parse.
type Problem uint8

// The problems. Their numbers index counters; NumProblems is how many there are.
const (
	NoProblem       Problem = iota
	TooShort                // fewer than 240 octets
	TooLong                 // more than 65,535 octets
	NoCookie                // the magic cookie is not 99.130.83.99
	HardwareTooLong         // hlen is above 16
	LengthMissing           // the last octet of a field is an option code
	OptionOverrun           // an option's length goes past the end of its field
	NumProblems     = iota
)

var problemTexts = [NumProblems]string{
	"no problem",
	"shorter than 240 octets",
	"longer than 65535 octets",
	"magic cookie missing",
	"hlen is above 16",
	"option without a length octet",
	"option runs past the end of its field",
}

// String says the problem in words.
func (p Problem) String() string {
	if int(p) < len(problemTexts) {
		return problemTexts[p]
	}
	return "problem " + strconv.Itoa(int(p))
}

// ParseError says where a message is wrong, and what is wrong there.
type ParseError struct {
	Offset  int // octets from the start of the message
	Area    Area
	Code    Code // the option at Offset, for LengthMissing and OptionOverrun
	Problem Problem
}

// Error returns one line, without any text from the message.
func (e *ParseError) Error() string {
	b := make([]byte, 0, 80)
	b = append(b, "octet "...)
	b = strconv.AppendInt(b, int64(e.Offset), 10)
	b = append(b, " ("...)
	b = append(b, e.Area.String()...)
	b = append(b, "): "...)
	if e.Problem == LengthMissing || e.Problem == OptionOverrun {
		b = append(b, "option "...)
		b = strconv.AppendInt(b, int64(e.Code), 10)
		b = append(b, ": "...)
	}
	return string(append(b, e.Problem.String()...))
}

// View reads one message in place. It keeps the caller's slice and copies
// nothing, so the octets must stay unchanged while the View is in use. The zero
// View holds no message: only Parse, Bytes, Has and Get may be called on it.
// A View is a plain value for one goroutine; parse into the same one again and
// again.
type View struct {
	b       []byte
	present [4]uint64   // one bit for each code that occurs
	many    [4]uint64   // one bit for each code that occurs more than once
	over    uint8       // which fields carry options: 1 file, 2 sname, 3 both
	first   [256]uint16 // where a present code's first instance starts; stale for the others
	err     ParseError
}

// Parse checks b, the payload of a UDP datagram, and lets v read it. After a nil
// result every other method is safe, whatever b holds. The error is a *ParseError
// inside v: it is valid until the next Parse, and it costs no memory; v is empty
// then. A missing END option is accepted when the last option is whole, as old
// clients send that; octets after END are ignored. A message without option 53
// (BOOTP) parses.
func (v *View) Parse(b []byte) error {
	v.b, v.over = nil, 0
	v.present, v.many = [4]uint64{}, [4]uint64{}
	switch {
	case len(b) < MinSize:
		return v.fail(len(b), AreaHeader, TooShort)
	case len(b) > maxMessage:
		return v.fail(maxMessage, AreaHeader, TooLong)
	case [4]byte(b[offCookie:offOptions]) != cookie:
		return v.fail(offCookie, AreaHeader, NoCookie)
	case b[2] > 16:
		return v.fail(2, AreaHeader, HardwareTooLong)
	}
	if p := v.index(b, offOptions, len(b), AreaOptions); p != NoProblem {
		return v.drop()
	}
	v.over = v.overload(b)
	if v.over&1 != 0 && v.index(b, offFile, offCookie, AreaFile) != NoProblem {
		return v.drop()
	}
	if v.over&2 != 0 && v.index(b, offSName, offFile, AreaSName) != NoProblem {
		return v.drop()
	}
	v.b = b
	return nil
}

// drop empties v after index has found a problem.
func (v *View) drop() error {
	v.over, v.present = 0, [4]uint64{}
	return &v.err
}

func (v *View) fail(off int, a Area, p Problem) error {
	v.err = ParseError{Offset: off, Area: a, Problem: p}
	return &v.err
}

// step reads the option that starts at pos in a field that ends at end, after
// any PAD. It is the only place where option lengths are checked. code is 255 at
// the end of the options (END, or the end of the field). next is where the
// following option starts; the value is b[at+2:next].
func step(b []byte, pos, end int) (code Code, at, next int, p Problem) {
	for pos < end && b[pos] == 0 {
		pos++
	}
	if pos >= end {
		return OptEnd, pos, pos, NoProblem
	}
	code = Code(b[pos])
	if code == OptEnd {
		return OptEnd, pos, pos + 1, NoProblem
	}
	if pos+1 >= end {
		return code, pos, end, LengthMissing
	}
	next = pos + 2 + int(b[pos+1])
	if next > end {
		return code, pos, end, OptionOverrun
	}
	return code, pos, next, NoProblem
}

// index notes which options the field from pos to end holds.
func (v *View) index(b []byte, pos, end int, area Area) Problem {
	for {
		code, at, next, p := step(b, pos, end)
		if p != NoProblem {
			v.err = ParseError{Offset: at, Area: area, Code: code, Problem: p}
			return p
		}
		if code == OptEnd {
			return NoProblem
		}
		pos = next
		if code == OptDHCPOptionOverload && area != AreaOptions {
			continue // a field cannot send us to another field (RFC 2132 9.3)
		}
		w, bit := code>>6, uint64(1)<<(code&63)
		if v.present[w]&bit != 0 {
			v.many[w] |= bit
			continue
		}
		v.present[w] |= bit
		v.first[code] = uint16(at)
	}
}

// overload is the value of option 52, or 0 when it is absent or makes no sense.
func (v *View) overload(b []byte) uint8 {
	if !v.Has(OptDHCPOptionOverload) || v.several(OptDHCPOptionOverload) {
		return 0
	}
	at := int(v.first[OptDHCPOptionOverload])
	if b[at+1] != 1 || b[at+2] > 3 {
		return 0
	}
	return b[at+2]
}
