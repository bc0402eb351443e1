package client_test

import (
	"fmt"
	"slices"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// TestMemoryIsBounded: of twenty networks the last sixteen are remembered, the newest first,
// each once; one that is visited again becomes the newest.
func TestMemoryIsBounded(t *testing.T) {
	h := &hostile{t: t, now: lease.Instant{M: 1e12, W: 1.8e18}}
	h.m = client.New(client.Config{Fast: true, Detection: client.DetectOff}, secret, nil)
	h.do(&client.Input{Kind: client.InputLinkUp, Link: wire.Link{ID: 7, MAC: ownMAC, MTU: 1500}})
	visit := func(n byte) {
		h.do(&client.Input{Kind: client.InputNetworkChanged})
		for h.m.State() != client.Selecting {
			h.now.M = max(h.now.M, h.m.NextTick())
			h.do(&client.Input{Kind: client.InputTick})
		}
		for _, typ := range []byte{2, 5} {
			h.do(&client.Input{Kind: client.InputPacket, Packet: &wire.Packet{Data: h.good(typ), SrcMAC: wire.MAC{2, 0xaa, n}}})
		}
		if h.m.State() != client.Bound {
			t.Fatalf("network %d: %v", n, h.m.State())
		}
	}
	for n := range byte(20) {
		visit(n)
	}
	visit(10)
	want := []byte{10, 19, 18, 17, 16, 15, 14, 13, 12, 11, 9, 8, 7, 6, 5, 4}
	var got []byte
	for _, r := range h.m.Memory() {
		got = append(got, r.RouterMAC[2])
	}
	if !slices.Equal(got, want) {
		t.Errorf("remembered are %v, want %v", got, want)
	}
	if n := len(h.m.AppendWatched(nil)); n != 2 {
		t.Errorf("%d addresses are watched while the lease is in use, want it and its router", n)
	}
}

// TestMemoryOfAnEarlierRun: what a file holds is taken over, at most sixteen networks, and
// without what no host can use.
func TestMemoryOfAnEarlierRun(t *testing.T) {
	var memory []client.Remembered
	for i, addr := range []string{"192.0.2.50", "192.0.2.0", "0.0.0.0", "127.0.0.1", "224.0.0.1", "192.0.2.51"} {
		memory = append(memory, client.Remembered{Router: 0xc0000201, RouterMAC: wire.MAC{2, byte(i)}, OwnMAC: ownMAC,
			Lease: client.Lease{Addr: dhcp4.Prefix{Addr: dhcp4.MustParseAddr(addr), Bits: 24}, End: lease.Never}})
	}
	memory[5].Lease.Addr.Bits = 33
	for i := range 20 {
		r := memory[0]
		r.RouterMAC[2] = byte(i + 1)
		memory = append(memory, r)
	}
	m := client.New(client.Config{Fast: true}, secret, memory)
	if n := len(m.Memory()); n != client.MaxMemory {
		t.Errorf("%d networks, want %d", n, client.MaxMemory)
	}
	for _, r := range m.Memory() {
		if r.Lease.Addr.String() != "192.0.2.50/24" {
			t.Errorf("%v was taken over", r.Lease.Addr)
		}
	}
	var e client.Effects
	m.Handle(lease.Instant{M: 1e12}, &client.Input{Kind: client.InputLinkUp, Link: wire.Link{ID: 7, MAC: ownMAC, MTU: 1500}}, &e)
	asked := 0
	for _, f := range e.List {
		if f.Kind == client.EffectARP {
			asked++
		}
	}
	if asked != client.MaxMemory || m.State() != client.InitReboot {
		t.Errorf("%d routers were asked in %v", asked, m.State())
	}
}

// TestReasonTable holds that every reason has a name and words, and that names are unique
// among those of one kind of event.
func TestReasonTable(t *testing.T) {
	seen := map[string]client.Reason{}
	for r := client.None + 1; r < client.NumReasons; r++ {
		if r.String() == "" || r.Text() == "" {
			t.Errorf("reason %d has no name or no words", r)
		}
		if old, twice := seen[r.String()]; twice && r.Text() == old.Text() {
			t.Errorf("%q is there twice", r)
		}
		seen[r.String()] = r
	}
	if s := fmt.Sprint(client.NumReasons, client.NumReasons.Text()); s == " " {
		t.Error("a number beyond the table has no name")
	}
}
