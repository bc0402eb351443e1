package relay_test

import (
	"bytes"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/relay"
	"lessor/internal/wire"
)

func TestRequestGoesToEveryServer(t *testing.T) {
	w := newWorld(t, ports(nil))
	in := discover().bytes()
	p := fromClient(eth1, in)
	_, v := w.relayed(p)
	out := w.e.Sends
	if len(out) != 2 || out[0].Dst != server1 || out[1].Dst != server2 {
		t.Fatalf("sent to %+v, want both servers", out)
	}
	for _, s := range out {
		if s.Raw || s.SrcPort != 67 || s.DstPort != 67 || s.Src != eth1.Addrs[0].Addr {
			t.Errorf("sent as %+v", s)
		}
	}
	if v.GIAddr() != eth1.Addrs[0].Addr || v.Hops() != 1 {
		t.Errorf("giaddr %s, hops %d", v.GIAddr(), v.Hops())
	}
	want := bytes.Clone(in)
	want[3] = 1
	copy(want[24:], out[0].Data[24:28])
	if !bytes.Equal(out[0].Data, want) {
		t.Error("more than giaddr and hops was changed")
	}
	if !bytes.Equal(in, discover().bytes()) {
		t.Error("the received message was written to")
	}
}

// Option 82 is the last option, in front of END, whatever follows that (RFC 3046 2.1).
func TestAgentInfoIsLast(t *testing.T) {
	w := newWorld(t, ports(func(d *relay.Downstream) {
		circuit(d)
		d.RemoteID, d.SubscriberID = text("${hostname}/${hw-address}/${subnet}"), text("${interface-address} ${giaddr} ${interface-hw-address}")
	}))
	in := append(discover().bytes(), make([]byte, 248)...) // as dhclient pads
	s, v := w.relayed(fromClient(eth2, in))
	want := []byte("\x01\x04eth2\x02\x22gw/02:00:5e:10:00:09/198.18.2.0/24\x06\x2c198.18.2.1 198.18.2.1 02:00:5e:10:01:02")
	want[7] = byte(len("gw/02:00:5e:10:00:09/198.18.2.0/24"))
	want[8+want[7]+1] = byte(len("198.18.2.1 198.18.2.1 02:00:5e:10:01:02"))
	if got := agentInfo(v); !bytes.Equal(got, want) {
		t.Errorf("option 82 is\n%q, want\n%q", got, want)
	}
	if i := bytes.Index(s.Data, want); s.Data[i+len(want)] != 255 || len(s.Data) > len(in) {
		t.Errorf("option 82 is not the last, or the message grew from %d to %d octets", len(in), len(s.Data))
	}
}

func TestGIAddrIsKept(t *testing.T) {
	w := newWorld(t, ports(circuit))
	m := discover()
	m.GIAddr, m.Hops = dhcp4.MustParseAddr("198.51.100.1"), 2
	s, v := w.relayed(fromClient(eth1, m.bytes()))
	if v.GIAddr() != m.GIAddr || v.Hops() != 3 || v.Has(dhcp4.OptDHCPAgentOptions) {
		t.Errorf("giaddr %s, hops %d, option 82 %v", v.GIAddr(), v.Hops(), v.Has(dhcp4.OptDHCPAgentOptions))
	}
	if s.Src != eth1.Addrs[0].Addr {
		t.Errorf("source %s is not ours", s.Src)
	}
}

func TestRequestsThatAreDropped(t *testing.T) {
	for _, c := range []struct {
		name string
		want relay.Reason
		edit func(m *message)
	}{
		{"hops over the limit", relay.Hops, func(m *message) { m.Hops = 5 }},
		{"hops at their largest", relay.Hops, func(m *message) { m.Hops = 255 }},
		{"own giaddr", relay.OwnGIAddr, func(m *message) { m.GIAddr = eth1.Addrs[0].Addr }},
		{"giaddr of another interface", relay.OwnGIAddr, func(m *message) { m.GIAddr = eth2.Addrs[0].Addr }},
		{"giaddr of a second address", relay.OwnGIAddr, func(m *message) { m.GIAddr = eth1.Addrs[1].Addr }},
		{"broadcast giaddr", relay.BadGIAddr, func(m *message) { m.GIAddr = dhcp4.Broadcast }},
		{"multicast giaddr", relay.BadGIAddr, func(m *message) { m.GIAddr = dhcp4.MustParseAddr("224.0.0.1") }},
		{"loopback giaddr", relay.BadGIAddr, func(m *message) { m.GIAddr = dhcp4.MustParseAddr("127.0.0.1") }},
		{"option 82", relay.UntrustedAgentInfo, func(m *message) { m.agent = []byte("\x01\x01x") }},
		{"option 82 and giaddr", relay.UntrustedAgentInfo, func(m *message) { m.agent, m.GIAddr = []byte("\x01\x01x"), dhcp4.MustParseAddr("198.51.100.1") }},
		{"empty option 82", relay.UntrustedAgentInfo, func(m *message) { m.agent = []byte{} }},
		{"BOOTP", relay.BOOTP, func(m *message) { m.kind = 0 }},
		{"group hardware address", relay.BadHWAddress, func(m *message) { m.CHAddr[0] = 1 }},
		{"our hardware address", relay.BadHWAddress, func(m *message) { copy(m.CHAddr[:], eth2.MAC[:]) }},
		{"op 0", relay.BadOp, func(m *message) { m.Op = 0 }},
		{"a reply", relay.ReplyFromClients, func(m *message) { *m = ack(eth1.Addrs[0].Addr) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := discover()
			c.edit(&m)
			newWorld(t, ports(circuit)).dropped(fromClient(eth1, m.bytes()), c.want)
		})
	}
	w := newWorld(t, ports(nil))
	w.dropped(fromClient(wire.Link{ID: upstream}, discover().bytes()), relay.NotDownstream)
	w.dropped(fromClient(eth1, discover().bytes()[:239]), relay.TooShort)
	broken := discover().bytes()
	broken[236]++
	w.dropped(fromClient(eth1, broken), relay.BadCookie)
	broken = discover().bytes()[:244]
	broken[241] = 200
	w.dropped(fromClient(eth1, broken), relay.Malformed)
}

func TestHopsLimit(t *testing.T) {
	for limit, largest := range map[uint8]uint8{0: 4, 1: 1, 16: 16, 200: 16} {
		c := ports(nil)
		c.MaxHops = limit
		w := newWorld(t, c)
		m := discover()
		m.Hops = largest
		w.relayed(fromClient(eth1, m.bytes()))
		m.Hops++
		w.dropped(fromClient(eth1, m.bytes()), relay.Hops)
	}
}

func TestPolicyForAgentInfoThatIsThere(t *testing.T) {
	theirs := []byte("\x01\x04port\x02\x02sw")
	for _, c := range []struct {
		policy       relay.Policy
		giaddr       dhcp4.Addr
		want, relays string
	}{
		{relay.Forward, 0, string(theirs), string(theirs)},
		{relay.Append, 0, string(theirs) + "\x01\x04eth1", string(theirs)},
		{relay.Replace, 0, "\x01\x04eth1", ""},
		{relay.Forward, dhcp4.MustParseAddr("198.51.100.1"), string(theirs), ""},
		{relay.Append, dhcp4.MustParseAddr("198.51.100.1"), string(theirs) + "\x01\x04eth1", ""},
		{relay.Replace, dhcp4.MustParseAddr("198.51.100.1"), "\x01\x04eth1", ""},
	} {
		conf := ports(func(d *relay.Downstream) { circuit(d); d.Trusted = true })
		conf.Policy = c.policy
		w := newWorld(t, conf)
		m := discover()
		m.agent, m.GIAddr = theirs, c.giaddr
		_, v := w.relayed(fromClient(eth1, m.bytes()))
		if got := string(agentInfo(v)); got != c.want {
			t.Errorf("policy %d, giaddr %s: option 82 %q, want %q", c.policy, c.giaddr, got, c.want)
		}
		if c.giaddr != 0 {
			continue
		}
		// What the server echoes goes back to the trusted device without what is ours.
		r := ack(eth1.Addrs[0].Addr)
		r.agent = []byte(c.want)
		_, v = w.relayed(fromServer(r))
		if got := string(agentInfo(v)); got != c.relays {
			t.Errorf("policy %d: the reply has option 82 %q, want %q", c.policy, got, c.relays)
		}
	}
	conf := ports(func(d *relay.Downstream) { d.Trusted = true })
	conf.Policy = relay.Drop
	m := discover()
	m.agent = theirs
	newWorld(t, conf).dropped(fromClient(eth1, m.bytes()), relay.AgentInfoRefused)
}

// TestNoGrowthBeyondTheMTU: one octet decides whether option 82 is added (RFC 3046 2.1).
func TestNoGrowthBeyondTheMTU(t *testing.T) {
	for _, extra := range []int{0, 1} {
		w := newWorld(t, ports(circuit))
		w.a.SetMTU(700)
		m := discover()
		fill := 700 - 28 - len("\x52\x06\x01\x04eth1") - 240 - 3 - 1 - 2 - 2 + extra
		m.opts = []dhcp4.Option{{Code: dhcp4.OptVendorEncapsulatedOptions, Data: make([]byte, fill)}}
		in := m.bytes()
		s, v := w.relayed(fromClient(eth1, in))
		if has := v.Has(dhcp4.OptDHCPAgentOptions); has != (extra == 0) {
			t.Fatalf("%d octets became %d, option 82 %v", len(in), len(s.Data), has)
		}
		if len(s.Data)+28 > 700 {
			t.Errorf("the message grew to %d octets", len(s.Data)+28)
		}
		if got := w.a.Counters().Omitted[relay.RequestTooLong]; got != uint64(extra) {
			t.Errorf("%d omissions counted, want %d", got, extra)
		}
		if extra == 1 && (len(w.e.Events) != 1 || w.e.Events[0].Kind != relay.EventOmitted) {
			t.Errorf("events %+v", w.e.Events)
		}
	}
}

func TestAgentInfoThatIsTooLong(t *testing.T) {
	w := newWorld(t, ports(func(d *relay.Downstream) { d.CircuitID = text(string(make([]byte, 300))) }))
	_, v := w.relayed(fromClient(eth1, discover().bytes()))
	if v.Has(dhcp4.OptDHCPAgentOptions) || w.a.Counters().Omitted[relay.AgentInfoTooLong] != 1 {
		t.Errorf("option 82 of %d octets", v.Len(dhcp4.OptDHCPAgentOptions))
	}
}

// A client that was given the interface's address as that of its server renews by unicast
// through the agent (RFC 5107 4).
func TestLinkSelection(t *testing.T) {
	w := newWorld(t, ports(selection))
	for _, unicast := range []bool{false, true} {
		p := fromClient(eth2, discover().bytes())
		flags := "\x00"
		if unicast {
			p.DstMAC, p.Dst, p.Src = eth2.MAC, eth2.Addrs[0].Addr, dhcp4.MustParseAddr("198.18.2.50")
			flags = "\x80"
		}
		s, v := w.relayed(p)
		want := "\x05\x04\xc6\x12\x02\x00" + "\x0a\x01" + flags + "\x0b\x04\xc6\x12\x02\x01"
		if got := string(agentInfo(v)); got != want {
			t.Errorf("unicast %v: option 82 %q, want %q", unicast, got, want)
		}
		if v.GIAddr() != loopback || s.Src != loopback {
			t.Errorf("giaddr %s from %s", v.GIAddr(), s.Src)
		}
		// Both interfaces have this giaddr; option 82 says which is meant, with or without
		// sub-option 5 (RFC 3527 3).
		for _, echo := range []string{want, want[6:], want[9:] + want[:9]} {
			r := ack(loopback)
			r.agent = []byte(echo)
			s, v = w.relayed(fromServer(r))
			if s.Link != eth2.ID || s.Src != eth2.Addrs[0].Addr || v.Has(dhcp4.OptDHCPAgentOptions) {
				t.Errorf("the reply goes to %+v", s)
			}
		}
	}
	w.dropped(fromServer(ack(loopback)), relay.NoLink)
}

// Without sub-option 5 giaddr has to say where the client is.
func TestLinkSelectionWithoutRoom(t *testing.T) {
	w := newWorld(t, ports(selection))
	w.a.SetMTU(576)
	m := discover()
	m.opts = []dhcp4.Option{{Code: dhcp4.OptVendorEncapsulatedOptions, Data: make([]byte, 290)}}
	_, v := w.relayed(fromClient(eth2, m.bytes()))
	if v.GIAddr() != eth2.Addrs[0].Addr {
		t.Errorf("giaddr is %s", v.GIAddr())
	}
	if s, _ := w.relayed(fromServer(ack(eth2.Addrs[0].Addr))); s.Link != eth2.ID {
		t.Errorf("the reply goes to %+v", s)
	}
}

func TestSourcePort(t *testing.T) {
	c := ports(nil)
	c.SourcePort = 6767
	w := newWorld(t, c)
	s, v := w.relayed(fromClient(eth1, discover().bytes()))
	if s.SrcPort != 6767 || string(agentInfo(v)) != "\x13\x00" {
		t.Errorf("sent as %+v with option 82 %q", s, agentInfo(v))
	}
	r := ack(eth1.Addrs[0].Addr)
	r.agent = agentInfo(v)
	if _, v := w.relayed(fromServer(r)); v.Has(dhcp4.OptDHCPAgentOptions) {
		t.Error("option 82 was not stripped")
	}
	w.a.SetMTU(576)
	m := discover()
	m.opts = []dhcp4.Option{{Code: dhcp4.OptVendorEncapsulatedOptions, Data: make([]byte, 300)}}
	w.dropped(fromClient(eth1, m.bytes()), relay.NoSourcePort)
}

func TestLinksComeAndGo(t *testing.T) {
	w := newWorld(t, ports(circuit))
	renamed := eth1
	renamed.Name, renamed.Addrs = "lan0", []dhcp4.Prefix{prefix("198.18.7.1")}
	w.a.SetLinks(lease.Instant{}, []wire.Link{renamed})
	_, v := w.relayed(fromClient(eth1, discover().bytes()))
	if v.GIAddr() != renamed.Addrs[0].Addr || string(agentInfo(v)) != "\x01\x04lan0" {
		t.Errorf("giaddr %s, option 82 %q", v.GIAddr(), agentInfo(v))
	}
	w.dropped(fromClient(eth2, discover().bytes()), relay.NotDownstream)
	w.dropped(fromServer(ack(eth1.Addrs[0].Addr)), relay.NotOurGIAddr)

	c := ports(nil)
	c.Servers = c.Servers[1:]
	w.a.Configure(c)
	if out := w.handle(fromClient(eth1, discover().bytes())); len(out) != 1 || out[0].Dst != server2 {
		t.Errorf("after a new configuration, sent %+v", out)
	}
	if w.a.Counters().ToServers != 2 {
		t.Errorf("counters did not go on: %+v", w.a.Counters())
	}
}
