package pool

import "math/bits"

// bitTree is a set of the integers below a bound: one bit each, and above them
// levels of one bit for each word that is not zero. A search looks at two words a
// level, so a /8 (four levels) costs about what a /24 (two) does, at any fill.
type bitTree struct {
	levels [][]uint64 // levels[0] holds the members
}

// newBitTree returns the set of all integers below n.
func newBitTree(n uint64) bitTree {
	var t bitTree
	for {
		words := (n + 63) / 64
		level := make([]uint64, words)
		for i := range level {
			level[i] = ^uint64(0)
		}
		if n%64 != 0 {
			level[words-1] = 1<<(n%64) - 1
		}
		t.levels = append(t.levels, level)
		if words <= 1 {
			return t
		}
		n = words
	}
}

func (t *bitTree) has(i uint64) bool { return t.levels[0][i/64]>>(i%64)&1 != 0 }

func (t *bitTree) set(i uint64) {
	for _, l := range t.levels {
		w := &l[i/64]
		was := *w
		*w |= 1 << (i % 64)
		if was != 0 {
			return
		}
		i /= 64
	}
}

func (t *bitTree) clear(i uint64) {
	for _, l := range t.levels {
		w := &l[i/64]
		*w &^= 1 << (i % 64)
		if *w != 0 {
			return
		}
		i /= 64
	}
}

// next returns the least member that is at least i.
func (t *bitTree) next(i uint64) (uint64, bool) {
	if i/64 >= uint64(len(t.levels[0])) {
		return 0, false
	}
	up := 0
	if len(t.levels) > 1 && t.levels[1][i/4096]>>(i/64%64)&1 == 0 {
		// The word of i is empty, as most are in a pool that is nearly full; the level
		// above says so from a cache line that is far more likely at hand.
		up, i = 1, i/64
	}
	for ; up < len(t.levels); up++ {
		l, w := t.levels[up], i/64
		if w >= uint64(len(l)) {
			return 0, false
		}
		if rest := l[w] >> (i % 64); rest != 0 {
			i += uint64(bits.TrailingZeros64(rest))
			for up > 0 {
				up--
				i = i*64 + uint64(bits.TrailingZeros64(t.levels[up][i]))
			}
			return i, true
		}
		i = w + 1
	}
	return 0, false
}

// mask is the bits of word w that lie in lo to hi.
func mask(w, lo, hi uint64) uint64 {
	m := ^uint64(0)
	if w == lo/64 {
		m &= ^uint64(0) << (lo % 64)
	}
	if w == hi/64 {
		m &= ^uint64(0) >> (63 - hi%64)
	}
	return m
}

// count returns the number of members from lo to hi, both included.
func (t *bitTree) count(lo, hi uint64) (n uint64) {
	for w := lo / 64; w <= hi/64; w++ {
		n += uint64(bits.OnesCount64(t.levels[0][w] & mask(w, lo, hi)))
	}
	return n
}

// fill makes all of lo to hi members, or none.
func (t *bitTree) fill(lo, hi uint64, member bool) {
	for w := lo / 64; w <= hi/64; w++ {
		if member {
			t.levels[0][w] |= mask(w, lo, hi)
		} else {
			t.levels[0][w] &^= mask(w, lo, hi)
		}
	}
	for k := 1; k < len(t.levels); k++ {
		below := t.levels[k-1]
		lo, hi = lo/64, hi/64
		for i := lo; i <= hi; i++ {
			if below[i] != 0 {
				t.levels[k][i/64] |= 1 << (i % 64)
			} else {
				t.levels[k][i/64] &^= 1 << (i % 64)
			}
		}
	}
}
