package checker

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/pool"
	"lessor/internal/trace"
)

// offersRule holds I6, I7 and I2b, and the part of I8 that nothing is offered which would
// be refused.
type offersRule struct{ open map[*server]*openOffers }

// openOffers are offers of an address that another client was offered too. While no other
// address is left a server recalls the oldest one: its count of recalls decides.
type openOffers struct {
	doubts []doubt
	looks  []look // at the count, the newest last
}

// look is what the count of recalls was.
type look struct {
	t        int64
	recalled uint64
}

// recalledBy is the count at the last look before t; ok is false when that is not known.
func (o *openOffers) recalledBy(t int64) (n uint64, ok bool) {
	for i := len(o.looks) - 1; i >= 0; i-- {
		if o.looks[i].t < t {
			return o.looks[i].recalled, true
		}
	}
	return 0, false
}

const maxLooks = 128

func newOffersRule() *offersRule { return &offersRule{open: map[*server]*openOffers{}} }

func (r *offersRule) entry(c *Checker, e *trace.Entry) {
	s := c.ledger.host.server
	if s == nil {
		return
	}
	switch b := e.Body.(type) {
	case *trace.Frame:
		if p := c.ledger.reply; p != nil {
			r.reply(c, p)
		}
	case *trace.Counts:
		r.counts(c, s, b)
	case *trace.Started, *trace.Ended:
		*r.of(s) = openOffers{looks: []look{{t: e.T - 1}}}
	}
}

func (r *offersRule) end(*Checker) {}

func (r *offersRule) of(s *server) *openOffers {
	o := r.open[s]
	if o == nil {
		o = &openOffers{}
		r.open[s] = o
	}
	return o
}

func (r *offersRule) reply(c *Checker, p *reply) {
	if p.answersForeign() {
		c.breach("I6", "%v has named the server %s, and %s answers", p.who, p.request.serverID, p.server.host.name)
		return
	}
	if p.msg.kind != dhcp4.Offer || p.addr == 0 {
		return
	}
	s := p.server
	if rec := s.records[p.addr]; rec != nil && rec.now != nil && rec.now.State != lease.Declined &&
		c.ledger.m < rec.now.Free-slack && !p.isSame(identOf(rec.now)) {
		if rec.leaving {
			c.breach("I2b", "%s is offered to %v, and that %v gave it up is not durable", p.addr, p.who, identOf(rec.now))
		} else {
			c.breach("I8", "%s is offered to %v, and belongs to %v for another %.3f s", p.addr, p.who, identOf(rec.now),
				secs(rec.now.Free-c.ledger.m))
		}
		return
	}
	if p.rival != nil && p.rival.server == s {
		c.breach("I8", "%s is offered to %v, and is promised to %v for another %.3f s", p.addr, p.who, p.rival.who, secs(p.rival.left(c.ledger.t)))
		return
	}
	if p.offer != nil {
		// Any recall since it was made can have taken the first offer.
		o := r.of(s)
		if base, ok := o.recalledBy(p.offer.t); ok && len(o.doubts) < maxDoubts {
			o.doubts = append(o.doubts, doubt{at: s.here(c.at), rule: "I7", recalled: base,
				what: p.addr.String() + " is offered to " + p.who.String() + ", and is on offer to " + p.offer.who.String()})
		}
	}
}

// answersForeign reports whether p answers a REQUEST that certainly names another server.
func (p *reply) answersForeign() bool {
	for _, q := range p.others {
		if q.form != foreign {
			return false
		}
	}
	return len(p.others) > 0
}

// counts lets the count of recalls decide on what is in doubt, and compares the number of
// live offers with those that there can be.
func (r *offersRule) counts(c *Checker, s *server, b *trace.Counts) {
	o := r.of(s)
	for _, d := range o.doubts {
		if b.Counters.Recalled == d.recalled {
			c.breachAt(d.at, d.rule, "%s, and no offer was recalled", d.what)
		}
	}
	o.doubts = o.doubts[:0]
	if len(o.looks) == maxLooks {
		o.looks = append(o.looks[:0], o.looks[maxLooks/2:]...)
	}
	o.looks = append(o.looks, look{c.ledger.t, b.Counters.Recalled})
	live := b.Offers
	if n := onOffer(b); n > live { // a look need not count the offers by themselves
		live = n
	}
	if got := s.got[dhcp4.Discover]; live == 0 || s.pol == nil || got == 0 || got < b.Counters.Received[dhcp4.Discover] {
		return // there are none, or the trace lacks DISCOVERs
	}
	can, freed := s.offers.possible(s, c.ledger.m, live)
	switch {
	case live > can+freed:
		c.breach("I7", "%d offers are live, and %d clients can have one", live, can+freed)
	case live > can:
		c.breach("I6", "%d offers are live, and %d clients can have one: %d more have named another server", live, can, freed)
	}
}

// onOffer is how many addresses of the pools are on offer. Reserved ones are not counted
// there, so it is at most the number of live offers.
func onOffer(b *trace.Counts) (n int) {
	for i := range b.Pools {
		n += int(b.Pools[i].Count[pool.Offered])
	}
	return n
}
