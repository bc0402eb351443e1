package checker

import (
	"slices"

	"lessor/dhcp4"
	"lessor/internal/trace"
)

// addresses holds I9, I10 and I11: what is offered or acknowledged is what the
// configuration has for this client on this link.
type addresses struct{}

func (*addresses) entry(c *Checker, _ *trace.Entry) {
	p := c.ledger.reply
	if p != nil && len(p.others) > 0 && !slices.ContainsFunc(p.others, p.server.mayAnswer) {
		c.breach("I11", "%v is answered, and nobody knows its relay agent %s", p.who, p.request.giaddr)
		return
	}
	if p == nil || p.addr == 0 || p.msg.kind != dhcp4.Offer && p.msg.kind != dhcp4.Ack || len(p.others) == 0 {
		return
	}
	worst := allowed
	for _, q := range p.others {
		if worst = p.server.verdictOn(q, p.addr); worst == allowed {
			return
		}
	}
	what := "offered"
	if p.msg.kind == dhcp4.Ack {
		what = "acknowledged"
	}
	switch worst {
	case outside:
		c.breach("I11", "%s is %s to %v, and lies in no subnet of its link", p.addr, what, p.who)
	case noPool:
		c.breach("I11", "%s is %s to %v, and is in no pool", p.addr, what, p.who)
	case neverOffered:
		c.breach("I10", "%s is %s to %v, and must never be given out", p.addr, what, p.who)
	case reservedOther:
		c.breach("I9", "%s is %s to %v, and is reserved for another client", p.addr, what, p.who)
	case guarded:
		c.breach("I11", "%s is %s to %v, and its pool is for other classes", p.addr, what, p.who)
	case refused:
		c.breach("I11", "%s is %s to %v, which is in the class DROP", p.addr, what, p.who)
	}
}

func (*addresses) end(*Checker) {}

// verdictOn is what the configuration in force says of a for the client of q, and the one
// that was in force when q came: what was decided under it may leave later. It is
// allowed where the trace does not tell.
func (s *server) verdictOn(q *request, a dhcp4.Addr) verdict {
	if s.pol == nil || q.net == nil || s.linksT >= q.at.T {
		return allowed
	}
	n := q.net
	if q.pol != s.pol {
		if v := s.judge(q.pol, n, q, a); v == allowed || v == reservedElse || v == inDoubt {
			return allowed
		}
		if n = s.scope(q); n == nil {
			return allowed
		}
	}
	v := s.judge(s.pol, n, q, a)
	if v == reservedElse || v == inDoubt {
		return allowed
	}
	return v
}
