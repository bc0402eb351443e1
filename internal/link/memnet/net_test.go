package memnet

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/wire"
)

var (
	hostIP   = dhcp4.Prefix{Addr: dhcp4.MustParseAddr("192.0.2.1"), Bits: 24}
	clientIP = dhcp4.MustParseAddr("192.0.2.100")
	hostMAC  = wire.MAC{2, 0, 0x5e, 0, 0, 1}
	macA     = wire.MAC{2, 0, 0x5e, 0x10, 0, 0xa}
	macB     = wire.MAC{2, 0, 0x5e, 0x10, 0, 0xb}
)

// lan is a host with a port and two endpoints on one switch.
func lan(t *testing.T) (*Network, link.Port, *Endpoint, *Endpoint) {
	t.Helper()
	n := New()
	sw, h := n.Switch("lan"), n.Host()
	i := h.Add("eth0", sw, hostMAC, hostIP)
	p, err := h.Open(wire.Link{ID: i.ID(), Name: "eth0", MAC: hostMAC, MTU: 1500, Addrs: []dhcp4.Prefix{hostIP}})
	if err != nil {
		t.Fatal(err)
	}
	return n, p, sw.Endpoint(macA, clientIP), sw.Endpoint(macB)
}

func discover(data string) wire.Send {
	return wire.Send{MAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, SrcPort: 68, DstPort: 67, Data: []byte(data)}
}

func TestHookLosesAndDoubles(t *testing.T) {
	n, p, a, b := lan(t)
	n.SetHook(func(tr Transit) int {
		if tr.To == hostMAC {
			return 2
		}
		return 0
	})
	a.SendDHCP(discover("x"))
	var batch link.Batch
	if err := p.Receive(&batch); err != nil || len(batch.Packets) != 2 {
		t.Errorf("the host received %d copies, %v", len(batch.Packets), err)
	}
	if f, ok := b.Receive(); ok {
		t.Errorf("the other endpoint received what was lost: %+v", f)
	}
	n.SetHook(nil)
	a.SendDHCP(discover("y"))
	if f, ok := b.Receive(); !ok || string(f.Data) != "y" || f.SrcMAC != macA || f.DstPort != 67 {
		t.Errorf("without a hook: %v %+v", ok, f)
	}
}

func TestSwitch(t *testing.T) {
	_, p, a, b := lan(t)
	out := []wire.Send{{Raw: true, MAC: macA, Src: hostIP.Addr, Dst: clientIP, SrcPort: 67, DstPort: 68, Data: []byte("to a")}}
	send := func() {
		t.Helper()
		if failed, err := p.Send(out); failed != 0 || err != nil {
			t.Fatal(failed, err)
		}
	}
	send()
	if f, ok := a.Receive(); !ok || string(f.Data) != "to a" || f.SrcMAC != hostMAC {
		t.Errorf("a: %v %+v", ok, f)
	}
	if f, ok := b.Receive(); ok {
		t.Errorf("b received a frame for a: %+v", f)
	}
	b.SetPromiscuous(true)
	send()
	if f, ok := b.Receive(); !ok || f.DstMAC != macA {
		t.Errorf("b, promiscuous: %v %+v", ok, f)
	}
	a.Unplug()
	a.SendDHCP(discover("unplugged"))
	send()
	if _, ok := a.Receive(); !ok {
		t.Error("a lost what it had received before")
	}
	if f, ok := a.Receive(); ok {
		t.Errorf("an unplugged endpoint received %+v", f)
	}
	for range QueueLimit + 7 {
		send()
	}
	if b.Dropped() != 7+1 { // one frame was there
		t.Errorf("b lost %d", b.Dropped())
	}
	b.SetListening(false)
	send()
	if b.Dropped() != 8 {
		t.Error("an endpoint that does not listen counts losses")
	}
}

// TestAnswers: endpoints and interfaces answer for their addresses, and for no other.
func TestAnswers(t *testing.T) {
	_, p, a, _ := lan(t)
	var batch link.Batch
	ask := func(ip dhcp4.Addr) error {
		return p.SendARP([]wire.ARP{{Op: 1, SenderMAC: hostMAC, SenderIP: hostIP.Addr, TargetIP: ip}})
	}
	if err := errors.Join(ask(clientIP+1), ask(clientIP), p.Receive(&batch)); err != nil {
		t.Fatal(err)
	}
	if len(batch.ARPs) != 1 || batch.ARPs[0].SenderIP != clientIP || batch.ARPs[0].SenderMAC != macA {
		t.Errorf("answers %+v", batch.ARPs)
	}
	a.Receive()
	a.Receive() // the two questions
	a.SendARP(wire.ARP{Op: 1, SenderMAC: macA, TargetIP: hostIP.Addr})
	if f, ok := a.Receive(); !ok || f.ARP.SenderMAC != hostMAC || f.DstMAC != macA {
		t.Errorf("the host's answer to a probe: %v %+v", ok, f)
	}
}

// TestFakeTime: everything waits in a way that a synctest bubble sees, so that tests
// of the engine need no real time.
func TestFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p, a, b := lan(t)
		ended := make(chan error)
		go func() {
			var batch link.Batch
			err := p.Receive(&batch)
			for err == nil {
				err = p.Receive(&batch)
			}
			ended <- err
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := b.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait: %v", err)
		}
		time.AfterFunc(time.Minute, func() { a.SendDHCP(discover("late")) })
		start := time.Now()
		if f, err := b.Wait(t.Context()); err != nil || string(f.Data) != "late" || time.Since(start) != time.Minute {
			t.Errorf("wait: %v, %q after %v", err, f.Data, time.Since(start))
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
}

// TestClientFakeTime: a client's port and its watch wait in a way that a synctest bubble
// sees, so that tests of the runner need no real time.
func TestClientFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		sw, h := n.Switch("lan"), n.Host()
		i := h.Add("eth0", sw, hostMAC)
		server := sw.Endpoint(macA)
		ctx, cancel := context.WithCancel(t.Context())
		links := make(chan *wire.Link, 10)
		ended := make(chan error, 2)
		go func() {
			ended <- h.WatchClient(ctx, "eth0", func(l *wire.Link, _ *link.Missing) { links <- l })
		}()
		l := <-links
		p, err := h.OpenClient(*l)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 10)
		go func() {
			var b link.Batch
			for {
				if err := p.Receive(&b); err != nil {
					ended <- err
					return
				}
				for _, q := range b.Packets {
					got <- string(q.Data)
				}
			}
		}()
		time.AfterFunc(time.Hour, func() {
			server.SendDHCP(wire.Send{MAC: hostMAC, Dst: clientIP, SrcPort: 67, DstPort: 68, Data: []byte("offer")})
		})
		time.AfterFunc(2*time.Hour, func() { i.SetCarrier(false); i.SetCarrier(true) })
		start := time.Now()
		if s := <-got; s != "offer" || time.Since(start) != time.Hour {
			t.Errorf("received %q after %v", s, time.Since(start))
		}
		if l := <-links; l != nil || time.Since(start) != 2*time.Hour {
			t.Errorf("reported %v after %v", l, time.Since(start))
		}
		if l := <-links; l == nil || l.MAC != hostMAC {
			t.Errorf("reported %v", l)
		}
		cancel()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-ended; err != nil && !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		}
	})
}
