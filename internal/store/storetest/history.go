package storetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
)

func copyPossession(p *store.Possession) store.Possession {
	c := *p
	c.HW, c.ClientID = dup(p.HW), dup(p.ClientID)
	c.Hostname, c.Agent = dup(p.Hostname), dup(p.Agent)
	return c
}

// collect gathers what a walk yields and checks the order.
func (c *session) collect(walk func(yield func(*store.Possession) bool) error) []store.Possession {
	c.t.Helper()
	var out []store.Possession
	err := walk(func(p *store.Possession) bool {
		if n := len(out); n > 0 && p.From > out[n-1].From {
			c.t.Errorf("history: %d comes after %d", p.From, out[n-1].From)
		}
		out = append(out, copyPossession(p))
		return true
	})
	if err != nil {
		c.t.Fatalf("history: %v", err)
	}
	return out
}

func (c *session) byAddr(a dhcp4.Addr) []store.Possession {
	c.t.Helper()
	return c.collect(func(y func(*store.Possession) bool) error {
		return c.s.HistoryByAddr(ctx, a, time.Time{}, time.Time{}, y)
	})
}

func (c *session) byClient(hw, id []byte) []store.Possession {
	c.t.Helper()
	return c.collect(func(y func(*store.Possession) bool) error {
		return c.s.HistoryByClient(ctx, hw, id, time.Time{}, time.Time{}, y)
	})
}

// possessionOf is b as history shows it, with this end.
func possessionOf(b lease.Binding, until int64, running bool) store.Possession {
	return store.Possession{
		Addr: b.Addr, HType: b.HType, HW: b.HW, ClientID: b.ClientID, Hostname: b.Hostname,
		GIAddr: b.GIAddr, Agent: b.Agent, From: b.Start, Until: until, Running: running,
		Free: store.FreeAfter(&b, 0, 0),
	}
}

// givenBack is p when it was ended by its client.
func givenBack(p store.Possession) store.Possession {
	p.Free = p.Until
	return p
}

func (c *session) wantHistory(got []store.Possession, want ...store.Possession) {
	c.t.Helper()
	if d := diff(want, got); d != "" {
		c.t.Errorf("history (-want +got):\n%s", d)
	}
}

func testHistoryOfOneAddress(t *testing.T, f Factory) {
	between(t, f, func(t *testing.T, c *session, step func()) {
		a := Net(1)
		c.wantHistory(c.byAddr(a))
		first := Binding(a, 1, T0, 1)
		first.GIAddr, first.Agent = Net(254), []byte{1, 2, 'x', 'y'}
		c.put(first)
		step()
		// The lease has run out by today, but nobody has taken the address.
		c.wantHistory(c.byAddr(a), possessionOf(first, T0+3600, false))

		// Another client takes it after its end: the interval ended by time.
		c.now = T0 + 10_000
		second := Binding(a, 2, c.now, 2)
		c.put(second)
		step()
		c.wantHistory(c.byAddr(a), possessionOf(second, c.now+3600, false), possessionOf(first, T0+3600, false))

		// It is taken from the second before its end.
		c.now += 60
		third := Binding(a, 3, c.now, 3)
		third.Until = time.Now().Unix() + 86400
		c.put(third)
		step()
		c.wantHistory(c.byAddr(a), possessionOf(third, third.Until, true),
			possessionOf(second, c.now, false), possessionOf(first, T0+3600, false))
		c.wantHistory(c.byAddr(Net(2)))
	})
}

func testHistoryEnds(t *testing.T, f Factory) {
	between(t, f, func(t *testing.T, c *session, step func()) {
		end := func(n int, after func(lease.Binding) lease.Binding) {
			t.Helper()
			b := Binding(Net(n), n, T0, 1)
			c.now = T0
			c.put(b)
			c.now = T0 + 100
			c.commit(lease.Change{Before: b, After: after(b)})
			step()
			want := possessionOf(b, T0+100, false)
			if after(b).State != 0 {
				want = givenBack(want)
			}
			c.wantHistory(c.byAddr(Net(n)), want)
			// A second end of what has ended adds nothing.
			c.now = T0 + 200
			r := after(b)
			if r.State != 0 {
				c.commit(lease.Change{Before: r, After: r})
			}
			step()
			c.wantHistory(c.byAddr(Net(n)), want)
		}
		state := func(s lease.State) func(lease.Binding) lease.Binding {
			return func(b lease.Binding) lease.Binding { b.State, b.Rev = s, b.Rev+1; return b }
		}
		end(1, state(lease.Released))
		end(2, state(lease.Declined))
		end(3, func(b lease.Binding) lease.Binding { return lease.Binding{Addr: b.Addr} })

		// The same client again, after a release: a new interval.
		c.now = T0 + 300
		again := Binding(Net(1), 1, T0+300, 9)
		c.put(again)
		step()
		c.wantHistory(c.byAddr(Net(1)), possessionOf(again, T0+3900, false),
			givenBack(possessionOf(Binding(Net(1), 1, T0, 1), T0+100, false)))

		// A clock that was set back makes no interval of negative length.
		c.now = T0 - 1000
		c.commit(lease.Change{Before: again, After: state(lease.Released)(again)})
		step()
		if h := c.byAddr(Net(1)); len(h) != 2 || h[0].Until != h[0].From {
			t.Errorf("history after a clock step: %+v", h)
		}
		// An infinite lease ends when it is ended.
		inf := Binding(Net(4), 4, T0, 1)
		inf.Lifetime, inf.Until = lease.Infinite, 0
		c.now = T0
		c.put(inf)
		step()
		c.wantHistory(c.byAddr(Net(4)), possessionOf(inf, 0, true))
		c.now = T0 + 5
		c.commit(lease.Change{Before: inf, After: state(lease.Released)(inf)})
		step()
		c.wantHistory(c.byAddr(Net(4)), givenBack(possessionOf(inf, T0+5, false)))
	})
}

func testHistoryRenewal(t *testing.T, f Factory) {
	between(t, f, func(t *testing.T, c *session, step func()) {
		b := Binding(Net(1), 1, T0, 1)
		c.put(b)
		for i := range 20 {
			c.now += 1800
			b.Renewed, b.Until, b.Rev = c.now, c.now+3600, uint64(i+2)
			b.Hostname = []byte("renamed")
			c.put(b)
		}
		step()
		c.wantHistory(c.byAddr(Net(1)), possessionOf(b, c.now+3600, false))
		c.wantHistory(c.byClient(b.HW, nil), possessionOf(b, c.now+3600, false))
	})
}

func testHistoryByClient(t *testing.T, f Factory) {
	between(t, f, func(t *testing.T, c *session, step func()) {
		one := Binding(Net(1), 1, T0, 1)
		c.put(one)
		step()
		// The machine starts another system: same hardware address, another client
		// identifier. Then the first system on another card.
		two := Binding(Net(1), 1, T0+50, 2)
		two.ClientID = []byte("\xffother")
		c.now = T0 + 50
		c.put(two)
		step()
		three := Binding(Net(2), 1, T0+80, 3)
		three.HW = []byte{2, 0, 0x5e, 9, 9, 9}
		c.now = T0 + 80
		c.put(three)
		step()
		c.put(Binding(Net(3), 77, T0, 4))
		step()

		p1, p2, p3 := possessionOf(one, T0+50, false), possessionOf(two, T0+50+3600, false), possessionOf(three, T0+80+3600, false)
		c.wantHistory(c.byClient(one.HW, nil), p2, p1)
		c.wantHistory(c.byClient(nil, one.ClientID), p3, p1)
		c.wantHistory(c.byClient(one.HW, one.ClientID), p3, p2, p1)
		c.wantHistory(c.byClient(nil, two.ClientID), p2)
		c.wantHistory(c.byClient(nil, nil))
		c.wantHistory(c.byClient([]byte{1}, []byte("\x00client-")))
		c.wantHistory(c.byClient(make([]byte, 300), make([]byte, 300)))

		// A client without either key is still found by its address.
		bare := lease.Binding{Addr: Net(5), State: lease.Bound, Start: T0, Until: T0 + 1}
		c.put(bare)
		step()
		c.wantHistory(c.byAddr(Net(5)), possessionOf(bare, T0+1, false))
	})
}

func testHistoryWindow(t *testing.T, f Factory) {
	c := open(t, f)
	a := Net(1)
	for i := range 10 { // client i has it from T0+100i to T0+100i+100
		c.now = T0 + int64(i)*100
		c.put(Binding(a, i, c.now, uint64(i)))
	}
	ask := func(from, to int64) []string {
		var out []string
		err := c.s.HistoryByAddr(ctx, a, time.Unix(from, 0), time.Unix(to, 0), func(p *store.Possession) bool {
			out = append(out, string(p.Hostname))
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, q := range []struct {
		from, to int64
		want     []string
	}{
		{T0 + 250, T0 + 250, []string{"host-2"}}, // who had it at that time
		{T0 + 250, T0 + 310, []string{"host-3", "host-2"}},
		{T0 + 300, T0 + 300, []string{"host-3", "host-2"}}, // both ends belong to an interval
		{T0 - 50, T0 - 1, nil},
		{T0 + 900 + 3601, T0 + 99_999, nil},
		{T0 + 900 + 3600, T0 + 99_999, []string{"host-9"}},
		{T0 + 300, T0 + 200, nil},
	} {
		if got := ask(q.from, q.to); !slices.Equal(got, q.want) {
			t.Errorf("from %d to %d: %q, want %q", q.from-T0, q.to-T0, got, q.want)
		}
	}
	n := 0
	if err := c.s.HistoryByAddr(ctx, a, time.Time{}, time.Time{}, func(*store.Possession) bool { n++; return n < 3 }); err != nil || n != 3 {
		t.Errorf("a walk that was ended after 3: %d, %v", n, err)
	}
	n = 0
	hw := Binding(a, 4, T0, 0).HW
	if err := c.s.HistoryByClient(ctx, hw, nil, time.Unix(T0+450, 0), time.Unix(T0+450, 0), func(*store.Possession) bool { n++; return false }); err != nil || n != 1 {
		t.Errorf("the window of a client: %d, %v", n, err)
	}
}

// testHistoryWhileCommitting reads from other goroutines, as the API does.
func testHistoryWhileCommitting(t *testing.T, f Factory) {
	c := open(t, f)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				last := int64(1) << 62
				err := c.s.HistoryByAddr(ctx, Net(1), time.Time{}, time.Time{}, func(p *store.Possession) bool {
					if p.From > last {
						t.Error("history out of order")
					}
					last = p.From
					return true
				})
				if err != nil {
					t.Errorf("HistoryByAddr: %v", err)
				}
				if _, err := c.s.Alive(ctx); err != nil {
					t.Errorf("Alive: %v", err)
				}
			}
		})
	}
	var before lease.Binding
	for i := range 300 {
		c.now = T0 + int64(i)
		b := Binding(Net(1), i, c.now, uint64(i))
		c.commit(lease.Change{Before: before, After: b})
		before = b
	}
	close(stop)
	wg.Wait()
	if n := len(c.byAddr(Net(1))); n != 300 {
		t.Errorf("%d intervals, want 300", n)
	}
}
