package client

import (
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client/run"
	"lessor/internal/netlab"
	"lessor/internal/wire"
	"lessor/test/e2e"
)

// Another host answers the probe: the client declines to its server, by broadcast and
// with the fields of RFC 2131 table 5, waits ten seconds, and gets another address.
// The server has the conflict on record. systemd-networkd's server notes a DECLINE in
// its log only and offers the address again: of its pool of one the client uses nothing.
func TestDecline(t *testing.T) {
	taken := dhcp4.MustParseAddr("198.18.0.105")
	eachServer(t, func(t *testing.T, kind netlab.ServerKind) {
		sc := scopeFor(kind, dhcp4.Range{First: taken, Last: taken + 5})
		sc.Routes = []netlab.Via{via("198.51.100.0/24", "198.18.0.3")} // and no default route, whatever option 3 says (RFC 3442)
		flags := []string{"--request", taken.String()}
		if kind == netlab.NetworkdServer {
			sc.Last, flags = sc.First, nil
		}
		s := newServed(t, kind, sc, flags...)
		other := s.squatter(taken)
		check(t, s.client.Start())
		req, ack := s.request("SELECTING", dhcp4.Ack, 20*time.Second)
		h := leaseOf(req, ack)
		if h.addr != taken {
			t.Fatalf("the server gave %s, not %s", h.addr, taken)
		}
		s.declines(h, other)
		if kind == netlab.NetworkdServer {
			_, o := s.message("server", dhcp4.Offer, 5*time.Second)
			if o.YIAddr() != taken {
				t.Errorf("systemd-networkd offers %s now", o.YIAddr())
			}
			if f, _, err := s.rec.Wait(s.mark, time.Second, func(f *netlab.Frame) bool {
				return f.From == s.host.Name && f.Type() == dhcp4.Request
			}); err == nil {
				t.Errorf("the client asks for the address of the other host again: %s", f)
			}
			s.asBefore("without an address")
			// The next DISCOVER brings nothing else: the address is checked once more.
			s.request("SELECTING", dhcp4.Ack, 10*time.Second)
			s.message(s.host.Name, dhcp4.Decline, 5*time.Second)
		} else {
			n := leaseOf(s.request("SELECTING", dhcp4.Ack, 10*time.Second))
			if n.addr == taken && kind == netlab.Dnsmasq { // its hash may choose it again, once
				s.declines(n, other)
				n = leaseOf(s.request("SELECTING", dhcp4.Ack, 10*time.Second))
			}
			if n.addr == taken {
				t.Fatal("the client took the address again")
			}
			s.uses(n)
			s.configured(n, sc)
		}
		for _, f := range s.rec.Frames() {
			if f.From == s.host.Name && (f.Src == taken || f.ARP != nil && f.ARP.SenderIP == taken) {
				t.Errorf("the client used the address of the other host: %s", &f)
			}
		}
		s.stop()
	})
}

// declines expects the DECLINE of a lease whose address the other host has, the
// server's record of it, and ten seconds later a DISCOVER without that address.
func (s *stage) declines(h held, other *netlab.Host) {
	s.t.Helper()
	f, v := s.message(s.host.Name, dhcp4.Decline, 5*time.Second)
	sid, _ := v.Addr(dhcp4.OptDHCPServerIdentifier)
	if e2e.Requested(v) != h.addr || sid != h.server || v.CIAddr() != 0 || f.Src != 0 || f.Dst != dhcp4.Broadcast {
		s.t.Errorf("the DECLINE is %s", f)
	}
	s.awaitLine("the conflict", time.Second, func(l *run.Line) bool {
		return l.Event == "conflict" && l.Address == h.addr.String() && l.MAC == hardware(other.MAC("eth0"))
	})
	if _, err := s.srv.AwaitRecord(h.addr.Netip(), netlab.RecordDeclined, 2*time.Second); err != nil {
		s.t.Error(err)
	}
	again, d := s.message(s.host.Name, dhcp4.Discover, 15*time.Second)
	// The pause counts from the instant of the decision; sending takes its time.
	if pause := again.Time.Sub(f.Time); pause < 10*time.Second-20*time.Millisecond {
		s.t.Errorf("the next DISCOVER comes %s after the DECLINE, want 10 s or more", pause)
	}
	if e2e.Requested(d) == h.addr {
		s.t.Errorf("the next DISCOVER asks for the address again: %s", again)
	}
}

// A host that comes later and uses our address is told once that it is ours; at its
// second message within ten seconds the address is given up with a DECLINE (RFC 5227 2.4 b).
func TestDefence(t *testing.T) {
	t.Parallel()
	sc := scope(120*time.Second, firstPool)
	s := newServed(t, netlab.LessorServer, sc)
	h := s.bind()
	s.wait("the last announcement", 5*time.Second, func() func(f *netlab.Frame) bool {
		n := 0
		return func(f *netlab.Frame) bool {
			if f.From == s.host.Name && isAnnouncement(f, h.addr) {
				n++
			}
			return n == 2
		}
	}())
	other := try(s.lab.Host("squatter"))(t)
	check(t, s.sw.Join(other, "eth0"))
	st := try(e2e.NewStation(other, "eth0"))(t)
	defer st.Close()
	claim := [][]byte{arpFrame(other.MAC("eth0"), wire.BroadcastMAC, 1, h.addr, h.addr)}
	check(t, st.Send(claim))
	s.wait("the defence", time.Second, func(f *netlab.Frame) bool { return f.From == s.host.Name && isAnnouncement(f, h.addr) })
	if got := s.host.Addr("eth0"); got != h.addr.Netip() {
		t.Fatalf("after one conflict the address is %s", got)
	}
	time.Sleep(1500 * time.Millisecond)
	check(t, st.Send(claim))
	f, v := s.message(s.host.Name, dhcp4.Decline, 2*time.Second)
	if e2e.Requested(v) != h.addr || f.Dst != dhcp4.Broadcast {
		t.Errorf("the DECLINE is %s", f)
	}
	s.gone(time.Second)
	s.asBefore("after the address was given up")
	_, err := s.srv.AwaitRecord(h.addr.Netip(), netlab.RecordDeclined, 2*time.Second)
	if err != nil {
		t.Error(err)
	}
	n := leaseOf(s.request("SELECTING", dhcp4.Ack, 15*time.Second))
	if n.addr == h.addr {
		t.Error("the address that was given up was taken again")
	}
	s.uses(n)
	s.stop()
}
