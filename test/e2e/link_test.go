package e2e

import (
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
)

const linkConfig = `
interfaces: [eth0]
valid-lifetime: 1h
subnets:
  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.199]}
`

// linkStage is a server whose interface changes under it.
type linkStage struct {
	t    *testing.T
	sw   *netlab.Switch
	host *netlab.Host
	srv  *server
	st   *Station
	xid  uint32
}

func newLinkStage(t *testing.T) *linkStage {
	t.Helper()
	l := newLab(t)
	s := &linkStage{t: t, sw: try(l.Switch("lan"))(t), host: try(l.Host("server"))(t)}
	ch := try(l.Host("clients"))(t)
	check(t, s.sw.Join(ch, "eth0"))
	record(t, s.sw)
	s.st = try(NewStation(ch, "eth0"))(t)
	t.Cleanup(func() { s.st.Close() })
	return s
}

// served expects the server to answer a new client within 2 s of now (L4). The
// client asks every 100 ms.
func (s *linkStage) served(what string) {
	s.t.Helper()
	start := time.Now()
	for time.Since(start) < 2*time.Second {
		s.xid++
		f, err := s.st.Exchange(Discover(TestMAC(int(s.xid)), s.xid), 100*time.Millisecond)
		if err == nil && f.Type() == dhcp4.Offer {
			s.t.Logf("%s: served after %s", what, time.Since(start).Round(time.Millisecond))
			return
		}
	}
	s.t.Fatalf("%s: not served within 2 s", what)
}

// identifies expects the server to answer as addr within 2 s of now.
func (s *linkStage) identifies(addr dhcp4.Addr) {
	s.t.Helper()
	var sid dhcp4.Addr
	for start := time.Now(); time.Since(start) < 2*time.Second; {
		s.xid++
		f, err := s.st.Exchange(Discover(TestMAC(int(s.xid)), s.xid), 100*time.Millisecond)
		if err != nil {
			continue
		}
		v, _ := f.View()
		if sid, _ = v.Addr(dhcp4.OptDHCPServerIdentifier); sid == addr {
			return
		}
	}
	s.t.Errorf("2 s after the address became %s, the server identifier is %s", addr, sid)
}

// silent expects no answer.
func (s *linkStage) silent(what string) {
	s.t.Helper()
	s.xid++
	if f, err := s.st.Exchange(Discover(TestMAC(int(s.xid)), s.xid), 300*time.Millisecond); err == nil {
		s.t.Fatalf("%s: an answer: %s", what, f)
	}
}

// The interface exists when the server starts, and gets carrier and address 3 s later.
func TestInterfaceGetsCarrierAndAddressLate(t *testing.T) {
	t.Parallel()
	s := newLinkStage(t)
	check(t, s.sw.Join(s.host, "eth0"))
	check(t, s.sw.Unplug(s.host))
	s.srv = serve(t, s.host, linkConfig)
	time.Sleep(3 * time.Second)
	check(t, s.sw.Plug(s.host))
	check(t, s.host.AddAddr("eth0", "198.18.0.1/24"))
	s.served("carrier and address after 3 s")
}

// The interface is made after the server's start, and under another name first, as
// udev does it.
func TestInterfaceAppearsLate(t *testing.T) {
	t.Parallel()
	s := newLinkStage(t)
	s.srv = serve(t, s.host, linkConfig)
	time.Sleep(500 * time.Millisecond)
	check(t, s.sw.Join(s.host, "veth7", "198.18.0.1/24"))
	s.silent("under another name")
	check(t, s.host.Rename("veth7", "eth0"))
	s.served("renamed to the configured name")
}

// The interface loses its name and gets it back, is taken down, given another
// address, pulled out, removed, and made again. The server goes on through all of it.
func TestInterfaceChangesUnderTheServer(t *testing.T) {
	t.Parallel()
	s := newLinkStage(t)
	check(t, s.sw.Join(s.host, "eth0", "198.18.0.1/24"))
	s.srv = serve(t, s.host, linkConfig)
	s.served("at the start")

	check(t, s.host.Rename("eth0", "away0"))
	check(t, s.host.Rename("away0", "eth0"))
	s.served("renamed and back")
	time.Sleep(500 * time.Millisecond) // whatever the server does about it is done
	s.served("renamed and back, some time later")

	check(t, s.host.SetDown("eth0"))
	s.silent("down")
	check(t, s.host.SetUp("eth0"))
	s.served("down and up")

	check(t, s.sw.Unplug(s.host))
	time.Sleep(300 * time.Millisecond)
	check(t, s.sw.Plug(s.host))
	s.served("cable pulled and back")

	check(t, s.host.AddAddr("eth0", "198.18.0.2/24"))
	check(t, s.host.DelAddr("eth0", "198.18.0.1/24"))
	// Removing a primary address takes its secondaries along unless promoted.
	if !s.host.Addr("eth0").IsValid() {
		check(t, s.host.AddAddr("eth0", "198.18.0.2/24"))
	}
	s.served("another address")
	s.identifies(dhcp4.MustParseAddr("198.18.0.2"))

	check(t, s.host.Delete("eth0"))
	time.Sleep(300 * time.Millisecond)
	check(t, s.sw.Join(s.host, "eth0", "198.18.0.1/24"))
	s.served("removed and made again")

	if err, ended := s.srv.Wait(0); ended {
		t.Errorf("the server ended: %v", err)
	}
}
