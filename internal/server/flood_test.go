package server_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/lease"
	"lessor/internal/pool"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// The load and starvation goals of docs/faults.md as far as they are decisions of the
// core: time is given, not measured. What they cost is measured on the real binary.

// flood is a server with 20 clients that renew 50 times a second in all.
type flood struct {
	t     *testing.T
	core  *server.Core
	now   lease.Instant
	e     server.Effects
	rev   uint64
	rand  *rand.Rand
	first dhcp4.Addr

	renewals, xid uint32
	answer        bool // a station answers every ARP question
	asked         []wire.ARP
}

const floodConfig = `
interfaces: [eth0]
valid-lifetime: 12h
conflict-check: %s
subnets:
  - {subnet: 198.18.0.0/16, pools: [198.18.1.0-%s]}
`

func newFlood(t *testing.T, last, check string) *flood {
	f := &flood{t: t, core: server.New(secret, lease.BootID{1}), now: lease.Instant{M: 1e15, W: 1_790_000_000e9},
		rand: rand.New(rand.NewPCG(1, 2)), first: dhcp4.MustParseAddr("198.18.1.0")}
	c, problems := config.Parse("lessor.yaml", fmt.Appendf(nil, floodConfig, check, last))
	if c == nil {
		t.Fatal(problems)
	}
	for i := range 20 {
		f.core.Restore(&lease.Binding{Addr: f.first + dhcp4.Addr(i), State: lease.Bound, HType: 1, HW: benchHW(i), Lifetime: 43200, Grace: 100,
			Boot: lease.BootID{1}, End: f.now.M + 3600e9, Free: f.now.M + 3700e9, Rev: uint64(i + 1)})
	}
	f.rev = 20
	f.core.SetPolicy(f.now, c.Policy(), &f.e)
	f.core.SetLinks(f.now, []wire.Link{{ID: 1, Name: "eth0", MAC: wire.MAC{2, 0, 0, 0, 0xff, 1}, MTU: 1500,
		Addrs: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("198.18.0.1"), Bits: 16}}}}, &f.e)
	f.settle()
	return f
}

// settle makes what was decided durable, and has the station answer.
func (f *flood) settle() {
	if n := len(f.e.Changes); n > 0 {
		f.rev += uint64(n)
		f.core.Durable(f.rev)
	}
	f.asked = append(f.asked[:0], f.e.Probes...)
	f.e.Reset()
	if f.answer && len(f.asked) > 0 {
		for _, q := range f.asked {
			m := wire.ARP{Link: 1, Op: 2, SenderMAC: wire.MAC{2, 0, 0, 0, 0xdd, 1}, SenderIP: q.TargetIP}
			f.core.HandleARP(f.now, &m, &f.e)
		}
		f.settle()
	}
}

// say sends a message of the client with this hardware address, and returns the type of
// the answer and the address in it.
func (f *flood) say(typ dhcp4.MessageType, hw []byte, set func(*dhcp4.Header, *[]dhcp4.Option)) (dhcp4.MessageType, dhcp4.Addr) {
	f.xid++
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: f.xid}
	copy(h.CHAddr[:], hw)
	p := wire.Packet{Link: 1, SrcMAC: wire.MAC(hw), DstMAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, SrcPort: 68}
	opts := []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(typ)}}}
	if set != nil {
		set(&h, &opts)
	}
	if h.CIAddr != 0 {
		p.Src, p.Dst, p.DstMAC = h.CIAddr, dhcp4.MustParseAddr("198.18.0.1"), wire.MAC{2, 0, 0, 0, 0xff, 1}
	}
	p.Data, _ = dhcp4.AppendMessage(nil, &h, opts, nil, 1472)
	f.core.Handle(f.now, &p, &f.e)
	got, a := dhcp4.MessageType(0), dhcp4.Addr(0)
	if n := len(f.e.Replies); n > 0 {
		r := &f.e.Replies[n-1]
		got, a = r.Type, yiaddr(r.Data)
	}
	f.settle()
	return got, a
}

func asking(a dhcp4.Addr) func(*dhcp4.Header, *[]dhcp4.Option) {
	return func(_ *dhcp4.Header, opts *[]dhcp4.Option) {
		*opts = append(*opts, dhcp4.Option{Code: dhcp4.OptDHCPServerIdentifier, Data: dhcp4.MustParseAddr("198.18.0.1").Append(nil)},
			dhcp4.Option{Code: dhcp4.OptDHCPRequestedAddress, Data: a.Append(nil)})
	}
}

// stranger is a hardware address that nobody has used before.
func (f *flood) stranger() []byte {
	return binary.BigEndian.AppendUint32([]byte{2, 0x66}, f.rand.Uint32())
}

// run has a hostile station act so many times a second, evenly, while the 20 clients renew
// and, with each newcomer, a new client comes. A newcomer takes what it is offered after
// rtt acts of the station, and asks again after 4, 8 and 16 s when that fails.
func (f *flood) run(seconds, rate, rtt int, hostile func()) (served, newcomers int) {
	type comer struct {
		hw    []byte
		a     dhcp4.Addr
		at    int // when to speak next, in acts
		tries int
	}
	var open []comer
	for i := range seconds * rate {
		f.now.M += 1e9 / int64(rate)
		f.now.W += 1e9 / int64(rate)
		if f.core.NextTick() <= f.now.M {
			f.core.Tick(f.now, &f.e)
			f.settle()
		}
		if i%max(1, rate/50) == 0 {
			f.renew()
		}
		if i%max(1, rate/5) == 0 {
			open = append(open, comer{hw: f.stranger(), at: i})
			newcomers++
		}
		for j := 0; j < len(open); j++ {
			c := &open[j]
			if c.at != i {
				continue
			}
			if c.a == 0 {
				if _, c.a = f.say(dhcp4.Discover, c.hw, nil); c.a != 0 {
					c.at = i + rtt
					continue
				}
			} else if got, _ := f.say(dhcp4.Request, c.hw, asking(c.a)); got == dhcp4.Ack {
				served++
				open = append(open[:j], open[j+1:]...)
				j--
				continue
			}
			c.a, c.at = 0, i+rate<<(2+c.tries)
			c.tries++
		}
		hostile()
		if i%rate == 0 {
			f.sums()
		}
	}
	return served, newcomers
}

// renew has the next of the 20 renew, which is acknowledged in full.
func (f *flood) renew() {
	i := f.renewals % 20
	f.renewals++
	got, a := f.say(dhcp4.Request, benchHW(int(i)), func(h *dhcp4.Header, _ *[]dhcp4.Option) { h.CIAddr = f.first + dhcp4.Addr(i) })
	if got != dhcp4.Ack || a != f.first+dhcp4.Addr(i) {
		f.t.Fatalf("renewal %d got %v of %v (I3)", f.renewals, got, a)
	}
}

// sums is F8, and the bound of F6.
func (f *flood) sums() {
	p := f.core.Pools()[0]
	sum := uint64(0)
	for _, n := range p.Count {
		sum += n
	}
	if sum != p.Size {
		f.t.Fatalf("the states sum up to %d of %d (F8)", sum, p.Size)
	}
	if out := p.Count[pool.Declined]; out > max(4, p.Size/10) {
		f.t.Fatalf("%d of %d addresses are out (F6)", out, p.Size)
	}
}

// TestF1DiscoverFlood: DISCOVERs of invented clients, into a large pool and into one that
// they fill 250 times a second. Newcomers need 20 ms to answer an OFFER.
func TestF1DiscoverFlood(t *testing.T) {
	for _, last := range []string{"198.18.254.255", "198.18.1.219"} {
		f := newFlood(t, last, "off")
		served, newcomers := f.run(2, 50_000, 1000, func() { f.say(dhcp4.Discover, f.stranger(), nil) })
		if newcomers-served > 1 { // the last one may be under way
			t.Errorf("pool up to %s: %d of %d newcomers got an address (F3)", last, served, newcomers)
		}
	}
}

// TestF5ForgedRequests: REQUESTs for guessed addresses, by invented clients that were
// offered nothing.
func TestF5ForgedRequests(t *testing.T) {
	for _, rate := range []int{2000, 20_000} {
		f := newFlood(t, "198.18.254.255", "off")
		served, newcomers := f.run(6, rate, 1, func() {
			f.say(dhcp4.Request, f.stranger(), asking(f.first+dhcp4.Addr(f.rand.IntN(65024))))
		})
		if served != newcomers {
			t.Errorf("%d/s: %d of %d newcomers got an address: an honest exchange is not limited", rate, served, newcomers)
		}
		if n := f.core.Table().Len() - 20 - served; n > 500+6*50+1 {
			t.Errorf("%d/s: %d forged REQUESTs were believed, want at most 800", rate, n)
		}
	}
}

// TestF6Declines: each DISCOVER of an invented client is followed by a DECLINE.
func TestF6Declines(t *testing.T) {
	f := newFlood(t, "198.18.3.255", "off")
	served, newcomers := f.run(60, 1000, 10, func() {
		hw := f.stranger()
		if _, a := f.say(dhcp4.Discover, hw, nil); a != 0 {
			f.say(dhcp4.Decline, hw, asking(a))
		}
	})
	if newcomers-served > 1 {
		t.Errorf("%d of %d newcomers got an address", served, newcomers)
	}
}

// TestF6Answers: a station answers the ARP question for every address.
func TestF6Answers(t *testing.T) {
	f := newFlood(t, "198.18.3.255", "arp")
	f.answer = true
	served, newcomers := f.run(60, 1000, 10, func() {
		m := wire.ARP{Link: 1, Op: 2, SenderMAC: wire.MAC{2, 0, 0, 0, 0xdd, 1}, SenderIP: f.first + dhcp4.Addr(f.rand.IntN(768))}
		f.core.HandleARP(f.now, &m, &f.e)
		f.settle()
	})
	if newcomers-served > 1 {
		t.Errorf("%d of %d newcomers got an address", served, newcomers)
	}
	if f.core.Counters().Unchecked == 0 {
		t.Error("no offer was counted as unchecked")
	}
}

// TestF7FullPool: every address is bound. Renewals go on; who comes back while its last
// address is free gets it, whoever else asks for one.
func TestF7FullPool(t *testing.T) {
	f := newFlood(t, "198.18.1.63", "off")
	clients := map[string]dhcp4.Addr{}
	for len(clients) < 44 {
		hw := f.stranger()
		_, a := f.say(dhcp4.Discover, hw, nil)
		if got, _ := f.say(dhcp4.Request, hw, asking(a)); got != dhcp4.Ack {
			t.Fatalf("a client got %v of %v", got, a)
		}
		clients[string(hw)] = a
	}
	if served, _ := f.run(2, 5000, 10, func() { f.say(dhcp4.Discover, f.stranger(), nil) }); served != 0 {
		t.Fatalf("%d newcomers got an address of a full pool", served)
	}
	for hw, a := range clients {
		f.say(dhcp4.Release, []byte(hw), func(h *dhcp4.Header, opts *[]dhcp4.Option) {
			h.CIAddr = a
			*opts = append(*opts, dhcp4.Option{Code: dhcp4.OptDHCPServerIdentifier, Data: dhcp4.MustParseAddr("198.18.0.1").Append(nil)})
		})
		if _, got := f.say(dhcp4.Discover, []byte(hw), nil); got != a {
			t.Fatalf("a client came back to %v and was offered %v", a, got)
		}
		if got, _ := f.say(dhcp4.Request, []byte(hw), asking(a)); got != dhcp4.Ack {
			t.Fatalf("a client came back to %v and got %v", a, got)
		}
	}
}
