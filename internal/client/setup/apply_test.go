package setup

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
)

func addr(s string) dhcp4.Addr { return dhcp4.MustParseAddr(s) }

func prefix(s string) dhcp4.Prefix {
	i, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	bits, _ := n.Mask.Size()
	return dhcp4.Prefix{Addr: addrOf(i), Bits: bits}
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

// routes fails the test unless ip route show, with more arguments, prints want, in which
// METRIC stands for ours.
func (b *bed) routes(more string, want ...string) {
	b.t.Helper()
	metric := fmt.Sprintf("metric %d", 1000+b.Index("eth0"))
	have := strings.TrimSpace(strings.ReplaceAll(b.ip("route show "+more), " \n", "\n"))
	if w := strings.ReplaceAll(strings.Join(want, "\n"), "METRIC", metric); have != w {
		b.t.Errorf("routes\n%s\nwant\n%s", have, w)
	}
}

func TestApplyAndClear(t *testing.T) {
	b := newBed(t)
	before := b.state()
	a := start(t, b.Host)
	a.open(b.options())
	a.apply(example())
	contains(t, b.ip("addr show dev eth0"), "inet 198.18.0.52/24 brd 198.18.0.255 scope global dynamic noprefixroute eth0",
		"valid_lft 3600sec preferred_lft 3150sec")
	b.routes("", "default via 198.18.0.1 dev eth0 proto dhcp src 198.18.0.52 METRIC",
		"198.18.0.0/24 dev eth0 proto dhcp scope link src 198.18.0.52 METRIC")
	a.clear()
	b.unchanged(before)
	c := example()
	c.Valid, c.Preferred, c.Broadcast = lease.Infinite, lease.Infinite, 0
	a.apply(c)
	have := b.ip("addr show dev eth0")
	contains(t, have, "valid_lft forever preferred_lft forever", "inet 198.18.0.52/24 scope global")
	c.Valid, c.Preferred = 10, 0
	a.apply(c)
	contains(t, b.ip("addr show dev eth0"), "valid_lft 10sec preferred_lft 0sec", "deprecated")
	a.close(false)
	b.unchanged(before)
	a.quiet()
}

// What there is before and what comes meanwhile stays, whatever the kernel does to it
// when our address goes.
func TestWhatOthersHaveStays(t *testing.T) {
	b := newBed(t)
	b.ip("addr add 203.0.113.7/24 brd + dev eth0")
	b.ip("addr add 198.18.0.9/24 dev eth0 valid_lft 5000 preferred_lft 4000")
	b.ip("addr add 192.0.2.1/32 peer 192.0.2.2 dev eth0")
	b.ip("route add 192.0.2.128/25 via 203.0.113.1 dev eth0 proto dhcp metric 50")
	b.ip("route add default via 203.0.113.1 dev eth0 proto static")
	b.ip("route add default via 198.18.0.1 dev eth0 proto dhcp src 198.18.0.9 metric " + b.metric(1000))
	b.ip("route add 198.51.100.0/24 dev eth0 table 77 src 203.0.113.7")
	b.ip("link set eth0 mtu 1480")
	b.ip("link set eth0 promisc on")
	before := b.state()
	a := start(t, b.Host)
	a.open(b.options())
	for _, mtu := range []uint16{0, 1300, 1400, 0, 1300} {
		c := example()
		c.MTU = mtu
		a.apply(c)
		if mtu == 1300 { // somebody uses our address for a route of their own
			b.ip("route replace 203.0.113.128/25 dev eth0 proto dhcp src 198.18.0.52 metric 5")
		}
		contains(t, b.ip("route show"), "203.0.113.128/25"[:16*min(1, int(mtu))])
	}
	contains(t, b.ip("link show eth0"), "mtu 1300")
	contains(t, b.ip("addr show eth0"), "198.18.0.52/24 brd 198.18.0.255 scope global secondary")
	a.clear()
	b.unchanged(before)
	a.apply(example())
	a.close(false)
	b.unchanged(before)
	a.quiet()
}

// The kernel removes an address that came after ours in our subnet together with
// ours, and its routes; both come back.
func TestSecondaryOfOursStays(t *testing.T) {
	b := newBed(t)
	b.run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/conf/eth0/promote_secondaries; echo 0 >/proc/sys/net/ipv4/conf/all/promote_secondaries")
	a := start(t, b.Host)
	a.open(b.options())
	a.apply(example())
	b.ip("addr add 198.18.0.60/24 brd 198.18.0.255 dev eth0 noprefixroute valid_lft 5000 preferred_lft 4000")
	b.ip("addr add 198.18.0.61/24 dev eth0")
	b.ip("route add 203.0.113.0/24 dev eth0 src 198.18.0.60 metric 5")
	b.ip("route add 198.51.100.0/24 via 198.18.0.60 dev eth0 table 77 src 198.18.0.60")
	contains(t, b.ip("addr show dev eth0"), "198.18.0.60/24 brd 198.18.0.255 scope global secondary dynamic noprefixroute")
	a.clear()
	b.routes("table main", "203.0.113.0/24 dev eth0 scope link src 198.18.0.60 metric 5")
	contains(t, b.ip("addr show dev eth0"), "198.18.0.60/24 brd 198.18.0.255 scope global dynamic noprefixroute", "valid_lft 5000sec", "198.18.0.61/24 scope global secondary eth0")
	if have := b.ip("addr show dev eth0"); strings.Contains(have, "198.18.0.52") {
		t.Errorf("our address stayed:\n%s", have)
	}
	a.quiet()
}

// A host that has the address already, from its boot loader for example, keeps it.
func TestAddressOfOthersStays(t *testing.T) {
	b := newBed(t)
	b.ip("addr add 198.18.0.52/24 dev eth0")
	before := b.state()
	a := start(t, b.Host)
	a.open(b.options())
	a.apply(example())
	a.warned("198.18.0.52/24 was on eth0 before", "stays")
	a.apply(example())
	contains(t, b.ip("addr show dev eth0"), "valid_lft forever")
	contains(t, b.ip("route show"), "default via 198.18.0.1 dev eth0 proto dhcp")
	a.clear()
	b.unchanged(before)
	a.quiet()
}

// An address that another client has left has that client's lifetime; with ours it does not
// end before our lease, nor stay after it.
func TestAddressThatOthersLeft(t *testing.T) {
	b := newBed(t)
	before := b.state()
	b.ip("addr add 198.18.0.52/24 dev eth0 valid_lft 2 preferred_lft 1")
	a := start(t, b.Host)
	a.open(b.options())
	a.apply(example())
	a.warned("198.18.0.52/24 was on eth0 before", "this client's")
	a.apply(example())
	contains(t, b.ip("addr show dev eth0"), "valid_lft 3600sec preferred_lft 3150sec")
	a.clear()
	b.unchanged(before)
	a.quiet()
}

// A renewal changes the lifetimes and nothing else.
func TestRenewalTouchesNothing(t *testing.T) {
	b := newBed(t)
	a := start(t, b.Host)
	a.open(b.options())
	c := example()
	c.MTU = 1400
	c.Routes = append(c.Routes, route("203.0.113.0/24", "198.18.0.9"))
	a.apply(c)
	m := b.monitor()
	c.Valid, c.Preferred = 7200, 6300
	a.apply(c)
	got := m.take(b)
	if len(got) != 1 || strings.HasPrefix(got[0], "Deleted") || !strings.Contains(got[0], "valid_lft 7200sec preferred_lft 6300sec") {
		t.Errorf("a renewal did\n%s", strings.Join(got, "\n"))
	}
	// Another broadcast address is one that the kernel only takes with a new address.
	c.Broadcast = addr("255.255.255.255")
	a.apply(c)
	contains(t, b.ip("addr show dev eth0"), "198.18.0.52/24 brd 255.255.255.255")
	a.quiet()
}

// order fails the test unless the events of m are those of want, in this order; each
// is a regular expression.
func (m *monitor) order(b *bed, want ...string) {
	b.t.Helper()
	got := m.take(b)
	ok := len(got) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = regexp.MustCompile("^(\\d+: eth0 )?" + want[i]).MatchString(got[i])
	}
	if !ok {
		b.t.Errorf("the order was\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestUpdatesWithoutAGap(t *testing.T) {
	b := newBed(t)
	a := start(t, b.Host)
	a.open(b.options())
	c := example()
	a.apply(c)
	m := b.monitor()
	t.Run("another router", func(t *testing.T) {
		c.Routes = []client.Route{route("0.0.0.0/0", "198.18.0.2"), route("203.0.113.0/24", "198.18.0.3")}
		a.apply(c)
		m.order(b, "inet 198.18.0.52", "default via 198.18.0.2", "203.0.113.0/24 via 198.18.0.3", "Deleted default via 198.18.0.1")
	})
	t.Run("an MTU for the routes", func(t *testing.T) {
		c.MTU = 600
		a.apply(c)
		m.order(b, "inet 198.18.0.52", "198.18.0.0/24 dev eth0 .* mtu 600", "default via 198.18.0.2 .* mtu 600", "203.0.113.0/24 .* mtu 600",
			"Deleted 203.0.113.0/24", "Deleted 198.18.0.0/24 dev", "Deleted default")
		b.routes("", "default via 198.18.0.2 dev eth0 proto dhcp src 198.18.0.52 METRIC mtu 600",
			"198.18.0.0/24 dev eth0 proto dhcp scope link src 198.18.0.52 METRIC mtu 600",
			"203.0.113.0/24 via 198.18.0.3 dev eth0 proto dhcp src 198.18.0.52 METRIC mtu 600")
	})
	t.Run("another address", func(t *testing.T) {
		c.Addr = prefix("198.18.0.53/24")
		a.apply(c)
		m.order(b, "Deleted 203.0.113.0/24", "Deleted 198.18.0.0/24", "Deleted default", "Deleted \\d+: eth0 inet 198.18.0.52",
			"inet 198.18.0.53", "198.18.0.0/24 dev eth0", "default via 198.18.0.2", "203.0.113.0/24 via")
	})
	t.Run("another mask", func(t *testing.T) {
		c.Addr, c.Broadcast = prefix("198.18.0.53/16"), addr("198.18.255.255")
		a.apply(c)
		if have := b.Addrs("eth0"); len(have) != 1 || have[0].String() != "198.18.0.53/16" {
			t.Errorf("addresses %v", have)
		}
	})
	a.quiet()
}

// The routes of a lease, in any order, with gateways that the subnet does not have.
func TestRoutes(t *testing.T) {
	b := newBed(t)
	a := start(t, b.Host)
	a.open(b.options())
	for _, tc := range []struct {
		name   string
		addr   string
		routes []client.Route
		want   []string
	}{
		{"classless, on the link", "198.18.0.52/24", []client.Route{route("0.0.0.0/0", "198.51.100.1"), route("203.0.113.0/24", "198.18.0.1"), route("198.51.100.0/24", "")}, []string{
			"default via 198.51.100.1 dev eth0 proto dhcp src 198.18.0.52 METRIC",
			"198.18.0.0/24 dev eth0 proto dhcp scope link src 198.18.0.52 METRIC",
			"198.51.100.0/24 dev eth0 proto dhcp scope link src 198.18.0.52 METRIC",
			"203.0.113.0/24 via 198.18.0.1 dev eth0 proto dhcp src 198.18.0.52 METRIC"}},
		{"a mask of 32 bits", "198.18.0.52/32", []client.Route{route("0.0.0.0/0", "198.18.0.1"), route("203.0.113.0/24", "198.18.0.1")}, []string{
			"default via 198.18.0.1 dev eth0 proto dhcp src 198.18.0.52 METRIC",
			"198.18.0.1 dev eth0 proto dhcp scope link src 198.18.0.52 METRIC",
			"203.0.113.0/24 via 198.18.0.1 dev eth0 proto dhcp src 198.18.0.52 METRIC"}},
		{"a mask of 31 bits", "198.18.0.52/31", []client.Route{route("0.0.0.0/0", "198.18.0.53")}, []string{
			"default via 198.18.0.53 dev eth0 proto dhcp src 198.18.0.52 METRIC",
			"198.18.0.52/31 dev eth0 proto dhcp scope link src 198.18.0.52 METRIC"}},
		{"a router elsewhere", "198.18.0.52/24", []client.Route{route("0.0.0.0/0", "203.0.113.1")}, []string{
			"default via 203.0.113.1 dev eth0 proto dhcp src 198.18.0.52 METRIC",
			"198.18.0.0/24 dev eth0 proto dhcp scope link src 198.18.0.52 METRIC",
			"203.0.113.1 dev eth0 proto dhcp scope link src 198.18.0.52 METRIC"}},
		{"everything on the link", "198.18.0.52/24", []client.Route{route("0.0.0.0/0", ""), route("198.18.0.0/24", "")}, []string{
			"default dev eth0 proto dhcp scope link src 198.18.0.52 METRIC",
			"198.18.0.0/24 dev eth0 proto dhcp scope link src 198.18.0.52 METRIC"}},
		{"none", "198.18.0.52/24", nil, []string{"198.18.0.0/24 dev eth0 proto dhcp scope link src 198.18.0.52 METRIC"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := example()
			c.Addr, c.Broadcast, c.Routes = prefix(tc.addr), 0, tc.routes
			a.apply(c)
			b.routes("", tc.want...)
			a.clear()
			a.apply(c) // from nothing
			b.routes("", tc.want...)
			a.quiet()
		})
	}
}

// Routes in a table of their own, which the kernel does not clean with the address.
func TestTable(t *testing.T) {
	b := newBed(t)
	before := b.state()
	o := b.options()
	o.Table = 1066
	a := start(t, b.Host)
	a.open(o)
	a.apply(example())
	b.routes("")
	b.routes("table 1066", "default via 198.18.0.1 dev eth0 proto dhcp src 198.18.0.52 METRIC",
		"198.18.0.0/24 dev eth0 proto dhcp scope link src 198.18.0.52 METRIC")
	a.clear()
	b.unchanged(before)
	a.quiet()
}

func TestMTU(t *testing.T) {
	b := newBed(t)
	a := start(t, b.Host)
	a.open(b.options())
	for _, tc := range []struct {
		mtu        uint16
		link, text string
	}{{576, "mtu 1500 ", "mtu 576"}, {1279, "mtu 1500 ", "mtu 1279"}, {1280, "mtu 1280 ", "mtu 1280"}, {9000, "mtu 9000 ", "mtu 9000"}, {1279, "mtu 1500 ", "mtu 1279"}, {0, "mtu 1500 ", ""}} {
		c := example()
		c.MTU = tc.mtu
		a.apply(c)
		contains(t, b.ip("link show eth0"), tc.link)
		for line := range strings.Lines(b.ip("route show")) {
			if contains(t, line, tc.text); tc.text == "" && strings.Contains(line, "mtu") {
				t.Errorf("without an MTU: %s", line)
			}
		}
	}
	c := example()
	c.MTU = 1400
	a.apply(c)
	b.ip("link set eth0 mtu 1450") // somebody else's wish stays
	a.clear()
	contains(t, b.ip("link show eth0"), "mtu 1450 ")
	a.quiet()
}

// An interface that cannot have so large an MTU: the routes have it, and the lease is used.
func TestMTUOverTheLimit(t *testing.T) {
	b := newBed(t)
	b.ip("tuntap add mode tap name tap0")
	b.ip("link set tap0 up")
	before := b.state()
	a := start(t, b.Host)
	a.must(request{Op: "open", Name: "tap0", Options: b.options()})
	c := example()
	c.MTU = 65535
	a.apply(c)
	a.warned("tap0 cannot have the MTU 65535", "only the routes")
	contains(t, b.ip("link show tap0"), "mtu 1500 ")
	contains(t, b.ip("route show"), "default via 198.18.0.1 dev tap0 proto dhcp src 198.18.0.52", "mtu 65520") // the kernel's most
	a.apply(c)
	a.clear()
	b.unchanged(before)
	a.quiet()
}

// An address whose client has died goes by itself at the end of its lease.
func TestKernelEndsTheLease(t *testing.T) {
	b := newBed(t)
	a := start(t, b.Host)
	a.open(b.options())
	c := example()
	c.Valid, c.Preferred = 2, 1
	a.apply(c)
	a.kill()
	if _, err := b.WaitAddr("eth0", 5*time.Second, func(n netip.Addr) bool { return !n.IsValid() }); err != nil {
		t.Error(err)
	}
	b.routes("")
}

func TestUpAndDown(t *testing.T) {
	b := newBed(t)
	b.ip("addr add 203.0.113.7/24 dev eth0")
	b.ip("link set eth0 down")
	before := b.state()
	for _, leave := range []bool{true, false} {
		a := start(t, b.Host)
		a.open(b.options())
		a.must(request{Op: "up"})
		contains(t, b.ip("link show eth0"), "UP")
		a.apply(example())
		a.close(leave)
		if leave {
			contains(t, b.ip("addr show eth0"), "UP", "198.18.0.52/24")
		}
		a.quiet()
	}
	b.unchanged(before)
	// One that is up already stays up.
	b.ip("link set eth0 up")
	a := start(t, b.Host)
	a.open(b.options())
	a.must(request{Op: "up"})
	a.close(false)
	contains(t, b.ip("link show eth0"), "UP")
	a.quiet()
}

// An interface that goes away, comes back as another one, or gets another name.
func TestInterfaceComesAndGoes(t *testing.T) {
	b := newBed(t)
	a := start(t, b.Host)
	o := b.options()
	a.must(request{Op: "open", Name: "wire0", Options: o})
	for _, op := range []string{"up", "apply"} {
		if _, err := a.try(request{Op: op, Config: example()}); !strings.Contains(err, "no interface wire0") {
			t.Errorf("%s: %s", op, err)
		}
	}
	a.clear()
	b.ip("link add wire0 type veth peer name wire1")
	b.ip("link set wire1 up")
	a.must(request{Op: "up"})
	c := example()
	c.MTU = 1400
	a.apply(c)
	b.ip("link set wire0 down") // the kernel drops the routes
	b.ip("link set wire0 up")
	a.apply(c)
	contains(t, b.ip("route show dev wire0"), "default via 198.18.0.1", "198.18.0.0/24")
	b.Rename("wire0", "wire9")
	a.apply(c)
	contains(t, b.ip("addr show dev wire9"), "198.18.0.52/24")
	b.ip("link del wire9")
	a.clear()
	b.ip("link add wire0 type veth peer name wire1")
	a.must(request{Op: "up"})
	a.apply(c)
	contains(t, b.ip("addr show dev wire0"), "198.18.0.52/24")
	b.ip("link del wire0")
	b.ip("link add wire0 type veth peer name wire1")
	b.ip("link set wire0 up")
	a.apply(c) // without a Clear between
	contains(t, b.ip("addr show dev wire0"), "198.18.0.52/24", "mtu 1400")
	a.close(false)
	contains(t, b.ip("link show wire0"), "mtu 1500")
	a.quiet()
}

// What is sent by a client that was taken over does not reach the kernel.
func TestApplyChecks(t *testing.T) {
	b := newBed(t)
	before := b.state()
	a := start(t, b.Host)
	a.open(b.options())
	c := example()
	c.Addr = prefix("127.0.0.1/8")
	if _, err := a.try(request{Op: "apply", Config: c}); !strings.Contains(err, "127.0.0.1/8 is no address that a host can have") {
		t.Error(err)
	}
	b.unchanged(before)
}

func TestNoConfigure(t *testing.T) {
	b := newBed(t)
	b.ip("link set eth0 down")
	before := b.state()
	a := start(t, b.Host)
	o := b.options()
	o.NoConfigure, o.ResolvConf, o.SetHostName = true, "/etc/resolv.conf", true
	a.open(o)
	a.must(request{Op: "up"})
	c := example()
	c.DNS, c.HostName = []dhcp4.Addr{addr("192.0.2.53")}, "other"
	a.apply(c)
	a.clear()
	a.close(false)
	b.unchanged(before)
	a.quiet()
}

// metric is that of the routes on eth0.
func (b *bed) metric(base int) string { return strconv.Itoa(base + b.Index("eth0")) }

// options are the usual ones.
func (b *bed) options() Options { return Options{Metric: 1000, LeaseFile: b.lease} }
