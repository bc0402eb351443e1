package client_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/client/setup"
	"lessor/internal/lease"
)

// FuzzReadLease: whatever a message holds, a lease that is read from it passes the checks
// of checkLease, refusals are bounded, and a second reading gives the same.
func FuzzReadLease(f *testing.F) {
	for _, b := range [][]byte{
		ackOf(), ackOf(optAddrs(o3, "192.0.2.1"), optAddrs(o33, "198.51.100.0", "192.0.2.3")),
		ackOf(classless(o121, "0.0.0.0/0 192.0.2.1", "198.18.0.0/15 0.0.0.0", "198.18.1.1/32 192.0.2.66")),
		ackOf(optAddrs(dhcp4.OptSubnetMask, "255.255.255.255"), classless(o249, "0.0.0.0/0 198.51.100.1", "198.51.100.1/32 198.51.100.2")),
		ackOf(optText(dhcp4.OptDomainSearch, "\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04"), optText(dhcp4.OptDomainName, "example.net")),
		ackOf(optText(dhcp4.OptV4CaptivePortal, "https://portal.example.net:8443/a?b=c&d"), optText(dhcp4.OptTCode, "Etc/GMT+5"), optText(dhcp4.OptHostName, "client-1")),
		ackOf(opt(dhcp4.OptInterfaceMTU, 5, 0xdc), optAddrs(dhcp4.OptDomainNameServers, "192.0.2.53", "0.0.0.0"), opt(dhcp4.OptDHCPRenewalTime, 0, 0, 0, 1), opt(dhcp4.OptDHCPRebindingTime, 0, 0, 0, 2)),
		overloaded(3, []byte{12, 1, 'a'}, []byte{12, 1, 'b', 121, 8, 24, 198, 18, 0, 192, 0, 2, 1}, []byte{12, 1, '.', 6, 4, 192, 0, 2, 53}),
		overloaded(1, []byte{119, 2, 3, 'n'}, []byte{119, 3, 'e', 't', 0}, nil),
	} {
		f.Add(b, byte(0))
		f.Add(b, byte(17))
	}
	f.Fuzz(func(t *testing.T, b []byte, policy byte) {
		var v dhcp4.View
		if v.Parse(b) != nil {
			return
		}
		c := client.Config{NoRoutes: policy&1 != 0, MinRouteBits: int(policy>>1) % 33}
		l, refused, reason := client.ReadLease(&c, &v, serverMAC, nil)
		if reason >= client.NumReasons {
			t.Fatalf("reason %d", reason)
		}
		if reason != client.None {
			if len(refused) != 0 || l.Addr.Addr != 0 {
				t.Fatalf("%q, and a lease: %+v", reason, l)
			}
			return
		}
		checkLease(t, &c, &l)
		checkRefusals(t, refused)
		checkHost(t, l)
		if len(refused) > 60 {
			t.Fatalf("%d refusals", len(refused))
		}
		for _, r := range refused {
			if !v.Has(r.Code) {
				t.Fatalf("option %d is refused and not there", r.Code)
			}
		}
		again, _, _ := client.ReadLease(&c, &v, serverMAC, nil)
		if d := sameLease(l, again); d != "" {
			t.Fatalf("read twice:\n%s", d)
		}
	})
}

// checkHost: the privileged part takes the lease. It checks all by itself, and what it refuses would
// be an address that the client cannot use.
func checkHost(t testing.TB, l client.Lease) {
	t.Helper()
	l.End = lease.After(0, l.Lifetime)
	if l.Lifetime == lease.Infinite {
		l.End = lease.Never
	}
	if err := setup.FromLease(&l, lease.Instant{}).Check(); err != nil {
		t.Fatalf("the privileged part refuses what was read: %v", err)
	}
}

// FuzzSearchDifferential compares option 119 with another library's reading of names. It takes
// names without an end and knows no pointer to a pointer; what both take, both read alike.
func FuzzSearchDifferential(f *testing.F) {
	for _, s := range []string{"\x03net\x00", "\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04", "\x01a\x00\xc0\x00", "\x00", "\x02a.\x00", "\x01a\x01b\x00\x01c\xc0\x02", "\xc0\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, val []byte) {
		if len(val) == 0 || len(val) > 3000 {
			return
		}
		l, refused := good(t, ackOf(opt(dhcp4.OptDomainSearch, val...)))
		theirs, err := rfc1035label.FromBytes(val)
		if slices.Contains(refused, client.Refusal{Code: dhcp4.OptDomainSearch, Reason: client.OptionMalformed}) || err != nil {
			return
		}
		var want []string
		for _, n := range theirs.Labels {
			if safeName.MatchString(n) && len(n) <= 253 && !slices.Contains(want, n) && !isAddress(n) && len(want) < client.MaxServers {
				want = append(want, n)
			}
		}
		// Their text does not tell a dot inside a label from one between labels.
		if !bytes.Contains(val, []byte(".")) && !slices.Equal(want, l.Settings.Search) {
			t.Fatalf("%x: %q, they read %q", val, l.Settings.Search, want)
		}
	})
}

// isAddress says that the last part of a name of several parts is a number.
func isAddress(n string) bool {
	last := n[1+max(-1, lastDot(n)):]
	for _, c := range last {
		if c < '0' || c > '9' {
			return false
		}
	}
	return last != n
}

func lastDot(n string) int { return bytes.LastIndexByte([]byte(n), '.') }

// FuzzRoutesDifferential compares option 121 with another library's reading: every route that we
// take is one that it reads, masked; and it reads all that we do not call malformed.
func FuzzRoutesDifferential(f *testing.F) {
	for _, o := range []dhcp4.Option{classless(o121, "0.0.0.0/0 192.0.2.1"), classless(o121, "198.19.255.1/15 192.0.2.1", "198.51.100.0/24 0.0.0.0", "203.0.113.9/32 198.51.100.3"), opt(o121, 33, 1, 2, 3, 4, 5, 6, 7, 8), opt(o121, 8, 10, 1, 2, 3)} {
		f.Add(o.Data)
	}
	f.Fuzz(func(t *testing.T, val []byte) {
		if len(val) == 0 || len(val) > 3000 {
			return
		}
		l, refused := good(t, ackOf(opt(o121, val...)))
		var theirs dhcpv4.Routes
		err := theirs.FromBytes(val)
		if bad := slices.Contains(refused, client.Refusal{Code: o121, Reason: client.OptionMalformed}); bad != (err != nil) {
			t.Fatalf("%x: malformed %v, they say %v", val, bad, err)
		}
		read := map[client.Route]bool{}
		for _, r := range theirs {
			bits, _ := r.Dest.Mask.Size()
			read[client.Route{Dst: dhcp4.Prefix{Addr: dhcp4.AddrFromBytes(r.Dest.IP), Bits: bits}.Masked(), Via: dhcp4.AddrFromBytes(r.Router)}] = true
		}
		for _, r := range l.Settings.Routes {
			if !read[r] {
				t.Fatalf("%x: %v is not in it", val, r)
			}
		}
		if len(refused) == 0 && len(l.Settings.Routes) != len(theirs) {
			t.Fatalf("%x: %d routes of %d and no reason", val, len(l.Settings.Routes), len(theirs))
		}
	})
}
