package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"lessor/dhcp4"
	"lessor/internal/engine"
	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/store"
	"lessor/internal/store/memory"
	"lessor/internal/store/pebble"
)

// gate is a store whose commits wait, fail or panic as a test says.
type gate struct {
	store.Store
	commits atomic.Int64
	hold    chan struct{} // not nil: each commit takes one value first
	broken  atomic.Bool   // commits and new stores fail
	panics  atomic.Bool   // the next commit panics
	failed  bool          // of the committer: only Recreate helps
}

var errDisk = errors.New("no space left on device")

func (g *gate) Commit(ctx context.Context, m lease.Mark, cs []lease.Change, res []store.Result) error {
	if g.hold != nil && len(cs) > 0 {
		<-g.hold
	}
	if g.panics.CompareAndSwap(true, false) {
		g.failed = true
		panic("a commit that panics")
	}
	if g.failed || g.broken.Load() {
		g.failed = true
		for i := range res {
			res[i].Outcome = store.Failed
		}
		return errors.Join(store.ErrBroken, errDisk)
	}
	if len(cs) > 0 {
		g.commits.Add(1)
	}
	return g.Store.Commit(ctx, m, cs, res)
}

func (g *gate) Recreate(ctx context.Context, m lease.Mark, next func([]lease.Binding) (int, error)) error {
	if g.broken.Load() {
		return errDisk
	}
	err := g.Store.Recreate(ctx, m, next)
	if err == nil {
		g.failed = false
	}
	return err
}

// records reads all records of a store.
func records(t testing.TB, st store.Store) map[dhcp4.Addr]lease.Binding {
	t.Helper()
	out := map[dhcp4.Addr]lease.Binding{}
	if _, err := st.Load(t.Context(), nil, func(bs []lease.Binding) error {
		for _, b := range bs {
			b.HW, b.ClientID = slices.Clone(b.HW), slices.Clone(b.ClientID)
			out[b.Addr] = b
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDurable: when an ACK has been read, a power cut does not lose the lease (I2):
// the disk is copied as it would be after one, and a new server answers from it.
func TestDurable(t *testing.T) {
	disk := vfs.NewCrashableMem()
	st, err := pebble.Open("/state/db", pebble.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, st)
	c := w.client(1)
	addr := c.bind()
	cut := disk.CrashClone(vfs.CrashCloneCfg{})

	again, err := pebble.Open("/state/db", pebble.Options{FS: cut})
	if err != nil {
		t.Fatal(err)
	}
	w2 := newWorld(t, again)
	c2 := w2.client(1)
	c2.renew(addr)
	if m := c2.expect(dhcp4.Ack); m.addr != addr {
		t.Fatalf("after the cut %v, want an ACK of %s", m, addr)
	}
	other := w2.client(2)
	if got := other.bind(); got == addr {
		t.Fatalf("%s was given to another client", addr)
	}
	w2.eventually("two leases are logged", func() bool { return w2.count("LEASE_ACK") == 2 })
}

// TestAckWaits: an ACK waits for its commit, an OFFER for nothing, and while one
// commit is under way all others gather for the next (group commit).
func TestAckWaits(t *testing.T) {
	st := &gate{Store: memory.New(), hold: make(chan struct{})}
	w := newWorld(t, st)
	first := w.client(1)
	first.discover()
	first.request(first.expect(dhcp4.Offer).addr)
	first.silent("its lease is not durable")

	var rest []*client
	for i := range 20 {
		c := w.client(10 + i)
		c.discover()
		c.request(c.expect(dhcp4.Offer).addr)
		rest = append(rest, c)
	}
	rest[7].silent("its lease is not durable")
	st.hold <- struct{}{}
	first.expect(dhcp4.Ack)
	rest[7].silent("only the first commit is done")
	close(st.hold)
	for _, c := range rest {
		c.expect(dhcp4.Ack)
	}
	if n := st.commits.Load(); n != 2 {
		t.Errorf("%d commits for 21 clients, want 2", n)
	}
}

// TestStoreFails is I17: no ACK that is not durable, holders get what is left of
// their lease, new clients nothing, the reason is logged once, and service resumes
// by itself.
func TestStoreFails(t *testing.T) {
	st := &gate{Store: memory.New()}
	w := newWorld(t, st)
	holder, late := w.client(1), w.client(2)
	addr := holder.bind()
	late.discover()
	offered := late.expect(dhcp4.Offer).addr
	w.clock.advance(100 * time.Second) // the offer is gone, the lease has 500 s
	w.eventually("the mark of this minute", func() bool { return st.Mark().M == w.clock.Now().M })

	st.broken.Store(true)
	holder.renew(addr)
	holder.silent("its renewal failed")
	w.eventually("STORE_FAILED", w.logged("STORE_FAILED"))
	if s := w.status(); len(s.Problems) != 1 || !strings.Contains(s.Problems[0], errDisk.Error()) {
		t.Errorf("problems: %q", s.Problems)
	}

	w.clock.advance(50 * time.Second)
	holder.renew(addr)
	if m := holder.expect(dhcp4.Ack); m.time != 450 {
		t.Errorf("while the store fails a holder got %v, want the 450 s that are left", m)
	}
	late.request(offered)
	late.silent("the store fails")
	late.discover()
	late.silent("the store fails")
	if err := w.engine.Release(t.Context(), addr, false); !errors.Is(err, errDisk) {
		t.Errorf("Release while the store fails: %v", err)
	}

	w.clock.advance(5 * time.Second)
	w.eventually("another try", func() bool { return w.status().Problems != nil })
	st.broken.Store(false)
	w.eventually("STORE_HEALED", func() bool { w.clock.advance(time.Second); return w.count("STORE_HEALED") == 1 })
	late.bind()
	holder.renew(addr)
	if m := holder.expect(dhcp4.Ack); m.time != 600 {
		t.Errorf("after healing a holder got %v, want the full lease", m)
	}
	if n := w.count("STORE_FAILED"); n != 1 {
		t.Errorf("STORE_FAILED was logged %d times", n)
	}
	if got := records(t, st); len(got) != 2 || got[addr].Lifetime != 600 {
		t.Errorf("the new store holds %v", got)
	}
	if p := w.status().Problems; len(p) != 0 {
		t.Errorf("problems after healing: %q", p)
	}
}

// TestFailedGroupNeverLeaves: replies of the group that failed and of the one that
// gathered behind it are never sent, also not after healing.
func TestFailedGroupNeverLeaves(t *testing.T) {
	st := &gate{Store: memory.New(), hold: make(chan struct{})}
	w := newWorld(t, st)
	var cs []*client
	for i := range 10 {
		c := w.client(1 + i)
		c.discover()
		c.request(c.expect(dhcp4.Offer).addr)
		cs = append(cs, c)
	}
	w.eventually("ten replies wait", func() bool { return w.status().Waiting == 10 })
	st.broken.Store(true)
	close(st.hold)
	w.eventually("STORE_FAILED", w.logged("STORE_FAILED"))
	st.broken.Store(false)
	w.eventually("STORE_HEALED", func() bool { w.clock.advance(time.Second); return w.count("STORE_HEALED") == 1 })
	for _, c := range cs {
		c.silent("its group failed")
	}
	if got := records(t, st); len(got) != 0 {
		t.Errorf("the new store holds %v, want nothing", got)
	}
	seen := map[dhcp4.Addr]bool{}
	for _, c := range cs {
		a := c.bind()
		if seen[a] {
			t.Errorf("%s was given twice", a)
		}
		seen[a] = true
	}
}

// TestReloadUnderLoad: no packet is lost for a reload, and no binding ends (I15).
func TestReloadUnderLoad(t *testing.T) {
	w := newWorld(t, memory.New())
	const clients = 40
	var wg sync.WaitGroup
	for i := range clients {
		c := w.client(1 + i)
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			ask := func(want dhcp4.MessageType) message {
				m, err := c.reply(ctx)
				if err != nil || m.typ != want {
					t.Errorf("client %d got %v (%v), want type %d", i, m, err, want)
				}
				return m
			}
			c.discover()
			o := ask(dhcp4.Offer)
			c.request(o.addr)
			ask(dhcp4.Ack)
			for range 20 {
				c.renew(o.addr)
				if m := ask(dhcp4.Ack); m.addr != o.addr {
					t.Errorf("client %d was moved from %s to %s", i, o.addr, m.addr)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	reloads := 0
	for lifetime := 600; ; lifetime++ {
		select {
		case <-done:
			if reloads == 0 {
				t.Fatal("the load ended before the first reload")
			}
			return
		default:
		}
		yaml := strings.Replace(testConfig, "600", fmt.Sprint(lifetime), 1)
		if err := w.engine.SetPolicy(t.Context(), mustPolicy(t, yaml)); err != nil {
			t.Fatal(err)
		}
		reloads++
	}
}

// TestClockSteps is I14: steps of the wall clock of any size change no deadline.
func TestClockSteps(t *testing.T) {
	w := newWorld(t, memory.New())
	c := w.client(1)
	addr := c.bind()
	state := func() string {
		b, now, ok, err := w.engine.Lease(t.Context(), addr)
		if err != nil || !ok {
			t.Fatalf("lease of %s: %v %v", addr, ok, err)
		}
		return fmt.Sprint((b.End - now.M) / lease.Second)
	}
	const year = 365 * 24 * time.Hour
	for i, step := range []time.Duration{10 * year, -20 * year, time.Hour, -time.Hour} {
		w.clock.move(100*time.Second, step)
		if got, want := state(), fmt.Sprint(500-100*i); got != want {
			t.Errorf("after a step of %v the lease has %s s, want %s", step, got, want)
		}
		c.discover()
		if m := c.expect(dhcp4.Offer); m.addr != addr {
			t.Errorf("after a step of %v the holder was offered %s, not its %s", step, m.addr, addr)
		}
	}
	w.clock.move(199*time.Second, -year)
	if n := w.status().Pools[0]; n.Count[2] != 1 {
		t.Errorf("a second before the end the pool counts %v", n.Count)
	}
	w.clock.move(2*time.Second, -year)
	w.eventually("the lease has ended", func() bool { return w.status().Pools[0].Count[2] == 0 })
	w.clock.move(60*time.Second, 0)
	w.eventually("the address is free", func() bool { return w.status().Pools[0].Count[0] == 100 })
}

// TestPanics: a panic in whatever handles input drops that input and no more.
func TestPanics(t *testing.T) {
	st := &gate{Store: memory.New()}
	n := &trickyNet{}
	w := newWorld(t, st, withNet(n.wrap))
	w.panics = 3
	c := w.client(1)
	addr := c.bind()

	n.panicReceive.Store(true)
	c.renew(addr)
	c.silent("receiving it panicked")
	n.panicSend.Store(true)
	c.renew(addr)
	c.silent("sending the reply panicked")
	c.renew(addr)
	c.expect(dhcp4.Ack)

	w.clock.advance(20 * time.Second)
	st.panics.Store(true)
	c.renew(addr)
	c.silent("its commit panicked")
	w.eventually("STORE_HEALED", func() bool { w.clock.advance(time.Second); return w.count("STORE_HEALED") == 1 })
	c.renew(addr)
	c.expect(dhcp4.Ack)
	w.eventually("PANIC_RECOVERED", w.logged("PANIC_RECOVERED"))
}

// TestStopDrains: what was received before Stop is answered once it is durable, and
// the last mark is on disk.
func TestStopDrains(t *testing.T) {
	st := &gate{Store: memory.New(), hold: make(chan struct{})}
	w := newWorld(t, st)
	c := w.client(1)
	c.discover()
	c.request(c.expect(dhcp4.Offer).addr)
	w.eventually("a reply waits", func() bool { return w.status().Waiting == 1 })
	stopped := make(chan error)
	go func() { stopped <- w.engine.Stop(t.Context()) }()
	select {
	case err := <-stopped:
		t.Fatalf("Stop did not wait for the commit: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	w.clock.advance(7 * time.Second)
	close(st.hold)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	c.expect(dhcp4.Ack)
	if m, now := st.Mark(), w.clock.Now(); m.M != now.M {
		t.Errorf("the last mark is of %d, not of the end %d", m.M, now.M)
	}
	if err := w.engine.Ping(t.Context()); !errors.Is(err, engine.ErrStopped) {
		t.Errorf("a request after Stop: %v", err)
	}
}

// TestStopGivesUp: a disk that hangs does not hold the end up for ever, and what
// waited for it is not sent.
func TestStopGivesUp(t *testing.T) {
	st := &gate{Store: memory.New(), hold: make(chan struct{})}
	w := newWorld(t, st)
	w.stopFails = true
	c := w.client(1)
	c.discover()
	c.request(c.expect(dhcp4.Offer).addr)
	w.eventually("a reply waits", func() bool { return w.status().Waiting == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := w.engine.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Stop: %v", err)
	}
	close(st.hold)
	c.silent("the server gave up waiting")
}

// TestSlowDisk: a disk that does not answer makes health red, and is forgiven.
func TestSlowDisk(t *testing.T) {
	st := &gate{Store: memory.New(), hold: make(chan struct{})}
	w := newWorld(t, st)
	c := w.client(1)
	c.discover()
	c.request(c.expect(dhcp4.Offer).addr)
	w.eventually("a reply waits", func() bool { return w.status().Waiting == 1 })
	w.clock.advance(2 * time.Second)
	w.eventually("STORE_SLOW", w.logged("STORE_SLOW"))
	if p := w.status().Problems; len(p) != 1 || !strings.Contains(p[0], "2s") {
		t.Errorf("problems: %q", p)
	}
	close(st.hold)
	c.expect(dhcp4.Ack)
	if p := w.status().Problems; len(p) != 0 {
		t.Errorf("problems after the disk answered: %q", p)
	}
}

// TestMarks: a mark is written at least once a minute, also when nothing happens,
// and never holds a stepped wall clock.
func TestMarks(t *testing.T) {
	st := memory.New()
	w := newWorld(t, st)
	start := w.clock.Now()
	w.clock.move(55*time.Second, -1000*time.Hour)
	w.eventually("a mark", func() bool { return st.Mark().M >= start.M+50*lease.Second })
	m := st.Mark()
	if m.W-start.W != m.M-start.M {
		t.Errorf("the mark moved by %d ns on the wall and %d ns on CLOCK_BOOTTIME", m.W-start.W, m.M-start.M)
	}
}

// TestRelease: an operator's release is a durable change, and the address is held
// until the old end unless it is wanted at once.
func TestRelease(t *testing.T) {
	st := memory.New()
	w := newWorld(t, st)
	addr := w.client(1).bind()
	if err := w.engine.Release(t.Context(), addr, false); err != nil {
		t.Fatal(err)
	}
	w.eventually("the release is durable", func() bool { return records(t, st)[addr].State == lease.Released })
	if b := records(t, st)[addr]; b.Free-w.clock.Now().M < 600*lease.Second {
		t.Errorf("the address is free after %d s", (b.Free-w.clock.Now().M)/lease.Second)
	}
	if err := w.engine.Release(t.Context(), dhcp4.MustParseAddr("192.0.2.250"), false); !errors.Is(err, server.ErrNotBound) {
		t.Errorf("release of an address that nobody has: %v", err)
	}
	w.eventually("LEASE_OVERRIDDEN", w.logged("LEASE_OVERRIDDEN"))
}
