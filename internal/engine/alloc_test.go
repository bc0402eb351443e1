//go:build !race

package engine_test

import (
	"runtime"
	"testing"

	"lessor/internal/store/pebble"
)

// TestAllocations is P12: at most two allocations for a durable exchange in the
// whole process, the store's own included.
func TestAllocations(t *testing.T) {
	st, err := pebble.Open(t.TempDir()+"/db", pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := startGenerator(t, st)
	g.run(2*benchClients, 64)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const n = 2 * benchClients
	g.run(n, 64)
	runtime.ReadMemStats(&after)
	per := float64(after.Mallocs-before.Mallocs) / n
	t.Logf("%.2f allocations, %.0f octets for an exchange", per, float64(after.TotalAlloc-before.TotalAlloc)/n)
	if per > 2 {
		t.Errorf("%.2f allocations for an exchange, want at most 2", per)
	}
}
