package server

import (
	"slices"

	"lessor/dhcp4"
	"lessor/internal/policy"
	"lessor/internal/wire"
)

// optVirtualSubnet is the option of RFC 6607 for clients that ask for a virtual network.
const optVirtualSubnet dhcp4.Code = 221

// locate finds the interface and the network of the packet. What says the network is,
// in this order: the link selection of a relay agent (82.5, RFC 3527), the subnet
// selection of the client (118, RFC 3011), giaddr, ciaddr of a unicast renewal, the
// interface that it came in by.
func (c *Core) locate(q *request) Reason {
	p := q.pkt
	if q.link = c.linkOf(p.Link); q.link == nil || c.pol == nil {
		return UnknownLink
	}
	onEthernet := isEthernet(q.htype, q.hw)
	if onEthernet {
		mac := wire.MAC(q.hw)
		if mac.IsMulticast() || c.isOwnMAC(mac) {
			return BadHWAddress
		}
	}
	if q.ciaddr != 0 && !q.ciaddr.IsUnicastHost() {
		return BadCIAddr
	}
	q.ucast = p.Dst != dhcp4.Broadcast && !p.DstMAC.IsMulticast()
	q.routed = !p.DstMAC.IsMulticast() && !(onEthernet && p.SrcMAC == wire.MAC(q.hw))
	reason := None
	if q.giaddr != 0 {
		reason = c.locateRelayed(q)
	} else {
		reason = c.locateDirect(q)
	}
	if reason == None && (q.view.Has(optVirtualSubnet) || has(q.facts.Agent, dhcp4.AgentVirtualSubnetSelect)) {
		return VirtualSubnet
	}
	return reason
}

// locateDirect finds the network of a packet that no relay agent passed on.
func (c *Core) locateDirect(q *request) Reason {
	q.net = q.link.net
	if q.routed && q.pkt.Src != q.ciaddr {
		return BadSource
	}
	if len(c.pol.Trusted) > 0 && c.pol.Trusts(q.link.Name) {
		q.facts.Agent = q.agent // a snooping switch put it in
	}
	selected, reason := c.selected(q, c.pol.SubnetSelection)
	switch {
	case reason != None:
		return reason
	case selected:
	case q.ucast && q.ciaddr != 0:
		if sn := c.pol.SubnetOf(q.ciaddr); sn != nil {
			c.tr.chose(byCIAddr, q.ciaddr)
			q.net = sn.Network
		}
	}
	if q.net == nil {
		return NoSubnet
	}
	return None
}

// locateRelayed finds the network of a relayed packet.
func (c *Core) locateRelayed(q *request) Reason {
	if !q.giaddr.IsUnicastHost() || c.isOwn(q.giaddr) {
		return BadGIAddr
	}
	if !c.pol.KnownRelay(q.giaddr) {
		return UnknownRelay
	}
	if sn := c.pol.SubnetOf(q.giaddr); sn != nil && !sn.Prefix.IsHost(q.giaddr) {
		return BadGIAddr // the answer would be a broadcast
	}
	q.facts.Agent = q.agent
	selected, reason := c.selected(q, true)
	if reason != None || selected {
		return reason
	}
	c.tr.chose(byRelay, q.giaddr)
	if q.net = c.pol.NetworkOfRelay(q.giaddr); q.net == nil {
		return NoSubnet
	}
	q.near = q.net.Contains(q.giaddr)
	return None
}

// selected takes the network from the link selection of believed relay information, or
// from option 118 where that is believed.
func (c *Core) selected(q *request, believe118 bool) (bool, Reason) {
	if believe118 && q.view.Len(dhcp4.OptSubnetSelection) == 4 {
		q.subnet, _ = q.view.Get(dhcp4.OptSubnetSelection, q.subnetBuf[:0])
	}
	if v, ok := policy.AgentOption(q.facts.Agent, dhcp4.AgentLinkSelection); ok && len(v) == 4 {
		c.tr.chose(byLinkSelection, dhcp4.AddrFromBytes(v))
		return true, c.selectSubnet(q, dhcp4.AddrFromBytes(v))
	}
	if q.subnet == nil {
		return false, None
	}
	c.tr.chose(bySubnetSelection, dhcp4.AddrFromBytes(q.subnet))
	return true, c.selectSubnet(q, dhcp4.AddrFromBytes(q.subnet))
}

func (c *Core) selectSubnet(q *request, a dhcp4.Addr) Reason {
	sn := c.pol.SubnetOf(a)
	if sn == nil {
		return NoSubnet
	}
	q.net, q.near = sn.Network, sn
	return None
}

func has(agent []byte, sub uint8) bool {
	_, ok := policy.AgentOption(agent, sub)
	return ok
}

// identify finds who the client is: its key, and its reservation in this network.
func (c *Core) identify(q *request) {
	q.id = c.identityOf(q)
	q.facts.GIAddr = q.giaddr
	if len(q.facts.Agent) == 0 {
		c.remember(q)
	}
	if v, ok := policy.AgentOption(q.facts.Agent, dhcp4.AgentServerIDOverride); ok && len(v) == 4 {
		q.override = dhcp4.AddrFromBytes(v)
	}
	f := &q.facts
	f.View, f.Type, f.HType, f.HW, f.ClientID = &q.view, q.kind, q.htype, q.hw, q.rawID
	f.CIAddr, f.Interface, f.Network = q.ciaddr, q.link.Name, q.net
	if c.pol.FlexID != nil {
		q.flexID = c.pol.FlexID(f)
	}
	q.keys = policy.Keys{FlexID: q.flexID, ClientID: q.clientID, HType: q.htype, HW: q.hw, Agent: f.Agent}
	res, by := q.net.Match(&q.keys, c.tr.each(q))
	q.res = res
	c.tr.matched(c, q, &q.keys, by)
}

// remember takes giaddr and relay information of the client's binding for its facts. A
// renewal goes straight to the server and carries none, and nothing is to change for its
// client at T1.
func (c *Core) remember(q *request) {
	if q.giaddr != 0 || q.ciaddr == 0 || !q.ucast {
		return
	}
	s := c.table.ByAddr(q.ciaddr)
	if s == 0 || !c.sameClient(q, s) {
		return
	}
	if c.table.Rec(s).GIAddr != 0 && !q.routed {
		return // it was behind an agent, and is on our link now
	}
	q.facts.GIAddr = c.table.Rec(s).GIAddr
	q.facts.Agent = append(q.heldBuf[:0], c.table.Agent(s)...)
}

// classify finds the classes that the client is in: those of its reservation, then
// each whose test holds, in the order of the configuration. Without classes and guards
// it does nothing.
func (c *Core) classify(q *request) Reason {
	f := &q.facts
	f.Known = q.res != nil
	if len(c.pol.Classes) == policy.FirstClass && !c.pol.Guards {
		return None
	}
	if f.Known {
		f.Classes.Add(policy.ClassKnown)
		f.Classes.Union(&q.res.Classes)
	} else {
		f.Classes.Add(policy.ClassUnknown)
	}
	for i := policy.FirstClass; i < len(c.pol.Classes); i++ {
		cl := &c.pol.Classes[i]
		if cl.Test == nil || f.Classes.Has(i) {
			c.tr.class(cl, f, f.Classes.Has(i), true, nil)
			continue
		}
		in, err := cl.Test(f)
		if in && err == nil {
			f.Classes.Add(i)
		}
		c.tr.class(cl, f, in, false, err)
	}
	if c.pol.Drop != 0 && f.Classes.Has(c.pol.Drop) {
		return ClassDrop
	}
	return None
}

// identityOf hashes the key of the definitions in docs/invariants.md: the client
// identifier where there is one, else hardware type and address.
func (c *Core) identityOf(q *request) identity {
	var buf [300]byte
	first := q.net.Subnets[0].Prefix // no two networks share a subnet
	b := append(first.Addr.Append(buf[:0]), uint8(first.Bits))
	if q.clientID != nil {
		b = append(append(b, 1), q.clientID...)
	} else {
		b = append(append(b, 0, q.htype), q.hw...)
	}
	return identity{sipHash(c.k0, c.k1, b), sipHash(c.k1, ^c.k0, b)}
}

// sameKeysList reports whether two reservations know their clients by the same keys.
func sameKeysList(a, b []policy.Key) bool {
	return slices.EqualFunc(a, b, func(x, y policy.Key) bool {
		return x.Kind == y.Kind && x.HType == y.HType && string(x.Value) == string(y.Value)
	})
}
