package client_test

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// ackOf builds an ACK for 192.0.2.52/24 from 192.0.2.1, an hour long, with opts; an
// option of opts stands in place of ours of that code, and one with Data nil leaves
// ours out.
func ackOf(opts ...dhcp4.Option) []byte {
	return ackFor(dhcp4.MustParseAddr("192.0.2.52"), opts...)
}

func ackFor(yiaddr dhcp4.Addr, opts ...dhcp4.Option) []byte {
	all := []dhcp4.Option{
		{Code: dhcp4.OptDHCPMessageType, Data: []byte{5}},
		{Code: dhcp4.OptDHCPServerIdentifier, Data: []byte{192, 0, 2, 1}},
		{Code: dhcp4.OptDHCPLeaseTime, Data: []byte{0, 0, 0x0e, 0x10}},
		{Code: dhcp4.OptSubnetMask, Data: []byte{255, 255, 255, 0}},
	}
	all = slices.DeleteFunc(all, func(o dhcp4.Option) bool {
		return slices.ContainsFunc(opts, func(p dhcp4.Option) bool { return p.Code == o.Code })
	})
	for _, o := range opts {
		if o.Data != nil {
			all = append(all, o)
		}
	}
	h := dhcp4.Header{Op: 2, HType: 1, HLen: 6, XID: 1, YIAddr: yiaddr, CHAddr: [16]byte{2, 0, 0x5e, 0x10, 0, 1}, File: []byte{}, SName: []byte{}}
	b, dropped := dhcp4.AppendMessage(nil, &h, all, nil, 65000)
	if dropped != 0 {
		panic("an option of the test does not fit")
	}
	return b
}

// opt is an option; octets of any kind are its value.
func opt(code dhcp4.Code, val ...byte) dhcp4.Option {
	if val == nil {
		val = []byte{}
	}
	return dhcp4.Option{Code: code, Data: val}
}

func optText(code dhcp4.Code, s string) dhcp4.Option { return opt(code, []byte(s)...) }

// optAddrs is an option of addresses, "0" for 0.0.0.0.
func optAddrs(code dhcp4.Code, addrs ...string) dhcp4.Option {
	o := opt(code)
	for _, a := range addrs {
		o.Data = dhcp4.MustParseAddr(a).Append(o.Data)
	}
	return o
}

// without leaves one of the usual options of ackOf out.
func without(code dhcp4.Code) dhcp4.Option { return dhcp4.Option{Code: code} }

var serverMAC = wire.MAC{2, 0, 0x5e, 0x10, 0, 0xfe}

// read reads b with the usual configuration and checks what is always true.
func read(t testing.TB, b []byte) (client.Lease, []client.Refusal, client.Reason) {
	t.Helper()
	return readWith(t, &client.Config{}, b)
}

func readWith(t testing.TB, c *client.Config, b []byte) (client.Lease, []client.Refusal, client.Reason) {
	t.Helper()
	var v dhcp4.View
	if err := v.Parse(b); err != nil {
		t.Fatalf("the message of the test does not parse: %v", err)
	}
	before := []client.Refusal{{Code: 1, Reason: client.Offered}}
	l, refused, reason := client.ReadLease(c, &v, serverMAC, before)
	if len(refused) == 0 || refused[0] != before[0] {
		t.Fatalf("refusals are not appended: %v", refused)
	}
	if refused = refused[1:]; reason != client.None {
		if len(refused) != 0 || l.Addr.Addr != 0 {
			t.Fatalf("no lease (%v), but %v, and options are refused: %v", reason, l.Addr, refused)
		}
		return l, refused, reason
	}
	checkLease(t, c, &l)
	checkRefusals(t, refused)
	checkHost(t, l)
	if string(l.ACK) != string(b) {
		t.Fatal("the lease does not keep the message")
	}
	return l, refused, reason
}

// good reads b, which must be a lease.
func good(t testing.TB, b []byte) (client.Lease, []client.Refusal) {
	t.Helper()
	l, refused, reason := read(t, b)
	if reason != client.None {
		t.Fatalf("no lease: %v", reason)
	}
	return l, refused
}

func checkRefusals(t testing.TB, refused []client.Refusal) {
	t.Helper()
	seen := map[client.Refusal]bool{}
	for _, f := range refused {
		if f.Reason == client.None || f.Reason >= client.NumReasons || f.Reason.String() == "" || f.Reason.Text() == "" {
			t.Fatalf("option %d is refused without a reason", f.Code)
		}
		if seen[f] {
			t.Fatalf("option %d is refused twice for %v", f.Code, f.Reason)
		}
		seen[f] = true
	}
}

var (
	safeName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
	safeURL  = regexp.MustCompile(`^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?([/?#]([A-Za-z0-9._~/?:@=+,#&-]|%[0-9A-Fa-f]{2})*)?$`)
	safeZone = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+._-]*(/[A-Za-z0-9][A-Za-z0-9+._-]*)*$`)
)

// checkLease holds a lease against what its type promises, by other means than
// those that made it.
func checkLease(t testing.TB, c *client.Config, l *client.Lease) {
	t.Helper()
	host := func(what string, a dhcp4.Addr) {
		t.Helper()
		n := a.Netip()
		if n.As4()[0] == 0 || n.IsLoopback() || n.IsMulticast() || n.As4()[0] >= 240 {
			t.Fatalf("%s %v is no host", what, n)
		}
	}
	own := netip.PrefixFrom(l.Addr.Addr.Netip(), l.Addr.Bits)
	host("address", l.Addr.Addr)
	host("server", l.Server)
	if l.Addr.Bits < 8 || l.Addr.Bits > 32 || l.Addr.Addr == l.Server {
		t.Fatalf("address %v from %v", own, l.Server)
	}
	if all := uint32(1)<<(32-l.Addr.Bits) - 1; l.Addr.Bits <= 30 && (uint32(l.Addr.Addr)&all == 0 || uint32(l.Addr.Addr)&all == all) {
		t.Fatalf("%v is the network's own or broadcast address", own)
	}
	if l.Lifetime == 0 || l.T1 <= 0 || l.T1 > l.T2 || l.T2 > int64(l.Lifetime) ||
		l.Lifetime >= 4 && l.Lifetime != lease.Infinite && (l.T1 == l.T2 || l.T2 == int64(l.Lifetime)) {
		t.Fatalf("lifetime %d, T1 %d, T2 %d", l.Lifetime, l.T1, l.T2)
	}
	if l.Start != 0 || l.End != 0 || l.Obtained != 0 || l.ServerMAC != serverMAC || len(l.ACK) > client.MaxACK {
		t.Fatalf("points of time, MAC or message: %+v", l)
	}
	s := &l.Settings
	for name, list := range map[string][]dhcp4.Addr{"router": s.Routers, "DNS": s.DNS, "NTP": s.NTP} {
		if len(list) > client.MaxServers {
			t.Fatalf("%d of %s", len(list), name)
		}
		for i, a := range list {
			host(name, a)
			if slices.Contains(list[:i], a) {
				t.Fatalf("%s %v twice", name, a)
			}
		}
	}
	if s.MTU != 0 && s.MTU < 576 {
		t.Fatalf("MTU %d", s.MTU)
	}
	all := uint32(1)<<(32-l.Addr.Bits) - 1
	if l.Addr.Bits > 30 && s.Broadcast != 0 || l.Addr.Bits <= 30 && s.Broadcast != 0xffffffff && uint32(s.Broadcast) != uint32(l.Addr.Addr)|all {
		t.Fatalf("broadcast %v of %v", s.Broadcast, own)
	}
	checkTexts(t, s)
	checkRoutes(t, c, l)
}

func checkTexts(t testing.TB, s *client.Settings) {
	t.Helper()
	if len(s.Search) > client.MaxServers {
		t.Fatalf("%d search domains", len(s.Search))
	}
	for _, n := range append([]string{s.Domain, s.HostName}, s.Search...) {
		if n != "" && (!safeName.MatchString(n) || len(n) > 253) {
			t.Fatalf("name %q", n)
		}
		if _, err := netip.ParseAddr(n); err == nil {
			t.Fatalf("name %q is an address", n)
		}
	}
	if slices.Contains(s.Search, "") {
		t.Fatal("an empty search domain")
	}
	if u := s.CaptivePortal; u != "" {
		if p, err := url.Parse(u); len(u) > 255 || !safeURL.MatchString(u) || err == nil && (p.User != nil || p.Hostname() == "") {
			t.Fatalf("URL %q", u)
		}
	}
	if z := s.TimeZone; z != "" && (len(z) > 255 || !safeZone.MatchString(z)) {
		t.Fatalf("time zone %q", z)
	}
}

// checkRoutes: each route has its gateway on the link when it is its turn.
func checkRoutes(t testing.TB, c *client.Config, l *client.Lease) {
	t.Helper()
	if len(l.Settings.Routes) > client.MaxRoutes {
		t.Fatalf("%d routes", len(l.Settings.Routes))
	}
	links := []netip.Prefix{netip.PrefixFrom(l.Addr.Addr.Netip(), l.Addr.Bits)}
	seen := map[netip.Prefix]bool{}
	for _, r := range l.Settings.Routes {
		dst := netip.PrefixFrom(r.Dst.Addr.Netip(), r.Dst.Bits)
		if !dst.IsValid() || dst != dst.Masked() || seen[dst] || dst.Addr().As4()[0] >= 224 ||
			dst.Bits() >= 8 && (dst.Addr().IsLoopback() || dst.Addr().As4()[0] == 0) {
			t.Fatalf("destination %v in %v", dst, l.Settings.Routes)
		}
		seen[dst] = true
		if r.Via == 0 {
			links = append(links, dst)
			continue
		}
		if via := r.Via.Netip(); r.Via == l.Addr.Addr || !r.Via.IsUnicastHost() ||
			!slices.ContainsFunc(links, func(p netip.Prefix) bool { return p.Contains(via) }) {
			t.Fatalf("%v by %v, which is not on the link: %v", dst, via, l.Settings.Routes)
		}
		if c.NoRoutes && dst.Bits() != 0 {
			t.Fatalf("%v, though only option 3 makes routes", dst)
		}
		if dst.Bits() != 0 && dst.Bits() < c.MinRouteBits {
			t.Fatalf("%v is wider than %d bits", dst, c.MinRouteBits)
		}
	}
}

// TestReadLease: everything that a usual ACK says is read.
func TestReadLease(t *testing.T) {
	l, refused := good(t, ackOf(
		opt(dhcp4.OptDHCPRenewalTime, 0, 0, 3, 0xe8), opt(dhcp4.OptDHCPRebindingTime, 0, 0, 7, 0xd0),
		optAddrs(dhcp4.OptRouters, "192.0.2.1", "192.0.2.2"), optAddrs(dhcp4.OptDomainNameServers, "192.0.2.53", "198.51.100.53", "192.0.2.53"),
		optAddrs(dhcp4.OptStaticRoutes, "198.51.100.0", "192.0.2.3"),
		optText(dhcp4.OptDomainName, "example.net."), optText(dhcp4.OptHostName, "client-1\x00\x00"), opt(dhcp4.OptInterfaceMTU, 5, 0xdc),
		optAddrs(dhcp4.OptNTPServers, "192.0.2.4"), optAddrs(dhcp4.OptBroadcastAddress, "192.0.2.255"),
		optText(dhcp4.OptDomainSearch, "\x03eng\x07example\x03net\x00\x02hr\xc0\x04"),
		optText(dhcp4.OptV4CaptivePortal, "https://portal.example.net/api/x?a=1&b=2"), optText(dhcp4.OptTCode, "America/Port-au-Prince"),
	))
	a := dhcp4.MustParseAddr
	want := client.Settings{
		Broadcast: a("192.0.2.255"), MTU: 1500, Domain: "example.net", HostName: "client-1", TimeZone: "America/Port-au-Prince",
		Routes: []client.Route{{Via: a("192.0.2.1")},
			{Dst: dhcp4.Prefix{Addr: a("198.51.100.0"), Bits: 24}, Via: a("192.0.2.3")}},
		Routers: []dhcp4.Addr{a("192.0.2.1"), a("192.0.2.2")}, DNS: []dhcp4.Addr{a("192.0.2.53"), a("198.51.100.53")}, NTP: []dhcp4.Addr{a("192.0.2.4")},
		Search: []string{"eng.example.net", "hr.example.net"}, CaptivePortal: "https://portal.example.net/api/x?a=1&b=2",
	}
	if d := cmp.Diff(want, l.Settings); d != "" || len(refused) != 0 {
		t.Errorf("settings (-want +got):\n%s\nrefused: %v", d, refused)
	}
	if l.Addr != (dhcp4.Prefix{Addr: a("192.0.2.52"), Bits: 24}) || l.Server != a("192.0.2.1") || l.Lifetime != 3600 || l.T1 != 1000 || l.T2 != 2000 {
		t.Errorf("lease: %+v", l)
	}
}

// TestGoodOffer: what is a lease, and what none of its parts may be.
func TestGoodOffer(t *testing.T) {
	mask := func(b ...byte) dhcp4.Option { return opt(dhcp4.OptSubnetMask, b...) }
	for _, tt := range []struct {
		addr string
		opts []dhcp4.Option
		want client.Reason
	}{
		{"192.0.2.52", nil, client.None},
		{"192.0.2.52", []dhcp4.Option{without(dhcp4.OptDHCPServerIdentifier)}, client.LeaseNoServer},
		{"192.0.2.52", []dhcp4.Option{optAddrs(dhcp4.OptDHCPServerIdentifier, "0.0.0.0")}, client.LeaseBadServer},
		{"192.0.2.52", []dhcp4.Option{optAddrs(dhcp4.OptDHCPServerIdentifier, "255.255.255.255")}, client.LeaseBadServer},
		{"192.0.2.52", []dhcp4.Option{optAddrs(dhcp4.OptDHCPServerIdentifier, "224.0.0.1")}, client.LeaseBadServer},
		{"192.0.2.52", []dhcp4.Option{optAddrs(dhcp4.OptDHCPServerIdentifier, "127.0.0.1")}, client.LeaseBadServer},
		{"192.0.2.52", []dhcp4.Option{without(dhcp4.OptDHCPLeaseTime)}, client.LeaseNoTime},
		{"192.0.2.52", []dhcp4.Option{opt(dhcp4.OptDHCPLeaseTime, 0, 0, 0, 0)}, client.LeaseZeroTime},
		{"192.0.2.52", []dhcp4.Option{opt(dhcp4.OptDHCPLeaseTime, 0, 0, 0, 1)}, client.None},
		{"192.0.2.1", nil, client.LeaseBadAddress}, // the server's own
		{"0.0.0.0", nil, client.LeaseBadAddress},
		{"0.0.0.5", nil, client.LeaseBadAddress},
		{"127.0.0.1", nil, client.LeaseBadAddress},
		{"127.255.1.1", nil, client.LeaseBadAddress},
		{"224.0.0.5", nil, client.LeaseBadAddress},
		{"239.1.1.1", nil, client.LeaseBadAddress},
		{"240.0.0.1", nil, client.LeaseBadAddress},
		{"255.255.255.255", nil, client.LeaseBadAddress},
		{"192.0.2.0", nil, client.LeaseNotHost},
		{"192.0.2.255", nil, client.LeaseNotHost},
		{"192.0.2.4", []dhcp4.Option{mask(255, 255, 255, 252)}, client.LeaseNotHost},
		{"192.0.2.7", []dhcp4.Option{mask(255, 255, 255, 252)}, client.LeaseNotHost},
		{"192.0.2.5", []dhcp4.Option{mask(255, 255, 255, 252)}, client.None},
		{"192.0.2.4", []dhcp4.Option{mask(255, 255, 255, 254)}, client.None},
		{"192.0.2.5", []dhcp4.Option{mask(255, 255, 255, 254)}, client.None},
		{"192.0.2.255", []dhcp4.Option{mask(255, 255, 255, 255)}, client.None},
		{"192.0.2.0", []dhcp4.Option{mask(255, 255, 0, 0)}, client.None},
		{"192.0.2.52", []dhcp4.Option{mask(0, 0, 0, 0)}, client.LeaseBadMask},
		{"192.0.2.52", []dhcp4.Option{mask(128, 0, 0, 0)}, client.LeaseBadMask},
		{"192.0.2.52", []dhcp4.Option{mask(254, 0, 0, 0)}, client.LeaseBadMask},
		{"192.0.2.52", []dhcp4.Option{mask(255, 0, 0, 0)}, client.None},
		{"192.0.2.52", []dhcp4.Option{mask(255, 0, 255, 0)}, client.LeaseBadMask},
		{"192.0.2.52", []dhcp4.Option{mask(255, 255, 255, 253)}, client.LeaseBadMask},
		{"192.0.2.52", []dhcp4.Option{mask(0, 255, 255, 255)}, client.LeaseBadMask},
		// Without a mask: the classes.
		{"192.0.2.0", []dhcp4.Option{without(dhcp4.OptSubnetMask)}, client.LeaseNotHost},
		{"198.18.255.255", []dhcp4.Option{without(dhcp4.OptSubnetMask)}, client.LeaseNotHost}, // class C
		{"172.16.0.0", []dhcp4.Option{without(dhcp4.OptSubnetMask)}, client.LeaseNotHost},
		{"172.16.1.0", []dhcp4.Option{without(dhcp4.OptSubnetMask)}, client.None},
		{"10.255.255.255", []dhcp4.Option{without(dhcp4.OptSubnetMask)}, client.LeaseNotHost},
		{"192.0.2.255", []dhcp4.Option{mask(255, 255)}, client.LeaseNotHost},
		{"10.1.0.0", []dhcp4.Option{without(dhcp4.OptSubnetMask)}, client.None},
	} {
		_, _, reason := read(t, ackFor(dhcp4.MustParseAddr(tt.addr), tt.opts...))
		if reason != tt.want {
			t.Errorf("%s with %v: %q, want %q", tt.addr, tt.opts, reason, tt.want)
		}
	}
}

// TestEveryMask: of all masks that are bits in a row, those from /8 to /32 are taken; a
// bit less in the row, or one more behind it, makes it no mask.
func TestEveryMask(t *testing.T) {
	addr := dhcp4.MustParseAddr("198.18.85.85")
	for bits := range 33 {
		m := (dhcp4.Prefix{Bits: bits}).Mask()
		l, _, reason := read(t, ackFor(addr, opt(dhcp4.OptSubnetMask, m.Append(nil)...)))
		if bits < 8 && reason != client.LeaseBadMask || bits >= 8 && (reason != client.None || l.Addr.Bits != bits) {
			t.Errorf("/%d: %v, %q", bits, l.Addr, reason)
		}
		for hole := 0; hole < bits-1; hole++ {
			if _, _, reason := read(t, ackFor(addr, opt(dhcp4.OptSubnetMask, (m&^(1<<(31-hole))).Append(nil)...))); reason != client.LeaseBadMask {
				t.Errorf("/%d with a hole at bit %d: %q", bits, hole, reason)
			}
		}
		for more := bits + 1; more < 32; more++ {
			if _, _, reason := read(t, ackFor(addr, opt(dhcp4.OptSubnetMask, (m|1<<(31-more)).Append(nil)...))); reason != client.LeaseBadMask {
				t.Errorf("/%d and bit %d: %q", bits, more, reason)
			}
		}
	}
}

// TestClassfulMask: without a mask of four octets it is that of the class (RFC 950).
func TestClassfulMask(t *testing.T) {
	for addr, bits := range map[string]int{"10.1.2.3": 8, "126.1.2.3": 8, "128.0.1.1": 16, "172.16.1.1": 16, "191.255.1.1": 16,
		"192.0.2.52": 24, "198.18.0.1": 24, "223.255.255.1": 24} {
		for _, o := range []dhcp4.Option{without(dhcp4.OptSubnetMask), opt(dhcp4.OptSubnetMask), opt(dhcp4.OptSubnetMask, 255, 255, 255), opt(dhcp4.OptSubnetMask, 255, 255, 255, 0, 0)} {
			l, refused := good(t, ackFor(dhcp4.MustParseAddr(addr), o))
			if l.Addr.Bits != bits || (o.Data != nil) != slices.Contains(refused, client.Refusal{Code: dhcp4.OptSubnetMask, Reason: client.OptionLength}) {
				t.Errorf("%s with mask %x: %v, refused %v", addr, o.Data, l.Addr, refused)
			}
		}
	}
}

// TestTimes: options 58 and 59 count only in order, and no lease asks without a pause.
func TestTimes(t *testing.T) {
	be := func(code dhcp4.Code, n int64) dhcp4.Option {
		if n < 0 {
			return without(code)
		}
		return opt(code, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	const inf = int64(lease.Infinite)
	for _, tt := range []struct{ life, t1, t2, want1, want2 int64 }{
		{3600, -1, -1, 1800, 3150},
		{3600, 1000, 2000, 1000, 2000},
		{3600, 1, 2, 1, 2},
		{3600, 3598, 3599, 3598, 3599},
		{3600, 0, 2000, 1800, 3150},
		{3600, 2000, 2000, 1800, 3150},
		{3600, 2000, 1000, 1800, 3150},
		{3600, 1000, 3600, 1800, 3150},
		{3600, 1000, inf, 1800, 3150},
		{3600, inf, inf, 1800, 3150},
		{3600, 1000, -1, 1000, 3150},
		{3600, -1, 2000, 1800, 2000},
		{3600, 3200, -1, 1800, 3150},
		{3600, -1, 1700, 1800, 3150},
		{inf, -1, -1, inf, inf},
		{inf, 1000, 2000, inf, inf},
		{inf - 1, -1, -1, (inf - 1) / 2, (inf - 1) * 7 / 8},
		{inf - 1, inf - 3, inf - 2, inf - 3, inf - 2},
		{1, -1, -1, 1, 1},
		{2, -1, -1, 1, 1},
		{3, -1, -1, 1, 2},
		{4, -1, -1, 2, 3},
		{3, 1, 2, 1, 2},
		{2, 0, -1, 1, 1},
	} {
		l, refused := good(t, ackOf(be(dhcp4.OptDHCPLeaseTime, tt.life), be(dhcp4.OptDHCPRenewalTime, tt.t1), be(dhcp4.OptDHCPRebindingTime, tt.t2)))
		if l.T1 != tt.want1 || l.T2 != tt.want2 || int64(l.Lifetime) != tt.life {
			t.Errorf("%+v: %d %d of %d", tt, l.T1, l.T2, l.Lifetime)
		}
		var want []client.Refusal
		if tt.life != inf && tt.t1 >= 0 && l.T1 != tt.t1 {
			want = append(want, client.Refusal{Code: dhcp4.OptDHCPRenewalTime, Reason: client.OptionDisorder})
		}
		if tt.life != inf && tt.t2 >= 0 && l.T2 != tt.t2 {
			want = append(want, client.Refusal{Code: dhcp4.OptDHCPRebindingTime, Reason: client.OptionDisorder})
		}
		if !slices.Equal(refused, want) {
			t.Errorf("%+v: refused %v, want %v", tt, refused, want)
		}
	}
}

// TestBroadcastAddress: option 28 cannot name a host of the network.
func TestBroadcastAddress(t *testing.T) {
	for _, tt := range []struct{ mask, sent, want string }{
		{"255.255.255.0", "", "192.0.2.255"},
		{"255.255.255.0", "192.0.2.255", "192.0.2.255"},
		{"255.255.255.0", "255.255.255.255", "255.255.255.255"},
		{"255.255.255.0", "192.0.2.1", "192.0.2.255"},
		{"255.255.255.0", "192.0.2.0", "192.0.2.255"},
		{"255.255.255.0", "0.0.0.0", "192.0.2.255"},
		{"255.255.255.128", "192.0.2.255", "192.0.2.127"},
		{"255.255.255.254", "", "0.0.0.0"},
		{"255.255.255.255", "255.255.255.255", "0.0.0.0"},
	} {
		opts := []dhcp4.Option{optAddrs(dhcp4.OptSubnetMask, tt.mask)}
		if tt.sent != "" {
			opts = append(opts, optAddrs(dhcp4.OptBroadcastAddress, tt.sent))
		}
		l, refused := good(t, ackOf(opts...))
		if l.Settings.Broadcast.String() != tt.want || (tt.sent != "" && tt.sent != tt.want) != (len(refused) == 1) {
			t.Errorf("%+v: %v, refused %v", tt, l.Settings.Broadcast, refused)
		}
	}
}

// TestMTU: values under 576 are ignored.
func TestMTU(t *testing.T) {
	for _, tt := range []struct{ sent, want uint16 }{{0, 0}, {1, 0}, {68, 0}, {575, 0}, {576, 576}, {1280, 1280}, {1500, 1500}, {9000, 9000}, {65535, 65535}} {
		l, refused := good(t, ackOf(opt(dhcp4.OptInterfaceMTU, byte(tt.sent>>8), byte(tt.sent))))
		if l.Settings.MTU != tt.want || (tt.want == 0) != slices.Contains(refused, client.Refusal{Code: dhcp4.OptInterfaceMTU, Reason: client.OptionTooSmall}) {
			t.Errorf("%d: %d, refused %v", tt.sent, l.Settings.MTU, refused)
		}
	}
}

// TestServersAreHosts: addresses that no host has are left out of a list, the others
// stay, and there are at most MaxServers.
func TestServersAreHosts(t *testing.T) {
	l, refused := good(t, ackOf(optAddrs(dhcp4.OptDomainNameServers, "0.0.0.0", "127.0.0.53", "192.0.2.53", "224.0.0.251", "255.255.255.255", "198.51.100.53")))
	if fmt.Sprint(l.Settings.DNS) != "[192.0.2.53 198.51.100.53]" || !slices.Equal(refused, []client.Refusal{{Code: 6, Reason: client.OptionBadAddress}}) {
		t.Errorf("%v, refused %v", l.Settings.DNS, refused)
	}
	var many []byte
	for i := range 200 {
		many = append(many, 198, 18, 0, byte(i+1))
	}
	l, refused = good(t, ackOf(opt(dhcp4.OptDomainNameServers, many...), opt(dhcp4.OptNTPServers, many[:64]...), opt(dhcp4.OptRouters, many...)))
	if len(l.Settings.DNS) != client.MaxServers || len(l.Settings.NTP) != client.MaxServers || !slices.Contains(refused, client.Refusal{Code: 6, Reason: client.OptionTooMany}) ||
		slices.Contains(refused, client.Refusal{Code: 42, Reason: client.OptionTooMany}) {
		t.Errorf("%d and %d servers, refused %v", len(l.Settings.DNS), len(l.Settings.NTP), refused)
	}
}

// TestLongACK: a message that is longer than MaxACK is no lease.
func TestLongACK(t *testing.T) {
	for _, n := range []int{client.MaxACK - 1, client.MaxACK, client.MaxACK + 1, 65000} {
		b := ackOf()
		b = append(b, make([]byte, n-len(b))...)
		if _, _, reason := read(t, b); (reason == client.LeaseTooLong) != (n > client.MaxACK) {
			t.Errorf("%d octets: %q", n, reason)
		}
	}
}

// TestReadLeaseKeepsNothing: what is read stays the same when the buffer of the message is used again.
func TestReadLeaseKeepsNothing(t *testing.T) {
	b := ackOf(optText(dhcp4.OptHostName, "client-1"), optText(dhcp4.OptDomainSearch, "\x07example\x03net\x00"), optAddrs(dhcp4.OptRouters, "192.0.2.1"))
	var v dhcp4.View
	if err := v.Parse(b); err != nil {
		t.Fatal(err)
	}
	l, _, _ := client.ReadLease(&client.Config{}, &v, serverMAC, nil)
	want, _ := good(t, slices.Clone(b))
	for i := range b {
		b[i] = 0xff
	}
	if d := cmp.Diff(want, l); d != "" {
		t.Errorf("changed with the buffer:\n%s", d)
	}
}
