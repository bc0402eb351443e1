package client

import (
	"net/netip"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client/run"
	"lessor/internal/netlab"
	"lessor/internal/wire"
	"lessor/test/e2e"
)

// eachServer runs a test against every server, all at once.
func eachServer(t *testing.T, f func(t *testing.T, kind netlab.ServerKind)) {
	t.Parallel()
	for _, kind := range netlab.ServerKinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			f(t, kind)
		})
	}
}

// isProbe reports whether the frame asks by ARP for an address without naming a sender (RFC 5227 1.1).
func isProbe(f *netlab.Frame, a dhcp4.Addr) bool {
	return f.ARP != nil && f.ARP.Op == 1 && f.ARP.SenderIP == 0 && f.ARP.TargetIP == a
}

// isAnnouncement reports whether the frame tells everybody who has the address.
func isAnnouncement(f *netlab.Frame, a dhcp4.Addr) bool {
	return f.ARP != nil && f.ARP.Op == 1 && f.ARP.SenderIP == a && f.ARP.TargetIP == a && f.DstMAC == wire.BroadcastMAC
}

// A whole life against each server: lease, probes and announcements, renewal by
// unicast at T1, rebinding by broadcast at T2 while unicast is lost, stop, a
// restart that remembers, a kill, release. The kernel's state is looked at after each step.
func TestLife(t *testing.T) {
	eachServer(t, func(t *testing.T, kind netlab.ServerKind) {
		sc := scopeFor(kind, firstPool)
		sc.Routes = []netlab.Via{via("0.0.0.0/0", "198.18.0.2"), via("198.51.100.0/24", "198.18.0.3"), via("203.0.113.128/25", "198.18.0.1")}
		s := newServed(t, kind, sc)
		h := s.bind()
		if h.server.Netip() != serverAddr || !firstPool.Contains(h.addr) || h.life != sc.Lifetime {
			t.Errorf("the lease is %+v", h)
		}
		s.configured(h, sc)
		s.probed(h.addr)
		r, err := s.srv.AwaitRecord(h.addr.Netip(), netlab.RecordActive, 2*time.Second)
		if err != nil {
			t.Error(err, r)
		}

		h = s.renews(h, sc)
		h = s.rebinds(h, sc)
		s.block(netlab.BlockNothing)

		s.stop()
		s.returns(h, sc, s.client.Start)
		s.kill()
		if got := s.host.Addr("eth0"); got != h.addr.Netip() {
			t.Errorf("after the kill the interface has %s; the kernel ends it, not the kill", got)
		}
		h = s.returns(h, sc, s.client.Start)
		s.kill()
		check(t, s.client.PowerOff())
		h = s.returns(h, sc, s.client.Start)
		s.releases(h)
		s.stop()
	})
}

// probed expects three probes before the address was used, and announcements after.
func (s *stage) probed(a dhcp4.Addr) {
	s.t.Helper()
	s.wait("the second announcement", 4*time.Second, func() func(f *netlab.Frame) bool {
		n := 0
		return func(f *netlab.Frame) bool {
			if f.From == s.host.Name && isAnnouncement(f, a) {
				n++
			}
			return n == 2
		}
	}())
	probes := 0
	for _, f := range s.rec.Frames() {
		switch {
		case f.From != s.host.Name:
		case isProbe(&f, a):
			probes++
		case f.ARP != nil && f.ARP.SenderIP == a && probes < 3:
			s.t.Errorf("the address is used after %d probes: %s", probes, &f)
		}
	}
	if probes != 3 {
		s.t.Errorf("%d probes for %s, want 3", probes, a)
	}
}

// renews waits for the renewal at T1, by unicast to the server.
func (s *stage) renews(h held, sc netlab.Scope) held {
	s.t.Helper()
	req, ack := s.request("RENEWING", dhcp4.Ack, time.Until(h.start.Add(h.t1))+3*time.Second)
	s.at(req, h.start.Add(h.t1), "T1")
	if req.Dst != h.server || req.DstMAC != s.srv.Host.MAC("eth0") || req.Src != h.addr {
		s.t.Errorf("the renewal is %s, want it from %s to %s, %x", req, h.addr, h.server, s.srv.Host.MAC("eth0"))
	}
	return s.extended(h, req, ack, sc)
}

// at expects that the frame was sent at the time, give or take a second.
func (s *stage) at(f *netlab.Frame, when time.Time, what string) {
	s.t.Helper()
	if late := f.Time.Sub(when); late < -time.Second || late > time.Second {
		s.t.Errorf("%s came %s after its time: %s", what, late, f)
	}
}

// extended expects that an answer extended the lease, and that the kernel knows.
func (s *stage) extended(h held, req, ack *netlab.Frame, sc netlab.Scope) held {
	s.t.Helper()
	v, _ := req.View()
	if v.CIAddr() != h.addr || e2e.Requested(&v) != 0 {
		s.t.Errorf("the REQUEST does not name its address as RFC 2131 table 5 has it: %s", req)
	}
	n := leaseOf(req, ack)
	if n.addr != h.addr {
		s.t.Errorf("the lease was for %s and is for %s", h.addr, n.addr)
	}
	s.awaitLine("configured again", 2*time.Second, func(l *run.Line) bool { return l.Event == "configured" })
	s.configured(n, sc)
	return n
}

// rebinds loses what the client sends by unicast and waits for the rebinding at T2.
func (s *stage) rebinds(h held, sc netlab.Scope) held {
	s.t.Helper()
	s.block(netlab.BlockUnicast)
	lost := s.wait("the renewal that is lost", time.Until(h.start.Add(h.t2)), func(f *netlab.Frame) bool {
		return f.From == s.host.Name && f.Type() == dhcp4.Request && e2e.StateOf(f) == "RENEWING"
	})
	req, ack := s.request("REBINDING", dhcp4.Ack, time.Until(h.start.Add(h.t2))+3*time.Second)
	s.at(req, h.start.Add(h.t2), "T2")
	if req.Time.Sub(lost.Time) < time.Second {
		s.t.Errorf("the rebinding follows the renewal after %s", req.Time.Sub(lost.Time))
	}
	if req.Src != h.addr || req.Dst != dhcp4.Broadcast {
		s.t.Errorf("the rebinding is %s", req)
	}
	if ack.From != s.srv.Host.Name {
		s.t.Errorf("the rebinding was answered by %s", ack.From)
	}
	return s.extended(h, req, ack, sc)
}

// returns starts the client again and expects it to ask for its address in
// INIT-REBOOT, and to have it again.
func (s *stage) returns(h held, sc netlab.Scope, start func() error) held {
	s.t.Helper()
	s.mark = s.rec.Mark()
	check(s.t, start())
	req, ack := s.request("INIT-REBOOT", dhcp4.Ack, 5*time.Second)
	v, _ := req.View()
	if e2e.Requested(&v) != h.addr || req.Dst != dhcp4.Broadcast || req.Src != 0 {
		s.t.Errorf("the REQUEST after a restart is %s, want it for %s", req, h.addr)
	}
	n := leaseOf(req, ack)
	s.uses(n)
	s.state("bound", "ack", 5*time.Second)
	s.configured(n, sc)
	return n
}

// releases gives the address back by "client release" and takes it again by "client renew".
func (s *stage) releases(h held) {
	s.t.Helper()
	s.mark = s.rec.Mark()
	s.control("release")
	f, v := s.message(s.host.Name, dhcp4.Release, 2*time.Second)
	sid, _ := v.Addr(dhcp4.OptDHCPServerIdentifier)
	if v.CIAddr() != h.addr || sid != h.server || f.Dst != h.server || f.DstMAC != s.srv.Host.MAC("eth0") || e2e.Requested(v) != 0 {
		s.t.Errorf("the RELEASE is %s", f)
	}
	_, err := s.srv.AwaitRecord(h.addr.Netip(), netlab.RecordReleased, 5*time.Second)
	if err != nil {
		s.t.Error(err)
	}
	s.asBefore("after the release")
	s.control("renew")
	n := leaseOf(s.request("SELECTING", dhcp4.Ack, 5*time.Second))
	s.uses(n)
}

// Two servers that know nothing of each other: the client takes the first OFFER that
// arrives and names its server to both; the other is not answered, and forgets.
func TestTheFirstOfferWins(t *testing.T) {
	t.Parallel()
	for _, kinds := range [][2]netlab.ServerKind{{netlab.Kea, netlab.Dnsmasq}, {netlab.Dhcpd, netlab.LessorServer}} {
		t.Run(string(kinds[0])+" and "+string(kinds[1]), func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			for i, kind := range kinds {
				sc := scope(120*time.Second, []dhcp4.Range{firstPool, secondPool}[i])
				sc.Reticent = true
				if i == 1 {
					other := netip.MustParseAddr("198.18.0.2")
					sc.Subnet, sc.Routers = netip.PrefixFrom(other, 24), []netip.Addr{other}
				}
				serve(t, s.lab, s.sw, string(kind), kind, sc)
			}
			check(t, s.client.Start())
			_, d := s.message(s.host.Name, dhcp4.Discover, 10*time.Second)
			first := s.wait("an OFFER", 5*time.Second, func(f *netlab.Frame) bool { return f.Type() == dhcp4.Offer })
			req, ack := s.request("SELECTING", dhcp4.Ack, 5*time.Second)
			o, _ := first.View()
			r, _ := req.View()
			want, _ := o.Addr(dhcp4.OptDHCPServerIdentifier)
			if got, _ := r.Addr(dhcp4.OptDHCPServerIdentifier); got != want || e2e.Requested(&r) != o.YIAddr() || r.XID() != d.XID() || req.Dst != dhcp4.Broadcast {
				t.Errorf("the first offer is %s, the REQUEST is %s", first, req)
			}
			if ack.From != first.From {
				t.Errorf("the ACK is from %s, the first offer was from %s", ack.From, first.From)
			}
			s.uses(leaseOf(req, ack))
			offers := map[string]int{}
			for _, f := range s.rec.Frames() {
				if f.Type() == dhcp4.Offer {
					offers[f.From]++
				}
				if (f.Type() == dhcp4.Ack || f.Type() == dhcp4.Nak) && f.From != first.From {
					t.Errorf("the server that was not chosen answers: %s", &f)
				}
			}
			if len(offers) != 2 {
				t.Errorf("offers came from %v, want two servers", offers)
			}
			s.stop()
		})
	}
}
