package server_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// script has a core live through thousands of random inputs, and returns all that it asked
// for, as text. What is random is the same each time.
func script(t *testing.T, inputs int) []byte {
	r := rand.New(rand.NewPCG(7, 7))
	h := newHarness(t)
	var out bytes.Buffer
	configure := func(n int) {
		c, problems := config.Parse("world.yaml", fmt.Appendf(nil, worldConfigs[n], "arp"))
		if c == nil {
			t.Fatal(problems)
		}
		h.core.SetPolicy(h.now, c.Policy(), &h.e)
	}
	links := func(second byte) {
		h.core.SetLinks(h.now, []wire.Link{{ID: 1, Name: "eth0", MAC: wire.MAC{2, 0, 0, 0, 0xff, 1}, MTU: 1500, Addrs: []dhcp4.Prefix{
			{Addr: dhcp4.MustParseAddr("198.18.0.1"), Bits: 24}, {Addr: dhcp4.MustParseAddr("198.18.0.0") + dhcp4.Addr(second), Bits: 24}}}}, &h.e)
	}
	configure(0)
	links(2)
	for i := range inputs {
		e := &h.e
		a := dhcp4.MustParseAddr("198.18.0.96") + dhcp4.Addr(r.IntN(18))
		switch what := r.IntN(100); {
		case what < 80:
			p := newPacket(t, []dhcp4.MessageType{1, 1, 1, 3, 3, 3, 3, 4, 7, 8}[r.IntN(10)])
			p.h.CHAddr[5], p.h.XID = byte(r.IntN(40)), uint32(i)
			copy(p.meta.SrcMAC[:], p.h.CHAddr[:])
			if r.IntN(2) == 0 {
				p.set("req", a.String())
			}
			if r.IntN(2) == 0 {
				p.set("sid", "198.18.0.1")
			}
			if r.IntN(3) == 0 {
				p.set("ciaddr", a.String())
				p.set("from", a.String())
			}
			if r.IntN(3) == 0 {
				p.set("id", fmt.Sprintf("ff%04x", r.IntN(20)))
			}
			if r.IntN(8) == 0 {
				p.set("giaddr", "198.18.2.1")
			}
			pkt := p.packet()
			h.core.Handle(h.now, &pkt, e)
		case what < 85:
			m := wire.ARP{Link: 1, Op: 2, SenderIP: a, SenderMAC: wire.MAC{2, 0, 0, 0, 0xdd, byte(r.IntN(3))}}
			h.core.HandleARP(h.now, &m, e)
		case what < 96:
			d := r.Int64N(3e9)
			h.now.M, h.now.W = h.now.M+d, h.now.W+d
			h.core.Tick(h.now, e)
		case what < 97:
			configure(r.IntN(len(worldConfigs)))
		case what < 98:
			links(byte(2 + r.IntN(110)))
		case what < 99:
			_ = h.core.Release(h.now, a, r.IntN(2) == 0, e)
		default:
			cs := cloneChanges(e.Changes)
			h.core.Rollback(h.now, cs)
			h.core.SetStoreFailing(r.IntN(2) == 0)
		}
		fmt.Fprintf(&out, "%d %+v\n", h.core.NextTick(), *e)
		if n := len(e.Changes); n > 0 && r.IntN(3) > 0 {
			h.core.Durable(e.Changes[n-1].After.Rev)
		}
		h.e.Reset()
	}
	fmt.Fprintf(&out, "%+v\n", *h.core.Counters())
	h.core.Table().Scan(0, 1<<20, func(s lease.Slot) {
		var b lease.Binding
		h.core.Table().Binding(s, &b)
		fmt.Fprintf(&out, "%+v\n", b)
	})
	return out.Bytes()
}

// TestSameInputsSameEffects: two cores with the same secret that get the same inputs ask
// for the same, octet by octet. The simulator and every replay rest on it; the order of
// a map or a seed of its own would break it.
func TestSameInputsSameEffects(t *testing.T) {
	a, b := script(t, 20_000), script(t, 20_000)
	if !bytes.Equal(a, b) {
		la, lb := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
		for i := range la {
			if i >= len(lb) || !bytes.Equal(la[i], lb[i]) {
				t.Fatalf("line %d differs:\n%s\n%s", i, la[i], lb[min(i, len(lb)-1)])
			}
		}
	}
	for _, kind := range []string{"Kind:2", "Kind:4", "Kind:5", "Kind:6", "Kind:7", "Kind:8", "Kind:9"} {
		if !bytes.Contains(a, []byte(kind)) {
			t.Errorf("no event of %s happened: the script shows too little", kind)
		}
	}
}
