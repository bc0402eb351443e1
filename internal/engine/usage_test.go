//go:build !race

package engine_test

import (
	"bytes"
	"os"
	"runtime"
	"testing"
	"time"

	"lessor/internal/checker"
	"lessor/internal/store/memory"
	"lessor/internal/trace"
)

// TestUsageAfterLoad is L3 on the whole engine: when load stops, goroutines, descriptors
// and heap are what they were. The load is clients that come, renew and stay, and strangers who
// ask and are never seen again.
func TestUsageAfterLoad(t *testing.T) {
	w := newWorld(t, memory.New())
	var entries []trace.Entry
	usage := func(start bool) *trace.Usage {
		heap := uint64(1 << 62)
		for range 5 { // the log is written behind, into memory of the test's
			w.lines.mu.Lock()
			w.lines.b = bytes.Buffer{}
			w.lines.mu.Unlock()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			heap = min(heap, m.HeapAlloc)
			time.Sleep(10 * time.Millisecond)
		}
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		u := &trace.Usage{Goroutines: runtime.NumGoroutine(), FDs: len(fds), Heap: heap, Idle: true, Start: start}
		entries = append(entries, trace.Entry{T: int64(len(entries)), Host: "server", Body: u})
		return u
	}
	load := func(round int) {
		for i := range 50 {
			c := w.client(i)
			c.bind()
			c.ep.Unplug()
		}
		for i := range 200 {
			c := w.client(1000 + round*1000 + i)
			c.discover()
			c.ep.Unplug()
		}
		w.status() // all of it is handled
		w.clock.advance(10 * time.Second)
	}
	busy := func(from int) {
		for round := range 20 {
			load(from + round)
		}
		for range 7 {
			w.clock.advance(10 * time.Second)
			w.status()
		}
	}
	busy(0) // leases that stay are no leak, nor are tables that serve the next load
	first := usage(true)
	busy(20)
	last := usage(false)
	t.Logf("goroutines %d to %d, descriptors %d to %d, heap %d to %d kB", first.Goroutines, last.Goroutines, first.FDs, last.FDs, first.Heap>>10, last.Heap>>10)
	for _, b := range checker.Check(entries) {
		t.Error(b)
	}
}
