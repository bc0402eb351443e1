//go:build !race

package lease

import (
	"runtime"
	"testing"
)

const million = 1_000_000

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// P10: all of a record, indexes and wake queue included.
func TestRecordsTakeAtMost160Bytes(t *testing.T) {
	before := heap()
	tab := fill(million)
	per := float64(heap()-before) / million
	if tab.Len() != million {
		t.Fatal(tab.Len())
	}
	t.Logf("%.1f B/record", per)
	if per > 160 {
		t.Errorf("%.1f octets of heap for each of a million records, at most 160 are allowed", per)
	}
	runtime.KeepAlive(tab)
}

func TestRenewalDoesNotAllocate(t *testing.T) {
	const n = 10_000
	tab := fill(n)
	var b Binding
	i := 0
	if got := testing.AllocsPerRun(n, func() {
		b = Binding{}
		s := tab.FirstByClientID(idOf(i))
		tab.Binding(s, &b)
		b.End += hour
		b.Free += hour
		b.Rev++
		tab.Wake(tab.Put(&b), b.Free)
		i = (i + 7919) % n
	}); got != 0 {
		t.Errorf("%v allocations for a renewal", got)
	}
}

var idBuf [7]byte

func idOf(i int) []byte {
	idBuf = [7]byte{1, 2, 0, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}
	return idBuf[:]
}
