package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"lessor/dhcp4"
)

// Rule says by their bytes which frames a port brings: IPv4 UDP datagrams to one port that
// are no fragments, some ARP messages, and for a server answers to ICMP echo requests. The kernel runs it as a filter program, memnet
// calls Wanted. A Rule is not changed once it is in use.
type Rule struct {
	Port uint16 // UDP destination port

	// Echo: ICMP echo replies of the length that wire.Echo has.
	Echo bool

	// AnyARP: all replies, announcements and probes, as a server needs them. Otherwise
	// messages about Watched only: those whose sender has one of the addresses, and
	// probes for one of them.
	AnyARP  bool
	Watched []dhcp4.Addr
}

// ServerRule and ClientRule without addresses are what ports begin with.
var (
	ServerRule = &Rule{Port: udpServer, AnyARP: true, Echo: true}
	ClientRule = &Rule{Port: udpClient}
)

// errWatch is what WatchARP returns for more addresses than it can watch.
var errWatch = errors.New("too many addresses")

// WatchRule is ClientRule with watched addresses. The slice is not kept. Zero is the address of
// nobody and is left out: as a sender's it would let in every probe.
func WatchRule(addrs []dhcp4.Addr) (*Rule, error) {
	r := &Rule{Port: udpClient}
	for _, a := range addrs {
		if a != 0 && !slices.Contains(r.Watched, a) {
			r.Watched = append(r.Watched, a)
		}
	}
	if len(r.Watched) > MaxWatched {
		return nil, fmt.Errorf("watch ARP about %d addresses, but at most %d: %w", len(r.Watched), MaxWatched, errWatch)
	}
	return r, nil
}

// Wanted says whether the rule lets frame in. It does not look at hardware addresses.
func (r *Rule) Wanted(frame []byte) bool {
	if len(frame) < etherLen {
		return false
	}
	m := frame[etherLen:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherTypeIPv4:
		if r.Echo && answersEcho(m) {
			return true
		}
		if len(m) < 10 || m[9] != protoUDP || binary.BigEndian.Uint16(m[6:])&0x3fff != 0 {
			return false
		}
		at := int(m[0]&0x0f)*4 + 2
		return at+2 <= len(m) && binary.BigEndian.Uint16(m[at:]) == r.Port
	case etherTypeARP:
		if r.AnyARP {
			return tellsOfHolder(m)
		}
		return r.concerns(m)
	}
	return false
}

// answersEcho is the rule for echo replies: ICMP without IP options, no fragment, of the length
// of ours. m begins after the Ethernet header.
func answersEcho(m []byte) bool {
	return len(m) > ipLen && m[0] == 0x45 && binary.BigEndian.Uint16(m[2:]) == ipLen+echoLen &&
		binary.BigEndian.Uint16(m[6:])&0x3fff == 0 && m[9] == protoICMP && m[ipLen] == icmpReply
}

// tellsOfHolder is the rule for all ARP messages that tell who has an address: replies,
// announcements (sender and target address are the same) and probes (sender address zero).
// m begins after the Ethernet header.
func tellsOfHolder(m []byte) bool {
	if len(m) < 8 {
		return false
	}
	if binary.BigEndian.Uint16(m[6:]) == 2 {
		return true
	}
	if len(m) < 18 {
		return false
	}
	sender := binary.BigEndian.Uint32(m[14:])
	return sender == 0 || len(m) >= 28 && sender == binary.BigEndian.Uint32(m[24:])
}

// concerns is the rule for ARP messages about watched addresses.
func (r *Rule) concerns(m []byte) bool {
	if len(m) < 18 || len(r.Watched) == 0 {
		return false
	}
	sender := dhcp4.AddrFromBytes(m[14:])
	if sender != 0 {
		return slices.Contains(r.Watched, sender)
	}
	return len(m) >= 28 && slices.Contains(r.Watched, dhcp4.AddrFromBytes(m[24:]))
}
