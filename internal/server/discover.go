package server

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/pool"
)

// choice is the address for a DISCOVER, and whether it may leave at once.
type choice struct {
	addr dhcp4.Addr
	wait bool // an ARP check must end first
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
	c.offer(q, ch)
	if ch.wait {
		switch c.waitForCheck(q, e, ch.addr) {
		case waits:
			return None
		case waitsAlready:
			return ProbePending
		}
		c.unchecked(q, e, ch.addr)
	}
	if of := c.offers.ofAddr(ch.addr); of != nil {
		of.checked = true
	}
	if c.pol.RapidCommit && q.view.Has(dhcp4.OptRapidCommit) && c.mayBind(q) {
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
	if left == 0 || c.allowed(q, r.Addr) != None {
		return StoreFailing
	}
	c.replyOffer(q, e, r.Addr, left)
	return None
}

// choose picks the address in the order of I8: the reservation, the live binding,
// what is on offer already, the last address, the requested one, a new one.
func (c *Core) choose(q *request, e *Effects, live, last lease.Slot) (choice, Reason) {
	careful := c.mustCheck(q)
	if q.res != nil && q.res.Addr != 0 {
		if st, _ := c.standing(q, q.res.Addr); st == free || st == mine || st == mineOnce {
			return choice{q.res.Addr, careful && st == free && c.unproven(q, q.res.Addr)}, None
		}
		c.alarm(q, e, AlarmReservedInUse, q.res.Addr)
	}
	if live != 0 {
		if a := c.table.Rec(live).Addr; c.allowed(q, a) == None {
			return choice{addr: a}, None
		}
	}
	if of := c.offers.ofID(q.id); of != nil && of.live && c.grantable(q, of.addr) == None {
		return choice{of.addr, !of.checked && c.unproven(q, of.addr)}, None
	}
	if last != 0 {
		a := c.table.Rec(last).Addr
		if st, _ := c.standing(q, a); st == mineOnce && c.allowed(q, a) == None {
			return choice{addr: a}, None
		}
	}
	if a := q.wanted; a != 0 && c.allowed(q, a) == None {
		if st, _ := c.standing(q, a); st == free || st == mineOnce {
			return choice{a, st == free && c.unproven(q, a)}, None
		}
	}
	return c.chooseNew(q, e, careful)
}

// chooseNew picks an address for a client that has none: one that was asked for by
// ARP and stayed silent, else a never-used one near the client's hashed start, else
// the one that was free longest, else the oldest offer's.
func (c *Core) chooseNew(q *request, e *Effects, careful bool) (choice, Reason) {
	if a := c.takeReady(q); a != 0 {
		return choice{addr: a}, None
	}
	a := c.takeFree(q)
	if a == 0 {
		if a = c.recall(q); a == 0 {
			return choice{}, PoolFull
		}
	}
	if !c.unproven(q, a) {
		return choice{addr: a}, None
	}
	if careful || c.mustAskFirst(a) {
		return choice{a, true}, None
	}
	c.unchecked(q, e, a)
	return choice{addr: a}, None
}

// partsOf calls fn for each pool of the network until it returns an address.
func (c *Core) partsOf(q *request, fn func(*part) dhcp4.Addr) dhcp4.Addr {
	for _, sn := range q.net.Subnets {
		for _, conf := range sn.Pools {
			if p := c.parts[conf]; p != nil {
				if a := fn(p); a != 0 {
					return a
				}
			}
		}
	}
	return 0
}

// start is where the search for this client begins in p: a forgotten client comes
// back to the same place.
func (p *part) start(q *request) dhcp4.Addr { return p.pool.At(q.id[0] % p.pool.Size()) }

func (c *Core) takeReady(q *request) dhcp4.Addr {
	for _, unused := range [2]bool{true, false} {
		a := c.partsOf(q, func(p *part) dhcp4.Addr {
			if _, has := p.pool.NextUnused(p.conf.Range.First); has != unused {
				return 0
			}
			for {
				a, ok := p.ready.Take(p.start(q))
				if !ok || a != q.giaddr {
					return a
				}
			}
		})
		if a != 0 {
			return a
		}
	}
	return 0
}

func (c *Core) takeFree(q *request) dhcp4.Addr {
	a := c.partsOf(q, func(p *part) dhcp4.Addr {
		first, ok := p.pool.NextUnused(p.start(q))
		a := first
		for ok && c.passOver(q, a) {
			if a, ok = p.pool.NextUnused(a + 1); a == first {
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
		for a, key := range p.pool.Freed {
			if c.passOver(q, a) {
				continue
			}
			if best == 0 || key < bestKey {
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
	var from *part
	best, bestKey := dhcp4.Addr(0), int64(0)
	c.partsOf(q, func(p *part) dhcp4.Addr {
		if a, key, ok := p.pool.Oldest(pool.Offered); ok && (best == 0 || key < bestKey) {
			best, bestKey, from = a, key, p
		}
		return 0
	})
	if best == 0 || best == q.giaddr {
		return 0
	}
	from.recallUntil = q.now.M + recallMemory
	c.count.Recalled++
	c.endOffer(c.offers.ofAddr(best), q.now.M)
	return best
}

const recallMemory = 60 * second

// offer notes that a is this client's alone until the offer ends.
func (c *Core) offer(q *request, ch choice) {
	a := ch.addr
	expires := q.now.M + c.pol.OfferLifetime
	if of := c.offers.ofID(q.id); of != nil && of.live {
		if of.addr == a {
			if of.taken {
				if p := c.part(a); p != nil {
					p.pool.Move(a, pool.Offered, pool.Offered, q.now.M)
				}
			}
			c.offers.renew(of, q.now.M, expires)
			return
		}
		c.endOffer(of, q.now.M)
	}
	if of := c.offers.ofAddr(a); of != nil { // another identity of the same reservation
		c.endOffer(of, q.now.M)
	}
	if of := c.offers.oldest(); of != nil && c.offers.len() >= maxOffers {
		if of.live {
			if p := c.part(of.addr); p != nil {
				p.recallUntil = q.now.M + recallMemory
			}
			c.count.Recalled++
			c.endOffer(of, q.now.M)
		}
		c.offers.forget(of)
	}
	taken := false
	if p := c.part(a); p != nil {
		s := c.table.ByAddr(a)
		if c.counted(a, s) == pool.Free {
			p.ready.Remove(a)
			p.pool.Move(a, pool.Free, pool.Offered, q.now.M)
			c.table.SetTag(s, uint8(pool.Offered)+1)
			taken = true
		}
	}
	c.offers.add(offer{addr: a, taken: taken, id: q.id, made: q.now.M, expires: expires})
}

// endOffer makes a live offer a past one and gives its address back.
func (c *Core) endOffer(of *offer, m int64) {
	a, taken := of.addr, of.taken
	c.offers.end(of)
	c.forgetWaiter(a)
	if !taken {
		return
	}
	of.taken = false
	p := c.part(a)
	if p == nil {
		return
	}
	if s := c.table.ByAddr(a); s != 0 {
		to, key := c.stateAt(s, m)
		p.pool.Move(a, pool.Offered, to, key)
		c.table.SetTag(s, uint8(to)+1)
		return
	}
	p.pool.Move(a, pool.Offered, c.idle(a), 0)
}

func (c *Core) unchecked(q *request, e *Effects, a dhcp4.Addr) {
	c.count.Unchecked++
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
		var buf [260]byte
		b := append(q.giaddr.Append(buf[:0]), q.agent...)
		in.relay = sipHash(c.k0, c.k1, b)
	}
	return c.limit.allow(in, q.now.M, c.pol.BindLimit, c.pol.BindBurst)
}
