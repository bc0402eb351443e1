package linktest

import (
	"context"
	"slices"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// report is one call of changed.
type report struct {
	ready   []wire.Link
	missing []link.Missing
}

// watcher keeps what Watch reported.
type watcher struct {
	t       *testing.T
	reports chan report
	last    report
}

func watch(t *testing.T, bed Bed, names ...string) *watcher {
	t.Helper()
	w := &watcher{t: t, reports: make(chan report, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	nt := bed.Net()
	go func() {
		done <- nt.Watch(ctx, names, func(ready []wire.Link, missing []link.Missing) { w.reports <- report{ready, missing} })
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("watch: %v", err)
			}
		case <-time.After(patience):
			t.Error("watch does not end with its context")
		}
	})
	return w
}

// until waits for a report that fits, at most patience.
func (w *watcher) until(fits func(report) bool) report {
	w.t.Helper()
	late := time.After(patience)
	for {
		select {
		case w.last = <-w.reports:
			if fits(w.last) {
				return w.last
			}
		case <-late:
			w.t.Fatalf("not reported within %v; last: ready %+v, missing %+v", patience, w.last.ready, w.last.missing)
		}
	}
}

func none(r report) bool { return len(r.ready) == 0 && len(r.missing) == 0 }
func one(r report) bool  { return len(r.ready) == 1 && len(r.missing) == 0 }

// testWatch: an interface that appears, gets an address, loses and gets carrier, is
// re-addressed, renamed and removed.
func testWatch(t *testing.T, bed Bed) {
	w := watch(t, bed, "lan0")
	first := w.until(func(report) bool { return true })
	if len(first.ready) != 0 || !slices.Equal(first.missing, []link.Missing{{Name: "lan0"}}) {
		t.Fatalf("at once: %+v", first)
	}
	bed.Add("lan1")
	w.until(func(r report) bool {
		return slices.Equal(r.missing, []link.Missing{{Name: "lan0", DidYouMean: "lan1"}})
	})
	bed.Add("lan0")
	w.until(none)
	bed.SetAddrs("lan0", subnet)
	l := w.until(one).ready[0]
	if l.ID == 0 || l.Name != "lan0" || l.MAC == (wire.MAC{}) || l.MTU != 1500 || !slices.Equal(l.Addrs, []dhcp4.Prefix{subnet}) {
		t.Errorf("ready: %+v", l)
	}
	bed.SetCarrier("lan0", false)
	w.until(none)
	bed.SetCarrier("lan0", true)
	w.until(one)
	bed.SetUp("lan0", false)
	w.until(none)
	bed.SetUp("lan0", true)
	w.until(one)

	second := dhcp4.Prefix{Addr: dhcp4.MustParseAddr("198.51.100.1"), Bits: 25}
	bed.SetAddrs("lan0", subnet, second)
	w.until(func(r report) bool { return one(r) && slices.Equal(r.ready[0].Addrs, []dhcp4.Prefix{subnet, second}) })
	bed.SetAddrs("lan0", second)
	w.until(func(r report) bool { return one(r) && slices.Equal(r.ready[0].Addrs, []dhcp4.Prefix{second}) })
	bed.SetAddrs("lan0")
	w.until(none)
	bed.SetAddrs("lan0", subnet)
	w.until(one)
	bed.Remove("lan0")
	w.until(func(r report) bool { return len(r.ready) == 0 && len(r.missing) == 1 })
	bed.Add("lan0")
	bed.SetAddrs("lan0", subnet)
	if again := w.until(one).ready[0]; again.ID == l.ID {
		t.Errorf("another interface has the index %d of the one that went", l.ID)
	}
}

// testNames: a rename is followed, and the configured name wins when another
// interface takes it.
func testNames(t *testing.T, bed Bed) {
	peer := bed.Add("eth0")
	bed.SetAddrs("eth0", subnet)
	w := watch(t, bed, "eth0", "lan0", "eth0")
	l := w.until(func(r report) bool { return len(r.ready) == 1 && len(r.missing) == 1 }).ready[0]
	p := open(t, bed, l)
	bed.Rename("eth0", "lan0")
	r := w.until(func(r report) bool { return one(r) && r.ready[0].Name == "lan0" })
	if r.ready[0].ID != l.ID {
		t.Errorf("a rename changed the index: %+v", r)
	}
	// Linux before 6.2 renames only interfaces that are down, so a port may have
	// ended; where it did not it still serves.
	upTo(t, reopened(t, bed, p, r.ready[0]), peer, "renamed")

	bed.Add("eth0")
	bed.SetAddrs("eth0", dhcp4.Prefix{Addr: strangerIP, Bits: 24})
	w.until(func(r report) bool {
		return len(r.ready) == 2 && r.ready[0].Name == "eth0" && r.ready[0].ID != l.ID && r.ready[1].ID == l.ID
	})
}

// reopened closes p and opens the link again, as the engine does after a change.
func reopened(t *testing.T, bed Bed, p link.Port, l wire.Link) link.Port {
	t.Helper()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, bed, l)
}

func testWatchEnds(t *testing.T, bed Bed) {
	ctx, cancel := context.WithCancel(context.Background())
	called := 0
	err := bed.Net().Watch(ctx, []string{"eth0"}, func([]wire.Link, []link.Missing) { called++; cancel() })
	if err != nil || called != 1 {
		t.Errorf("watch ended with %v after %d reports", err, called)
	}
}
