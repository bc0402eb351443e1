package pool

import "lessor/dhcp4"

// ReadySize is how many addresses a ready list holds.
const ReadySize = 64

// Ready is the ready list of a pool: free addresses that were asked for by ARP not
// long ago and stayed silent, so that an offer need not wait for a check. It knows
// only addresses, keys and times; that its addresses are still free is the owner's
// to keep true, by Remove. The zero Ready is empty.
type Ready struct {
	entries [ReadySize]readyEntry
	n       int
}

type readyEntry struct {
	addr dhcp4.Addr
	at   int64
	key  int64
}

// Len is the number of addresses in the list.
func (r *Ready) Len() int { return r.n }

// Need is how many more addresses the list has room for.
func (r *Ready) Need() int { return ReadySize - r.n }

// Has reports whether a is in the list.
func (r *Ready) Has(a dhcp4.Addr) bool { return r.find(a) >= 0 }

// Add enters a, which was asked for at time at and stayed silent. key is its key in
// the pool's Free: 0 for a never-used address. An address that is there already
// gets the new time and key. It reports false when the list is full.
func (r *Ready) Add(a dhcp4.Addr, at, key int64) bool {
	i := r.find(a)
	if i < 0 {
		if r.n == ReadySize {
			return false
		}
		i = r.n
		r.n++
	}
	r.entries[i] = readyEntry{a, at, key}
	return true
}

// All walks the list: each address and when it was asked for. The list must not
// change during the walk.
func (r *Ready) All(yield func(a dhcp4.Addr, at int64) bool) {
	for i := range r.entries[:r.n] {
		if !yield(r.entries[i].addr, r.entries[i].at) {
			return
		}
	}
}

// AskedSince reports whether a is in the list and was asked for after the time
// given.
func (r *Ready) AskedSince(a dhcp4.Addr, at int64) bool {
	i := r.find(a)
	return i >= 0 && r.entries[i].at > at
}

// Remove takes a out, because it is not free any more or answered after all; it
// reports whether a was there.
func (r *Ready) Remove(a dhcp4.Addr) bool {
	i := r.find(a)
	if i < 0 {
		return false
	}
	r.drop(i)
	return true
}

// Take returns an address for a new client and takes it out: of the never-used ones
// the nearest at or after start, wrapping round; without any the one that was
// free longest (I4).
func (r *Ready) Take(start dhcp4.Addr) (a dhcp4.Addr, ok bool) {
	best := -1
	for i := range r.entries[:r.n] {
		if best < 0 || r.entries[i].better(&r.entries[best], start) {
			best = i
		}
	}
	if best < 0 {
		return 0, false
	}
	a = r.entries[best].addr
	r.drop(best)
	return a, true
}

func (e *readyEntry) better(f *readyEntry, start dhcp4.Addr) bool {
	switch {
	case (e.key == 0) != (f.key == 0):
		return e.key == 0
	case e.key == 0:
		return e.addr-start < f.addr-start
	case e.key != f.key:
		return e.key < f.key
	default:
		return e.addr < f.addr
	}
}

// Expire takes out every address that was asked for before the time given.
func (r *Ready) Expire(before int64) {
	for i := r.n - 1; i >= 0; i-- {
		if r.entries[i].at < before {
			r.drop(i)
		}
	}
}

func (r *Ready) find(a dhcp4.Addr) int {
	for i := range r.entries[:r.n] {
		if r.entries[i].addr == a {
			return i
		}
	}
	return -1
}

func (r *Ready) drop(i int) {
	r.n--
	r.entries[i] = r.entries[r.n]
}
