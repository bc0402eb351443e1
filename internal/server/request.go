package server

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
)

// request answers a REQUEST in its four states (RFC 2131 4.3.2), told apart by
// what the message carries: SELECTING names a server, INIT-REBOOT an address in
// option 50, RENEWING and REBINDING one in ciaddr, RENEWING by unicast.
func (c *Core) request(q *request, e *Effects) Reason {
	if q.serverID != 0 && !c.isOurs(q, q.serverID) {
		return c.notChosen(q)
	}
	switch {
	case q.ciaddr != 0:
		return c.extend(q, e, q.ciaddr, q.unicast())
	case q.wanted == 0:
		return NoAddress
	case q.serverID != 0:
		return c.selecting(q, e)
	}
	return c.extend(q, e, q.wanted, false)
}

// notChosen ends the offer of a client that has chosen another server (S4, I6).
func (c *Core) notChosen(q *request) Reason {
	if of := c.offers.ofID(q.id); of != nil && of.live {
		c.endOffer(of, q.now.M)
	}
	return ForeignServer
}

// chosenElsewhere reports whether the client may have chosen another server: it names its relay
// agent, which stands for all servers behind it (RFC 5107), and an address that was not
// offered to it here. Who is authoritative knows that there is no other.
func (c *Core) chosenElsewhere(q *request) bool {
	return q.serverID == q.override && !c.pol.Authoritative && !c.isOwn(q.serverID) && !c.wasOffered(q, q.wanted)
}

// unicast reports whether the client sent its message to one server: to us, or to a
// relay agent that goes for us and says so (RFC 5010, RFC 5107).
func (q *request) unicast() bool {
	if q.giaddr == 0 {
		return q.ucast
	}
	v, ok := policy.AgentOption(q.facts.Agent, dhcp4.AgentRelayFlags)
	return ok && len(v) == 1 && v[0]&0x80 != 0
}

// selecting answers the REQUEST for an address that this server offered: I3b (a).
func (c *Core) selecting(q *request, e *Effects) Reason {
	c.tr.asks(c, q, q.wanted)
	st, s := c.standing(q, q.wanted)
	if c.failing {
		if c.allowed(q, q.wanted) != None {
			return StoreFailing
		}
		return c.remaining(q, e, st, s)
	}
	if reason := c.grantable(q, q.wanted); reason != None {
		if c.chosenElsewhere(q) {
			return c.notChosen(q)
		}
		return c.nak(q, e, reason, s)
	}
	if st != mine && !c.wasOffered(q, q.wanted) && !c.mayBind(q) {
		return RateLimited
	}
	if st != mine {
		if reason := c.mayHaveNew(q, q.wanted, true); reason != None {
			return reason
		}
	}
	return c.grant(q, e, q.wanted)
}

// grantable says why this client cannot get a now, or None.
func (c *Core) grantable(q *request, a dhcp4.Addr) Reason {
	if reason := c.allowed(q, a); reason != None {
		return reason
	}
	switch st, _ := c.standing(q, a); st {
	case others:
		return NakBoundToOther
	case out:
		return NakDeclined
	case onOffer:
		// An offer is its client's alone, but while offers had to be recalled the first
		// of those who were offered the address wins.
		if p := c.part(a); p == nil || q.now.M >= p.recallUntil || !c.wasOffered(q, a) {
			return NakOnOffer
		}
	}
	return None
}

// wasOffered reports whether this client has a live offer of a, or had one that was
// recalled or ran out just now.
func (c *Core) wasOffered(q *request, a dhcp4.Addr) bool {
	of := c.offers.ofID(q.id)
	return of != nil && of.addr == a && q.now.M-of.made <= c.pol.OfferLifetime+recallMemory
}

// extend answers INIT-REBOOT, RENEWING and REBINDING: I3b (b), (c), (d).
func (c *Core) extend(q *request, e *Effects, a dhcp4.Addr, renewing bool) Reason {
	c.tr.asks(c, q, a)
	st, s := c.standing(q, a)
	allowed := c.allowed(q, a)
	if c.failing {
		if allowed != None {
			return StoreFailing
		}
		return c.remaining(q, e, st, s)
	}
	if allowed == NakWrongNetwork {
		return c.nakIfAuthoritative(q, e, allowed, 0)
	}
	careful := q.now.M < c.careful
	live, _ := c.bindings(q)
	elsewhere := live != 0 && c.table.Rec(live).Addr != a
	switch {
	case st == mine && allowed == None:
		return c.grant(q, e, a)
	case (renewing || careful) && allowed == None && !elsewhere && (st == free || st == mineOnce):
		if !c.mayBind(q) {
			return RateLimited
		}
		if reason := c.mayHaveNew(q, a, true); reason != None {
			return reason
		}
		return c.grant(q, e, a) // adopted
	case careful:
		return NoRecord
	case st == mine:
		return c.nakIfAuthoritative(q, e, allowed, s)
	case st == others && c.table.Rec(s).State == lease.Bound:
		return c.nakIfAuthoritative(q, e, NakBoundToOther, s)
	case elsewhere:
		return c.nakIfAuthoritative(q, e, NakBoundElsewhere, live)
	case renewing:
		return c.nakIfAuthoritative(q, e, whyNot(st, allowed), s)
	}
	return NoRecord
}

// whyNot names the reason for which a renewing client is refused.
func whyNot(st standing, allowed Reason) Reason {
	switch {
	case allowed != None:
		return allowed
	case st == out:
		return NakDeclined
	case st == onOffer:
		return NakOnOffer
	}
	return NakBoundToOther
}

// remaining answers a holder with the time that is durable, while the store fails
// (I17); nobody else gets an answer.
func (c *Core) remaining(q *request, e *Effects, st standing, s lease.Slot) Reason {
	if st != mine {
		return StoreFailing
	}
	r := c.table.Rec(s)
	left := lease.Remaining(r.End, q.now.M)
	switch {
	case c.inDoubt(r.Addr):
		return StoreFailing
	case left == 0:
		return LeaseEnding
	}
	c.replyAck(q, e, r.Addr, left, r.Rev)
	return None
}

// lifetimesOf are the lease durations that the configuration has for this client at
// a.
func (c *Core) lifetimesOf(q *request, a dhcp4.Addr) policy.Lifetimes {
	if q.res != nil && q.res.OwnLifetime {
		c.tr.lifetimeOf(policy.LevelReservation, "", q.res.Pos)
		return q.res.Lifetimes
	}
	sn := q.net.Contains(a)
	base := sn.Lifetimes
	c.tr.lifetimeOf(policy.LevelSubnet, sn.Name, sn.Pos)
	if p := sn.PoolOf(a); p != nil && p.Lifetimes != base {
		c.tr.lifetimeOf(policy.LevelPool, "", p.Pos)
		base = p.Lifetimes
	}
	for i := policy.FirstClass; i < len(c.pol.Classes); i++ {
		if cl := &c.pol.Classes[i]; q.facts.Classes.Has(i) && cl.Lifetimes != (policy.Lifetimes{}) {
			c.tr.lifetimeOf(policy.LevelClass, cl.Name, cl.Pos)
			return cl.Lifetimes.Within(base).Resolve()
		}
	}
	return base
}

// lifetimeFor is the duration of the client's lease of a in seconds: what it asks
// for in option 51, within the limits, else what is configured (RFC 2131 4.3.1).
func (c *Core) lifetimeFor(q *request, a dhcp4.Addr) uint32 {
	l := c.lifetimesOf(q, a)
	if q.isBooting() {
		l = policy.Lifetimes{Valid: min(l.Valid, maxBootLifetime), Min: min(l.Min, maxBootLifetime), Max: min(l.Max, maxBootLifetime)}
	}
	t := l.Valid
	if want, ok := q.view.Uint32(dhcp4.OptDHCPLeaseTime); ok {
		t = min(max(want, l.Min), l.Max)
	}
	c.tr.lasts(c, q, l, t)
	return t
}

// grant makes or extends the binding of a and ACKs it once that is durable. The
// caller has seen to it that the client may have a.
func (c *Core) grant(q *request, e *Effects, a dhcp4.Addr) Reason {
	st, s := c.standing(q, a)
	if st == mine {
		if left, enough := c.needsNoWrite(q, s); enough {
			c.replyAck(q, e, a, left, c.table.Rec(s).Rev)
			return None
		}
	}
	b := c.newBinding(q, a)
	kind := EventBound
	if st == mine || st == mineOnce {
		var old lease.Binding
		c.table.Binding(s, &old)
		b.Free = max(b.Free, promised(q, &old))
		if st == mine {
			kind = EventRenewed
			c.keepOf(q, e, &b, &old)
			c.suspectClone(q, e, &old)
		}
	}
	if st != mine {
		c.forgetClone(a)
	}
	c.noteClass(q, a)
	if of := c.offers.ofID(q.id); of != nil && of.live && of.addr != a {
		c.endOffer(of, q.now.M)
	}
	rev := c.commit(q.now, e, &b)
	if !c.isDraft() {
		c.table.SetXID(c.table.ByAddr(a), q.view.XID())
	}
	e.Events = append(e.Events, Event{Kind: kind, Type: q.kind, After: rev, Link: q.pkt.Link, Addr: a,
		XID: q.view.XID(), HType: b.HType, HW: e.copy(b.HW), ClientID: e.copy(b.ClientID),
		Hostname: e.copy(b.Hostname), GIAddr: q.giaddr, Lifetime: b.Lifetime})
	c.replyAck(q, e, a, b.Lifetime, rev)
	return None
}

// newBinding is a lease of a that begins with the request. Its slices alias the packet.
func (c *Core) newBinding(q *request, a dhcp4.Addr) lease.Binding {
	b := lease.Binding{Addr: a, State: lease.Bound, HType: q.htype, HW: q.hw, Lifetime: c.lifetimeFor(q, a)}
	b.Start = lease.FloorSeconds(q.now.W)
	b.Renewed = b.Start
	b.Until = lease.CeilSeconds(lease.After(q.now.W, b.Lifetime))
	b.Grace = c.grace(b.Lifetime)
	b.End, b.Free = lease.Deadlines(q.now.M, b.Lifetime, b.Grace)
	if len(q.rawID) >= 2 {
		b.ClientID = q.rawID
	}
	b.GIAddr, b.Agent = q.facts.GIAddr, q.facts.Agent
	if name, ok := q.view.Get(dhcp4.OptHostName, q.nameBuf[:0]); ok {
		b.Hostname = name // at most 255 octets, as a store keeps it
	}
	return b
}

// keepOf keeps of the client's binding what the request does not say anew. A request
// that came through a router or a relay agent's port tells nothing of a link.
func (c *Core) keepOf(q *request, e *Effects, b, old *lease.Binding) {
	b.Start = old.Start
	if b.ClientID == nil {
		b.ClientID = e.copy(old.ClientID) // a record keeps both keys
	}
	if q.giaddr == 0 && q.routed {
		b.GIAddr = old.GIAddr
	}
	if b.Hostname == nil {
		b.Hostname = e.copy(old.Hostname)
	}
}

// promised is until when the address was promised to its client by old: an ACK that
// promised longer than the next one may be the one that arrived. Only an infinite lease
// that was shortened is over once its client renews: with it in hand it never would.
func promised(q *request, old *lease.Binding) int64 {
	if old.Free == forever && old.Lifetime != lease.Infinite && q.ciaddr != 0 {
		return 0
	}
	return old.Free
}

// grace is how many seconds an address is held for its client after a lease of t
// seconds: G(t), or what is configured, never less than the clocks may differ.
func (c *Core) grace(t uint32) uint32 {
	if c.pol.Grace < 0 {
		return lease.Grace(t)
	}
	return max(uint32(min(c.pol.Grace, 1<<31)), lease.MinGrace(t))
}

// needsNoWrite reports whether a REQUEST of the holder of record s is answered with
// the time that is left, which costs no write: a copy of a REQUEST that was just
// acknowledged (I13), or any renewal in overload with more than 3/4 left.
func (c *Core) needsNoWrite(q *request, s lease.Slot) (left uint32, enough bool) {
	r := c.table.Rec(s)
	left = lease.Remaining(r.End, q.now.M)
	if r.Lifetime == lease.Infinite {
		return left, c.table.XID(s) == q.view.XID() && r.End == forever
	}
	if left == 0 || !sameKeys(c, q, s) {
		return left, false
	}
	if c.overload && left > r.Lifetime/4*3 {
		return left, true
	}
	// A renewal may have the xid of the REQUEST before it. dhclient's has, and comes up to a
	// quarter of T1 and a second early: what comes before half of T1 is a copy.
	window := min(10*second, max(int64(r.Lifetime)*second/4, second))
	age := q.now.M - (r.End - int64(r.Lifetime)*second)
	return left, c.table.XID(s) == q.view.XID() && age < window
}

// sameKeys reports whether the request carries the keys of record s, so that nothing
// of the record would change but its times.
func sameKeys(c *Core, q *request, s lease.Slot) bool {
	htype, hw := c.table.HW(s)
	id := c.table.ClientID(s)
	return htype == q.htype && string(hw) == string(q.hw) && (len(q.rawID) < 2 || string(id) == string(q.rawID))
}
