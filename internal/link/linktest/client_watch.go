package linktest

import (
	"context"
	"testing"
	"time"

	"lessor/internal/link"
	"lessor/internal/wire"
)

// clientReport is one call of WatchClient's changed.
type clientReport struct {
	link    *wire.Link
	missing *link.Missing
}

func present(r clientReport) bool { return r.link != nil && r.missing == nil }
func absent(r clientReport) bool  { return r.link == nil && r.missing == nil }

// clientWatcher keeps what WatchClient reported.
type clientWatcher struct {
	t       *testing.T
	reports chan clientReport
	last    clientReport
}

func watchClient(t *testing.T, bed ClientBed, name string) *clientWatcher {
	t.Helper()
	w := &clientWatcher{t: t, reports: make(chan clientReport, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	nt := bed.ClientNet()
	go func() {
		done <- nt.WatchClient(ctx, name, func(l *wire.Link, m *link.Missing) { w.reports <- clientReport{l, m} })
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
func (w *clientWatcher) until(fits func(clientReport) bool) clientReport {
	w.t.Helper()
	late := time.After(patience)
	for {
		select {
		case w.last = <-w.reports:
			if fits(w.last) {
				return w.last
			}
		case <-late:
			w.t.Fatalf("not reported within %v; last: %+v, missing %+v", patience, w.last.link, w.last.missing)
		}
	}
}

// next is the next report, which must fit.
func (w *clientWatcher) next(fits func(clientReport) bool) clientReport {
	w.t.Helper()
	return w.until(func(r clientReport) bool {
		if !fits(r) {
			w.t.Fatalf("reported %+v, missing %+v", r.link, r.missing)
		}
		return true
	})
}

// testWatchClient: an interface that appears, without any address, loses carrier, goes
// down, and away. What concerns addresses alone is no news.
func testWatchClient(t *testing.T, bed ClientBed) {
	w := watchClient(t, bed, "lan0")
	missing := func(near string) func(clientReport) bool {
		return func(r clientReport) bool {
			return r.link == nil && r.missing != nil && *r.missing == link.Missing{Name: "lan0", DidYouMean: near}
		}
	}
	w.next(missing(""))
	bed.Add("lan1")
	w.next(missing("lan1"))
	bed.Add("lan0")
	l := w.until(present).link
	if l.ID == 0 || l.Name != "lan0" || l.MAC == (wire.MAC{}) || l.MTU != 1500 || len(l.Addrs) != 0 {
		t.Errorf("ready: %+v", l)
	}
	for range 2 {
		bed.SetCarrier("lan0", false)
		w.next(absent)
		bed.SetCarrier("lan0", true)
		if again := w.next(present).link; again.ID != l.ID || again.MAC != l.MAC {
			t.Errorf("%+v came back as %+v", l, again)
		}
		bed.SetUp("lan0", false)
		w.next(absent)
		bed.SetUp("lan0", true)
		w.next(present)
		bed.SetAddrs("lan0", subnet)
		bed.SetAddrs("lan0")
	}
	bed.Remove("lan0")
	w.next(absent)
	w.next(missing("lan1"))
	bed.Add("lan0")
	if again := w.until(present).link; again.ID == l.ID {
		t.Errorf("another interface has the index %d of the one that went", l.ID)
	}
}

// testWatchFlaps: no loss is too short to be reported, whether of carrier or of the
// administrative state.
func testWatchFlaps(t *testing.T, bed ClientBed) {
	bed.Add("eth0")
	w := watchClient(t, bed, "eth0")
	w.until(present)
	for range 3 {
		bed.SetUp("eth0", false)
		bed.SetUp("eth0", true)
		w.until(absent)
		w.until(present)
	}
	for range 2 {
		bed.SetCarrier("eth0", false)
		bed.SetCarrier("eth0", true)
		w.until(absent)
		w.until(present)
	}
}

// testWatchMAC: another hardware address is another client, so it is never reported
// without an absence; the port then sends and receives with the new one.
func testWatchMAC(t *testing.T, bed ClientBed) {
	p, l, peer := clientSetup(t, bed)
	w := watchClient(t, bed, "eth0")
	w.until(present)
	mac := wire.MAC{2, 0, 0x5e, 0x33, 0, 1}
	bed.SetMAC("eth0", mac)
	w.next(absent)
	again := *w.next(present).link
	if again.ID != l.ID || again.MAC != mac {
		t.Errorf("reported %+v, want %v on the same index", again, mac)
	}
	// A port that was opened before takes nothing that is for the new address.
	peer.Send(reply(mac, clientIP, "for the new address", nil))
	if r := replied(t, p, peer, "mark"); len(r.packets) != 1 || r.bad[link.BadNotOurs] != 1 {
		t.Errorf("the old port: %d packets, refused %v", len(r.packets), r.bad)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	q := openClient(t, bed, again)
	peer.Send(reply(mac, clientIP, "for the new address", nil))
	peer.Send(reply(l.MAC, clientIP, "for the old address", nil))
	if r := replied(t, q, peer, "mark"); len(r.packets) != 2 || string(r.packets[0].Data) != "for the new address" {
		t.Errorf("the new port received %d packets", len(r.packets))
	}
	bed.SetMAC("eth0", l.MAC)
	bed.SetMAC("eth0", mac)
	w.next(absent)
	w.until(func(r clientReport) bool { return present(r) && r.link.MAC == mac })
}

// testWatchClientName: a rename is followed, and the configured name wins when another
// interface takes it.
func testWatchClientName(t *testing.T, bed ClientBed) {
	bed.Add("eth0")
	w := watchClient(t, bed, "eth0")
	l := w.until(present).link
	bed.Rename("eth0", "wan0")
	r := w.until(func(r clientReport) bool { return present(r) && r.link.Name == "wan0" })
	if r.link.ID != l.ID {
		t.Errorf("a rename changed the index: %+v", r.link)
	}
	bed.Add("eth0")
	w.until(func(r clientReport) bool { return r.link == nil })
	w.until(func(r clientReport) bool { return present(r) && r.link.Name == "eth0" && r.link.ID != l.ID })
}

func testWatchClientEnds(t *testing.T, bed ClientBed) {
	ctx, cancel := context.WithCancel(context.Background())
	called := 0
	err := bed.ClientNet().WatchClient(ctx, "eth0", func(*wire.Link, *link.Missing) { called++; cancel() })
	if err != nil || called != 1 {
		t.Errorf("watch ended with %v after %d reports", err, called)
	}
}
