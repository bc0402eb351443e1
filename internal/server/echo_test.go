package server_test

import (
	"testing"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/lease"
	"lessor/internal/pool"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// farNet is a server whose clients are behind a relay agent, where a station answers
// echo requests.
type farNet struct {
	t      *testing.T
	core   *server.Core
	now    lease.Instant
	e      server.Effects
	rev    uint64
	pinged map[dhcp4.Addr]int
	pings  []wire.Echo
	answer bool
	offers int
}

func newFarNet(t *testing.T) *farNet {
	f := &farNet{t: t, core: server.New(secret, lease.BootID{1}), now: lease.Instant{M: 1e15, W: 1_790_000_000e9}, pinged: map[dhcp4.Addr]int{}}
	c, problems := config.Parse("lessor.yaml", []byte(`
interfaces: [eth0]
conflict-check: [arp, icmp]
offer-lifetime: 2s
subnets:
  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.109]}
  - {subnet: 198.18.16.0/20, pools: [198.18.16.0-198.18.31.255]}
`))
	if c == nil {
		t.Fatal(problems)
	}
	f.core.SetPolicy(f.now, c.Policy(), &f.e)
	f.core.SetLinks(f.now, []wire.Link{{ID: 1, Name: "eth0", MAC: wire.MAC{2, 0, 0, 0, 0xff, 1}, MTU: 1500,
		Addrs: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("198.18.0.1"), Bits: 24}}}}, &f.e)
	f.settle()
	return f
}

// settle makes what was decided durable, and has the station answer.
func (f *farNet) settle() {
	for {
		f.rev += uint64(len(f.e.Changes))
		f.core.Durable(f.rev)
		f.offers += len(f.e.Replies)
		asked := append([]wire.Echo(nil), f.e.Echoes...)
		f.e.Reset()
		f.pings = append(f.pings, asked...)
		for _, m := range asked {
			f.pinged[m.Dst]++
			if f.answer {
				m.Reply, m.Src, m.Dst = true, m.Dst, m.Src
				f.core.HandleEcho(f.now, &m, &f.e)
			}
		}
		if len(asked) == 0 {
			return
		}
	}
}

// pass lets time pass, in which so many strangers a second ask for an address.
func (f *farNet) pass(seconds, rate int, first *uint32) {
	step := int64(1e9) / int64(rate)
	for range seconds * rate {
		f.now.M += step
		f.now.W += step
		if f.core.NextTick() <= f.now.M {
			f.core.Tick(f.now, &f.e)
			f.settle()
		}
		*first++
		n := *first
		h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: n, GIAddr: dhcp4.MustParseAddr("198.18.31.254")}
		copy(h.CHAddr[:], []byte{2, 0x77, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		p := wire.Packet{Link: 1, SrcMAC: wire.MAC{2, 0, 0, 0, 0xee, 1}, DstMAC: wire.MAC{2, 0, 0, 0, 0xff, 1}, Src: h.GIAddr,
			Dst: dhcp4.MustParseAddr("198.18.0.1"), SrcPort: 67}
		p.Data, _ = dhcp4.AppendMessage(nil, &h, []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{1}}}, nil, 1472)
		f.core.Handle(f.now, &p, &f.e)
		f.settle()
	}
}

func (f *farNet) declined() uint64 { return f.core.Pools()[1].Count[pool.Declined] }

// TestF6EchoAnswers: a station behind a relay agent answers for every address, a thousand times
// a second and more. At most a tenth of the pool goes out, newcomers are offered addresses, and
// what was taken out does not come back because it is silent afterwards.
func TestF6EchoAnswers(t *testing.T) {
	f := newFarNet(t)
	f.answer = true
	var client uint32
	f.pass(1, 5000, &client)
	if n := len(f.pings); n < 500 || n > 1101 {
		t.Errorf("%d echo requests in a second", n)
	}
	f.pass(10, 1000, &client)
	if n := f.declined(); n != 409 {
		t.Errorf("%d of 4096 addresses are out, want 409", n)
	}
	if f.offers == 0 {
		t.Error("nobody was offered anything")
	}
	for a := range f.pinged {
		if a < dhcp4.MustParseAddr("198.18.16.1") || a >= dhcp4.MustParseAddr("198.18.31.255") {
			t.Errorf("%s was asked for: a broadcast address, or none of a pool", a)
		}
	}
	f.answer = false
	clear(f.pinged)
	before := f.declined()
	f.pass(90, 100, &client)
	if n := f.declined(); n != before {
		t.Errorf("%d addresses are out after a silence, want %d as before", n, before)
	}
	if len(f.pinged) == 0 {
		t.Error("nothing was asked for in the silence")
	}
}

// TestEchoRate: so many strangers ask that the bounds are reached: of what waits, of echo
// requests in a second, and of silence that is remembered.
func TestEchoRate(t *testing.T) {
	f := newFarNet(t)
	var client uint32
	f.pass(10, 5000, &client)
	if n := len(f.pings); n < 1000 || n > 10*1000+101 {
		t.Errorf("%d echo requests in 10 s, want some thousands", n)
	}
	if n := f.core.Sizes().Checks; n > 512+192 {
		t.Errorf("%d checks are remembered: at most 512 silent addresses and 192 that are asked for", n)
	}
	for i := 100; i < len(f.pings); i++ {
		if f.pings[i].Token == f.pings[i-1].Token || f.pings[i].Seq == f.pings[i-1].Seq {
			t.Fatalf("two questions alike: %+v, %+v", f.pings[i-1], f.pings[i])
		}
	}
	if f.core.Counters().Unchecked == 0 {
		t.Error("no offer was counted as unchecked")
	}
}

// TestForgedEchoesCostNothing: what is no answer to a question changes nothing and allocates
// nothing.
func TestForgedEchoesCostNothing(t *testing.T) {
	f := newFarNet(t)
	var client uint32
	f.pass(1, 100, &client)
	m := f.pings[len(f.pings)-1]
	m.Reply, m.Src, m.Dst, m.Token = true, m.Dst, m.Src, m.Token^1
	if n := testing.AllocsPerRun(100, func() { f.core.HandleEcho(f.now, &m, &f.e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if f.declined() != 0 || len(f.e.Events)+len(f.e.Changes) != 0 {
		t.Error("a forged answer was believed")
	}
}
