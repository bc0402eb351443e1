package pool

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"lessor/dhcp4"
)

const ten = dhcp4.Addr(10 << 24)

// filled is a pool of 2^bits addresses of which the given share is taken, at random.
func filled(bits int, share float64) *Pool {
	n := 1 << bits
	p := New(dhcp4.Range{First: ten, Last: ten + dhcp4.Addr(n-1)})
	free := max(1, n-int(share*float64(n)+0.5))
	// Take all of it at once and give random ones back: the same, and quicker.
	p.MoveRange(dhcp4.Range{First: ten, Last: ten + dhcp4.Addr(n-1)}, Free, Bound)
	rnd := rand.New(rand.NewPCG(1, 2))
	for p.Count(Free) < uint64(free) {
		if a := ten + dhcp4.Addr(rnd.Uint64N(uint64(n))); !p.IsUnused(a) {
			p.Move(a, Bound, Free, 0)
		}
	}
	return p
}

// takeReturn takes the never-used address nearest to a hashed start and gives it
// back, as an offer does that is never taken up.
func takeReturn(b *testing.B, p *Pool) {
	h := uint64(1)
	b.ReportAllocs()
	for b.Loop() {
		h = h*0xd1342543de82ef95 + 1
		a, ok := p.NextUnused(p.At((h >> 32) * p.Size() >> 32))
		if !ok {
			b.Fatal("nothing free")
		}
		p.Move(a, Free, Bound, 0)
		p.Move(a, Bound, Free, 0)
	}
}

// The cost on a /8 must be within twice that on a /24, both 99.9 % full (P8).
func BenchmarkTakeReturn(b *testing.B) {
	for _, bits := range []int{8, 16, 24} {
		p := filled(bits, 0.999)
		b.Run(fmt.Sprintf("slash%d/full=99.9%%", 32-bits), func(b *testing.B) { takeReturn(b, p) })
	}
	p := filled(24, 1)
	b.Run("slash8/one-free", func(b *testing.B) { takeReturn(b, p) })
}

// The cost in a /16 must not grow with the share that is taken (P8).
func BenchmarkAllocate(b *testing.B) {
	for _, share := range []float64{0, 0.5, 0.9, 0.99, 0.999} {
		p := filled(16, share)
		b.Run(fmt.Sprintf("slash16/taken=%g%%", share*100), func(b *testing.B) { takeReturn(b, p) })
	}
}

// The life of an address once none is left that was never used: the longest free one
// is offered, bound, and free again later, among n others.
func BenchmarkReuse(b *testing.B) {
	for _, n := range []int{256, 65536, 1 << 20} {
		b.Run(fmt.Sprintf("free=%d", n), func(b *testing.B) {
			p := New(dhcp4.Range{First: ten, Last: ten + dhcp4.Addr(n-1)})
			for i, j := range rand.New(rand.NewPCG(1, 2)).Perm(n) {
				p.Move(ten+dhcp4.Addr(j), Free, Free, int64(i+1))
			}
			key := int64(n)
			b.ReportAllocs()
			for b.Loop() {
				a, _, _ := p.Oldest(Free)
				key++
				p.Move(a, Free, Offered, key)
				p.Move(a, Offered, Bound, 0)
				p.Move(a, Bound, Free, key)
			}
		})
	}
}

// Filling a ready list from used addresses: the first 64 of a million.
func BenchmarkFreedFirst64(b *testing.B) {
	const n = 1 << 20
	p := New(dhcp4.Range{First: ten, Last: ten + n - 1})
	for i, j := range rand.New(rand.NewPCG(1, 2)).Perm(n) {
		p.Move(ten+dhcp4.Addr(j), Free, Free, int64(i+1))
	}
	b.ReportAllocs()
	for b.Loop() {
		left := ReadySize
		for range p.Freed {
			if left--; left == 0 {
				break
			}
		}
	}
}

func BenchmarkReadyTakeAdd(b *testing.B) {
	var r Ready
	for i := range ReadySize {
		r.Add(ten+dhcp4.Addr(i*977), 1, 0)
	}
	h := dhcp4.Addr(1)
	b.ReportAllocs()
	for b.Loop() {
		h = h*1664525 + 1013904223
		a, _ := r.Take(h)
		r.Add(a, 1, 0)
	}
}

// An empty /8: how long it takes to make and how much heap.
func BenchmarkNewSlash8(b *testing.B) {
	var p *Pool
	before := liveHeap()
	for b.Loop() {
		p = New(dhcp4.Range{First: ten, Last: ten + 1<<24 - 1})
	}
	b.ReportMetric(float64(liveHeap()-before)/(1<<20), "MiB")
	if p.Size() != 1<<24 {
		b.Fatal(p.Size())
	}
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
