package lease

import (
	"bytes"
	"hash/maphash"
	"math"

	"lessor/dhcp4"
)

// Slot is the handle of a record in a Table, valid until the record is deleted;
// 0 is none.
type Slot uint32

// MaxHW is the longest hardware address that is kept: the size of chaddr
// (RFC 2131 2).
const MaxHW = 16

// Records live in slabs of this many, so that growth never copies one.
const (
	slabBits = 12
	slabSize = 1 << slabBits
)

// Rec is one record of a Table. Its exported fields are what the hot paths of
// the server look at; they mean what the fields of Binding of the same name mean.
// A Rec is read only and valid until the next Put or Delete. It holds no pointer,
// so that the garbage collector never looks into a slab.
//
// It is 128 octets, two cache lines: the first one says until when, the second one
// whose, with all that a look-up by any key reads.
type Rec struct {
	End       int64
	Free      int64
	Rev       uint64
	wake      int64 // when the owner wants it back from Due; Never: not at all
	GIAddr    dhcp4.Addr
	Lifetime  uint32
	Grace     uint32
	renewedLo uint32
	untilLo   uint32
	startLo   uint32
	xid       uint32 // the owner's
	renewed   seconds40hi
	until     seconds40hi
	State     State
	class     uint8 // size class of ext

	Addr   dhcp4.Addr
	HType  uint8
	hwLen  uint8
	idLen  uint8
	flags  recFlags
	ext    uint32           // block of the arena with what does not fit into inline; 0: none
	next   [numIndexes]Slot // see index.go
	same   [numKeys]Slot
	tag    uint8 // the owner's
	start  seconds40hi
	inline [inlineSize]byte // the hardware address, then the client identifier if it fits
}

const inlineSize = 30

type recFlags uint8

const (
	leadsID   recFlags = 1 << iota // first record of its client identifier: it stands in the bucket
	leadsHW                        // the same for its hardware address
	idInExt                        // the client identifier did not fit into inline
	bootInExt                      // Boot is not the table's
	inQueue                        // it has an entry in the wake queue
)

// Table is all current bindings in memory: pointer-free records of at most 160
// octets each (all indexes included, at a million), found by address, by client
// identifier and by hardware address, and ordered by their next deadline. A Table
// belongs to one goroutine.
type Table struct {
	slabs []*[slabSize]Rec
	last  Slot // highest slot ever used
	hint  Slot // the last one that was looked at, which is mostly the one that is asked for next
	free  Slot // chain of deleted slots, linked by next[byAddr]
	n     int
	top   dhcp4.Addr // no record has a higher address

	// Records in slots after entered are not in the indexes yet; see enterAll.
	entered Slot

	seed    maphash.Seed
	addrKey uint64 // secret of the address index
	index   [numIndexes]index
	arena   arena
	queue   queue

	boot      BootID // the boot of nearly all records; the others carry their own
	bootUsers int
	scratch   []byte
}

// NewTable returns an empty table. Each has its own random hash seed, so that no
// client can choose identifiers that collide; nothing that a Table answers
// depends on it.
func NewTable() *Table {
	t := &Table{seed: maphash.MakeSeed(), scratch: make([]byte, 0, maxExt+MaxHW+MaxClientID)}
	t.addrKey = maphash.Bytes(t.seed, []byte("address index"))
	for k := range t.index {
		t.index[k].reset(0)
	}
	t.addSlab() // slot 0, which is none, is a zero record
	return t
}

func (t *Table) addSlab() {
	t.slabs = append(t.slabs, new([slabSize]Rec))
	t.queue.pos = append(t.queue.pos, new([slabSize]uint32))
}

func (t *Table) rec(s Slot) *Rec { return &t.slabs[s>>slabBits][s%slabSize] }

// Len is the number of records.
func (t *Table) Len() int { return t.n }

// Rec returns the record of s. Slot 0 gives a zero record, whose State is 0.
func (t *Table) Rec(s Slot) *Rec { return t.rec(s) }

// ByAddr returns the record of a, or 0.
func (t *Table) ByAddr(a dhcp4.Addr) Slot {
	if s := t.hint; t.rec(s).Addr == a && a != 0 && s <= t.entered {
		return s
	}
	t.enterAll()
	s := *t.index[byAddr].bucket(t.hashAddr(a))
	for s != 0 {
		r := t.rec(s)
		if r.Addr == a {
			t.hint = s
			return s
		}
		s = r.next[byAddr]
	}
	return 0
}

// FirstByClientID returns one record with this client identifier, or 0; the
// others follow by NextByClientID. An empty identifier finds nothing.
func (t *Table) FirstByClientID(id []byte) Slot {
	if len(id) == 0 {
		return 0
	}
	if r := t.rec(t.hint); r.flags&leadsID != 0 && t.hasKey(byID, r, 0, id) {
		return t.hint
	}
	t.enterAll()
	return t.leader(byID, t.hashID(id), 0, id)
}

// NextByClientID returns a further record with the client identifier of s, or 0
// after the last. Each step costs O(1) whatever other clients do.
func (t *Table) NextByClientID(s Slot) Slot {
	t.enterAll()
	return t.rec(s).same[byID]
}

// FirstByHW returns one record with this hardware type and address, or 0; the
// others follow by NextByHW. An empty address finds nothing.
func (t *Table) FirstByHW(htype uint8, hw []byte) Slot {
	if len(hw) == 0 || len(hw) > MaxHW {
		return 0
	}
	if r := t.rec(t.hint); r.flags&leadsHW != 0 && t.hasKey(byHW, r, htype, hw) {
		return t.hint
	}
	t.enterAll()
	return t.leader(byHW, t.hashHW(htype, hw), htype, hw)
}

// NextByHW returns a further record with the hardware type and address of s, or 0
// after the last.
func (t *Table) NextByHW(s Slot) Slot {
	t.enterAll()
	return t.rec(s).same[byHW]
}

// ClientID returns the client identifier of s, nil for none. It aliases the
// table: valid until the next Put or Delete.
func (t *Table) ClientID(s Slot) []byte { return t.recID(t.rec(s)) }

// Agent returns the relay information of s, nil for none. It aliases the table: valid
// until the next Put or Delete.
func (t *Table) Agent(s Slot) []byte {
	_, _, _, agent := t.parts(t.rec(s))
	return agent
}

// HW returns the hardware type and address of s. The slice aliases the table:
// valid until the next Put or Delete.
func (t *Table) HW(s Slot) (htype uint8, hw []byte) {
	r := t.rec(s)
	return r.HType, r.hw()
}

// Tag is a number that the owner of the table keeps with the record, by SetTag; 0 for
// a new record and for slot 0. Put leaves it alone.
func (t *Table) Tag(s Slot) uint8 { return t.rec(s).tag }

// SetTag keeps tag with the record; for slot 0 it does nothing.
func (t *Table) SetTag(s Slot, tag uint8) {
	if s != 0 {
		t.rec(s).tag = tag
	}
}

// XID is the transaction id that the owner keeps with the record, by SetXID: that of
// the last REQUEST that was acknowledged since the start. Put leaves it alone.
func (t *Table) XID(s Slot) uint32 { return t.rec(s).xid }

// SetXID keeps xid with the record; for slot 0 it does nothing.
func (t *Table) SetXID(s Slot, xid uint32) {
	if s != 0 {
		t.rec(s).xid = xid
	}
}

// Binding fills b from the record. The slices of b alias the table: they are
// valid until the next Put or Delete, and b itself may be handed to that Put.
func (t *Table) Binding(s Slot, b *Binding) {
	r := t.rec(s)
	t.hint = s
	boot, id, host, agent := t.parts(r)
	*b = Binding{
		Addr: r.Addr, State: r.State, HType: r.HType, HW: r.hw(), ClientID: id, Hostname: host,
		GIAddr: r.GIAddr, Agent: agent, Lifetime: r.Lifetime, Grace: r.Grace,
		Start: join40(r.start, r.startLo), Renewed: join40(r.renewed, r.renewedLo), Until: join40(r.until, r.untilLo),
		Boot: boot, End: r.End, Free: r.Free, Rev: r.Rev,
	}
}

// Put makes b the state of b.Addr and copies b's slices; it returns the record's
// slot. It does not allocate when the record exists and its variable parts fit
// where they were. A new record is in no wake queue; an existing one keeps its
// wake time.
//
// State 0 deletes the record, address 0 does nothing; both return 0. Parts longer
// than their bound (MaxHW, MaxClientID, 255) are cut: who reads packets and stores
// refuses them before. Start, Renewed and Until are kept in 40 bits of seconds; what
// is beyond (17,000 years) becomes the least or greatest integer.
func (t *Table) Put(b *Binding) Slot {
	if b.Addr == 0 {
		return 0
	}
	if b.State == 0 {
		t.Delete(b.Addr)
		return 0
	}
	s := Slot(0)
	if b.Addr <= t.top {
		s = t.ByAddr(b.Addr)
	}
	made := s == 0
	if made {
		s = t.add(b.Addr)
	}
	r := t.rec(s)
	if made {
		t.writeParts(r, b.Boot, cut(b.HW, MaxHW), cut(b.ClientID, MaxClientID), cut(b.Hostname, 255), cut(b.Agent, 255))
		r.HType = b.HType
		t.enterSoon(s, r)
	} else {
		t.putParts(s, r, b)
	}
	r.End, r.Free, r.Rev = b.End, b.Free, b.Rev
	r.start, r.startLo = split40(b.Start)
	r.GIAddr, r.Lifetime, r.Grace, r.State = b.GIAddr, b.Lifetime, b.Grace, b.State
	r.renewed, r.renewedLo = split40(b.Renewed)
	r.until, r.untilLo = split40(b.Until)
	return s
}

// add makes a record without any part that no index knows.
func (t *Table) add(a dhcp4.Addr) Slot {
	s := t.free
	if s != 0 {
		t.free = t.rec(s).next[byAddr]
	} else {
		t.last++
		s = t.last
		if int(s>>slabBits) == len(t.slabs) {
			t.addSlab()
		}
	}
	t.n++
	t.top = max(t.top, a)
	*t.rec(s) = Rec{Addr: a, wake: Never, flags: bootInExt}
	return s
}

// Delete forgets the record of a, if there is one.
func (t *Table) Delete(a dhcp4.Addr) {
	s := t.ByAddr(a)
	if s == 0 {
		return
	}
	r := t.rec(s)
	t.unlinkAddr(s, r)
	if r.idLen > 0 {
		t.unlinkKey(byID, s, r)
	}
	if r.hwLen > 0 {
		t.unlinkKey(byHW, s, r)
	}
	t.unqueue(s, r)
	t.arena.release(r.ext, r.class)
	if r.flags&bootInExt == 0 {
		t.bootUsers--
	}
	*r = Rec{}
	r.next[byAddr] = t.free
	t.free = s
	t.n--
}

// Scan calls fn for up to n records from slot from on (0: the first) and returns
// the slot to go on from; 0: done. The table may change between steps and fn may
// change it too: a record that is there all the time is seen exactly once. A step
// looks at a bounded number of slots, so it may call fn fewer than n times.
func (t *Table) Scan(from Slot, n int, fn func(Slot)) Slot {
	if from == 0 {
		from = 1
	}
	stop := uint64(from) + 8*uint64(min(max(n, 0), math.MaxInt32)) + slabSize
	for s := from; s <= t.last; s++ {
		if n <= 0 || uint64(s) >= stop {
			return s
		}
		if t.rec(s).Addr != 0 {
			fn(s)
			n--
		}
	}
	return 0
}

// putParts brings the identity, the host name, the agent option and the boot of r
// to those of b, and the indexes with them.
func (t *Table) putParts(s Slot, r *Rec, b *Binding) {
	hw, id := cut(b.HW, MaxHW), cut(b.ClientID, MaxClientID)
	host, agent := cut(b.Hostname, 255), cut(b.Agent, 255)
	boot, oldID, oldHost, oldAgent := t.parts(r)
	newHW := r.HType != b.HType || !bytes.Equal(r.hw(), hw)
	newID := !bytes.Equal(oldID, id)
	if !newHW && !newID && boot == b.Boot && bytes.Equal(oldHost, host) && bytes.Equal(oldAgent, agent) {
		return
	}
	if newHW && r.hwLen > 0 {
		t.unlinkKey(byHW, s, r)
	}
	if newID && r.idLen > 0 {
		t.unlinkKey(byID, s, r)
	}
	r.HType = b.HType
	t.writeParts(r, b.Boot, hw, id, host, agent)
	if newHW {
		t.linkKey(byHW, s, r)
	}
	if newID {
		t.linkKey(byID, s, r)
	}
}

func cut(p []byte, n int) []byte { return p[:min(len(p), n)] }

// Times of day are kept in 40 bits of seconds: an octet of them stands apart, so
// that the record has no gap.
type seconds40hi int8

const (
	max40 = 1<<39 - 1
	min40 = -1 << 39
)

func split40(v int64) (seconds40hi, uint32) {
	v = min(max(v, min40), max40)
	return seconds40hi(v >> 32), uint32(v)
}

func join40(hi seconds40hi, lo uint32) int64 {
	switch v := int64(hi)<<32 | int64(lo); v {
	case max40:
		return math.MaxInt64
	case min40:
		return math.MinInt64
	default:
		return v
	}
}
