package server

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/wire"
)

// request is what one packet says, read once. Its slices alias the packet.
type request struct {
	now  lease.Instant
	pkt  *wire.Packet
	view dhcp4.View
	kind dhcp4.MessageType

	link   *ethernet
	net    *policy.Network // the scope (docs/invariants.md, Identity)
	near   *policy.Subnet  // of net: the one that the packet names; nil: none
	routed bool            // came through a router: a unicast frame whose source is not chaddr
	ucast  bool            // sent to an address of ours, not broadcast

	htype    uint8
	hw       []byte
	clientID []byte // nil where none counts; as received it is in rawID
	rawID    []byte // option 61 to be echoed (RFC 6842)
	id       identity
	res      *policy.Reservation

	ciaddr   dhcp4.Addr
	giaddr   dhcp4.Addr
	wanted   dhcp4.Addr // option 50
	serverID dhcp4.Addr // option 54
	agent    []byte     // option 82 to be echoed, nil where there is none
	subnet   []byte     // option 118 to be echoed: it is believed of this client (RFC 3011)
	override dhcp4.Addr // sub-option 82.11: the server identifier that the agent wants (RFC 5107)
	facts    policy.Facts
	keys     policy.Keys // by which it may have a reservation
	flexID   []byte
	params   []byte // option 55

	waits int // ARP checks that this DISCOVER has waited for

	idBuf, agentBuf, paramBuf, nameBuf [255]byte
	subnetBuf                          [4]byte
	heldBuf                            [255]byte // relay information of a record
}

// Handle is one packet's way: it is read, its network and client are found, and
// the handler of its message type answers it with effects in e or drops it for a
// reason. p.Data is not kept. It allocates nothing in the steady state.
func (c *Core) Handle(now lease.Instant, p *wire.Packet, e *Effects) {
	c.at(now)
	q := &c.q
	q.now, q.pkt, q.waits = now, p, 0
	c.handle(q, e)
}

func (c *Core) handle(q *request, e *Effects) {
	replies := len(e.Replies)
	reason := c.read(q)
	if q.waits == 0 {
		c.count.Received[q.kind]++
	}
	if reason == None {
		reason = c.locate(q)
		c.tr.located(c, q, reason)
	}
	if reason == None {
		c.identify(q)
		reason = c.classify(q)
	}
	if reason == None {
		switch q.kind {
		case dhcp4.Discover:
			reason = c.discover(q, e)
		case dhcp4.Request:
			reason = c.request(q, e)
		case dhcp4.Decline:
			reason = c.decline(q, e)
		case dhcp4.Release:
			reason = c.release(q, e)
		case dhcp4.Inform:
			reason = c.inform(q, e)
		}
	}
	if len(e.Replies) == replies {
		c.drop(q, e, reason)
	}
}

// drop counts and reports a packet that ends without a reply. RELEASE and DECLINE
// that were believed have no reply and no reason.
func (c *Core) drop(q *request, e *Effects, reason Reason) {
	if reason == None {
		return
	}
	c.count.Dropped[reason]++
	ev := Event{Kind: EventDrop, Type: q.kind, Reason: reason, Link: q.pkt.Link, Addr: q.pkt.Src}
	if reason > Malformed {
		ev.XID, ev.GIAddr = q.view.XID(), q.giaddr
		ev.HType, ev.HW = q.htype, e.copy(q.hw)
		ev.ClientID = e.copy(q.rawID)
	}
	e.Events = append(e.Events, ev)
}

// read takes the packet apart and refuses what no server has to answer.
func (c *Core) read(q *request) Reason {
	q.kind, q.hw, q.rawID, q.clientID, q.giaddr = 0, nil, nil, nil, 0
	q.subnet, q.override, q.flexID, q.near, q.facts, q.keys = nil, 0, nil, nil, policy.Facts{}, policy.Keys{}
	v := &q.view
	if err := v.Parse(q.pkt.Data); err != nil {
		return parseReason(err)
	}
	if v.Op() != bootRequest {
		return NotARequest
	}
	q.htype, q.hw = v.HType(), v.CHAddr()
	q.ciaddr, q.giaddr = v.CIAddr(), v.GIAddr()
	if !v.Has(dhcp4.OptDHCPMessageType) {
		return BOOTP
	}
	switch t := v.MessageType(); t {
	case dhcp4.Discover, dhcp4.Request, dhcp4.Decline, dhcp4.Release, dhcp4.Inform:
		q.kind = t
	case dhcp4.Offer, dhcp4.Ack, dhcp4.Nak:
		return ServerMessage
	default:
		return UnknownType
	}
	if v.Len(dhcp4.OptDHCPClientIdentifier) > lease.MaxClientID {
		return ClientIDTooLong
	}
	q.rawID, _ = v.Get(dhcp4.OptDHCPClientIdentifier, q.idBuf[:0])
	if allZero(q.hw) {
		q.hw = nil
	}
	if len(q.rawID) >= 2 && c.pol != nil && c.pol.MatchClientID {
		q.clientID = q.rawID
	}
	if len(q.hw) == 0 && q.clientID == nil {
		return NoIdentity
	}
	q.wanted, _ = v.Addr(dhcp4.OptDHCPRequestedAddress)
	q.serverID, _ = v.Addr(dhcp4.OptDHCPServerIdentifier)
	q.agent = agentInfo(v, q.agentBuf[:0])
	q.params, _ = v.Get(dhcp4.OptDHCPParameterRequestList, q.paramBuf[:0])
	return None
}

const bootRequest, bootReply = 1, 2

func parseReason(err error) Reason {
	if pe, ok := err.(*dhcp4.ParseError); ok {
		switch pe.Problem {
		case dhcp4.TooShort:
			return TooShort
		case dhcp4.NoCookie:
			return BadCookie
		}
	}
	return Malformed
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

func isEthernet(htype uint8, hw []byte) bool { return (htype == 1 || htype == 6) && len(hw) == 6 }

func (c *Core) linkOf(id wire.LinkID) *ethernet {
	for i := range c.links {
		if c.links[i].ID == id {
			return &c.links[i]
		}
	}
	return nil
}

func (c *Core) isOwnMAC(m wire.MAC) bool {
	for i := range c.links {
		if c.links[i].MAC == m {
			return true
		}
	}
	return false
}

// isOurs reports whether a server identifier names this server: any address that
// it has, or served with since the start, or was told to use by the configuration or,
// for this client, by its relay agent.
func (c *Core) isOurs(q *request, a dhcp4.Addr) bool {
	if a == 0 {
		return false
	}
	_, served := c.own[a]
	return served || a == q.override || a == c.pol.ServerIdentifier || c.isOwn(a)
}

// agentInfo returns the value of option 82 of the options field, joined in dst, or nil. A
// relay agent reads and writes no other field (RFC 3046 2.1): what stands in file or
// sname is the client's.
func agentInfo(v *dhcp4.View, dst []byte) []byte {
	if !v.Has(dhcp4.OptDHCPAgentOptions) {
		return nil
	}
	found := false
	for in := range v.Instances {
		if in.Code != dhcp4.OptDHCPAgentOptions || in.Area != dhcp4.AreaOptions {
			continue
		}
		if len(dst)+len(in.Data) > cap(dst) {
			return nil
		}
		dst, found = append(dst, in.Data...), true
	}
	if !found {
		return nil
	}
	return dst
}
