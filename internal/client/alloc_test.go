//go:build !race

package client_test

import (
	"testing"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// TestIgnoringAllocatesNothing holds F10's bounded memory for the machine: a reply that
// does not count costs no allocation, in whatever state it comes.
func TestIgnoringAllocatesNothing(t *testing.T) {
	for _, state := range []client.State{client.Selecting, client.Requesting, client.Bound, client.Renewing} {
		f := newFlood(t, state)
		one := func() {
			for i := range f.replies {
				f.m.Handle(f.now, &client.Input{Kind: client.InputPacket, Packet: &f.replies[i]}, &f.e)
				f.now.M += 1000
				f.now.W += 1000
			}
			if len(f.e.List) != len(f.replies) {
				t.Fatalf("%v: %d effects of %d replies: %+v", state, len(f.e.List), len(f.replies), f.e.List)
			}
			f.e.Reset()
		}
		one()
		if n := testing.AllocsPerRun(100, one); n != 0 {
			t.Errorf("%v: %v allocations for %d ignored replies, want none", state, n, len(f.replies))
		}
		if f.m.State() != state {
			t.Errorf("%v: the flood led to %v", state, f.m.State())
		}
	}
}

// flood is a machine in some state and replies that do not count in any.
type flood struct {
	m       *client.Machine
	e       client.Effects
	now     lease.Instant
	replies []wire.Packet
}

func newFlood(t testing.TB, state client.State) *flood {
	f := &flood{now: lease.Instant{M: 1e12, W: 1.8e18}}
	f.m = client.New(client.Config{Fast: true, Detection: client.DetectOff}, secret, nil)
	var asked dhcp4.View
	do := func(in *client.Input) {
		f.m.Handle(f.now, in, &f.e)
		for i := range f.e.List {
			if s := &f.e.List[i].Send; f.e.List[i].Kind == client.EffectSend {
				if err := asked.Parse(append([]byte(nil), s.Data...)); err != nil {
					t.Fatal(err)
				}
			}
		}
		f.e.Reset()
	}
	do(&client.Input{Kind: client.InputLinkUp, Link: wire.Link{ID: 7, MAC: ownMAC, MTU: 1500}})
	reply := func(typ byte, change func(h *dhcp4.Header, o []dhcp4.Option) []dhcp4.Option) wire.Packet {
		return answer(asked.XID(), "192.0.2.1", 50, func(h *dhcp4.Header, o []dhcp4.Option) []dhcp4.Option {
			o[0].Data = []byte{typ}
			if change != nil {
				o = change(h, o)
			}
			return o
		})
	}
	steps := []func(){
		func() { p := reply(2, nil); do(&client.Input{Kind: client.InputPacket, Packet: &p}) },
		func() { p := reply(5, nil); do(&client.Input{Kind: client.InputPacket, Packet: &p}) },
		func() { do(&client.Input{Kind: client.InputRenew}) },
	}
	for i := 0; f.m.State() != state; i++ {
		steps[i]()
	}
	typ := byte(5)
	if state == client.Selecting {
		typ = 2
	}
	f.replies = []wire.Packet{
		reply(typ, func(h *dhcp4.Header, o []dhcp4.Option) []dhcp4.Option { h.XID++; return o }),
		reply(typ, func(h *dhcp4.Header, o []dhcp4.Option) []dhcp4.Option { h.CHAddr[3]++; return o }),
		reply(typ, func(h *dhcp4.Header, o []dhcp4.Option) []dhcp4.Option { h.YIAddr = 0; return o }),
		reply(typ, func(h *dhcp4.Header, o []dhcp4.Option) []dhcp4.Option { return o[:2] }),
		reply(typ, func(h *dhcp4.Header, o []dhcp4.Option) []dhcp4.Option { o[2].Data = make([]byte, 4); return o }),
		reply(typ, func(h *dhcp4.Header, o []dhcp4.Option) []dhcp4.Option {
			return append(o, dhcp4.Option{Code: 61, Data: []byte("somebody else")})
		}),
		reply(typ, func(h *dhcp4.Header, o []dhcp4.Option) []dhcp4.Option { o[1].Data = []byte{224, 0, 0, 1}; return o }),
		reply(9, nil), reply(1, nil), {Data: reply(typ, nil).Data[:241]}, {Data: make([]byte, 300)}, {},
	}
	return f
}

// BenchmarkIgnored is what one hostile reply costs: F10 asks for 50,000 a second on a
// part of one core.
func BenchmarkIgnored(b *testing.B) {
	f := newFlood(b, client.Renewing)
	b.ReportAllocs()
	for i := range b.N {
		f.m.Handle(f.now, &client.Input{Kind: client.InputPacket, Packet: &f.replies[i%len(f.replies)]}, &f.e)
		f.e.Reset()
	}
}
