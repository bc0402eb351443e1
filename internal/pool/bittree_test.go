package pool

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// The tree against a sorted list, at sizes of one to four levels and at the edges of
// words, with few members, so that searches climb.
func TestBitTreeIsASet(t *testing.T) {
	for _, size := range []uint64{1, 63, 64, 65, 4096, 4097, 262_144, 262_145, 1<<24 - 1} {
		t.Run(fmt.Sprint(size), func(t *testing.T) { testBitTree(t, size) })
	}
}

func testBitTree(t *testing.T, size uint64) {
	tree := newBitTree(size)
	if n := tree.count(0, size-1); n != size {
		t.Fatalf("%d members at first", n)
	}
	tree.fill(0, size-1, false)
	if i, ok := tree.next(0); ok {
		t.Fatalf("%d is still a member", i)
	}
	var members []uint64 // sorted
	rnd := rand.New(rand.NewPCG(size, 1))
	near := func() uint64 { // often at the edge of a word of some level
		i := rnd.Uint64N(size)
		if rnd.IntN(2) == 0 {
			i = i >> (6 * rnd.IntN(4)) << (6 * rnd.IntN(4))
			i += uint64(rnd.IntN(3)) - 1
		}
		return min(i, size-1)
	}
	for range 3000 {
		i := near()
		at, there := slices.BinarySearch(members, i)
		switch op := rnd.IntN(10); {
		case op < 4 && !there:
			tree.set(i)
			members = slices.Insert(members, at, i)
		case op < 7 && there:
			tree.clear(i)
			members = slices.Delete(members, at, at+1)
		case op == 7: // a range that is empty becomes full, one that is not becomes empty
			hi := min(size-1, i+uint64(rnd.IntN(200)))
			to, _ := slices.BinarySearch(members, hi+1)
			if n := tree.count(i, hi); n != uint64(to-at) {
				t.Fatalf("%d members from %d to %d, want %d", n, i, hi, to-at)
			}
			full := at == to
			tree.fill(i, hi, full)
			members = slices.Delete(members, at, to)
			for j := hi; full && j+1 > i; j-- {
				members = slices.Insert(members, at, j)
			}
		}
		from := near()
		at, there = slices.BinarySearch(members, from)
		if tree.has(from) != there {
			t.Fatalf("has %d: %v", from, !there)
		}
		got, ok := tree.next(from)
		if ok != (at < len(members)) || ok && got != members[at] {
			t.Fatalf("next from %d: %d %v, want it at %d of %d members", from, got, ok, at, len(members))
		}
	}
	if _, ok := tree.next(size); ok {
		t.Error("a member beyond the end")
	}
	for _, i := range members {
		tree.clear(i)
	}
	for k, l := range tree.levels {
		if slices.ContainsFunc(l, func(w uint64) bool { return w != 0 }) {
			t.Errorf("level %d of an empty set is not empty", k)
		}
	}
}
