package client_test

import (
	"slices"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// life is a machine with every option that a user can set, and what it did.
type life struct {
	t    *testing.T
	m    *client.Machine
	now  lease.Instant
	e    client.Effects
	sent []dhcp4.View
	at   []int64 // when sent
	arps []wire.ARP
	arpt []int64
}

func newLife(t *testing.T, c client.Config, secret byte) *life {
	l := &life{t: t, m: client.New(c, [16]byte{secret, 9}, nil), now: lease.Instant{M: 1e12, W: 1.8e18}}
	l.handle(&client.Input{Kind: client.InputLinkUp, Link: wire.Link{ID: 7, MAC: ownMAC, MTU: 1500}})
	return l
}

func (l *life) handle(in *client.Input) {
	l.m.Handle(l.now, in, &l.e)
	for _, f := range l.e.List {
		switch f.Kind {
		case client.EffectSend:
			var v dhcp4.View
			if err := v.Parse(slices.Clone(f.Send.Data)); err != nil {
				l.t.Fatalf("sends what does not parse: %v", err)
			}
			l.sent, l.at = append(l.sent, v), append(l.at, l.now.M)
		case client.EffectARP:
			l.arps, l.arpt = append(l.arps, f.ARP), append(l.arpt, l.now.M)
		}
	}
	l.e.Reset()
}

// pass lets time go by, with ticks where they are due.
func (l *life) pass(d int64) {
	end := l.now.M + d
	for l.m.NextTick() <= end {
		at := max(l.m.NextTick(), l.now.M)
		l.now.W += at - l.now.M
		l.now.M = at
		l.handle(&client.Input{Kind: client.InputTick})
	}
	l.now.W += end - l.now.M
	l.now.M = end
}

// reply answers the last message.
func (l *life) reply(typ byte, opts ...dhcp4.Option) {
	last := &l.sent[len(l.sent)-1]
	b := ackOf(append(opts, opt(dhcp4.OptDHCPMessageType, typ))...)
	xid := last.XID()
	copy(b[4:8], []byte{byte(xid >> 24), byte(xid >> 16), byte(xid >> 8), byte(xid)})
	l.handle(&client.Input{Kind: client.InputPacket, Packet: &wire.Packet{Data: b, SrcMAC: serverMAC, DstMAC: ownMAC}})
}

func (l *life) state(want client.State) {
	l.t.Helper()
	if l.m.State() != want {
		l.t.Fatalf("%v, want %v", l.m.State(), want)
	}
}

// rule says of an option whether a message must, may or must not have it.
type rule uint8

const (
	never rule = iota
	may
	always
)

// TestTable5: the fields and options of each message, in each state, are what table 5 of RFC 2131
// allows, with everything set that a user can set.
func TestTable5(t *testing.T) {
	l := newLife(t, client.Config{Fast: true, HostName: "client-1", VendorClass: "lessor", UserClass: []string{"one"}, Lifetime: 3600, Request: dhcp4.MustParseAddr("192.0.2.52"),
		Broadcast: true, Probe: client.Quick, Options: []dhcp4.Option{{Code: 224, Data: []byte{1}}, {Code: 54, Data: []byte{192, 0, 2, 9}}, {Code: 82, Data: []byte{1, 1, 1}}}}, 1)
	own, server := dhcp4.MustParseAddr("192.0.2.52"), dhcp4.MustParseAddr("192.0.2.1")
	check := func(state string, typ dhcp4.MessageType, ciaddr dhcp4.Addr, flags uint16, option50, option54, wishes rule) {
		t.Helper()
		v := &l.sent[len(l.sent)-1]
		if v.MessageType() != typ {
			t.Fatalf("%s: sends %v, want %v", state, v.MessageType(), typ)
		}
		if v.Op() != 1 || v.HType() != 1 || v.HLen() != 6 || v.Hops() != 0 || v.Flags() != flags || v.CIAddr() != ciaddr ||
			v.YIAddr() != 0 || v.SIAddr() != 0 || v.GIAddr() != 0 || v.CHAddr16() != [16]byte{2, 0, 0x5e, 0x10, 0, 1} {
			t.Errorf("%s: header %x", state, v.Bytes()[:44])
		}
		if len(v.SName()) != 0 || len(v.File()) != 0 {
			t.Errorf("%s: sname %q, file %q", state, v.SName(), v.File())
		}
		if typ != dhcp4.Discover && typ != dhcp4.Request && v.Secs() != 0 {
			t.Errorf("%s: secs %d", state, v.Secs())
		}
		text := never
		if wishes == never {
			text = always // DECLINE and RELEASE say why
		}
		want := map[dhcp4.Code]rule{53: always, 61: always, 50: option50, 54: option54, 56: text,
			51: wishes, 60: wishes, 57: wishes, 55: wishes, 12: wishes, 77: wishes, 224: wishes}
		for c := 1; c < 255; c++ {
			has := v.Has(dhcp4.Code(c))
			if r := want[dhcp4.Code(c)]; r == always && !has || r == never && has {
				t.Errorf("%s: option %d there %v", state, c, has)
			}
		}
		if a, ok := v.Addr(54); ok && a != server {
			t.Errorf("%s: option 54 is %v", state, a)
		}
		if a, ok := v.Addr(50); ok && a != own {
			t.Errorf("%s: option 50 is %v", state, a)
		}
		codes := map[dhcp4.Code]int{}
		for in := range v.Instances {
			codes[in.Code]++
			if codes[in.Code] > 1 {
				t.Errorf("%s: option %d twice", state, in.Code)
			}
		}
	}
	bind := func() {
		l.state(client.Selecting)
		check("SELECTING", dhcp4.Discover, 0, dhcp4.FlagBroadcast, may, never, always)
		l.reply(2)
		check("REQUESTING", dhcp4.Request, 0, dhcp4.FlagBroadcast, always, always, always)
		l.reply(5)
		l.pass(lease.Second)
		l.state(client.Bound)
	}
	bind()
	l.handle(&client.Input{Kind: client.InputRenew})
	check("RENEWING", dhcp4.Request, own, 0, never, never, always)
	l.handle(&client.Input{Kind: client.InputRebind})
	check("REBINDING", dhcp4.Request, own, 0, never, never, always)
	l.reply(5)
	l.pass(lease.Second)
	l.handle(&client.Input{Kind: client.InputResume})
	l.state(client.Rebooting)
	check("REBOOTING", dhcp4.Request, 0, dhcp4.FlagBroadcast, always, never, always)
	l.reply(5)
	l.pass(lease.Second)
	l.state(client.Bound)
	other := &wire.ARP{Link: 7, Op: 2, SenderMAC: wire.MAC{2, 0, 0x5e, 0, 0, 0x66}, SenderIP: own}
	l.handle(&client.Input{Kind: client.InputARP, ARP: other})
	l.handle(&client.Input{Kind: client.InputARP, ARP: other})
	check("DECLINE", dhcp4.Decline, 0, 0, always, always, never)
	l.pass(700 * lease.Second) // until the address is taken again
	bind()
	l.handle(&client.Input{Kind: client.InputRelease})
	check("RELEASE", dhcp4.Release, own, 0, never, always, never)
}

// TestWaitsAreRandom: many machines with different secrets: every wait that RFC 2131 or RFC 5227 wants to be
// random is in its range, and in no two places the same for all.
func TestWaitsAreRandom(t *testing.T) {
	spread := map[string]*[2]int64{}
	within := func(what string, d, low, high int64) {
		t.Helper()
		if d < low || d > high {
			t.Errorf("%s: %d ns, must be %d to %d", what, d, low, high)
		}
		s := spread[what]
		if s == nil {
			s = &[2]int64{d, d}
			spread[what] = s
		}
		s[0], s[1] = min(s[0], d), max(s[1], d)
	}
	xids := map[uint32]int{}
	const n = 200
	for i := range n {
		l := newLife(t, client.Config{}, byte(i))
		begin := l.now.M
		l.pass(300 * lease.Second)
		within("first DISCOVER", l.at[0]-begin, 1*lease.Second, 10*lease.Second)
		for k, wait := range []int64{4, 8, 16, 32, 64, 64} {
			within("wait "+string(rune('1'+k)), l.at[k+1]-l.at[k], (wait-1)*lease.Second, (wait+1)*lease.Second)
		}
		xids[l.sent[0].XID()]++
		l.reply(2)
		l.reply(5)
		acked, requested := l.now.M, l.at[len(l.at)-1]
		l.pass(20 * lease.Second)
		l.state(client.Bound)
		within("first probe", l.arpt[0]-acked, 0, 1*lease.Second)
		within("second probe", l.arpt[1]-l.arpt[0], 1*lease.Second, 2*lease.Second)
		within("third probe", l.arpt[2]-l.arpt[1], 1*lease.Second, 2*lease.Second)
		if wait := l.arpt[3] - l.arpt[2]; wait != 2*lease.Second || l.arpt[4]-l.arpt[3] != 2*lease.Second || len(l.arpt) != 5 {
			t.Errorf("announcements after %d ns, then %v", wait, l.arpt)
		}
		// T1 and T2 of an hour: at most 1/128 of it earlier.
		within("T1", l.m.Lease().T1-requested, 1800*lease.Second-3600*lease.Second/128, 1800*lease.Second)
		within("T2", l.m.Lease().T2-requested, 3150*lease.Second-3600*lease.Second/128, 3150*lease.Second)
		if end := l.m.Lease().End; end != requested+3600*lease.Second {
			t.Errorf("the lease ends %d ns after its REQUEST", end-requested)
		}
	}
	for what, s := range spread {
		if s[1]-s[0] < lease.Second/2 {
			t.Errorf("%s: all within %d ns", what, s[1]-s[0])
		}
	}
	if len(xids) != n {
		t.Errorf("%d transaction ids of %d machines", len(xids), n)
	}
}
