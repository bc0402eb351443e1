package client

import (
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/wire"
	"lessor/test/e2e"
)

// delivery is how each server sends its NAKs to a client that is on its link, when
// the client renews or reboots.
func delivery(kind netlab.ServerKind) (unicast bool) {
	return kind == netlab.Kea || kind == netlab.LessorServer
}

// refusals tells a client's story against a server that changes its pool under it: a
// NAK in RENEWING, in REBOOTING and, where the client waits for a better offer meanwhile,
// in REQUESTING. After each it has an address of the other pool within seconds.
func refusals(t *testing.T, kind netlab.ServerKind, byBroadcast bool) {
	first, second := scopeFor(kind, firstPool), scopeFor(kind, secondPool)
	first.NakByBroadcast, second.NakByBroadcast = byBroadcast, byBroadcast
	s := newServed(t, kind, first, "--select-timeout", "3s")
	h := s.bind()

	if kind != netlab.NetworkdServer { // it is silent then
		check(t, s.srv.Change(second))
		h = s.refused("RENEWING", h, second, !byBroadcast && delivery(kind))
		first, second = second, first
	}

	s.stop()
	check(t, s.srv.Change(second))
	s.mark = s.rec.Mark()
	check(t, s.client.Start())
	s.refused("INIT-REBOOT", h, second, !byBroadcast && delivery(kind))
	first, second = second, first

	if kind == netlab.NetworkdServer {
		s.stop()
		return
	}
	s.control("release")
	s.message(s.host.Name, dhcp4.Release, 2*time.Second)
	s.control("renew")
	s.message("server", dhcp4.Offer, 5*time.Second)
	check(t, s.srv.Change(second)) // the client still waits for a better offer
	s.refused("SELECTING", held{}, second, !byBroadcast && delivery(kind))
	s.stop()
}

// refused waits for a REQUEST in the form of a state and a NAK to it, and expects the
// old address to go at once and a new one of the scope to come.
func (s *stage) refused(state string, old held, sc netlab.Scope, unicast bool) held {
	s.t.Helper()
	_, nak := s.request(state, dhcp4.Nak, 15*time.Second)
	if (nak.DstMAC == s.mac()) != unicast || nak.DstMAC != s.mac() && nak.DstMAC != wire.BroadcastMAC {
		s.t.Errorf("the NAK in %s is %s: want it by unicast: %t", state, nak, unicast)
	}
	if old.addr != 0 {
		s.vanished(old.addr, nak)
	}
	n := leaseOf(s.request("SELECTING", dhcp4.Ack, 15*time.Second))
	if n.addr == old.addr || n.addr.Netip().Less(sc.First) || sc.Last.Less(n.addr.Netip()) {
		s.t.Errorf("after the NAK in %s the client got %s", state, n.addr)
	}
	s.uses(n)
	s.configured(n, sc)
	return n
}

// vanished expects that the address went from the interface with the NAK.
func (s *stage) vanished(a dhcp4.Addr, nak *netlab.Frame) {
	s.t.Helper()
	for end := time.Now().Add(time.Second); s.host.Addr("eth0") == a.Netip(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s after the NAK the address is still there", time.Since(nak.Time))
		}
	}
	s.t.Logf("the address was gone %s after the NAK", time.Since(nak.Time).Round(time.Millisecond))
}

func TestNak(t *testing.T) {
	eachServer(t, func(t *testing.T, kind netlab.ServerKind) { refusals(t, kind, false) })
	t.Run("lessor by broadcast", func(t *testing.T) {
		t.Parallel()
		refusals(t, netlab.LessorServer, true)
	})
}

// NAKs that a test sends, by unicast and by broadcast, in each state; and before
// each the ones that do not count: with another transaction, another server's name, another chaddr.
func TestNakOfAnyServer(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"unicast", "broadcast"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, "--conflict-detection", "off")
			p := newPuppet(t, s.lab, s.sw, "server")
			deliver := func(v *dhcp4.View, a dhcp4.Addr) reply {
				r := p.to(v, dhcp4.Nak, a, 0)
				if way == "broadcast" {
					r = r.broadcast()
				}
				return r
			}
			check(t, s.client.Start())

			// REQUESTING
			a := firstPool.First
			v := s.offered(p, a, 8)
			s.deaf(p, deliver(v, a), true)
			p.send(deliver(v, a))
			s.state("init", "nak", time.Second)

			// RENEWING
			a++
			s.granted(p, a, 8)
			v = s.requests("RENEWING")
			s.deaf(p, deliver(v, a), true)
			if got := s.host.Addr("eth0"); got != a.Netip() {
				t.Fatalf("a NAK that does not count took the address: %s", got)
			}
			p.send(deliver(v, a))
			s.leaves()

			// REBINDING, and REBOOTING after a restart: any server may answer.
			a++
			s.granted(p, a, 8)
			v = s.requests("REBINDING")
			s.deaf(p, deliver(v, a), false)
			nak := deliver(v, a)
			nak.ServerID++
			p.send(nak)
			s.leaves()

			a++
			s.granted(p, a, 60)
			s.stop()
			check(t, s.client.Start())
			v = s.requests("INIT-REBOOT")
			s.deaf(p, deliver(v, a), false)
			p.send(deliver(v, a))
			s.leaves()
			s.offered(p, a+1, 60)
			s.alive()
		})
	}
}

// offered answers the client's next DISCOVER with an OFFER and returns its REQUEST.
func (s *stage) offered(p *puppet, a dhcp4.Addr, lifetime uint32) *dhcp4.View {
	s.t.Helper()
	p.send(p.to(s.hears(dhcp4.Discover, 20*time.Second), dhcp4.Offer, a, lifetime))
	return s.requests("SELECTING")
}

// granted acknowledges that REQUEST too, and waits until the client uses the address.
func (s *stage) granted(p *puppet, a dhcp4.Addr, lifetime uint32) {
	s.t.Helper()
	p.send(p.to(s.offered(p, a, lifetime), dhcp4.Ack, a, lifetime))
	s.uses(held{addr: a})
}

// leaves waits until the client says that it was refused, and the address is gone.
func (s *stage) leaves() {
	s.t.Helper()
	s.state("init", "nak", time.Second)
	s.gone(time.Second)
}

// requests waits for the client's next REQUEST in the form of a state.
func (s *stage) requests(state string) *dhcp4.View {
	s.t.Helper()
	f := s.wait("REQUEST in "+state, 25*time.Second, func(f *netlab.Frame) bool {
		return f.From == s.host.Name && f.Type() == dhcp4.Request && e2e.StateOf(f) == state
	})
	v, _ := f.View()
	return &v
}

// deaf sends NAKs that differ from the good one in what makes them somebody else's,
// and expects each to be ignored, for the right reason. chosen: one of another server is too.
func (s *stage) deaf(p *puppet, good reply, chosen bool) {
	s.t.Helper()
	xid, mac, nobody := good, good, good
	xid.XID++
	mac.CHAddr[5]++
	nobody.ServerID = 0
	bad := map[string]reply{"other-xid": xid, "other-hardware": mac, "no-server-id": nobody}
	if chosen {
		other := good
		other.ServerID++
		bad["other-server"] = other
	}
	for why, r := range bad {
		p.send(r)
		s.ignored(why)
	}
}
