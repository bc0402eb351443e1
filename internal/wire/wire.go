// Package wire holds the plain values that pass between links and the pure state
// machines: a received packet with what its frame said, a packet to send with
// where it goes, an ARP message, an ICMP echo, the facts about an interface. It does nothing.
package wire

import "lessor/dhcp4"

// MAC is an Ethernet address.
type MAC [6]byte

// BroadcastMAC is ff:ff:ff:ff:ff:ff.
var BroadcastMAC = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// IsMulticast reports whether the group bit is set; broadcast is a group too.
func (m MAC) IsMulticast() bool { return m[0]&1 != 0 }

// LinkID names an interface for the life of a process. It is the kernel's
// interface index; 0 is none.
type LinkID int32

// Link is what is known of one interface that is ready: it exists, is up, has
// carrier and at least one IPv4 address. Values are never changed once shared.
type Link struct {
	ID    LinkID
	Name  string // its name now; a rename keeps the ID
	MAC   MAC
	MTU   int            // octets of an IP packet
	Addrs []dhcp4.Prefix // its addresses: Addr is the host's own address, not masked; the primary first
}

// Packet is one received DHCP message and the facts of the frame that brought it.
type Packet struct {
	Link    LinkID
	Data    []byte // the UDP payload; it belongs to the receiver and is valid during the call only
	SrcMAC  MAC    // source of the frame
	DstMAC  MAC
	Src     dhcp4.Addr // source of the IP packet
	Dst     dhcp4.Addr
	SrcPort uint16
}

// Send is one DHCP message to send.
type Send struct {
	Link LinkID // the interface it leaves by; for a routed message the one it answers
	Data []byte // the UDP payload

	// Raw: an Ethernet frame to MAC on Link, without ARP, routes or the kernel's
	// neighbour table. Otherwise a UDP datagram that the kernel routes to Dst.
	Raw bool
	MAC MAC

	Src     dhcp4.Addr // an address of ours
	Dst     dhcp4.Addr
	SrcPort uint16 // 67 for a server
	DstPort uint16 // 68 to a client, 67 to a relay agent
}

// ARP is an ARP message for IPv4 over Ethernet (RFC 826), received or to send.
// A message to send goes to the Ethernet address To, or to all when that is zero.
type ARP struct {
	Link      LinkID
	Op        uint16 // 1 request, 2 reply
	SenderMAC MAC
	SenderIP  dhcp4.Addr
	TargetMAC MAC
	TargetIP  dhcp4.Addr
	To        MAC // of the frame, for a message to send
}

// Echo is an ICMP echo message (RFC 792) of the form in which this server asks whether
// somebody has an address: without IP options, with the eight octets of Token as its data.
type Echo struct {
	Link  LinkID // the interface it came in by; to send: whose port sends, the host's routes say where
	Reply bool   // an answer, else a question
	Src   dhcp4.Addr
	Dst   dhcp4.Addr
	ID    uint16 // identifier and sequence number: an answer repeats both, and the token
	Seq   uint16
	Token uint64
}
