package netlab

import (
	"net/netip"
	"os"
	"testing"
	"time"
)

// Every client gets an address from a server that is not ours, so that a failure
// of the tests with ours is not one of the lab.
func TestClientsGetAnAddress(t *testing.T) {
	before, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t)
	s := must(l.Switch("lan"))(t)
	srv := must(l.Host("server"))(t)
	if err := s.Join(srv, "eth0", "198.18.0.1/24"); err != nil {
		t.Fatal(err)
	}
	dnsmasq := srv.Server(Dnsmasq, "eth0", Scope{Subnet: netip.MustParsePrefix("198.18.0.1/24"), First: netip.MustParseAddr("198.18.0.100"),
		Last: netip.MustParseAddr("198.18.0.199"), Lifetime: 120 * time.Second, DNS: []netip.Addr{netip.MustParseAddr("198.18.0.53")}})
	if err := dnsmasq.Start(); err != nil {
		t.Fatal(err)
	}
	for _, k := range Kinds {
		h := must(l.Host(string(k)))(t)
		if err := s.Join(h, "eth0"); err != nil {
			t.Fatal(err)
		}
		c := h.Client(k, "eth0")
		start := time.Now()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		first, err := c.Await(20*time.Second, netip.Addr.IsValid)
		if err != nil {
			t.Error(err)
			continue
		}
		t.Logf("%s: %s after %s", k, first, time.Since(start))
		if err := c.PowerOff(); err != nil {
			t.Error(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		start = time.Now()
		again, err := c.Await(20*time.Second, netip.Addr.IsValid)
		if err != nil || again != first {
			t.Errorf("%s: %s before the restart, %s after it: %v", k, first, again, err)
		}
		t.Logf("%s: again after %s", k, time.Since(start))
		c.Kill()
	}
	after, err := os.ReadFile("/etc/resolv.conf")
	if err != nil || string(after) != string(before) {
		t.Errorf("the real resolv.conf was %q and is %q (%v)", before, after, err)
	}
}
