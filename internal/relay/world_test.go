package relay_test

import (
	"testing"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/relay"
	"lessor/internal/template"
	"lessor/internal/wire"
)

// The world of the tests: eth1 and eth2 have clients, servers are elsewhere.
var (
	eth1 = wire.Link{ID: 2, Name: "eth1", MAC: wire.MAC{2, 0, 0x5e, 0x10, 1, 1}, MTU: 1500,
		Addrs: []dhcp4.Prefix{prefix("198.18.1.1"), prefix("198.18.101.1")}}
	eth2 = wire.Link{ID: 3, Name: "eth2", MAC: wire.MAC{2, 0, 0x5e, 0x10, 1, 2}, MTU: 1500,
		Addrs: []dhcp4.Prefix{prefix("198.18.2.1")}}
	upstream = wire.LinkID(9)
	server1  = dhcp4.MustParseAddr("192.0.2.1")
	server2  = dhcp4.MustParseAddr("192.0.2.2")
	loopback = dhcp4.MustParseAddr("203.0.113.7") // an address of the agent's host towards the servers
	clientHW = wire.MAC{2, 0, 0x5e, 0x10, 0, 9}
)

// prefix is an address of a host and the length of its subnet, 24.
func prefix(addr string) dhcp4.Prefix { return dhcp4.Prefix{Addr: dhcp4.MustParseAddr(addr), Bits: 24} }

func text(s string) template.Template {
	t, err := relay.Template(s)
	if err != nil {
		panic(err)
	}
	return t
}

// ports is a configuration of eth1 and eth2; edit, unless nil, changes each.
func ports(edit func(d *relay.Downstream)) relay.Config {
	c := relay.Config{Servers: []dhcp4.Addr{server1, server2}, Downstream: []relay.Downstream{{Name: "eth1"}, {Name: "eth2"}},
		HostName: "gw"}
	for i := range c.Downstream {
		if edit != nil {
			edit(&c.Downstream[i])
		}
	}
	return c
}

func circuit(d *relay.Downstream) { d.CircuitID = text("${interface}") }

func selection(d *relay.Downstream) { d.LinkSelection, d.GIAddr = true, loopback }

// all is everything that can be in option 82.
func all(d *relay.Downstream) {
	selection(d)
	d.CircuitID, d.RemoteID, d.SubscriberID = text("${interface}"), text("${hw-address}"), text("${hostname}:${subnet}")
}

type world struct {
	t testing.TB
	a *relay.Agent
	e relay.Effects
}

func newWorld(t testing.TB, c relay.Config) *world {
	w := &world{t: t, a: relay.New(c)}
	w.a.SetLinks(lease.Instant{}, []wire.Link{eth1, eth2})
	return w
}

// message is what a test sends: a header and options, the last of them option 82 where
// agent is not nil.
type message struct {
	dhcp4.Header
	kind  dhcp4.MessageType
	opts  []dhcp4.Option
	agent []byte
}

func discover() message {
	return message{kind: dhcp4.Discover, Header: dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: 0x01020304,
		CHAddr: [16]byte(append(clientHW[:], make([]byte, 10)...))}}
}

func ack(giaddr dhcp4.Addr) message {
	m := discover()
	m.kind, m.Op, m.GIAddr, m.YIAddr = dhcp4.Ack, 2, giaddr, dhcp4.MustParseAddr("198.18.1.50")
	return m
}

func (m message) bytes() []byte {
	opts := []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(m.kind)}}}
	if m.kind == 0 {
		opts = nil
	}
	b, _ := dhcp4.AppendMessage(nil, &m.Header, append(opts, m.opts...), m.agent, 9000)
	return b
}

// fromClient is m as it comes by l, broadcast.
func fromClient(l wire.Link, b []byte) *wire.Packet {
	return &wire.Packet{Link: l.ID, Data: b, SrcMAC: clientHW, DstMAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, SrcPort: 68}
}

// fromServer is m as it comes from server1 to giaddr.
func fromServer(m message) *wire.Packet {
	return &wire.Packet{Link: upstream, Data: m.bytes(), Src: server1, Dst: m.GIAddr, SrcPort: 67}
}

// handle hands p to the agent and returns what it wants to send.
func (w *world) handle(p *wire.Packet) []wire.Send {
	w.e.Reset()
	w.a.Handle(lease.Instant{}, p, &w.e)
	return w.e.Sends
}

// relayed hands p to the agent and returns the one message that it relays, read; a request
// goes to both servers.
func (w *world) relayed(p *wire.Packet) (wire.Send, *dhcp4.View) {
	w.t.Helper()
	out := w.handle(p)
	if len(out) == 0 {
		w.t.Fatalf("nothing was relayed: %+v", w.e.Events)
	}
	v := new(dhcp4.View)
	if err := v.Parse(out[0].Data); err != nil {
		w.t.Fatalf("what was relayed cannot be read: %v", err)
	}
	return out[0], v
}

// dropped hands p to the agent and checks that it is dropped for the reason.
func (w *world) dropped(p *wire.Packet, want relay.Reason) {
	w.t.Helper()
	before := w.a.Counters().Dropped[want]
	out := w.handle(p)
	if len(out) != 0 || len(w.e.Events) != 1 || w.e.Events[0].Kind != relay.EventDrop || w.e.Events[0].Reason != want {
		w.t.Fatalf("relayed %d messages with events %+v, want a drop for %s", len(out), w.e.Events, want)
	}
	if got := w.a.Counters().Dropped[want]; got != before+1 {
		w.t.Fatalf("Dropped[%s] went from %d to %d", want, before, got)
	}
}

func agentInfo(v *dhcp4.View) []byte {
	b, _ := v.Get(dhcp4.OptDHCPAgentOptions, make([]byte, 0, 600))
	return b
}
