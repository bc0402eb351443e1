package checker

import (
	"lessor/dhcp4"
	"lessor/internal/policy"
	"lessor/internal/trace"
)

// moves holds what I8 and I9 say of a reservation that came or moved under a client that has
// another address: at its next request the client is sent to the reserved address as soon as
// that is free, and it is not sent to and fro.
type moves struct{ clients map[moveKey]*moved }

type moveKey struct {
	s *server
	k string
}

// moved is how it went with a client that has a reservation.
type moved struct {
	polT, linksT int64
	refused      bool // a NAK, because its place is its reserved address
	rounds       int  // it got another address after one
}

const mostMoved = 4096

func newMoves() *moves { return &moves{clients: map[moveKey]*moved{}} }

func (r *moves) entry(c *Checker, _ *trace.Entry) {
	p := c.ledger.reply
	if p == nil || len(p.others) != 1 || p.request.kind != dhcp4.Request {
		return
	}
	s, q := p.server, p.request
	if q.net == nil || q.pol != s.pol || s.polT >= q.at.T-second || s.linksT >= q.at.T-second || s.failing || s.failT >= q.at.T {
		return
	}
	res := reservationOf(s.pol, q.net, q.who)
	if res == nil || res.Addr == 0 || s.isOwn(res.Addr) || res.Addr == q.giaddr || len(s.remembered(q)) > 1 {
		return
	}
	switch p.msg.kind {
	case dhcp4.Nak:
		if q.target != res.Addr && s.pol.Authoritative && s.judge(s.pol, q.net, q, q.target) == reservedElse {
			r.of(s, q).refused = true
		}
	case dhcp4.Ack:
		r.acknowledged(c, s, p, res)
	}
}

func (r *moves) end(*Checker) {}

// of is the account of q's client under the configuration in force.
func (r *moves) of(s *server, q *request) *moved {
	k := moveKey{s, string(s.offerKey(q))}
	m := r.clients[k]
	if m == nil || m.polT != s.polT || m.linksT != s.linksT {
		if len(r.clients) >= mostMoved {
			clear(r.clients)
		}
		m = &moved{polT: s.polT, linksT: s.linksT}
		r.clients[k] = m
	}
	return m
}

func (r *moves) acknowledged(c *Checker, s *server, p *reply, res *policy.Reservation) {
	q, a := p.request, res.Addr
	m := r.of(s, q)
	if p.addr == a {
		*m = moved{polT: m.polT, linksT: m.linksT}
		return
	}
	_, heard := s.arpHeard[a]
	if !heard && s.declines[a] == nil && s.freeSince(q, a) {
		c.doubt(s, []dhcp4.Addr{a, p.addr}, "I8", "%v asks for %s and keeps it, and its reserved address %s is free", p.who, p.addr, a)
	}
	if m.refused {
		m.refused = false
		if m.rounds++; m.rounds == 2 && !heard && s.declines[a] == nil {
			c.breach("I8", "%v was sent away twice for its reserved address %s, and gets %s again", p.who, a, p.addr)
		}
	}
}

// freeSince reports whether nobody has had a since before q came, as far as is durable.
func (s *server) freeSince(q *request, a dhcp4.Addr) bool {
	for _, p := range s.l.promises[a] {
		if p.server == s && p.runs(q.at.T-second) {
			return false
		}
	}
	r := s.records[a]
	return r == nil || !r.unknown && r.out == 0 && r.t < q.at.T-second && (r.now == nil || r.now.Free < q.m-second)
}
