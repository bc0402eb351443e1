package lease

import (
	"bytes"
	"hash/maphash"
	"math/bits"

	"lessor/dhcp4"
)

// The three indexes are hash tables with chains through the records. They grow by
// one bucket at a time (linear hashing): no pause however many records there are,
// and no doubling overshoot in memory.
//
// In byID and byHW only one record of each key, its leader, stands in a bucket; the
// other records of that key hang behind it. So a station that collects a thousand
// records under one hardware address makes nobody's look-up longer. Links:
//
//	leader:  next = next leader of the bucket, same = second record of the key
//	others:  next = previous record of the key, same = next one
const (
	byID = iota
	byHW
	byAddr
	numIndexes
	numKeys = byAddr // indexes in which several records can have one key
)

const (
	headBits = 12
	headSize = 1 << headBits
)

type index struct {
	heads []*[headSize]Slot
	n     uint64 // buckets in use
	mask  uint64 // least 2^k-1 that is at least n-1
	used  uint64 // keys
}

// reset empties x and gives it n buckets, at least one chunk of them.
func (x *index) reset(n uint64) {
	x.n, x.mask, x.used = headSize, headSize-1, 0
	for x.n < n {
		x.n += headSize
	}
	x.mask = 1<<bits.Len64(x.n-1) - 1
	x.heads = make([]*[headSize]Slot, x.n>>headBits)
	for i := range x.heads {
		x.heads[i] = new([headSize]Slot)
	}
}

func (x *index) at(i uint64) *Slot { return &x.heads[i>>headBits][i%headSize] }

func (x *index) bucket(h uint64) *Slot {
	i := h & x.mask
	if i >= x.n {
		i &= x.mask >> 1
	}
	return x.at(i)
}

// grow adds a bucket to index k and moves into it what belongs there, all from
// one other bucket.
func (t *Table) grow(k int) {
	x := &t.index[k]
	if x.used <= x.n {
		return
	}
	n := x.n
	if n > x.mask {
		x.mask = x.mask<<1 | 1
	}
	if int(n>>headBits) == len(x.heads) {
		x.heads = append(x.heads, new([headSize]Slot))
	}
	x.n++
	from, to := x.at(n&(x.mask>>1)), x.at(n)
	for *from != 0 {
		r := t.rec(*from)
		if t.hash(k, r)&x.mask != n {
			from = &r.next[k]
			continue
		}
		s := *from
		*from = r.next[k]
		r.next[k] = *to
		*to = s
	}
}

func (t *Table) hash(k int, r *Rec) uint64 {
	switch k {
	case byAddr:
		return t.hashAddr(r.Addr)
	case byID:
		return t.hashID(t.recID(r))
	default:
		return t.hashHW(r.HType, r.hw())
	}
}

func (t *Table) hashAddr(a dhcp4.Addr) uint64 {
	hi, lo := bits.Mul64(uint64(a)^t.addrKey, 0x9e3779b97f4a7c15)
	hi, lo = bits.Mul64(hi^lo^t.addrKey, 0xd6e8feb86659fd93)
	return hi ^ lo
}

func (t *Table) hashID(id []byte) uint64 { return maphash.Bytes(t.seed, id) }

func (t *Table) hashHW(htype uint8, hw []byte) uint64 {
	return maphash.Bytes(t.seed, hw) + uint64(htype)*0x9e3779b97f4a7c15
}

func (t *Table) hasKey(k int, r *Rec, htype uint8, key []byte) bool {
	if k == byID {
		return bytes.Equal(t.recID(r), key)
	}
	return r.HType == htype && bytes.Equal(r.hw(), key)
}

// leader finds the leading record of a key whose hash is h.
func (t *Table) leader(k int, h uint64, htype uint8, key []byte) Slot {
	s := *t.index[k].bucket(h)
	for s != 0 {
		r := t.rec(s)
		if t.hasKey(k, r, htype, key) {
			return s
		}
		s = r.next[k]
	}
	return 0
}

func leads(k int) recFlags {
	if k == byID {
		return leadsID
	}
	return leadsHW
}

// enterSoon enters s, which is new, into the indexes: at once, or, when its slot is
// the last one, with the next look-up.
func (t *Table) enterSoon(s Slot, r *Rec) {
	if s > t.entered {
		return
	}
	t.linkAddr(s, r)
	t.linkKey(byHW, s, r)
	t.linkKey(byID, s, r)
}

// enterAll enters what waits. A store hands out its records in the order of
// addresses, so that no look-up is needed while they are put; then all of them
// are entered here at once, into buckets of the final number and slab by slab, which
// is several times faster than one by one.
func (t *Table) enterAll() {
	if t.entered != t.last {
		t.enterWaiting()
	}
}

func (t *Table) enterWaiting() {
	waiting := t.last - t.entered
	if waiting < headSize || int(waiting) < t.n/2 {
		for t.entered < t.last {
			t.entered++
			t.enterSoon(t.entered, t.rec(t.entered))
		}
		return
	}
	for k := range t.index {
		t.index[k].reset(uint64(t.n))
	}
	t.entered = t.last
	for s := Slot(1); s <= t.last; s++ {
		if r := t.rec(s); r.Addr != 0 { // else it is in the chain of deleted ones
			r.flags &^= leadsID | leadsHW
			t.linkAddr(s, r)
		}
	}
	for s := Slot(1); s <= t.last; s++ {
		t.linkKey(byHW, s, t.rec(s))
	}
	for s := Slot(1); s <= t.last; s++ {
		t.linkKey(byID, s, t.rec(s))
	}
}

// linkKey enters s under its key, which the record holds already, if it has one.
func (t *Table) linkKey(k int, s Slot, r *Rec) {
	key, h := r.hw(), uint64(0)
	if k == byID {
		key = t.recID(r)
	}
	if len(key) == 0 {
		return
	}
	if k == byID {
		h = t.hashID(key)
	} else {
		h = t.hashHW(r.HType, key)
	}
	if l := t.leader(k, h, r.HType, key); l != 0 {
		first := t.rec(l)
		r.next[k], r.same[k] = l, first.same[k]
		if first.same[k] != 0 {
			t.rec(first.same[k]).next[k] = s
		}
		first.same[k] = s
		r.flags &^= leads(k)
		return
	}
	x := &t.index[k]
	head := x.bucket(h)
	r.next[k], r.same[k] = *head, 0
	*head = s
	r.flags |= leads(k)
	x.used++
	t.grow(k)
}

// unlinkKey takes s out from under its key, which the record must still hold.
func (t *Table) unlinkKey(k int, s Slot, r *Rec) {
	second := r.same[k]
	if r.flags&leads(k) == 0 {
		t.rec(r.next[k]).same[k] = second
		if second != 0 {
			t.rec(second).next[k] = r.next[k]
		}
	} else {
		x := &t.index[k]
		at := x.bucket(t.hash(k, r))
		for *at != s {
			at = &t.rec(*at).next[k]
		}
		if second != 0 {
			heir := t.rec(second)
			heir.flags |= leads(k)
			heir.next[k] = r.next[k]
			*at = second
		} else {
			*at = r.next[k]
			x.used--
		}
	}
	r.next[k], r.same[k] = 0, 0
	r.flags &^= leads(k)
}

func (t *Table) linkAddr(s Slot, r *Rec) {
	x := &t.index[byAddr]
	head := x.bucket(t.hashAddr(r.Addr))
	r.next[byAddr] = *head
	*head = s
	x.used++
	t.grow(byAddr)
}

func (t *Table) unlinkAddr(s Slot, r *Rec) {
	x := &t.index[byAddr]
	at := x.bucket(t.hashAddr(r.Addr))
	for *at != s {
		at = &t.rec(*at).next[byAddr]
	}
	*at = r.next[byAddr]
	x.used--
}
