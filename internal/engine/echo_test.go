package engine_test

import (
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/engine"
	"lessor/internal/link/memnet"
	"lessor/internal/store/memory"
	"lessor/internal/wire"
)

// TestEchoBehindRelay: a client behind a relay agent asks for an address that a host there
// has. The server asks by an ICMP echo request, hears the answer, and offers another
// address, for which it has waited in vain.
func TestEchoBehindRelay(t *testing.T) {
	w := prepare(t)
	near, far, taken := dhcp4.MustParseAddr("192.0.2.2"), dhcp4.MustParseAddr("198.51.100.1"), dhcp4.MustParseAddr("198.51.100.50")
	w.host.AddRoute(dhcp4.Prefix{Addr: far - 1, Bits: 24}, near)
	relay := w.sw.Endpoint(wire.MAC{2, 0, 0, 0, 0, 9}, near)
	relay.SetBehind(taken)
	w.start(memory.New(), func(c *engine.Config) {
		c.Policy = mustPolicy(t, `
interfaces: [eth0]
conflict-check: [arp, icmp]
subnets:
  - {subnet: 198.51.100.0/24, pools: [198.51.100.50-198.51.100.51]}
`)
	})
	w.eventually("the interface is served", w.logged("LINK_READY"))
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: 7, GIAddr: far, CHAddr: [16]byte{6, 0, 0, 0, 0, 1}}
	data, _ := dhcp4.AppendMessage(nil, &h, []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{1}},
		addrOption(dhcp4.OptDHCPRequestedAddress, taken)}, nil, 576)
	relay.SendDHCP(wire.Send{Data: data, MAC: w.eth0.MAC(), Src: near, Dst: serverAddr, SrcPort: 67, DstPort: 67})

	next := func() memnet.Frame {
		t.Helper()
		var f memnet.Frame
		w.eventually("a frame", func() (ok bool) {
			f, ok = relay.Receive()
			return ok
		})
		return f
	}
	for _, want := range []dhcp4.Addr{taken, taken + 1} {
		if f := next(); !f.IsEcho || f.Echo.Reply || f.Echo.Dst != want || f.Echo.Src != serverAddr {
			t.Fatalf("got %+v, want an echo request for %s", f.Frame, want)
		}
	}
	w.eventually("the conflict is noted", w.logged("LEASE_CONFLICT"))
	if f, ok := relay.Receive(); ok {
		t.Fatalf("%+v before half a second was over", f.Frame)
	}
	w.clock.advance(600 * time.Millisecond)
	f := next()
	var v dhcp4.View
	if err := v.Parse(f.Data); err != nil || v.MessageType() != dhcp4.Offer || v.YIAddr() != taken+1 || f.Dst != far {
		t.Errorf("got %+v (%v), want an OFFER of %s", f.Frame, err, taken+1)
	}
}
