// Package e2e runs the real lessor binary in network namespaces, with real DHCP
// clients and with test clients that write every octet of their frames themselves.
// The tests need root, and the programs that .ci/run installs; they fail, and never
// pass over anything, when one is missing.
package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/wire"
)

// Msg is a message of a test client, and the frame that carries it. A Msg made by
// Discover or one of the other functions is what a client of RFC 2131 sends; tests
// change fields to send something else.
type Msg struct {
	Type      dhcp4.MessageType
	XID       uint32
	Secs      uint16
	Flags     uint16
	HType     uint8
	HLen      uint8
	CHAddr    [16]byte
	CIAddr    dhcp4.Addr
	GIAddr    dhcp4.Addr
	Requested dhcp4.Addr // option 50 if not zero
	ServerID  dhcp4.Addr // option 54 if not zero
	ClientID  []byte     // option 61 if not nil
	Options   []dhcp4.Option
	Agent     []byte // option 82 if not nil

	SrcMAC, DstMAC   wire.MAC
	Src, Dst         dhcp4.Addr
	SrcPort, DstPort uint16
}

// base is a message of a client without an address: a broadcast from 0.0.0.0.
func base(t dhcp4.MessageType, mac wire.MAC, xid uint32) Msg {
	m := Msg{Type: t, XID: xid, HType: 1, HLen: 6, SrcMAC: mac, DstMAC: wire.BroadcastMAC,
		Dst: dhcp4.Broadcast, SrcPort: dhcp4.ClientPort, DstPort: dhcp4.ServerPort}
	copy(m.CHAddr[:], mac[:])
	return m
}

// Discover is a client's first message.
func Discover(mac wire.MAC, xid uint32) Msg { return base(dhcp4.Discover, mac, xid) }

// Select is the REQUEST that takes an offer of the server sid.
func Select(mac wire.MAC, xid uint32, addr, sid dhcp4.Addr) Msg {
	m := base(dhcp4.Request, mac, xid)
	m.Requested, m.ServerID = addr, sid
	return m
}

// Reboot is the REQUEST of a client that remembers its address (INIT-REBOOT).
func Reboot(mac wire.MAC, xid uint32, addr dhcp4.Addr) Msg {
	m := base(dhcp4.Request, mac, xid)
	m.Requested = addr
	return m
}

// Renew is the REQUEST to extend a lease, by unicast to the server (RENEWING).
func Renew(mac wire.MAC, xid uint32, addr, server dhcp4.Addr, serverMAC wire.MAC) Msg {
	m := Rebind(mac, xid, addr)
	m.Dst, m.DstMAC = server, serverMAC
	return m
}

// Rebind is the REQUEST to extend a lease, by broadcast (REBINDING).
func Rebind(mac wire.MAC, xid uint32, addr dhcp4.Addr) Msg {
	m := base(dhcp4.Request, mac, xid)
	m.CIAddr, m.Src = addr, addr
	return m
}

// parameters is what test clients ask for (option 55): mask, routers, DNS, domain.
var parameters = []byte{1, 3, 6, 15}

// AppendPayload appends the DHCP message to dst.
func (m *Msg) AppendPayload(dst []byte) []byte {
	h := dhcp4.Header{Op: 1, HType: m.HType, HLen: m.HLen, XID: m.XID, Secs: m.Secs, Flags: m.Flags,
		CIAddr: m.CIAddr, GIAddr: m.GIAddr, CHAddr: m.CHAddr}
	if m.GIAddr != 0 {
		h.Hops = 1
	}
	var typ [1]byte
	typ[0] = byte(m.Type)
	opts := make([]dhcp4.Option, 0, 8)
	opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPMessageType, Data: typ[:]})
	if m.ServerID != 0 {
		opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPServerIdentifier, Data: m.ServerID.Append(nil)})
	}
	if m.Requested != 0 {
		opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPRequestedAddress, Data: m.Requested.Append(nil)})
	}
	if m.ClientID != nil {
		opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPClientIdentifier, Data: m.ClientID})
	}
	opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPParameterRequestList, Data: parameters})
	opts = append(opts, m.Options...)
	dst, _ = dhcp4.AppendMessage(dst, &h, opts, m.Agent, 1400)
	return dst
}

// AppendFrame appends the whole Ethernet frame to dst.
func (m *Msg) AppendFrame(dst []byte) []byte {
	dst, ip := appendHeaders(dst, m.SrcMAC, m.DstMAC, m.Src, m.Dst, m.SrcPort, m.DstPort)
	dst = m.AppendPayload(dst)
	finish(dst[ip:])
	return dst
}

// UDPFrame is an Ethernet frame with a UDP datagram, such as one of a server that a
// test plays.
func UDPFrame(srcMAC, dstMAC wire.MAC, src, dst dhcp4.Addr, srcPort, dstPort uint16, payload []byte) []byte {
	b, ip := appendHeaders(nil, srcMAC, dstMAC, src, dst, srcPort, dstPort)
	b = append(b, payload...)
	finish(b[ip:])
	return b
}

// appendHeaders appends the headers of Ethernet, IP and UDP; ip is where that of IP
// begins. The UDP checksum is zero, which says that there is none.
func appendHeaders(b []byte, srcMAC, dstMAC wire.MAC, src, dst dhcp4.Addr, srcPort, dstPort uint16) (_ []byte, ip int) {
	b = append(b, dstMAC[:]...)
	b = append(b, srcMAC[:]...)
	ip = len(b) + 2
	b = append(b, 8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0)
	b = src.Append(b)
	b = dst.Append(b)
	b = binary.BigEndian.AppendUint16(b, srcPort)
	b = binary.BigEndian.AppendUint16(b, dstPort)
	return append(b, 0, 0, 0, 0), ip
}

// finish fills in lengths and the header's checksum of an IP packet.
func finish(ip []byte) {
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[24:], uint16(len(ip)-20))
	binary.BigEndian.PutUint16(ip[10:], headerChecksum(ip[:20]))
}

// Frame is AppendFrame to a new slice.
func (m *Msg) Frame() []byte { return m.AppendFrame(make([]byte, 0, 400)) }

func headerChecksum(h []byte) uint16 {
	var sum uint32
	for i := 0; i < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// ErrSilence says that no answer came in time.
var ErrSilence = errors.New("no answer")

// Exchange sends m and returns the first reply with its transaction id. Replies to
// any hardware address are seen. Without one in time the error is ErrSilence.
func (s *Station) Exchange(m Msg, timeout time.Duration) (*netlab.Frame, error) {
	if err := s.Send([][]byte{m.Frame()}); err != nil {
		return nil, err
	}
	var got *netlab.Frame
	for end := time.Now().Add(timeout); got == nil; {
		left := time.Until(end)
		if left <= 0 {
			return nil, ErrSilence
		}
		err := s.Receive(left, func(b []byte) {
			f, ok := netlab.DecodeFrame(b)
			if !ok || got != nil {
				return
			}
			if v, ok := f.View(); ok && v.Op() == 2 && v.XID() == m.XID {
				got = &f
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return got, nil
}

// Lease is what a test client knows of its lease.
type Lease struct {
	MAC      wire.MAC
	Addr     dhcp4.Addr
	Server   dhcp4.Addr // server identifier
	Lifetime uint32     // seconds
}

// Bind gets an address for mac by DISCOVER, OFFER, REQUEST and ACK, one try each.
func (s *Station) Bind(mac wire.MAC, xid uint32, timeout time.Duration) (l Lease, err error) {
	f, err := s.Exchange(Discover(mac, xid), timeout)
	if err != nil {
		return l, fmt.Errorf("DISCOVER: %w", err)
	}
	v, _ := f.View()
	if v.MessageType() != dhcp4.Offer {
		return l, fmt.Errorf("DISCOVER was answered by %s", f)
	}
	sid, ok := v.Addr(dhcp4.OptDHCPServerIdentifier)
	if !ok {
		return l, fmt.Errorf("no server identifier in %s", f)
	}
	addr := v.YIAddr()
	if f, err = s.Exchange(Select(mac, xid+1, addr, sid), timeout); err != nil {
		return l, fmt.Errorf("REQUEST for %s: %w", addr, err)
	}
	v, _ = f.View()
	if v.MessageType() != dhcp4.Ack || v.YIAddr() != addr {
		return l, fmt.Errorf("REQUEST for %s was answered by %s", addr, f)
	}
	life, _ := v.Uint32(dhcp4.OptDHCPLeaseTime)
	return Lease{MAC: mac, Addr: addr, Server: sid, Lifetime: life}, nil
}

// TestMAC is the n-th Ethernet address of test clients.
func TestMAC(n int) wire.MAC {
	return wire.MAC{0x02, 0x00, 0x5e, 0x80 | byte(n>>16), byte(n >> 8), byte(n)}
}
