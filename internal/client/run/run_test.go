package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// TestLife is the whole life of a lease with a real server: bound, renewed by unicast at
// T1, rebound by broadcast when the server is deaf until T2, ended when it stays deaf.
func TestLife(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.bound()
		s := w.runner.Status()
		if s.Address != a.String()+"/24" || s.Server != "192.0.2.1" || s.Expires == nil || s.Renews == nil {
			t.Errorf("status %+v", s)
		}
		if d := s.Expires.Sub(*s.Obtained); d != 600*time.Second {
			t.Errorf("the lease is told to last %v", d)
		}
		if got, err := json.Marshal(s.Options["routers"]); string(got) != `["192.0.2.1"]` {
			t.Errorf("routers %s, %v", got, err)
		}
		w.until(301*time.Second, "renewing", w.saw("renewing"))
		w.until(time.Second, "renewed", w.state("bound"))
		if late := time.Unix(0, w.clock.Now().W).Sub(*s.Renews); late < 0 || late > time.Second {
			t.Errorf("renewed %v after T1", late)
		}

		w.mute(true)
		w.until(530*time.Second, "rebinding", w.state("rebinding"))
		w.mute(false)
		w.until(70*time.Second, "rebound", w.state("bound"))
		if w.host.address() != a {
			t.Errorf("rebound with %s instead of %s", w.host.address(), a)
		}

		w.mute(true)
		end := *w.runner.Status().Expires
		w.until(601*time.Second, "the end", func() bool { return w.host.address() == 0 })
		now := time.Unix(0, w.clock.Now().W)
		if late := now.Sub(end); late < -10*time.Millisecond || late > time.Second {
			t.Errorf("the address was taken off %v after its end", late)
		}
		w.mute(false)
		w.until(70*time.Second, "bound again", w.state("bound"))
		if want, got := []string{"bound", "renewed", "renewed", "lost", "bound"}, w.host.told(); !slices.Equal(want, got) {
			t.Errorf("hooks %v, want %v", got, want)
		}
		w.stop()
		if w.host.address() != 0 {
			t.Error("the address is left behind")
		}
		if n := w.notes(); len(n) != 0 {
			t.Errorf("notes %q", n)
		}
	})
}

// TestRestart: what was saved is asked for again, and a release is final.
func TestRestart(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.bound()
		w.stop()
		w.forget()
		if b := w.bound(); b != a {
			t.Errorf("after a restart %s instead of %s", b, a)
		}
		if !slices.ContainsFunc(w.story(), func(s string) bool { return strings.HasPrefix(s, "rebooting") }) {
			t.Errorf("the old address was not asked for: %v", w.story())
		}
		if err := w.runner.Release(); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		if w.host.address() != 0 || w.runner.Status().State != "init" {
			t.Errorf("released: %s is on the interface, %+v", w.host.address(), w.runner.Status())
		}
		for _, f := range []func() error{w.runner.Release, w.runner.Rebind} {
			if err := f(); !errors.Is(err, ErrRefused) {
				t.Errorf("without a lease: %v", err)
			}
		}
		if err := w.runner.Renew(); err != nil {
			t.Fatal(err)
		}
		w.until(30*time.Second, "begun anew", w.state("bound"))
		if err := w.runner.Stop(); err != nil {
			t.Fatal(err)
		}
		if w.host.address() != 0 {
			t.Error("the address is left behind")
		}
		<-w.ended
		if err := w.runner.Renew(); !errors.Is(err, ErrEnded) || w.result != nil {
			t.Errorf("after the end: %v, %v", err, w.result)
		}
		if s := w.runner.Status(); s == nil || s.State != "init" || len(s.Changes) == 0 {
			t.Errorf("the last status: %+v", s)
		}
	})
}

// TestConflict: an address that somebody answers for is declined, reported, and another one
// is taken after ten seconds.
func TestConflict(t *testing.T) {
	inWorld(t, func(w *world) {
		w.conf.Detection = client.DetectProbe
		first := w.bound()
		w.stop()
		w.host.file = nil
		w.sw.Endpoint(wire.MAC{6, 0, 0, 0, 0, 9}, first)
		w.forget()
		if second := w.bound(); second == first {
			t.Fatalf("%s is used although another host answers for it", first)
		}
		found := false
		for _, r := range w.all() {
			found = found || r.Event != nil && r.Event.Kind == client.EventConflict && r.Event.Addr == first
		}
		if !found {
			t.Error("the conflict was not reported")
		}
	})
}

// TestCarrier: without carrier the address goes, with it the same one comes back.
func TestCarrier(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.bound()
		w.eth0.Load().SetCarrier(false)
		w.pass(10 * time.Second)
		if w.host.address() != 0 {
			t.Error("without carrier the address is still there")
		}
		if !w.noted("down or has no carrier") {
			t.Errorf("nobody was told: %q", w.notes())
		}
		w.eth0.Load().SetCarrier(true)
		w.until(10*time.Second, "bound again", func() bool { return w.host.address() == a && w.runner.Status().State == "bound" })
		w.eth0.Load().SetMTU(1400)
		w.pass(10 * time.Second)
		if w.host.address() != a || w.runner.Status().State != "bound" {
			t.Errorf("after another MTU: %s, %s", w.host.address(), w.runner.Status().State)
		}
		w.eth0.Load().SetMAC(wire.MAC{2, 0, 0x5e, 0x10, 0, 2})
		w.until(30*time.Second, "an address for the new hardware address", func() bool {
			return w.host.address() != 0 && w.runner.Status().State == "bound"
		})
	})
}

// TestInterfaceComesLate: an interface that is not there yet is waited for, with the name that
// was probably meant; one that goes away and comes again is used again, and set up each time.
func TestInterfaceComesLate(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start(func(o *Options) { o.Interface = "eth1" })
		w.pass(time.Second)
		if !w.noted("did you mean eth0?") {
			t.Errorf("notes %q", w.notes())
		}
		if err := w.runner.Renew(); !errors.Is(err, ErrRefused) {
			t.Errorf("renew without an interface: %v", err)
		}
		w.stop()

		w.eth0.Load().SetUp(false)
		a := w.bound()
		if w.host.calls["up"] != 1 {
			t.Errorf("set up %d times", w.host.calls["up"])
		}
		w.eth0.Load().SetUp(false) // by an administrator, who means it
		w.pass(10 * time.Second)
		if w.host.calls["up"] != 1 || w.host.address() != 0 {
			t.Errorf("set up %d times, %s", w.host.calls["up"], w.host.address())
		}
		w.eth0.Load().Remove()
		w.pass(10 * time.Second)
		if !w.noted(`interface "eth0" is not there`) {
			t.Errorf("notes %q", w.notes())
		}
		w.eth0.Store(w.client.Add("eth0", w.sw, clientMAC))
		w.until(30*time.Second, "bound on the new interface", func() bool { return w.host.address() == a })
	})
}

// TestSuspend: after a short sleep the network is looked at again; after a long one the
// address goes at once.
func TestSuspend(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.bound()
		w.forget()
		w.clock.suspend(100 * time.Second)
		w.until(5*time.Second, "revalidated", func() bool { return w.runner.Status().State == "bound" && len(w.story()) > 1 })
		if s := w.story(); !strings.Contains(s[0], "resumed") || w.host.address() != a {
			t.Errorf("after a short sleep: %v, %s", s, w.host.address())
		}
		w.mute(true)
		w.pass(time.Second)
		w.clock.suspend(700 * time.Second)
		w.pass(10 * time.Millisecond)
		if w.host.address() != 0 {
			t.Error("after a long sleep the address of an ended lease is still there")
		}
		w.mute(false)
		w.until(70*time.Second, "bound again", w.state("bound"))
		w.forget()
		w.clock.setWall(time.Hour)
		w.until(5*time.Second, "revalidated", func() bool { return w.runner.Status().State == "bound" && len(w.story()) > 1 })
		if s := w.story(); !strings.Contains(s[0], "clock-stepped") {
			t.Errorf("after a step of the wall clock: %v", s)
		}
		if s := w.runner.Status(); s.Expires.Sub(time.Unix(0, w.clock.Now().W)) > 600*time.Second {
			t.Errorf("a step of the wall clock makes the lease end at %v", s.Expires)
		}
	})
}

// TestHostFails: what the host refuses is said once and tried again; the client lives on.
func TestHostFails(t *testing.T) {
	inWorld(t, func(w *world) {
		w.host.file = []byte("{ this is no lease file")
		for _, what := range []string{"apply", "write", "read"} {
			w.host.set(what, 3)
		}
		w.start()
		w.pass(100 * time.Millisecond)
		if w.host.address() != 0 {
			t.Fatal("Apply did not fail")
		}
		w.until(5*time.Second, "applied at the fourth try", func() bool { return w.host.address() != 0 })
		w.pass(5 * time.Second)
		if len(w.host.file) < 100 {
			t.Errorf("the lease file reads %q", w.host.file)
		}
		for _, part := range []string{"apply does not work", "write does not work", "read does not work"} {
			n := 0
			for _, s := range w.notes() {
				if strings.Contains(s, part) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%q was said %d times: %q", part, n, w.notes())
			}
		}
		if !slices.Equal(w.host.told(), []string{"bound"}) {
			t.Errorf("hooks %v", w.host.told())
		}

		w.mute(true)
		w.host.set("clear", 2)
		end := *w.runner.Status().Expires
		w.until(601*time.Second, "the end", func() bool { return w.host.address() == 0 })
		if late := time.Unix(0, w.clock.Now().W).Sub(end); late > time.Second {
			t.Errorf("the address went %v after its end", late)
		}
	})
}

// TestOnce ends with the address left, or says that there is none.
func TestOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		once := func(o *Options) { o.Once = true }
		w.start(once)
		<-w.ended
		if w.result != nil || w.host.address() == 0 || len(w.host.file) == 0 {
			t.Errorf("%v, %s is on the interface, %d octets saved", w.result, w.host.address(), len(w.host.file))
		}
		w.host.Clear()
		w.host.file = nil
		w.mute(true)
		w.start(once)
		w.pass(time.Minute)
		w.stop()
		if !errors.Is(w.result, ErrNotBound) {
			t.Errorf("without a server: %v", w.result)
		}
	})
}

// TestPort: a port that is taken at the start ends the client; later it is waited for, as is
// one that fails.
func TestPort(t *testing.T) {
	inWorld(t, func(w *world) {
		var fail atomic.Pointer[error]
		set := func(err error) { fail.Store(&err) }
		w.links = &failingNet{ClientNet: w.client, open: func() error { return *fail.Load() }}
		set(&link.PortTakenError{Link: "eth0", Holder: "other", PID: 1})
		w.start()
		<-w.ended
		if _, ok := errors.AsType[*link.PortTakenError](w.result); !ok {
			t.Errorf("at the start: %v", w.result)
		}
		set(&link.PortTakenError{Link: "eth0"}) // by nobody that can be named: one that ends just now
		w.start()
		w.pass(time.Second)
		set(nil)
		w.until(5*time.Second, "bound", w.state("bound"))
		w.stop()
		w.forget()

		set(fmt.Errorf("open: %w", link.ErrDown))
		w.start()
		w.pass(3 * time.Second)
		if len(w.notes()) != 0 {
			t.Errorf("an interface that has just gone is worth a note: %q", w.notes())
		}
		set(errToday)
		w.pass(3 * time.Second)
		set(nil)
		w.until(5*time.Second, "bound", w.state("bound"))
		if !w.noted("does not work today") {
			t.Errorf("notes %q", w.notes())
		}
	})
}

// panicPort panics once in Receive, then fails once.
type panicPort struct {
	link.ClientPort
	n *int
}

func (p *panicPort) Receive(b *link.Batch) error {
	*p.n++
	switch *p.n {
	case 1:
		panic("a frame that nobody thought of")
	case 2:
		return errToday
	}
	return p.ClientPort.Receive(b)
}

// TestReceiverFails: a panic and an error of the receiver cost a pause and nothing else.
func TestReceiverFails(t *testing.T) {
	inWorld(t, func(w *world) {
		n := 0
		w.links = &failingNet{ClientNet: w.client, port: func(p link.ClientPort) link.ClientPort { return &panicPort{p, &n} }}
		w.bound()
		if !w.noted("a bug: a frame that nobody thought of") || !w.noted("does not work today") {
			t.Errorf("notes %q", w.notes())
		}
	})
}

// TestMachinePanics: a panic of the machine is counted and reported, and the loop goes on.
func TestMachinePanics(t *testing.T) {
	inWorld(t, func(w *world) {
		w.bound()
		r := w.runner
		err := r.do(func(l *loop) error {
			m := l.m
			l.m = nil // any use of it panics
			l.guarded(w.clock.Now())
			l.m = m
			return nil
		})
		if err != nil || r.Panics() != 1 || !w.noted("a bug") {
			t.Errorf("%v, %d panics, notes %.200q", err, r.Panics(), w.notes())
		}
		r.panics.Store(0)
		w.until(301*time.Second, "renewing", w.saw("renewing"))
		w.until(time.Second, "renewed", w.state("bound"))
	})
}

// TestIgnoredFlood: every ignored reply is counted, a bounded number reported, and the rest
// summed up.
func TestIgnoredFlood(t *testing.T) {
	inWorld(t, func(w *world) {
		w.bound()
		w.forget()
		rogue := w.sw.Endpoint(wire.MAC{6, 0, 0, 0, 0, 6})
		h := dhcp4.Header{Op: 2, HType: 1, HLen: 6, XID: 0x01020304, YIAddr: dhcp4.MustParseAddr("192.0.2.66")}
		copy(h.CHAddr[:], clientMAC[:])
		offer, _ := dhcp4.AppendMessage(nil, &h, []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(dhcp4.Offer)}}}, nil, 576)
		const flood = 20 * 1000
		for range flood / 1000 {
			for range 1000 {
				rogue.SendDHCP(wire.Send{Data: offer, MAC: clientMAC, Src: dhcp4.MustParseAddr("192.0.2.6"), Dst: h.YIAddr, SrcPort: 67, DstPort: 68})
			}
			w.pass(50 * time.Millisecond)
		}
		w.pass(2 * time.Second)
		total := uint64(0)
		for _, n := range w.runner.Status().Ignored {
			total += n
		}
		if total != flood {
			t.Errorf("%d of %d ignored replies were counted: %v", total, flood, w.runner.Status().Ignored)
		}
		events, more := 0, 0
		for _, r := range w.all() {
			var n int
			switch {
			case r.Event != nil && r.Event.Kind == client.EventIgnored:
				events++
			case strings.Contains(r.Note, "more replies ignored"):
				fmt.Sscan(r.Note, &n)
				more += n
			}
		}
		if events > 2*ignoredPerSecond || events+more != flood {
			t.Errorf("%d events and %d more in notes, want %d in all", events, more, flood)
		}
		w.until(301*time.Second, "renewing", w.saw("renewing"))
		w.until(time.Second, "renewed", w.state("bound"))
	})
}

// TestIgnoredCostsNothing: an ignored reply that is not reported allocates nothing, whatever
// its kind (F10).
func TestIgnoredCostsNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.bound()
		h := dhcp4.Header{Op: 2, HType: 1, HLen: 6, XID: 0x01020304, YIAddr: dhcp4.MustParseAddr("192.0.2.66")}
		copy(h.CHAddr[:], clientMAC[:])
		for name, data := range map[string][]byte{
			"another transaction": ack("192.0.2.66", 60), "no message": []byte("hello"), "no type": mustMessage(&h),
		} {
			p := &wire.Packet{Data: data, SrcMAC: serverMAC}
			err := w.runner.do(func(l *loop) error {
				now := w.clock.Now()
				hear := func() {
					l.in = client.Input{Kind: client.InputPacket, Packet: p}
					l.handle(now)
				}
				for range ignoredPerSecond {
					hear()
				}
				if n := testing.AllocsPerRun(1000, hear); n != 0 {
					t.Errorf("%s: %v allocations", name, n)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func mustMessage(h *dhcp4.Header, opts ...dhcp4.Option) []byte {
	b, _ := dhcp4.AppendMessage(nil, h, opts, nil, 576)
	return b
}
