//go:build !race

package pool

import (
	"runtime"
	"testing"

	"lessor/dhcp4"
)

// P10: the free addresses of a /8 with no lease.
func TestEmptySlash8TakesAtMost4MiB(t *testing.T) {
	first := dhcp4.MustParseAddr("10.0.0.0")
	before := liveHeap()
	p := New(dhcp4.Range{First: first, Last: first + 1<<24 - 1})
	got := float64(liveHeap()-before) / (1 << 20)
	t.Logf("%.2f MiB", got)
	if got > 4 {
		t.Errorf("an empty /8 takes %.2f MiB of heap, at most 4 are allowed", got)
	}
	runtime.KeepAlive(p)
}

// An address goes round through all its states without allocating, once the sets have
// been as large before.
func TestMovesDoNotAllocate(t *testing.T) {
	p := New(dhcp4.Range{First: 1, Last: 1000})
	for a := dhcp4.Addr(1); a <= 500; a++ {
		p.Move(a, Free, Free, int64(a))
	}
	key := int64(1000)
	if n := testing.AllocsPerRun(10_000, func() {
		a, _, _ := p.Oldest(Free)
		key++
		p.Move(a, Free, Offered, key)
		p.Move(a, Offered, Bound, 0)
		p.Move(a, Bound, Held, 0)
		p.Move(a, Held, Free, key)
		u, _ := p.NextUnused(dhcp4.Addr(key % 1000))
		p.Move(u, Free, Offered, key)
		p.Move(u, Offered, Free, 0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
