package engine_test

import (
	"io"
	"log/slog"
	"runtime"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/engine"
	"lessor/internal/event"
	"lessor/internal/lease"
	"lessor/internal/store/pebble"
)

// BenchmarkStart1M is a start over a store with a million bindings (P11: at most a
// second more than over an empty one), and what one of them costs in live heap.
func BenchmarkStart1M(b *testing.B) {
	const n = 1_000_000
	dir := b.TempDir() + "/db"
	c := newClock()
	now := c.Now()
	st, err := pebble.Open(dir, pebble.Options{})
	if err != nil {
		b.Fatal(err)
	}
	mark := lease.Mark{W: now.W, M: now.M, Boot: c.BootID()}
	if err := st.Recreate(b.Context(), mark, millions(n, now)); err != nil {
		b.Fatal(err)
	}
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	log := event.NewLog(slog.NewJSONHandler(io.Discard, nil), event.Names{})
	defer log.Close()
	policy := mustPolicy(b, "interfaces: [eth0]\nvalid-lifetime: 600\nsubnets:\n  - {subnet: 198.16.0.0/12, pools: [198.16.1.0-198.31.255.254]}\n")
	live := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for b.Loop() {
		b.StopTimer()
		before := live()
		b.StartTimer()
		st, err := pebble.Open(dir, pebble.Options{})
		if err != nil {
			b.Fatal(err)
		}
		e, err := engine.Load(b.Context(), engine.Config{Clock: c, Store: st, Log: log, Policy: policy})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		b.ReportMetric(float64(live()-before)/n, "B/binding")
		runtime.KeepAlive(e)
		if err := st.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// millions yields n bindings.
func millions(n int, now lease.Instant) func([]lease.Binding) (int, error) {
	made := 0
	hw := make([][6]byte, 4096)
	return func(out []lease.Binding) (k int, err error) {
		for ; k < len(out) && k < len(hw) && made < n; k++ {
			hw[k] = [6]byte{6, 0, byte(made >> 24), byte(made >> 16), byte(made >> 8), byte(made)}
			w := now.W / lease.Second
			b := lease.Binding{Addr: dhcp4.MustParseAddr("198.16.1.0") + dhcp4.Addr(made), State: lease.Bound, HType: 1, HW: hw[k][:],
				Lifetime: 600, Grace: 10, Start: w, Renewed: w, Until: w + 600, Boot: lease.BootID{1}, Rev: uint64(made + 1)}
			b.End, b.Free = lease.Deadlines(now.M, 600, 10)
			out[k] = b
			made++
		}
		return k, nil
	}
}
