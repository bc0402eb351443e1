package server

import (
	"bytes"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
)

// standing is what an address is to the client of the request.
type standing uint8

const (
	free     standing = iota // nobody's
	mine                     // bound to this client, or in its grace
	mineOnce                 // was this client's last
	others                   // bound to another, or held
	out                      // declined
	onOffer                  // on offer to another
)

// standing looks an address up; s is its record, 0 for none.
func (c *Core) standing(q *request, a dhcp4.Addr) (st standing, s lease.Slot) {
	if s = c.table.ByAddr(a); s != 0 {
		r := c.table.Rec(s)
		held := q.now.M < r.Free || r.State == lease.Released && r.Rev > c.durable
		holder := c.isHolder(q, s)
		switch {
		case held && r.State == lease.Declined:
			return out, s
		case held && r.State == lease.Bound && holder:
			return mine, s
		case held && !holder:
			return others, s
		case holder:
			st = mineOnce
		}
	}
	// A reserved address is on offer to its reservation, whichever of its keys asked.
	if of := c.offers.ofAddr(a); of != nil && of.id != q.id && (q.res == nil || q.res.Addr != a) {
		return onOffer, s
	}
	return st, s
}

// sameClient reports whether record s is of the request's client by its own key: the
// client identifier, else the hardware address.
func (c *Core) sameClient(q *request, s lease.Slot) bool {
	if q.clientID != nil {
		return bytes.Equal(q.clientID, c.table.ClientID(s))
	}
	htype, hw := c.table.HW(s)
	return htype == q.htype && bytes.Equal(hw, q.hw) && len(hw) > 0
}

// isHolder reports whether record s is of the request's client: by its own key, or
// because both are the one client of a reservation of the address (docs/invariants.md,
// Identity).
func (c *Core) isHolder(q *request, s lease.Slot) bool {
	if c.sameClient(q, s) {
		return true
	}
	if q.res == nil || q.res.Addr != c.table.Rec(s).Addr {
		return false
	}
	k := c.keysOf(q.net, s)
	return q.net.Reservation(&k) == q.res && q.res.OneClient(&q.keys, &k)
}

// keysOf are the keys by which the client of record s may have a reservation in n.
func (c *Core) keysOf(n *policy.Network, s lease.Slot) policy.Keys {
	k := policy.Keys{Agent: c.table.Agent(s)}
	k.HType, k.HW = c.table.HW(s)
	id := c.table.ClientID(s)
	if c.pol.MatchClientID {
		k.ClientID = id
	}
	if c.pol.FlexID != nil {
		k.FlexID = c.pol.FlexID(&policy.Facts{HType: k.HType, HW: k.HW, ClientID: id, Agent: k.Agent,
			GIAddr: c.table.Rec(s).GIAddr, Network: n})
	}
	return k
}

// allowed says why the configuration does not let this client have a, or None.
func (c *Core) allowed(q *request, a dhcp4.Addr) Reason {
	fate := q.net.Grants(a, q.res, &q.facts.Classes)
	switch {
	case fate == policy.FateNoSubnet:
		return NakWrongNetwork
	case a == q.giaddr || c.isOwn(a):
		return NakNotAllowed
	case fate == policy.FateReserved:
		return NakReserved
	case fate == policy.FateGuarded:
		return NakWrongClass
	case fate != policy.FateKeeps:
		return NakNotAllowed
	}
	if q.res != nil && q.res.Addr != 0 && q.res.Addr != a && c.reservationFree(q) {
		return NakNotAllowed // the client's place is its reserved address
	}
	return None
}

// reservationFree reports whether the client could have its reserved address now.
func (c *Core) reservationFree(q *request) bool {
	a := q.res.Addr
	if a == q.giaddr || c.isOwn(a) {
		return false
	}
	switch st, _ := c.standing(q, a); st {
	case mine:
		return true
	case free, mineOnce:
		return !c.checks.answers(a)
	}
	return false
}

// rank orders the records of one client: what the configuration allows first, then what
// is its own by the very key that it sent, then what lasts longest.
type rank struct {
	allowed, exact bool
	end            int64
}

func (r rank) above(o rank) bool {
	switch {
	case r.allowed != o.allowed:
		return r.allowed
	case r.exact != o.exact:
		return r.exact
	}
	return r.end > o.end
}

// bindings finds what the client has in this network, its live binding and the address
// that it had last; of several the best by rank. A record with a client identifier is
// found by the hardware address of a client that sends none, but whoever copies a
// hardware address under identifiers of its own comes after the address's own record.
func (c *Core) bindings(q *request) (live, last lease.Slot) {
	var liveRank, lastRank rank
	next := c.table.NextByHW
	s := lease.Slot(0)
	if q.clientID != nil {
		s, next = c.table.FirstByClientID(q.clientID), c.table.NextByClientID
	} else {
		s = c.table.FirstByHW(q.htype, q.hw)
	}
	for n := 0; s != 0 && n < maxBindings; s, n = next(s), n+1 {
		r := c.table.Rec(s)
		if q.net.Contains(r.Addr) == nil || r.State == lease.Declined {
			continue
		}
		is := rank{c.allowed(q, r.Addr) == None, q.clientID != nil || !c.pol.MatchClientID || len(c.table.ClientID(s)) == 0, r.End}
		if r.State == lease.Bound && q.now.M < r.Free {
			if live == 0 || is.above(liveRank) {
				live, liveRank = s, is
			}
		} else if last == 0 || is.above(lastRank) {
			last, lastRank = s, is
		}
	}
	return live, last
}

// maxBindings bounds how many records of one identity a packet looks at: a hostile
// station that collects bindings under one identity must not slow the server.
const maxBindings = 64
