package dhcp4

import (
	"encoding/binary"
	"strconv"
)

// AppendJSON appends packet, a whole DHCP message, as one JSON object on one line:
// length, the header's fields under their RFC 2131 names, message-type, options in
// the order of the message, and errors, an empty list when the message parses. An
// option has code, name, offset, area, hex (this instance's octets) and value
// (Def.AppendJSON of the whole value; null when it has the wrong form; missing on
// all but the last part of a split option). It is ASCII whatever the packet holds.
func AppendJSON(dst []byte, packet []byte) []byte {
	a := dissect(packet)
	dst = append(dst, `{"length":`...)
	dst = strconv.AppendInt(dst, int64(len(packet)), 10)
	if a.fixed {
		dst = a.jsonHeader(dst, packet)
	}
	if a.typ != 0 {
		dst = append(append(append(dst, `,"message-type":"`...), a.typ.String()...), '"')
	}
	dst = append(dst, `,"options":[`...)
	for i := range a.parts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = a.parts[i].json(dst)
	}
	dst = append(dst, `],"errors":[`...)
	for i := range a.errs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsonError(dst, &a.errs[i])
	}
	return append(dst, "]}"...)
}

func (a *anatomy) jsonHeader(dst, b []byte) []byte {
	num := func(name string, n uint32) {
		dst = append(append(append(dst, `,"`...), name...), `":`...)
		dst = strconv.AppendUint(dst, uint64(n), 10)
	}
	str := func(name string, val []byte) {
		dst = append(append(append(dst, `,"`...), name...), `":"`...)
		dst = append(append(dst, val...), '"')
	}
	addr := func(name string, off int) { str(name, AddrFromBytes(b[off:]).Netip().AppendTo(nil)) }

	num("op", uint32(b[0]))
	num("htype", uint32(b[1]))
	num("hlen", uint32(b[2]))
	num("hops", uint32(b[3]))
	str("xid", appendDigits([]byte("0x"), b[4:8]))
	num("secs", uint32(binary.BigEndian.Uint16(b[8:])))
	dst = append(dst, `,"broadcast":`...)
	dst = strconv.AppendBool(dst, b[10]&0x80 != 0)
	num("flags", uint32(binary.BigEndian.Uint16(b[10:])))
	addr("ciaddr", 12)
	addr("yiaddr", 16)
	addr("siaddr", 20)
	addr("giaddr", 24)
	str("chaddr", appendHex(nil, b[28:28+min(16, int(b[2]))], 16))
	if a.over&2 == 0 {
		str("sname", appendEscaped(nil, text(b[offSName:offFile]), maxText, true))
	}
	if a.over&1 == 0 {
		str("file", appendEscaped(nil, text(b[offFile:offCookie]), maxText, true))
	}
	return dst
}

func (p *part) json(dst []byte) []byte {
	dst = append(dst, `{"code":`...)
	dst = strconv.AppendUint(dst, uint64(p.Code), 10)
	dst = append(append(append(dst, `,"name":"`...), p.Code.String()...), `","offset":`...)
	dst = strconv.AppendInt(dst, int64(p.Offset), 10)
	dst = append(append(append(dst, `,"area":"`...), p.Area.String()...), `","hex":"`...)
	dst = append(appendDigits(dst, p.Data), '"')
	if p.Ignored() {
		return append(dst, `,"ignored":true}`...)
	}
	if p.of > 1 {
		dst = append(dst, `,"part":`...)
		dst = strconv.AppendInt(dst, int64(p.n), 10)
		dst = append(dst, `,"parts":`...)
		dst = strconv.AppendInt(dst, int64(p.of), 10)
	}
	switch {
	case p.whole == nil:
	case p.def == nil:
		dst = append(append(dst, `,"value":"`...), appendHex(nil, p.whole, maxHex)...)
		dst = append(dst, '"')
	default:
		dst = p.def.AppendJSON(append(dst, `,"value":`...), p.whole)
	}
	return append(dst, '}')
}

func jsonError(dst []byte, e *ParseError) []byte {
	dst = append(dst, `{"offset":`...)
	dst = strconv.AppendInt(dst, int64(e.Offset), 10)
	dst = append(append(append(dst, `,"area":"`...), e.Area.String()...), '"')
	if e.Problem == LengthMissing || e.Problem == OptionOverrun {
		dst = append(dst, `,"code":`...)
		dst = strconv.AppendUint(dst, uint64(e.Code), 10)
	}
	dst = append(append(append(dst, `,"problem":"`...), e.Problem.String()...), '"')
	return append(dst, '}')
}
