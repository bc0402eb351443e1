package checker

import (
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/trace"
)

// choices holds the order of I8: a DISCOVER gets the client's reservation, else its live
// binding, else its last address, else the one it asks for, else a new one, of which
// those never used come first and then the one free for longest (I4). It looks at what
// is certainly free; what a change under way may explain is left in doubt.
type choices struct{}

func (*choices) entry(c *Checker, _ *trace.Entry) {
	p := c.ledger.reply
	if p == nil || p.msg.kind != dhcp4.Offer || p.addr == 0 || p.request == nil {
		return
	}
	s, q := p.server, p.request
	for _, o := range p.others {
		if o.form != q.form || o.net != q.net || o.wanted != q.wanted || o.giaddr != q.giaddr {
			return
		}
	}
	if q.net == nil || q.pol != s.pol || s.failing || s.failT >= q.at.T || s.linksT >= q.at.T || s.careful || s.pol.Careful {
		return
	}
	x := choice{s: s, q: q, p: p, m: c.ledger.m}
	if !x.reserved(c) && !x.live(c) && !x.last(c) && !x.requested(c) {
		x.newest(c)
	}
}

func (*choices) end(*Checker) {}

// choice is one OFFER that is judged.
type choice struct {
	s *server
	q *request
	p *reply
	m int64
}

// quiet is how long an ARP answer or a DECLINE can keep an address from new clients.
const quiet = 70 * second

// isFree reports whether a is certainly free for q's client: nobody has or had it within
// the last second, nobody has spoken from it, it is on offer to nobody else.
func (x *choice) isFree(a dhcp4.Addr, ownOffers bool) bool {
	s := x.s
	if r := s.records[a]; r != nil {
		if r.unknown || r.out != 0 || s.l.t-r.t <= second || r.now != nil && (r.now.State == lease.Declined || x.m-second <= r.now.Free) {
			return false
		}
	}
	if heard, ok := s.arpHeard[a]; ok && x.m-heard <= quiet || s.pings() {
		return false
	}
	if q := s.declines[a]; q != nil && x.m-q.m <= quiet || s.declineM != 0 && x.m-s.declineM <= quiet {
		return false
	}
	if ownOffers { // a reserved address is on offer to nobody else
		return true
	}
	of := s.offers.byAddr[a]
	if of != nil && of != x.own() && x.m <= of.ends+10*second || s.hiddenFromOthers(x.q, x.m) {
		return false
	}
	return true
}

// own is the offer that the reply itself makes.
func (x *choice) own() *offer {
	if a := x.s.offers.byKey[string(x.s.offerKey(x.q))]; a != nil {
		return a.offer
	}
	return nil
}

// reserved judges a client that has a reservation.
func (x *choice) reserved(c *Checker) bool {
	res := reservationOf(x.s.pol, x.q.net, x.q.who)
	if res == nil || res.Addr == 0 {
		return false
	}
	a := res.Addr
	if a == x.p.addr || a == x.q.giaddr || x.s.isOwn(a) {
		return true
	}
	if r := x.s.records[a]; r != nil && r.now != nil && bound(r.now, x.m+second) && same(x.s.pol, identOf(r.now), x.q.who, a) && !r.leaving || x.isFree(a, true) {
		c.doubt(x.s, []dhcp4.Addr{a}, "I8", "%s is offered to %v, whose reserved address %s is free or its own", x.p.addr, x.p.who, a)
	}
	return true
}

// recordsIn are the records of q's client in its network, live ones and others.
func (x *choice) recordsIn() (live, ended []dhcp4.Addr, sure bool) {
	for _, a := range x.s.recordsOf(x.s.pol, x.q.who) {
		r := x.s.records[a]
		if r == nil || x.q.net.Contains(a) == nil {
			continue
		}
		if r.unknown || r.leaving || x.s.l.t-r.t <= second {
			return nil, nil, false
		}
		switch {
		case r.now == nil || !carries(x.s.pol, r.now, x.q.who) || r.now.State == lease.Declined:
		case bound(r.now, x.m+second):
			live = append(live, a)
		case r.now.State == lease.Bound && x.m-second <= r.now.Free:
			return nil, nil, false
		default:
			ended = append(ended, a)
		}
	}
	return live, ended, true
}

// live judges a client that has a binding.
func (x *choice) live(c *Checker) bool {
	live, _, sure := x.recordsIn()
	if !sure {
		return true
	}
	if len(live) == 0 {
		return false
	}
	if slices.Contains(live, x.p.addr) {
		return true
	}
	for _, a := range live {
		if x.s.judge(x.s.pol, x.q.net, x.q, a) != allowed {
			continue
		}
		if len(live) < 32 {
			c.doubt(x.s, append(live, x.p.addr), "I8", "%s is offered to %v, which has %s", x.p.addr, x.p.who, a)
		}
		break
	}
	return true
}

// last judges a client that had an address and has none.
func (x *choice) last(c *Checker) bool {
	_, ended, _ := x.recordsIn()
	a := x.s.offers.byKey[string(x.s.offerKey(x.q))]
	if a == nil || a.earlier != nil && x.m <= a.earlier.ends+10*second {
		return true // what is on offer to it comes first
	}
	if len(ended) == 0 {
		return false
	}
	if len(ended) == 1 && ended[0] != x.p.addr && x.s.judge(x.s.pol, x.q.net, x.q, ended[0]) == allowed && x.isFree(ended[0], false) {
		c.doubt(x.s, []dhcp4.Addr{ended[0], x.p.addr}, "I8", "%s is offered to %v, whose last address %s is free", x.p.addr, x.p.who, ended[0])
	}
	return len(ended) > 0
}

// requested judges a client that asks for an address.
func (x *choice) requested(c *Checker) bool {
	a := x.q.wanted
	if a == 0 {
		return false
	}
	if a != x.p.addr && x.s.judge(x.s.pol, x.q.net, x.q, a) == allowed && x.isFree(a, false) {
		c.doubt(x.s, []dhcp4.Addr{a, x.p.addr}, "I8", "%s is offered to %v, which asks for %s, and that is free", x.p.addr, x.p.who, a)
	}
	return true
}

// newest judges a new address where no conflict check has a part in the choice.
func (x *choice) newest(c *Checker) {
	if x.s.pol.ConflictCheck || x.s.pol.EchoCheck || reservationOf(x.s.pol, x.q.net, x.q.who) != nil {
		return
	}
	got := x.s.records[x.p.addr]
	if got == nil || got.now == nil || got.unknown || x.m < got.now.Free {
		return // never used, the best there is; or not free, which others judge
	}
	var better dhcp4.Addr
	eachFree(x.q.net, func(a dhcp4.Addr) bool {
		if a == x.p.addr || x.s.judge(x.s.pol, x.q.net, x.q, a) != allowed || !x.isFree(a, false) {
			return false
		}
		r := x.s.records[a]
		if r == nil || r.now == nil && r.t == 0 || r.now != nil && r.now.Free < got.now.Free-second {
			better = a
		}
		return better != 0
	})
	if better != 0 {
		c.doubt(x.s, []dhcp4.Addr{better, x.p.addr}, "I4", "%s is offered to the newcomer %v, and %s was never used or is free for longer", x.p.addr, x.p.who, better)
	}
}

// eachFree calls fn with the addresses of a network's pools, the first few hundred of
// each, until it returns true.
func eachFree(n *policy.Network, fn func(dhcp4.Addr) bool) {
	const most = 512
	for _, sn := range n.Subnets {
		for _, pool := range sn.Pools {
			for i := range min(pool.Range.Size(), most) {
				if a := pool.Range.First + dhcp4.Addr(i); sn.PoolOf(a) == pool && fn(a) {
					return
				}
			}
		}
	}
}
