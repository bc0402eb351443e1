package link

import (
	"encoding/binary"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// Aux is what the kernel knows of a received frame beside its bytes.
type Aux struct {
	SumPending bool   // the UDP checksum is not written yet: the sender's card would have done it
	SumChecked bool   // the UDP checksum was verified by the card or the kernel
	Cut        bool   // the frame was longer than the buffer
	VLAN       uint16 // VLAN id, 0 for none; a priority tag has id 0 and is none
}

// etherType is the type field of the frame, after the checks that hold for every
// frame: length, VLAN, own reflection.
func etherType(frame []byte, aux Aux, own wire.MAC) (uint16, BadReason) {
	switch {
	case len(frame) < etherLen || aux.Cut:
		return 0, BadTruncated
	case aux.VLAN&maxVLANID != 0:
		return 0, BadVLAN
	case wire.MAC(frame[6:12]) == own:
		return 0, BadOwn
	}
	return binary.BigEndian.Uint16(frame[12:]), BadNone
}

// ParseFrame reads an Ethernet frame that should hold a DHCP message to this
// UDP port and fills p, whose Data then lies in frame; Link is left alone. It refuses what
// ParseUDP refuses, and every other port.
func ParseFrame(frame []byte, aux Aux, port uint16, p *wire.Packet) BadReason {
	to, bad := ParseUDP(frame, aux, p)
	if bad == BadNone && to != port {
		return BadPort
	}
	return bad
}

// ParseUDP reads an Ethernet frame that should hold a UDP datagram, fills p, whose
// Data then lies in frame, and returns the destination port; Link is left alone.
// Every length is checked before it is used: IP header length, IP total length, UDP
// length, which must be that of the IP payload. Octets after the IP datagram are
// padding. IP options are stepped over. Both checksums are verified, the UDP one
// unless aux says that it is not written yet or was checked, or the sender wrote
// none. p is not changed when the frame is refused.
func ParseUDP(frame []byte, aux Aux, p *wire.Packet) (port uint16, bad BadReason) {
	ip, udp, bad := parseIP(frame, protoUDP)
	if bad != BadNone {
		return 0, bad
	}
	if len(udp) < udpLen || int(binary.BigEndian.Uint16(udp[4:])) != len(udp) {
		return 0, BadUDPLength
	}
	src, dst := dhcp4.AddrFromBytes(ip[12:]), dhcp4.AddrFromBytes(ip[16:])
	if !aux.SumPending && !aux.SumChecked && (udp[6] != 0 || udp[7] != 0) &&
		fold(sum(pseudo(src, dst, len(udp)), udp)) != 0xffff {
		return 0, BadUDPSum
	}
	p.Data = udp[udpLen:]
	p.DstMAC, p.SrcMAC = wire.MAC(frame[:6]), wire.MAC(frame[6:12])
	p.Src, p.Dst = src, dst
	p.SrcPort = binary.BigEndian.Uint16(udp)
	return binary.BigEndian.Uint16(udp[2:]), BadNone
}

// parseIP reads the IPv4 header of a frame and returns it and the datagram's payload, which
// must be of this protocol and whole.
func parseIP(frame []byte, protocol byte) (ip, payload []byte, bad BadReason) {
	if len(frame) < etherLen+ipLen {
		return nil, nil, BadTruncated
	}
	ip = frame[etherLen:]
	ihl := int(ip[0]&0x0f) * 4
	total := int(binary.BigEndian.Uint16(ip[2:]))
	switch {
	case ip[0]>>4 != 4 || ihl < ipLen || ihl > len(ip):
		return nil, nil, BadIPHeader
	case total < ihl || total > len(ip):
		return nil, nil, BadIPLength
	case fold(sum(0, ip[:ihl])) != 0xffff:
		return nil, nil, BadIPSum
	case binary.BigEndian.Uint16(ip[6:])&0x3fff != 0: // more fragments, or an offset
		return nil, nil, BadFragment
	case ip[9] != protocol:
		return nil, nil, BadProtocol
	}
	return ip, ip[ihl:total], BadNone
}

// ParseEcho reads an Ethernet frame that should hold an ICMP echo message of the form of
// wire.Echo and fills e; Link is left alone. e is not changed when the frame is refused.
func ParseEcho(frame []byte, e *wire.Echo) BadReason {
	ip, m, bad := parseIP(frame, protoICMP)
	switch {
	case bad != BadNone:
		return bad
	case len(m) != echoLen || m[0] != icmpReply && m[0] != icmpRequest || m[1] != 0 || fold(sum(0, m)) != 0xffff:
		return BadICMP
	}
	*e = wire.Echo{Link: e.Link, Reply: m[0] == icmpReply, Src: dhcp4.AddrFromBytes(ip[12:]), Dst: dhcp4.AddrFromBytes(ip[16:]),
		ID: binary.BigEndian.Uint16(m[4:]), Seq: binary.BigEndian.Uint16(m[6:]), Token: binary.BigEndian.Uint64(m[8:])}
	return BadNone
}

// isICMP reports whether an IPv4 frame holds ICMP.
func isICMP(frame []byte) bool { return len(frame) >= etherLen+ipLen && frame[etherLen+9] == protoICMP }

// ParseARP reads an Ethernet frame that should hold an ARP message for IPv4 over
// Ethernet (RFC 826) and fills a; Link is left alone.
func ParseARP(frame []byte, a *wire.ARP) BadReason {
	if len(frame) < etherLen+arpLen {
		return BadARP
	}
	m := frame[etherLen:]
	if binary.BigEndian.Uint16(m) != 1 || binary.BigEndian.Uint16(m[2:]) != etherTypeIPv4 || m[4] != 6 || m[5] != 4 {
		return BadARP
	}
	a.Op = binary.BigEndian.Uint16(m[6:])
	if a.Op != 1 && a.Op != 2 {
		return BadARP
	}
	a.SenderMAC, a.SenderIP = wire.MAC(m[8:14]), dhcp4.AddrFromBytes(m[14:])
	a.TargetMAC, a.TargetIP = wire.MAC(m[18:24]), dhcp4.AddrFromBytes(m[24:])
	return BadNone
}
