package client

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client/run"
	"lessor/internal/netlab"
	"lessor/internal/wire"
	"lessor/test/e2e"
)

// knows waits until the client has written down how to know its network again: by the
// hardware address of the server, which is its router.
func (s *stage) knows() {
	s.t.Helper()
	router := hardware(s.srv.Host.MAC("eth0"))
	var b []byte
	for end := time.Now().Add(5 * time.Second); !strings.Contains(string(b), `"router-hw-address": "`+router+`"`); time.Sleep(20 * time.Millisecond) {
		b, _ = os.ReadFile(s.host.Path("/var/lib/lessor/client-eth0.leases"))
		if time.Now().After(end) {
			s.t.Fatalf("the lease file does not have the router %s: %s", router, b)
		}
	}
}

// asksRouter waits for the client's unicast ARP request to the remembered router (RFC 4436 2.1).
func (s *stage) asksRouter(h held) {
	s.t.Helper()
	router := s.srv.Host.MAC("eth0")
	f := s.wait("an ARP request to the router", 2*time.Second, func(f *netlab.Frame) bool {
		return f.From == s.host.Name && f.ARP != nil && f.ARP.Op == 1 && f.ARP.TargetIP.Netip() == serverAddr
	})
	if f.DstMAC != router || f.ARP.SenderIP != h.addr {
		s.t.Errorf("the client asks by %s, want it from %s to %x alone", f, h.addr, router)
	}
}

// The carrier goes and comes back on the same network: the router's answer to a
// unicast ARP request brings the address back at once, while no server can be reached;
// INIT-REBOOT confirms it later.
func TestTheSameNetworkAgain(t *testing.T) {
	t.Parallel()
	sc := scope(120*time.Second, firstPool)
	s := newServed(t, netlab.Kea, sc)
	h := s.bind()
	s.knows()
	for range 2 {
		s.block(netlab.BlockDHCP)
		check(t, s.sw.Unplug(s.host))
		s.state("init", "link-down", 2*time.Second)
		s.unusable()
		s.mark = s.rec.Mark()
		plugged := time.Now()
		check(t, s.sw.Plug(s.host))
		s.asksRouter(h)
		s.uses(h)
		took := time.Since(plugged)
		t.Logf("the address was back %s after the carrier", took.Round(time.Millisecond))
		if took > time.Second {
			t.Errorf("the address was back after %s only", took)
		}
		s.configured(h, sc)
		s.block(netlab.BlockNothing)
		req, ack := s.request("INIT-REBOOT", dhcp4.Ack, 10*time.Second)
		if v, _ := req.View(); e2e.Requested(&v) != h.addr {
			t.Errorf("the REQUEST is %s", req)
		}
		h = leaseOf(req, ack)
		s.awaitLine("configured again", 2*time.Second, func(l *run.Line) bool { return l.Event == "configured" })
		s.configured(h, sc)
	}
	s.stop()
}

// unusable expects within a second that nothing is routed by the interface.
func (s *stage) unusable() {
	s.t.Helper()
	var routes []route
	for end := time.Now().Add(time.Second); ; time.Sleep(20 * time.Millisecond) {
		s.ipJSON(&routes, "-4", "route", "show", "dev", "eth0")
		if len(routes) == 0 {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("without carrier there still are the routes %+v", routes)
		}
	}
}

// The carrier comes back on another network: no packet there names the old address,
// except the question by unicast to the router of the old network; nobody who asks for
// the old address is answered. Back on the first network the client has its first address again.
func TestAnotherNetwork(t *testing.T) {
	t.Parallel()
	sc := scope(300*time.Second, firstPool)
	s := newServed(t, netlab.Dhcpd, sc)
	home := s.bind()
	s.configured(home, sc)
	s.knows()
	router := s.srv.Host.MAC("eth0")

	elsewhere := sc
	far := netip.MustParseAddr("198.19.7.1")
	elsewhere.Subnet, elsewhere.Routers = netip.PrefixFrom(far, 24), []netip.Addr{far}
	elsewhere.First, elsewhere.Last = netip.MustParseAddr("198.19.7.10"), netip.MustParseAddr("198.19.7.20")
	other := serve(t, s.lab, s.sw, "elsewhere", netlab.Dnsmasq, elsewhere)
	asker := try(e2e.NewStation(other.Host, "eth0"))(t)
	defer asker.Close()

	check(t, s.sw.Unplug(s.host))
	s.state("init", "link-down", 2*time.Second)
	check(t, s.sw.Unplug(s.srv.Host))
	check(t, other.Host.AddAddr("eth0", "198.18.0.77/24"))
	moved := s.rec.Mark()
	s.mark = moved
	check(t, s.sw.Plug(s.host))
	for range 20 { // who has the old address?
		check(t, asker.Send([][]byte{arpFrame(other.Host.MAC("eth0"), wire.BroadcastMAC, 1, dhcp4.MustParseAddr("198.18.0.77"), home.addr)}))
		time.Sleep(20 * time.Millisecond)
	}
	there := leaseOf(s.request("SELECTING", dhcp4.Ack, 10*time.Second))
	s.uses(there)
	for _, f := range s.rec.Frames()[moved:] {
		if f.From != s.host.Name || f.ARP != nil && f.DstMAC == router {
			continue
		}
		v, ok := f.View()
		switch {
		case f.ARP != nil && (f.ARP.SenderIP == home.addr || f.ARP.TargetIP == home.addr):
		case ok && (f.Src == home.addr || v.CIAddr() == home.addr || e2e.Requested(&v) == home.addr):
		default:
			continue
		}
		t.Errorf("the old address is named on the other network: %s", &f)
	}

	check(t, s.sw.Unplug(s.host))
	s.state("init", "link-down", 2*time.Second)
	check(t, s.sw.Unplug(other.Host))
	check(t, s.sw.Plug(s.srv.Host))
	s.mark = s.rec.Mark()
	check(t, s.sw.Plug(s.host))
	req, ack := s.request("INIT-REBOOT", dhcp4.Ack, 5*time.Second)
	if n := leaseOf(req, ack); n.addr != home.addr {
		t.Errorf("back on its first network the client got %s, it had %s", n.addr, home.addr)
	}
	s.uses(home)
	s.stop()
}

// The interface gets another hardware address: the client asks for its address with
// the new one. A server that knows it by a client identifier of its own agrees.
func TestChangedMAC(t *testing.T) {
	t.Parallel()
	sc := scope(120*time.Second, firstPool)
	s := newServed(t, netlab.LessorServer, sc, "--client-id", "ff:00:00:00:07:00:01:02:03")
	h := s.bind()
	s.knows()
	s.mark = s.rec.Mark()
	mac := netlab.ParseMAC("02:00:5e:77:00:01")
	try(s.host.Run(context.Background(), "ip", "link", "set", "eth0", "address", hardware(mac)))(t)
	req, ack := s.request("INIT-REBOOT", dhcp4.Ack, 5*time.Second)
	v, _ := req.View()
	if [6]byte(v.CHAddr()) != mac || req.SrcMAC != mac || e2e.Requested(&v) != h.addr {
		t.Errorf("the REQUEST after the change is %s with chaddr %x", req, v.CHAddr())
	}
	n := leaseOf(req, ack)
	s.uses(n)
	r, err := s.srv.AwaitRecord(h.addr.Netip(), netlab.RecordActive, time.Second)
	if err != nil || r.MAC != hardware(mac) {
		t.Errorf("the server has %s (%v)", r.Text, err)
	}
	check(t, s.client.Proc().Stop(5*time.Second))
	if now := s.host.Addrs("eth0"); len(now) != 0 {
		t.Errorf("after the stop there is %v", now)
	}
}

// Nobody answers INIT-REBOOT after a restart: the address is used if its lease is
// valid and the router answers by ARP, until the end of that lease; not without the router.
func TestNobodyConfirms(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{true, false} {
		t.Run(map[bool]string{true: "the router answers", false: "nobody answers"}[there], func(t *testing.T) {
			t.Parallel()
			sc := scope(45*time.Second, firstPool)
			s := newServed(t, netlab.Dhcpd, sc)
			h := s.bind()
			s.knows()
			s.kill()
			check(t, s.client.PowerOff())
			s.block(netlab.BlockDHCP)
			if !there {
				check(t, s.sw.Unplug(s.srv.Host))
			}
			s.mark = s.rec.Mark()
			check(t, s.client.Start())
			s.asksRouter(h)
			if !there {
				v := s.hears(dhcp4.Discover, 5*time.Second)
				if e2e.Requested(v) != 0 {
					t.Errorf("the DISCOVER on an unknown network names %s", e2e.Requested(v))
				}
				s.asBefore("on an unknown network")
				s.stop()
				return
			}
			s.uses(h)
			s.configured(h, sc)
			if v := s.requests("INIT-REBOOT"); e2e.Requested(v) != h.addr {
				t.Errorf("INIT-REBOOT for %s", e2e.Requested(v))
			}
			next := s.awaitLine("no answer", 35*time.Second, func(l *run.Line) bool {
				return l.Event == "state" && l.From == "rebooting" || l.Event == "removed"
			})
			if next.To != "bound" || next.Reason != "no-answer" {
				t.Errorf("after silence the client says %+v, want it to be bound", next)
			}
			s.expires(h)
			s.stop()
		})
	}
}

// The server is gone; at T2 another one may answer. dnsmasq does when it is authoritative;
// Lessor without a record of the lease stays silent (I3b d), and the address goes at its end.
func TestRebindingWithAnotherServer(t *testing.T) {
	t.Parallel()
	for _, next := range []netlab.ServerKind{netlab.Dnsmasq, netlab.LessorServer} {
		t.Run(string(next), func(t *testing.T) {
			t.Parallel()
			sc := scope(24*time.Second, firstPool)
			s := newServed(t, netlab.LessorServer, sc)
			h := s.bind()
			s.srv.Kill()
			after := sc
			second := netip.MustParseAddr("198.18.0.2")
			after.Subnet, after.Lifetime = netip.PrefixFrom(second, 24), 120*time.Second
			serve(t, s.lab, s.sw, "next", next, after)
			if next == netlab.LessorServer {
				s.requests("REBINDING")
				s.expires(h)
				for _, f := range s.rec.Frames() {
					if f.From == "next" && f.IsDHCP() && f.Time.Before(h.end()) {
						t.Errorf("a server without a record answers: %s", &f)
					}
				}
				n := leaseOf(s.request("SELECTING", dhcp4.Ack, 15*time.Second))
				s.uses(n)
				s.stop()
				return
			}
			req, ack := s.request("REBINDING", dhcp4.Ack, time.Until(h.end()))
			n := s.extended(h, req, ack, sc)
			if n.server.Netip() != second {
				t.Errorf("the lease is of %s now, want %s", n.server, second)
			}
			s.stop()
		})
	}
}
