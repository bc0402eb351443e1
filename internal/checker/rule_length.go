package checker

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/trace"
)

// lengths holds what I3b says of a client that extends its lease: it gets the whole time
// that the configuration has for it. What is left alone is for a failing store, for a copy
// of a request, and in overload while more than three quarters are left.
type lengths struct{}

func (*lengths) entry(c *Checker, _ *trace.Entry) {
	p := c.ledger.reply
	if p == nil || p.msg.kind != dhcp4.Ack || p.addr == 0 || !p.msg.timed || len(p.others) != 1 {
		return
	}
	s, q := p.server, p.request
	if q.form != renewing && q.form != rebinding || q.net == nil || q.pol != s.pol || s.failing {
		return
	}
	if since := q.at.T; s.polT >= since || s.linksT >= since || s.failT >= since {
		return
	}
	want, ok := s.lifetimeOf(q, p.addr)
	b := s.record(p.addr).now
	if !ok || p.msg.lifetime >= want || b == nil || b.State != lease.Bound || b.End == lease.Never {
		return
	}
	age := q.m - (b.End - int64(b.Lifetime)*second)
	if age < copyTime+slack || age < int64(b.Lifetime)*second/4+second {
		return
	}
	c.breach("I3b", "%v extends %s, given %.0f s ago, and gets %d s; the configuration has %d s for it", q.who, p.addr, secs(age), p.msg.lifetime, want)
}

func (*lengths) end(*Checker) {}

// lifetimeOf is the length of a lease of a that the configuration in force has for q's
// client, in seconds; ok is false where it has none.
func (s *server) lifetimeOf(q *request, a dhcp4.Addr) (t uint32, ok bool) {
	sn := q.net.Contains(a)
	if sn == nil {
		return 0, false
	}
	var l policy.Lifetimes
	switch res, pool := reservationOf(s.pol, q.net, q.who), sn.PoolOf(a); {
	case res != nil && res.OwnLifetime:
		l = res.Lifetimes
	case pool != nil:
		l = pool.Lifetimes
	default:
		l = sn.Lifetimes
	}
	for i := range s.pol.Classes {
		if s.pol.Classes[i].Lifetimes != (policy.Lifetimes{}) {
			return 0, false // which class counts is not judged
		}
	}
	var m message
	if !m.read(q.frame) || m.view.Has(dhcp4.OptClientSystem) {
		return 0, false
	}
	if m.timed {
		return min(max(m.lifetime, l.Min), l.Max), true
	}
	return l.Valid, true
}
