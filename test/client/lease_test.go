package client

import (
	"net/netip"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client/run"
	"lessor/internal/netlab"
	"lessor/test/e2e"
)

// The answer to a repetition, of the first REQUEST and of a renewal: the lease counts from
// the first transmission, which the server may have answered (RFC 2131 4.4.1).
func TestTheLeaseCountsFromTheFirstRequest(t *testing.T) {
	t.Parallel()
	s := newStage(t, "--conflict-detection", "off")
	p := newPuppet(t, s.lab, s.sw, "server")
	a := firstPool.First
	const life, t1 = 12 * time.Second, 6 * time.Second
	check(t, s.client.Start())
	p.send(p.to(s.hears(dhcp4.Discover, 20*time.Second), dhcp4.Offer, a, uint32(life/time.Second)))

	first, again := s.repeated("SELECTING")
	p.send(p.to(again, dhcp4.Ack, a, uint32(life/time.Second)))
	s.uses(held{addr: a})
	renewal, again := s.repeated("RENEWING")
	s.at(renewal, first.Time.Add(t1), "T1")
	p.send(p.to(again, dhcp4.Ack, a, uint32(life/time.Second)))
	s.expires(held{addr: a, start: renewal.Time, life: life})
	s.stop()
}

// repeated waits for a REQUEST in the form of a state and for its repetition, seconds later.
func (s *stage) repeated(state string) (first *netlab.Frame, again *dhcp4.View) {
	s.t.Helper()
	first = s.wait("REQUEST in "+state, 20*time.Second, func(f *netlab.Frame) bool {
		return f.From == s.host.Name && f.Type() == dhcp4.Request && e2e.StateOf(f) == state
	})
	again = s.requests(state)
	if v, _ := first.View(); v.XID() != again.XID() {
		s.t.Errorf("the REQUEST in %s was repeated as another question", state)
	}
	return first, again
}

// The routes of an ACK with everything in it, in the kernel: 121 alone, and no default
// route by option 3 either (RFC 3442); 249 where there is no 121; else 33 and 3.
func TestWhichRoutesCount(t *testing.T) {
	t.Parallel()
	s := newStage(t, "--conflict-detection", "off")
	p := newPuppet(t, s.lab, s.sw, "server")
	a := firstPool.First
	const life = 600
	classless := dhcp4.Option{Code: dhcp4.OptClasslessStaticRoute, Data: []byte{24, 198, 51, 100, 198, 18, 0, 7}}
	microsoft := dhcp4.Option{Code: dhcp4.OptMSClasslessStaticRoute, Data: []byte{0, 198, 18, 0, 8, 25, 203, 0, 113, 128, 198, 18, 0, 8}}
	static := dhcp4.Option{Code: dhcp4.OptStaticRoutes, Data: []byte{203, 0, 113, 9, 198, 18, 0, 9}} // 3 is in every ACK
	check(t, s.client.Start())
	p.send(p.to(s.hears(dhcp4.Discover, 20*time.Second), dhcp4.Offer, a, life))
	v := s.requests("SELECTING")
	for _, step := range []struct {
		sent []dhcp4.Option
		want []netlab.Via
	}{
		{[]dhcp4.Option{classless, microsoft, static}, []netlab.Via{via("198.51.100.0/24", "198.18.0.7")}},
		{[]dhcp4.Option{microsoft, static}, []netlab.Via{via("0.0.0.0/0", "198.18.0.8"), via("203.0.113.128/25", "198.18.0.8")}},
		{[]dhcp4.Option{static}, []netlab.Via{via("0.0.0.0/0", "198.18.0.1"), via("203.0.113.9/32", "198.18.0.9")}},
		{[]dhcp4.Option{static, classless}, []netlab.Via{via("198.51.100.0/24", "198.18.0.7")}},
	} {
		p.send(p.to(v, dhcp4.Ack, a, life).set(step.sent...))
		s.awaitLine("configured", 2*time.Second, func(l *run.Line) bool { return l.Event == "configured" })
		s.routed(netlab.Scope{Subnet: netip.PrefixFrom(serverAddr, 24), Routes: step.want})
		s.control("renew")
		v = s.requests("RENEWING")
	}
	p.send(p.to(v, dhcp4.Ack, a, life))
	s.stop()
}
