package storetest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
)

func testEmpty(t *testing.T, f Factory) {
	between(t, f, func(t *testing.T, c *session, step func()) {
		c.want()
		if m := c.s.Mark(); m != (lease.Mark{}) {
			t.Errorf("mark of a fresh store: %+v", m)
		}
		if r := c.s.Recovery(); r != (store.Recovery{}) {
			t.Errorf("a first start is no lost store: %+v", r)
		}
		step()
		c.want()
		if r := c.s.Recovery(); r != (store.Recovery{}) {
			t.Errorf("an empty store is no lost store: %+v", r)
		}
		if _, err := c.s.Alive(ctx); err != nil {
			t.Errorf("Alive: %v", err)
		}
	})
}

// extremes are bindings at the limits of each field.
func extremes() []lease.Binding {
	least := lease.Binding{Addr: 1, State: lease.Bound}
	most := lease.Binding{
		Addr: dhcp4.Broadcast, State: lease.Declined, HType: 255,
		HW: bytes.Repeat([]byte{0xff}, 16), ClientID: bytes.Repeat([]byte{0xfe}, 255),
		Hostname: bytes.Repeat([]byte{0}, 255), GIAddr: dhcp4.Broadcast,
		Agent: bytes.Repeat([]byte{0xfd}, 255), Lifetime: lease.Infinite, Grace: math.MaxUint32,
		Start: math.MaxInt64, Renewed: math.MinInt64, Until: math.MaxInt64,
		End: math.MaxInt64, Free: math.MinInt64, Rev: math.MaxUint64,
	}
	for i := range most.Boot {
		most.Boot[i] = byte(255 - i)
	}
	past := Binding(Net(1), 1, math.MinInt64, 1)
	past.Renewed, past.Until, past.End, past.Free = math.MinInt64, math.MinInt64, math.MinInt64, math.MaxInt64
	forever := Binding(Net(2), 2, T0, 2)
	forever.Lifetime, forever.Until, forever.End, forever.Free = lease.Infinite, math.MaxInt64, math.MaxInt64, math.MaxInt64
	released := Binding(Net(3), 3, T0, 3)
	released.State = lease.Released
	return []lease.Binding{least, past, forever, released, most}
}

func testRoundTrip(t *testing.T, f Factory) {
	between(t, f, func(t *testing.T, c *session, step func()) {
		bs := extremes()
		// In no order: the store orders them.
		c.put(bs[3], bs[0], bs[4])
		step()
		c.put(bs[2], bs[1])
		step()
		c.want(bs...)
		renewed := Copy(&bs[2])
		renewed.Hostname, renewed.Rev = []byte("another"), 9
		bs[2] = renewed
		c.put(renewed)
		step()
		c.want(bs...)
	})
}

func testRanges(t *testing.T, f Factory) {
	c := open(t, f)
	var all []lease.Binding
	for i := range 50 {
		all = append(all, Binding(Net(i), i, T0, uint64(i)))
	}
	c.put(all...)
	for _, q := range []struct {
		in   []dhcp4.Range
		want []lease.Binding
	}{
		{nil, all},
		{[]dhcp4.Range{}, nil},
		{[]dhcp4.Range{{First: Net(3), Last: Net(2)}}, nil},
		{[]dhcp4.Range{{First: Net(10), Last: Net(12)}}, all[10:13]},
		{[]dhcp4.Range{{First: Net(40), Last: dhcp4.Broadcast}, {First: 0, Last: Net(1)}}, append(append([]lease.Binding{}, all[:2]...), all[40:]...)},
		{[]dhcp4.Range{{First: Net(5), Last: Net(9)}, {First: Net(7), Last: Net(11)}, {First: Net(8), Last: Net(8)}}, all[5:12]},
	} {
		if d := diff(q.want, c.load(q.in)); d != "" {
			t.Errorf("ranges %v (-want +got):\n%s", q.in, d)
		}
	}
}

func testReplay(t *testing.T, f Factory) {
	between(t, f, func(t *testing.T, c *session, step func()) {
		b := Binding(Net(1), 1, T0, 1)
		ch := lease.Change{After: b}
		c.commit(ch)
		step()
		c.commit(ch, ch)
		c.want(b)
		step()
		c.want(b)
	})
}

func testDelete(t *testing.T, f Factory) {
	between(t, f, func(t *testing.T, c *session, step func()) {
		a, b := Binding(Net(1), 1, T0, 1), Binding(Net(2), 2, T0, 2)
		c.put(a, b)
		step()
		c.commit(lease.Change{Before: a, After: lease.Binding{Addr: a.Addr, Rev: 3}})
		c.want(b)
		step()
		c.want(b)
		// What is not there can be deleted, and what was can come back.
		c.commit(lease.Change{After: lease.Binding{Addr: Net(9)}}, lease.Change{Before: b})
		step()
		c.want()
		again := Binding(Net(1), 7, T0+10, 4)
		c.put(again)
		step()
		c.want(again)
	})
}

func testCompareOnly(t *testing.T, f Factory) {
	between(t, f, func(t *testing.T, c *session, step func()) {
		a, b := Binding(Net(1), 1, T0, 1), Binding(Net(2), 2, T0, 2)
		c.put(a)
		c.commit(lease.Change{CompareOnly: true, Before: a})
		c.want(a)
		// It writes nothing even if it says what came after.
		c.commit(lease.Change{CompareOnly: true, Before: a, After: b}, lease.Change{CompareOnly: true, Before: lease.Binding{}})
		step()
		c.want(a)
		c.commit(lease.Change{CompareOnly: true, Before: a}, lease.Change{After: b}, lease.Change{CompareOnly: true, Before: b})
		step()
		c.want(a, b)
	})
}

func testMark(t *testing.T, f Factory) {
	between(t, f, func(t *testing.T, c *session, step func()) {
		c.now = T0 + 7
		c.commit()
		if got := c.s.Mark(); got != MarkAt(T0+7) {
			t.Errorf("mark %+v, want %+v", got, MarkAt(T0+7))
		}
		step()
		if f.Reopen != nil && c.s.Mark() != MarkAt(T0+7) {
			t.Errorf("mark after a restart: %+v", c.s.Mark())
		}
		_, before := LoadAll(t, c.s, nil)
		c.now = T0 + 9
		c.put(Binding(Net(1), 1, T0, 1))
		step()
		if got := c.s.Mark(); got != MarkAt(T0+9) {
			t.Errorf("mark %+v, want %+v", got, MarkAt(T0+9))
		}
		if _, after := LoadAll(t, c.s, nil); after <= before {
			t.Errorf("position went from %d to %d over a commit", before, after)
		}
	})
}

func testNotStorable(t *testing.T, f Factory) {
	c := open(t, f)
	good := Binding(Net(1), 1, T0, 1)
	spoil := func(fn func(*lease.Binding)) lease.Change {
		b := Binding(Net(2), 2, T0, 2)
		fn(&b)
		return lease.Change{After: b}
	}
	bad := []lease.Change{
		spoil(func(b *lease.Binding) { b.HW = make([]byte, 17) }),
		spoil(func(b *lease.Binding) { b.ClientID = make([]byte, 256) }),
		spoil(func(b *lease.Binding) { b.Hostname = make([]byte, 1<<20) }),
		spoil(func(b *lease.Binding) { b.Agent = make([]byte, 256) }),
		spoil(func(b *lease.Binding) { b.State = 4 }),
		spoil(func(b *lease.Binding) { b.Addr = 0 }),
		{Before: Binding(Net(3), 3, T0, 3), After: Binding(Net(4), 3, T0, 3)},
		{},
	}
	for i, ch := range bad {
		res := c.try(ch, lease.Change{After: good})
		if res[0].Outcome != store.Failed || res[1].Outcome != store.Durable {
			t.Errorf("change %d: outcomes %v", i, res)
		}
	}
	c.want(good)
	c.reopen()
	c.want(good)
}

func testSameAddressTwice(t *testing.T, f Factory) {
	between(t, f, func(t *testing.T, c *session, step func()) {
		a := Binding(Net(1), 1, T0, 1)
		r := Copy(&a)
		r.State, r.Rev = lease.Released, 2
		b := Binding(Net(1), 2, T0, 3)
		c.commit(lease.Change{After: a}, lease.Change{Before: a, After: r}, lease.Change{Before: r, After: b})
		step()
		c.want(b)
		got := c.byAddr(Net(1))
		if len(got) != 2 || string(got[0].Hostname) != "host-2" || string(got[1].Hostname) != "host-1" {
			t.Errorf("history of one group: %+v", got)
		}
	})
}

func testBigGroup(t *testing.T, f Factory) {
	c := open(t, f)
	var cs []lease.Change
	var want []lease.Binding
	for i := range 20_000 { // some megabytes: more than one batch of any store
		b := Binding(Net(i), i, T0, uint64(i))
		b.Agent = bytes.Repeat([]byte{byte(i)}, 100)
		cs = append(cs, lease.Change{After: b})
		want = append(want, b)
	}
	c.commit(cs...)
	c.want(want...)
	c.reopen()
	c.want(want...)
}

func testLoadStops(t *testing.T, f Factory) {
	c := open(t, f)
	c.put(Binding(Net(1), 1, T0, 1), Binding(Net(2), 2, T0, 2))
	mine := errors.New("mine")
	if _, err := c.s.Load(ctx, nil, func([]lease.Binding) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("Load returned %v, want the function's error", err)
	}
	cctx, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.s.Load(cctx, nil, func([]lease.Binding) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Load with an ended context returned %v", err)
	}
}

func testKeepsNoSlice(t *testing.T, f Factory) {
	c := open(t, f)
	b := Binding(Net(1), 1, T0, 1)
	want := Copy(&b)
	cs := []lease.Change{{After: b}}
	c.commit(cs...)
	for _, s := range [][]byte{b.HW, b.ClientID, b.Hostname} {
		clear(s)
	}
	cs[0] = lease.Change{}
	c.want(want)
}

func testRecreate(t *testing.T, f Factory) {
	between(t, f, func(t *testing.T, c *session, step func()) {
		a, b := Binding(Net(1), 1, T0, 1), Binding(Net(1), 2, T0+100, 2)
		c.put(a)
		c.now = T0 + 100
		c.put(b, Binding(Net(2), 3, T0, 3))
		var fresh []lease.Binding
		for i := range 1000 {
			fresh = append(fresh, Binding(Net(1000-i), 10_000+i, T0, uint64(i)))
		}
		fresh[999] = b
		c.recreate(T0+200, fresh)
		step()
		if got := c.s.Mark(); got != MarkAt(T0+200) {
			t.Errorf("mark %+v", got)
		}
		if got := c.load(nil); len(got) != 1000 || got[0].Rev != b.Rev {
			t.Errorf("%d records after Recreate", len(got))
		}
		// History before it is not lost.
		if h := c.byAddr(Net(1)); len(h) != 2 || string(h[1].Hostname) != "host-1" || h[1].Until != T0+100 {
			t.Errorf("history after Recreate: %+v", h)
		}
		if h := c.byClient(b.HW, nil); len(h) != 1 || h[0].Addr != Net(1) {
			t.Errorf("history of a client after Recreate: %+v", h)
		}
		c.put(Binding(Net(5000), 5, T0, 5))
		step()
		if got := c.load(nil); len(got) != 1001 {
			t.Errorf("%d records after a commit after Recreate", len(got))
		}
	})
}

// recreate feeds bs to Recreate in uneven pieces.
func (c *session) recreate(now int64, bs []lease.Binding) {
	c.t.Helper()
	if err := Recreate(c.s, now, bs); err != nil {
		c.t.Fatalf("Recreate: %v", err)
	}
}

// Recreate calls s.Recreate with bs, handed over in uneven pieces.
func Recreate(s store.Store, now int64, bs []lease.Binding) error {
	piece := 0
	return s.Recreate(ctx, MarkAt(now), func(buf []lease.Binding) (int, error) {
		piece++
		n := copy(buf[:min(len(buf), piece)], bs)
		bs = bs[n:]
		return n, nil
	})
}

func testFails(t *testing.T, f Factory) {
	if f.Break == nil {
		return // a store that cannot fail has nothing to show here
	}
	c := open(t, f)
	a, b := Binding(Net(1), 1, T0, 1), Binding(Net(2), 2, T0, 2)
	c.put(a)
	f.Break(t, c.s)
	cs := []lease.Change{{After: b}, {CompareOnly: true, Before: a}}
	res := make([]store.Result, 2)
	err := c.s.Commit(ctx, MarkAt(T0+1), cs, res)
	if !errors.Is(err, store.ErrBroken) {
		t.Fatalf("Commit on a failing disk: %v", err)
	}
	for i, r := range res {
		if r.Outcome != store.Failed {
			t.Errorf("change %d: outcome %d, want failed", i, r.Outcome)
		}
	}
	if _, err := c.s.Alive(ctx); !errors.Is(err, store.ErrBroken) {
		t.Errorf("Alive: %v", err)
	}
	if err := Recreate(c.s, T0+2, []lease.Binding{a}); err == nil {
		t.Fatal("Recreate on a failing disk said it was done")
	}
	f.Mend(t, c.s)
	// The disk works again, and still nothing is tried on the broken store.
	if err := c.s.Commit(ctx, MarkAt(T0+3), cs[:1], res[:1]); !errors.Is(err, store.ErrBroken) {
		t.Errorf("Commit before Recreate: %v", err)
	}
	if err := Recreate(c.s, T0+4, []lease.Binding{a}); err != nil {
		t.Fatalf("Recreate: %v", err)
	}
	c.want(a)
	c.reopen()
	c.want(a)
	c.put(b)
	c.want(a, b)
}

func testWatch(t *testing.T, f Factory) {
	c := open(t, f)
	cctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- c.s.Watch(cctx, nil, 0, func([]lease.Binding, store.Pos) error { return nil })
	}()
	c.put(Binding(Net(1), 1, T0, 1))
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch ended with %v", err)
	}
}
