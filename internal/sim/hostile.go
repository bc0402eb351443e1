package sim

import (
	"bytes"
	"fmt"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/policy"
	"lessor/internal/wire"
)

// forge lets a hostile station send a burst of forged frames.
func (w *world) forge(p *Step) {
	i := slices.IndexFunc(w.hostiles, func(h *hostile) bool { return h.nic.host == p.Host })
	if i < 0 {
		return
	}
	n := w.hostiles[i].nic
	f := forger{dice: newDice(w.plan.Seed, name(p.Host), uint64(p.At), uint64(p.Forge)), mac: n.mac}
	for range p.Size {
		w.after(f.dice.n(p.For+1), func() {
			if w.healed {
				return
			}
			f.aim(w, n)
			f.seen = w.hostiles[i].seen
			if frame := f.frame(p.Forge); frame != nil {
				w.stats.Faults++
				n.transmit(frame)
			}
		})
	}
}

// forger makes the frames of a hostile station: real ones, of what a station on the link
// can know. It never takes on the whole identity of a client, against which DHCPv4 has
// no defence (docs/invariants.md, Clients): that is the client identifier, or the
// hardware address where it sends none, a server looks at no identifiers, or a
// reservation goes by it.
type forger struct {
	dice    dice
	mac     wire.MAC     // of the station
	servers []neighbour  // on the link
	pool    []dhcp4.Addr // addresses that they give out
	victims []victim
	known   [][]byte // client identifiers that must not be used
	seen    []byte   // the last DHCP frame that came by

	agents   []dhcp4.Addr // giaddr of relay agents, known and unknown
	circuits []string     // of ports of relay agents and switches
}

// neighbour is a host and its address on the link.
type neighbour struct {
	mac  wire.MAC
	addr dhcp4.Addr
}

// victim is a client; half says that its hardware address alone is not its identity.
type victim struct {
	mac  wire.MAC
	half bool
}

// aim looks around on the link of n.
func (f *forger) aim(w *world, n *nic) {
	f.servers, f.pool, f.victims, f.known = f.servers[:0], f.pool[:0], f.victims[:0], f.known[:0]
	f.agents, f.circuits = f.agents[:0], f.circuits[:0]
	var policies []*policy.Policy
	for _, s := range w.servers {
		p, _ := w.policy(s.config)
		if p == nil {
			continue
		}
		policies = append(policies, p)
		for _, m := range s.nics {
			if m.seg != n.seg || len(m.addrs) == 0 {
				continue
			}
			f.servers = append(f.servers, neighbour{m.mac, m.addrs[0].Addr})
			f.look(p, m.addrs[0].Addr)
		}
		f.past(w, n, s, p)
	}
	for i := range w.plan.Clients {
		c := &w.plan.Clients[i]
		id := c.identifier()
		half := id != nil
		for _, p := range policies {
			half = half && p.MatchClientID && !slices.ContainsFunc(p.Networks, func(n *policy.Network) bool { return reservesCard(n, c) })
		}
		if c.ROM != nil {
			f.known = append(f.known, c.ROM.ClientID)
		}
		f.victims = append(f.victims, victim{c.MAC, half})
		if id != nil {
			f.known = append(f.known, id)
		}
	}
}

// look takes the pools of the network in which address a lies.
func (f *forger) look(p *policy.Policy, a dhcp4.Addr) {
	sn := p.SubnetOf(a)
	if sn == nil {
		return
	}
	for _, sn := range sn.Network.Subnets {
		for _, pool := range sn.Pools {
			last := min(pool.Range.Last, pool.Range.First+63)
			for a := pool.Range.First; a <= last; a++ {
				f.pool = append(f.pool, a)
			}
		}
	}
}

// past looks past the router on the link of n at server s.
func (f *forger) past(w *world, n *nic, s *serverHost, p *policy.Policy) {
	for _, r := range w.relays {
		for i, m := range r.nics[1:] {
			if m.seg == n.seg {
				f.servers = append(f.servers, neighbour{m.mac, s.plan.Addrs[r.plan.Up].Addr})
				f.look(p, m.addrs[0].Addr)
			}
			f.agents = append(f.agents, max(r.plan.Ports[i].GIAddr, m.addrs[0].Addr), unknownAgent+1)
			f.circuits = append(f.circuits, fmt.Sprintf("eth%d", i+1), fmt.Sprintf("eth%d/%s", i+1, colons(w.plan.Clients[0].MAC[:])))
		}
	}
	for i := range min(len(w.plan.Clients), 3*len(w.plan.Snoops)) {
		f.circuits = append(f.circuits, snoopedPort(w.plan.Clients[i].Name))
	}
}

// reservesCard reports whether a reservation in n goes by the hardware address of c, or by what
// a relay agent makes of it.
func reservesCard(n *policy.Network, c *ClientPlan) bool {
	if n.Reservation(&policy.Keys{HType: 1, HW: c.MAC[:]}) != nil {
		return true
	}
	return slices.ContainsFunc(n.Reservations(), func(r *policy.Reservation) bool {
		return slices.ContainsFunc(r.Keys, func(k policy.Key) bool { return k.Kind == policy.KeyCircuitID || k.Kind == policy.KeyRemoteID })
	})
}

// deceive lets a message look as if it had gone through a relay agent or a switch.
func (f *forger) deceive(h *dhcp4.Header, agent []byte) []byte {
	if len(f.circuits) > 0 && f.dice.n(4) == 0 {
		c := f.circuits[f.dice.n(int64(len(f.circuits)))]
		agent = append([]byte{dhcp4.AgentCircuitID, byte(len(c))}, c...)
	}
	if len(f.agents) > 0 && f.dice.n(6) == 0 {
		h.GIAddr = f.agents[f.dice.n(int64(len(f.agents)))]
	}
	return agent
}

// frame makes one frame, nil when the station does not know enough yet.
func (f *forger) frame(kind Forgery) []byte {
	switch {
	case kind == ForgeBytes:
		return f.bytes()
	case kind == ForgeMutant:
		return f.mutant()
	case len(f.servers) == 0 || len(f.pool) == 0:
		return nil
	case kind == ForgeARP:
		return f.arp()
	case kind == ForgeReply:
		return f.reply()
	}
	return f.request(kind)
}

func (f *forger) anyAddr() dhcp4.Addr  { return f.pool[f.dice.n(int64(len(f.pool)))] }
func (f *forger) anyServer() neighbour { return f.servers[f.dice.n(int64(len(f.servers)))] }
func (f *forger) octets(n int64) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(f.dice.next() >> 11)
	}
	return b
}

// stranger is a hardware address that nobody has.
func (f *forger) stranger() wire.MAC {
	m := wire.MAC{2, 0x66}
	copy(m[2:], f.octets(4))
	return m
}

// identity is a hardware address and an identifier, nil for none: a stranger's, or half of
// a client's.
func (f *forger) identity(half bool) (wire.MAC, []byte) {
	mac, id := f.stranger(), []byte(nil)
	if f.dice.n(2) == 0 {
		id = append([]byte{0x66}, f.octets(1+f.dice.n(16))...)
	}
	if half && len(f.victims) > 0 {
		if v := f.victims[f.dice.n(int64(len(f.victims)))]; v.half {
			return v.mac, append([]byte{0x66}, f.octets(1+f.dice.n(16))...)
		}
	}
	return mac, id
}

// request makes a message to a server.
func (f *forger) request(kind Forgery) []byte {
	mac, id := f.identity(kind == ForgeRelease || kind == ForgeDecline)
	to, a := f.anyServer(), f.anyAddr()
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: uint32(f.dice.next()), Flags: uint16(f.dice.n(2)) << 15}
	copy(h.CHAddr[:], mac[:])
	s := wire.Send{Raw: true, MAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, SrcPort: dhcp4.ClientPort, DstPort: dhcp4.ServerPort}
	t, opts := dhcp4.Discover, []dhcp4.Option(nil)
	wish := dhcp4.Option{Code: dhcp4.OptDHCPRequestedAddress, Data: a.Append(nil)}
	server := dhcp4.Option{Code: dhcp4.OptDHCPServerIdentifier, Data: to.addr.Append(nil)}
	switch kind {
	case ForgeDiscover:
		switch f.dice.n(4) {
		case 0:
			opts = append(opts, wish)
		case 1:
			opts = append(opts, dhcp4.Option{Code: dhcp4.OptRapidCommit, Data: []byte{}})
		}
	case ForgeRequest:
		t, opts = dhcp4.Request, append(opts, wish)
		if f.dice.n(2) == 0 {
			opts = append(opts, server)
		}
	case ForgeRenew:
		t, h.CIAddr, s.Src = dhcp4.Request, a, a
		if f.dice.n(2) == 0 {
			s.MAC, s.Dst = to.mac, to.addr
		}
	case ForgeRelease:
		t, h.CIAddr, s.Src, s.MAC, s.Dst = dhcp4.Release, a, a, to.mac, to.addr
		opts = append(opts, server)
	case ForgeDecline:
		t, opts = dhcp4.Decline, append(opts, wish, server)
	}
	var agent []byte // option 82, which must come back although it went through no agent
	if kind == ForgeDiscover && f.dice.n(4) == 0 {
		agent = f.octets(2 + f.dice.n(30))
	}
	agent = f.deceive(&h, agent)
	all := []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(t)}}}
	if id != nil {
		all = append(all, dhcp4.Option{Code: dhcp4.OptDHCPClientIdentifier, Data: id})
	}
	s.Data, _ = dhcp4.AppendMessage(nil, &h, append(all, opts...), agent, 1472)
	return f.wrap(&s)
}

func (f *forger) wrap(s *wire.Send) []byte {
	return link.AppendFrame(nil, f.mac, uint16(f.dice.next()), s)
}

// arp claims an address, to all or to a server that asks.
func (f *forger) arp() []byte {
	to, a := f.anyServer(), f.anyAddr()
	m := wire.ARP{Op: 2, SenderMAC: f.mac, SenderIP: a, TargetMAC: to.mac, TargetIP: to.addr, To: to.mac}
	if f.dice.n(2) == 0 {
		m.Op, m.TargetMAC, m.TargetIP, m.To = 1, wire.MAC{}, a, wire.MAC{}
	}
	return link.AppendARP(nil, f.mac, &m)
}

// reply pretends to be a server: the client's address with a guessed xid, or a stranger's.
func (f *forger) reply() []byte {
	from, a := f.anyServer(), f.anyAddr()
	mac := f.stranger()
	if len(f.victims) > 0 && f.dice.n(3) > 0 {
		mac = f.victims[f.dice.n(int64(len(f.victims)))].mac
	}
	h := dhcp4.Header{Op: 2, HType: 1, HLen: 6, XID: uint32(f.dice.next()), YIAddr: a}
	copy(h.CHAddr[:], mac[:])
	t := []dhcp4.MessageType{dhcp4.Offer, dhcp4.Ack, dhcp4.Nak}[f.dice.n(3)]
	opts := []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(t)}}, {Code: dhcp4.OptDHCPServerIdentifier, Data: from.addr.Append(nil)},
		{Code: dhcp4.OptDHCPLeaseTime, Data: []byte{0, 0, byte(f.dice.n(256)), 60}}, {Code: dhcp4.OptSubnetMask, Data: []byte{255, 255, 255, 0}}}
	s := wire.Send{Raw: true, MAC: wire.BroadcastMAC, Src: from.addr, Dst: dhcp4.Broadcast, SrcPort: dhcp4.ServerPort, DstPort: dhcp4.ClientPort}
	if f.dice.n(2) == 0 {
		s.MAC, s.Dst = mac, a
	}
	s.Data, _ = dhcp4.AppendMessage(nil, &h, opts, nil, 1472)
	return f.wrap(&s)
}

// bytes is rubbish to one of the two ports.
func (f *forger) bytes() []byte {
	s := wire.Send{Raw: true, MAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, SrcPort: dhcp4.ClientPort, DstPort: dhcp4.ServerPort, Data: f.octets(f.dice.n(600))}
	if f.dice.n(2) == 0 {
		s.SrcPort, s.DstPort = s.DstPort, s.SrcPort
	}
	return f.wrap(&s)
}

// mutant is the last message that came by with some octets changed and in a stranger's name.
func (f *forger) mutant() []byte {
	const header = 240 // up to the options
	var p wire.Packet
	port, bad := link.ParseUDP(f.seen, link.Aux{}, &p)
	if bad != link.BadNone || len(p.Data) < header {
		return nil
	}
	data := bytes.Clone(p.Data)
	for range 1 + f.dice.n(16) {
		data[f.dice.n(int64(len(data)))] = byte(f.dice.next())
	}
	mac := f.stranger()
	copy(data[28:], mac[:])
	var v dhcp4.View
	if v.Parse(data) == nil {
		id, _ := v.Get(dhcp4.OptDHCPClientIdentifier, make([]byte, 0, 512))
		if slices.ContainsFunc(f.known, func(k []byte) bool { return bytes.Equal(k, id) }) {
			return nil
		}
	}
	return f.wrap(&wire.Send{Raw: true, MAC: p.DstMAC, Src: p.Src, Dst: p.Dst, SrcPort: p.SrcPort, DstPort: port, Data: data})
}
