package lease

import (
	"runtime"
	"testing"
)

// A renewal: find the record by the client's identifier, read it, put it with new
// deadlines, set its wake time. In random order, so that nothing is in a cache.
func BenchmarkRenewal1M(b *testing.B) {
	const n = 1_000_000
	tab := fill(n)
	runtime.GC()
	var x Binding
	id := make([]byte, 7)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i = (i + 611_953) % n
		copy(id, []byte{1, 2, 0, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		tab.Binding(tab.FirstByClientID(id), &x)
		x.End += Second
		x.Free += Second
		x.Rev++
		tab.Wake(tab.Put(&x), x.Free)
	}
}

// Put alone of a record that exists.
func BenchmarkTablePut1M(b *testing.B) {
	const n = 1_000_000
	tab := fill(n)
	runtime.GC()
	x := numbered(0)
	id := make([]byte, 7)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i = (i + 611_953) % n
		copy(id, []byte{1, 2, 0, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		x.Addr, x.HW, x.ClientID = numberedAddr(i), id[1:], id
		x.Rev++
		tab.Put(&x)
	}
}

// New records into an empty table, all costs of growth included.
func BenchmarkTableFill1M(b *testing.B) {
	const n = 1_000_000
	var tab *Table
	before := liveHeap()
	for b.Loop() {
		tab = fill(n)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
	b.ReportMetric(float64(liveHeap()-before)/n, "B/record")
	runtime.KeepAlive(tab)
}

// Every record due once, with the order kept.
func BenchmarkDue1M(b *testing.B) {
	const n = 1_000_000
	tab := fill(n)
	b.ReportAllocs()
	now := int64(0)
	for b.Loop() {
		at, _ := tab.NextWake()
		now = at
		s, ok := tab.Due(now)
		if !ok {
			b.Fatal("nothing due")
		}
		tab.Wake(s, now+hour)
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
