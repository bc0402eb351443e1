package server

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
)

// Times of the ready lists.
const (
	readyFor   = 60 * second // how long silence counts
	reaskAfter = 30 * second // when an address on a ready list is asked for again
)

// wantReady asks for a look when p's ready list has room.
func (c *Core) wantReady(p *part) {
	if p.link != 0 && p.ready.Need() > 0 {
		c.checks.soon()
	}
}

// unproven reports whether a could be checked for this client and has not been.
func (c *Core) unproven(q *request, a dhcp4.Addr) bool {
	if l, echo := c.way(q, a); l == nil || echo && c.silentLately(q.now, a) {
		return false
	}
	if of := c.offers.ofAddr(a); of != nil && of.id == q.id && of.checked {
		return false
	}
	p := c.part(a)
	return p == nil || !p.ready.Has(a)
}

// mustCheck reports whether no offer of an address that can be asked for may leave
// unchecked: in careful mode and in the first lease time of a start without configuration.
func (c *Core) mustCheck(q *request) bool { return q.now.M < c.careful || q.now.M < c.zeroConf }

// mustAskFirst reports whether a is not to be offered at once: it is asked for by an echo
// request, for which there is no ready list, or the last client of a may use it still: some
// clients hold a lease under 122 s for 122 s, and a RELEASE may be forged.
func (c *Core) mustAskFirst(q *request, a dhcp4.Addr) bool {
	if _, echo := c.way(q, a); echo {
		return true
	}
	s := c.table.ByAddr(a)
	return s != 0 && (c.table.Rec(s).Lifetime < 122 || c.table.Rec(s).State == lease.Released)
}

// takeReady takes an address from a ready list: from pools that have never-used ones
// first (I4).
func (c *Core) takeReady(q *request) dhcp4.Addr {
	for _, unused := range [2]bool{true, false} {
		a := c.partsOf(q, func(p *part) dhcp4.Addr {
			if _, has := p.pool.NextUnused(p.conf.Range.First); has != unused {
				return 0
			}
			p.ready.Expire(q.now.M - readyFor)
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

// fillReady asks for what the ready lists need.
func (c *Core) fillReady(now lease.Instant, e *Effects) {
	for _, p := range c.direct {
		p.asking = 0
	}
	for a, ch := range c.checks.byAddr { // counted only: the order does not matter
		if ch.kind == forReady {
			if p := c.part(a); p != nil && !p.ready.Has(a) {
				p.asking++
			}
		}
	}
	for _, p := range c.direct {
		if l := c.linkOf(p.link); l != nil {
			c.fill(now, e, l, p)
		}
	}
}

// fill asks for free addresses until p's ready list is full, in the order of I4:
// never-used ones from the cursor on, then the longest free. What it steps over is on
// the list, asked for or passed over, and those are bounded.
func (c *Core) fill(now lease.Instant, e *Effects, l *ethernet, p *part) {
	p.ready.Expire(now.M - readyFor)
	for a, at := range p.ready.All {
		if at > now.M-reaskAfter {
			c.checks.next = min(c.checks.next, at+reaskAfter)
		} else if !c.askForReady(now, e, l, p, a) {
			c.checks.next = min(c.checks.next, at+readyFor+1) // the next question had no room
		}
	}
	room := p.ready.Need() - p.asking
	first, ok := p.pool.NextUnused(p.cursor)
	for a := first; ok && room > 0 && c.roomToAsk(); {
		if c.askForReady(now, e, l, p, a) {
			room--
		}
		p.cursor = a + 1
		if a, ok = p.pool.NextUnused(p.cursor); a == first {
			break
		}
	}
	for a := range p.pool.Freed {
		if room <= 0 || !c.roomToAsk() {
			break
		}
		if c.askForReady(now, e, l, p, a) {
			room--
		}
	}
}

// askForReady asks for a unless that is under way or fresh; it reports whether it
// did.
func (c *Core) askForReady(now lease.Instant, e *Effects, l *ethernet, p *part, a dhcp4.Addr) bool {
	if c.checks.byAddr[a] != nil || !c.roomToAsk() || p.ready.AskedSince(a, now.M-reaskAfter) {
		return false
	}
	c.ask(now, e, l, a, check{kind: forReady})
	return true
}
