package server

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/pool"
)

// choice is the address for a DISCOVER, and whether it may leave at once.
type choice struct {
	addr dhcp4.Addr
	wait bool // a conflict check must end first
}

// discover answers a DISCOVER (RFC 2131 4.3.1) with an OFFER, which rests on
// nothing durable, or at once with an ACK where rapid commit is configured
// (RFC 4039).
func (c *Core) discover(q *request, e *Effects) Reason {
	live, last := c.bindings(q)
	if c.failing {
		return c.offerDuringFailure(q, e, live)
	}
	ch, reason := c.choose(q, e, live, last)
	if ch.addr == 0 {
		return reason
	}
	if live == 0 {
		if reason := c.mayHaveNew(q, ch.addr, false); reason != None {
			return reason
		}
	}
	c.offer(q, ch)
	if ch.wait {
		switch c.waitForCheck(q, e, ch.addr) {
		case waits:
			return None
		case waitsAlready:
			return ProbePending
		}
		if c.mustCheck(q) {
			c.endOffer(c.offers.ofAddr(ch.addr), q.now.M)
			return NoCheck
		}
		c.unchecked(q, e, ch.addr)
	}
	if of := c.offers.ofAddr(ch.addr); of != nil {
		of.checked = true
	}
	if c.pol.RapidCommit && q.view.Has(dhcp4.OptRapidCommit) && c.mayBind(q) && (live != 0 || c.mayHaveNew(q, ch.addr, true) == None) {
		return c.grant(q, e, ch.addr)
	}
	t := c.lifetimeFor(q, ch.addr)
	c.replyOffer(q, e, ch.addr, t)
	return None
}

// offerDuringFailure offers a holder what it has, for the time that is durable, and
// nobody anything else (I17).
func (c *Core) offerDuringFailure(q *request, e *Effects, live lease.Slot) Reason {
	if live == 0 {
		return StoreFailing
	}
	r := c.table.Rec(live)
	left := lease.Remaining(r.End, q.now.M)
	if left == 0 || c.inDoubt(r.Addr) || c.allowed(q, r.Addr) != None {
		return StoreFailing
	}
	c.replyOffer(q, e, r.Addr, left)
	return None
}

// choose picks the address in the order of I8: the reservation, the live binding,
// what is on offer already, the last address, the requested one, a new one. One that
// somebody answered for just now is none of them, unless the client has it.
func (c *Core) choose(q *request, e *Effects, live, last lease.Slot) (choice, Reason) {
	if q.res != nil && q.res.Addr != 0 {
		if c.reservationFree(q) {
			st, _ := c.standing(q, q.res.Addr)
			return c.tr.take(c, q, live, last, fromReservation, choice{q.res.Addr, st == free && c.unproven(q, q.res.Addr)}), None
		}
		c.alarm(q, e, AlarmReservedInUse, q.res.Addr)
	}
	if live != 0 {
		if a := c.table.Rec(live).Addr; c.allowed(q, a) == None {
			return c.tr.take(c, q, live, last, fromLease, choice{addr: a}), None
		}
	}
	if of := c.offers.ofID(q.id); of != nil && of.live && c.grantable(q, of.addr) == None {
		return c.tr.take(c, q, live, last, fromOffer, choice{of.addr, c.unproven(q, of.addr)}), None
	}
	if last != 0 {
		a := c.table.Rec(last).Addr
		if st, _ := c.standing(q, a); st == mineOnce && c.allowed(q, a) == None && !c.checks.answers(a) {
			return c.tr.take(c, q, live, last, fromLast, choice{addr: a}), None
		}
	}
	if a := q.wanted; a != 0 && c.allowed(q, a) == None && !c.checks.answers(a) {
		if st, _ := c.standing(q, a); st == free || st == mineOnce {
			return c.tr.take(c, q, live, last, fromRequest, choice{a, st == free && c.unproven(q, a)}), None
		}
	}
	return c.chooseNew(q, e, live, last)
}

// chooseNew picks an address for a client that has none: one that was asked for by
// ARP and stayed silent, else a never-used one near the client's hashed start, else
// the one that was free longest, else one that answered not long ago, else the oldest
// offer's.
func (c *Core) chooseNew(q *request, e *Effects, live, last lease.Slot) (choice, Reason) {
	if a := c.takeReady(q); a != 0 {
		return c.tr.take(c, q, live, last, fromReady, choice{addr: a}), None
	}
	a := c.takeFree(q, false)
	answered := a == 0
	if answered {
		a = c.takeFree(q, true)
	}
	if a == 0 {
		answered = false
		if of, _ := c.oldestOffer(q); of != nil && live == 0 {
			if reason := c.mayHaveNew(q, of.addr, false); reason != None {
				return c.tr.take(c, q, live, last, fromNowhere, choice{}), reason // it takes nobody's offer away
			}
		}
		if a = c.recall(q); a == 0 {
			return c.tr.take(c, q, live, last, fromNowhere, choice{}), c.whyNone(q)
		}
	}
	c.tr.take(c, q, live, last, fromPool, choice{addr: a})
	if !c.unproven(q, a) {
		return choice{addr: a}, None
	}
	if c.mustCheck(q) || !answered && c.mustAskFirst(q, a) {
		return choice{a, true}, None
	}
	c.unchecked(q, e, a)
	return choice{addr: a}, None
}

// whyNone says why no pool has an address for the client.
func (c *Core) whyNone(q *request) Reason {
	for _, sn := range q.net.Subnets {
		for _, p := range sn.Pools {
			if policy.Admits(p.Guards, &q.facts.Classes) {
				return PoolFull
			}
		}
	}
	return NoPoolForClient
}

// partsOf calls fn for each pool of the network that the client may have an address of
// until it returns an address.
//
// Of a shared network the subnet that the packet names, by giaddr or a selection, comes
// first.
func (c *Core) partsOf(q *request, fn func(*part) dhcp4.Addr) dhcp4.Addr {
	for _, first := range [2]bool{true, false} {
		for _, sn := range q.net.Subnets {
			if (sn == q.near) != first {
				continue
			}
			for _, conf := range sn.Pools {
				if p := c.parts[conf.Index]; p != nil && policy.Admits(conf.Guards, &q.facts.Classes) {
					if a := fn(p); a != 0 {
						return a
					}
				}
			}
		}
	}
	return 0
}

// start is where the search for this client begins in p: a forgotten client comes
// back to the same place.
func (p *part) start(q *request) dhcp4.Addr { return p.pool.At(q.id[0] % p.pool.Size()) }

// maxSteps bounds the addresses that a search of one pool steps over because they
// answered: a station that answers for thousands must not make each DISCOVER dear.
const maxSteps = 256

// takeFree searches the pools for a free address: a never-used one, else the one that
// was free longest (I4). With answered it takes one that answered for itself too.
func (c *Core) takeFree(q *request, answered bool) dhcp4.Addr {
	skip := func(a dhcp4.Addr) bool { return a == q.giaddr || !answered && c.checks.answers(a) }
	a := c.partsOf(q, func(p *part) dhcp4.Addr {
		first, ok := p.pool.NextUnused(p.start(q))
		a := first
		for n := 0; ok && skip(a); n++ {
			if a, ok = p.pool.NextUnused(a + 1); a == first || n == maxSteps {
				ok = false
			}
		}
		if !ok {
			return 0
		}
		return a
	})
	if a != 0 {
		return a
	}
	best, bestKey := dhcp4.Addr(0), int64(0)
	c.partsOf(q, func(p *part) dhcp4.Addr {
		n := 0
		for a, key := range p.pool.Freed {
			if n++; skip(a) && n <= maxSteps {
				continue
			}
			if !skip(a) && (best == 0 || key < bestKey) {
				best, bestKey = a, key
			}
			break
		}
		return 0
	})
	return best
}

// recall takes back the oldest offer of the network, because no other address is
// left. For a minute the first REQUEST then wins.
func (c *Core) recall(q *request) dhcp4.Addr {
	of, from := c.oldestOffer(q)
	if of == nil {
		return 0
	}
	a := of.addr
	c.count.Recalled++
	c.endOffer(of, q.now.M)
	from.recallUntil = q.now.M + recallMemory
	return a
}

// oldestOffer finds the oldest offer of an address of the network's pools, but for a
// relay agent's own, which is no client's.
func (c *Core) oldestOffer(q *request) (of *offer, from *part) {
	best, bestKey := dhcp4.Addr(0), int64(0)
	c.partsOf(q, func(p *part) dhcp4.Addr {
		if a, key, ok := p.pool.OldestBut(pool.Offered, q.giaddr); ok && (best == 0 || key < bestKey) {
			best, bestKey, from = a, key, p
		}
		return 0
	})
	if best == 0 {
		return nil, nil
	}
	return c.offers.ofAddr(best), from
}

const recallMemory = 60 * second

// offer notes that the address is this client's alone until the offer ends.
func (c *Core) offer(q *request, ch choice) {
	a, now := ch.addr, q.now.M
	expires := now + c.pol.OfferLifetime
	if of := c.offers.ofID(q.id); of != nil && of.live {
		if of.addr == a {
			c.offers.renew(of, now, expires)
			c.account(a, now)
			return
		}
		c.endOffer(of, now)
	}
	if of := c.offers.ofAddr(a); of != nil { // another identity of the same reservation
		c.endOffer(of, now)
	}
	if of := c.offers.oldest(); of != nil && c.offers.len() >= c.bound.Offers {
		if of.live {
			c.count.Recalled++
			c.endOffer(of, now)
		}
		c.offers.forget(of)
	}
	c.offers.add(offer{addr: a, id: q.id, made: now, expires: expires})
	c.account(a, now)
}

// endOffer makes a live offer a past one and gives its address back.
func (c *Core) endOffer(of *offer, m int64) {
	a := of.addr
	c.offers.end(of)
	c.forgetWaiter(a)
	c.account(a, m)
}

// unchecked counts an offer that leaves without a conflict check. A burst does that to
// many, so it is said once a minute.
func (c *Core) unchecked(q *request, e *Effects, a dhcp4.Addr) {
	c.count.Unchecked++
	if q.now.M < c.quiet {
		return
	}
	c.quiet = q.now.M + 60*second
	c.alarm(q, e, AlarmUnchecked, a)
}

func (c *Core) alarm(q *request, e *Effects, r Reason, a dhcp4.Addr) {
	c.count.Alarms[r]++
	e.Events = append(e.Events, Event{Kind: EventAlarm, Reason: r, Addr: a, Link: q.pkt.Link,
		XID: q.view.XID(), HType: q.htype, HW: e.copy(q.hw), ClientID: e.copy(q.rawID)})
}

// mayBind takes a token for a binding that answers no offer (F5).
func (c *Core) mayBind(q *request) bool {
	in := ingress{link: q.pkt.Link}
	if q.giaddr != 0 {
		in.relay = c.ingressOf(q.net, q.giaddr, q.facts.Agent) | 1
	}
	return c.limit.allow(in, q.now.M, c.pol.BindLimit, c.pol.BindBurst)
}
