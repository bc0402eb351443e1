package pebble

import (
	"encoding/binary"
	"errors"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
)

// The values of records and of rows of history, as bytes. The first byte is the
// version of the value's form; numbers that are usually small are varints, times
// are differences to one another, and the lengths of the four variable parts come
// before them, so that a length that does not add up is found before anything is
// taken apart. Pebble guards every block and every log entry by a checksum; what is
// checked here is that a value that passed it is one that this code wrote.

const (
	recordVersion  = 1
	historyVersion = 2 // 1 had no Free
	markVersion    = 1

	// maxHW, maxClientID and maxText are the limits that lease.Binding gives its
	// variable parts, in octets. All lengths fit one byte.
	maxHW       = 16
	maxClientID = lease.MaxClientID
	maxText     = 255

	markLen = 1 + 8 + 8 + 16 + 8
)

// errValue says that stored bytes are not a value of a known version.
var errValue = errors.New("stored value is not of a known form")

// storable reports whether b can be written: what lease.Binding promises about its
// fields. All that passes can be read again.
func storable(b *lease.Binding) bool {
	return b.Addr != 0 && b.State >= lease.Bound && b.State <= lease.Declined &&
		len(b.HW) <= maxHW && len(b.ClientID) <= maxClientID &&
		len(b.Hostname) <= maxText && len(b.Agent) <= maxText
}

// appendRecord appends the value of b's record to dst. b must be storable.
func appendRecord(dst []byte, b *lease.Binding) []byte {
	dst = append(dst, recordVersion, byte(b.State), b.HType,
		byte(len(b.HW)), byte(len(b.ClientID)), byte(len(b.Hostname)), byte(len(b.Agent)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(b.GIAddr))
	dst = append(dst, b.Boot[:]...)
	dst = binary.AppendUvarint(dst, uint64(b.Lifetime))
	dst = binary.AppendUvarint(dst, uint64(b.Grace))
	dst = binary.AppendVarint(dst, b.Start)
	// Differences of times wrap around like the times themselves, so that every pair
	// of int64 comes back.
	dst = binary.AppendVarint(dst, b.Renewed-b.Start)
	dst = binary.AppendVarint(dst, b.Until-b.Renewed)
	dst = binary.AppendVarint(dst, b.End)
	dst = binary.AppendVarint(dst, b.Free-b.End)
	dst = binary.AppendUvarint(dst, b.Rev)
	dst = append(dst, b.HW...)
	dst = append(dst, b.ClientID...)
	dst = append(dst, b.Hostname...)
	return append(dst, b.Agent...)
}

// appendDeleted appends the value of a record that was deleted in change rev. The
// key stays, so that a record that is nowhere is always a lost one.
func appendDeleted(dst []byte, rev uint64) []byte {
	return binary.AppendUvarint(append(dst, recordVersion, 0), rev)
}

// deletedRev reads what appendDeleted wrote; ok is false for every other value.
func deletedRev(v []byte) (rev uint64, ok bool) {
	if len(v) < 3 || v[0] != recordVersion || v[1] != 0 {
		return 0, false
	}
	rev, n := binary.Uvarint(v[2:])
	return rev, n > 0 && n == len(v)-2
}

// recordRev is the change that made a record's value, deleted or not.
func recordRev(v []byte) (rev uint64, ok bool) {
	if rev, ok = deletedRev(v); ok {
		return rev, true
	}
	var b lease.Binding
	if decodeRecord(v, &b) != nil {
		return 0, false
	}
	return b.Rev, true
}

// reader takes values off the front of b; bad is set by the first that is not there.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint32v() uint32 {
	v := r.uvarint()
	if v > 0xffffffff {
		r.bad = true
	}
	return uint32(v)
}

// text takes n octets; nil for none, so that a binding reads back as it was written.
func (r *reader) text(n int) []byte {
	if n == 0 {
		return nil
	}
	return r.take(n)
}

// decodeRecord fills b, all of it but Addr, from a record's value. b's slices alias
// v. It never panics, whatever v holds.
func decodeRecord(v []byte, b *lease.Binding) error {
	const fixed = 7 + 4 + 16
	if len(v) < fixed || v[0] != recordVersion {
		return errValue
	}
	hw, id, host, agent := int(v[3]), int(v[4]), int(v[5]), int(v[6])
	b.State, b.HType = lease.State(v[1]), v[2]
	b.GIAddr = dhcp4.AddrFromBytes(v[7:])
	copy(b.Boot[:], v[11:])
	r := reader{b: v[fixed:]}
	b.Lifetime = r.uint32v()
	b.Grace = r.uint32v()
	b.Start = r.varint()
	b.Renewed = b.Start + r.varint()
	b.Until = b.Renewed + r.varint()
	b.End = r.varint()
	b.Free = b.End + r.varint()
	b.Rev = r.uvarint()
	if r.bad || len(r.b) != hw+id+host+agent || hw > maxHW ||
		b.State < lease.Bound || b.State > lease.Declined {
		return errValue
	}
	b.HW, b.ClientID = r.text(hw), r.text(id)
	b.Hostname, b.Agent = r.text(host), r.text(agent)
	return nil
}

// appendHistory appends the value of a row of history: b's possession of its
// address, which ended at until. The begin and the address stand in the key.
func appendHistory(dst []byte, b *lease.Binding, until, free int64) []byte {
	dst = append(dst, historyVersion, b.HType,
		byte(len(b.HW)), byte(len(b.ClientID)), byte(len(b.Hostname)), byte(len(b.Agent)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(b.GIAddr))
	dst = binary.BigEndian.AppendUint64(dst, uint64(until))
	dst = append(dst, b.HW...)
	dst = append(dst, b.ClientID...)
	dst = append(dst, b.Hostname...)
	dst = append(dst, b.Agent...)
	return binary.BigEndian.AppendUint64(dst, uint64(free))
}

// decodeHistory fills p, all of it but Addr and From, from a row's value. p's slices
// alias v.
func decodeHistory(v []byte, p *store.Possession) error {
	const fixed = 6 + 4 + 8
	if len(v) < fixed || v[0] == 0 || v[0] > historyVersion {
		return errValue
	}
	hw, id, host, agent := int(v[2]), int(v[3]), int(v[4]), int(v[5])
	p.Free = 0
	if v[0] > 1 {
		if len(v) < fixed+8 {
			return errValue
		}
		p.Free = int64(binary.BigEndian.Uint64(v[len(v)-8:]))
		v = v[:len(v)-8]
	}
	if hw > maxHW || len(v) != fixed+hw+id+host+agent {
		return errValue
	}
	p.HType = v[1]
	p.GIAddr = dhcp4.AddrFromBytes(v[6:])
	p.Until = int64(binary.BigEndian.Uint64(v[10:]))
	p.Running = false
	r := reader{b: v[fixed:]}
	p.HW, p.ClientID = r.text(hw), r.text(id)
	p.Hostname, p.Agent = r.text(host), r.text(agent)
	return nil
}

// appendMark appends the value of the mark, with the position of the commit that
// wrote it.
func appendMark(dst []byte, m lease.Mark, pos store.Pos) []byte {
	dst = append(dst, markVersion)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.W))
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.M))
	dst = append(dst, m.Boot[:]...)
	return binary.BigEndian.AppendUint64(dst, uint64(pos))
}

// decodeMark reads what appendMark wrote.
func decodeMark(v []byte) (m lease.Mark, pos store.Pos, err error) {
	if len(v) != markLen || v[0] != markVersion {
		return m, 0, errValue
	}
	m.W = int64(binary.BigEndian.Uint64(v[1:]))
	m.M = int64(binary.BigEndian.Uint64(v[9:]))
	copy(m.Boot[:], v[17:])
	return m, store.Pos(binary.BigEndian.Uint64(v[33:])), nil
}
