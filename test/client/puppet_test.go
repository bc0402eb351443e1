package client

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/wire"
	"lessor/test/e2e"
)

// puppet is a server whose every answer a test writes: on a host of its own, which has
// the address 198.18.0.1 and answers ARP as any host does.
type puppet struct {
	t    *testing.T
	host *netlab.Host
	st   *e2e.Station
	mac  wire.MAC
	addr dhcp4.Addr
}

// newPuppet puts a server on the switch that is silent until a test says something.
func newPuppet(t *testing.T, l *netlab.Lab, sw *netlab.Switch, name string) *puppet {
	t.Helper()
	p := &puppet{t: t, host: try(l.Host(name))(t), addr: dhcp4.MustParseAddr(serverAddr.String())}
	check(t, sw.Join(p.host, "eth0", serverAddr.String()+"/24"))
	p.mac = p.host.MAC("eth0")
	p.st = try(e2e.NewStation(p.host, "eth0"))(t)
	t.Cleanup(func() { p.st.Close() })
	// What comes is read from the wire; the socket keeps the kernel from answering it
	// with "port unreachable".
	check(t, p.host.Do(func() error {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: dhcp4.ServerPort})
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return err
	}))
	return p
}

// reply is a message of a server. Zero fields are what a good server says.
type reply struct {
	Type     dhcp4.MessageType
	XID      uint32
	CHAddr   wire.MAC
	CIAddr   dhcp4.Addr
	YIAddr   dhcp4.Addr
	ServerID dhcp4.Addr     // 0: none is sent
	Options  []dhcp4.Option // further ones
	DstMAC   wire.MAC
	Dst      dhcp4.Addr
}

// to is the answer of the type to a client's message, with the server's name, and in
// OFFER and ACK an address and a lease, by unicast frame to the client.
func (p *puppet) to(v *dhcp4.View, typ dhcp4.MessageType, yiaddr dhcp4.Addr, lifetime uint32) reply {
	var mac wire.MAC
	copy(mac[:], v.CHAddr())
	r := reply{Type: typ, XID: v.XID(), CHAddr: mac, ServerID: p.addr, DstMAC: mac, Dst: yiaddr}
	if typ != dhcp4.Nak {
		r.YIAddr = yiaddr
		r.Options = []dhcp4.Option{
			{Code: dhcp4.OptDHCPLeaseTime, Data: binary.BigEndian.AppendUint32(nil, lifetime)},
			{Code: dhcp4.OptSubnetMask, Data: []byte{255, 255, 255, 0}},
			{Code: dhcp4.OptRouters, Data: p.addr.Append(nil)},
		}
	}
	return r
}

// broadcast is r as an Ethernet and IP broadcast.
func (r reply) broadcast() reply {
	r.DstMAC, r.Dst = wire.BroadcastMAC, dhcp4.Broadcast
	return r
}

// send sends replies in order.
func (p *puppet) send(rs ...reply) {
	p.t.Helper()
	var frames [][]byte
	for _, r := range rs {
		h := dhcp4.Header{Op: 2, HType: 1, HLen: 6, XID: r.XID, CIAddr: r.CIAddr, YIAddr: r.YIAddr}
		copy(h.CHAddr[:], r.CHAddr[:])
		opts := []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(r.Type)}}}
		if r.ServerID != 0 {
			opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPServerIdentifier, Data: r.ServerID.Append(nil)})
		}
		payload, _ := dhcp4.AppendMessage(nil, &h, append(opts, r.Options...), nil, 1400)
		frames = append(frames, e2e.UDPFrame(p.mac, r.DstMAC, p.addr, r.Dst, dhcp4.ServerPort, dhcp4.ClientPort, payload))
	}
	check(p.t, p.st.Send(frames))
}

// hears waits for the client's next message of the type.
func (s *stage) hears(typ dhcp4.MessageType, within time.Duration) *dhcp4.View {
	s.t.Helper()
	_, v := s.message(s.host.Name, typ, within)
	return v
}

// arpFrame is an ARP message of the operation: sender is where senderMAC says that it is.
func arpFrame(senderMAC, dstMAC wire.MAC, op uint16, sender, target dhcp4.Addr) []byte {
	b := append(append([]byte(nil), dstMAC[:]...), senderMAC[:]...)
	b = append(b, 8, 6, 0, 1, 8, 0, 6, 4)
	b = binary.BigEndian.AppendUint16(b, op)
	b = append(b, senderMAC[:]...)
	b = sender.Append(b)
	b = append(b, make([]byte, 6)...)
	return target.Append(b)
}

func hardware(m wire.MAC) string { return net.HardwareAddr(m[:]).String() }
