package checker

import (
	"encoding/binary"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// madeClient is one of Lessor's clients in a history, on a host of its own.
type madeClient struct {
	b   *history
	k   who
	xid uint32
	req int64 // M of the first REQUEST of the exchange
}

var oneServer = dhcp4.MustParseAddr("198.18.0.1")

// client starts a client that probes a new address twice, a second apart.
func (b *history) client(k who) *madeClient {
	m := &madeClient{b: b, k: k}
	m.say(&trace.Client{What: trace.ClientStart, Probes: 2, ProbeMin: second, ProbeWait: second})
	return m
}

func (m *madeClient) turn() { m.b.turn("c" + string('0'+rune(m.k.hw))) }

func (m *madeClient) say(e *trace.Client) {
	m.turn()
	e.Ours, e.MAC = true, m.k.mac()
	m.b.add(e)
}

func (m *madeClient) state(s string) { m.say(&trace.Client{What: trace.ClientState, State: s}) }

// ask sends a message, with the options of args.
func (m *madeClient) ask(typ dhcp4.MessageType, ciaddr string, args ...string) {
	m.turn()
	mac := m.k.mac()
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: m.xid, CIAddr: addrOf(ciaddr)}
	copy(h.CHAddr[:], mac[:])
	opts := []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(typ)}}}
	for i := 0; i < len(args); i += 2 {
		code := dhcp4.OptDHCPRequestedAddress
		if args[i] == "sid" {
			code = dhcp4.OptDHCPServerIdentifier
		}
		opts = append(opts, dhcp4.Option{Code: code, Data: addrOf(args[i+1]).Append(nil)})
	}
	f := &trace.Frame{Sent: true, SrcMAC: mac, DstMAC: wire.BroadcastMAC, Src: addrOf(ciaddr), Dst: dhcp4.Broadcast, SrcPort: 68, DstPort: 67}
	f.Payload, _ = dhcp4.AppendMessage(nil, &h, opts, nil, 1472)
	m.b.add(f)
}

// get delivers an answer of a server.
func (m *madeClient) get(typ dhcp4.MessageType, a string, server dhcp4.Addr, lifetime uint32) {
	m.turn()
	mac := m.k.mac()
	h := dhcp4.Header{Op: 2, HType: 1, HLen: 6, XID: m.xid, YIAddr: addrOf(a)}
	copy(h.CHAddr[:], mac[:])
	opts := []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(typ)}},
		{Code: dhcp4.OptDHCPServerIdentifier, Data: server.Append(nil)}}
	if lifetime != 0 {
		opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPLeaseTime, Data: binary.BigEndian.AppendUint32(nil, lifetime)})
	}
	f := &trace.Frame{DstMAC: mac, Dst: h.YIAddr, SrcPort: 67, DstPort: 68}
	f.Payload, _ = dhcp4.AppendMessage(nil, &h, opts, nil, 548)
	m.b.add(f)
}

// acked is the way to an ACK of a for lifetime seconds, which the client takes.
func (m *madeClient) acked(a string, lifetime uint32) {
	m.xid += 0x100
	m.ask(dhcp4.Discover, "")
	m.get(dhcp4.Offer, a, oneServer, lifetime)
	m.state("REQUESTING")
	m.turn()
	m.req = m.b.now().M
	m.ask(dhcp4.Request, "", "sid", oneServer.String(), "req", a)
	m.get(dhcp4.Ack, a, oneServer, lifetime)
	m.take(a, lifetime)
	m.state("CHECKING")
}

func (m *madeClient) take(a string, lifetime uint32) {
	m.say(&trace.Client{What: trace.ClientAccept, Addr: addrOf(a), Start: m.req, End: lease.After(m.req, lifetime), Lifetime: lifetime})
}

func (m *madeClient) probe(a string) {
	m.turn()
	m.b.add(&trace.Frame{Sent: true, ARP: &wire.ARP{Op: 1, SenderMAC: m.k.mac(), TargetIP: addrOf(a)}})
}

// use puts a on the interface, until lifetime seconds after the REQUEST.
func (m *madeClient) use(a string, lifetime uint32) {
	m.say(&trace.Client{What: trace.ClientConfigure, Addr: addrOf(a), End: lease.After(m.req, lifetime)})
	m.state("BOUND")
}

// bound is the whole way to the use of a.
func (m *madeClient) bound(a string, lifetime uint32) {
	m.acked(a, lifetime)
	m.probe(a)
	m.b.pass(1)
	m.probe(a)
	m.b.pass(1)
	m.use(a, lifetime)
}

func (m *madeClient) off(a string) {
	m.say(&trace.Client{What: trace.ClientDeconfigure, Addr: addrOf(a)})
}

// heard is an ARP message from another host that has a.
func (m *madeClient) heard(a string) {
	m.turn()
	other := who{hw: 99}.mac()
	m.b.add(&trace.Frame{SrcMAC: other, ARP: &wire.ARP{Op: 2, SenderMAC: other, SenderIP: addrOf(a)}})
}

func (m *madeClient) decline(a string) {
	m.xid++
	m.ask(dhcp4.Decline, "", "sid", oneServer.String(), "req", a)
}

// renew is a REQUEST in RENEWING.
func (m *madeClient) renew(a string) {
	m.xid += 0x100
	m.state("RENEWING")
	m.turn()
	m.req = m.b.now().M
	m.ask(dhcp4.Request, a)
}

const mine = "198.18.0.100"

// TestI20Use: an address is used within its lease, after a check.
func TestI20Use(t *testing.T) {
	stranger := dhcp4.MustParseAddr("198.18.0.66")
	for _, c := range []struct {
		name  string
		do    func(m *madeClient)
		rules []string
	}{
		{"off 0.9 s after the end", func(m *madeClient) { m.bound(mine, 60); m.b.pass(58.9); m.off(mine) }, nil},
		{"off 1.1 s after the end", func(m *madeClient) { m.bound(mine, 60); m.b.pass(59.1); m.off(mine) }, []string{"I20"}},
		{"off late, for it slept", func(m *madeClient) {
			m.bound(mine, 60)
			m.b.pass(90)
			m.turn()
			m.b.clockEntry()
			m.off(mine)
		}, nil},
		{"used longer than given", func(m *madeClient) {
			m.acked(mine, 60)
			m.probe(mine)
			m.b.pass(1)
			m.probe(mine)
			m.b.pass(1)
			m.use(mine, 61)
			m.off(mine)
		}, []string{"I20"}},
		{"one probe", func(m *madeClient) { m.acked(mine, 60); m.probe(mine); m.b.pass(1); m.use(mine, 60); m.off(mine) }, []string{"I20"}},
		{"probes 0.9 s apart", func(m *madeClient) {
			m.acked(mine, 60)
			m.probe(mine)
			m.b.pass(0.9)
			m.probe(mine)
			m.b.pass(1)
			m.use(mine, 60)
			m.off(mine)
		}, []string{"I20"}},
		{"an ACK with a foreign xid", func(m *madeClient) {
			m.xid++
			m.get(dhcp4.Ack, mine, oneServer, 60)
			m.take(mine, 60)
		}, []string{"I20"}},
		{"extended by another server", func(m *madeClient) {
			m.bound(mine, 60)
			m.b.pass(28)
			m.renew(mine)
			m.get(dhcp4.Ack, mine, stranger, 60)
			m.take(mine, 60)
			m.off(mine)
		}, []string{"I20"}},
		{"extended", func(m *madeClient) {
			m.bound(mine, 60)
			m.b.pass(28)
			m.renew(mine)
			m.get(dhcp4.Ack, mine, oneServer, 60)
			m.take(mine, 60)
			m.use(mine, 60)
			m.off(mine)
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHistory(t, "")
			c.do(b.client(who{hw: 7}))
			b.turn("s1")
			b.breaks(c.rules...)
		})
	}
}

// TestI20Conduct: conflicts, NAKs and pace.
func TestI20Conduct(t *testing.T) {
	for _, c := range []struct {
		name  string
		do    func(m *madeClient)
		rules []string
	}{
		{"a conflict, a DECLINE and 10 s", func(m *madeClient) {
			m.acked(mine, 60)
			m.heard(mine)
			m.decline(mine)
			m.b.pass(10)
			m.xid++
			m.ask(dhcp4.Discover, "")
		}, nil},
		{"9.9 s after the DECLINE", func(m *madeClient) {
			m.acked(mine, 60)
			m.heard(mine)
			m.decline(mine)
			m.b.pass(9.9)
			m.xid++
			m.ask(dhcp4.Discover, "")
		}, []string{"I20"}},
		{"a conflict and no DECLINE", func(m *madeClient) {
			m.acked(mine, 60)
			m.heard(mine)
			m.b.pass(2)
			m.state("INIT")
		}, []string{"I20"}},
		{"used in spite of a conflict", func(m *madeClient) {
			m.acked(mine, 60)
			m.probe(mine)
			m.b.pass(1)
			m.probe(mine)
			m.b.pass(1)
			m.heard(mine)
			m.use(mine, 60)
			m.off(mine)
		}, []string{"I20"}},
		{"off after a NAK", func(m *madeClient) {
			m.bound(mine, 60)
			m.renew(mine)
			m.get(dhcp4.Nak, "", oneServer, 0)
			m.b.pass(0.9)
			m.off(mine)
		}, nil},
		{"kept after a NAK", func(m *madeClient) {
			m.bound(mine, 60)
			m.renew(mine)
			m.get(dhcp4.Nak, "", oneServer, 0)
			m.b.pass(1.1)
			m.off(mine)
		}, []string{"I20"}},
		{"kept after the NAK of another", func(m *madeClient) {
			m.bound(mine, 60)
			m.renew(mine)
			m.get(dhcp4.Nak, "", oneServer+9, 0)
			m.b.pass(5)
			m.off(mine)
		}, nil},
		{"DISCOVER again after 3 s, then 7 s", func(m *madeClient) {
			m.ask(dhcp4.Discover, "")
			m.b.pass(3)
			m.ask(dhcp4.Discover, "")
			m.b.pass(7)
			m.ask(dhcp4.Discover, "")
		}, nil},
		{"DISCOVER again after 2.9 s", func(m *madeClient) {
			m.ask(dhcp4.Discover, "")
			m.b.pass(2.9)
			m.ask(dhcp4.Discover, "")
		}, []string{"I20"}},
		{"a REQUEST for what nobody offered", func(m *madeClient) {
			m.ask(dhcp4.Request, "", "sid", oneServer.String(), "req", mine)
		}, []string{"I20"}},
		{"DISCOVER with an address in use", func(m *madeClient) {
			m.bound(mine, 60)
			m.xid++
			m.ask(dhcp4.Discover, "")
			m.off(mine)
		}, []string{"I20"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHistory(t, "")
			c.do(b.client(who{hw: 7}))
			b.turn("s1")
			b.breaks(c.rules...)
		})
	}
}
