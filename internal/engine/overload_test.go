package engine_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/engine"
	"lessor/internal/store"
	"lessor/internal/store/memory"
)

// TestStuckDisk is I22: while a commit hangs, what waits for it is bounded. Beyond
// the bound messages are dropped and counted, and all is well when the disk answers.
func TestStuckDisk(t *testing.T) {
	const held = 8192 // hold.go
	st := &gate{Store: memory.New()}
	w := prepare(t)
	bound(t, st, w.clock.Now())
	st.hold = make(chan struct{})
	w.clock.advance(200 * time.Second) // with more left, overload alone would be answered without a write
	g := newGenerator(w.clock)
	w.start(st, func(c *engine.Config) { c.Net, c.Policy = g, mustPolicy(t, benchConfig) })
	const asked = 2 * benchClients
	for range asked / 64 {
		g.ready <- 64
	}
	w.eventually("all have been received", func() bool {
		s := w.status()
		return s.Counters.Received[dhcp4.Request]+s.Shed == asked
	})
	s := w.status()
	if s.Waiting > 2*held || s.Shed == 0 {
		t.Errorf("%d replies wait and %d messages were dropped; at most %d may wait", s.Waiting, s.Shed, 2*held)
	}
	w.eventually("OVERLOAD", w.logged("OVERLOAD"))
	close(st.hold)
	w.eventually("nothing waits", func() bool { return w.status().Waiting == 0 })
	w.eventually("OVERLOAD_ENDED", func() bool { w.clock.advance(time.Second); return w.count("OVERLOAD_ENDED") == 1 })
	if w.count("OVERLOAD") != 1 {
		t.Errorf("log: %v", w.lines.ids(t))
	}
}

// damaged is a store that lost records before it was opened.
type damaged struct {
	store.Store
	recovered atomic.Bool
}

func (d *damaged) Recovery() store.Recovery {
	return store.Recovery{Careful: true, What: "a test says so", Kept: 1, Lost: 2}
}

func (d *damaged) Recovered(ctx context.Context) error {
	d.recovered.Store(true)
	return d.Store.Recovered(ctx)
}

// TestCareful is I16: over a damaged store the server is careful for one longest
// finite lease, says so, and adopts a client that it does not know.
func TestCareful(t *testing.T) {
	st := &damaged{Store: memory.New()}
	w := newWorld(t, st)
	if c := w.status().Careful; c != 600*time.Second {
		t.Errorf("careful for %v, want one lease", c)
	}
	w.eventually("STORE_DAMAGED", w.logged("STORE_DAMAGED"))
	c := w.client(1)
	addr := dhcp4.MustParseAddr("192.0.2.150")
	c.renew(addr) // an address of which nothing is known
	if m := c.expect(dhcp4.Ack); m.addr != addr {
		t.Errorf("got %v, want the address of the client", m)
	}
	w.clock.advance(599 * time.Second)
	if err := w.engine.Ping(t.Context()); err != nil || st.recovered.Load() {
		t.Errorf("careful mode ended too soon (%v)", err)
	}
	w.clock.advance(2 * time.Second)
	w.eventually("careful mode is over", st.recovered.Load)
	if c := w.status().Careful; c != 0 {
		t.Errorf("still careful for %v", c)
	}
}
