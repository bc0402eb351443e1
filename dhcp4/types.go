package dhcp4

// Code is an option code (RFC 2132; the registry is options.go).
type Code uint8

// Option is one option's code and its whole value, joined (RFC 3396).
type Option struct {
	Code Code
	Data []byte
}

// MessageType is the value of option 53.
type MessageType uint8

// Message types (RFC 2132 9.6 and later RFCs).
const (
	Discover MessageType = 1 + iota
	Offer
	Request
	Decline
	Ack
	Nak
	Release
	Inform
)

// UDP ports (RFC 2131 4.1).
const (
	ServerPort = 67
	ClientPort = 68
)

// Header is the fixed part of a message to write (RFC 2131 2, figure 1).
type Header struct {
	Op             uint8
	HType          uint8
	HLen           uint8
	Hops           uint8
	XID            uint32
	Secs           uint16
	Flags          uint16
	CIAddr, YIAddr Addr
	SIAddr, GIAddr Addr
	CHAddr         [16]byte
	SName          []byte // at most 64 octets; nil leaves the field to options
	File           []byte // at most 128 octets
}

// FlagBroadcast is the broadcast bit of the flags field (RFC 2131 2, figure 2).
const FlagBroadcast uint16 = 0x8000
