package policy

import "lessor/dhcp4"

// The tables of a network's reservations. They are flat, for in a campus every network has
// its own and none of them is in the cache: a look-up touches one line where a map
// touches five. At most half of the slots are in use, and a search goes on to the next.

// keyTable finds reservations by one of their keys.
type keyTable struct {
	slots []keySlot // a power of two, or none
	used  int
}

type keySlot struct {
	hash uint64
	r    *Reservation // nil: free
}

// keyHash is FNV-1a. A client that makes keys with the hash of another gains nothing: the
// keys themselves are compared, and how many there are is the configuration's affair.
func keyHash(kind KeyKind, htype uint8, value []byte) uint64 {
	const prime = 1099511628211
	h := uint64(14695981039346656037)
	h = (h ^ uint64(kind)) * prime
	if kind == KeyHWAddress {
		h = (h ^ uint64(htype)) * prime
	}
	for _, c := range value {
		h = (h ^ uint64(c)) * prime
	}
	return h ^ h>>32
}

func (t *keyTable) find(kind KeyKind, htype uint8, value []byte) *Reservation {
	if len(t.slots) == 0 {
		return nil
	}
	h, mask := keyHash(kind, htype, value), uint64(len(t.slots)-1)
	for i := h & mask; t.slots[i].r != nil; i = (i + 1) & mask {
		if s := &t.slots[i]; s.hash == h && s.r.hasKey(kind, htype, value) {
			return s.r
		}
	}
	return nil
}

func (r *Reservation) hasKey(kind KeyKind, htype uint8, value []byte) bool {
	for i := range r.Keys {
		k := &r.Keys[i]
		if k.Kind == kind && string(k.Value) == string(value) && (kind != KeyHWAddress || k.HType == htype) {
			return true
		}
	}
	return false
}

func (t *keyTable) add(hash uint64, r *Reservation) {
	if 2*(t.used+1) > len(t.slots) {
		old := t.slots
		t.slots, t.used = make([]keySlot, max(4, 2*len(old))), 0
		for _, s := range old {
			if s.r != nil {
				t.add(s.hash, s.r)
			}
		}
	}
	mask := uint64(len(t.slots) - 1)
	i := hash & mask
	for t.slots[i].r != nil {
		i = (i + 1) & mask
	}
	t.slots[i] = keySlot{hash, r}
	t.used++
}

// addrTable finds the numbers of reservations, from 1 on, by their address.
type addrTable struct {
	slots []addrSlot // a power of two, or none
	used  int
}

type addrSlot struct {
	addr   dhcp4.Addr
	number uint32 // 0: free
}

func (t *addrTable) home(a dhcp4.Addr) int {
	return int(uint64(a)*0x9e3779b97f4a7c15>>32) & (len(t.slots) - 1)
}

func (t *addrTable) find(a dhcp4.Addr) uint32 {
	if len(t.slots) == 0 {
		return 0
	}
	i := t.home(a)
	for t.slots[i].number != 0 && t.slots[i].addr != a {
		i = (i + 1) & (len(t.slots) - 1)
	}
	return t.slots[i].number
}

func (t *addrTable) add(a dhcp4.Addr, number uint32) {
	if 2*(t.used+1) > len(t.slots) {
		old := t.slots
		t.slots, t.used = make([]addrSlot, max(4, 2*len(old))), 0
		for _, s := range old {
			if s.number != 0 {
				t.add(s.addr, s.number)
			}
		}
	}
	i := t.home(a)
	for t.slots[i].number != 0 {
		i = (i + 1) & (len(t.slots) - 1)
	}
	t.slots[i] = addrSlot{a, number}
	t.used++
}
