// Package storetest is the suite that every store passes, unchanged. A store that
// cannot do something (keep anything over a restart, fail) says so in its Factory;
// there is no other difference between stores.
package storetest

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
)

// Factory makes the stores of a run.
type Factory struct {
	// New opens a fresh, empty store. The suite closes it.
	New func(t testing.TB) store.Store
	// Reopen closes s and opens what it left; nil for a store that keeps nothing.
	Reopen func(t testing.TB, s store.Store) store.Store
	// Break makes every write of s fail from now on, Mend ends that; nil for a store
	// that cannot fail.
	Break, Mend func(t testing.TB, s store.Store)
}

// Run runs the suite.
func Run(t *testing.T, f Factory) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Factory)
	}{
		{"Empty", testEmpty},
		{"RoundTrip", testRoundTrip},
		{"Ranges", testRanges},
		{"Replay", testReplay},
		{"Delete", testDelete},
		{"CompareOnly", testCompareOnly},
		{"Mark", testMark},
		{"NotStorable", testNotStorable},
		{"SameAddressTwice", testSameAddressTwice},
		{"BigGroup", testBigGroup},
		{"LoadStops", testLoadStops},
		{"KeepsNoSlice", testKeepsNoSlice},
		{"Recreate", testRecreate},
		{"Fails", testFails},
		{"Watch", testWatch},
		{"HistoryOfOneAddress", testHistoryOfOneAddress},
		{"HistoryEnds", testHistoryEnds},
		{"HistoryRenewal", testHistoryRenewal},
		{"HistoryByClient", testHistoryByClient},
		{"HistoryWindow", testHistoryWindow},
		{"HistoryWhileCommitting", testHistoryWhileCommitting},
		{"Random", testRandom},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, f) })
	}
}

var ctx = context.Background()

// T0 is the time at which the suite's stories begin; far enough back that what ends
// within them has ended.
const T0 = int64(1_600_000_000)

// Net is an address of the suite's network.
func Net(n int) dhcp4.Addr { return dhcp4.MustParseAddr("198.18.0.0") + dhcp4.Addr(n) }

// Binding is a plausible binding of client n to address a from start on, for an
// hour.
func Binding(a dhcp4.Addr, n int, start int64, rev uint64) lease.Binding {
	return lease.Binding{
		Addr: a, State: lease.Bound, HType: 1,
		HW:       []byte{2, 0, 0x5e, byte(n >> 16), byte(n >> 8), byte(n)},
		ClientID: []byte(fmt.Sprintf("\x00client-%d", n)),
		Hostname: []byte(fmt.Sprintf("host-%d", n)),
		Lifetime: 3600, Grace: 67, Start: start, Renewed: start, Until: start + 3600,
		Boot: lease.BootID{1, 2, 3}, End: start * 1e9, Free: start*1e9 + 67e9, Rev: rev,
	}
}

// MarkAt is the mark of a commit at t, Unix seconds.
func MarkAt(t int64) lease.Mark {
	return lease.Mark{W: t * int64(time.Second), M: t*int64(time.Second) - 5, Boot: lease.BootID{9}}
}

// session drives one store in a test and fails the test where the store does.
type session struct {
	t   testing.TB
	f   Factory
	s   store.Store
	now int64
}

func open(t testing.TB, f Factory) *session {
	t.Helper()
	c := &session{t: t, f: f, s: f.New(t), now: T0}
	t.Cleanup(func() {
		if err := c.s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

// commit makes one group and demands that all of it becomes durable.
func (c *session) commit(cs ...lease.Change) {
	c.t.Helper()
	for i, r := range c.try(cs...) {
		if r.Outcome != store.Durable {
			c.t.Fatalf("change %d: outcome %d, want durable", i, r.Outcome)
		}
	}
}

func (c *session) try(cs ...lease.Change) []store.Result {
	c.t.Helper()
	res := make([]store.Result, len(cs))
	if err := c.s.Commit(ctx, MarkAt(c.now), cs, res); err != nil {
		c.t.Fatalf("Commit: %v", err)
	}
	return res
}

// put makes b the state of its address, whatever was before.
func (c *session) put(bs ...lease.Binding) {
	c.t.Helper()
	var cs []lease.Change
	for _, b := range bs {
		before, _ := c.get(b.Addr)
		cs = append(cs, lease.Change{Before: before, After: b})
	}
	c.commit(cs...)
}

func (c *session) get(a dhcp4.Addr) (lease.Binding, bool) {
	c.t.Helper()
	bs := c.load([]dhcp4.Range{{First: a, Last: a}})
	if len(bs) > 1 {
		c.t.Fatalf("%d records for %v", len(bs), a)
	}
	if len(bs) == 0 {
		return lease.Binding{}, false
	}
	return bs[0], true
}

func (c *session) load(in []dhcp4.Range) []lease.Binding {
	c.t.Helper()
	out, _ := LoadAll(c.t, c.s, in)
	return out
}

// LoadAll reads all records, copied, and checks that they come in address order.
func LoadAll(t testing.TB, s store.Store, in []dhcp4.Range) ([]lease.Binding, store.Pos) {
	t.Helper()
	var out []lease.Binding
	pos, err := s.Load(ctx, in, func(bs []lease.Binding) error {
		for i := range bs {
			if n := len(out); n > 0 && bs[i].Addr <= out[n-1].Addr {
				t.Errorf("Load: %v after %v", bs[i].Addr, out[n-1].Addr)
			}
			out = append(out, Copy(&bs[i]))
		}
		return nil
	})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return out, pos
}

// Copy is b with slices of its own; empty ones become nil, as a store returns them.
func Copy(b *lease.Binding) lease.Binding {
	c := *b
	c.HW, c.ClientID = dup(b.HW), dup(b.ClientID)
	c.Hostname, c.Agent = dup(b.Hostname), dup(b.Agent)
	return c
}

func dup(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}

// diff is the readable difference of two values of which the second was read from
// a store; "" if there is none. Comparing is quick when they are equal.
func diff(want, got any) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return cmp.Diff(want, got, cmpopts.EquateEmpty())
}

// want compares what the store holds.
func (c *session) want(bs ...lease.Binding) {
	c.t.Helper()
	if d := diff(bs, c.load(nil)); d != "" {
		c.t.Fatalf("records (-want +got):\n%s", d)
	}
}

// reopen goes on with a store that was closed and opened again, where there is one.
func (c *session) reopen() {
	c.t.Helper()
	if c.f.Reopen != nil {
		c.s = c.f.Reopen(c.t, c.s)
	}
}

// between is everything that may happen between two steps of a story: nothing, or a
// restart.
func between(t *testing.T, f Factory, story func(t *testing.T, c *session, step func())) {
	t.Run("InOneGo", func(t *testing.T) { story(t, open(t, f), func() {}) })
	if f.Reopen != nil {
		t.Run("WithRestarts", func(t *testing.T) {
			c := open(t, f)
			story(t, c, c.reopen)
		})
	}
}
