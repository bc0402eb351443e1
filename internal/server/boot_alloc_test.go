//go:build !race

package server_test

import (
	"encoding/binary"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// TestClassesAndBootAllocateNothing holds P12 for what networks add: offers to boot
// programs, and unicast renewals of a client behind a relay agent whose class, guard and
// reservation come from the relay information of its binding.
func TestClassesAndBootAllocateNothing(t *testing.T) {
	cfg, problems := config.Parse("f", []byte(`
interfaces: [eth0]
conflict-check: off
flex-id: 'relay["remote-id"] + giaddr'
ingress-limits: {rate-limit: 100/s, address-limit: 8}
client-classes:
  - {name: port, test: 'relay["circuit-id"] == "7"', address-limit: 5, boot: {bios: a.kpxe}}
subnets:
  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.200], boot: {next-server: 192.0.2.2, uefi-x64: b.efi, uefi-x64-http: "http://192.0.2.2/b.efi"}}
  - {subnet: 198.18.2.0/24, client-classes: port, address-limit: 50, pools: [198.18.2.100-198.18.2.200], reservations: [{circuit-id: "8", ip-address: 198.18.2.8}]}
`))
	if cfg == nil {
		t.Fatal(problems)
	}
	now := lease.Instant{M: 1e15, W: 1_790_000_000e9}
	c := server.New(secret, lease.BootID{1})
	var e server.Effects
	c.SetPolicy(now, cfg.Policy(), &e)
	c.SetLinks(now, []wire.Link{benchLink}, &e)
	packets := map[string]*packet{}
	for name, args := range map[string][]string{
		"bound":   {"giaddr", "198.18.2.1", "agent", "010137", "sid", "198.18.0.1", "req", "198.18.2.105"},
		"renewal": {"ciaddr", "198.18.2.105", "from", "198.18.2.105", "to", "198.18.0.1", "mac", "02:00:00:00:ee:01"},
		"http":    {"hw", "2", "text", "60:HTTPClient:Arch:00016", "opt", "93:0010", "opt", "77:0169"},
		"pxe":     {"hw", "2", "text", "60:PXEClient:Arch:00007", "opt", "93:0007", "opt", "97:00112233", "params", "1,43,60,66,67"},
	} {
		typ := dhcp4.Request
		if name == "http" || name == "pxe" {
			typ = dhcp4.Discover
		}
		p := newPacket(t, typ)
		for i := 0; i < len(args); i += 2 {
			p.set(args[i], args[i+1])
		}
		packets[name] = p
	}
	bound := packets["bound"].packet()
	c.Handle(now, &bound, &e)
	renewal, http, pxe := packets["renewal"].packet(), packets["http"].packet(), packets["pxe"].packet()
	xid := uint32(0)
	one := func() {
		for range 16 {
			xid++
			binary.BigEndian.PutUint32(renewal.Data[4:], xid)
			c.Handle(now, &renewal, &e)
			c.Handle(now, &http, &e)
			c.Handle(now, &pxe, &e)
			now.M += 1000
		}
		if len(e.Replies) < 48 {
			t.Fatalf("%d replies to 48 packets", len(e.Replies))
		}
		c.Durable(e.Changes[len(e.Changes)-1].After.Rev)
		e.Reset()
	}
	one()
	one()
	if n := testing.AllocsPerRun(50, one); n != 0 {
		t.Errorf("%v allocations for 16 renewals and 32 offers, want none", n)
	}
}
