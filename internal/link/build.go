package link

import (
	"encoding/binary"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// Lengths and values of the headers that we write and read.
const (
	etherLen  = 14
	ipLen     = 20 // without options
	udpLen    = 8
	arpLen    = 28
	minFrame  = 60 // an Ethernet frame's least length, without the check sequence
	maxVLANID = 0x0fff

	etherTypeIPv4 = 0x0800
	etherTypeARP  = 0x0806

	echoLen = 8 + 8 // ICMP header and token

	protoICMP = 1
	protoUDP  = 17
	udpServer = 67
	udpClient = 68

	icmpReply   = 0
	icmpRequest = 8

	ttl = 64
	tos = 0x10 // low delay, as DHCP servers have always sent
)

// AppendFrame appends s as an Ethernet frame from the address src: Ethernet, IPv4
// and UDP headers and the payload, checksums finished, padded to the least length
// of a frame. id is the IP identification. The payload must fit a UDP datagram.
func AppendFrame(dst []byte, src wire.MAC, id uint16, s *wire.Send) []byte {
	start := len(dst)
	dst = append(dst, s.MAC[:]...)
	dst = append(dst, src[:]...)
	dst = binary.BigEndian.AppendUint16(dst, etherTypeIPv4)
	dst = AppendDatagram(dst, id, s)
	return pad(dst, start)
}

// AppendDatagram appends s as an IPv4 datagram: IP and UDP headers and payload,
// checksums finished. Fragmenting is left allowed (DF clear), since relay agents
// and clients behind them may sit on links with a smaller MTU.
func AppendDatagram(dst []byte, id uint16, s *wire.Send) []byte {
	start := len(dst)
	total := ipLen + udpLen + len(s.Data)
	dst = append(dst, 0x45, tos, byte(total>>8), byte(total), byte(id>>8), byte(id), 0, 0, ttl, protoUDP, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(s.Src))
	dst = binary.BigEndian.AppendUint32(dst, uint32(s.Dst))
	ip := dst[start:]
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum(0, ip[:ipLen])))

	udp := udpLen + len(s.Data)
	dst = binary.BigEndian.AppendUint16(dst, s.SrcPort)
	dst = binary.BigEndian.AppendUint16(dst, s.DstPort)
	dst = append(dst, byte(udp>>8), byte(udp), 0, 0)
	dst = append(dst, s.Data...)

	seg := dst[start+ipLen:]
	c := ^fold(sum(pseudo(s.Src, s.Dst, udp), seg))
	if c == 0 {
		c = 0xffff // zero would say that there is no checksum (RFC 768)
	}
	binary.BigEndian.PutUint16(seg[6:], c)
	return dst
}

// AppendEchoFrame appends e as an Ethernet frame from src to dst; id is the IP identification.
func AppendEchoFrame(b []byte, src, dst wire.MAC, id uint16, e *wire.Echo) []byte {
	start := len(b)
	b = append(b, dst[:]...)
	b = append(b, src[:]...)
	b = binary.BigEndian.AppendUint16(b, etherTypeIPv4)
	return pad(AppendEcho(b, id, e), start)
}

// AppendEcho appends e as an IPv4 datagram, checksums finished (RFC 792).
func AppendEcho(dst []byte, id uint16, e *wire.Echo) []byte {
	start := len(dst)
	const total = ipLen + echoLen
	dst = append(dst, 0x45, 0, 0, total, byte(id>>8), byte(id), 0, 0, ttl, protoICMP, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(e.Src))
	dst = binary.BigEndian.AppendUint32(dst, uint32(e.Dst))
	ip := dst[start:]
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum(0, ip[:ipLen])))

	typ := byte(icmpRequest)
	if e.Reply {
		typ = icmpReply
	}
	dst = append(dst, typ, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, e.ID)
	dst = binary.BigEndian.AppendUint16(dst, e.Seq)
	dst = binary.BigEndian.AppendUint64(dst, e.Token)
	icmp := dst[start+ipLen:]
	binary.BigEndian.PutUint16(icmp[2:], ^fold(sum(0, icmp)))
	return dst
}

// AppendARP appends a as an Ethernet frame from the address src to a.To, or to all
// hosts when that is zero.
func AppendARP(dst []byte, src wire.MAC, a *wire.ARP) []byte {
	start := len(dst)
	to := a.To
	if to == (wire.MAC{}) {
		to = wire.BroadcastMAC
	}
	dst = append(dst, to[:]...)
	dst = append(dst, src[:]...)
	dst = append(dst, 0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4)
	dst = binary.BigEndian.AppendUint16(dst, a.Op)
	dst = append(dst, a.SenderMAC[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(a.SenderIP))
	dst = append(dst, a.TargetMAC[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(a.TargetIP))
	return pad(dst, start)
}

// pad fills the frame that begins at start up to the least length of a frame.
func pad(dst []byte, start int) []byte {
	var zero [minFrame]byte
	if n := len(dst) - start; n < minFrame {
		dst = append(dst, zero[:minFrame-n]...)
	}
	return dst
}

// pseudo is the sum of the pseudo header of a UDP datagram of n octets (RFC 768).
func pseudo(src, dst dhcp4.Addr, n int) uint64 {
	return uint64(src) + uint64(dst) + protoUDP + uint64(n)
}

// sum adds the 16-bit words of b to s (RFC 1071). Words are added in pairs: carries
// out of the lower word reach the upper one and fold brings them back, so the
// result is the same. A datagram cannot overflow the 64 bits.
func sum(s uint64, b []byte) uint64 {
	for len(b) >= 16 {
		s += uint64(binary.BigEndian.Uint32(b)) + uint64(binary.BigEndian.Uint32(b[4:])) +
			uint64(binary.BigEndian.Uint32(b[8:])) + uint64(binary.BigEndian.Uint32(b[12:]))
		b = b[16:]
	}
	for len(b) >= 4 {
		s += uint64(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		s += uint64(binary.BigEndian.Uint16(b)) << 16
		b = b[2:]
		if len(b) == 1 {
			s += uint64(b[0]) << 8
		}
	} else if len(b) == 1 {
		s += uint64(b[0]) << 24
	}
	return s
}

// fold brings s down to the 16 bits of a checksum, not yet inverted.
func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}
