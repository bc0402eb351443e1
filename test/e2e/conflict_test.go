package e2e

import (
	"fmt"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
)

// taken is an address of the pool that another host uses without asking anybody.
var taken = dhcp4.MustParseAddr("198.18.0.105")

const conflictConfig = `
interfaces: [eth0]
valid-lifetime: 1h
conflict-check: %s
subnets:
  - subnet: 198.18.0.0/24
    pools: [198.18.0.100-198.18.0.109]
`

// conflictStage is a client that will ask for the taken address, a host that uses
// it, and a server.
func conflictStage(t *testing.T, kind netlab.Kind, conflictCheck string) *stage {
	t.Helper()
	l := newLab(t)
	s := &stage{t: t, sw: try(l.Switch("lan"))(t), limit: 30 * time.Second}
	sh, ch, squatter := try(l.Host("server"))(t), try(l.Host("client"))(t), try(l.Host("squatter"))(t)
	check(t, s.sw.Join(sh, "eth0", "198.18.0.1/24"))
	check(t, s.sw.Join(squatter, "eth0", taken.String()+"/24"))
	check(t, s.sw.Join(ch, "eth0"))
	s.rec = record(t, s.sw)
	s.srv = serve(t, sh, fmt.Sprintf(conflictConfig, conflictCheck))
	s.client = ch.Client(kind, "eth0")
	s.client.ARP = true
	s.client.Request = taken.Netip()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s wrote:\n%s", kind, tail(s.client.Log(), 6000))
		}
	})
	return s
}

var conflictPool = dhcp4.Range{First: dhcp4.MustParseAddr("198.18.0.100"), Last: dhcp4.MustParseAddr("198.18.0.109")}

// A server that does not look offers the address that the client asks for. The
// client finds the other host by ARP, declines, and gets another address; the
// declined one is not offered again.
func TestClientDeclinesAnAddressInUse(t *testing.T) {
	t.Parallel()
	for _, kind := range []netlab.Kind{netlab.Udhcpc, netlab.Dhcpcd} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := conflictStage(t, kind, "off")
			check(t, s.client.Start())
			_, ack := s.next("server", dhcp4.Ack, s.limit)
			if ack.YIAddr() != taken {
				t.Fatalf("the first ACK gives %s, want the address asked for, %s", ack.YIAddr(), taken)
			}
			_, decline := s.next("client", dhcp4.Decline, s.limit)
			if got := requested(decline); got != taken {
				t.Errorf("the client declines %s", got)
			}
			_, offer := s.next("server", dhcp4.Offer, s.limit)
			if offer.YIAddr() == taken {
				t.Error("the declined address is offered again")
			}
			s.awaitOther()
		})
	}
}

// A server that looks never offers an address that is in use, so the client has
// nothing to decline.
func TestServerNoticesAnAddressInUse(t *testing.T) {
	t.Parallel()
	for _, kind := range []netlab.Kind{netlab.Udhcpc, netlab.Dhcpcd} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := conflictStage(t, kind, "arp")
			// The server asks with its own address as sender: a question without a sender would
			// look to a probing client like a second client.
			f, _, err := s.rec.Wait(0, 10*time.Second, func(f *netlab.Frame) bool {
				return f.ARP != nil && f.From == "server" && f.ARP.Op == 1 && f.ARP.TargetIP == taken
			})
			check(t, err)
			if f.ARP.SenderIP != serverAddr {
				t.Errorf("the server asks as %s, want %s", f.ARP.SenderIP, serverAddr)
			}
			time.Sleep(time.Second) // the answers are in, silence has been waited for
			check(t, s.client.Start())
			s.awaitOther()
			for _, f := range s.rec.Frames() {
				v, ok := f.View()
				if ok && (f.Type() == dhcp4.Decline || f.From == "server" && v.YIAddr() == taken) {
					t.Errorf("unexpected: %s", &f)
				}
			}
		})
	}
}

// awaitOther waits until the client has an address of the pool other than the taken one.
func (s *stage) awaitOther() {
	s.t.Helper()
	for end := time.Now().Add(s.limit); ; time.Sleep(20 * time.Millisecond) {
		a, _ := dhcp4.AddrFromNetip(s.client.Host.Addr("eth0"))
		if conflictPool.Contains(a) && a != taken {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("the client has %s, want an address of %s other than %s", a, conflictPool, taken)
		}
	}
}
