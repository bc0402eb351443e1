package server

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/pool"
)

// part is the pool that a belongs to now, or nil.
func (c *Core) part(a dhcp4.Addr) *part {
	if sn := c.pol.SubnetOf(a); sn != nil {
		if p := sn.PoolOf(a); p != nil {
			return c.parts[p.Index]
		}
	}
	return nil
}

// idle is the state of an address that nobody has.
func (c *Core) idle(a dhcp4.Addr) pool.State {
	sn := c.pol.SubnetOf(a)
	if sn == nil {
		return pool.Free
	}
	if sn.Network.ReservedBy(a) != nil {
		return pool.Reserved
	}
	if sn.NeverOffer.Has(a) || c.isOwn(a) {
		return pool.Excluded
	}
	return pool.Free
}

// isOwn reports whether a is an address of one of our interfaces.
func (c *Core) isOwn(a dhcp4.Addr) bool {
	for i := range c.links {
		for _, p := range c.links[i].Addrs {
			if p.Addr == a {
				return true
			}
		}
	}
	return false
}

// stateAt is the state in its pool of address a, whose record is s (0: none), at time
// m, and the key that orders it there. A release counts only once it is durable, and
// what would be free is on offer while there is a live offer of it.
func (c *Core) stateAt(a dhcp4.Addr, s lease.Slot, m int64) (pool.State, int64) {
	key := int64(0)
	if s != 0 {
		r := c.table.Rec(s)
		switch {
		case r.State == lease.Released && r.Rev > c.durable:
			return pool.Held, 0
		case m >= r.Free:
			if key = r.Free; key == 0 {
				key = -1 // 0 is for addresses that nobody ever had
			}
		case r.State == lease.Declined:
			return pool.Declined, r.Free
		case r.State == lease.Bound && m < r.End:
			return pool.Bound, 0
		default:
			return pool.Held, 0
		}
	}
	st := c.idle(a)
	if st == pool.Free {
		if of := c.offers.ofAddr(a); of != nil {
			return pool.Offered, of.made
		}
	}
	return st, key
}

// counted is the state that p has its address a in. The tag of the record says so; an
// address without a record, or with a new one, is on offer or idle.
func (c *Core) counted(p *part, a dhcp4.Addr, s lease.Slot) pool.State {
	if tag := c.table.Tag(s); tag != 0 {
		return pool.State(tag - 1)
	}
	if _, offered := p.pool.Key(a, pool.Offered); offered {
		return pool.Offered
	}
	return c.idle(a)
}

// account brings the pool of a up to date with the record and the offer of a as of time
// m. Whatever changes one of them calls it afterwards.
func (c *Core) account(a dhcp4.Addr, m int64) { c.accountRecord(a, c.table.ByAddr(a), m) }

// accountRecord is account for who knows the record of a already.
func (c *Core) accountRecord(a dhcp4.Addr, s lease.Slot, m int64) {
	if p := c.part(a); p != nil && !c.isDraft() {
		c.move(p, a, s, c.counted(p, a, s), m)
		c.count1(a, s)
	}
}

// move takes a, whose record is s, out of the state that p counted it in.
func (c *Core) move(p *part, a dhcp4.Addr, s lease.Slot, from pool.State, m int64) {
	to, key := c.stateAt(a, s, m)
	if from == to && to != pool.Free && to != pool.Offered && to != pool.Declined {
		c.table.SetTag(s, uint8(to)+1)
		return
	}
	if to == pool.Free {
		c.wantReady(p)
	} else if from == pool.Free && p.ready.Remove(a) {
		c.wantReady(p)
	}
	p.pool.Move(a, from, to, key)
	c.table.SetTag(s, uint8(to)+1)
}

// wake sets when record s changes its state by itself.
func (c *Core) wake(s lease.Slot) {
	r := c.table.Rec(s)
	at := r.Free
	if r.State == lease.Bound {
		at = r.End
	}
	c.table.Wake(s, at)
}
