package client

import (
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client/run"
	"lessor/internal/netlab"
)

// A lease that nobody extends: the address is used until its end, and not a second longer.
// Routes come from option 3 here.
func TestExpiry(t *testing.T) {
	eachServer(t, func(t *testing.T, kind netlab.ServerKind) {
		if kind == netlab.Dnsmasq {
			return // TestExpiryOfTwoMinutes
		}
		sc := expiring(kind)
		sc.Lifetime = 16 * time.Second
		s, h := forsaken(t, kind, sc)
		s.outlives(h, sc)
	})
}

// TestExpiryOfTwoMinutes is TestExpiry with dnsmasq, whose leases are no shorter. No other
// test takes as long, so its lease begins before the others do, and `make test-network` runs
// it beside all that it runs.
func TestExpiryOfTwoMinutes(t *testing.T) {
	sc := expiring(netlab.Dnsmasq)
	s, h := forsaken(t, netlab.Dnsmasq, sc)
	t.Parallel()
	s.outlives(h, sc)
}

func expiring(kind netlab.ServerKind) netlab.Scope {
	sc := scopeFor(kind, firstPool)
	if kind != netlab.NetworkdServer { // it would need the option as octets
		sc.Search = []string{"lab.example", "example.net"}
	}
	return sc
}

// forsaken is a stage whose client has a lease and reaches no server any more.
func forsaken(t *testing.T, kind netlab.ServerKind, sc netlab.Scope) (*stage, held) {
	t.Helper()
	s := newServed(t, kind, sc)
	h := s.bind()
	s.configured(h, sc)
	s.block(netlab.BlockDHCP)
	return s, h
}

// outlives waits for the end of the lease, and for the next one.
func (s *stage) outlives(h held, sc netlab.Scope) {
	s.t.Helper()
	s.expires(h)
	s.asBefore("after the lease ended")
	s.block(netlab.BlockNothing)
	again := leaseOf(s.request("SELECTING", dhcp4.Ack, 70*time.Second))
	s.uses(again)
	s.configured(again, sc)
	s.stop()
}

// expires waits for the end of the lease and expects the address to go then: at most a second
// later, and not more than a second before.
func (s *stage) expires(h held) {
	s.t.Helper()
	gone := s.gone(time.Until(h.end()) + 3*time.Second)
	late := gone.Sub(h.end())
	s.t.Logf("the address went %s after the end of its lease", late.Round(time.Millisecond))
	if late > time.Second || late < -time.Second {
		s.t.Errorf("the address went %s after the end of its lease of %s", late, h.life)
	}
	// The kernel takes the address off by itself; the client must not rely on it.
	s.awaitLine("removed because it expired, in time", 2*time.Second, func(l *run.Line) bool {
		return l.Event == "removed" && l.Reason == "expired" && l.At.Sub(h.end()) <= time.Second
	})
	for _, f := range s.rec.Frames() {
		if f.From == s.host.Name && f.Time.After(h.end().Add(100*time.Millisecond)) && (f.Src == h.addr || f.ARP != nil && f.ARP.SenderIP == h.addr) {
			s.t.Errorf("the address is used after its end: %s", &f)
		}
	}
	s.alive()
}
