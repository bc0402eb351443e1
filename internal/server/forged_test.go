package server_test

import (
	"testing"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// TestClientForgesNoRelayInformation: a relay agent looks for option 82 in the options
// field alone (RFC 3046 2.1), adds its own there and passes the rest on. What a client hides
// in sname, where option overload lets options stand, is not the agent's word.
func TestClientForgesNoRelayInformation(t *testing.T) {
	conf, problems := config.Parse("f", []byte(`
interfaces: [eth0]
conflict-check: off
subnets:
  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.120]}
  - {subnet: 198.18.2.0/24, pools: [198.18.2.100-198.18.2.120]}
  - subnet: 198.18.3.0/24
    pools: [198.18.3.100-198.18.3.120]
    reservations: [{remote-id: boss, ip-address: 198.18.3.9}]
`))
	if conf == nil {
		t.Fatal(problems)
	}
	now := lease.Instant{M: 1e15, W: 1_790_000_000e9}
	c := server.New(secret, lease.BootID{1})
	var e server.Effects
	c.SetPolicy(now, conf.Policy(), &e)
	c.SetLinks(now, []wire.Link{benchLink}, &e)

	p := newPacket(t, dhcp4.Discover)
	p.set("giaddr", "198.18.2.1")
	p.set("agent", "010137") // of the agent: circuit-id "7"
	pkt := p.packet()
	const overloadSName = "\x34\x01\x02"
	pkt.Data = append(append(append([]byte{}, pkt.Data[:240]...), overloadSName...), pkt.Data[240:]...)
	copy(pkt.Data[44:], append([]byte{82, 12, 5, 4, 198, 18, 3, 0, 2, 4}, "boss\xff"...))
	c.Handle(now, &pkt, &e)
	var v dhcp4.View
	if len(e.Replies) != 1 || v.Parse(e.Replies[0].Data) != nil {
		t.Fatalf("no answer: %+v", e)
	}
	if v.YIAddr()>>8 != dhcp4.MustParseAddr("198.18.2.0")>>8 {
		t.Errorf("the client chose its network: it was offered %s", v.YIAddr())
	}
	agent, _ := v.Get(dhcp4.OptDHCPAgentOptions, nil)
	if string(agent) != "\x01\x017" {
		t.Errorf("option 82 of the answer is %x, not the agent's", agent)
	}
}
