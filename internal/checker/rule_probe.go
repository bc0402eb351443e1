package checker

import (
	"lessor/dhcp4"
	core "lessor/internal/server"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// probes holds of I5 that an answer to a conflict check is heard. One alone proves
// nothing: it may have been lost between the wire and the server, or have come for an
// address that was given away meanwhile. But a server that has counted no conflict after
// three of them hears none.
type probes struct{ hosts map[*server]*probeBook }

// probeBook is what one process asked and heard.
type probeBook struct {
	asked   map[dhcp4.Addr]int64 // M of the question that nobody has answered yet
	clients map[wire.MAC]bool    // who asked for an address: their own answers are none
	heard   int                  // answers that should have been taken for a conflict
	last    dhcp4.Addr           // to the newest
}

const (
	probeAnswer = second / 4 // so soon after the question an answer counts in any case
	mostUnheard = 3
	mostProbed  = 4096
)

func newProbes() *probes { return &probes{hosts: map[*server]*probeBook{}} }

func (r *probes) entry(c *Checker, e *trace.Entry) {
	s := c.ledger.host.server
	if s == nil {
		return
	}
	b := r.hosts[s]
	switch body := e.Body.(type) {
	case *trace.Started:
		r.hosts[s] = &probeBook{asked: map[dhcp4.Addr]int64{}, clients: map[wire.MAC]bool{}}
	case *trace.Config, *trace.Served, *trace.Override, *trace.Clock:
		if b != nil {
			clear(b.asked) // what was asked before may have been given up
		}
	case *trace.Frame:
		if b != nil {
			b.frame(c, s, body)
		}
	case *trace.Counts:
		if b != nil && b.heard >= mostUnheard && body.Counters.Alarms[core.AlarmProbeConflict] == 0 {
			c.breach("I5", "%d answers to conflict checks came in, for %s last, and no conflict was noticed", b.heard, b.last)
			b.heard = 0
		}
	}
}

func (r *probes) end(*Checker) {}

func (b *probeBook) frame(c *Checker, s *server, f *trace.Frame) {
	if q := c.ledger.request; q != nil {
		for _, a := range [3]dhcp4.Addr{q.target, q.wanted, q.ciaddr} {
			delete(b.asked, a) // a change for it ends the check
		}
		if len(q.who.hw) == 6 && len(b.clients) < mostProbed {
			b.clients[wire.MAC(q.who.hw)] = true
		}
	}
	switch a := f.ARP; {
	case a == nil || len(b.clients) == mostProbed || !f.Sent && a.SenderIP == 0:
	case f.Sent && a.Op == 1 && !s.checkable(a.TargetIP):
	case f.Sent && a.Op == 1 && len(b.asked) < mostProbed:
		b.asked[a.TargetIP] = c.ledger.m
	case !f.Sent:
		asked, is := b.asked[a.SenderIP]
		delete(b.asked, a.SenderIP)
		if !is || c.ledger.m-asked > probeAnswer || a.SenderMAC.IsMulticast() || b.clients[a.SenderMAC] {
			return
		}
		if n := s.record(a.SenderIP); n.unknown || n.out != 0 || n.now != nil && c.ledger.m < n.now.Free+second {
			return
		}
		b.heard++
		b.last = a.SenderIP
	}
}

// checkable reports whether the server may ask for a to find a conflict. Questions for
// other addresses are those of its kernel, which looks for routers.
func (s *server) checkable(a dhcp4.Addr) bool {
	if s.pol == nil {
		return true
	}
	sn := s.pol.SubnetOf(a)
	if sn == nil {
		return false
	}
	_, v := pooled(sn, a)
	return v == allowed || sn.Network.ReservedBy(a) != nil
}
