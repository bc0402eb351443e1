package server

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/wire"
)

// udpOverhead is the size of the IP and UDP headers in front of a message.
const udpOverhead = 28

// replyScratch is where a reply's options are put together.
type replyScratch struct {
	configured
	boot  bootFields
	opts  []dhcp4.Option
	fixed [5][4]byte // values of the options that the protocol itself needs
	seen  codeSet    // codes that are in opts, or have nothing to send

	saidBuf, nameBuf, fqdn [255]byte // of option 81
}

// add appends an option, once.
func (r *replyScratch) add(code dhcp4.Code, data []byte) {
	if r.seen.has(code) {
		return
	}
	r.seen.add(code)
	r.opts = append(r.opts, dhcp4.Option{Code: code, Data: data})
}

// number appends an option of n octets, held in place i.
func (r *replyScratch) number(i int, code dhcp4.Code, v uint32, n int) {
	b := dhcp4.Addr(v << (32 - 8*n)).As4()
	r.fixed[i] = b
	r.add(code, r.fixed[i][:n])
}

// begin starts the options of a reply: message type and server identifier.
func (r *replyScratch) begin(t dhcp4.MessageType, server dhcp4.Addr) {
	r.opts, r.seen = r.opts[:0], codeSet{}
	r.number(0, dhcp4.OptDHCPMessageType, uint32(t), 1)
	r.number(1, dhcp4.OptDHCPServerIdentifier, uint32(server), 4)
}

// lease adds the times of a lease of t seconds; T1 and T2 are 1/2 and 7/8 of it.
func (r *replyScratch) lease(t uint32) {
	r.number(2, dhcp4.OptDHCPLeaseTime, t, 4)
	if t1, t2, ok := lease.Timers(t); ok {
		r.number(3, dhcp4.OptDHCPRenewalTime, t1, 4)
		r.number(4, dhcp4.OptDHCPRebindingTime, t2, 4)
	}
}

func (c *Core) replyOffer(q *request, e *Effects, a dhcp4.Addr, t uint32) {
	c.reply.begin(dhcp4.Offer, c.serverID(q, a))
	c.reply.lease(t)
	c.echoClientID(q)
	c.lay(q, a)
	c.putFQDN(q)
	c.putBoot(q, a)
	c.parameters(q)
	c.send(q, e, dhcp4.Offer, a, 0, 0)
}

func (c *Core) replyAck(q *request, e *Effects, a dhcp4.Addr, t uint32, after uint64) {
	c.reply.begin(dhcp4.Ack, c.serverID(q, a))
	c.reply.lease(t)
	if q.kind == dhcp4.Discover {
		c.reply.add(dhcp4.OptRapidCommit, nil)
	}
	c.echoClientID(q)
	c.lay(q, a)
	c.putFQDN(q)
	c.putBoot(q, a)
	c.parameters(q)
	c.send(q, e, dhcp4.Ack, a, q.ciaddr, after)
	if t != lease.Infinite {
		e.Replies[len(e.Replies)-1].End = lease.After(c.latest, t)
	}
}

func (c *Core) replyInform(q *request, e *Effects) {
	c.reply.begin(dhcp4.Ack, c.serverID(q, q.ciaddr))
	c.echoClientID(q)
	c.lay(q, q.ciaddr)
	c.parameters(q)
	c.send(q, e, dhcp4.Ack, 0, q.ciaddr, 0)
}

// nakIfAuthoritative refuses an address, or is silent where others may answer.
func (c *Core) nakIfAuthoritative(q *request, e *Effects, why Reason, s lease.Slot) Reason {
	c.tr.refuse(why)
	if !c.pol.Authoritative {
		return NotAuthoritative
	}
	return c.nak(q, e, why, s)
}

// nak refuses an address. s is the record that the refusal rests on, 0 for none: the
// NAK waits until the store has said that the record still stands.
func (c *Core) nak(q *request, e *Effects, why Reason, s lease.Slot) Reason {
	c.tr.refuse(why)
	if !c.nakDestination(q, new(wire.Send)) {
		return NoReplyPath
	}
	after := uint64(0)
	if s != 0 && why != NakWrongNetwork {
		after = c.compare(e, s)
	}
	c.reply.begin(dhcp4.Nak, c.serverID(q, 0))
	c.echoClientID(q)
	c.reply.add(dhcp4.OptDHCPMessage, []byte(reasons[why].text))
	c.send(q, e, dhcp4.Nak, 0, 0, after)
	c.count.Naks[why]++
	e.Events = append(e.Events, Event{Kind: EventNak, Type: q.kind, Reason: why, After: after, Link: q.pkt.Link,
		Addr: max(q.ciaddr, q.wanted), XID: q.view.XID(), HType: q.htype, HW: e.copy(q.hw),
		ClientID: e.copy(q.rawID), GIAddr: q.giaddr})
	return None
}

// echoClientID returns option 61 as it came (RFC 6842 3), and 118 if it chose the
// network (RFC 3011 2), whether or not the client asks for it.
func (c *Core) echoClientID(q *request) {
	if q.subnet != nil {
		c.reply.add(dhcp4.OptSubnetSelection, q.subnet)
	}
	if len(q.rawID) > 0 {
		c.reply.add(dhcp4.OptDHCPClientIdentifier, q.rawID)
	}
}

// serverID is the server identifier for a reply with address a: the one that the relay
// agent wants (RFC 5107), else the configured one, else the one by which the client named us, for it ignores any other (RFC 2131 4.4.1),
// else our address in a's subnet, else the first of the interface.
func (c *Core) serverID(q *request, a dhcp4.Addr) dhcp4.Addr {
	switch {
	case q.override != 0:
		return q.override
	case c.pol.ServerIdentifier != 0:
		return c.pol.ServerIdentifier
	case q.kind != dhcp4.Request:
	case c.isOwn(q.serverID):
		return q.serverID
	case q.ciaddr != 0 && q.giaddr == 0 && q.ucast && c.isOwn(q.pkt.Dst):
		return q.pkt.Dst
	}
	return c.addressFor(q, a)
}

// sourceFor is our own address to send from: that which the packet was sent to, else our
// address in a's subnet, else the first of the interface.
func (c *Core) sourceFor(q *request, a dhcp4.Addr) dhcp4.Addr {
	if q.ucast && c.isOwn(q.pkt.Dst) {
		return q.pkt.Dst
	}
	return c.addressFor(q, a)
}

// addressFor is our address in a's subnet, else the first of the interface.
func (c *Core) addressFor(q *request, a dhcp4.Addr) dhcp4.Addr {
	if sn := c.pol.SubnetOf(a); a != 0 && sn != nil {
		for _, p := range q.link.Addrs {
			if sn.Prefix.Contains(p.Addr) {
				return p.Addr
			}
		}
	}
	return q.link.Addrs[0].Addr
}

// send writes the message and where it goes.
func (c *Core) send(q *request, e *Effects, t dhcp4.MessageType, yiaddr, ciaddr dhcp4.Addr, after uint64) {
	h := dhcp4.Header{
		Op: bootReply, HType: q.view.HType(), HLen: q.view.HLen(), XID: q.view.XID(), Flags: q.view.Flags(),
		CIAddr: ciaddr, YIAddr: yiaddr, GIAddr: q.giaddr, CHAddr: q.view.CHAddr16(),
	}
	if yiaddr != 0 {
		h.SIAddr, h.SName, h.File = c.reply.boot.siaddr, c.reply.boot.sname, c.reply.boot.file
	}
	r := Reply{Type: t, After: after}
	r.Link, r.SrcPort = q.pkt.Link, dhcp4.ServerPort
	r.Src = c.sourceFor(q, yiaddr)
	if t == dhcp4.Nak {
		c.nakDestination(q, &r.Send)
		if q.giaddr != 0 {
			h.Flags |= dhcp4.FlagBroadcast // the agent is to broadcast it (RFC 2131 4.3.2)
		}
	} else {
		destination(q, yiaddr, &r.Send)
	}
	limit := 576
	if n, ok := q.view.Uint16(dhcp4.OptDHCPMaxMessageSize); ok {
		limit = max(limit, int(n))
	}
	limit = min(limit, q.link.MTU) - udpOverhead
	r.Data = e.message(&h, c.reply.opts, q.agent, limit)
	e.Replies = append(e.Replies, r)
	c.count.Sent[t]++
	c.tr.sends(c, q, &r)
}

// message writes a message into the memory of e.
func (e *Effects) message(h *dhcp4.Header, opts []dhcp4.Option, agent []byte, limit int) []byte {
	need := max(limit, dhcp4.MinReply)
	if cap(e.arena)-len(e.arena) < need {
		e.arena = make([]byte, 0, max(2*cap(e.arena), 1<<16, need))
	}
	n := len(e.arena)
	e.arena, _ = dhcp4.AppendMessage(e.arena, h, opts, agent, limit)
	return e.arena[n:len(e.arena):len(e.arena)]
}

// destination is where OFFER and ACK go (RFC 2131 4.1): to the relay agent; else to
// ciaddr; else broadcast or to the client's hardware address, as the broadcast bit
// says.
func destination(q *request, yiaddr dhcp4.Addr, s *wire.Send) {
	s.DstPort = dhcp4.ClientPort
	switch {
	case q.giaddr != 0:
		s.Dst, s.DstPort = q.giaddr, q.agentPort()
	case q.ciaddr != 0 && q.routed:
		s.Dst = q.ciaddr
	case q.ciaddr != 0:
		toHardware(q, s, q.ciaddr)
	case q.view.Broadcast():
		s.Raw, s.MAC, s.Dst = true, wire.BroadcastMAC, dhcp4.Broadcast
	default:
		toHardware(q, s, yiaddr)
	}
}

// agentPort is the port of the relay agent: 67, or the one that it sent from if it says
// that it wants the answer there (RFC 8357 5).
func (q *request) agentPort() uint16 {
	if has(q.facts.Agent, dhcp4.AgentRelayPort) && q.pkt.SrcPort != 0 {
		return q.pkt.SrcPort
	}
	return dhcp4.ServerPort
}

// nakDestination is where a NAK goes (docs/protocol.md, NAK delivery). It reports
// false for a client behind a router whose IP source is not its ciaddr.
func (c *Core) nakDestination(q *request, s *wire.Send) bool {
	s.DstPort = dhcp4.ClientPort
	switch {
	case q.giaddr != 0:
		s.Dst, s.DstPort = q.giaddr, q.agentPort()
	case q.routed:
		if q.ciaddr == 0 || q.pkt.Src != q.ciaddr {
			return false
		}
		s.Dst = q.ciaddr
	case c.pol.NakDelivery == policy.NakBroadcast:
		s.Raw, s.MAC, s.Dst = true, wire.BroadcastMAC, dhcp4.Broadcast
	case q.ciaddr != 0:
		toHardware(q, s, q.ciaddr)
	case q.view.Broadcast():
		s.Raw, s.MAC, s.Dst = true, wire.BroadcastMAC, dhcp4.Broadcast
	default:
		toHardware(q, s, dhcp4.Broadcast)
	}
	return true
}

// toHardware addresses a frame to the client's hardware address, without ARP; a
// client whose hardware is not Ethernet's gets a broadcast frame.
func toHardware(q *request, s *wire.Send, dst dhcp4.Addr) {
	s.Raw, s.Dst, s.MAC = true, dst, wire.BroadcastMAC
	if isEthernet(q.htype, q.hw) {
		s.MAC = wire.MAC(q.hw)
	}
}
