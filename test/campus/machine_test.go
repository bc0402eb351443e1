package campus

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/test/e2e"
)

// oneLink is a router with one link, as others are on the campus.
var oneLink = []link{{"a1", []byte{11}, 0}}

// newClient is a client on oneLink that is not started yet.
func (s *stage) newClient(n int, kind netlab.Kind, flags ...string) *client {
	s.t.Helper()
	c := &client{n: n, link: &oneLink[0], kind: kind, flags: flags, renewals: 1}
	check(s.t, s.join(c))
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("%s (%s) wrote:\n%s", c.name(), kind, e2e.Tail(c.run.Log(), 3000))
		}
	})
	return c
}

// One machine, known by its Ethernet address, with a reservation and a boot file.
const machineConfig = `
interfaces: [eth0]
valid-lifetime: 12s
subnets:
  - subnet: 198.18.11.0/24
    pools: [198.18.11.10-198.18.11.19]
    options: {routers: 198.18.11.1}
    boot: {next-server: 198.19.0.2, uefi-x64: grubx64.efi}
    reservations:
      - {hw-address: 02:00:5e:80:00:01, ip-address: 198.18.11.200}
`

// A machine starts from the network, is installed and runs: its ROM, the installer and
// the system send three client identifiers, and hardly ever a RELEASE. All of them have the
// one reserved address, also while the leases of the others have not ended.
func TestOneMachineHasOneAddressUnderThreeNames(t *testing.T) {
	t.Parallel()
	s := newStage(t, oneLink)
	serve(t, s.server, machineConfig)
	s.relay("a", oneLink, "--circuit-id", "${interface}")
	system := s.newClient(1, netlab.Lessor)
	check(t, system.host.WaitRunning("eth0", 5*time.Second))
	st := try(e2e.NewStation(system.host, "eth0"))(t)
	defer st.Close()
	reserved := at(11, 200)

	uuid := slices.Concat([]byte{0}, []byte("0123456789abcdef"))
	rom := func(xid uint32) {
		t.Helper()
		ack := s.binds(st, "the ROM", xid, uuid,
			dhcp4.Option{Code: dhcp4.OptVendorClassIdentifier, Data: []byte("PXEClient:Arch:00007:UNDI:003016")},
			dhcp4.Option{Code: dhcp4.OptClientSystem, Data: []byte{0, 7}},
			dhcp4.Option{Code: dhcp4.OptClientNDI, Data: []byte{1, 3, 16}},
			dhcp4.Option{Code: dhcp4.OptUUIDGUID, Data: uuid})
		v, _ := ack.View()
		if file := string(v.File()); v.YIAddr() != reserved || v.SIAddr().String() != "198.19.0.2" || file != "grubx64.efi" {
			t.Errorf("the ROM is given %s, %q of %s", v.YIAddr(), file, v.SIAddr())
		}
	}
	installer := func(xid uint32) {
		t.Helper()
		id := append([]byte{0xff, 0x5e, 0x80, 0, 1, 0, 1, 0, 1, 0x2c, 0x11, 0x22, 0x33}, system.macBytes()...)
		if v, _ := s.binds(st, "the installer", xid, id).View(); v.YIAddr() != reserved {
			t.Errorf("the installer is given %s", v.YIAddr())
		}
	}
	rom(0x100)
	installer(0x200)
	rom(0x300)
	system.renewals = 2
	check(t, system.run.Start())
	ls := newLives([]*client{system})
	ls.marks["a1"] = s.wire["a1"].Mark()
	ls.await(t, s.wire, []*client{system}, renewed, 30*time.Second)
	l := ls.of[system.mac()]
	for _, x := range append(l.renewals, *l.bound) {
		if v, _ := x.ack.View(); v.YIAddr() != reserved {
			t.Errorf("the system is given %s", v.YIAddr())
		}
	}
	if len(l.bad) > 0 {
		t.Errorf("the system had an accident: %v", l.bad)
	}
	check(t, system.run.PowerOff())
	rom(0x400)
	installer(0x500)
}

// binds gets a lease for the machine by raw packets with a client identifier.
func (s *stage) binds(st *e2e.Station, who string, xid uint32, id []byte, options ...dhcp4.Option) *netlab.Frame {
	s.t.Helper()
	mac := e2e.TestMAC(1)
	m := e2e.Discover(mac, xid)
	m.ClientID, m.Options = id, options
	offer := try(st.Exchange(m, 3*time.Second))(s.t)
	v, _ := offer.View()
	sid, _ := v.Addr(dhcp4.OptDHCPServerIdentifier)
	m = e2e.Select(mac, xid+1, v.YIAddr(), sid)
	m.ClientID, m.Options = id, options
	ack := try(st.Exchange(m, 3*time.Second))(s.t)
	if ack.Type() != dhcp4.Ack {
		s.t.Fatalf("the REQUEST of %s is answered by %s", who, ack)
	}
	return ack
}

func (c *client) macBytes() []byte { m := c.mac(); return m[:] }

// steps tells what a client asked on its link since the mark, and what it was
// answered; what it repeats and copies of answers are left out.
func (s *stage) steps(c *client, mark int) (all []string) {
	asked := map[uint32]string{}
	frames := s.wire[c.link.name].Frames()
	for i := mark; i < len(frames); i++ {
		f := &frames[i]
		v, ok := f.View()
		if !ok || v.HLen() != 6 || [6]byte(v.CHAddr()) != c.mac() {
			continue
		}
		switch f.Type() {
		case dhcp4.Discover:
			asked[v.XID()] = "DISCOVER"
			continue
		case dhcp4.Request:
			asked[v.XID()] = fmt.Sprintf("%s %s", e2e.StateOf(f), max(v.CIAddr(), e2e.Requested(&v)))
			continue
		case dhcp4.Offer:
			if asked[v.XID()] != "DISCOVER" {
				continue
			}
		}
		if q := asked[v.XID()]; q != "" {
			answer := map[dhcp4.MessageType]string{dhcp4.Offer: "OFFER", dhcp4.Ack: "ACK", dhcp4.Nak: "NAK"}[f.Type()]
			if y := v.YIAddr(); y != 0 {
				answer += " " + y.String()
			}
			all = append(all, q+": "+answer)
			delete(asked, v.XID())
		}
	}
	return all
}
