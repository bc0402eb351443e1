package relay

import (
	"lessor/dhcp4"
	"lessor/internal/wire"
)

// reply relays the message in a.view, which came from a server, to its client.
func (a *Agent) reply(e *Effects) Reason {
	v := &a.view
	switch {
	case !v.Has(dhcp4.OptDHCPMessageType):
		return BOOTP
	case a.badHW():
		return BadHWAddress
	}
	b := v.Bytes()
	info, present := agentInfoOf(b, a.other[:0])
	l, theirs, strip, reason := a.clientLink(v.GIAddr(), info, present)
	if reason != None {
		return reason
	}
	out := e.room(len(b))
	if strip {
		out = appendOther(out, b)
		if len(theirs) > 0 {
			out = append(append(out, byte(dhcp4.OptDHCPAgentOptions), byte(len(theirs))), theirs...)
		}
		if len(out) < len(b) {
			out = append(out, byte(dhcp4.OptEnd))
		}
		out = pad(out, min(minMessage, len(b)))
	} else {
		out = append(out, b...)
	}
	if len(out)+udpOverhead > l.MTU {
		return ReplyTooLong
	}
	s := wire.Send{Link: l.ID, Data: e.keep(out), Raw: true, Src: l.addr, SrcPort: dhcp4.ServerPort, DstPort: dhcp4.ClientPort}
	a.deliver(&s)
	e.Sends = append(e.Sends, s)
	a.count.ToClients++
	return None
}

// clientLink finds the interface of the client from giaddr and the value of option 82 in a
// reply, if one is present, and whether it is to be stripped, which leaves theirs of it: what a
// trusted device in front of the client added.
func (a *Agent) clientLink(giaddr dhcp4.Addr, info []byte, present bool) (l *port, theirs []byte, strip bool, why Reason) {
	known := 0
	for i := range a.links {
		c := &a.links[i]
		if c.giaddr != giaddr && c.addr != giaddr {
			continue
		}
		known++
		l = c
		own := a.agentInfo(c, a.view.CHAddr(), false, a.own[:0])
		if len(info) > maxAgent || len(own) == 0 || len(own) > maxAgent {
			continue
		}
		rest, ok := cutOwn(append(a.rest[:0], info...), own)
		if ok && (len(rest) == 0 || c.d.Trusted) {
			return c, rest, true, None
		}
	}
	switch {
	case known == 0:
		return nil, nil, false, NotOurGIAddr
	case present && !(known == 1 && l.d.Trusted):
		return nil, nil, false, ForeignAgentInfo
	case known > 1:
		return nil, nil, false, NoLink
	}
	return l, nil, false, None
}

// deliver says where the reply goes on the client's interface: a NAK to all, since it may
// be for an address that the client should not have; the others to all or to the client's
// hardware address, as the broadcast bit says, without ARP (RFC 2131 4.1, 4.3.2; RFC 1542
// 4.1.2). A client whose hardware is not Ethernet's gets a broadcast.
func (a *Agent) deliver(s *wire.Send) {
	v := &a.view
	s.MAC, s.Dst = wire.BroadcastMAC, dhcp4.Broadcast
	to := v.YIAddr()
	if to == 0 {
		to = v.CIAddr()
	}
	if v.Broadcast() || a.kind == dhcp4.Nak || !to.IsUnicastHost() || !isEthernet(v.HType(), v.CHAddr()) {
		return
	}
	s.MAC, s.Dst = wire.MAC(v.CHAddr()), to
}
