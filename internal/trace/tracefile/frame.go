package tracefile

import (
	"encoding/binary"

	"lessor/internal/link"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// Kinds of what a capture holds besides frames that can be judged.
type skip uint8

const (
	skipNone    skip = iota
	skipOther        // neither DHCP nor ARP
	skipVLAN         // of a VLAN: the server's port does not bring it
	skipCut          // longer than the capture kept of it
	skipDamaged      // a length or checksum is wrong: the server's port refuses it
	numSkips
)

const (
	etherTypeVLAN = 0x8100
	etherTypeQinQ = 0x88a8
	etherTypeIPv4 = 0x0800
	etherTypeARP  = 0x0806
	ipHeaderAt    = 14
	portServer    = 67
	portClient    = 68
	protocolUDP   = 17
)

// parseFrame reads an Ethernet frame of a capture with the checks of a server's port
// (internal/link). cut says that the capture kept only a part of it. What f refers to
// lies in frame.
func parseFrame(frame []byte, cut bool, f *trace.Frame) skip {
	if len(frame) < ipHeaderAt {
		return skipOther
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherTypeVLAN, etherTypeQinQ:
		return skipVLAN
	case etherTypeARP:
		var a wire.ARP
		if bad := link.ParseARP(frame, &a); bad != link.BadNone {
			return skipOther
		}
		*f = trace.Frame{SrcMAC: wire.MAC(frame[6:12]), DstMAC: wire.MAC(frame[:6]), ARP: &a}
		return skipNone
	case etherTypeIPv4:
		return parseDHCP(frame, cut, f)
	}
	return skipOther
}

func parseDHCP(frame []byte, cut bool, f *trace.Frame) skip {
	var p wire.Packet
	port, bad := link.ParseUDP(frame, link.Aux{SumPending: true}, &p)
	switch {
	case bad == link.BadNone && !dhcp(p.SrcPort, port), bad == link.BadProtocol, bad == link.BadIPHeader, bad == link.BadFragment:
		return skipOther
	case bad == link.BadNone:
	case cut && mayBeDHCP(frame):
		return skipCut
	case mayBeDHCP(frame):
		return skipDamaged
	default:
		return skipOther
	}
	if !sumKnown(frame) {
		return skipDamaged
	}
	*f = trace.Frame{SrcMAC: p.SrcMAC, DstMAC: p.DstMAC, Src: p.Src, Dst: p.Dst, SrcPort: p.SrcPort, DstPort: port,
		Payload: p.Data}
	if f.Payload == nil {
		f.Payload = []byte{}
	}
	return skipNone
}

func dhcp(src, dst uint16) bool {
	return src == portServer || src == portClient || dst == portServer || dst == portClient
}

// mayBeDHCP reports whether what is there of a frame names a port of DHCP.
func mayBeDHCP(frame []byte) bool {
	ip := frame[ipHeaderAt:]
	if len(ip) < 20 || ip[9] != protocolUDP {
		return false
	}
	udp := ip[min(int(ip[0]&15)*4, len(ip)):]
	return len(udp) >= 4 && dhcp(binary.BigEndian.Uint16(udp), binary.BigEndian.Uint16(udp[2:]))
}

// sumKnown reports whether the UDP checksum of a frame that ParseUDP accepts is right, is
// absent, or is the part that a kernel writes for a card to finish: what a host sends, and
// what goes over a veth pair, is captured like that.
func sumKnown(frame []byte) bool {
	if _, bad := link.ParseUDP(frame, link.Aux{}, new(wire.Packet)); bad == link.BadNone {
		return true
	}
	ip := frame[ipHeaderAt:]
	udp := ip[int(ip[0]&15)*4:]
	sum := uint32(protocolUDP) + uint32(binary.BigEndian.Uint16(udp[4:]))
	for i := 12; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return binary.BigEndian.Uint16(udp[6:]) == uint16(sum)
}
