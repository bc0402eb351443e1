package server

import (
	"bytes"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/pool"
)

// freed is an address that was released by the change with revision rev.
type freed struct {
	addr dhcp4.Addr
	rev  uint64
}

// commit makes b the state of its address, in memory at once and as a change for
// the store, and returns the change's revision. before is the record it replaces,
// 0 for none.
func (c *Core) commit(now lease.Instant, e *Effects, b *lease.Binding) uint64 {
	if of := c.offers.ofAddr(b.Addr); of != nil {
		c.endOffer(of, now.M)
	}
	c.checks.drop(b.Addr) // an answer that comes now is its client's
	c.seq++
	b.Rev, b.Boot = c.seq, c.boot
	ch := lease.Change{After: *b}
	if s := c.table.ByAddr(b.Addr); s != 0 {
		c.table.Binding(s, &ch.Before)
		ch.Before.Boot = c.boot
		e.keep(&ch.Before)
	}
	e.keep(&ch.After)
	e.Changes = append(e.Changes, ch)
	if c.isDraft() {
		return c.seq
	}
	s := c.table.Put(b)
	c.accountRecord(b.Addr, s, now.M)
	c.wake(s)
	if b.State == lease.Released {
		c.released = append(c.released, freed{b.Addr, b.Rev})
	}
	return c.seq
}

// compare asks the store whether record s is still as it is here, and returns the
// revision to wait for: a NAK that rests on a record must not rest on a stale one.
func (c *Core) compare(e *Effects, s lease.Slot) uint64 {
	c.seq++
	ch := lease.Change{CompareOnly: true}
	c.table.Binding(s, &ch.Before)
	ch.Before.Boot = c.boot
	e.keep(&ch.Before)
	e.Changes = append(e.Changes, ch)
	return c.seq
}

// Durable tells the Core that every change up to rev is durable. A released
// address is free for others only from then on (I2b).
func (c *Core) Durable(rev uint64) {
	c.durable = max(c.durable, rev)
	n := 0
	for ; n < len(c.released) && c.released[n].rev <= c.durable; n++ {
		f := c.released[n]
		if s := c.table.ByAddr(f.addr); s != 0 && c.table.Rec(s).Rev == f.rev {
			c.accountRecord(f.addr, s, c.latest)
		}
	}
	c.released = append(c.released[:0], c.released[n:]...)
}

// Doubt tells the Core of changes that failed with the store. Until it is whole again a
// crash may bring them back (I2c), so that of an address which one of them takes from its
// holder, or shortens for it, nothing is promised meanwhile, not even the time that was
// durable before.
func (c *Core) Doubt(cs []lease.Change) {
	for i := range cs {
		b, a := &cs[i].Before, &cs[i].After
		if cs[i].CompareOnly || b.State != lease.Bound {
			continue
		}
		if a.State != lease.Bound || a.End < b.End || a.HType != b.HType || !bytes.Equal(a.HW, b.HW) || !bytes.Equal(a.ClientID, b.ClientID) {
			c.doubtful[b.Addr] = struct{}{}
		}
	}
}

// inDoubt reports whether Doubt named a, and the store is not whole yet.
func (c *Core) inDoubt(a dhcp4.Addr) bool {
	_, doubt := c.doubtful[a]
	return doubt
}

// Rollback takes back changes that are not in the store and never will be: memory
// is then what is durable. cs is in order; of two groups the later comes first.
func (c *Core) Rollback(now lease.Instant, cs []lease.Change) {
	c.at(now)
	for i := len(cs) - 1; i >= 0; i-- {
		if ch := &cs[i]; !ch.CompareOnly {
			c.takeBack(now, ch)
		}
	}
}

// takeBack makes memory what it was before ch.
func (c *Core) takeBack(now lease.Instant, ch *lease.Change) {
	if ch.Before.Addr != 0 {
		s := c.table.Put(&ch.Before)
		c.noteRecord(ch.Before.Addr, s)
		c.accountRecord(ch.Before.Addr, s, now.M)
		c.wake(s)
		return
	}
	a := ch.After.Addr
	p, s := c.part(a), c.table.ByAddr(a)
	if s == 0 {
		return
	}
	from := pool.Free
	if p != nil {
		from = c.counted(p, a, s) // the record says so, as long as there is one
	}
	c.table.Delete(a)
	if p != nil {
		c.move(p, a, 0, from, now.M)
	}
	c.count1(a, 0)
}
