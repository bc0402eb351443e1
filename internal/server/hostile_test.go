package server_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// counted is how often one of the counters went up that end a packet.
func counted(c *server.Counters) (n uint64) {
	for _, set := range [][]uint64{c.Sent[:], c.Done[:], c.Dropped[:]} {
		for _, x := range set {
			n += x
		}
	}
	return n
}

// hostileCore serves a small network without conflict checks, so that each packet
// ends at once.
func hostileCore(t testing.TB) (*harness, *server.Core) {
	h := newHarness(&testing.T{})
	c, problems := config.Parse("lessor.yaml", []byte(`
interfaces: [eth0]
valid-lifetime: 1h
conflict-check: off
rapid-commit: true
options: {domain-name-servers: [198.18.0.53], domain-name: example.net}
subnets:
  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.199], options: {routers: [198.18.0.1]}}
  - {subnet: 198.18.2.0/24, pools: [198.18.2.100-198.18.2.199]}
`))
	if c == nil {
		t.Fatal(problems)
	}
	h.core.SetPolicy(h.now, c.Policy(), &h.e)
	h.core.SetLinks(h.now, []wire.Link{{ID: 1, Name: "eth0", MAC: wire.MAC{2, 0, 0, 0, 0xff, 1}, MTU: 1500,
		Addrs: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("198.18.0.1"), Bits: 24}}}}, &h.e)
	return h, h.core
}

// one handles one packet and looks at what every packet owes: one counter, at most one
// reply, no more octets than allowed.
func one(t testing.TB, h *harness, p *wire.Packet) {
	before := counted(h.core.Counters())
	h.e.Reset()
	h.core.Handle(h.now, p, &h.e)
	if n := counted(h.core.Counters()) - before; n != 1 {
		t.Fatalf("%d counters went up for %x", n, p.Data)
	}
	if len(h.e.Replies) > 1 {
		t.Fatalf("%d replies to %x", len(h.e.Replies), p.Data)
	}
	var q, v dhcp4.View
	for _, r := range h.e.Replies {
		if q.Parse(p.Data) != nil || v.Parse(r.Data) != nil {
			t.Fatalf("a reply %x to %x", r.Data, p.Data)
		}
		limit := 576
		if n, ok := q.Uint16(dhcp4.OptDHCPMaxMessageSize); ok {
			limit = max(limit, int(n))
		}
		if len(r.Data) > min(limit, 1500)-28 {
			t.Fatalf("a reply of %d octets to %x", len(r.Data), p.Data)
		}
		if v.XID() != q.XID() || v.CHAddr16() != q.CHAddr16() || v.HType() != q.HType() || v.GIAddr() != q.GIAddr() {
			t.Fatalf("the reply %x is not faithful to %x (I12)", r.Data, p.Data)
		}
		if !r.Raw && (r.Dst == 0 || r.Dst == dhcp4.Broadcast || r.Dst.IsLoopback()) {
			t.Fatalf("a routed reply to %s for %x", r.Dst, p.Data)
		}
	}
	if n := len(h.e.Changes); n > 0 {
		h.lastRev += uint64(n)
		h.core.Durable(h.lastRev)
	}
}

// TestGrid is CVE-2025-40779: every message type, by every way, from a network that is
// there or not, with each option of the registry in three sizes.
func TestGrid(t *testing.T) {
	h, core := hostileCore(t)
	ways := []func(p *packet){
		func(p *packet) {},
		func(p *packet) {
			p.set("from", "198.18.0.150")
			p.set("to", "198.18.0.1")
			p.set("ciaddr", "198.18.0.150")
		},
		func(p *packet) {
			p.set("from", "203.0.113.5")
			p.set("to", "198.18.0.1")
			p.set("ciaddr", "203.0.113.5")
		},
		func(p *packet) { p.set("ciaddr", "198.18.0.150") },
		func(p *packet) { p.set("giaddr", "198.18.2.1") },
		func(p *packet) { p.set("giaddr", "203.0.113.1") },
		func(p *packet) { p.set("on", "9") },
	}
	for typ := range dhcp4.MessageType(20) {
		for _, way := range ways {
			for code := dhcp4.Code(1); code < 255; code++ {
				for _, size := range []int{0, 1, 4, 255} {
					p := newPacket(t, typ)
					way(p)
					if code == dhcp4.OptDHCPAgentOptions {
						p.agent = make([]byte, size)
					} else if code != dhcp4.OptDHCPMessageType {
						p.opt(code, slices.Repeat([]byte{198}, size))
					}
					pkt := p.packet()
					one(t, h, &pkt)
				}
			}
		}
	}
	if n := core.Counters().Received[dhcp4.Discover]; n == 0 {
		t.Fatal("no DISCOVER arrived")
	}
}

// TestEveryLength cuts a DISCOVER and a REQUEST at every octet (systemd #26151), and
// sends up to 300 octets of nothing.
func TestEveryLength(t *testing.T) {
	h, _ := hostileCore(t)
	for _, typ := range []dhcp4.MessageType{dhcp4.Discover, dhcp4.Request} {
		p := newPacket(t, typ)
		p.set("id", "0102005e100001")
		p.set("params", "1,3,6")
		p.set("req", "198.18.0.150")
		pkt := p.packet()
		whole := pkt.Data
		for n := range len(whole) {
			pkt.Data = whole[:n]
			one(t, h, &pkt)
			pkt.Data = make([]byte, n)
			one(t, h, &pkt)
		}
	}
}

// TestClientIdentifierLengths is CVE-2006-3122, CVE-2010-2156 and CVE-2019-6472: 0 and 1
// octets are none, 2 to 255 are a key, more is refused.
func TestClientIdentifierLengths(t *testing.T) {
	h, core := hostileCore(t)
	for _, n := range []int{0, 1, 2, 31, 32, 33, 254, 255, 256, 600} {
		p := newPacket(t, dhcp4.Discover)
		p.opt(dhcp4.OptDHCPClientIdentifier, slices.Repeat([]byte{byte(n)}, n))
		pkt := p.packet()
		offers, refused := core.Counters().Sent[dhcp4.Offer], core.Counters().Dropped[server.ClientIDTooLong]
		one(t, h, &pkt)
		offered := core.Counters().Sent[dhcp4.Offer] > offers
		if tooLong := core.Counters().Dropped[server.ClientIDTooLong] > refused; offered == tooLong || tooLong != (n > 255) {
			t.Errorf("a client identifier of %d octets: offered %v, refused %v", n, offered, tooLong)
		}
	}
}

// TestManyHostNames is CVE-2004-0460: fifty host name options of 255 octets, which are one
// of 12,750 (RFC 3396). No store takes a name of more than 255, and a change that a store
// refuses takes its whole group with it: such a name is none.
func TestManyHostNames(t *testing.T) {
	h, core := hostileCore(t)
	p := newPacket(t, dhcp4.Request)
	p.set("sid", "198.18.0.1")
	p.set("req", "198.18.0.150")
	pkt := p.packet()
	end := slices.Index(pkt.Data[240:], 255) + 240
	data := slices.Clone(pkt.Data[:end])
	for range 50 {
		data = append(append(data, 12, 255), slices.Repeat([]byte("%n"), 128)[:255]...)
	}
	pkt.Data = append(data, 255)
	one(t, h, &pkt)
	if core.Counters().Sent[dhcp4.Ack] != 1 {
		t.Errorf("the REQUEST was not acknowledged: %v", core.Counters().Dropped)
	}
	if len(h.e.Changes) != 1 || len(h.e.Changes[0].After.Hostname) != 0 {
		t.Errorf("want one change without a name: %+v", h.e.Changes)
	}
}

// TestCVE2010_3611GIAddr: every giaddr that no relay agent can have, with and without option
// 82, whose link selection is no help.
func TestCVE2010_3611GIAddr(t *testing.T) {
	for _, a := range []string{"255.255.255.255", "224.0.0.1", "127.0.0.1", "0.0.0.1", "240.0.0.1", "198.18.0.1", "198.18.0.0", "198.18.0.255", "203.0.113.1"} {
		for _, agent := range []string{"", "0504000000000000", "050400000000", "05", "0500", "0504ffffffff", "52"} {
			h, core := hostileCore(t)
			for _, typ := range []dhcp4.MessageType{dhcp4.Discover, dhcp4.Request, dhcp4.Decline, dhcp4.Release, dhcp4.Inform} {
				p := newPacket(t, typ)
				p.set("giaddr", a)
				p.set("req", "198.18.0.150")
				p.set("sid", "198.18.0.1")
				if agent != "" {
					p.set("agent", agent)
				}
				pkt := p.packet()
				one(t, h, &pkt)
			}
			if n := core.Counters().Dropped[server.BadGIAddr] + core.Counters().Dropped[server.NoSubnet] + core.Counters().Dropped[server.UnknownRelay]; n != 5 {
				t.Errorf("giaddr %s, option 82 %q: %d of 5 messages were dropped for their giaddr: %v", a, agent, n, core.Counters().Dropped)
			}
		}
	}
	// Without giaddr the interface decides, and option 82 comes back as it came.
	h, _ := hostileCore(t)
	p := newPacket(t, dhcp4.Discover)
	p.set("agent", "050400000000")
	if v := exchange(t, h, p); v == nil || v.YIAddr()>>8 != dhcp4.MustParseAddr("198.18.0.0")>>8 || !v.Has(dhcp4.OptDHCPAgentOptions) {
		t.Errorf("giaddr 0 with option 82: %v", v)
	}
}

// TestForgottenClientReturns: a client that the server has forgotten, and another server
// with the same secret, find the same address again.
func TestForgottenClientReturns(t *testing.T) {
	offers := func(h *harness) (out [64]dhcp4.Addr) {
		for i := range out {
			p := newPacket(t, dhcp4.Discover)
			p.h.CHAddr[4], p.h.CHAddr[5] = 7, byte(i)
			out[i] = exchange(t, h, p).YIAddr()
			p = newPacket(t, dhcp4.Request) // it chooses another server
			p.h.CHAddr[4], p.h.CHAddr[5] = 7, byte(i)
			p.set("sid", "203.0.113.1")
			exchange(t, h, p)
		}
		return out
	}
	h, core := hostileCore(t)
	first := offers(h)
	h.now.M += 3600e9
	core.Tick(h.now, &h.e)
	if again := offers(h); again != first {
		t.Errorf("an hour later other addresses are offered:\n%v\n%v", first, again)
	}
	h, _ = hostileCore(t)
	if again := offers(h); again != first {
		t.Errorf("after a restart other addresses are offered:\n%v\n%v", first, again)
	}
	distinct := map[dhcp4.Addr]bool{}
	for _, a := range first {
		distinct[a] = true
	}
	if len(distinct) < 35 { // of 100 addresses for 64 clients, 47 on average
		t.Errorf("64 clients start at %d places only", len(distinct))
	}
}

// TestOffersAreBounded is I22 and F1: no number of identities makes the core remember
// more than it may.
func TestOffersAreBounded(t *testing.T) {
	c, now := benchCore(t, 0)
	var e server.Effects
	d := discover(0)
	for i := range 300_000 {
		binary.BigEndian.PutUint32(d.Data[30:], uint32(i))
		c.Handle(*now, &d, &e)
		now.M += 20_000
		if i%64 == 0 {
			c.Tick(*now, &e)
			e.Reset()
		}
	}
	counts := c.Pools()[0].Count
	if offered := counts[1]; offered > 1<<16 || offered < 1<<15 {
		t.Errorf("%d addresses are on offer, want at most 65,536: %v", offered, counts)
	}
}

// FuzzHandle takes a script of packets with their ways in; nothing it says makes the
// core panic, answer twice, or lose count.
func FuzzHandle(f *testing.F) {
	for typ := dhcp4.Discover; typ <= dhcp4.Inform; typ++ {
		p := newPacket(&testing.T{}, typ)
		p.set("params", "1,3,6,15")
		p.set("req", "198.18.0.150")
		p.set("sid", "198.18.0.1")
		pkt := p.packet()
		f.Add([]byte{0}, pkt.Data, pkt.Data)
		f.Add([]byte{0xff}, pkt.Data, []byte(fmt.Sprint(typ)))
	}
	f.Fuzz(func(t *testing.T, ways, first, second []byte) {
		h, _ := hostileCore(t)
		for i, w := range ways {
			data := first
			if i%2 == 1 {
				data = second
			}
			p := wire.Packet{Link: wire.LinkID(1 + w>>7), Data: data, Dst: dhcp4.Broadcast, DstMAC: wire.BroadcastMAC}
			if w&1 != 0 {
				p.Dst, p.DstMAC = dhcp4.MustParseAddr("198.18.0.1"), wire.MAC{2, 0, 0, 0, 0xff, 1}
			}
			if w&2 != 0 {
				p.Src = dhcp4.MustParseAddr("198.18.0.150")
			}
			if w&4 != 0 {
				p.SrcMAC = wire.MAC{2, 0, 0x5e, 0x10, 0, 1}
			}
			if w&8 != 0 {
				h.now.M += int64(w) * 1e9
				h.core.Tick(h.now, &h.e)
			}
			one(t, h, &p)
		}
	})
}
