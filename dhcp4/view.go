package dhcp4

import (
	"bytes"
	"encoding/binary"
)

// Bytes is the message as it was given to Parse.
func (v *View) Bytes() []byte { return v.b }

// Op is 1 for a request of a client, 2 for a reply of a server.
func (v *View) Op() uint8 { return v.b[0] }

// HType is the hardware type; 1 is Ethernet.
func (v *View) HType() uint8 { return v.b[1] }

// HLen is how many octets of chaddr count, at most 16.
func (v *View) HLen() uint8 { return v.b[2] }

// Hops is the number of relay agents the message has passed.
func (v *View) Hops() uint8 { return v.b[3] }

// XID is the transaction id.
func (v *View) XID() uint32 { return binary.BigEndian.Uint32(v.b[4:]) }

// Secs is the seconds since the client began, as the client counts them.
func (v *View) Secs() uint16 { return binary.BigEndian.Uint16(v.b[8:]) }

// Flags is the whole flags field; see FlagBroadcast.
func (v *View) Flags() uint16 { return binary.BigEndian.Uint16(v.b[10:]) }

// Broadcast reports whether the client asks for replies by broadcast.
func (v *View) Broadcast() bool { return v.Flags()&FlagBroadcast != 0 }

// CIAddr is the address the client uses already.
func (v *View) CIAddr() Addr { return AddrFromBytes(v.b[12:]) }

// YIAddr is the address a server gives to the client.
func (v *View) YIAddr() Addr { return AddrFromBytes(v.b[16:]) }

// SIAddr is the server for the next step of a boot.
func (v *View) SIAddr() Addr { return AddrFromBytes(v.b[20:]) }

// GIAddr is the relay agent's address on the client's link.
func (v *View) GIAddr() Addr { return AddrFromBytes(v.b[24:]) }

// CHAddr is the client's hardware address, hlen octets of the message itself.
func (v *View) CHAddr() []byte { return v.b[28 : 28+v.b[2] : 28+v.b[2]] }

// CHAddr16 is a copy of the whole chaddr field.
func (v *View) CHAddr16() [16]byte { return [16]byte(v.b[28:44]) }

// SName is the server name, up to the first NUL, in the message itself; nil when
// the field carries options. It is text from the network.
func (v *View) SName() []byte {
	if v.over&2 != 0 {
		return nil
	}
	return text(v.b[offSName:offFile])
}

// File is the boot file name, up to the first NUL, in the message itself; nil
// when the field carries options. It is text from the network.
func (v *View) File() []byte {
	if v.over&1 != 0 {
		return nil
	}
	return text(v.b[offFile:offCookie])
}

func text(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i:i]
	}
	return b[:len(b):len(b)]
}

// Has reports whether the message holds option c, in any field. Codes 0 and 255
// are never present.
func (v *View) Has(c Code) bool { return v.present[c>>6]>>(c&63)&1 != 0 }

func (v *View) several(c Code) bool { return v.many[c>>6]>>(c&63)&1 != 0 }

// Get returns the whole value of option c, and whether the option is there. An
// option that occurs once is a slice of the message. The instances of one that
// occurs several times are joined (RFC 3396 7) in the order options, file, sname
// into scratch, from its start, up to its capacity; when they do not fit, the
// result is nil and false: Len says what is needed.
func (v *View) Get(c Code, scratch []byte) (val []byte, ok bool) {
	if !v.Has(c) {
		return nil, false
	}
	if !v.several(c) {
		at := int(v.first[c]) + 2
		end := at + int(v.b[at-1])
		return v.b[at:end:end], true
	}
	val = scratch[:0]
	for in := range v.Instances {
		if in.Code != c || in.Ignored() {
			continue
		}
		if len(val)+len(in.Data) > cap(val) {
			return nil, false
		}
		val = append(val, in.Data...)
	}
	return val, true
}

// Len is the number of octets of option c's whole value, 0 when it is absent.
func (v *View) Len(c Code) (n int) {
	if !v.Has(c) {
		return 0
	}
	if !v.several(c) {
		return int(v.b[int(v.first[c])+1])
	}
	for in := range v.Instances {
		if in.Code == c && !in.Ignored() {
			n += len(in.Data)
		}
	}
	return n
}

// fixed returns the value of option c when it has exactly n octets, n at most 4.
func (v *View) fixed(c Code, n int, scratch *[4]byte) ([]byte, bool) {
	val, ok := v.Get(c, scratch[:])
	if !ok || len(val) != n {
		return nil, false
	}
	return val, true
}

// MessageType is the value of option 53; 0 when it is missing (BOOTP) or not
// exactly one octet.
func (v *View) MessageType() MessageType {
	t, _ := v.Uint8(OptDHCPMessageType)
	return MessageType(t)
}

// Addr is option c as one address; false unless it has exactly four octets.
func (v *View) Addr(c Code) (Addr, bool) {
	n, ok := v.Uint32(c)
	return Addr(n), ok
}

// Uint8 is option c; false unless it has exactly one octet.
func (v *View) Uint8(c Code) (uint8, bool) {
	var scratch [4]byte
	val, ok := v.fixed(c, 1, &scratch)
	if !ok {
		return 0, false
	}
	return val[0], true
}

// Uint16 is option c; false unless it has exactly two octets.
func (v *View) Uint16(c Code) (uint16, bool) {
	var scratch [4]byte
	val, ok := v.fixed(c, 2, &scratch)
	if !ok {
		return 0, false
	}
	return binary.BigEndian.Uint16(val), true
}

// Uint32 is option c; false unless it has exactly four octets.
func (v *View) Uint32(c Code) (uint32, bool) {
	var scratch [4]byte
	val, ok := v.fixed(c, 4, &scratch)
	if !ok {
		return 0, false
	}
	return binary.BigEndian.Uint32(val), true
}

// Instance is one occurrence of an option in a message.
type Instance struct {
	Code   Code
	Area   Area
	Offset int    // of the code octet, from the start of the message
	Data   []byte // the value's octets in the message itself
}

// Ignored reports whether this instance counts for nothing: option 52 inside a
// field that it made available.
func (in Instance) Ignored() bool {
	return in.Code == OptDHCPOptionOverload && in.Area != AreaOptions
}

// Instances calls yield with each occurrence of each option, in the order
// options, file, sname, until yield returns false. Use it with range:
//
//	for in := range v.Instances { … }
func (v *View) Instances(yield func(Instance) bool) {
	if v.b == nil {
		return
	}
	if !v.instances(offOptions, len(v.b), AreaOptions, yield) {
		return
	}
	if v.over&1 != 0 && !v.instances(offFile, offCookie, AreaFile, yield) {
		return
	}
	if v.over&2 != 0 {
		v.instances(offSName, offFile, AreaSName, yield)
	}
}

func (v *View) instances(pos, end int, area Area, yield func(Instance) bool) bool {
	for {
		code, at, next, p := step(v.b, pos, end)
		if code == OptEnd || p != NoProblem {
			return true
		}
		if !yield(Instance{code, area, at, v.b[at+2 : next : next]}) {
			return false
		}
		pos = next
	}
}
