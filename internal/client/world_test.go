package client_test

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// TestWorld lets a machine live in a world that loses, copies, delays and forges
// messages, answers its probes, pulls its cable, suspends it and sets its clock, and
// holds I20 against every step.
func TestWorld(t *testing.T) {
	for range 8 {
		rapid.Check(t, live)
	}
}

func live(t *rapid.T) {
	w := newWorld(t)
	for range rapid.IntRange(20, 200).Draw(t, "steps") {
		w.step()
		for _, b := range w.j.breaches {
			t.Errorf("I20: %s", b)
		}
		if len(w.j.breaches) > 0 {
			t.FailNow()
		}
	}
}

type world struct {
	t    *rapid.T
	m    *client.Machine
	c    client.Config
	j    *judge
	now  lease.Instant
	e    client.Effects
	link wire.Link
	up   bool

	starts byte

	last []byte   // the last DISCOVER or REQUEST
	old  [][]byte // replies that may come once more
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, starts: 100, now: lease.Instant{M: 1e12, W: 1.8e18}, link: wire.Link{ID: 7, MAC: ownMAC, MTU: 1500}}
	w.c = client.Config{
		Fast:      rapid.Bool().Draw(t, "fast"),
		Detection: rapid.SampledFrom([]client.Detection{client.DetectProbe, client.DetectProbe, client.DetectAnnounce, client.DetectOff}).Draw(t, "detection"),
		Deny:      []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("192.0.2.66"), Bits: 32}},
		Probe:     client.RFC5227,
	}
	if w.c.Fast {
		w.c.Probe = client.Quick
	}
	if rapid.Bool().Draw(t, "select") {
		w.c.SelectTimeout = 2 * lease.Second
	}
	w.m = client.New(w.c, secret, nil)
	w.j = newJudge(w.c, ownMAC)
	w.cable()
	return w
}

// handle gives the machine one input and judges what it does.
func (w *world) handle(in *client.Input) {
	w.m.Handle(w.now, in, &w.e)
	w.done()
}

func (w *world) done() {
	w.j.effects(w.now.M, w.e.List)
	for i := range w.e.List {
		f := &w.e.List[i]
		if f.Kind != client.EffectSend {
			continue
		}
		var v dhcp4.View
		if v.Parse(f.Send.Data) == nil && (v.MessageType() == dhcp4.Discover || v.MessageType() == dhcp4.Request) {
			w.last = bytes.Clone(f.Send.Data)
		}
	}
	w.e.Reset()
	w.j.rest(w.now.M, w.m.NextTick(), w.m)
}

func (w *world) step() {
	pick := rapid.IntRange(0, 99).Draw(w.t, "what")
	switch {
	case pick < 38:
		w.answer()
	case pick < 62:
		w.pass(rapid.Int64Range(0, 4e9).Draw(w.t, "ns"))
	case pick < 70:
		w.pass(rapid.SampledFrom([]int64{10e9, 60e9, 600e9, 1800e9, 4000e9}).Draw(w.t, "long"))
	case pick < 80:
		w.lie()
	case pick < 86:
		w.arp()
	case pick < 92:
		w.cable()
	case pick < 96:
		kind := rapid.SampledFrom([]client.InputKind{client.InputRenew, client.InputRebind, client.InputRelease, client.InputRenew}).Draw(w.t, "command")
		w.handle(&client.Input{Kind: kind})
	case pick < 97:
		w.starts++ // a real start draws another secret
		w.m = client.New(w.c, [16]byte{1, 2, 3, w.starts}, slices.Clone(w.m.Memory()))
		w.j.killed()
		w.up = false
		w.cable()
	case pick < 98:
		w.now.M += rapid.Int64Range(0, 8000e9).Draw(w.t, "asleep")
		w.handle(&client.Input{Kind: rapid.SampledFrom([]client.InputKind{client.InputResume, client.InputTick}).Draw(w.t, "wake")})
	default:
		w.now.W += rapid.Int64Range(-1e13, 1e13).Draw(w.t, "set clock")
	}
}

// pass lets time go by with a tick whenever one is due.
func (w *world) pass(ns int64) {
	end := w.now.M + ns
	for i := 0; w.m.NextTick() <= end; i++ {
		if i > 20_000 {
			w.t.Fatal("the machine keeps asking for ticks")
		}
		if at := w.m.NextTick(); at > w.now.M {
			w.now.W += at - w.now.M
			w.now.M = at
		}
		w.handle(&client.Input{Kind: client.InputTick})
	}
	w.now.W += end - w.now.M
	w.now.M = end
}

var lifetimes = []uint32{1, 2, 4, 6, 20, 120, 239, 240, 3600, 86400, 0xfffffffe, 0xffffffff}

// answer is an honest server's: an OFFER to a DISCOVER, to a REQUEST an ACK and now and
// then a NAK.
func (w *world) answer() {
	var v dhcp4.View
	if v.Parse(w.last) != nil {
		return
	}
	server := dhcp4.MustParseAddr(rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2"}).Draw(w.t, "server"))
	typ, addr := dhcp4.Offer, dhcp4.MustParseAddr("192.0.2.100")+dhcp4.Addr(rapid.IntRange(0, 3).Draw(w.t, "host"))
	if v.MessageType() == dhcp4.Request {
		typ = rapid.SampledFrom([]dhcp4.MessageType{dhcp4.Ack, dhcp4.Ack, dhcp4.Ack, dhcp4.Nak}).Draw(w.t, "type")
		requested, _ := v.Addr(dhcp4.OptDHCPRequestedAddress)
		addr = requested | v.CIAddr()
		if named, ok := v.Addr(dhcp4.OptDHCPServerIdentifier); ok {
			server = named
		} else if l := w.m.Lease(); l != nil && rapid.Bool().Draw(w.t, "same server") {
			server = l.Server
		}
	}
	lifetime := rapid.SampledFrom(lifetimes).Draw(w.t, "lifetime")
	w.deliver(w.reply(&v, typ, addr, server, lifetime))
}

func (w *world) reply(v *dhcp4.View, typ dhcp4.MessageType, addr, server dhcp4.Addr, lifetime uint32) []byte {
	h := dhcp4.Header{Op: 2, HType: 1, HLen: 6, XID: v.XID()}
	copy(h.CHAddr[:], w.link.MAC[:])
	opts := []dhcp4.Option{{Code: 53, Data: []byte{byte(typ)}}, {Code: 54, Data: server.Append(nil)}}
	if typ != dhcp4.Nak {
		h.YIAddr = addr
		opts = append(opts, dhcp4.Option{Code: 51, Data: dhcp4.Addr(lifetime).Append(nil)}, dhcp4.Option{Code: 1, Data: []byte{255, 255, 255, 0}},
			dhcp4.Option{Code: 3, Data: []byte{192, 0, 2, 1}})
	}
	data, _ := dhcp4.AppendMessage(nil, &h, opts, nil, 1500)
	return data
}

// deliver brings a message to the machine and checks that one which cannot count has no
// effect but to be reported.
func (w *world) deliver(data []byte) {
	if w.old = append(w.old, data); len(w.old) > 8 {
		w.old = w.old[1:]
	}
	w.m.Handle(w.now, &client.Input{Kind: client.InputTick}, &w.e) // so that what follows is the message's doing
	w.done()
	state, l := w.m.State(), w.m.Lease()
	var before client.Lease
	if l != nil {
		before = *l
	}
	may := w.j.delivered(data)
	server := dhcp4.Addr(0xc0000201)
	w.m.Handle(w.now, &client.Input{Kind: client.InputPacket, Packet: &wire.Packet{Data: data, SrcMAC: macOf(server), Src: server}}, &w.e)
	ignored := len(w.e.List) == 1 && w.e.List[0].Kind == client.EffectEvent && w.e.List[0].Event.Kind == client.EventIgnored
	if !may && (!ignored || w.m.State() != state) {
		w.t.Errorf("a message that cannot count did: %+v", w.e.List)
	}
	if ignored && (w.m.State() != state || l != nil && (w.m.Lease() == nil || w.m.Lease().End != before.End)) {
		w.t.Errorf("an ignored message changed something")
	}
	for _, f := range w.e.List {
		ev := f.Event
		switch {
		case f.Kind == client.EffectEvent && ev.Kind == client.EventReceived && ev.Type == dhcp4.Nak:
			w.j.refused(ev.Addr)
			if w.m.Configured() {
				w.t.Errorf("a NAK counted, and the address is still there")
			}
		case f.Kind == client.EffectEvent && ev.Kind == client.EventReceived && (state == client.Renewing || state == client.Requesting):
			if state == client.Renewing && ev.Server != before.Server {
				w.t.Errorf("in RENEWING %s counted, the server is %s", ev.Server, before.Server)
			}
		}
	}
	w.done()
}

// lie delivers an old reply once more, or a forged one.
func (w *world) lie() {
	var v dhcp4.View
	if len(w.old) > 0 && rapid.Bool().Draw(w.t, "again") {
		w.deliver(bytes.Clone(rapid.SampledFrom(w.old).Draw(w.t, "which")))
		return
	}
	if v.Parse(w.last) != nil {
		return
	}
	typ := dhcp4.MessageType(rapid.IntRange(0, 10).Draw(w.t, "type"))
	server := dhcp4.MustParseAddr(rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2", "192.0.2.66", "0.0.0.0", "224.0.0.1"}).Draw(w.t, "server"))
	addr := dhcp4.MustParseAddr(rapid.SampledFrom([]string{"192.0.2.100", "192.0.2.101", "192.0.2.0", "192.0.2.255", "0.0.0.0", "127.0.0.1",
		"255.255.255.255", "240.0.0.1"}).Draw(w.t, "addr"))
	data := w.reply(&v, typ, addr, server, rapid.SampledFrom([]uint32{0, 60, 3600}).Draw(w.t, "lifetime"))
	for range rapid.IntRange(0, 2).Draw(w.t, "flips") {
		data[rapid.IntRange(0, len(data)-1).Draw(w.t, "octet")] = rapid.Byte().Draw(w.t, "value")
	}
	if rapid.IntRange(0, 9).Draw(w.t, "cut") == 0 {
		data = data[:rapid.IntRange(0, len(data)).Draw(w.t, "length")]
	}
	w.deliver(data)
}

// arp is a station that speaks: the router, or one that has our address or probes for it.
func (w *world) arp() {
	other := wire.MAC{2, 0, 0, 0, 0, 66}
	a := wire.ARP{Link: 7, Op: uint16(rapid.IntRange(1, 2).Draw(w.t, "op")), SenderMAC: other}
	addr := dhcp4.MustParseAddr("192.0.2.100") + dhcp4.Addr(rapid.IntRange(0, 3).Draw(w.t, "host"))
	if l := w.m.Lease(); l != nil {
		addr = l.Addr.Addr
	}
	switch rapid.IntRange(0, 3).Draw(w.t, "arp") {
	case 0:
		a.SenderIP = addr
	case 1:
		a.TargetIP = addr
	default:
		a = wire.ARP{Link: 7, Op: 2, SenderIP: dhcp4.MustParseAddr("192.0.2.1"), SenderMAC: macOf(dhcp4.MustParseAddr("192.0.2.1"))}
	}
	w.handle(&client.Input{Kind: client.InputARP, ARP: &a})
}

// cable pulls it, puts it in, or moves it.
func (w *world) cable() {
	switch {
	case !w.up:
		w.up = true
		w.handle(&client.Input{Kind: client.InputLinkUp, Link: w.link})
	case rapid.IntRange(0, 4).Draw(w.t, "other MAC") == 0:
		w.link.MAC[5]++
		w.j.own = w.link.MAC
		w.handle(&client.Input{Kind: client.InputLinkUp, Link: w.link})
	case rapid.IntRange(0, 2).Draw(w.t, "cable") == 0:
		w.up = false
		w.handle(&client.Input{Kind: client.InputLinkDown})
		if w.m.Configured() {
			w.t.Error("no carrier, and the address is still there")
		}
	default:
		w.handle(&client.Input{Kind: client.InputNetworkChanged})
		if w.m.Configured() {
			w.t.Error("another network, and the address is still there")
		}
	}
}
