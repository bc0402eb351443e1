package client

import (
	"bytes"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// forceRenew is the message type of FORCERENEW (RFC 3203). Without the authentication
// of RFC 3118 or 6704 anybody could make a client ask.
const forceRenew dhcp4.MessageType = 9

// reply is one received message and what is said of it.
type reply struct {
	p      *wire.Packet
	v      *dhcp4.View
	typ    dhcp4.MessageType
	server dhcp4.Addr // option 54
}

// receive is the way of one message: what is not for us or not an answer to what was
// asked is reported and has no other effect.
func (m *Machine) receive(p *wire.Packet) {
	r := reply{p: p, v: &m.view}
	why := m.judge(&r)
	if why == None {
		switch r.typ {
		case dhcp4.Offer:
			why = m.offered(&r)
		case dhcp4.Ack:
			why = m.acked(&r)
		default:
			why = m.naked(&r)
		}
	}
	if why != None {
		m.report(&r, EventIgnored, why)
	}
}

// report tells of a reply. Nothing of a message that cannot be read is told.
func (m *Machine) report(r *reply, kind EventKind, why Reason) {
	ev := Event{Kind: kind, Reason: why, Type: r.typ, Server: r.server, MAC: r.p.SrcMAC}
	if r.v.Bytes() != nil {
		ev.XID, ev.Addr = r.v.XID(), r.v.YIAddr()
	}
	m.event(&ev)
}

// promised reads what a reply promises, or says why that is none. Only a good one costs
// memory, so that a flood of others does not.
func (m *Machine) promised(r *reply) (l Lease, why Reason) {
	m.screen = reader{c: &m.c, v: r.v, l: &m.spare, refused: m.refused[:0]}
	why = m.screen.offer()
	m.refused = m.screen.refused[:0]
	if why == None {
		l, m.refused, why = ReadLease(&m.c, r.v, r.p.SrcMAC, m.refused)
	}
	return l, why
}

// judge says why a message is no answer to our question, or None. It allocates nothing.
func (m *Machine) judge(r *reply) Reason {
	v := r.v
	if v.Parse(r.p.Data) != nil {
		return Malformed
	}
	r.typ = v.MessageType()
	r.server, _ = v.Addr(dhcp4.OptDHCPServerIdentifier)
	switch {
	case v.Op() != 2:
		return NotReply
	case v.HType() != htypeEthernet || v.HLen() != 6 || wire.MAC(v.CHAddr()) != m.link.MAC:
		return OtherHardware
	case len(r.p.Data) > MaxACK:
		return LeaseTooLong
	case !v.Has(dhcp4.OptDHCPMessageType):
		return BOOTP
	case r.typ == forceRenew:
		return ForceRenew
	case r.typ != dhcp4.Offer && r.typ != dhcp4.Ack && r.typ != dhcp4.Nak:
		return UnknownType
	case m.ex.try == 0 || !m.expected(r.typ):
		return NotExpected
	case v.XID() != m.ex.xid:
		return OtherXID
	case !m.compose.ours(v):
		return OtherClientID
	case r.server == 0:
		return NoServerID
	case !r.server.IsUnicastHost():
		return LeaseBadServer
	case !m.c.allowed(r.server):
		return ServerDenied
	}
	return None
}

// expected reports whether a message of this type can be an answer in this state
// (RFC 2131 4.4, figure 5).
func (m *Machine) expected(t dhcp4.MessageType) bool {
	switch m.state {
	case Selecting:
		return t == dhcp4.Offer || t == dhcp4.Ack
	case Requesting, Rebooting, Renewing, Rebinding:
		return t == dhcp4.Ack || t == dhcp4.Nak
	}
	return false
}

// ours reports whether a message carries no client identifier or ours (RFC 6842 3). Two
// clients that share a chaddr are told apart by nothing else.
func (w *composer) ours(v *dhcp4.View) bool {
	if !v.Has(dhcp4.OptDHCPClientIdentifier) {
		return true
	}
	var scratch [256]byte
	id, ok := v.Get(dhcp4.OptDHCPClientIdentifier, scratch[:])
	return ok && bytes.Equal(id, w.clientID)
}

// fromChosen reports whether the reply is from the server that was asked; where all
// servers were, each will do.
func (m *Machine) fromChosen(r *reply) bool {
	switch m.state {
	case Requesting:
		return r.server == m.offer.lease.Server
	case Renewing:
		return r.server == m.lease.Server
	}
	return true
}

// allowed applies Allow and Deny.
func (c *Config) allowed(server dhcp4.Addr) bool {
	for _, p := range c.Deny {
		if p.Contains(server) {
			return false
		}
	}
	for _, p := range c.Allow {
		if p.Contains(server) {
			return true
		}
	}
	return len(c.Allow) == 0
}
