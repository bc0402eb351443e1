package checker

import (
	"bytes"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/policy"
	"lessor/internal/trace"
)

// The times of L1.
const (
	boundTime   = 10 * second
	checkMemory = 120 * second
	mostRounds  = 4 // DISCOVERs in vain although each was answered
)

// healing holds L1. Ten seconds after the faults stopped, everything that a conforming
// client asks for is answered within ten seconds, as far as there is an address for it:
// a DISCOVER by an OFFER, the REQUEST for what was offered by an ACK or a NAK; and no
// client begins anew again and again. Its own waits are no part of that, so each
// question counts by itself.
type healing struct {
	view   dhcp4.View
	healed int64 // since when; 0: not
	trying map[string]*trying
	sent   map[key]*trying // who sent a message with that xid and chaddr since then
	open   []*attempt      // questions without an answer, the oldest first
	offers map[offerKey]offerSeen
	heard  []discoverSeen // by any server, the oldest first

}

// trying is one client.
type trying struct {
	running bool
	offered bool // an OFFER came since its last DISCOVER
	rounds  int  // how often it began anew after an OFFER
	payload map[key][]byte
}

// attempt is a message that a server must answer.
type attempt struct {
	s    *server
	q    *request
	by   *trying
	done bool
	polT int64
}

type offerKey struct {
	s *server
	a dhcp4.Addr
}

type offerSeen struct {
	to ident
	t  int64
}

type discoverSeen struct {
	s *server
	k key
	t int64
}

func newHealing() *healing {
	return &healing{trying: map[string]*trying{}, sent: map[key]*trying{}, offers: map[offerKey]offerSeen{}}
}

func (r *healing) entry(c *Checker, e *trace.Entry) {
	r.overdue(c, e.T)
	switch b := e.Body.(type) {
	case *trace.Phase:
		r.healed, r.open = 0, nil
		if b.Name == trace.PhaseHealed {
			r.healed = e.T
		}
	case *trace.Client:
		r.client(e.Host, b)
	case *trace.Ended, *trace.StoreState, *trace.Served, *trace.Config, *trace.Disk, *trace.Clock:
		r.excuse(c.ledger.host.server)
	case *trace.Frame:
		r.frame(c, e, b)
	}
}

func (r *healing) end(*Checker) {}

func (r *healing) client(host string, b *trace.Client) {
	k := r.trying[host]
	if k == nil {
		k = &trying{payload: map[key][]byte{}}
		r.trying[host] = k
	}
	switch b.What {
	case trace.ClientStart:
		k.running, k.rounds, k.offered = true, 0, false
	case trace.ClientKilled, trace.ClientOff:
		k.running = false
		r.settle(k)
	case trace.ClientAccept:
		k.rounds, k.offered = 0, false
		r.settle(k)
	}
}

// settle: a client that has what it wants, or is gone, waits for nothing.
func (r *healing) settle(k *trying) {
	for _, a := range r.open {
		a.done = a.done || a.by == k
	}
}

// excuse: what a server had to answer is void after something happened to it.
func (r *healing) excuse(s *server) {
	for _, a := range r.open {
		a.done = a.done || a.s == s
	}
}

func (r *healing) frame(c *Checker, e *trace.Entry, f *trace.Frame) {
	l := c.ledger
	if l.msg != nil && f.Sent && l.host.server != nil {
		r.replied(l.host.server, l.msg, e.T)
		return
	}
	if r.healed == 0 {
		return
	}
	if l.request != nil {
		r.asked(l.host.server, l.request, e.T)
		return
	}
	k := r.trying[e.Host]
	if k == nil || !k.running || f.Payload == nil {
		return
	}
	v := &r.view
	switch {
	case f.Sent && f.DstPort == dhcp4.ServerPort && v.Parse(f.Payload) == nil && v.Op() == opRequest:
		r.spoke(c, k, f, v)
	case !f.Sent && f.DstPort == dhcp4.ClientPort && v.Parse(f.Payload) == nil && v.Op() == opReply && v.MessageType() == dhcp4.Offer:
		if _, ours := k.payload[keyOf(v.XID(), identOfView(v))]; ours {
			k.offered = true
		}
	}
}

func identOfView(v *dhcp4.View) ident {
	k := ident{htype: v.HType(), hw: v.CHAddr()}
	if allZero(k.hw) {
		k.hw = nil
	}
	return k
}

// spoke is a message that a conforming client sends.
func (r *healing) spoke(c *Checker, k *trying, f *trace.Frame, v *dhcp4.View) {
	t := v.MessageType()
	if t != dhcp4.Discover && t != dhcp4.Request {
		return
	}
	const most = 64
	if len(k.payload) >= most { // what it asked for long ago does not matter
		for old := range k.payload {
			delete(r.sent, old)
		}
		clear(k.payload)
	}
	id := keyOf(v.XID(), identOfView(v))
	r.sent[id], k.payload[id] = k, f.Payload
	if t != dhcp4.Discover || !k.offered {
		return
	}
	k.offered = false
	if k.rounds++; k.rounds == mostRounds && c.ledger.t >= r.healed+boundTime {
		c.breach("L1", "%s begins anew for the %dth time after an OFFER, and is not bound", name(identOfView(v)), mostRounds)
	}
}

// asked is a message that a server gets.
func (r *healing) asked(s *server, q *request, t int64) {
	if q.kind == dhcp4.Discover {
		r.hear(discoverSeen{s, keyOf(q.xid, q.who), t})
	}
	k := r.sent[keyOf(q.xid, q.who)]
	if k == nil || t < r.healed+boundTime || s.failing || s.pol == nil || q.net == nil || s.dropped(s.pol, q.net, q) != allowed {
		return
	}
	if p := k.payload[keyOf(q.xid, q.who)]; !bytes.Equal(p, q.frame.Payload) && !passedOn(p, q.frame.Payload) {
		return
	}
	switch {
	case q.kind == dhcp4.Discover:
	case q.form == selecting:
		o, ok := r.offers[offerKey{s, q.target}]
		if !ok || t-o.t > 50*second || !same(s.pol, o.to, q.who, q.target) {
			return
		}
	default:
		return
	}
	r.open = append(r.open, &attempt{s: s, q: q, by: k, polT: s.polT})
}

func (r *healing) hear(d discoverSeen) {
	r.heard = append(r.heard, d)
	if len(r.heard) > 1024 {
		r.heard = slices.DeleteFunc(r.heard, func(x discoverSeen) bool { return d.t-x.t > 30*second })
	}
}

// replied is an answer of a server.
func (r *healing) replied(s *server, m *message, t int64) {
	if m.kind == dhcp4.Offer {
		r.offers[offerKey{s, m.yiaddr}] = offerSeen{m.who, t}
	}
	for _, a := range r.open {
		if a.s == s && a.q.xid == m.xid && bytes.Equal(a.q.who.hw, m.who.hw) && (m.kind != dhcp4.Offer || a.q.kind == dhcp4.Discover) {
			a.done = true
		}
	}
}

// overdue looks at the questions that should be answered by now.
func (r *healing) overdue(c *Checker, now int64) {
	for len(r.open) > 0 {
		a := r.open[0]
		if !a.done && now <= a.q.at.T+boundTime+slack {
			return
		}
		r.open = r.open[1:]
		switch {
		case a.done || !a.by.running:
		case a.q.kind == dhcp4.Request:
			c.breach("L1", "%s does not answer the REQUEST of %s for %s, which it offered, within 10 s", a.s.host.name, name(a.q.who), a.q.target)
		case r.free(a) > r.others(a):
			c.breach("L1", "%s does not answer the DISCOVER of %s within 10 s, and an address is free", a.s.host.name, name(a.q.who))
		}
	}
}

// others is how many other clients asked for an address at about the same time, each of
// which may have been given one that does not show.
func (r *healing) others(a *attempt) int {
	seen := map[key]struct{}{}
	for _, d := range r.heard {
		if d.s == a.s && d.t > a.q.at.T-boundTime && d.t <= a.q.at.T+boundTime {
			seen[d.k] = struct{}{}
		}
	}
	delete(seen, keyOf(a.q.xid, a.q.who))
	return len(seen)
}

// free is how many addresses the client of an attempt could have been given: those that
// nothing known speaks against. It stops at a thousand.
func (r *healing) free(a *attempt) (n int) {
	for _, sn := range a.q.net.Subnets {
		for _, p := range sn.Pools {
			for x := p.Range.First; n < 1000; x++ {
				if r.freeFor(a, sn, x) {
					n++
				}
				if x == p.Range.Last {
					break
				}
			}
		}
	}
	return n
}

func (r *healing) freeFor(a *attempt, sn *policy.Subnet, x dhcp4.Addr) bool {
	s, q := a.s, a.q
	pool := sn.PoolOf(x)
	if sn.NeverOffer.Has(x) || pool == nil || sn.Network.ReservedBy(x) != nil || s.isOwn(x) || x == q.giaddr {
		return false
	}
	if s.admits(s.pol, q.net, q, pool) != allowed {
		return false
	}
	for _, p := range s.l.promises[x] {
		if !same(s.pol, p.who, q.who, x) {
			return false
		}
	}
	if rec := s.records[x]; rec != nil {
		if rec.unknown || rec.out != 0 || rec.now != nil && rec.now.Free > q.m-second && !same(s.pol, identOf(rec.now), q.who, x) {
			return false
		}
	}
	if o, ok := r.offers[offerKey{s, x}]; ok && o.t > q.at.T-s.pol.OfferLifetime-boundTime && !same(s.pol, o.to, q.who, x) {
		return false
	}
	m, heard := s.arpHeard[x]
	return (!heard || m < q.m-checkMemory) && !s.pings()
}
