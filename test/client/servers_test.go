package client

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/test/e2e"
)

var (
	serverAddr = netip.MustParseAddr("198.18.0.1")
	firstPool  = dhcp4.Range{First: dhcp4.MustParseAddr("198.18.0.100"), Last: dhcp4.MustParseAddr("198.18.0.149")}
	secondPool = dhcp4.Range{First: dhcp4.MustParseAddr("198.18.0.200"), Last: dhcp4.MustParseAddr("198.18.0.249")}
)

// scope is what the servers of these tests serve: everything that a client configures.
func scope(lifetime time.Duration, pool dhcp4.Range) netlab.Scope {
	return netlab.Scope{
		Subnet: netip.PrefixFrom(serverAddr, 24), First: pool.First.Netip(), Last: pool.Last.Netip(), Lifetime: lifetime,
		Routers: []netip.Addr{serverAddr}, DNS: []netip.Addr{netip.MustParseAddr("198.18.0.53"), netip.MustParseAddr("198.18.0.54")},
		Domain: "lab.example", MTU: 1400,
	}
}

// scopeFor is scope with the shortest times that a server of the kind can serve, so that T1 is 10 s and T2 15 s or later.
func scopeFor(kind netlab.ServerKind, pool dhcp4.Range) netlab.Scope {
	sc := scope(20*time.Second, pool)
	if kind == netlab.Dnsmasq {
		sc.Lifetime, sc.T1, sc.T2 = 120*time.Second, 10*time.Second, 15*time.Second
	}
	return sc
}

// serve starts a server on a new host of the switch, with the address of the scope.
func serve(t *testing.T, l *netlab.Lab, sw *netlab.Switch, name string, kind netlab.ServerKind, sc netlab.Scope) *netlab.Server {
	t.Helper()
	h := try(l.Host(name))(t)
	check(t, sw.Join(h, "eth0", sc.Subnet.String()))
	s := h.Server(kind, "eth0", sc)
	if kind == netlab.LessorServer {
		s.Program = lessor
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s on %s wrote:\n%s", kind, name, e2e.Tail(s.Log(), 60000))
		}
	})
	check(t, s.Start())
	return s
}

// Every server gives a lease to clients that are not ours and renews it, so that a
// failure of the tests with ours is not one of the lab.
func TestServersServeOtherClients(t *testing.T) {
	eachServer(t, func(t *testing.T, kind netlab.ServerKind) {
		l := newLab(t)
		sw := try(l.Switch("lan"))(t)
		srv := serve(t, l, sw, "server", kind, scopeFor(kind, firstPool))
		rec := record(t, sw)
		var clients []*netlab.Client
		for _, k := range []netlab.Kind{netlab.Dhclient, netlab.Udhcpc, netlab.Dhcpcd} {
			h := try(l.Host(string(k)))(t)
			check(t, sw.Join(h, "eth0"))
			c := h.Client(k, "eth0")
			check(t, c.Start())
			clients = append(clients, c)
		}
		for _, c := range clients {
			leaseAndRenewal(t, srv, rec, c)
		}
	})
}

// leaseAndRenewal expects that a started client gets an address, that the server has
// it on record, and that it is extended by unicast.
func leaseAndRenewal(t *testing.T, srv *netlab.Server, rec *netlab.Capture, c *netlab.Client) {
	t.Helper()
	addr, err := c.Await(20*time.Second, netip.Addr.IsValid)
	check(t, err)
	r, err := srv.AwaitRecord(addr, netlab.RecordActive, 3*time.Second)
	check(t, err)
	if m := c.Host.MAC("eth0"); r.MAC != "" && r.MAC != net.HardwareAddr(m[:]).String() {
		t.Errorf("%s has %s on record for %s, whose address is %x", srv.Kind, addr, r.MAC, m)
	}
	if c.Kind == netlab.Udhcpc { // it would wait for 61 s
		check(t, c.Proc().Signal(syscall.SIGUSR1))
	}
	var xid uint32
	_, _, err = rec.Wait(0, 20*time.Second, func(f *netlab.Frame) bool {
		v, ok := f.View()
		switch {
		case !ok:
		case f.Type() == dhcp4.Request && f.From == c.Host.Name && e2e.StateOf(f) == "RENEWING":
			xid = v.XID()
		case f.Type() == dhcp4.Ack && f.From == srv.Host.Name && v.XID() == xid && f.Dst.Netip() == addr:
			return true
		}
		return false
	})
	if err != nil {
		t.Errorf("%s was not renewed by %s: %v", c.Kind, srv.Kind, err)
	}
}

// stationStage is a server and test clients whose every octet the test writes.
type stationStage struct {
	t    *testing.T
	srv  *netlab.Server
	host *netlab.Host // of the clients
	st   *e2e.Station
	xid  uint32
}

func newStationStage(t *testing.T, kind netlab.ServerKind) *stationStage {
	t.Helper()
	l := newLab(t)
	sw := try(l.Switch("lan"))(t)
	s := &stationStage{t: t, srv: serve(t, l, sw, "server", kind, scopeFor(kind, firstPool))}
	record(t, sw)
	s.host = try(l.Host("clients"))(t)
	check(t, sw.Join(s.host, "eth0"))
	s.st = try(e2e.NewStation(s.host, "eth0"))(t)
	t.Cleanup(func() { s.st.Close() })
	return s
}

// bind gets client n an address and finds it on record.
func (s *stationStage) bind(n int) e2e.Lease {
	s.t.Helper()
	s.xid += 2
	l := try(s.st.Bind(e2e.TestMAC(n), s.xid, 3*time.Second))(s.t)
	s.wantRecord(l.Addr, netlab.RecordActive)
	return l
}

func (s *stationStage) wantRecord(a dhcp4.Addr, state string) {
	s.t.Helper()
	r, err := s.srv.AwaitRecord(a.Netip(), state, 3*time.Second)
	check(s.t, err)
	s.t.Logf("%s is %s: %.120s", a, r.State, r.Text)
}

// wantAnswer expects an answer of the type, 0: none, and returns its frame.
func (s *stationStage) wantAnswer(what string, m e2e.Msg, want dhcp4.MessageType) *netlab.Frame {
	s.t.Helper()
	within := 2 * time.Second
	if want == 0 {
		within = 700 * time.Millisecond
	}
	f, err := s.st.Exchange(m, within)
	switch {
	case err != nil && (want != 0 || !errors.Is(err, e2e.ErrSilence)):
		s.t.Errorf("%s: %v", what, err)
	case err == nil && f.Type() != want:
		s.t.Errorf("%s: answered by %s, want type %d", what, f, want)
	}
	return f
}

// What each server writes down, and what it refuses once its pool is another: the
// tests with our client rely on both.
func TestServersKeepRecordsAndRefuse(t *testing.T) {
	eachServer(t, func(t *testing.T, kind netlab.ServerKind) {
		s := newStationStage(t, kind)
		serverMAC := s.srv.Host.MAC("eth0")

		gone := s.bind(1)
		release := e2e.Renew(gone.MAC, 0x100, gone.Addr, gone.Server, serverMAC)
		release.Type, release.ServerID = dhcp4.Release, gone.Server
		check(t, s.st.Send([][]byte{release.Frame()}))
		s.wantRecord(gone.Addr, netlab.RecordReleased)

		bad := s.bind(2)
		decline := e2e.Select(bad.MAC, 0x101, bad.Addr, bad.Server)
		decline.Type = dhcp4.Decline
		check(t, s.st.Send([][]byte{decline.Frame()}))
		s.wantRecord(bad.Addr, netlab.RecordDeclined)

		kept := s.bind(3)
		check(t, s.host.AddAddr("eth0", kept.Addr.String()+"/24")) // some servers ask by ARP before they answer
		renew := e2e.Renew(kept.MAC, 0x102, kept.Addr, kept.Server, serverMAC)
		s.wantAnswer("a renewal", renew, dhcp4.Ack)
		check(t, s.srv.Change(scopeFor(kind, secondPool)))
		refusal := dhcp4.Nak
		if kind == netlab.NetworkdServer {
			refusal = 0
		}
		renew.XID++
		if f := s.wantAnswer("a renewal of an address outside the pool", renew, refusal); f != nil {
			t.Logf("the NAK while renewing: %s", f)
		}
		f := s.wantAnswer("a return to an address outside the pool", e2e.Reboot(kept.MAC, 0x104, kept.Addr), dhcp4.Nak)
		unicast := kind == netlab.LessorServer || kind == netlab.Kea
		if f != nil && (f.DstMAC == kept.MAC) != unicast {
			t.Errorf("the NAK went to %x, %s", f.DstMAC, f.Dst)
		}
		if again := s.bind(3); !secondPool.Contains(again.Addr) {
			t.Errorf("after the refusal the client got %s", again.Addr)
		}
	})
}
