package server

import (
	"cmp"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/pool"
	"lessor/internal/wire"
)

// maxOwn bounds the addresses that are remembered as once ours (I22).
const maxOwn = 4096

// SetPolicy puts a configuration in force. No binding is ended by it: a holder whose
// address is no longer allowed is refused at its next REQUEST (I15).
func (c *Core) SetPolicy(now lease.Instant, p *policy.Policy, e *Effects) {
	first := c.pol == nil
	c.pol = p
	c.locateLinks()
	c.rebuild(now)
	if first && p.Careful {
		c.zeroConf = now.M + c.longestLease()
	}
}

// SetLinks says which interfaces are served from now on, all of them.
func (c *Core) SetLinks(now lease.Instant, links []wire.Link, e *Effects) {
	same := slices.EqualFunc(c.links, links, func(a ethernet, b wire.Link) bool { return slices.Equal(a.Addrs, b.Addrs) })
	c.links = c.links[:0]
	for _, l := range links {
		if len(l.Addrs) == 0 {
			continue
		}
		c.links = append(c.links, ethernet{Link: l})
		for _, a := range l.Addrs {
			if len(c.own) < maxOwn {
				c.own[a.Addr] = struct{}{}
			}
		}
	}
	if c.pol == nil {
		return
	}
	c.locateLinks()
	if !same {
		c.rebuild(now) // our own addresses are in no pool
	}
	c.checks.soon()
}

func (c *Core) locateLinks() {
	for i := range c.links {
		c.links[i].net = c.pol.NetworkOfLink(&c.links[i].Link)
	}
}

// rebuild counts every address anew.
func (c *Core) rebuild(now lease.Instant) {
	clear(c.parts)
	c.order = c.order[:0]
	for _, n := range c.pol.Networks {
		for _, sn := range n.Subnets {
			for _, conf := range sn.Pools {
				p := c.newPart(conf)
				c.parts[conf] = p
				c.order = append(c.order, p)
			}
		}
	}
	for next := c.table.Scan(0, 4096, c.untag); next != 0; {
		next = c.table.Scan(next, 4096, c.untag)
	}
	account := func(s lease.Slot) { c.recount(s, now.M) }
	for next := c.table.Scan(0, 4096, account); next != 0; {
		next = c.table.Scan(next, 4096, account)
	}
	c.keepOffers(now)
	clear(c.checks.byAddr)
	c.checks.waiting = 0
	c.checks.soon()
}

func (c *Core) untag(s lease.Slot) { c.table.SetTag(s, 0) }

// recount is account for a record that no pool has counted yet.
func (c *Core) recount(s lease.Slot, m int64) {
	to, key := c.stateAt(s, m)
	c.moveTo(c.table.Rec(s).Addr, s, to, key)
}

// newPart makes a pool whose addresses are all never used, but for those that are
// excluded, ours, or reserved.
func (c *Core) newPart(conf *policy.Pool) *part {
	p := &part{conf: conf, pool: pool.New(conf.Range), ready: new(pool.Ready)}
	for _, r := range conf.Exclude {
		p.pool.MoveRange(r, pool.Free, pool.Excluded)
	}
	set := func(a dhcp4.Addr, to pool.State) {
		if conf.Subnet.PoolOf(a) == conf && p.pool.IsUnused(a) {
			p.pool.Move(a, pool.Free, to, 0)
		}
	}
	for _, r := range conf.Subnet.Network.Reservations() {
		if r.Addr != 0 {
			set(r.Addr, pool.Reserved)
		}
	}
	for a := range conf.Subnet.NeverOffer {
		set(a, pool.Excluded)
	}
	for i := range c.links {
		for _, a := range c.links[i].Addrs {
			set(a.Addr, pool.Excluded)
		}
	}
	p.cursor = p.pool.At(sipHash(c.k0, c.k1, conf.Range.First.Append(nil)) % p.pool.Size())
	return p
}

// keepOffers keeps the live offers that the configuration still allows.
func (c *Core) keepOffers(now lease.Instant) {
	for i := c.offers.at(0).next; i != 0; i = c.offers.at(i).next {
		of := c.offers.at(i)
		if !of.live {
			continue
		}
		of.taken = false
		sn := c.pol.SubnetOf(of.addr)
		p := c.part(of.addr)
		if sn == nil || p == nil && sn.Network.ReservedBy(of.addr) == nil {
			c.offers.end(of)
			continue
		}
		if s := c.table.ByAddr(of.addr); p != nil && c.counted(of.addr, s) == pool.Free {
			p.pool.Move(of.addr, pool.Free, pool.Offered, of.made)
			c.table.SetTag(s, uint8(pool.Offered)+1)
			of.taken = true
		}
	}
	c.checks.ended = c.checks.ended[:0]
}

func sortAddrs(as []dhcp4.Addr) { slices.SortFunc(as, cmp.Compare[dhcp4.Addr]) }
