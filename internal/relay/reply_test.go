package relay_test

import (
	"bytes"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/relay"
	"lessor/internal/wire"
)

// TestDelivery: RFC 2131 4.1 and RFC 1542 4.1.2.
func TestDelivery(t *testing.T) {
	yours := dhcp4.MustParseAddr("198.18.1.50")
	for _, c := range []struct {
		name string
		edit func(m *message)
		mac  wire.MAC
		dst  dhcp4.Addr
	}{
		{"without broadcast bit", func(m *message) {}, clientHW, yours},
		{"with broadcast bit", func(m *message) { m.Flags = dhcp4.FlagBroadcast }, wire.BroadcastMAC, dhcp4.Broadcast},
		{"NAK", func(m *message) { m.kind, m.YIAddr = dhcp4.Nak, 0 }, wire.BroadcastMAC, dhcp4.Broadcast},
		{"NAK of a client with an address", func(m *message) { m.kind, m.YIAddr, m.CIAddr = dhcp4.Nak, 0, yours }, wire.BroadcastMAC, dhcp4.Broadcast},
		{"INFORM", func(m *message) { m.YIAddr, m.CIAddr = 0, yours+1 }, clientHW, yours + 1},
		{"no address", func(m *message) { m.YIAddr = 0 }, wire.BroadcastMAC, dhcp4.Broadcast},
		{"an address that nobody has", func(m *message) { m.YIAddr = dhcp4.MustParseAddr("127.0.0.1") }, wire.BroadcastMAC, dhcp4.Broadcast},
		{"other hardware", func(m *message) { m.HType, m.HLen = 32, 16 }, wire.BroadcastMAC, dhcp4.Broadcast},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, ports(nil))
			m := ack(eth1.Addrs[0].Addr)
			c.edit(&m)
			s, _ := w.relayed(fromServer(m))
			if !s.Raw || s.Link != eth1.ID || s.MAC != c.mac || s.Dst != c.dst || s.DstPort != 68 || s.SrcPort != 67 || s.Src != eth1.Addrs[0].Addr {
				t.Errorf("sent as %+v", s)
			}
			if !bytes.Equal(s.Data, m.bytes()) {
				t.Error("the reply was changed")
			}
		})
	}
}

func TestOwnAgentInfoIsStripped(t *testing.T) {
	w := newWorld(t, ports(circuit))
	m := ack(eth1.Addrs[0].Addr)
	m.opts = []dhcp4.Option{{Code: dhcp4.OptSubnetMask, Data: []byte{255, 255, 255, 0}}}
	want := m.bytes()
	m.agent = []byte("\x01\x04eth1")
	s, _ := w.relayed(fromServer(m))
	if !bytes.Equal(s.Data, want) {
		t.Errorf("the client gets\n%x, want\n%x", s.Data, want)
	}
}

func TestRepliesThatAreDropped(t *testing.T) {
	for _, c := range []struct {
		name string
		want relay.Reason
		edit func(m *message)
	}{
		{"another giaddr", relay.NotOurGIAddr, func(m *message) { m.GIAddr++ }},
		{"no giaddr", relay.NotOurGIAddr, func(m *message) { m.GIAddr = 0 }},
		{"foreign option 82", relay.ForeignAgentInfo, func(m *message) { m.agent = []byte("\x01\x04eth2") }},
		{"more than our option 82", relay.ForeignAgentInfo, func(m *message) { m.agent = []byte("\x01\x04eth1\x02\x01x") }},
		{"our option 82 twice", relay.ForeignAgentInfo, func(m *message) { m.agent = []byte("\x01\x04eth1\x01\x04eth1") }},
		{"something before our option 82", relay.ForeignAgentInfo, func(m *message) { m.agent = []byte("\x02\x01x\x01\x04eth1") }},
		{"truncated option 82", relay.ForeignAgentInfo, func(m *message) { m.agent = []byte("\x01\x04eth") }},
		{"an octet behind our option 82", relay.ForeignAgentInfo, func(m *message) { m.agent = []byte("\x01\x04eth1\x02") }},
		{"empty option 82", relay.ForeignAgentInfo, func(m *message) { m.agent = []byte{} }},
		{"two octets of option 82", relay.ForeignAgentInfo, func(m *message) { m.agent = []byte("\x01\x00") }},
		{"long option 82", relay.ForeignAgentInfo, func(m *message) { m.agent = make([]byte, 700) }},
		{"BOOTP", relay.BOOTP, func(m *message) { m.kind = 0 }},
		{"group hardware address", relay.BadHWAddress, func(m *message) { m.CHAddr[0] = 1 }},
		{"a request", relay.NotDownstream, func(m *message) { m.Op = 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := ack(eth1.Addrs[0].Addr)
			c.edit(&m)
			newWorld(t, ports(circuit)).dropped(fromServer(m), c.want)
		})
	}
}

// filling is options that take n octets, from 514 to 771.
func filling(n int) []dhcp4.Option {
	return []dhcp4.Option{{Code: dhcp4.OptVendorEncapsulatedOptions, Data: make([]byte, 2*255)},
		{Code: dhcp4.OptVendorClassIdentifier, Data: make([]byte, n-2*257-2)}}
}

// TestLongestReply: one octet decides whether a reply fits the client's interface.
func TestLongestReply(t *testing.T) {
	small := eth1
	small.MTU = 1000
	w := newWorld(t, ports(nil))
	w.a.SetLinks(lease.Instant{}, []wire.Link{small})
	m := ack(eth1.Addrs[0].Addr)
	m.opts = filling(1000 - 28 - 240 - 3 - 1)
	w.relayed(fromServer(m))
	m.opts = filling(1000 - 28 - 240 - 3 - 1 + 1)
	w.dropped(fromServer(m), relay.ReplyTooLong)
}

// A trusted device that added option 82 is the one to take it off (RFC 3046 2.1).
func TestAgentInfoOfATrustedDevice(t *testing.T) {
	w := newWorld(t, ports(func(d *relay.Downstream) { circuit(d); d.Trusted = true }))
	m := ack(eth1.Addrs[0].Addr)
	m.agent = []byte("\x01\x06port-7")
	s, _ := w.relayed(fromServer(m))
	if !bytes.Equal(s.Data, m.bytes()) {
		t.Errorf("the reply was changed: %q", s.Data)
	}
}

// An option 82 that is longer than one can be is nobody's to take apart.
func TestLongAgentInfoOfATrustedDevice(t *testing.T) {
	w := newWorld(t, ports(func(d *relay.Downstream) { circuit(d); d.Trusted = true }))
	m := ack(eth1.Addrs[0].Addr)
	m.agent = append([]byte{2, 200}, make([]byte, 200)...)
	m.agent = append(append(m.agent, 6, 100), make([]byte, 100)...)
	m.agent = append(m.agent, "\x01\x04eth1"...)
	if s, _ := w.relayed(fromServer(m)); !bytes.Equal(s.Data, m.bytes()) {
		t.Errorf("the reply was changed: %q", s.Data)
	}
}

func TestReasonsAreComplete(t *testing.T) {
	seen := map[string]bool{"": true}
	for r := relay.None + 1; r < relay.NumReasons; r++ {
		if seen[r.String()] || r.Text() == "" {
			t.Errorf("reason %d has id %q and text %q", r, r, r.Text())
		}
		seen[r.String()] = true
	}
}
