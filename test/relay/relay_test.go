package relay

import (
	"bytes"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/wire"
	"lessor/test/e2e"
)

// testInFrontOf has dhclient on one lan and udhcpc on the other get and renew an address,
// and looks at every message on the wire.
func testInFrontOf(t *testing.T, kind netlab.ServerKind) {
	s := newSite(t)
	s.start(kind)
	s.relay(simple...)
	clients := []*netlab.Client{s.client(netlab.Dhclient, 0), s.client(netlab.Udhcpc, 1)}
	for n, c := range clients {
		addr := s.bound(c, n)
		mac := wire.MAC(c.Host.MAC("eth0"))
		s.exchanged(n, mac, addr)
		s.renewed(n, c, addr)
	}
	st := s.status()
	if len(st.Dropped)+len(st.Omitted) != 0 || st.SendFailed != 0 || st.ToServers < 4 || st.ToClients < 4 {
		t.Errorf("%+v", st)
	}
}

// exchanged checks the four messages by which a client of lan n got addr.
func (s *site) exchanged(n int, mac wire.MAC, addr dhcp4.Addr) {
	s.t.Helper()
	ifname := fmt.Sprintf("eth%d", n+1)
	text := net.HardwareAddr(mac[:]).String()
	info := append([]byte("\x01\x04"+ifname+"\x02"), append([]byte{byte(len(text))}, text...)...)
	for _, kind := range []dhcp4.MessageType{dhcp4.Discover, dhcp4.Offer, dhcp4.Request, dhcp4.Ack} {
		f, _, err := s.core.Wait(0, 5*time.Second, func(f *netlab.Frame) bool { return f.Type() == kind && of(f, mac) })
		if err != nil {
			s.t.Fatalf("%s on the core: %v", kind, err)
		}
		v, _ := f.View()
		if v.GIAddr() != gateway(n) || !bytes.Equal(agentInfo(f), info) {
			s.t.Errorf("%s on the core: giaddr %s, option 82 %q, want %q", kind, v.GIAddr(), agentInfo(f), info)
		}
		if kind == dhcp4.Discover && (v.Hops() != 1 || f.Src != gateway(n) || f.SrcPort != 67 || f.DstPort != 67) {
			s.t.Errorf("relayed as %s with hops %d", f, v.Hops())
		}
	}
	for _, kind := range []dhcp4.MessageType{dhcp4.Offer, dhcp4.Ack} {
		f, _, err := s.wire[n].Wait(0, 5*time.Second, func(f *netlab.Frame) bool { return f.Type() == kind && of(f, mac) })
		if err != nil {
			s.t.Fatalf("%s on the lan: %v", kind, err)
		}
		v, _ := f.View()
		if agentInfo(f) != nil || f.Src != gateway(n) || f.SrcPort != 67 || f.DstPort != 68 || v.YIAddr() != addr {
			s.t.Errorf("%s on the lan: %s, option 82 %q", kind, f, agentInfo(f))
		}
		if !v.Broadcast() && (f.DstMAC != mac || f.Dst != addr) {
			s.t.Errorf("%s does not go to its client's hardware address: %s", kind, f)
		}
		for _, a := range s.wire[n].Frames() {
			if a.ARP != nil && a.ARP.Op == 1 && a.ARP.TargetIP == addr && a.From == s.router.Name && a.Time.Before(f.Time) {
				s.t.Errorf("the router asked for the address before %s: %s", kind, &a)
			}
		}
	}
}

// hurry tells udhcpc to renew now, which has a mind of its own about short leases.
func (s *site) hurry(c *netlab.Client) {
	if c.Kind == netlab.Udhcpc {
		check(s.t, c.Proc().Signal(syscall.SIGUSR1))
	}
}

// renewed checks that the client of lan n extends its lease by unicast, past the relay agent.
func (s *site) renewed(n int, c *netlab.Client, addr dhcp4.Addr) {
	s.t.Helper()
	mac := wire.MAC(c.Host.MAC("eth0"))
	s.hurry(c)
	f, mark, err := s.core.Wait(0, 15*time.Second, func(f *netlab.Frame) bool {
		return f.Type() == dhcp4.Request && of(f, mac) && f.Src == addr
	})
	if err != nil {
		s.t.Fatalf("no renewal: %v", err)
	}
	if v, _ := f.View(); v.GIAddr() != 0 || v.Hops() != 0 || agentInfo(f) != nil || f.Dst != dhcp4.MustParseAddr(serverAddr) {
		s.t.Errorf("renewed by %s", f)
	}
	if _, _, err := s.core.Wait(mark, 5*time.Second, func(f *netlab.Frame) bool {
		v, ok := f.View()
		return ok && f.Type() == dhcp4.Ack && of(f, mac) && v.CIAddr() == addr
	}); err != nil {
		s.t.Errorf("the renewal was not answered: %v", err)
	}
}

// TestDhcrelayInFrontOfLessor: the relay agent of ISC, which adds the interface's name.
func TestDhcrelayInFrontOfLessor(t *testing.T) {
	s := newSite(t)
	s.start(netlab.LessorServer)
	p := try(s.router.Start(netlab.Spec{Args: []string{"/usr/sbin/dhcrelay", "-4", "-d", "-a", "--no-pid",
		"-iu", "eth0", "-id", "eth1", "-id", "eth2", serverAddr}}))(t)
	check(t, p.WaitOutput("Sending on", 5*time.Second))
	for n, kind := range []netlab.Kind{netlab.Dhclient, netlab.Udhcpc} {
		c := s.client(kind, n)
		addr, mac := s.bound(c, n), wire.MAC(c.Host.MAC("eth0"))
		want := fmt.Sprintf("\x01\x04eth%d", n+1)
		for _, kind := range []dhcp4.MessageType{dhcp4.Discover, dhcp4.Offer, dhcp4.Request, dhcp4.Ack} {
			f, _, err := s.core.Wait(0, 5*time.Second, func(f *netlab.Frame) bool { return f.Type() == kind && of(f, mac) })
			if err != nil || string(agentInfo(f)) != want {
				t.Errorf("%s: %v, option 82 %q", kind, err, agentInfo(f))
			}
		}
		s.renewed(n, c, addr)
	}
}

// linkSelection are arguments by which one address of the router is giaddr of both lans.
var linkSelection = append([]string{"--link-selection", "--giaddr", relayAddr}, simple...)

func TestLinkSelectionInFrontOfDnsmasq(t *testing.T) { testLinkSelection(t, netlab.Dnsmasq) }
func TestLinkSelectionInFrontOfLessor(t *testing.T)  { testLinkSelection(t, netlab.LessorServer) }

// TestLinkSelectionInFrontOfKea, which takes the subnet from option 82 and leaves its own
// address in option 54, so that clients renew past the relay agent.
func TestLinkSelectionInFrontOfKea(t *testing.T) {
	s := newSite(t)
	s.start(netlab.Kea)
	s.relay(linkSelection...)
	clients := []*netlab.Client{s.client(netlab.Dhclient, 0), s.client(netlab.Udhcpc, 1)}
	for n, c := range clients {
		s.renewed(n, c, s.bound(c, n))
	}
}

// testLinkSelection: the subnet comes from option 82, and clients renew by unicast through
// the relay agent, whose address they take for the server's (RFC 3527, RFC 5107).
func testLinkSelection(t *testing.T, kind netlab.ServerKind) {
	s := newSite(t)
	s.start(kind)
	s.relay(linkSelection...)
	clients := []*netlab.Client{s.client(netlab.Dhclient, 0), s.client(netlab.Udhcpc, 1)}
	for n, c := range clients {
		addr, mac := s.bound(c, n), wire.MAC(c.Host.MAC("eth0"))
		s.hurry(c)
		f, mark, err := s.wire[n].Wait(0, 15*time.Second, func(f *netlab.Frame) bool {
			return f.Type() == dhcp4.Request && of(f, mac) && f.Src == addr && f.Dst == gateway(n)
		})
		if err != nil {
			t.Fatalf("%s does not renew at the relay agent: %v", c.Kind, err)
		}
		if _, _, err := s.wire[n].Wait(mark, 5*time.Second, func(f *netlab.Frame) bool {
			return f.Type() == dhcp4.Ack && of(f, mac) && f.DstMAC == mac && f.Src == gateway(n) && agentInfo(f) == nil
		}); err != nil {
			t.Errorf("the renewal at %s was not answered: %v", f, err)
		}
		up, _, err := s.core.Wait(0, time.Second, func(f *netlab.Frame) bool {
			v, ok := f.View()
			return ok && f.Type() == dhcp4.Request && of(f, mac) && v.CIAddr() == addr
		})
		if err != nil {
			t.Fatal(err)
		}
		flags := bytes.Index(agentInfo(up), []byte{dhcp4.AgentRelayFlags, 1})
		if v, _ := up.View(); v.GIAddr() != dhcp4.MustParseAddr(relayAddr) || flags < 0 || agentInfo(up)[flags+2] != 0x80 {
			t.Errorf("relayed as %s with option 82 %x", up, agentInfo(up))
		}
	}
}

// station joins a machine to lan n that sends frames as it likes.
func (s *site) station(n int) *e2e.Station {
	s.t.Helper()
	h := try(s.lab.Host(fmt.Sprintf("station-%d", n+1)))(s.t)
	check(s.t, s.lans[n].Join(h, "eth0"))
	st := try(e2e.NewStation(h, "eth0"))(s.t)
	s.t.Cleanup(func() { st.Close() })
	return st
}

// TestRequestsThatAreNotRelayed: I21 on the wire.
func TestRequestsThatAreNotRelayed(t *testing.T) {
	s := newSite(t)
	s.relay(append([]string{"--trust", "eth2"}, simple...)...)
	st := [2]*e2e.Station{s.station(0), s.station(1)}
	for i, c := range []struct {
		reason string
		edit   func(m *e2e.Msg)
	}{
		{"own-giaddr", func(m *e2e.Msg) { m.GIAddr = gateway(0) }},
		{"own-giaddr", func(m *e2e.Msg) { m.GIAddr = gateway(1) }},
		{"bad-giaddr", func(m *e2e.Msg) { m.GIAddr = dhcp4.Broadcast }},
		{"untrusted-option-82", func(m *e2e.Msg) { m.Agent = []byte("\x01\x01x") }},
		{"bootp", func(m *e2e.Msg) { m.Type = 0 }},
	} {
		before := dropped(s.status(), c.reason)
		m := e2e.Discover(e2e.TestMAC(i), uint32(i))
		c.edit(&m)
		frame := m.Frame()
		if m.Type == 0 {
			payload := bytes.Index(frame, []byte{99, 130, 83, 99}) + 4
			frame[payload] = 0xff // no option at all
		}
		check(t, st[0].Send([][]byte{frame}))
		s.counted(c.reason, before)
	}
	over := e2e.Discover(e2e.TestMAC(50), 50)
	over.GIAddr = dhcp4.MustParseAddr("198.51.100.1")
	for hops := byte(4); hops <= 5; hops++ { // one that is relayed, one that is not
		frame := over.Frame()
		frame[14+20+8+3] = hops
		check(t, st[0].Send([][]byte{frame}))
	}
	s.counted("hops", 0)

	// A server of somebody's own among the clients.
	rogue := e2e.Discover(e2e.TestMAC(51), 51)
	rogue.GIAddr = gateway(1)
	payload := rogue.AppendPayload(nil)
	payload[0] = 2
	mac := wire.MAC(s.router.MAC("eth1"))
	check(t, st[0].Send([][]byte{e2e.UDPFrame(e2e.TestMAC(51), mac, dhcp4.MustParseAddr(serverAddr), gateway(1), 67, 67, payload)}))
	s.counted("reply-from-clients", 0)

	// What a trusted device brings is relayed as it is, and too long a request without option 82.
	trusted := e2e.Discover(e2e.TestMAC(60), 60)
	trusted.Agent = []byte("\x01\x06port-7")
	long := e2e.Discover(e2e.TestMAC(61), 61)
	long.Options = []dhcp4.Option{{Code: dhcp4.OptVendorEncapsulatedOptions, Data: make([]byte, 1120)}}
	frame := long.Frame()
	for len(frame) < 14+1500-20 { // PAD after END
		frame = e2e.UDPFrame(e2e.TestMAC(61), wire.BroadcastMAC, 0, dhcp4.Broadcast, 68, 67, append(frame[42:len(frame):len(frame)], 0))
	}
	check(t, st[1].Send([][]byte{trusted.Frame(), long.Frame()}))
	for xid, want := range map[uint32]string{60: "\x01\x06port-7", 61: "\x01\x04eth2\x02\x11" + macText(61)} {
		f, _, err := s.core.Wait(0, 5*time.Second, func(f *netlab.Frame) bool { v, ok := f.View(); return ok && v.XID() == xid })
		if err != nil || string(agentInfo(f)) != want {
			t.Errorf("xid %d: %v, option 82 %q", xid, err, agentInfo(f))
		}
	}
	for _, f := range s.core.Frames() {
		if v, ok := f.View(); ok && (v.XID() < 50 || v.XID() == 50 && v.Hops() != 5 || v.XID() == 51) {
			t.Errorf("relayed: %s", &f)
		}
	}
}

func macText(n int) string {
	m := e2e.TestMAC(n)
	return net.HardwareAddr(m[:]).String()
}

// counted waits until one more message was dropped for the reason.
func (s *site) counted(reason string, before uint64) {
	s.t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		st := s.status()
		if dropped(st, reason) == before+1 {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("no drop for %s: %+v", reason, st)
		}
	}
}
