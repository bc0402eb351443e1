package dhcp4

import (
	"encoding/binary"
	"strconv"
)

// decode checks the whole of val and gives its items to s; false when val has
// not the format of d. Everything that knows an option's format on the wire is
// here, so that what is checked and what is shown cannot differ.
func (d *Def) decode(s *sink, val []byte) bool {
	if len(val) < d.Min {
		return false
	}
	switch d.Type {
	case TypeNone, TypeFlag:
		return len(val) == 0
	case TypeFQDN:
		return s.names(val, d.List)
	case TypeClientFQDN:
		return s.clientFQDN(val)
	case TypeRoutes:
		return s.routes(val)
	case TypeRecord:
		return s.record(d.Fields, val)
	case TypeSubOptions:
		return s.subOptions(val, d.Code == OptDHCPAgentOptions)
	case TypeSIPServers:
		return s.sipServers(val)
	case TypeVendorClasses, TypeVendorOptions:
		return s.vendor(val, d.Type == TypeVendorOptions)
	case TypeAddrGroups:
		return s.addrGroups(val)
	case TypeTuples:
		return s.tuples(val)
	case TypeDNR:
		return s.resolvers(val)
	default:
		return s.scalars(d, val)
	}
}

// scalars reads one item, or as many as there are.
func (s *sink) scalars(d *Def, val []byte) bool {
	n := 0
	for len(val) > 0 {
		size := s.element(d.Type, val)
		if size == 0 {
			return false
		}
		val = val[size:]
		if n++; n > 1 && !d.List {
			return false
		}
	}
	return n > 0 && (!d.Pairs || n%2 == 0)
}

// record reads the fields one after the other. A text or binary field at the end
// may be empty.
func (s *sink) record(fields []Field, val []byte) bool {
	for _, f := range fields {
		switch f.Type {
		case TypeFQDN:
			return s.names(val, f.Many)
		case TypeString, TypeBinary:
			s.element(f.Type, val)
			return true
		}
		for {
			size := s.element(f.Type, val)
			if size == 0 {
				return false
			}
			val = val[size:]
			if !f.Many || len(val) == 0 {
				break
			}
		}
	}
	return len(val) == 0
}

// names reads one domain name, or a list of them.
func (s *sink) names(val []byte, many bool) bool {
	r := nameReader{msg: val}
	pos := 0
	for n := 0; pos < len(val); n++ {
		if n > 0 && !many {
			return false
		}
		var ok bool
		s.tmp, pos, _, ok = r.next(s.tmp[:0], pos, false)
		if !ok {
			return false
		}
		s.plain(s.tmp)
	}
	return pos > 0
}

// The flag of option 81 that says the name is labels, not ASCII (RFC 4702 2.1).
const flagEncoding = 0x04

func (s *sink) clientFQDN(val []byte) bool {
	if len(val) < 3 {
		return false
	}
	for _, c := range val[:3] {
		s.num(int64(c))
	}
	name := val[3:]
	switch {
	case len(name) == 0:
		return true
	case val[0]&flagEncoding == 0:
		s.text(name)
		return true
	}
	r := nameReader{msg: name}
	text, after, whole, ok := r.next(s.tmp[:0], 0, true)
	if !ok || after != len(name) {
		return false
	}
	if whole && len(text) > 1 {
		text = append(text, '.')
	}
	s.tmp = text
	s.plain(text)
	return true
}

func (s *sink) routes(val []byte) bool {
	if len(val) == 0 {
		return false
	}
	for len(val) > 0 {
		bits := int(val[0])
		octets := (bits + 7) / 8
		if bits > 32 || len(val) < 1+octets+4 {
			return false
		}
		var net [4]byte
		copy(net[:], val[1:1+octets])
		p := Prefix{AddrFrom4(net), bits}
		t := p.Addr.Netip().AppendTo(s.tmp[:0])
		t = append(t, '/')
		t = strconv.AppendInt(t, int64(bits), 10)
		t = append(t, " via "...)
		s.tmp = AddrFromBytes(val[1+octets:]).Netip().AppendTo(t)
		s.plain(s.tmp)
		val = val[1+octets+4:]
	}
	return true
}

// subOptions reads sub-options; those of option 82 are shown by name and type.
func (s *sink) subOptions(val []byte, agent bool) bool {
	n := 0
	for ; len(val) > 0; n++ {
		// PAD and END have no meaning inside option 82 (RFC 3046 2.0); elsewhere
		// they have the one they have outside (RFC 2132 8.4).
		if !agent && val[0] == byte(OptPad) {
			val = val[1:]
			n--
			continue
		}
		if !agent && val[0] == byte(OptEnd) {
			break
		}
		if len(val) < 2 || len(val) < 2+int(val[1]) {
			return false
		}
		end := 2 + int(val[1])
		s.tmp = appendSubOption(s.tmp[:0], val[0], val[2:end], agent)
		s.plain(s.tmp)
		val = val[end:]
	}
	return n > 0
}

// appendSubOption writes code=value, or name=value for the agent's.
func appendSubOption(dst []byte, code uint8, val []byte, agent bool) []byte {
	d := LookupAgent(code)
	if !agent || d == nil {
		dst = strconv.AppendUint(dst, uint64(code), 10)
		return appendHex(append(dst, '='), val, 255)
	}
	dst = append(append(dst, d.Name...), '=')
	if d.Type.size() > 0 && d.Valid(val) {
		return d.AppendText(dst, val)
	}
	return appendHex(dst, val, 255)
}

func (s *sink) sipServers(val []byte) bool {
	if len(val) < 2 {
		return false
	}
	switch val[0] {
	case 0:
		return s.names(val[1:], true)
	case 1:
		return s.scalars(&Def{Type: TypeAddr, List: true}, val[1:])
	default:
		return false
	}
}

// vendor reads the blocks of options 124 and 125: an enterprise number, then
// classes or sub-options.
func (s *sink) vendor(val []byte, subs bool) bool {
	if len(val) == 0 {
		return false
	}
	for len(val) > 0 {
		if len(val) < 5 || len(val) < 5+int(val[4]) {
			return false
		}
		t := strconv.AppendUint(s.tmp[:0], uint64(binary.BigEndian.Uint32(val)), 10)
		block := val[5 : 5+int(val[4])]
		val = val[5+len(block):]
		for len(block) > 0 {
			t = append(t, ' ')
			if subs {
				if len(block) < 2 || len(block) < 2+int(block[1]) {
					return false
				}
				t = appendSubOption(t, block[0], block[2:2+int(block[1])], false)
				block = block[2+int(block[1]):]
				continue
			}
			n := 1 + int(block[0])
			if len(block) < n {
				return false
			}
			if n == 1 {
				t = append(t, "0x"...)
			}
			t = appendHex(t, block[1:n], 255)
			block = block[n:]
		}
		s.tmp = t
		s.plain(t)
	}
	return true
}

func (s *sink) addrGroups(val []byte) bool {
	if len(val) == 0 {
		return false
	}
	for len(val) > 0 {
		n := int(val[0])
		if n == 0 || n%4 != 0 || len(val) < 1+n {
			return false
		}
		t := s.tmp[:0]
		for i := 1; i < 1+n; i += 4 {
			if i > 1 {
				t = append(t, ' ')
			}
			t = AddrFromBytes(val[i:]).Netip().AppendTo(t)
		}
		s.tmp = t
		s.plain(t)
		val = val[1+n:]
	}
	return true
}

func (s *sink) tuples(val []byte) bool {
	if len(val) == 0 {
		return false
	}
	for len(val) > 0 {
		if len(val) < 2 {
			return false
		}
		n := 2 + int(binary.BigEndian.Uint16(val))
		if n == 2 || len(val) < n {
			return false
		}
		s.text(val[2:n])
		val = val[n:]
	}
	return true
}

// resolvers reads the instances of option 162: length, priority, name, and in the
// long form addresses and service parameters.
func (s *sink) resolvers(val []byte) bool {
	if len(val) == 0 {
		return false
	}
	for len(val) > 0 {
		if len(val) < 2 || len(val) < 2+int(binary.BigEndian.Uint16(val)) {
			return false
		}
		n := 2 + int(binary.BigEndian.Uint16(val))
		if !s.resolver(val[2:n]) {
			return false
		}
		val = val[n:]
	}
	return true
}

func (s *sink) resolver(b []byte) bool {
	if len(b) < 3 || len(b) < 3+int(b[2]) {
		return false
	}
	t := strconv.AppendUint(s.tmp[:0], uint64(binary.BigEndian.Uint16(b)), 10)
	name := b[3 : 3+int(b[2])]
	b = b[3+len(name):]
	r := nameReader{msg: name}
	t, after, _, ok := r.next(append(t, ' '), 0, false)
	if !ok || after != len(name) {
		return false
	}
	if len(b) > 0 { // the long form
		n := int(b[0])
		if n == 0 || n%4 != 0 || len(b) < 1+n {
			return false
		}
		for i := 1; i < 1+n; i += 4 {
			t = AddrFromBytes(b[i:]).Netip().AppendTo(append(t, ' '))
		}
		if b = b[1+n:]; len(b) > 0 {
			t = showSvcParams(t, b)
		}
	}
	s.tmp = t
	s.plain(t)
	return true
}
