package server_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/lease"
	"lessor/internal/pool"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// worldConfigs are what the world is reconfigured with: pools move, shrink and grow,
// exclusions and reservations come and go, a relayed subnet and a second link appear.
var worldConfigs = []string{`
interfaces: [eth0, eth1]
valid-lifetime: 5m
min-valid-lifetime: 20s
max-valid-lifetime: 1h
conflict-check: %s
decline-probation-period: 30m
subnets:
  - subnet: 198.18.0.0/24
    pools: [{pool: 198.18.0.100-198.18.0.111, exclude: [198.18.0.105]}]
    options: {routers: [198.18.0.111]}
    reservations:
      - {hw-address: "02:00:5e:10:00:09", ip-address: 198.18.0.103}
      - {hw-address: "02:00:5e:10:00:08", ip-address: 198.18.0.50}
  - subnet: 198.18.3.0/24
    pools: [198.18.3.100-198.18.3.102]
`, `
interfaces: [eth0, eth1]
valid-lifetime: 20s
conflict-check: %s
subnets:
  - subnet: 198.18.0.0/24
    pools: [198.18.0.99-198.18.0.104, 198.18.0.106-198.18.0.107]
    reservations:
      - {hw-address: "02:00:5e:10:00:09", ip-address: 198.18.0.104}
      - {hw-address: "02:00:5e:10:00:07", options: {domain-name: example.net}}
`, `
interfaces: [eth0, eth1]
valid-lifetime: 1h
authoritative: false
match-client-id: false
conflict-check: %s
rapid-commit: true
subnets:
  - subnet: 198.18.0.0/24
    pools: [198.18.0.100-198.18.0.102, {pool: 198.18.0.103-198.18.0.111, exclude: [198.18.0.106-198.18.0.109]}]
    reservations:
      - {hw-address: "02:00:5e:10:00:08", ip-address: 198.18.0.101}
  - subnet: 198.18.2.0/24
    pools: [198.18.2.100-198.18.2.103]
  - subnet: 198.18.3.0/24
    pools: [198.18.3.101-198.18.3.104]
`}

// client is a machine and what it says of itself. Several have one card and differ by
// identifier, as a ROM and a system do.
type client struct {
	hw  byte
	cid string // hexadecimal, empty: none
}

func (c client) mac() []byte { return []byte{2, 0, 0x5e, 0x10, 0, c.hw} }

var worldClients = []client{
	{hw: 1}, {hw: 2}, {hw: 3}, {hw: 4}, {hw: 5}, {hw: 6}, {hw: 7}, {hw: 8}, {hw: 9}, {hw: 10},
	{9, "00aa"}, {9, "ffbb"}, {11, "ff01"}, {11, "ff02"}, {hw: 11}, {12, "ff03"}, {13, "ff03"},
}

// world drives a core with random conversations on a tight pool, and keeps its own
// slow, obvious account of who was promised what. Changes become durable one or several
// steps after they were decided, or never.
type world struct {
	t         *rapid.T
	h         *harness
	arp       string
	reboots   bool // else the wall clock steps; with both I1 is not claimed
	failing   bool
	calm      bool // no more faults
	explained bool // each packet is explained first
	rev       uint64
	first     uint64 // revision of pending[0]
	waiting   []waiting
	held      map[dhcp4.Addr]promise // S-intervals, by address
	offs      map[dhcp4.Addr]promise // live offers
	leaving   map[dhcp4.Addr]bool    // given up by a change that is not durable yet
	recalled  uint64
}

// promise is an address that a client was told it has, or can have.
type promise struct {
	client
	end  int64 // CLOCK_BOOTTIME nanoseconds
	held bool  // the operator holds it: its client has no claim, others neither
}

// waiting is a reply or an event that rests on a revision.
type waiting struct {
	after uint64
	at    int64 // when it was decided
	data  []byte
	typ   dhcp4.MessageType
	ev    *server.Event
	byHW  bool // it was decided while identifiers did not count
}

func newWorld(t *testing.T, rt *rapid.T) *world {
	w := &world{t: rt, h: newHarness(t), held: map[dhcp4.Addr]promise{}, offs: map[dhcp4.Addr]promise{}, leaving: map[dhcp4.Addr]bool{}}
	w.arp = rapid.SampledFrom([]string{"off", "arp"}).Draw(rt, "conflict-check")
	w.reboots = rapid.Bool().Draw(rt, "reboots")
	for i, a := range []string{"198.18.0.1", "198.18.3.1"} {
		w.h.links = append(w.h.links, wire.Link{ID: wire.LinkID(i + 1), Name: fmt.Sprint("eth", i), MAC: wire.MAC{2, 0, 0, 0, 0xff, byte(i + 1)},
			MTU: 1500, Addrs: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr(a), Bits: 24}}})
	}
	w.configure(0)
	w.h.core.SetLinks(w.h.now, w.h.links, &w.h.e)
	return w
}

// TestNoDoubleBinding holds I1, I2, I3, I4, I5, I7, I9, I10, I11 and I13 over random
// conversations of a dozen machines with a dozen addresses on two links and behind a
// relay agent: copies, restarts, commits that fail, reloads, the operator, strangers'
// ARP answers, renumbered interfaces, clocks that step.
func TestNoDoubleBinding(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, rt)
		for range rapid.IntRange(1, 150).Draw(rt, "steps") {
			w.step()
			w.settle()
		}
		// In the end every promise runs out, and nothing has leaked (I4).
		w.calm = true
		w.h.core.SetStoreFailing(false)
		w.pass(30 * 3600)
		for _, p := range w.h.core.Pools() {
			if out := p.Count[pool.Offered] + p.Count[pool.Bound] + p.Count[pool.Held] + p.Count[pool.Declined]; out != 0 {
				rt.Fatalf("%d addresses never came back: %v", out, p.Count)
			}
		}
	})
}

// configure puts one of worldConfigs in force.
func (w *world) configure(n int) {
	c, problems := config.Parse("world.yaml", fmt.Appendf(nil, worldConfigs[n], w.arp))
	if c == nil {
		w.t.Fatal(problems)
	}
	w.h.conf = c
	w.h.core.SetPolicy(w.h.now, c.Policy(), &w.h.e)
	clear(w.offs) // an offer may have left with its pool
}

func (w *world) step() {
	c := rapid.SampledFrom(worldClients).Draw(w.t, "client")
	net := rapid.SampledFrom([]string{"198.18.0", "198.18.0", "198.18.0", "198.18.3", "198.18.2"}).Draw(w.t, "net")
	addr := fmt.Sprintf("%s.%d", net, rapid.SampledFrom([]int{50, 99, 100, 101, 102, 103, 104, 105, 106, 110, 111}).Draw(w.t, "addr"))
	xid := fmt.Sprint(rapid.IntRange(1, 1000).Draw(w.t, "xid"))
	server := net + ".1"
	via := []string{"xid", xid}
	switch net {
	case "198.18.2":
		via = append(via, "giaddr", "198.18.2.1")
		server = "198.18.0.1"
	case "198.18.3":
		via = append(via, "on", "2")
	}
	say := func(typ dhcp4.MessageType, args ...string) { w.send(c, typ, append(args, via...)) }
	switch what := rapid.IntRange(0, 17).Draw(w.t, "what"); what {
	case 0, 1:
		say(dhcp4.Discover)
	case 2:
		say(dhcp4.Discover, "req", addr)
	case 3:
		say(dhcp4.Discover, "req", addr, "rapid", "")
	case 4, 5: // what this client has on offer, if anything
		if a, ok := w.offered(c, net); ok {
			say(dhcp4.Request, "sid", server, "req", a.String())
		}
	case 6:
		say(dhcp4.Request, "sid", rapid.SampledFrom([]string{server, "198.18.0.2"}).Draw(w.t, "sid"), "req", addr)
	case 7, 8, 9: // of what it has, if anything, else of what it likes
		if a, ok := w.has(c, net); ok && rapid.Bool().Draw(w.t, "own") {
			addr = a.String()
		}
		say(dhcp4.Request, [][]string{
			{"req", addr}, {"ciaddr", addr, "from", addr, "to", server}, {"ciaddr", addr, "from", addr}}[what-7]...)
	case 10:
		if rapid.Bool().Draw(w.t, "decline") {
			say(dhcp4.Decline, "sid", server, "req", addr)
		} else if net != "198.18.2" {
			say(dhcp4.Release, "sid", server, "ciaddr", addr, "from", addr, "to", server)
		}
	case 11:
		w.pass(rapid.SampledFrom([]int{1, 5, 61, 200, 400}).Draw(w.t, "seconds"))
	case 12:
		m := wire.ARP{Link: 1, Op: 2, SenderIP: dhcp4.MustParseAddr(addr), SenderMAC: wire.MAC{2, 0, 0, 0, 0xdd, 1}}
		w.h.core.HandleARP(w.h.now, &m, &w.h.e)
	case 13:
		w.restart()
	case 14:
		w.failing = rapid.Bool().Draw(w.t, "failing")
		w.fail()
		w.h.core.SetStoreFailing(w.failing)
	case 15:
		w.configure(rapid.IntRange(0, len(worldConfigs)-1).Draw(w.t, "config"))
	case 16: // the operator
		now := rapid.Bool().Draw(w.t, "now")
		_ = w.h.core.Release(w.h.now, dhcp4.MustParseAddr(addr), now, &w.h.e) // not bound: nothing happens
	case 17:
		w.meddle(addr)
	}
}

// meddle renumbers an interface, maybe to an address inside a pool, steps the wall
// clock, or makes overload come or go.
func (w *world) meddle(addr string) {
	switch rapid.IntRange(0, 2).Draw(w.t, "meddle") {
	case 0:
		l := w.h.links[0]
		l.Addrs = append(l.Addrs[:1:1], dhcp4.Prefix{Addr: dhcp4.MustParseAddr(addr), Bits: 24})
		if rapid.Bool().Draw(w.t, "only one") {
			l.Addrs = l.Addrs[:1]
		}
		w.h.links = []wire.Link{l, w.h.links[1]}
		w.h.core.SetLinks(w.h.now, w.h.links, &w.h.e)
		clear(w.offs)
	case 1:
		if !w.reboots {
			w.h.now.W += rapid.SampledFrom([]int64{-86400e9, -3e9, 5e9, 365 * 86400e9}).Draw(w.t, "step")
		}
	case 2:
		w.h.core.SetOverload(rapid.Bool().Draw(w.t, "overload"))
	}
}

// restart has the server come up again with what is durable, maybe after a reboot, maybe
// told that its store is damaged.
func (w *world) restart() {
	h := w.h
	if w.reboots && rapid.Bool().Draw(w.t, "reboot") {
		const down = 30e9
		shift := int64(5e9) - (h.now.M + down)
		h.now = lease.Instant{M: 5e9, W: h.now.W + down}
		h.boot[0]++
		for a, p := range w.held {
			p.end += shift
			w.held[a] = p
		}
	}
	h.core = server.New(secret, h.boot)
	w.rev = 0
	for _, b := range h.store {
		w.rev = max(w.rev, b.Rev)
		lease.Resume(&b, h.mark, h.now, h.boot)
		h.core.Restore(&b)
	}
	h.core.SetPolicy(h.now, h.conf.Policy(), &h.e)
	h.core.SetLinks(h.now, h.links, &h.e)
	if rapid.IntRange(0, 3).Draw(w.t, "careful") == 0 {
		h.core.SetCareful(h.now)
	}
	h.core.SetStoreFailing(w.failing)
	h.pending, w.waiting = nil, nil
	clear(w.offs)
	clear(w.leaving)
}

func (w *world) pass(seconds int) {
	h := w.h
	end := h.now.M + int64(seconds)*1e9
	for at := h.core.NextTick(); at <= end; at = h.core.NextTick() {
		at = max(at, h.now.M)
		h.now.W += at - h.now.M
		h.now.M = at
		h.core.Tick(h.now, &h.e)
		w.settle()
	}
	h.now.W += end - h.now.M
	h.now.M = end
}

// settle takes over what the core asked for, and makes some of what is pending durable.
func (w *world) settle() {
	h := w.h
	before := w.rev
	for _, c := range cloneChanges(h.e.Changes) {
		h.change(&c)
		if len(h.pending) == 0 {
			w.first = w.rev + 1
		}
		w.rev++
		h.pending = append(h.pending, c)
		if !c.CompareOnly {
			w.leaving[c.After.Addr] = c.After.State != lease.Bound
		}
	}
	for i := range h.e.Events {
		h.event(&h.e.Events[i])
		ev := h.e.Events[i]
		ev.HW, ev.ClientID = bytes.Clone(ev.HW), bytes.Clone(ev.ClientID)
		w.wait(waiting{after: ev.After, at: h.now.M, ev: &ev})
	}
	for i := range h.e.Replies {
		r := &h.e.Replies[i]
		h.reply(r)
		w.wait(waiting{after: r.After, at: h.now.M, data: bytes.Clone(r.Data), typ: r.Type, byHW: !h.conf.Policy().MatchClientID})
	}
	h.e.Reset()
	if n := h.core.Counters().Recalled; n != w.recalled {
		clear(w.offs) // which ones were recalled is not the client's to know
		w.recalled = n
	}
	if h.out.Len() > 0 {
		w.t.Log(h.out.String())
		h.out.Reset()
	}
	switch {
	case w.failing && w.rev != before:
		w.fail()
	case len(h.pending) == 0:
	case w.calm:
		w.commit(len(h.pending))
	default:
		switch rapid.IntRange(0, 9).Draw(w.t, "commit") {
		case 0:
			w.fail()
		case 1, 2:
			w.commit(rapid.IntRange(0, len(h.pending)).Draw(w.t, "some"))
		case 3: // later
		default:
			w.commit(len(h.pending))
		}
	}
	w.sums()
}

// wait judges x at once when it rests on nothing that is pending.
func (w *world) wait(x waiting) {
	if x.after >= w.first && len(w.h.pending) > 0 {
		w.waiting = append(w.waiting, x)
	} else {
		w.judge(x)
	}
}

// commit makes the first n pending changes durable, and lets go what rests on them.
func (w *world) commit(n int) {
	h := w.h
	for range n {
		c := h.pending[0]
		h.pending = h.pending[1:]
		w.first++
		if !c.CompareOnly {
			h.store[c.After.Addr] = c.After
			delete(w.leaving, c.After.Addr)
		}
		was := w.waiting
		w.waiting = nil
		for _, x := range was {
			w.wait(x)
		}
	}
	h.mark = lease.Mark{W: h.now.W, M: h.now.M, Boot: h.boot}
	h.core.Durable(w.first - 1)
}

// fail takes back all that is pending.
func (w *world) fail() {
	for _, c := range w.h.pending {
		if c.CompareOnly {
			continue
		}
		delete(w.offs, c.After.Addr) // the REQUEST was there: its offer is used up
		w.dropOffers(clientOf(c.After.HW, c.After.ClientID))
	}
	w.h.core.Rollback(w.h.now, w.h.pending)
	w.h.pending, w.waiting = nil, nil
	clear(w.leaving)
}

// sums holds I4.
func (w *world) sums() {
	for _, p := range w.h.core.Pools() {
		sum := uint64(0)
		for _, n := range p.Count {
			sum += n
		}
		if sum != p.Size {
			w.t.Fatalf("the states of %s sum up to %d, not %d (I4)", p.Range, sum, p.Size)
		}
	}
}

func clientOf(hw, cid []byte) client { return client{hw[5], fmt.Sprintf("%x", cid)} }

func inNet(a dhcp4.Addr, net string) bool { return strings.HasPrefix(a.String(), net+".") }
