package server_test

import (
	"math/rand/v2"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// TestHostileNetworks sends what no agent and no client sends: sub-options and options of
// every length that is wrong, at each place that networks, classes, reservations and boot
// read. Whatever is answered can be read, and has an address of a configured subnet.
func TestHostileNetworks(t *testing.T) {
	conf, problems := config.Parse("f", []byte(`
interfaces: [{name: eth0, trusted: true}]
relays: [203.0.113.0/24]
subnet-selection: allow
conflict-check: off
flex-id: 'relay["circuit-id"] + option["user-class"][0] + hex(option["uuid-guid"])'
ingress-limits: {rate-limit: 50/s, address-limit: 20}
client-classes:
  - {name: a, test: 'option["client-system"][0] in [0, 7] || relay["remote-id"].startsWith("a")', address-limit: 50, boot: {bios: a.kpxe}}
  - {name: DROP, test: 'option["host-name"] == "x"'}
subnets:
  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.120], boot: {default: http://192.0.2.2/x, ipxe: y}, options: {host-name: '${circuit-id}-${hostname}'}}
  - subnet: 198.18.2.0/24
    pools: [{pool: 198.18.2.100-198.18.2.120, client-classes: [a, KNOWN]}]
    reservations: [{circuit-id: aaa, ip-address: 198.18.2.8}, {duid: "00:03:00:01:61:61:61:61:61:61", ip-address: 198.18.2.9}, {flex-id: aa, options: {domain-name: x.example}}]
`))
	if conf == nil {
		t.Fatal(problems)
	}
	now := lease.Instant{M: 1e15, W: 1_790_000_000e9}
	c := server.New(secret, lease.BootID{1})
	var e server.Effects
	c.SetPolicy(now, conf.Policy(), &e)
	c.SetLinks(now, []wire.Link{benchLink}, &e)
	r := rand.New(rand.NewPCG(1, 2))
	value := func() []byte {
		b := make([]byte, []int{0, 1, 2, 3, 4, 5, 6, 7, 17, 64, 255, 300}[r.IntN(12)])
		for i := range b {
			b[i] = "a\x00\x01\x07\xc6\x12\x02\xff"[r.IntN(8)]
		}
		return b
	}
	from := []dhcp4.Addr{0, 0, dhcp4.MustParseAddr("198.18.0.1"), dhcp4.MustParseAddr("198.18.2.1"), dhcp4.MustParseAddr("203.0.113.9"),
		dhcp4.MustParseAddr("198.18.2.105"), dhcp4.MustParseAddr("192.0.2.1")}
	answered := 0
	for i := range 20_000 {
		p := newPacket(t, dhcp4.MessageType([]byte{1, 1, 3, 3, 3, 4, 7, 8}[r.IntN(8)]))
		p.set("hw", []string{"1", "2", "3"}[r.IntN(3)])
		for _, code := range []dhcp4.Code{12, 43, 50, 54, 60, 61, 77, 93, 97, 118, 124, 125, 221} {
			if r.IntN(6) == 0 {
				p.opt(code, value())
			}
		}
		if r.IntN(3) == 0 {
			p.opt(50, from[5].Append(nil))
		}
		for r.IntN(2) == 0 && len(p.agent) < 250 {
			v := value()
			n := len(v) + r.IntN(5)/4 // now and then it runs over the end
			p.agent = append(append(p.agent, []byte{1, 2, 5, 10, 11, 19, 151, 152}[r.IntN(8)], byte(n)), v...)
		}
		if p.h.GIAddr = from[r.IntN(len(from))]; p.h.GIAddr != 0 {
			p.meta.Src, p.meta.SrcPort, p.meta.SrcMAC = p.h.GIAddr, uint16(r.IntN(65536)), wire.MAC{2, 0, 0, 0, 0xee, 1}
			p.set("to", "198.18.0.1")
		} else if a := from[r.IntN(len(from))]; a != 0 {
			p.h.CIAddr, p.meta.Src = a, a
			p.set("to", "198.18.0.1")
		}
		pkt := p.packet()
		c.Handle(now, &pkt, &e)
		for j := range e.Replies {
			answered++
			var v dhcp4.View
			if err := v.Parse(e.Replies[j].Data); err != nil {
				t.Fatalf("packet %d: the reply: %v", i, err)
			}
			if a := v.YIAddr(); a != 0 && conf.Policy().SubnetOf(a) == nil {
				t.Fatalf("packet %d: the reply has %s", i, a)
			}
		}
		if n := len(e.Changes); n > 0 {
			c.Durable(e.Changes[n-1].After.Rev)
		}
		e.Reset()
		now.M += 1e7
		now.W += 1e7
		if i%100 == 0 {
			c.Tick(now, &e)
			e.Reset()
		}
	}
	if answered < 500 {
		t.Errorf("only %d answers: the test reaches nothing", answered)
	}
}
