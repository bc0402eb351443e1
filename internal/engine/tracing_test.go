package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/engine"
	"lessor/internal/store"
	"lessor/internal/store/memory"
	"lessor/internal/trace"
)

// tracer keeps one word or two of each entry.
type tracer struct {
	mu   sync.Mutex
	said []string
	hold chan struct{} // not nil: a commit with changes takes one value first
}

func (x *tracer) Write(b trace.Body) {
	word := b.Kind()
	switch b := b.(type) {
	case *trace.Loaded:
		word = fmt.Sprintf("loaded %d, first %s", len(b.Records), b.Records[0].Addr)
	case *trace.Started:
		word = fmt.Sprintf("started %d fresh %v", b.Records, b.Fresh)
	case *trace.Config:
		word = fmt.Sprintf("config %d", len(b.Policy.Networks))
	case *trace.Served:
		word = fmt.Sprintf("served %d", len(b.Links))
	case *trace.Commit:
		if len(b.Changes) == 0 {
			return // a mark
		}
		if x.hold != nil {
			<-x.hold
		}
		word = fmt.Sprintf("commit %s %v failed %v", b.Changes[0].After.Addr, b.Results[0] == store.Durable, b.Err != "")
	case *trace.StoreState:
		word = fmt.Sprintf("store failing %v", b.Failing)
	case *trace.Happened:
		word = fmt.Sprintf("event %d", b.Event.Kind)
	case *trace.Override:
		word = fmt.Sprintf("override %s", b.Addr)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.said = append(x.said, word)
}

func (x *tracer) all() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.said)
}

func traced(x *tracer) option { return func(c *engine.Config) { c.Trace = x } }

// TestTrace: a tracer is told all that happens, in order.
func TestTrace(t *testing.T) {
	x := &tracer{}
	st := &gate{Store: memory.New()}
	w := newWorld(t, st, traced(x))
	c := w.client(1)
	addr := c.bind()
	if err := w.engine.SetPolicy(t.Context(), mustPolicy(t, testConfig)); err != nil {
		t.Fatal(err)
	}
	if err := w.engine.Release(t.Context(), addr, true); err != nil {
		t.Fatal(err)
	}
	w.eventually("the release is committed", func() bool { return st.commits.Load() == 2 })
	st.broken.Store(true)
	other := w.client(2)
	other.discover()
	other.request(other.expect(dhcp4.Offer).addr)
	w.eventually("the failure is logged", w.logged("STORE_FAILED"))
	st.broken.Store(false)
	w.eventually("a new store is in use", func() bool { w.clock.advance(time.Second); return w.count("STORE_HEALED") > 0 })
	w.clock.advance(11 * time.Second)
	other.discover()
	taken := other.expect(dhcp4.Offer).addr
	want := []string{"started 0 fresh true", "config 1", "served 1", "commit " + addr.String() + " true failed false", "event 2", "config 1",
		"override " + addr.String(), "commit " + addr.String() + " true failed false",
		"commit " + taken.String() + " false failed true", "store failing true", "store failing false"}
	got := x.all()
	for _, one := range want {
		i := slices.Index(got, one)
		if i < 0 {
			t.Fatalf("%q is missing, or in the wrong place, in:\n%s", one, strings.Join(x.all(), "\n"))
		}
		got = got[i+1:]
	}
	if !slices.Contains(x.all(), "counts") {
		t.Error("nobody counted")
	}
}

// TestTraceOfARestart: the records that a store was loaded with come first.
func TestTraceOfARestart(t *testing.T) {
	st := memory.New()
	w := newWorld(t, st)
	addr := w.client(1).bind()
	if err := w.engine.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	x := &tracer{}
	again := prepare(t)
	again.start(st, traced(x))
	if got, want := x.all()[:2], []string{"loaded 1, first " + addr.String(), "started 1 fresh false"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q first", got, want)
	}
}

// TestACommitIsTracedBeforeItsAck (I2, as a file shows it).
func TestACommitIsTracedBeforeItsAck(t *testing.T) {
	x := &tracer{hold: make(chan struct{})}
	w := newWorld(t, memory.New(), traced(x))
	c := w.client(1)
	c.discover()
	c.request(c.expect(dhcp4.Offer).addr)
	c.silent("the commit is not in the trace")
	close(x.hold)
	c.expect(dhcp4.Ack)
}
