package sim

import (
	"encoding/binary"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// nextHop is the card on n's segment that a datagram for a goes to: that of a's host, or of
// a router that leads there.
func (n *nic) nextHop(a dhcp4.Addr) (wire.MAC, bool) {
	if mac, ok := n.owner(a); ok {
		return mac, true
	}
	for _, r := range n.w.relays {
		for _, m := range r.nics {
			if m.seg == n.seg && m != n && m.up() && r.leads(m, a) {
				return m.mac, true
			}
		}
	}
	return wire.MAC{}, false
}

// leads reports whether the router takes a datagram for a by its card m.
func (r *relayHost) leads(m *nic, a dhcp4.Addr) bool { return r.has(a) || r.way(a) != m }

// has reports whether a is an address of the router.
func (r *relayHost) has(a dhcp4.Addr) bool {
	return slices.ContainsFunc(r.nics, func(n *nic) bool { return n.owns(a) }) ||
		slices.ContainsFunc(r.plan.Ports, func(p RelayPort) bool { return p.GIAddr == a && a != 0 })
}

// way is the card by which a datagram for a leaves: that of its subnet, else the one towards
// the servers.
func (r *relayHost) way(a dhcp4.Addr) *nic {
	for _, n := range r.nics[1:] {
		if slices.ContainsFunc(n.addrs, func(p dhcp4.Prefix) bool { return p.Contains(a) }) {
			return n
		}
	}
	return r.nics[0]
}

// Places in a frame with an IP datagram.
const (
	frameTTL = 14 + 8
	frameSum = 14 + 10
	frameDst = 14 + 16
)

// pass sends a datagram on its way that is for somebody else, as a router's kernel does: with
// other hardware addresses, and one hop older.
func (r *relayHost) pass(in *nic, frame []byte) {
	a := dhcp4.AddrFromBytes(frame[frameDst:])
	out := r.way(a)
	if out == in || frame[frameTTL] <= 1 {
		return
	}
	mac, ok := out.nextHop(a)
	if !ok {
		return
	}
	f := slices.Clone(frame)
	copy(f, mac[:])
	copy(f[6:], out.mac[:])
	f[frameTTL]--
	sum := uint32(binary.BigEndian.Uint16(f[frameSum:])) + 0x100 // RFC 1624
	binary.BigEndian.PutUint16(f[frameSum:], uint16(sum+sum>>16))
	out.transmit(f)
}

// foreign reports whether a frame that came to card n is a datagram for somebody else.
func (r *relayHost) foreign(n *nic, frame []byte) bool {
	if len(frame) < 34 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 || wire.MAC(frame[:6]) != n.mac {
		return false
	}
	a := dhcp4.AddrFromBytes(frame[frameDst:])
	return a.IsUnicastHost() && !r.has(a)
}

// snooped is the frame of s with what the segment's switch puts in: an option 82 that names the port.
func (n *nic) snooped(s *wire.Send) []byte {
	c := *s
	var v dhcp4.View
	if v.Parse(s.Data) != nil || v.Has(dhcp4.OptDHCPAgentOptions) {
		return link.AppendFrame(nil, n.mac, n.ipID, s)
	}
	port := snoopedPort(n.host)
	c.Data = append(beforeEnd(s.Data), byte(dhcp4.OptDHCPAgentOptions), byte(2+len(port)), dhcp4.AgentCircuitID, byte(len(port)))
	c.Data = append(append(c.Data, port...), byte(dhcp4.OptEnd))
	return link.AppendFrame(make([]byte, 0, 42+len(c.Data)), n.mac, n.ipID, &c)
}

func snoopedPort(host string) string { return "port-" + host }

// beforeEnd is a copy of a message up to the END of its options field.
func beforeEnd(b []byte) []byte {
	at := 240
	for at < len(b) && b[at] != byte(dhcp4.OptEnd) {
		if b[at] == byte(dhcp4.OptPad) {
			at++
		} else {
			at += 2 + int(b[at+1])
		}
	}
	return slices.Clone(b[:min(at, len(b))])
}
