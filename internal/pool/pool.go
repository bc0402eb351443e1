// Package pool keeps the partition of a pool's addresses: which are free, in
// which order free ones are used, and how many are in each other state. It knows
// nothing of DHCP, of clients or of clocks; a key is any integer that orders.
package pool

import (
	"fmt"
	"sort"

	"lessor/dhcp4"
)

// State is where an address of a pool is. Each address is in exactly one state, so
// the counts of all states always add up to the size (I4).
type State uint8

const (
	// Free: for anybody; never used, or used and ordered by the key it was freed with.
	Free State = iota
	// Offered: one client's alone while its offer lives; ordered by key.
	Offered
	// Bound: leased.
	Bound
	// Held: in grace, or kept by the operator.
	Held
	// Declined: out after a DECLINE or a probe hit; ordered by key.
	Declined
	// Reserved: belongs to a reservation.
	Reserved
	// Excluded: never given out, by configuration or because it is somebody's own.
	Excluded
	// NumStates is the number of states.
	NumStates
)

var stateNames = [NumStates]string{"free", "offered", "bound", "held", "declined", "reserved", "excluded"}

// String returns the word used in counters and messages, for example "free".
func (s State) String() string {
	if s >= NumStates {
		return fmt.Sprintf("state %d", uint8(s))
	}
	return stateNames[s]
}

// span is a range of addresses and the number of its first one in the pool.
type span struct {
	dhcp4.Range
	base uint64
}

// Pool is the partition of the addresses of a pool. Never-used free addresses are
// bits of a tree; used free, offered and declined ones stand in ordered sets; of
// all others there is only the count. It belongs to one goroutine.
type Pool struct {
	spans  []span
	size   uint64
	count  [NumStates]uint64
	unused bitTree
	sets   sets
	walk   []uint32 // scratch of Freed
}

// New makes a pool of the addresses of ranges, each Free and never used. The
// ranges must be ascending and disjoint; it panics otherwise. Empty ranges count
// for nothing.
func New(ranges ...dhcp4.Range) *Pool {
	p := &Pool{}
	for _, r := range ranges {
		if r.Size() == 0 {
			continue
		}
		if n := len(p.spans); n > 0 && r.First <= p.spans[n-1].Last {
			panic(fmt.Sprintf("pool: range %v does not lie after %v", r, p.spans[n-1].Range))
		}
		p.spans = append(p.spans, span{r, p.size})
		p.size += r.Size()
	}
	p.unused = newBitTree(p.size)
	p.count[Free] = p.size
	p.sets.init()
	return p
}

// Size is the number of addresses.
func (p *Pool) Size() uint64 { return p.size }

// Count is the number of addresses in state s. Over all states the counts add up
// to Size, always.
func (p *Pool) Count(s State) uint64 { return p.count[s] }

// Contains reports whether a is an address of the pool.
func (p *Pool) Contains(a dhcp4.Addr) bool {
	_, ok := p.number(a)
	return ok
}

// At returns the n-th address of the pool, from 0, for a hashed start. It panics
// when n is not below Size.
func (p *Pool) At(n uint64) dhcp4.Addr {
	if n >= p.size {
		panic(fmt.Sprintf("pool: address number %d of %d", n, p.size))
	}
	i := len(p.spans) - 1
	if i > 0 {
		i = sort.Search(i, func(i int) bool { return p.spans[i+1].base > n })
	}
	s := &p.spans[i]
	return s.First + dhcp4.Addr(n-s.base)
}

// number returns the number of a in the pool, and for an address that is not in it
// the number of the next one that is, which is Size after the last.
func (p *Pool) number(a dhcp4.Addr) (n uint64, ok bool) {
	lo, hi := 0, len(p.spans)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if a > p.spans[mid].Last {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(p.spans) {
		return p.size, false
	}
	s := &p.spans[lo]
	if a < s.First {
		return s.base, false
	}
	return s.base + uint64(a-s.First), true
}

// Move takes a out of state from and puts it into state to. key orders it there
// where order matters: Free (0: never used; else when it became free), Offered (when
// offered), Declined (since when). A key of 0 for an address that was used must
// be written as another integer near it.
//
// It panics when a is not in the pool, when a is not in from as far as that is
// known of a single address (Free, Offered, Declined), when it is still in one of
// those although from says otherwise, or when from counts nobody: a broken caller
// must not corrupt the partition silently.
func (p *Pool) Move(a dhcp4.Addr, from, to State, key int64) {
	n, ok := p.number(a)
	if !ok {
		panic(fmt.Sprintf("pool: %v is not in the pool", a))
	}
	p.leave(a, n, from)
	p.count[from]--
	p.count[to]++
	switch {
	case to == Free && key == 0:
		p.unused.set(n)
	case ordered(to):
		p.sets.insert(uint32(n), to, key)
	}
}

func ordered(s State) bool { return s == Free || s == Offered || s == Declined }

func (p *Pool) leave(a dhcp4.Addr, n uint64, from State) {
	unused := p.unused.has(n)
	switch {
	case unused && from == Free:
		p.unused.clear(n)
		return
	case !unused && ordered(from) && p.sets.remove(uint32(n), from):
		return
	case !unused && !ordered(from) && p.count[from] > 0 && !p.sets.has(uint32(n)):
		return
	}
	panic(fmt.Sprintf("pool: %v is not %v", a, from))
}

// MoveRange moves every address of r that is in the pool from one state to another
// at the cost of a few words of memory, for exclusions of any size. From Free all
// of them must be never used, and to Free they become that. Offered and
// Declined have no ranges. It panics as Move does.
func (p *Pool) MoveRange(r dhcp4.Range, from, to State) {
	if from == Offered || from == Declined || to == Offered || to == Declined {
		panic(fmt.Sprintf("pool: range %v cannot go from %v to %v", r, from, to))
	}
	for i := range p.spans {
		s := &p.spans[i]
		first, last := max(r.First, s.First), min(r.Last, s.Last)
		if first > last {
			continue
		}
		lo, hi := s.base+uint64(first-s.First), s.base+uint64(last-s.First)
		n := hi - lo + 1
		free := p.unused.count(lo, hi)
		if from == Free && free != n || from != Free && (free != 0 || p.count[from] < n) {
			panic(fmt.Sprintf("pool: not all of %v are %v", dhcp4.Range{First: first, Last: last}, from))
		}
		if from != to && (from == Free || to == Free) {
			p.unused.fill(lo, hi, to == Free)
		}
		p.count[from] -= n
		p.count[to] += n
	}
}

// NextUnused returns the never-used free address nearest at or after from,
// wrapping round at the end of the pool. from need not be in the pool.
func (p *Pool) NextUnused(from dhcp4.Addr) (dhcp4.Addr, bool) {
	n, _ := p.number(from)
	n, ok := p.unused.next(n)
	if !ok {
		if n, ok = p.unused.next(0); !ok {
			return 0, false
		}
	}
	return p.At(n), true
}

// IsUnused reports whether a is free and was never used.
func (p *Pool) IsUnused(a dhcp4.Addr) bool {
	n, ok := p.number(a)
	return ok && p.unused.has(n)
}

// Key returns the key a was put with into s, which is Free, Offered or Declined; ok
// is false when a is not there. A never-used free address has the key 0.
func (p *Pool) Key(a dhcp4.Addr, s State) (key int64, ok bool) {
	n, ok := p.number(a)
	if !ok {
		return 0, false
	}
	if s == Free && p.unused.has(n) {
		return 0, true
	}
	return p.sets.key(uint32(n), s)
}

// Oldest returns the address with the least key in Free (used ones only), Offered
// or Declined; among equal keys the lowest address.
func (p *Pool) Oldest(s State) (a dhcp4.Addr, key int64, ok bool) {
	n, key, ok := p.sets.least(s)
	if !ok {
		return 0, 0, false
	}
	return p.At(uint64(n)), key, true
}

// OldestBut is Oldest of all addresses but one; but may be 0.
func (p *Pool) OldestBut(s State, but dhcp4.Addr) (a dhcp4.Addr, key int64, ok bool) {
	if a, key, ok = p.Oldest(s); !ok || a != but {
		return a, key, ok
	}
	n, key, ok := p.sets.second(s)
	if !ok {
		return 0, 0, false
	}
	return p.At(uint64(n)), key, true
}

// Freed walks the used free addresses in the order of Oldest, longest free first,
// without taking them: the candidates for a ready list once no never-used address
// is left. The first k cost O(k log k), however many there are. The pool must not
// change during the walk.
func (p *Pool) Freed(yield func(a dhcp4.Addr, key int64) bool) {
	h := &p.sets.heaps[Free]
	if len(h.entries) == 0 {
		return
	}
	// A small heap of places in the heap: each place is there once its parent has
	// been walked, so the least of them is the next of all.
	f := append(p.walk[:0], 0)
	for len(f) > 0 {
		i := f[0]
		f = h.popPlace(f)
		for c := 4*i + 1; c <= 4*i+4 && int(c) < len(h.entries); c++ {
			f = h.pushPlace(f, c)
		}
		e := h.entries[i]
		if !yield(p.At(uint64(p.sets.nodes[e.node].n)), e.key) {
			break
		}
	}
	p.walk = f[:0]
}
