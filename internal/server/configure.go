package server

import (
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
	c.at(now)
	old := c.pol
	c.pol = p
	c.wasOurs(p.ServerIdentifier)
	c.locateLinks()
	c.rebuild(now, old)
	c.keepChecks(now, e)
	c.checks.soon()
	if old == nil && p.Careful {
		c.zeroConf = now.M + c.longestLease()
	}
}

// SetLinks says which interfaces are served from now on, all of them.
func (c *Core) SetLinks(now lease.Instant, links []wire.Link, e *Effects) {
	c.at(now)
	moved := c.ownMoved(links)
	c.links = c.links[:0]
	for _, l := range links {
		if len(l.Addrs) == 0 {
			continue
		}
		c.links = append(c.links, ethernet{Link: l})
		for _, a := range l.Addrs {
			c.wasOurs(a.Addr)
		}
	}
	if c.pol == nil {
		return
	}
	c.locateLinks()
	for _, m := range moved {
		if of := c.offers.ofAddr(m.addr); of != nil && c.isOwn(m.addr) {
			c.offers.end(of)
		}
		c.move(c.part(m.addr), m.addr, c.table.ByAddr(m.addr), m.from, now.M)
	}
	c.attach()
	c.keepChecks(now, e)
	c.checks.soon()
}

// ownMove is an address of a pool that becomes ours or ceases to be, and the state that
// it was counted in before.
type ownMove struct {
	addr dhcp4.Addr
	from pool.State
}

// ownMoved finds them. It is called while the former interfaces are in force.
func (c *Core) ownMoved(links []wire.Link) (moved []ownMove) {
	if c.pol == nil {
		return nil
	}
	var before, after []dhcp4.Addr
	for i := range c.links {
		for _, a := range c.links[i].Addrs {
			before = append(before, a.Addr)
		}
	}
	for _, l := range links {
		for _, a := range l.Addrs {
			after = append(after, a.Addr)
		}
	}
	all := append(slices.Clone(before), after...)
	slices.Sort(all)
	for _, a := range slices.Compact(all) {
		if p := c.part(a); p != nil && slices.Contains(before, a) != slices.Contains(after, a) {
			moved = append(moved, ownMove{a, c.counted(p, a, c.table.ByAddr(a))})
		}
	}
	return moved
}

// attach finds for each pool the interface on which its addresses can be asked for. What
// was ready on another one is not.
func (c *Core) attach() {
	c.direct = c.direct[:0]
	for _, p := range c.order {
		link := wire.LinkID(0)
		if l := c.askable(p.conf.Range.First); l != nil {
			link = l.ID
			c.direct = append(c.direct, p)
		}
		if p.link != link {
			p.link, *p.ready = link, pool.Ready{}
		}
	}
}

// wasOurs remembers a server identifier that clients may have got from us.
func (c *Core) wasOurs(a dhcp4.Addr) {
	if a != 0 && len(c.own) < maxOwn {
		c.own[a] = struct{}{}
	}
}

func (c *Core) locateLinks() {
	for i := range c.links {
		c.links[i].net = c.pol.NetworkOfLink(&c.links[i].Link)
	}
}

// rebuild counts every address anew, after the configuration was old. What is on offer or
// ready stays so where it still can.
func (c *Core) rebuild(now lease.Instant, old *policy.Policy) {
	before := c.order
	c.order = nil
	c.parts = make([]*part, c.pol.Pools)
	c.endOffers(old)
	c.usage.on = false
	for _, n := range c.pol.Networks {
		for _, sn := range n.Subnets {
			for _, conf := range sn.Pools {
				p := c.newPart(conf)
				c.parts[conf.Index] = p
				c.order = append(c.order, p)
			}
		}
		for _, r := range n.Reservations() {
			if p := c.part(r.Addr); p != nil {
				p.pool.Move(r.Addr, pool.Free, pool.Reserved, 0)
			}
		}
	}
	c.attach()
	c.eachRecord(func(s lease.Slot) { c.table.SetTag(s, 0) })
	c.eachRecord(func(s lease.Slot) { c.accountRecord(c.table.Rec(s).Addr, s, now.M) })
	for of := range c.offers.all {
		if of.live {
			c.account(of.addr, now.M)
		}
	}
	c.resetUsage(old)
	for _, p := range before {
		c.keepReady(p)
	}
}

// endOffers ends the offers that the configuration in force does not allow any more, or
// whose identities it hashes in another way than old did.
func (c *Core) endOffers(old *policy.Policy) {
	for of := range c.offers.all {
		if of.live && !c.keepsOffer(old, of.addr) {
			c.offers.end(of)
		}
	}
}

// keepsOffer reports whether an offer of a can stand.
func (c *Core) keepsOffer(old *policy.Policy, a dhcp4.Addr) bool {
	sn, was := c.pol.SubnetOf(a), old.SubnetOf(a)
	if sn == nil || was == nil || sn.Network.Subnets[0].Prefix != was.Network.Subnets[0].Prefix {
		return false
	}
	r, had := sn.Network.ReservedBy(a), was.Network.ReservedBy(a)
	if r != nil || had != nil {
		return r != nil && had != nil && sameKeysList(r.Keys, had.Keys)
	}
	return c.idle(a) == pool.Free && sn.PoolOf(a) != nil
}

// keepReady keeps the ready addresses of a former pool that are still free and on
// the same link.
func (c *Core) keepReady(old *part) {
	for a, at := range old.ready.All {
		if p := c.part(a); p != nil && p.link != 0 && p.link == old.link {
			if key, ok := p.pool.Key(a, pool.Free); ok {
				p.ready.Add(a, at, key)
			}
		}
	}
	if p := c.part(old.cursor); p != nil {
		p.cursor = old.cursor
	}
}

// keepChecks keeps the questions that can still be answered. A DISCOVER whose question
// cannot, or whose offer is over, is decided anew: none is lost for a reload (I15).
func (c *Core) keepChecks(now lease.Instant, e *Effects) {
	var ended []dhcp4.Addr
	for a, ch := range c.checks.byAddr {
		if !c.stands(a, ch) {
			ended = append(ended, a)
		}
	}
	slices.Sort(ended)
	waiters := make([]*waiter, 0, len(ended))
	for _, a := range ended {
		if w := c.checks.byAddr[a].from; w != nil {
			waiters = append(waiters, w)
		}
		c.checks.drop(a)
	}
	for _, w := range waiters {
		c.again(now, w, e)
	}
}

// newPart makes a pool whose addresses are all never used, but for those that are
// excluded or ours; what is reserved is the caller's to take out.
func (c *Core) newPart(conf *policy.Pool) *part {
	p := &part{conf: conf, pool: pool.New(conf.Range), ready: new(pool.Ready)}
	for _, r := range conf.Exclude {
		p.pool.MoveRange(r, pool.Free, pool.Excluded)
	}
	set := func(a dhcp4.Addr, to pool.State) {
		if conf.Subnet.PoolOf(a) == conf && p.pool.IsUnused(a) && conf.Subnet.Network.ReservedBy(a) == nil {
			p.pool.Move(a, pool.Free, to, 0)
		}
	}
	for _, a := range conf.Subnet.NeverOffer {
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
