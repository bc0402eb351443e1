package server

import (
	"maps"
	"slices"

	"lessor/internal/lease"
	"lessor/internal/wire"
)

// Explain is Handle as a trial: it says in tr, step by step, how c would answer p at the
// time given, and leaves in e what Handle would ask for; e is empty before. Nothing of c changes,
// and nothing in e is to be done. Where an address would be asked for before the answer
// leaves, e holds the question and then the answer to a silence.
//
// It copies the offers, checks and limiters, some megabytes when those tables are full, so it
// is for people and not for each packet.
func (c *Core) Explain(now lease.Instant, p *wire.Packet, tr *Trace, e *Effects) {
	*tr = Trace{Steps: tr.Steps[:0]}
	x := c.draft(tr)
	x.Handle(now, p, e)
	for range maxWaits {
		of := x.offers.ofID(x.q.id)
		if len(e.Replies) > 0 || of == nil || !of.live {
			break
		}
		k := x.checks.byAddr[of.addr]
		if k == nil || k.kind != forWaiter {
			break
		}
		*tr = Trace{Steps: tr.Steps[:0], Check: of.addr}
		e.Events = e.Events[:0] // that the packet waits
		x.silent(lease.Instant{M: k.ends, W: now.W + k.ends - now.M}, e, of.addr, k)
	}
	tr.answer(x, e)
}

// Links are the interfaces that c serves. The slices are c's.
func (c *Core) Links() []wire.Link {
	links := make([]wire.Link, len(c.links))
	for i := range c.links {
		links[i] = c.links[i].Link
	}
	return links
}

// draft is a core that decides as c does and never changes anything of c: what is small it
// has for itself, and bindings and pools, which are not, it only reads. What it decides
// is in its offers, checks and limiters, and in the effects.
func (c *Core) draft(tr *Trace) *Core {
	x := *c
	x.tr, x.reply = tr, replyScratch{}
	x.offers, x.checks, x.limit = c.offers.clone(), c.checks.clone(), c.limit.clone()
	x.clones = maps.Clone(c.clones)
	x.parts = make([]*part, len(c.parts))
	for i, p := range c.parts {
		own := *p
		if p.ready.Len() > 0 {
			ready := *p.ready
			own.ready = &ready
		}
		x.parts[i] = &own
	}
	return &x
}

// isDraft reports whether c must leave bindings and pools alone.
func (c *Core) isDraft() bool { return c.tr != nil }

func (o *offers) clone() offers {
	x := *o
	x.slab = make([][]offer, len(o.slab))
	for i := range o.slab {
		x.slab[i] = slices.Clone(o.slab[i])
	}
	x.unused = slices.Clone(o.unused)
	x.byAddr.slots, x.byID.slots = slices.Clone(o.byAddr.slots), slices.Clone(o.byID.slots)
	return x
}

func (k *checks) clone() checks {
	x := *k
	x.byAddr, x.ended = maps.Clone(k.byAddr), nil
	for a, ch := range k.byAddr {
		own := *ch
		if ch.from != nil {
			from := *ch.from
			from.pkt.Data = from.data[:len(ch.from.pkt.Data)]
			own.from = &from
		}
		x.byAddr[a] = &own
	}
	return x
}

func (l *limiter) clone() limiter {
	x := *l
	x.buckets = make(map[ingress]*bucket, len(l.buckets))
	for in, b := range l.buckets {
		own := *b
		x.buckets[in] = &own
	}
	return x
}
