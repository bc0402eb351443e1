package relay_test

import (
	"bytes"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/relay"
	"lessor/internal/wire"
)

// FuzzHandle holds every answer of the agent to I21 of docs/invariants.md.
func FuzzHandle(f *testing.F) {
	for conf := range uint8(24) {
		f.Add(conf, false, discover().bytes())
		f.Add(conf, true, ack(eth1.Addrs[0].Addr).bytes())
		m := ack(loopback)
		m.agent = []byte("\x01\x04eth1\x05\x04\xc6\x12\x01\x00\x0b\x04\xc6\x12\x01\x01\x0a\x01\x00")
		f.Add(conf, true, m.bytes())
		m = discover()
		m.agent, m.GIAddr, m.Hops = []byte("\x01\x04port"), dhcp4.MustParseAddr("198.51.100.1"), 3
		f.Add(conf, false, m.bytes())
	}
	f.Fuzz(func(t *testing.T, conf uint8, fromAbove bool, data []byte) {
		c := ports([]func(*relay.Downstream){nil, circuit, all}[conf%3])
		trusted := conf/3%2 == 1
		for i := range c.Downstream {
			c.Downstream[i].Trusted = trusted
		}
		c.Policy = relay.Policy(conf / 6 % 4)
		w := newWorld(t, c)
		p := fromClient(eth1, data)
		if fromAbove {
			p = &wire.Packet{Link: upstream, Data: data, Src: server1, Dst: loopback, SrcPort: 67}
		}
		kept := bytes.Clone(data)
		out := w.handle(p)
		if !bytes.Equal(kept, data) {
			t.Fatal("the received message was written to")
		}
		n := w.a.Counters()
		if drops := sum(n.Dropped); n.ToServers+n.ToClients+drops != 1 || (len(out) > 0) != (drops == 0) {
			t.Fatalf("%d messages and %d drops for one", len(out), drops)
		}
		if len(out) == 0 {
			return
		}
		var in, v dhcp4.View
		if err := in.Parse(data); err != nil {
			t.Fatalf("relayed what cannot be read: %v", err)
		}
		for _, s := range out {
			if err := v.Parse(s.Data); err != nil {
				t.Fatalf("what was relayed cannot be read: %v", err)
			}
			if fromAbove {
				checkReply(t, &s, &in, &v, trusted)
			} else {
				checkRequest(t, &s, &in, &v, trusted)
			}
		}
	})
}

func sum(ns [relay.NumReasons]uint64) (n uint64) {
	for _, x := range ns {
		n += x
	}
	return n
}

func checkRequest(t *testing.T, s *wire.Send, in, v *dhcp4.View, trusted bool) {
	if s.Raw || s.Dst != server1 && s.Dst != server2 || in.Op() != 1 {
		t.Fatalf("a request was sent as %+v", s)
	}
	if in.GIAddr() != 0 && v.GIAddr() != in.GIAddr() || in.GIAddr() == 0 && v.GIAddr() != loopback && v.GIAddr() != eth1.Addrs[0].Addr {
		t.Fatalf("giaddr %s became %s", in.GIAddr(), v.GIAddr())
	}
	if in.Hops() > relay.DefaultMaxHops || v.Hops() != in.Hops()+1 {
		t.Fatalf("hops %d became %d", in.Hops(), v.Hops())
	}
	if in.Has(dhcp4.OptDHCPAgentOptions) && !trusted {
		t.Fatal("relayed an option 82 that nobody trusts")
	}
	if grown := len(s.Data) > len(in.Bytes()); grown && len(s.Data) > 300 && len(s.Data)+28 > 1500 {
		t.Fatalf("%d octets became %d", len(in.Bytes()), len(s.Data))
	}
	sameButAgentInfo(t, in, v)
}

func checkReply(t *testing.T, s *wire.Send, in, v *dhcp4.View, trusted bool) {
	if !s.Raw || s.Link != eth1.ID && s.Link != eth2.ID || in.Op() != 2 || s.DstPort != 68 {
		t.Fatalf("a reply was sent as %+v", s)
	}
	if g := in.GIAddr(); g != loopback && g != eth1.Addrs[0].Addr && g != eth2.Addrs[0].Addr {
		t.Fatalf("relayed a reply for %s", g)
	}
	if len(s.Data) > len(in.Bytes()) || len(s.Data)+28 > 1500 {
		t.Fatalf("%d octets became %d", len(in.Bytes()), len(s.Data))
	}
	for o := range v.Instances {
		if o.Code == dhcp4.OptDHCPAgentOptions && o.Area == dhcp4.AreaOptions && !trusted {
			t.Fatal("a client that is not trusted gets an option 82")
		}
	}
	sameButAgentInfo(t, in, v)
}

// sameButAgentInfo checks that the header and every option but 82 are as they came, in their
// order.
func sameButAgentInfo(t *testing.T, in, v *dhcp4.View) {
	a, b := bytes.Clone(in.Bytes()[:240]), bytes.Clone(v.Bytes()[:240])
	for _, h := range [][]byte{a, b} {
		h[3] = 0
		copy(h[24:28], "\x00\x00\x00\x00")
	}
	if !bytes.Equal(a, b) {
		t.Fatalf("the header\n%x became\n%x", a, b)
	}
	if x, y := optionsBut82(in), optionsBut82(v); !bytes.Equal(x, y) {
		t.Fatalf("the options\n%x became\n%x", x, y)
	}
}

func optionsBut82(v *dhcp4.View) (out []byte) {
	for o := range v.Instances {
		if o.Code != dhcp4.OptDHCPAgentOptions || o.Area != dhcp4.AreaOptions {
			out = append(append(out, byte(o.Area), byte(o.Code), byte(len(o.Data))), o.Data...)
		}
	}
	return out
}

// TestEveryAgentSubOption: option 82 with every sub-option and length, in requests and
// replies, by every policy, costs at most a drop.
func TestEveryAgentSubOption(t *testing.T) {
	for conf := range uint8(4) {
		c := ports(func(d *relay.Downstream) { all(d); d.Trusted = true })
		c.Policy = relay.Policy(conf)
		w := newWorld(t, c)
		for code := range 256 {
			for n := range 256 {
				for _, have := range []int{n, n / 2} { // whole, and cut off
					m := discover()
					m.agent = append([]byte{byte(code), byte(n)}, make([]byte, have)...)
					in := m.bytes()
					w.handle(fromClient(eth1, in))
					in[0] = 2
					copy(in[24:], loopback.Append(nil))
					w.a.Handle(lease.Instant{}, &wire.Packet{Link: upstream, Data: in}, &w.e)
					for _, s := range w.e.Sends {
						var v dhcp4.View
						if err := v.Parse(s.Data); err != nil {
							t.Fatalf("sub-option %d of %d octets: %v", code, n, err)
						}
					}
				}
			}
		}
	}
}
