package checker

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/trace"
)

// declines holds I5: what was declined by its holder, or answered a check, is given to
// nobody for the probation time; nobody else takes an address out, and not too many are.
type declines struct{}

// pastOffer is how long who was offered an address may decline it.
const pastOffer = 300 * second

func (*declines) entry(c *Checker, _ *trace.Entry) {
	p := c.ledger.reply
	if p == nil || p.addr == 0 || p.msg.kind != dhcp4.Offer && p.msg.kind != dhcp4.Ack {
		return
	}
	s := p.server
	r := s.records[p.addr]
	if r == nil || r.out == 0 || c.ledger.m >= r.out-slack {
		return
	}
	c.breach("I5", "%s is given to %v, and is out for another %.3f s", p.addr, p.who, secs(r.out-c.ledger.m))
}

func (*declines) end(*Checker) {}

// change looks at an address that was taken out, or comes back.
func (d *declines) change(c *Checker, s *server, r *record) {
	k, _ := c.at.Body.(*trace.Commit)
	if r.now == nil || k == nil {
		return
	}
	if r.now.State != lease.Declined {
		d.back(c, s, r)
		return
	}
	q, when := s.declineOf(r)
	heard, arp := s.arpHeard[r.addr]
	switch {
	case q == nil && !arp:
		if (s.declines[r.addr] != nil || s.hears) && !s.pings() { // else the trace has not what s may have heard
			c.breach("I5", "%s is taken out, and nobody who has it or was offered it has declined it", r.addr)
		}
		when = k.Began.M - 60*second
	case q == nil:
		when = heard
	}
	r.out = max(r.out, min(when, k.Began.M)+probation(s))
	r.wall, r.boot = s.host.clock.wall(c.at.T)-c.at.T, s.boot
	if r.out > r.now.Free && s.oldPol != nil { // it was decided under another configuration
		r.out = r.now.Free
	}
	d.limit(c, s, r, k)
}

// probation is how long an address stays out, in nanoseconds.
func probation(s *server) int64 {
	if s.pol == nil {
		return 0
	}
	return s.pol.Probation
}

// declineOf finds the DECLINE that can have taken r's address out and counts: from who
// holds it or was offered it in the last five minutes. when is its time on M.
func (s *server) declineOf(r *record) (q *request, when int64) {
	q = s.declines[r.addr]
	if q == nil {
		return nil, 0
	}
	for _, b := range [2]*lease.Binding{r.prev, r.before} {
		if b != nil && b.State == lease.Bound && same(s.pol, identOf(b), q.who, r.addr) {
			return q, q.m
		}
	}
	if a := s.offers.byKey[string(s.offerKey(q))]; a != nil && a.wasOffered(r.addr, q.m) {
		return q, q.m
	}
	if s.oldPol != nil && s.polT >= q.at.T-pastOffer { // its key may have been another
		return q, q.m
	}
	return nil, 0
}

// back looks at an address that was out and is not any more.
func (*declines) back(c *Checker, s *server, r *record) {
	if r.out == 0 {
		return
	}
	out := r.out
	asked, was := s.arpAsked[r.addr]
	silent := s.pol != nil && s.pol.ConflictCheck && (!s.asks || was && c.ledger.m-asked >= 400*second/1000)
	if r.now.State == lease.Released && (r.overridden || silent) {
		r.out = 0
		return
	}
	if k, ok := c.at.Body.(*trace.Commit); ok && k.Began.M < out-slack {
		if r.now.State == lease.Released {
			c.breach("I5", "%s comes back, and is out for another %.3f s", r.addr, secs(out-k.Began.M))
		}
		return // what is given away is judged when it is
	}
	r.out = 0
}

// limit holds that at most a tenth of a pool, and four addresses, are out.
func (*declines) limit(c *Checker, s *server, r *record, k *trace.Commit) {
	if s.pol == nil || s.oldPol != nil {
		return // a reload may have made the pool smaller
	}
	sn := s.pol.SubnetOf(r.addr)
	if sn == nil || sn.Network.ReservedBy(r.addr) != nil || r.prev != nil && r.prev.State == lease.Declined {
		return
	}
	pool := sn.PoolOf(r.addr)
	if pool == nil {
		return
	}
	most := max(4, pool.Range.Size()/10)
	n := uint64(0)
	for _, o := range s.outs(r) {
		if sn.PoolOf(o.addr) == pool && sn.Network.ReservedBy(o.addr) == nil && o.now.Free > c.ledger.m {
			n++
		}
	}
	if n > most {
		c.breach("I5", "%s is taken out, as number %d of a pool of %d, of which at most %d may be", r.addr, n, pool.Range.Size(), most)
	}
}

// outs are the records of s that are out, r among them from now on.
func (s *server) outs(r *record) []*record {
	n := 0
	for _, o := range s.declined {
		if o != r && s.records[o.addr] == o && o.now != nil && o.now.State == lease.Declined {
			s.declined[n] = o
			n++
		}
	}
	s.declined = append(s.declined[:n], r)
	return s.declined
}
