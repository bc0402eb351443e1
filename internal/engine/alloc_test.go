//go:build !race

package engine_test

import (
	"runtime"
	"testing"

	"lessor/internal/store/pebble"
)

// TestAllocations is P12: at most two allocations for a durable exchange, a renewal or
// a new client's DISCOVER to ACK, in the whole process, the store's own included.
func TestAllocations(t *testing.T) {
	st, err := pebble.Open(t.TempDir()+"/db", pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := startGenerator(t, st)
	g.run(2*benchClients, 64)
	count := func(what string, n int) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		g.run(n, 64)
		runtime.ReadMemStats(&after)
		per := float64(after.Mallocs-before.Mallocs) / float64(n)
		t.Logf("%s: %.2f allocations, %.0f octets for an exchange", what, per, float64(after.TotalAlloc-before.TotalAlloc)/float64(n))
		if per > 2 {
			t.Errorf("%s: %.2f allocations for an exchange, want at most 2", what, per)
		}
	}
	count("renewals", 2*benchClients)
	g.fresh = true
	g.run(1000, 64)
	count("new clients", 15_000)
}
