package link

import (
	"encoding/binary"

	"lessor/internal/wire"
)

// Frame is what an Ethernet frame holds, whatever its ports: for tests and for
// watching the wire. Of Packet, ARP and Echo the one is set that IsARP and IsEcho say.
type Frame struct {
	wire.Packet           // Data lies in the frame
	DstPort     uint16    // UDP destination port
	TTL, TOS    uint8     // of the IP header
	IsARP       bool      // ARP is set, and of Packet only the hardware addresses
	ARP         wire.ARP  // the message
	IsEcho      bool      // Echo is set, and of Packet only the hardware addresses
	Echo        wire.Echo // the message
	Bad         BadReason // why the frame is neither, BadNone if it is one
}

// Decode reads a frame without VLAN tag; its checksums must be finished.
func Decode(frame []byte) (f Frame) {
	if len(frame) < etherLen {
		f.Bad = BadTruncated
		return f
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherTypeIPv4:
		if isICMP(frame) {
			f.IsEcho, f.Bad = true, ParseEcho(frame, &f.Echo)
			f.DstMAC, f.SrcMAC = wire.MAC(frame[:6]), wire.MAC(frame[6:12])
		} else if f.DstPort, f.Bad = ParseUDP(frame, Aux{}, &f.Packet); f.Bad == BadNone {
			f.TOS, f.TTL = frame[etherLen+1], frame[etherLen+8]
		}
	case etherTypeARP:
		f.IsARP, f.Bad = true, ParseARP(frame, &f.ARP)
		f.DstMAC, f.SrcMAC = wire.MAC(frame[:6]), wire.MAC(frame[6:12])
	default:
		f.Bad = BadEtherType
	}
	return f
}
