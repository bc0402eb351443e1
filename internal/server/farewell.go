package server

import (
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/pool"
)

// decline takes an address out that its client found in use (RFC 2131 4.3.3, I5).
// It counts only from a client that holds the address or was offered it not long
// ago, on the address's own link.
func (c *Core) decline(q *request, e *Effects) Reason {
	if !c.isOurs(q, q.serverID) {
		return NotOurServerID
	}
	a := q.wanted
	if a == 0 || q.net.Contains(a) == nil {
		return NoAddress
	}
	st, s := c.standing(q, a)
	of := c.offers.ofID(q.id)
	offered := of != nil && of.addr == a && q.now.M-of.made <= pastOffer && (st == free || st == mineOnce)
	if st != mine && !offered {
		return NotHolder
	}
	if c.failing {
		return StoreFailing
	}
	if of != nil && of.live {
		c.endOffer(of, q.now.M)
	}
	if !c.mayTakeOut(a) {
		return c.declineOverLimit(q, e, a, st, s)
	}
	b := c.ended(q, a, s)
	b.State = lease.Declined
	b.Free = q.now.M + c.pol.Probation
	b.Until = lease.FloorSeconds(q.now.W) + c.pol.Probation/second
	rev := c.commit(q.now, e, &b)
	c.farewell(q, e, EventDeclined, a, rev)
	return None
}

// declineOverLimit believes a DECLINE when no more addresses of the pool may be out
// (I5): the client's binding ends, and the address is passed over for a while, so that
// the client is not offered it again at once.
func (c *Core) declineOverLimit(q *request, e *Effects, a dhcp4.Addr, st standing, s lease.Slot) Reason {
	c.alarm(q, e, AlarmDeclineLimit, a)
	c.recheckOldest(q.now, e, c.part(a))
	rev := uint64(0)
	if st == mine {
		b := c.ended(q, a, s)
		rev = c.commit(q.now, e, &b)
	}
	c.passOver(q.now, a, q.pkt.Link)
	c.farewell(q, e, EventDeclined, a, rev)
	return None
}

// release ends a binding that its client gives back (RFC 2131 4.3.4). It counts
// only from the holder itself, from the address it speaks of, and where the network
// of the address is on a link of ours, by that link; a relayed client's RELEASE
// carries neither giaddr nor option 82.
func (c *Core) release(q *request, e *Effects) Reason {
	if !c.isOurs(q, q.serverID) {
		return NotOurServerID
	}
	if q.ciaddr == 0 {
		return NoAddress
	}
	if q.pkt.Src != q.ciaddr && q.giaddr == 0 {
		return BadSource
	}
	st, s := c.standing(q, q.ciaddr)
	if st != mine || !c.comesFrom(q, s) {
		return NotHolder
	}
	if c.failing {
		return StoreFailing
	}
	b := c.ended(q, q.ciaddr, s)
	rev := c.commit(q.now, e, &b)
	c.farewell(q, e, EventReleased, q.ciaddr, rev)
	return None
}

// comesFrom reports whether the request came in where the client of record s can be. One
// that an agent passed on has no IP source to hold against it, so it must be the client's
// own agent.
func (c *Core) comesFrom(q *request, s lease.Slot) bool {
	if q.giaddr != 0 {
		return c.table.Rec(s).GIAddr == q.giaddr
	}
	if q.link.net == q.net {
		return true
	}
	return c.table.Rec(s).GIAddr != 0 && !slices.ContainsFunc(c.links, func(l ethernet) bool { return l.net == q.net })
}

// ended is the state of a after its client gave it up now.
func (c *Core) ended(q *request, a dhcp4.Addr, s lease.Slot) lease.Binding {
	b := lease.Binding{Addr: a, HType: q.htype, HW: q.hw, Start: lease.FloorSeconds(q.now.W)}
	if len(q.rawID) >= 2 {
		b.ClientID = q.rawID
	}
	if s != 0 && c.isHolder(q, s) {
		c.table.Binding(s, &b)
	}
	b.State = lease.Released
	b.Until = lease.FloorSeconds(q.now.W)
	b.End, b.Free, b.Grace = q.now.M, q.now.M, 0
	return b
}

func (c *Core) farewell(q *request, e *Effects, kind EventKind, a dhcp4.Addr, rev uint64) {
	c.count.Done[q.kind]++
	e.Events = append(e.Events, Event{Kind: kind, Type: q.kind, After: rev, Link: q.pkt.Link, Addr: a,
		XID: q.view.XID(), HType: q.htype, HW: e.copy(q.hw), ClientID: e.copy(q.rawID), GIAddr: q.giaddr})
}

// mayTakeOut reports whether another address of a's pool may be out: at most a
// tenth of a pool, and 4, are out by DECLINE or check at once (I5). A reserved address
// may always: only its owner was offered it.
func (c *Core) mayTakeOut(a dhcp4.Addr) bool {
	p := c.part(a)
	return p == nil || c.idle(a) == pool.Reserved || p.pool.Count(pool.Declined) < max(4, p.pool.Size()/10)
}

// inform answers a client that has an address by other means (RFC 2131 4.3.5): its
// parameters, no lease time and no yiaddr. ciaddr must be in scope, so that nobody
// can be made a target.
func (c *Core) inform(q *request, e *Effects) Reason {
	if q.ciaddr == 0 {
		return NoAddress
	}
	if q.net.Contains(q.ciaddr) == nil {
		return NoSubnet
	}
	if q.routed && q.giaddr == 0 && q.pkt.Src != q.ciaddr {
		return BadSource
	}
	c.replyInform(q, e)
	return None
}
