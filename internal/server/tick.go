package server

import (
	"errors"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/pool"
)

// maxDue bounds the records that one Tick looks at; the rest come with the next,
// which is due at once.
const maxDue = 4096

// Tick does what has become due: leases and graces that end, offers that run out,
// checks that stayed silent. It is called when the time of NextTick has come;
// earlier or later does no harm but to punctuality.
func (c *Core) Tick(now lease.Instant, e *Effects) {
	c.at(now)
	for range c.bound.Due {
		s, ok := c.table.Due(now.M)
		if !ok {
			break
		}
		c.due(now, s, e)
	}
	for range c.bound.Due {
		of := c.offers.oldestLive()
		if of == nil || of.expires > now.M {
			break
		}
		c.endOffer(of, now.M)
	}
	for range c.bound.Due {
		of := c.offers.oldest()
		if of == nil || of.live || of.made+pastOffer > now.M {
			break
		}
		c.offers.forget(of)
	}
	if c.checks.next <= now.M {
		c.look(now, e)
	}
}

// due looks at a record whose lease, grace or probation has ended.
func (c *Core) due(now lease.Instant, s lease.Slot, e *Effects) {
	r := c.table.Rec(s)
	if now.M < r.End && r.State == lease.Bound {
		c.wake(s)
		return
	}
	if now.M < r.Free {
		c.table.Wake(s, r.Free)
	}
	// After a long sleep the end and the end of the grace come at once.
	if r.State == lease.Bound && (now.M < r.Free || c.table.Tag(s) == uint8(pool.Bound)+1) {
		e.Events = append(e.Events, Event{Kind: EventExpired, Addr: r.Addr, GIAddr: r.GIAddr,
			HType: r.HType, HW: e.copy(c.hwOf(s)), ClientID: e.copy(c.table.ClientID(s)), Lifetime: r.Lifetime})
	}
	c.accountRecord(r.Addr, s, now.M)
}

func (c *Core) hwOf(s lease.Slot) []byte {
	_, hw := c.table.HW(s)
	return hw
}

// NextTick is when Tick is due, CLOCK_BOOTTIME in nanoseconds; math.MaxInt64:
// nothing is.
func (c *Core) NextTick() int64 {
	next := c.checks.next
	if at, ok := c.table.NextWake(); ok {
		next = min(next, at)
	}
	if of := c.offers.oldestLive(); of != nil {
		next = min(next, of.expires)
	}
	if of := c.offers.oldest(); of != nil && !of.live {
		next = min(next, of.made+pastOffer)
	}
	return next
}

// Errors of Release.
var (
	ErrNotBound = errors.New("the address is not bound")
	ErrFailing  = errors.New("the lease store cannot commit at present")
)

// Release ends the binding of a by order of the operator. The client is not told and
// uses the address until its next REQUEST, so the address is held until the old
// end; with immediate it is free at once, and offered only after an ARP check
// where there can be one.
func (c *Core) Release(now lease.Instant, a dhcp4.Addr, immediate bool, e *Effects) error {
	c.at(now)
	s := c.table.ByAddr(a)
	if s == 0 || now.M >= c.table.Rec(s).Free || c.table.Rec(s).State == lease.Released && !immediate {
		return ErrNotBound
	}
	if c.failing {
		return ErrFailing
	}
	var b lease.Binding
	c.table.Binding(s, &b)
	b.State = lease.Released
	b.Until = lease.FloorSeconds(now.W)
	b.End = now.M
	if immediate {
		b.Free = now.M
	}
	rev := c.commit(now, e, &b)
	e.Events = append(e.Events, Event{Kind: EventReleased, After: rev, Addr: a, HType: b.HType,
		HW: e.copy(b.HW), ClientID: e.copy(b.ClientID)})
	return nil
}
