package checker

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/trace"
)

// promise is one S-interval (docs/invariants.md, Bound as the server sees it): all that
// a server's ACKs promised one client of one address.
type promise struct {
	who      ident
	addr     dhcp4.Addr
	server   *server
	begin    mark   // the first ACK
	lifetime uint32 // of the newest ACK
	asked    int64  // M at which the REQUEST of the newest ACK came
	end      int64  // of S, on M of server; lease.Never: none
	wall     int64  // wall clock of server minus true time when the newest ACK was decided

	leaving   bool // a RELEASE or DECLINE that counts came, or an operator's override: S ends when that is durable
	held      bool // an operator released it
	rebooted  bool // the server's machine has booted since the newest ACK
	unclaimed bool // I1 is not claimed for it any more: the store or the clock was lost
}

// runs reports whether S goes on at true time t.
func (p *promise) runs(t int64) bool {
	return p.end == lease.Never || p.server.host.clock.at(t) < p.end-slack
}

// reply is a message that a server sends, and what the account said before it.
type reply struct {
	msg     *message
	server  *server
	request *request   // that it answers; nil: none is known
	others  []*request // all that it can answer, request among them
	who     ident      // of the client
	addr    dhcp4.Addr // yiaddr

	mine  *promise // of this client and server, before this reply; it may have ended
	rival *promise // of another client, that still runs; nil: none
	offer *offer   // of the address to another client, that is still live; nil: none
}

// sent takes a reply that s sends.
func (s *server) sent(e *trace.Entry, m *message) *reply {
	r := &s.l.replyIs
	*r = reply{msg: m, server: s, who: m.who, addr: m.yiaddr, others: s.candidates(m)}
	if len(r.others) > 0 {
		r.request = r.others[0]
		r.who = r.request.who
		r.request.fate = answered
	}
	if m.yiaddr == 0 {
		return r
	}
	s.lookUp(r, e.T)
	switch m.kind {
	case dhcp4.Ack:
		s.promise(r, e)
	case dhcp4.Offer:
		r.offer = s.offers.rival(s, r)
		if !s.failing {
			s.offers.made(s, r, s.l.m)
		}
	}
	return r
}

// isSame is same under the configuration in force now or when r's request came.
func (r *reply) isSame(holder ident) bool {
	p := r.server.pol
	return same(p, holder, r.who, r.addr) || r.request != nil && r.request.pol != p && same(r.request.pol, holder, r.who, r.addr)
}

// lookUp finds the promises that matter to r, and drops what is long over.
func (s *server) lookUp(r *reply, t int64) {
	ps := s.l.promises[r.addr]
	n := 0
	for _, p := range ps {
		if !p.runs(t) && !p.unclaimed && !p.runs(t-60*second) {
			continue
		}
		ps[n] = p
		n++
		switch {
		case r.isSame(p.who):
			if p.server == s {
				r.mine = p
			}
		case p.runs(t) && !p.unclaimed:
			r.rival = p
		}
	}
	clear(ps[n:])
	if n < len(ps) {
		s.l.promises[r.addr] = ps[:n]
	}
}

// promise enters what an ACK promises.
func (s *server) promise(r *reply, e *trace.Entry) {
	t := r.msg.lifetime
	if !r.msg.timed {
		return
	}
	rec := s.record(r.addr)
	if b := rec.standing(r); b != nil && b != rec.now {
		return // it was given up before the ACK could leave
	}
	asked, wall := s.asOf(r, e)
	end := lease.Never
	if t != lease.Infinite {
		end = asked + (int64(t)+int64(s.graceFor(r, asked, t)))*second
	}
	p := r.mine
	if p == nil {
		p = &promise{addr: r.addr, server: s, begin: s.here(e), end: end}
		s.l.promises[r.addr] = append(s.l.promises[r.addr], p)
	} else {
		// An infinite lease that was shortened is over once its client extends it.
		shortened := p.end == lease.Never && r.request != nil && r.request.ciaddr != 0
		if old := *p; !p.runs(e.T) || p.leaving || shortened {
			*p = promise{addr: r.addr, server: s, begin: s.here(e), end: end, who: old.who}
		}
		p.end = max(p.end, end)
		p.held, p.unclaimed, p.rebooted = false, false, false
	}
	p.lifetime, p.asked, p.wall = t, asked, wall
	p.who = s.keysAfter(r, p.who)
}

// asOf is when the request of r came, on M, and how far the wall clock was ahead of true
// time then. Without a request it is now, or what the record says.
func (s *server) asOf(r *reply, e *trace.Entry) (asked, wall int64) {
	wall = s.host.clock.wall(e.T) - e.T
	if r.request != nil {
		return r.request.m, wall
	}
	asked = s.l.m
	if b := s.record(r.addr).now; b != nil && b.End != lease.Never && b.Lifetime == r.msg.lifetime {
		asked = min(asked, b.End-int64(b.Lifetime)*second)
	}
	return asked, wall
}

// graceFor is G(t) for an ACK: of the configuration in force, and, where the ACK repeats
// the time that a record has left, no more than that record has.
func (s *server) graceFor(r *reply, asked int64, t uint32) uint32 {
	g := grace(s.pol, t)
	if r.request != nil && r.request.pol != s.pol {
		g = min(g, grace(r.request.pol, t))
	}
	b := s.record(r.addr)
	fresh := b.now != nil && b.now.End != lease.Never && b.now.End-int64(b.now.Lifetime)*second >= asked-slack
	if !fresh && b.pol != s.pol {
		g = min(g, grace(b.pol, t))
	}
	return g
}

// keysAfter are the keys that the holder is known by after r: those of the record where it
// is the client's, else those of the request and what it does not say anew.
func (s *server) keysAfter(r *reply, old ident) ident {
	if b := s.record(r.addr).now; b != nil && b.State == lease.Bound && r.isSame(identOf(b)) {
		return identOf(b)
	}
	k := r.who
	if k.id == nil {
		k.id = old.id
	}
	return k
}

// heard takes a request that may end a promise or an offer.
func (s *server) heard(q *request) {
	switch q.kind {
	case dhcp4.Discover:
		if s.discover != nil && s.discover.fate == waits {
			s.silentM = s.discover.m
		}
		s.discover = q
		s.offers.asked(s, q)
	case dhcp4.Request:
		s.offers.answeredBy(s, q)
	case dhcp4.Release:
		if q.ciaddr != 0 && (q.frame.Src == q.ciaddr || q.giaddr != 0) && s.names(q) && s.comesFrom(q) {
			s.leave(q, q.ciaddr)
		}
	case dhcp4.Decline:
		s.declineM = q.m
		if s.names(q) && q.wanted != 0 && (q.net == nil || q.net.Contains(q.wanted) != nil) {
			s.leave(q, q.wanted)
			s.declines[q.wanted] = q
		}
		s.offers.answeredBy(s, q)
	}
}

// leave marks what the client of q holds of a: it gives it up.
func (s *server) leave(q *request, a dhcp4.Addr) {
	for _, p := range s.l.promises[a] {
		if p.server == s && same(s.pol, p.who, q.who, a) {
			p.leaving = true
		}
	}
	if r := s.records[a]; r != nil && r.now != nil && same(s.pol, identOf(r.now), q.who, a) {
		r.leaving = true
	}
}

// names reports whether q's server identifier is one of s.
func (s *server) names(q *request) bool {
	return s.isOurs(q.serverID) || q.serverID != 0 && q.serverID == q.override
}

// comesFrom reports whether a RELEASE came in where its client can be: on the link of
// its address, or, when its binding was made through a relay agent and no link of ours
// is in that network, anywhere.
func (s *server) comesFrom(q *request) bool {
	if s.pol == nil || q.net == nil {
		return true
	}
	if s.networkOfLink(q.frame) == q.net {
		return true
	}
	for i := range s.links {
		if s.pol.NetworkOfLink(&s.links[i]) == q.net {
			return false
		}
	}
	b := s.record(q.ciaddr).now
	return b == nil || b.GIAddr != 0
}

// left ends the promises of a whose client gave it up, now that this is durable.
func (s *server) left(a dhcp4.Addr) {
	s.keepPromises(a, func(p *promise) bool { return !p.leaving })
}

// keepPromises drops those promises of s of address a that keep does not want.
func (s *server) keepPromises(a dhcp4.Addr, keep func(*promise) bool) {
	ps := s.l.promises[a]
	n := 0
	for _, p := range ps {
		if p.server == s && !keep(p) {
			s.l.gaveUp[a] = s.l.t
			continue
		}
		ps[n] = p
		n++
	}
	clear(ps[n:])
	s.l.promises[a] = ps[:n]
}

// holds finds a promise of s to k of address a that runs and that nothing is known to
// end, or nil.
func (s *server) holds(p *policy.Policy, k ident, a dhcp4.Addr, t int64) *promise {
	for _, h := range s.l.promises[a] {
		if h.server == s && !h.leaving && !h.held && !h.unclaimed && h.runs(t) && same(p, h.who, k, a) {
			return h
		}
	}
	return nil
}

// promisesAfterStart brings the promises of s in line with what its new process loaded.
// A record that is gone is the store's affair (I16), but in careful mode nothing is
// claimed for it. In another boot the end follows from the wall clock, whose error the
// claim of I1 bounds by a second, with as much drift as the lease had.
func (s *server) promisesAfterStart(b *trace.Started) {
	present := s.present.W - s.l.t // how far the present of this start is ahead of true time
	for a := range s.l.promises {  // each by itself: the order does not matter
		s.keepPromises(a, func(p *promise) bool { return !s.resumed(a, p, b, present) })
	}
}

// resumed brings one promise in line; it reports whether it is over.
func (s *server) resumed(a dhcp4.Addr, p *promise, b *trace.Started, present int64) bool {
	r := s.records[a]
	if r == nil || r.now == nil {
		p.unclaimed = p.unclaimed || b.Careful
		return p.leaving
	}
	if p.leaving && r.now.State != lease.Bound {
		return true
	}
	if !p.rebooted {
		return false
	}
	if present-p.wall > second+slack {
		p.unclaimed = true
	}
	tolerance := 3*second + int64(min(p.lifetime, 1<<30))*second/1000
	if p.end != lease.Never && r.now.Free < p.end && r.now.Free > p.end-tolerance {
		p.end = r.now.Free
	}
	return false
}
