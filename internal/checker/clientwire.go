package checker

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// maxACK is the longest message that Lessor's client takes.
const maxACK = 4096

// frame is something that a client sent or got.
func (r *clients) frame(c *Checker, s *station, now int64, f *trace.Frame) {
	if f.ARP != nil {
		s.arp(now, f)
		return
	}
	v := &r.view
	switch {
	case f.Payload == nil:
	case f.Sent && f.SrcPort != dhcp4.ServerPort:
		if v.Parse(f.Payload) == nil && v.Op() == opRequest {
			s.send(c, now, v)
		}
	case !f.Sent && f.DstPort == dhcp4.ClientPort && s.running:
		if v.Parse(f.Payload) == nil && v.Op() == opReply {
			s.receive(now, f, v)
		}
	}
}

// arp notes probes of its own, and another user of an address that it is checking.
func (s *station) arp(now int64, f *trace.Frame) {
	a := f.ARP
	if f.Sent {
		if a.Op == 1 && a.SenderIP == 0 {
			if s.probed.addr != a.TargetIP {
				s.probed.addr, s.probed.times = a.TargetIP, s.probed.times[:0]
			}
			if len(s.probed.times) >= 64 {
				s.probed.times = s.probed.times[:copy(s.probed.times, s.probed.times[32:])]
			}
			s.probed.times = append(s.probed.times, now)
		}
		return
	}
	if s.state != "CHECKING" || !s.running || s.accepted == 0 || a.SenderMAC == s.mac || a.SenderMAC.IsMulticast() || a.SenderMAC == (wire.MAC{}) {
		return
	}
	if a.SenderIP == s.accepted || a.Op == 1 && a.SenderIP == 0 && a.TargetIP == s.accepted {
		s.conflict, s.since = s.accepted, now
	}
}

// of is the exchange with a transaction id, or nil.
func (s *station) of(xid uint32) *exchange {
	for i := len(s.asked) - 1; i >= 0; i-- {
		if s.asked[i].xid == xid {
			return &s.asked[i]
		}
	}
	return nil
}

// send judges one message of the client's.
func (s *station) send(c *Checker, now int64, v *dhcp4.View) {
	q := question{typ: v.MessageType(), ciaddr: v.CIAddr(), rapid: v.Has(dhcp4.OptRapidCommit)}
	q.requested, _ = v.Addr(dhcp4.OptDHCPRequestedAddress)
	q.server, _ = v.Addr(dhcp4.OptDHCPServerIdentifier)
	if v.HLen() == 6 {
		s.mac = wire.MAC(v.CHAddr())
	}
	used := s.onLink
	if !s.running || s.end != lease.Never && now >= s.end+offTime {
		used = 0 // the kernel takes it off, or its staying is reported already
	}
	switch q.typ {
	case dhcp4.Discover:
		if used != 0 {
			c.breach("I20", "DISCOVER with %s on the interface", used)
		}
	case dhcp4.Request:
		s.request(c, now, v.XID(), &q)
	case dhcp4.Release:
		s.speaks(c, now, q.ciaddr)
		delete(s.grants, q.ciaddr)
		return
	case dhcp4.Decline:
		s.decline(c, now, q.requested, used)
		return
	default:
		return
	}
	if now-s.declined < afterDecline-slack {
		c.breach("I20", "%v %d ms after a DECLINE", q.typ, (now-s.declined)/1e6)
	}
	if n := len(s.declines); n >= 10 && now-s.declines[n-10] < 300*lease.Second && now-s.declined < 60*lease.Second-slack {
		c.breach("I20", "%v within a minute after ten conflicts", q.typ)
	}
	s.transmitted(c, now, v.XID(), &q)
}

// request judges what a REQUEST asks for: what was offered, or what is its own.
func (s *station) request(c *Checker, now int64, xid uint32, q *question) {
	if q.server == 0 {
		s.speaks(c, now, q.ciaddr|q.requested)
		if q.ciaddr != 0 && s.onLink != q.ciaddr {
			c.breach("I20", "extends %s, which is not on the interface", q.ciaddr)
		}
		return
	}
	for i := range s.offers {
		if s.offers[i] == (offerGot{xid, q.requested, q.server}) {
			return
		}
	}
	c.breach("I20", "REQUEST to %s for %s, which it did not offer", q.server, q.requested)
}

// speaks holds that an address that a message claims is the client's.
func (s *station) speaks(c *Checker, now int64, a dhcp4.Addr) {
	if g := s.grants[a]; g == nil || g.until != lease.Never && now >= g.until+slack {
		c.breach("I20", "speaks of %s, which it was not given, or not any more", a)
	}
}

func (s *station) decline(c *Checker, now int64, a, used dhcp4.Addr) {
	if used != 0 {
		c.breach("I20", "DECLINE with %s on the interface", used)
	}
	if s.conflict == a {
		s.conflict = 0
	}
	s.declined = now
	if len(s.declines) >= 20 {
		s.declines = s.declines[:copy(s.declines, s.declines[10:])]
	}
	s.declines = append(s.declines, now)
	delete(s.grants, a)
	s.asking = false
}

// transmitted notes a DISCOVER or REQUEST, and judges how soon it repeats the last one.
func (s *station) transmitted(c *Checker, now int64, xid uint32, q *question) {
	x := s.of(xid)
	if x == nil {
		if len(s.asked) >= mostExchanges {
			s.asked = s.asked[:copy(s.asked, s.asked[mostExchanges/2:])]
		}
		s.asked = append(s.asked, exchange{xid: xid, first: now})
		x = &s.asked[len(s.asked)-1]
	}
	x.last = *q
	s.asking = q.typ == dhcp4.Request
	if q.typ == dhcp4.Discover {
		s.pace(c, now-x.lastDiscover, x.discovers, q)
		x.discovers, x.lastDiscover = x.discovers+1, now
		return
	}
	s.pace(c, now-x.lastRequest, x.requests, q)
	if x.requests == 0 {
		x.firstRequest = now
	}
	x.requests, x.lastRequest = x.requests+1, now
}

// pace holds that one question is never repeated faster than RFC 2131 4.1 and 4.4.5
// allow; n is how often it was sent before.
func (s *station) pace(c *Checker, gap int64, n int, q *question) {
	if n == 0 {
		return
	}
	least := int64(4)<<min(n-1, 4)*lease.Second - lease.Second
	switch {
	case q.ciaddr == 0 || s.lifetime == lease.Infinite:
	case s.lifetime < 240:
		least = lease.Second
	default:
		least = 60 * lease.Second
	}
	if gap < least-slack {
		c.breach("I20", "%v repeated after %d ms, %d at least", q.typ, gap/1e6, least/1e6)
	}
}

// receive notes what a message can have promised or refused. One whose transaction,
// hardware address, identifier or server is wrong can neither.
func (s *station) receive(now int64, f *trace.Frame, v *dhcp4.View) {
	if v.HLen() != 6 || v.HType() != 1 || wire.MAC(v.CHAddr()) != s.mac || len(f.Payload) > maxACK {
		return
	}
	server, ok := v.Addr(dhcp4.OptDHCPServerIdentifier)
	x := s.of(v.XID())
	if !ok || x == nil || !s.ownID(v) {
		return
	}
	switch v.MessageType() {
	case dhcp4.Offer:
		if len(s.offers) >= mostOffersKept {
			s.offers = s.offers[:copy(s.offers, s.offers[mostOffersKept/2:])]
		}
		s.offers = append(s.offers, offerGot{v.XID(), v.YIAddr(), server})
	case dhcp4.Ack:
		s.ack(now, x, v, server)
	case dhcp4.Nak:
		s.naked(now, x, server)
	}
}

// ownID reports whether the message carries no client identifier or the client's.
func (s *station) ownID(v *dhcp4.View) bool {
	if !v.Has(dhcp4.OptDHCPClientIdentifier) {
		return true
	}
	var buf [256]byte
	id, ok := v.Get(dhcp4.OptDHCPClientIdentifier, buf[:])
	return ok && (s.clientID == nil || string(id) == string(s.clientID))
}

// ack notes until when an ACK gives an address: the lease counts from the first
// transmission of the REQUEST (RFC 2131 4.4.1).
func (s *station) ack(now int64, x *exchange, v *dhcp4.View, server dhcp4.Addr) {
	t, ok := v.Uint32(dhcp4.OptDHCPLeaseTime)
	from := x.firstRequest
	switch {
	case !ok || t == 0:
		return
	case x.last.typ == dhcp4.Discover:
		if !x.last.rapid || !v.Has(dhcp4.OptRapidCommit) {
			return
		}
		from = x.first
	case x.last.server != 0 && x.last.server != server:
		return
	case v.YIAddr() != x.last.requested && v.YIAddr() != x.last.ciaddr:
		return
	}
	g := s.grants[v.YIAddr()]
	if s.state == "RENEWING" && g != nil && g.server != 0 && g.server != server {
		return // only the server that gave the lease may extend it
	}
	until := lease.Never
	if t != lease.Infinite {
		until = lease.After(from, t)
	}
	if g == nil {
		g = &granted{until: until}
		s.grants[v.YIAddr()] = g
	}
	g.until, g.lifetime, g.newest = max(g.until, until), t, server
	s.acked, s.ackedAt = v.YIAddr(), now
}

// naked notes a NAK that the client cannot but believe: to its last message, a REQUEST,
// from the server that it named or that gave it the lease.
func (s *station) naked(now int64, x *exchange, server dhcp4.Addr) {
	if !s.asking || x != &s.asked[len(s.asked)-1] || !server.IsUnicastHost() {
		return
	}
	a := x.last.requested | x.last.ciaddr
	switch s.state {
	case "REQUESTING":
		if x.last.server != server {
			return
		}
	case "RENEWING", "REBINDING", "REBOOTING":
		if g := s.grants[a]; g == nil || g.server != server {
			return
		}
	default:
		return
	}
	s.asking = false
	delete(s.grants, a)
	s.refused, s.noSince = a, now
}
