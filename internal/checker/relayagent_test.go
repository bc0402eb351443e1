package checker

import (
	"slices"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// passage is a relay agent that passes a request on and its reply back; each step can be
// edited before it is told.
type passage struct {
	asked, relayed, answered, delivered *trace.Frame
	pause                               int64 // between request and reply
}

var (
	agentAddr  = dhcp4.MustParseAddr("198.18.1.1")
	agentOther = dhcp4.MustParseAddr("198.18.2.1")
	theServer  = dhcp4.MustParseAddr("198.18.0.1")
	ownInfo    = []byte{1, 4, 'e', 't', 'h', '1'}
)

func agentMessage(op uint8, typ dhcp4.MessageType, edit func(h *dhcp4.Header), agent []byte) []byte {
	h := dhcp4.Header{Op: op, HType: 1, HLen: 6, XID: 77, CHAddr: [16]byte{2, 0, 0x5e, 0x10, 0, 1}}
	edit(&h)
	data, _ := dhcp4.AppendMessage(nil, &h, []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(typ)}}, {Code: dhcp4.OptHostName, Data: []byte("pc")}}, agent, 1472)
	return data
}

func goodPassage() *passage {
	client, all := wire.MAC{2, 0, 0x5e, 0x10, 0, 1}, wire.BroadcastMAC
	yours := dhcp4.MustParseAddr("198.18.1.100")
	return &passage{
		asked: &trace.Frame{LinkID: 2, SrcMAC: client, DstMAC: all, Dst: dhcp4.Broadcast, SrcPort: 68, DstPort: 67,
			Payload: agentMessage(1, dhcp4.Discover, func(*dhcp4.Header) {}, nil)},
		relayed: &trace.Frame{Sent: true, LinkID: 1, Src: agentAddr, Dst: theServer, SrcPort: 67, DstPort: 67,
			Payload: agentMessage(1, dhcp4.Discover, func(h *dhcp4.Header) { h.GIAddr, h.Hops = agentAddr, 1 }, ownInfo)},
		answered: &trace.Frame{LinkID: 1, Src: theServer, Dst: agentAddr, SrcPort: 67, DstPort: 67,
			Payload: agentMessage(2, dhcp4.Offer, func(h *dhcp4.Header) { h.GIAddr, h.YIAddr = agentAddr, yours }, ownInfo)},
		delivered: &trace.Frame{Sent: true, LinkID: 2, DstMAC: client, Src: agentAddr, Dst: yours, SrcPort: 67, DstPort: 68,
			Payload: agentMessage(2, dhcp4.Offer, func(h *dhcp4.Header) { h.GIAddr, h.YIAddr = agentAddr, yours }, nil)},
	}
}

// header changes octet i of a frame's message.
func octet(f *trace.Frame, i int, to byte) { f.Payload[i] = to }

// TestI21: each edit of a good passage is told, and the good ones are not.
func TestI21(t *testing.T) {
	with := func(f *trace.Frame, op uint8, typ dhcp4.MessageType, agent []byte, edit func(h *dhcp4.Header)) {
		f.Payload = agentMessage(op, typ, edit, agent)
	}
	for _, c := range []struct {
		name string
		good bool
		edit func(p *passage)
	}{
		{"a good one", true, func(*passage) {}},
		{"hops", false, func(p *passage) { octet(p.relayed, 3, 0) }},
		{"hopped as often as it may", true, func(p *passage) { octet(p.asked, 3, 4); octet(p.relayed, 3, 5) }},
		{"hopped too often", false, func(p *passage) { octet(p.asked, 3, 5); octet(p.relayed, 3, 6) }},
		{"another giaddr", false, func(p *passage) { octet(p.relayed, 27, 9) }},
		{"giaddr overwritten", false, func(p *passage) { octet(p.asked, 26, 7) }},
		{"its own reflection", false, func(p *passage) { copy(p.asked.Payload[24:], agentAddr.Append(nil)) }},
		{"xid", false, func(p *passage) { octet(p.relayed, 4, 9) }},
		{"secs", false, func(p *passage) { octet(p.relayed, 9, 9) }},
		{"an option changed", false, func(p *passage) { octet(p.relayed, 245, 'x') }},
		{"option 82 from a port that is not trusted", false, func(p *passage) {
			with(p.asked, 1, dhcp4.Discover, []byte{1, 1, 'x'}, func(*dhcp4.Header) {})
		}},
		{"longer than fits", false, func(p *passage) { p.relayed.Payload = append(p.relayed.Payload, make([]byte, 1200)...) }},
		{"option 82 left in", false, func(p *passage) { p.delivered.Payload = slices.Clone(p.answered.Payload) }},
		{"the wrong link", false, func(p *passage) { p.delivered.LinkID = 3 }},
		{"a link with the same giaddr", false, func(p *passage) { p.delivered.LinkID = 4 }},
		{"to everybody", false, func(p *passage) { p.delivered.DstMAC, p.delivered.Dst = wire.BroadcastMAC, dhcp4.Broadcast }},
		{"to its own port", false, func(p *passage) { p.delivered.DstPort = 67 }},
		{"another reply", false, func(p *passage) { octet(p.delivered, 19, 99); p.delivered.Dst-- }},
		{"a reply of a client", false, func(p *passage) { p.answered.LinkID = 2 }},
		{"a reply to another agent", false, func(p *passage) { copy(p.answered.Payload[24:], agentOther.Append(nil)) }},
		{"a reply that never came", false, func(p *passage) { p.answered = nil }},
		{"a reply long after its request", true, func(p *passage) { p.pause = 3600 * second }},
		{"a request that never came", false, func(p *passage) { p.asked = nil }},
		{"a NAK to everybody", true, func(p *passage) {
			with(p.answered, 2, dhcp4.Nak, ownInfo, func(h *dhcp4.Header) { h.GIAddr, h.Flags = agentAddr, dhcp4.FlagBroadcast })
			with(p.delivered, 2, dhcp4.Nak, nil, func(h *dhcp4.Header) { h.GIAddr, h.Flags = agentAddr, dhcp4.FlagBroadcast })
			p.delivered.DstMAC, p.delivered.Dst = wire.BroadcastMAC, dhcp4.Broadcast
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := goodPassage()
			c.edit(p)
			now := int64(second)
			entries := []trace.Entry{{T: now, Host: "r1", Body: &trace.Relaying{MaxHops: 4, Ports: []trace.RelayPort{
				{Link: 2, Addr: agentAddr, GIAddr: agentAddr}, {Link: 3, Addr: agentOther, GIAddr: agentOther}, {Link: 4, Addr: agentOther + 256, GIAddr: agentAddr}}}}}
			for i, f := range []*trace.Frame{p.asked, p.relayed, p.answered, p.delivered} {
				if now += second / 1000; i == 2 {
					now += p.pause
				}
				if f != nil {
					entries = append(entries, trace.Entry{T: now, Host: "r1", Body: f})
				}
			}
			found := Check(entries)
			if (len(found) == 0) != c.good || slices.ContainsFunc(found, func(b Breach) bool { return b.Rule != "I21" }) {
				t.Errorf("breaches: %v", found)
			}
		})
	}
}
