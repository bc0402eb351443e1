package relay_test

import (
	"testing"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/relay"
	"lessor/internal/wire"
)

// TestCVE2003_0039Ring: two agents that take each other for the server relay a request
// once each, whatever its hops.
func TestCVE2003_0039Ring(t *testing.T) {
	for hops := range 256 {
		var agents [2]*relay.Agent
		var links [2]wire.Link
		for i, l := range []wire.Link{eth1, eth2} {
			links[i] = l
			other := []wire.Link{eth2, eth1}[i]
			agents[i] = relay.New(relay.Config{MaxHops: 16, Servers: []dhcp4.Addr{other.Addrs[0].Addr}, Downstream: []relay.Downstream{{Name: l.Name, Trusted: true}}})
			agents[i].SetLinks(lease.Instant{}, []wire.Link{l})
		}
		m := discover()
		m.Hops = uint8(hops)
		at, relayed := 0, 0
		p := fromClient(links[0], m.bytes())
		for relayed <= 4 {
			var e relay.Effects
			agents[at].Handle(lease.Instant{}, p, &e)
			if len(e.Sends) == 0 {
				break
			}
			relayed++
			at = 1 - at
			p = &wire.Packet{Link: links[at].ID, Data: e.Sends[0].Data, Src: e.Sends[0].Src, Dst: e.Sends[0].Dst, SrcPort: 67}
		}
		want := 2
		switch {
		case hops > 16:
			want = 0
		case hops == 16:
			want = 1
		}
		if relayed != want {
			t.Errorf("hops %d: relayed %d times, want %d", hops, relayed, want)
		}
	}
}

// TestLengths: messages of every length, whole or cut anywhere, with and without an end.
func TestLengths(t *testing.T) {
	w := newWorld(t, ports(func(d *relay.Downstream) { all(d); d.Trusted = true }))
	request, reply := discover(), ack(loopback)
	request.agent, reply.agent = []byte("\x01\x04port"), []byte("\x01\x04port")
	for _, whole := range [][]byte{request.bytes(), reply.bytes()} {
		pads := append(append([]byte{}, whole[:240]...), make([]byte, 400)...)
		ends := append([]byte{}, pads...)
		for i := 240; i < len(ends); i++ {
			ends[i] = 0xff
		}
		for _, in := range [][]byte{whole, pads, ends} {
			for n := range len(in) + 1 {
				before := *w.a.Counters()
				w.handle(fromClient(eth1, in[:n:n]))
				w.a.Handle(lease.Instant{}, &wire.Packet{Link: upstream, Data: in[:n:n]}, &w.e)
				after := w.a.Counters()
				if got := after.ToServers + after.ToClients + sum(after.Dropped) - before.ToServers - before.ToClients - sum(before.Dropped); got != 2 {
					t.Fatalf("%d octets: two messages, %d outcomes", n, got)
				}
				if short := after.Dropped[relay.TooShort] - before.Dropped[relay.TooShort]; (short == 2) != (n < 240) {
					t.Fatalf("%d octets: %d times too short", n, short)
				}
			}
		}
	}
}
