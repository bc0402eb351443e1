package checker

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/trace"
)

// answers holds I3b: each NAK has one of the causes of its table, and who asks for an
// address without having a record of it gets no ACK where the table says nothing.
type answers struct{}

func (*answers) entry(c *Checker, _ *trace.Entry) {
	p := c.ledger.reply
	if p == nil || len(p.others) == 0 {
		return
	}
	switch p.msg.kind {
	case dhcp4.Nak:
		owed := true
		for _, q := range p.others {
			if p.server.mayNak(q) {
				return
			}
			owed = owed && q.owed
		}
		if q := p.request; !owed { // else it is a breach of I3
			c.breach("I3b", "%v asks for %s and gets a NAK that has no cause", q.who, q.target)
		}
	case dhcp4.Ack:
		if p.addr != 0 {
			p.server.adopted(c, p)
		}
	}
}

func (*answers) end(*Checker) {}

// mayNak reports whether I3b allows a NAK to q, as far as the trace can tell.
func (s *server) mayNak(q *request) bool {
	if q.form == noForm || q.form == unsure || q.form == foreign || q.net == nil || q.owed && s.polT < q.at.T && s.linksT < q.at.T {
		return !q.owed || s.polT >= q.at.T || s.linksT >= q.at.T
	}
	if s.polT >= q.at.T || s.linksT >= q.at.T || s.failT >= q.at.T {
		return true // it was decided before, or taken back
	}
	a := q.target
	v := s.judge(s.pol, q.net, q, a)
	taken := s.takenByOther(q, a)
	if q.form == selecting {
		return v != allowed || taken || s.isOut(q, a) || s.mayBeOffered(q, a)
	}
	switch {
	case !s.pol.Authoritative:
		return false
	case v == outside:
		return true
	case s.isCareful(q.m):
		return false
	case taken || s.boundElsewhere(q):
		return true
	case q.form == renewing:
		return v != allowed || s.isOut(q, a) || s.mayBeOffered(q, a)
	}
	return v != allowed && s.hadBy(q, a)
}

// since calls fn with each state of a's record that the decision on q can have seen.
// It reports true when fn does, or when there were too many to know.
func (s *server) since(q *request, a dhcp4.Addr, fn func(b *lease.Binding) bool) bool {
	r := s.records[a]
	if r == nil {
		return false
	}
	if r.unknown || r.now != nil && fn(r.now) {
		return true
	}
	if r.t < q.at.T {
		return false
	}
	return r.prevT >= q.at.T || r.prev != nil && fn(r.prev) || r.before != nil && fn(r.before)
}

// takenByOther reports whether a can have been bound to another client than q's, or
// been kept from all.
func (s *server) takenByOther(q *request, a dhcp4.Addr) bool {
	return s.since(q, a, func(b *lease.Binding) bool {
		return q.m < b.Free && b.State != lease.Declined && !same(s.pol, identOf(b), q.who, a)
	})
}

// isOut reports whether a can have been out after a DECLINE or a conflict.
func (s *server) isOut(q *request, a dhcp4.Addr) bool {
	return s.since(q, a, func(b *lease.Binding) bool { return q.m < b.Free && b.State == lease.Declined })
}

// hadBy reports whether a can have been bound to q's client.
func (s *server) hadBy(q *request, a dhcp4.Addr) bool {
	return s.since(q, a, func(b *lease.Binding) bool { return bound(b, q.m) && same(s.pol, identOf(b), q.who, a) })
}

// boundElsewhere reports whether q's client can have had another address of its network.
func (s *server) boundElsewhere(q *request) bool {
	for _, a := range s.recordsOf(s.pol, q.who) {
		if a != q.target && q.net.Contains(a) != nil && s.since(q, a, func(b *lease.Binding) bool {
			return bound(b, q.m) && carries(s.pol, b, q.who)
		}) {
			return true
		}
	}
	return false
}

// mayBeOffered reports whether a may have been on offer to another client than q's. An
// offer that waits for its conflict check, or whose message did not leave, is not seen.
func (s *server) mayBeOffered(q *request, a dhcp4.Addr) bool {
	if s.hidden(q.m) {
		return true
	}
	for of := s.offers.byAddr[a]; of != nil; of = of.before {
		if q.m <= of.ends+second && !same(s.pol, of.who, q.who, a) {
			return true
		}
	}
	return false
}

// isCareful reports whether the server is certainly in careful mode at m: for as long as
// the longest lease that its first configuration gives.
func (s *server) isCareful(m int64) bool {
	return s.careful && m < s.startM+int64(s.longest)*second
}

// longestLease is the longest finite lease of a configuration, in seconds.
func longestLease(p *policy.Policy) (longest uint32) {
	longer := func(t uint32) {
		if t != lease.Infinite {
			longest = max(longest, t)
		}
	}
	for _, n := range p.Networks {
		for _, sn := range n.Subnets {
			longer(sn.Max)
			for _, pool := range sn.Pools {
				longer(pool.Max)
			}
		}
	}
	return longest
}

// adopted judges an ACK to INIT-REBOOT or REBINDING whose client had no record: only a
// client that renews, and careful mode, may take an address so.
func (s *server) adopted(c *Checker, p *reply) {
	for _, q := range p.others {
		if q.form != initReboot && q.form != rebinding || s.careful {
			return
		}
	}
	q, r := p.request, s.record(p.addr)
	if r.now == nil || r.t < q.at.T || r.prevT >= q.at.T || r.addr != q.target {
		return
	}
	for _, b := range [2]*lease.Binding{r.before, r.prev} {
		if b != nil && bound(b, q.m-slack) && p.isSame(identOf(b)) {
			return
		}
	}
	c.breach("I3b", "%v asks for %s without a record of it, and gets an ACK", q.who, p.addr)
}
