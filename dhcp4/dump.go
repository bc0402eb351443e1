package dhcp4

import (
	"encoding/binary"
	"strconv"
)

// AppendDump appends packet, a whole DHCP message, as text of many lines: each
// field and option with its offset, in the order of the message. Lines that start
// with "!" show what is wrong. A message that does not parse is shown as far as
// it can be read. All text from the network is quoted and escaped; the size of
// the result is bounded by that of the packet.
func AppendDump(dst []byte, packet []byte) []byte {
	a := dissect(packet)
	dst = append(dst, a.title(packet)...)
	dst = append(dst, '\n')
	if a.fixed {
		dst = a.dumpHeader(dst, packet)
	}
	for i := range a.parts {
		if i > 0 && a.parts[i].Area != a.parts[i-1].Area {
			dst = a.dumpEnd(dst, a.parts[i-1].Area)
		}
		dst = a.parts[i].dump(dst)
	}
	if n := len(a.parts); n > 0 {
		dst = a.dumpEnd(dst, a.parts[n-1].Area)
	} else {
		dst = a.dumpEnd(dst, AreaOptions)
	}
	for i := range a.errs {
		dst = dumpError(dst, &a.errs[i], packet)
	}
	if a.fixed && a.after < len(packet) {
		dst = dumpRest(dst, a.after, packet[a.after:])
	}
	return dst
}

func (a *anatomy) title(b []byte) string {
	s := a.typ.String()
	switch {
	case len(a.errs) > 0:
		s = "malformed"
		if a.typ != 0 {
			s += " " + a.typ.String()
		}
	case a.typ == 0 && a.count[OptDHCPMessageType] > 0:
		s = "message type unreadable"
	}
	return s + ", " + strconv.Itoa(len(b)) + " octets"
}

// appendOffset writes the margin of a line.
func appendOffset(dst []byte, mark byte, off int) []byte {
	dst = append(dst, mark)
	return append(appendPadded(dst, strconv.Itoa(off), -5), ' ', ' ')
}

// appendPadded writes s in a column of width octets, to the right when width is
// negative.
func appendPadded(dst []byte, s string, width int) []byte {
	for n := len(s); n < -width; n++ {
		dst = append(dst, ' ')
	}
	dst = append(dst, s...)
	for n := len(s); n < width; n++ {
		dst = append(dst, ' ')
	}
	return dst
}

// dumpHeader writes the fixed part; b has at least 240 octets.
func (a *anatomy) dumpHeader(dst, b []byte) []byte {
	line := func(off int, name, val, note string) {
		dst = appendPadded(appendOffset(dst, ' ', off), name, 8)
		dst = append(dst, val...)
		if note != "" {
			dst = append(append(append(dst, " ("...), note...), ')')
		}
		dst = append(dst, '\n')
	}
	num := func(off int, name string, n int, note string) { line(off, name, strconv.Itoa(n), note) }
	addr := func(off int, name string) { line(off, name, AddrFromBytes(b[off:]).String(), "") }

	num(0, "op", int(b[0]), opNote(b[0]))
	num(1, "htype", int(b[1]), htypeNote(b[1]))
	num(2, "hlen", int(b[2]), "")
	num(3, "hops", int(b[3]), "")
	line(4, "xid", "0x"+string(appendDigits(nil, b[4:8])), "")
	num(8, "secs", int(binary.BigEndian.Uint16(b[8:])), "")
	note := ""
	if b[10]&0x80 != 0 {
		note = "broadcast"
	}
	line(10, "flags", "0x"+string(appendDigits(nil, b[10:12])), note)
	addr(12, "ciaddr")
	addr(16, "yiaddr")
	addr(20, "siaddr")
	addr(24, "giaddr")
	line(28, "chaddr", string(appendHex(nil, b[28:28+min(16, int(b[2]))], 16)), "")
	line(offSName, "sname", a.fieldText(b[offSName:offFile], a.over&2 != 0), "")
	line(offFile, "file", a.fieldText(b[offFile:offCookie], a.over&1 != 0), "")
	line(offCookie, "cookie", AddrFromBytes(b[offCookie:]).String(), "")
	return dst
}

func (a *anatomy) fieldText(b []byte, options bool) string {
	if options {
		return "carries options"
	}
	return string(AppendQuoted(nil, text(b), len(b)*4))
}

func opNote(op uint8) string {
	switch op {
	case 1:
		return "request"
	case 2:
		return "reply"
	default:
		return "neither request nor reply"
	}
}

func htypeNote(h uint8) string {
	switch h {
	case 1:
		return "Ethernet"
	case 6:
		return "IEEE 802"
	case 32:
		return "InfiniBand"
	default:
		return ""
	}
}

// appendDigits writes octets in hexadecimal without anything between them.
func appendDigits(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}

// dump writes the line of one option, and of a split one at its last part a line
// with the joined value.
func (p *part) dump(dst []byte) []byte {
	mark := byte(' ')
	if p.Ignored() || p.whole != nil && p.wrong() {
		mark = '!'
	}
	dst = appendOffset(dst, mark, p.Offset)
	dst = appendPadded(dst, strconv.Itoa(int(p.Code)), -3)
	dst = append(dst, ' ')
	dst = appendPadded(dst, p.Code.String(), 28)
	switch {
	case p.Ignored():
		dst = appendHex(append(dst, ' '), p.Data, maxHex)
		dst = append(dst, " (ignored: it may only stand in the options field)"...)
	case p.of > 1:
		dst = append(dst, " part "...)
		dst = strconv.AppendInt(dst, int64(p.n), 10)
		dst = append(dst, " of "...)
		dst = strconv.AppendInt(dst, int64(p.of), 10)
		dst = append(dst, ", "...)
		dst = strconv.AppendInt(dst, int64(len(p.Data)), 10)
		dst = append(dst, " octets"...)
		if p.whole != nil {
			dst = append(dst, '\n', mark)
			dst = appendPadded(dst, "", 11)
			dst = appendPadded(dst, "joined", 29)
			dst = append(dst, ' ')
			dst = p.value(dst)
		}
	default:
		dst = p.value(append(dst, ' '))
	}
	return append(dst, '\n')
}

// wrong reports whether the whole value has not its option's format.
func (p *part) wrong() bool { return p.def != nil && !p.def.Valid(p.whole) }

// value writes the whole value with a remark where numbers say little.
func (p *part) value(dst []byte) []byte {
	if p.def == nil {
		return appendPrintable(appendHex(dst, p.whole, maxHex), p.whole)
	}
	if p.Code == OptDHCPParameterRequestList && len(p.whole) > 0 {
		return appendCodes(dst, p.whole)
	}
	dst = p.def.AppendText(dst, p.whole)
	if p.wrong() {
		return dst
	}
	switch p.Code {
	case OptDHCPMessageType:
		dst = append(append(append(dst, " ("...), MessageType(p.whole[0]).String()...), ')')
	case OptDHCPLeaseTime, OptDHCPRenewalTime, OptDHCPRebindingTime:
		dst = appendDuration(dst, binary.BigEndian.Uint32(p.whole))
	case OptDHCPAgentOptions:
		dst = appendAgentNames(dst, p.whole)
	default:
		if p.def.Type == TypeBinary {
			dst = appendPrintable(dst, p.whole)
		}
	}
	return dst
}

// appendPrintable writes b once more as text if it is all printable.
func appendPrintable(dst, b []byte) []byte {
	if len(b) < 2 || len(b) > 64 {
		return dst
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return dst
		}
	}
	return append(AppendQuoted(append(dst, " ("...), b, 256), ')')
}

// appendAgentNames writes the binary sub-options of a valid option 82 once more
// as text where they are text: many relay agents send interface names.
func appendAgentNames(dst, val []byte) []byte {
	for start := len(dst); len(val) >= 2 && len(dst)-start < maxText; {
		n := 2 + int(val[1])
		if d := LookupAgent(val[0]); d == nil || d.Type.size() == 0 {
			dst = appendPrintable(dst, val[2:n])
		}
		val = val[n:]
	}
	return dst
}

// appendCodes writes a list of option codes with their names.
func appendCodes(dst, codes []byte) []byte {
	start := len(dst)
	for i, c := range codes {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		if len(dst)-start > 4*maxText {
			return append(dst, "..."...)
		}
		dst = strconv.AppendUint(dst, uint64(c), 10)
		if d := Lookup(Code(c)); d != nil {
			dst = append(append(dst, ' '), d.Name...)
		}
	}
	return dst
}

// appendDuration writes a number of seconds as days, hours, minutes and seconds.
func appendDuration(dst []byte, secs uint32) []byte {
	dst = append(dst, " ("...)
	if secs == 1<<32-1 {
		return append(dst, "infinite)"...)
	}
	rest := secs
	for _, u := range [...]struct {
		secs uint32
		name byte
	}{{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}} {
		if n := rest / u.secs; n > 0 || u.secs == 1 && secs == 0 {
			dst = append(strconv.AppendUint(dst, uint64(n), 10), u.name)
			rest %= u.secs
		}
	}
	return append(dst, ')')
}

func (a *anatomy) dumpEnd(dst []byte, area Area) []byte {
	for _, e := range a.ends {
		if e.Area == area {
			dst = appendOffset(dst, ' ', e.Offset)
			dst = append(dst, "255 end\n"...)
		}
	}
	return dst
}

// dumpError writes what is wrong, and the octets at that place.
func dumpError(dst []byte, e *ParseError, b []byte) []byte {
	dst = appendOffset(dst, '!', e.Offset)
	dst = append(dst, e.Error()...)
	if e.Offset < len(b) {
		dst = appendHex(append(dst, ": "...), b[e.Offset:], 24)
	}
	return append(dst, '\n')
}

// dumpRest writes what stands after END.
func dumpRest(dst []byte, off int, b []byte) []byte {
	dst = appendOffset(dst, ' ', off)
	dst = strconv.AppendInt(dst, int64(len(b)), 10)
	for _, c := range b {
		if c != 0 {
			dst = append(dst, " octets after END, ignored: "...)
			return append(appendHex(dst, b, 24), '\n')
		}
	}
	return append(dst, " octets of padding\n"...)
}
