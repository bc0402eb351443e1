package setup

import (
	"strings"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
)

func addr(s string) dhcp4.Addr { return dhcp4.MustParseAddr(s) }

func prefix(s string) dhcp4.Prefix {
	a, bits, _ := strings.Cut(s, "/")
	p := dhcp4.Prefix{Addr: addr(a)}
	for _, c := range bits {
		p.Bits = 10*p.Bits + int(c-'0')
	}
	return p
}

func route(dst, via string) client.Route {
	r := client.Route{Dst: prefix(dst)}
	if via != "" {
		r.Via = addr(via)
	}
	return r
}

// example is an ordinary lease.
func example() *Config {
	return &Config{Addr: prefix("198.18.0.52/24"), Broadcast: addr("198.18.0.255"), Valid: 3600, Preferred: 3150,
		Server: addr("198.18.0.1"), Routes: []client.Route{route("0.0.0.0/0", "198.18.0.1")}}
}

func TestApplyAndClear(t *testing.T) {
	b := newBed(t)
	before := b.state()
	a := start(t, b.Host)
	a.open(Options{Metric: 1000, LeaseFile: b.lease})
	a.apply(example())
	have := b.ip("addr show dev eth0")
	contains(t, have, "inet 198.18.0.52/24 brd 198.18.0.255 scope global dynamic noprefixroute eth0", "valid_lft 3600sec preferred_lft 3150sec")
	routes := b.ip("route show")
	metric := b.metric(1000)
	want := "default via 198.18.0.1 dev eth0 proto dhcp src 198.18.0.52 metric " + metric + " \n" +
		"198.18.0.0/24 dev eth0 proto dhcp scope link src 198.18.0.52 metric " + metric + " \n"
	if routes != want {
		t.Errorf("routes\n%swant\n%s", routes, want)
	}
	a.clear()
	b.unchanged(before)
	c := example()
	c.Valid, c.Preferred = lease.Infinite, lease.Infinite
	a.apply(c)
	contains(t, b.ip("addr show dev eth0"), "valid_lft forever preferred_lft forever")
	a.close(false)
	b.unchanged(before)
	a.quiet()
}
