package client

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client/run"
	"lessor/internal/netlab"
)

// A NAK by broadcast while renewing, beside the clients that miss it: Lessor leaves the
// refused address at once. dhcpcd 9.4 and systemd-networkd 252 hear it and go on to
// use an address that their server has taken away from them.
func TestBroadcastNakBesideOthers(t *testing.T) {
	t.Parallel()
	s := newServed(t, netlab.Dhcpd, scope(24*time.Second, firstPool))
	others := []netlab.Kind{netlab.Dhcpcd, netlab.Networkd}
	clients := map[netlab.Kind]*netlab.Client{}
	for _, k := range others {
		h := try(s.lab.Host(string(k)))(t)
		check(t, s.sw.Join(h, "eth0"))
		clients[k] = h.Client(k, "eth0")
		check(t, clients[k].Start())
	}
	h := s.bind()
	had := map[netlab.Kind]netip.Addr{}
	for _, k := range others {
		had[k] = try(clients[k].Await(20*time.Second, netip.Addr.IsValid))(t)
	}
	check(t, s.srv.Change(scope(24*time.Second, secondPool)))

	_, nak := s.request("RENEWING", dhcp4.Nak, 15*time.Second)
	s.vanished(h.addr, nak)
	s.uses(leaseOf(s.request("SELECTING", dhcp4.Ack, 5*time.Second)))

	for _, k := range others {
		mac := clients[k].Host.MAC("eth0")
		f, _, err := s.rec.Wait(0, 20*time.Second, func(f *netlab.Frame) bool {
			v, ok := f.View()
			return ok && f.Type() == dhcp4.Nak && [6]byte(v.CHAddr()) == mac
		})
		if err != nil {
			t.Errorf("%s was not refused: %v", k, err)
			continue
		}
		time.Sleep(max(0, time.Until(f.Time.Add(2*time.Second))))
		if got := clients[k].Host.Addr("eth0"); got != had[k] {
			t.Errorf("2 s after the NAK %s has %v, it had %s: it got better, so change the comment and docs/rules.md", k, got, had[k])
		}
		clients[k].Kill()
	}
	s.stop()
}

// What was on the interface before the client stays there beside the lease: an
// address, routes, even a default route, and all is as it was after a kill, a restart and a stop.
func TestWhatWasThereStays(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	check(t, s.host.AddAddr("eth0", "203.0.113.7/24"))
	check(t, s.host.AddRoute("198.51.100.0/24", "203.0.113.1"))
	check(t, s.host.AddRoute("default", "203.0.113.2"))
	try(s.host.Run(context.Background(), "sh", "-c", "ip link set eth0 mtu 1450; printf 'options edns0\\nnameserver 203.0.113.53\\n' >"+resolvConf+"; chmod 640 "+resolvConf))(t)
	s.before = s.kernel()
	s.srv = serve(t, s.lab, s.sw, "server", netlab.Kea, scope(120*time.Second, firstPool))
	foreign := func() string {
		return try(s.host.Run(context.Background(), "sh", "-c", "ip -4 -o addr show dev eth0 | grep 203.0.113; ip route show proto boot"))(t)
	}
	was := foreign()
	for _, end := range []func(){s.kill, s.stop} {
		check(t, s.client.Start())
		l := s.awaitLine("configured", 10*time.Second, func(l *run.Line) bool { return l.Event == "configured" })
		ours := try(s.host.Run(context.Background(), "ip", "-4", "-o", "addr", "show", "dev", "eth0"))(t)
		if !strings.Contains(ours, l.Address) {
			t.Errorf("%s is not there: %s", l.Address, ours)
		}
		s.state("bound", map[bool]string{true: "address-free", false: "ack"}[s.mark == 0], 5*time.Second)
		if now := foreign(); now != was {
			t.Errorf("beside the lease there is\n%s\nbefore it was\n%s", now, was)
		}
		end()
	}
}
