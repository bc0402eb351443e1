package e2e

import (
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
)

const icmpConfig = `
interfaces: [eth0]
valid-lifetime: 1h
conflict-check: [arp, icmp]
subnets:
  - subnet: 198.18.1.0/24
    pools: [198.18.1.100-198.18.1.109]
    options: {routers: 198.18.1.254}
`

// A client behind a relay agent asks for an address that another host there uses without
// asking anybody. The server finds that out by a ping through the router, takes the address out
// and never offers it.
func TestServerNoticesAnAddressInUseBehindARelay(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	lan, far := try(l.Switch("lan"))(t), try(l.Switch("far"))(t)
	sh, router := try(l.Host("server"))(t), try(l.Host("router"))(t)
	ch, squatter := try(l.Host("client"))(t), try(l.Host("squatter"))(t)
	taken, pool := dhcp4.MustParseAddr("198.18.1.105"), dhcp4.Prefix{Addr: dhcp4.MustParseAddr("198.18.1.0"), Bits: 24}
	check(t, lan.Join(sh, "eth0", "198.18.0.1/24"))
	check(t, lan.Join(router, "eth0", "198.18.0.254/24"))
	check(t, far.Join(router, "eth1", "198.18.1.254/24"))
	check(t, far.Join(squatter, "eth0", taken.String()+"/24"))
	check(t, far.Join(ch, "eth0"))
	check(t, router.Forward())
	check(t, sh.AddRoute("198.18.1.0/24", "198.18.0.254"))
	check(t, squatter.AddRoute("198.18.0.0/24", "198.18.1.254"))
	rec := record(t, lan)
	srv := serve(t, sh, icmpConfig)
	relay := try(router.Start(netlab.Spec{Args: []string{"/usr/sbin/dhcrelay", "-4", "-d", "--no-pid", "-iu", "eth0", "-id", "eth1", "198.18.0.1"}}))(t)
	check(t, relay.WaitOutput("Sending on", 10*time.Second))

	c := ch.Client(netlab.Udhcpc, "eth0")
	c.Request = taken.Netip()
	check(t, c.Start())
	end := time.Now().Add(30 * time.Second)
	for {
		a, _ := dhcp4.AddrFromNetip(ch.Addr("eth0"))
		if pool.Contains(a) && a != taken {
			break
		}
		if a == taken || time.Now().After(end) {
			t.Fatalf("the client has %s, want an address of %s other than %s; the server wrote:\n%s\nthe relay agent wrote:\n%s", a, pool, taken, tail(srv.Output(), 3000), tail(relay.Output(), 2000))
		}
		time.Sleep(20 * time.Millisecond)
	}
	check(t, srv.WaitOutput("LEASE_CONFLICT", 5*time.Second))
	asked := false
	var discovered time.Time
	for _, f := range rec.Frames() {
		v, ok := f.View()
		switch {
		case !ok:
		case f.From == "server" && v.YIAddr() == taken:
			t.Errorf("unexpected: %s", &f)
		case f.Type() == dhcp4.Discover && v.GIAddr() == dhcp4.MustParseAddr("198.18.1.254"):
			a, _ := v.Addr(dhcp4.OptDHCPRequestedAddress)
			asked = asked || a == taken
			if discovered.IsZero() {
				discovered = f.Time
			}
		case f.Type() == dhcp4.Offer:
			if wait := f.Time.Sub(discovered); wait < 450*time.Millisecond {
				t.Errorf("the OFFER came after %s: half a second of silence was not waited for", wait)
			}
		}
	}
	if !asked {
		t.Error("no relayed DISCOVER asked for the address in use")
	}
}
