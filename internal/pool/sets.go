package pool

import (
	"hash/maphash"
	"math/bits"
)

// sets are the ordered sets of a pool: used free, offered and declined addresses,
// each a heap with four children a node, over one slab of nodes and one index by
// address number. A number is in at most one of them.
type sets struct {
	heaps [NumStates]heap // Free, Offered and Declined are used
	nodes []node
	spare uint32 // chain of unused nodes, linked by pos; node 0 is none

	index []uint32 // open addressing by number: node, 0 empty; at most 3/4 full
	shift uint
	used  int
	seed  uint64
}

type node struct {
	n     uint32 // number of the address in the pool
	pos   uint32 // place in its heap
	state State
}

type heap struct{ entries []heapEntry }

type heapEntry struct {
	key  int64
	node uint32
	n    uint32 // of the node, for ties
}

func (e heapEntry) before(f heapEntry) bool { return e.key < f.key || e.key == f.key && e.n < f.n }

func (s *sets) init() {
	s.nodes = make([]node, 1, 8)
	s.index = make([]uint32, 8)
	s.shift = 64 - 3
	s.seed = maphash.Bytes(maphash.MakeSeed(), []byte("pool"))
}

// home is where n belongs in the index. The secret keeps clients that choose
// addresses from choosing collisions; no answer depends on it.
func (s *sets) home(n uint32) uint32 {
	hi, lo := bits.Mul64(uint64(n)^s.seed, 0x9e3779b97f4a7c15)
	return uint32(((hi ^ lo) * 0xd6e8feb86659fd93) >> s.shift)
}

// find returns the place of n in the index, or the empty one where it would go.
func (s *sets) find(n uint32) uint32 {
	wrap := uint32(len(s.index) - 1)
	i := s.home(n)
	for s.index[i] != 0 && s.nodes[s.index[i]].n != n {
		i = (i + 1) & wrap
	}
	return i
}

func (s *sets) has(n uint32) bool { return s.index[s.find(n)] != 0 }

func (s *sets) key(n uint32, st State) (int64, bool) {
	id := s.index[s.find(n)]
	if id == 0 || s.nodes[id].state != st {
		return 0, false
	}
	return s.heaps[st].entries[s.nodes[id].pos].key, true
}

func (s *sets) least(st State) (n uint32, key int64, ok bool) {
	h := &s.heaps[st]
	if len(h.entries) == 0 {
		return 0, 0, false
	}
	return h.entries[0].n, h.entries[0].key, true
}

// second is the entry after least: one of the places below the root.
func (s *sets) second(st State) (n uint32, key int64, ok bool) {
	h := &s.heaps[st]
	if len(h.entries) < 2 {
		return 0, 0, false
	}
	e := h.entries[1]
	for _, x := range h.entries[2:min(len(h.entries), 5)] {
		if x.before(e) {
			e = x
		}
	}
	return e.n, e.key, true
}

// insert puts n, which is in no set, into that of st.
func (s *sets) insert(n uint32, st State, key int64) {
	if 4*(s.used+1) > 3*len(s.index) {
		s.growIndex()
	}
	id := s.spare
	if id != 0 {
		s.spare = s.nodes[id].pos
	} else {
		id = uint32(len(s.nodes))
		s.nodes = append(s.nodes, node{})
	}
	s.nodes[id] = node{n: n, state: st}
	s.index[s.find(n)] = id
	s.used++
	h := &s.heaps[st]
	h.entries = append(h.entries, heapEntry{})
	s.up(h, uint32(len(h.entries)-1), heapEntry{key, id, n})
}

// remove takes n out of the set of st and reports whether it was there.
func (s *sets) remove(n uint32, st State) bool {
	at := s.find(n)
	id := s.index[at]
	if id == 0 || s.nodes[id].state != st {
		return false
	}
	s.close(at)
	s.used--

	h, i := &s.heaps[st], s.nodes[id].pos
	last := h.entries[len(h.entries)-1]
	h.entries = h.entries[:len(h.entries)-1]
	switch {
	case int(i) == len(h.entries):
	case i > 0 && last.before(h.entries[(i-1)/4]):
		s.up(h, i, last)
	default:
		s.down(h, i, last)
	}
	s.nodes[id] = node{pos: s.spare}
	s.spare = id
	return true
}

// close empties place i of the index and moves later entries up, so that no search
// meets a gap before its end.
func (s *sets) close(i uint32) {
	wrap := uint32(len(s.index) - 1)
	for j := (i + 1) & wrap; s.index[j] != 0; j = (j + 1) & wrap {
		home := s.home(s.nodes[s.index[j]].n)
		if (j-home)&wrap >= (j-i)&wrap { // its way from home leads over i
			s.index[i] = s.index[j]
			i = j
		}
	}
	s.index[i] = 0
}

func (s *sets) growIndex() {
	old := s.index
	s.index = make([]uint32, 2*len(old))
	s.shift--
	for _, id := range old {
		if id != 0 {
			s.index[s.find(s.nodes[id].n)] = id
		}
	}
}

func (s *sets) up(h *heap, i uint32, e heapEntry) {
	for i > 0 {
		parent := (i - 1) / 4
		p := h.entries[parent]
		if !e.before(p) {
			break
		}
		h.entries[i] = p
		s.nodes[p.node].pos = i
		i = parent
	}
	h.entries[i] = e
	s.nodes[e.node].pos = i
}

func (s *sets) down(h *heap, i uint32, e heapEntry) {
	n := uint32(len(h.entries))
	for {
		child := 4*i + 1
		if child >= n {
			break
		}
		least := child
		for c := child + 1; c < min(child+4, n); c++ {
			if h.entries[c].before(h.entries[least]) {
				least = c
			}
		}
		p := h.entries[least]
		if !p.before(e) {
			break
		}
		h.entries[i] = p
		s.nodes[p.node].pos = i
		i = least
	}
	h.entries[i] = e
	s.nodes[e.node].pos = i
}

// pushPlace and popPlace keep f, places in h, as a binary heap by what stands there.
func (h *heap) pushPlace(f []uint32, place uint32) []uint32 {
	f = append(f, place)
	i := len(f) - 1
	for i > 0 && h.entries[place].before(h.entries[f[(i-1)/2]]) {
		f[i] = f[(i-1)/2]
		i = (i - 1) / 2
	}
	f[i] = place
	return f
}

func (h *heap) popPlace(f []uint32) []uint32 {
	last := f[len(f)-1]
	f = f[:len(f)-1]
	if len(f) == 0 {
		return f
	}
	i := 0
	for {
		c := 2*i + 1
		if c >= len(f) {
			break
		}
		if c+1 < len(f) && h.entries[f[c+1]].before(h.entries[f[c]]) {
			c++
		}
		if !h.entries[f[c]].before(h.entries[last]) {
			break
		}
		f[i] = f[c]
		i = c
	}
	f[i] = last
	return f
}
