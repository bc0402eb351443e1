package engine_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/engine"
	"lessor/internal/link"
	"lessor/internal/store/memory"
	"lessor/internal/wire"
)

// trickyNet wraps a net whose ports fail as a test says.
type trickyNet struct {
	link.Net
	panicReceive, panicSend atomic.Bool
	failReceive             atomic.Bool
	openErr                 atomic.Pointer[error]
	opened                  atomic.Int64
}

func (n *trickyNet) wrap(inner link.Net) link.Net { n.Net = inner; return n }

func (n *trickyNet) Open(l wire.Link) (link.Port, error) {
	if err := n.openErr.Load(); err != nil {
		return nil, *err
	}
	n.opened.Add(1)
	p, err := n.Net.Open(l)
	return &trickyPort{p, n}, err
}

type trickyPort struct {
	link.Port
	net *trickyNet
}

func (p *trickyPort) Receive(b *link.Batch) error {
	err := p.Port.Receive(b)
	if p.net.panicReceive.CompareAndSwap(true, false) {
		panic("a receive that panics")
	}
	if p.net.failReceive.CompareAndSwap(true, false) {
		return errors.New("a socket that fails")
	}
	return err
}

func (p *trickyPort) Send(out []wire.Send) (int, error) {
	if p.net.panicSend.CompareAndSwap(true, false) {
		panic("a send that panics")
	}
	return p.Port.Send(out)
}

// TestLinkComesAndGoes: an interface that goes down, loses its address or fails is
// served again when it is ready (L4).
func TestLinkComesAndGoes(t *testing.T) {
	n := &trickyNet{}
	w := newWorld(t, memory.New(), withNet(n.wrap))
	c := w.client(1)
	addr := c.bind()
	serves := func(want int) func() bool {
		return func() bool { return len(w.status().Links) == want }
	}
	for name, lose := range map[string]func(bool){
		"down":       func(on bool) { w.eth0.SetUp(on) },
		"no carrier": func(on bool) { w.eth0.SetCarrier(on) },
	} {
		lose(false)
		w.eventually(name, serves(0))
		lose(true)
		w.eventually(name+" and back", serves(1))
		c.renew(addr)
		c.expect(dhcp4.Ack)
	}
	w.eth0.SetAddrs(dhcp4.Prefix{Addr: dhcp4.MustParseAddr("192.0.2.2"), Bits: 24}, dhcp4.Prefix{Addr: serverAddr, Bits: 24})
	w.eventually("another address", func() bool { l := w.status().Links; return len(l) == 1 && len(l[0].Addrs) == 2 })
	c.renew(addr)
	c.expect(dhcp4.Ack)

	opened := n.opened.Load()
	n.failReceive.Store(true)
	c.renew(addr)
	w.eventually("the failed port is opened again", func() bool { return n.opened.Load() > opened && serves(1)() })
	c.renew(addr)
	c.expect(dhcp4.Ack)
	w.eventually("LINK_FAILED, once", func() bool { return w.count("LINK_FAILED") == 1 })
}

// TestStartErrors: what a person has to put right ends the start; later the same
// error is waited out.
func TestStartErrors(t *testing.T) {
	taken := error(&link.PortTakenError{Link: "eth0"})
	n := &trickyNet{}
	n.openErr.Store(&taken)
	w := prepare(t)
	w.lines = &logBuffer{}
	st := memory.New()
	c := engine.Config{Clock: w.clock, Net: n.wrap(w.host), Store: st, Log: nil, Policy: mustPolicy(t, testConfig)}
	c.Log = newTestLog(w)
	defer c.Log.Close()
	e, err := engine.Load(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	err = e.Start(t.Context())
	if _, ok := errors.AsType[*link.PortTakenError](err); !ok {
		t.Fatalf("Start: %v, want a PortTakenError", err)
	}

	n2 := &trickyNet{}
	w2 := newWorld(t, memory.New(), withNet(n2.wrap))
	cl := w2.client(1)
	addr := cl.bind()
	n2.openErr.Store(&taken)
	w2.eth0.SetUp(false)
	w2.eth0.SetUp(true)
	w2.eventually("LINK_FAILED", w2.logged("LINK_FAILED"))
	n2.openErr.Store(nil)
	w2.eventually("served again", func() bool { return len(w2.status().Links) == 1 })
	cl.renew(addr)
	cl.expect(dhcp4.Ack)
}
