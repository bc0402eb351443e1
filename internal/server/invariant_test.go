package server_test

import (
	"bytes"
	"fmt"
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
// exclusions and reservations come and go, a relayed subnet appears.
var worldConfigs = []string{`
interfaces: [eth0]
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
`, `
interfaces: [eth0]
valid-lifetime: 20s
conflict-check: %s
subnets:
  - subnet: 198.18.0.0/24
    pools: [198.18.0.99-198.18.0.104, 198.18.0.106-198.18.0.107]
    reservations:
      - {hw-address: "02:00:5e:10:00:09", ip-address: 198.18.0.104}
      - {hw-address: "02:00:5e:10:00:07", options: {domain-name: example.net}}
`, `
interfaces: [eth0]
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
`}

// world drives a core with random conversations on a tight pool and keeps its own
// slow, obvious account of who was promised what.
type world struct {
	t    *rapid.T
	h    *harness
	arp  string
	held map[dhcp4.Addr]promise // S-intervals, by address
	offs map[dhcp4.Addr]promise // live offers
}

type promise struct {
	id  string
	end int64 // CLOCK_BOOTTIME nanoseconds
}

// TestNoDoubleBinding holds I1, I3, I4, I7, I9 and I10 over random conversations of a
// dozen clients with ten addresses: copies, restarts, failed commits, ARP answers,
// stolen addresses, and time.
func TestNoDoubleBinding(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{t: rt, h: newHarness(t), held: map[dhcp4.Addr]promise{}, offs: map[dhcp4.Addr]promise{}}
		w.h.manual = true
		w.arp = rapid.SampledFrom([]string{"off", "arp"}).Draw(rt, "conflict-check")
		w.h.links = []wire.Link{{ID: 1, Name: "eth0", MAC: wire.MAC{2, 0, 0, 0, 0xff, 1}, MTU: 1500,
			Addrs: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("198.18.0.1"), Bits: 24}}}}
		w.configure(0)
		w.h.core.SetLinks(w.h.now, w.h.links, &w.h.e)
		for range rapid.IntRange(1, 150).Draw(rt, "steps") {
			w.step()
			w.settle()
		}
		// In the end every promise runs out, and nothing has leaked (I4).
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
	host := rapid.IntRange(1, 14).Draw(w.t, "host")
	addr := fmt.Sprintf("198.18.0.%d", rapid.SampledFrom([]int{50, 99, 100, 101, 102, 103, 104, 105, 106, 110, 111}).Draw(w.t, "addr"))
	hw := fmt.Sprint(host)
	id := fmt.Sprintf("02005e1000%02x", host)
	xid := fmt.Sprint(rapid.IntRange(1, 1000).Draw(w.t, "xid"))
	switch rapid.IntRange(0, 16).Draw(w.t, "what") {
	case 0, 1:
		w.send(id, dhcp4.Discover, "hw", hw, "xid", xid)
	case 2:
		w.send(id, dhcp4.Discover, "hw", hw, "req", addr, "xid", xid)
	case 3, 4: // what this client has on offer, if anything
		for a, o := range w.offs {
			if o.id == id {
				w.send(id, dhcp4.Request, "hw", hw, "sid", "198.18.0.1", "req", a.String(), "xid", xid)
				break
			}
		}
	case 5:
		w.send(id, dhcp4.Request, "hw", hw, "sid", rapid.SampledFrom([]string{"198.18.0.1", "198.18.0.2"}).Draw(w.t, "sid"), "req", addr, "xid", xid)
	case 6:
		w.send(id, dhcp4.Request, "hw", hw, "req", addr, "xid", xid)
	case 7:
		w.send(id, dhcp4.Request, "hw", hw, "ciaddr", addr, "from", addr, "to", "198.18.0.1", "xid", xid)
	case 8:
		w.send(id, dhcp4.Request, "hw", hw, "ciaddr", addr, "from", addr, "xid", xid)
	case 9:
		if rapid.Bool().Draw(w.t, "decline") {
			w.send(id, dhcp4.Decline, "hw", hw, "sid", "198.18.0.1", "req", addr, "xid", xid)
		} else {
			w.send(id, dhcp4.Release, "hw", hw, "sid", "198.18.0.1", "ciaddr", addr, "from", addr, "to", "198.18.0.1", "xid", xid)
		}
	case 10:
		w.pass(rapid.SampledFrom([]int{1, 5, 61, 200, 400}).Draw(w.t, "seconds"))
	case 11:
		m := wire.ARP{Link: 1, Op: 2, SenderIP: dhcp4.MustParseAddr(addr), SenderMAC: wire.MAC{2, 0, 0, 0, 0xdd, 1}}
		w.h.core.HandleARP(w.h.now, &m, &w.h.e)
	case 12:
		w.disturb()
	case 13:
		w.configure(rapid.IntRange(0, len(worldConfigs)-1).Draw(w.t, "config"))
	case 14: // through a relay agent
		if rapid.Bool().Draw(w.t, "relayed request") {
			w.send(id, dhcp4.Request, "hw", hw, "giaddr", "198.18.2.1", "sid", "198.18.0.1", "req",
				fmt.Sprintf("198.18.2.%d", 99+host%6), "xid", xid)
		} else {
			w.send(id, dhcp4.Discover, "hw", hw, "giaddr", "198.18.2.1", "xid", xid)
		}
	case 15: // the operator
		a := dhcp4.MustParseAddr(addr)
		now := rapid.Bool().Draw(w.t, "now")
		if w.h.core.Release(w.h.now, a, now, &w.h.e) == nil && now {
			delete(w.held, a) // an override, by its name
		}
	case 16: // another address of our own, maybe inside a pool
		l := w.h.links[0]
		l.Addrs = append(l.Addrs[:1:1], dhcp4.Prefix{Addr: dhcp4.MustParseAddr(addr), Bits: 24})
		if rapid.Bool().Draw(w.t, "second address") {
			l.Addrs = l.Addrs[:1]
		}
		w.h.links = []wire.Link{l}
		w.h.core.SetLinks(w.h.now, w.h.links, &w.h.e)
		clear(w.offs)
	}
}

// send has client id say something; what comes back is judged in settle.
func (w *world) send(id string, typ dhcp4.MessageType, args ...string) {
	p := newPacket(w.h.t, typ)
	for i := 0; i < len(args); i += 2 {
		p.set(args[i], args[i+1])
	}
	pkt := p.packet()
	w.h.core.Handle(w.h.now, &pkt, &w.h.e)
}

// disturb restarts the server, or has what is pending fail.
func (w *world) disturb() {
	h := w.h
	if rapid.Bool().Draw(w.t, "restart") {
		h.core = server.New(secret, h.boot)
		for _, b := range h.store {
			lease.Resume(&b, h.mark, h.now, h.boot)
			h.core.Restore(&b)
		}
		h.core.SetPolicy(h.now, h.conf.Policy(), &h.e)
		h.core.SetLinks(h.now, h.links, &h.e)
		h.lastRev = 0
		for _, b := range h.store {
			h.lastRev = max(h.lastRev, b.Rev)
		}
		clear(w.offs)
		return
	}
	h.core.SetStoreFailing(rapid.Bool().Draw(w.t, "failing"))
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

// settle commits what is pending, or fails it, judges every reply that leaves, and
// looks at the partition.
func (w *world) settle() {
	h := w.h
	fails := len(h.e.Changes) > 0 && rapid.IntRange(0, 9).Draw(w.t, "commit") == 0
	h.pending = cloneChanges(h.e.Changes)
	h.lastRev += uint64(len(h.e.Changes))
	if fails {
		for _, c := range h.pending {
			delete(w.offs, c.After.Addr) // the REQUEST was there: its offer is used up
			w.dropOffers(fmt.Sprintf("%x", c.After.HW))
		}
		h.core.Rollback(h.now, h.pending)
		h.pending = nil
	} else {
		h.commit()
	}
	for i := range h.e.Events {
		w.judgeEvent(&h.e.Events[i], fails)
	}
	for i := range h.e.Replies {
		if r := &h.e.Replies[i]; !fails || r.After <= h.lastRev-uint64(len(h.e.Changes)) {
			w.judge(r)
		}
	}
	h.e.Reset()
	for _, p := range h.core.Pools() {
		sum := uint64(0)
		for _, n := range p.Count {
			sum += n
		}
		if sum != p.Size {
			w.t.Fatalf("the states of %s sum up to %d, not %d (I4)", p.Range, sum, p.Size)
		}
	}
}

func (w *world) judgeEvent(ev *server.Event, failed bool) {
	if failed && ev.After != 0 {
		return
	}
	id := fmt.Sprintf("%x", ev.HW)
	switch ev.Kind {
	case server.EventReleased, server.EventDeclined:
		if p, ok := w.held[ev.Addr]; ok && p.id == id {
			delete(w.held, ev.Addr)
		}
		delete(w.offs, ev.Addr)
	case server.EventConflict:
		if p, ok := w.held[ev.Addr]; ok && p.end > w.h.now.M {
			w.t.Fatalf("a stranger's ARP took %s from its holder", ev.Addr)
		}
		delete(w.offs, ev.Addr)
	case server.EventDrop:
		if ev.Reason == server.ForeignServer {
			w.dropOffers(id)
		}
	}
}

func (w *world) dropOffers(id string) {
	for a, o := range w.offs {
		if o.id == id {
			delete(w.offs, a)
		}
	}
}

func (w *world) judge(r *server.Reply) {
	var v dhcp4.View
	if err := v.Parse(r.Data); err != nil {
		w.t.Fatal(err)
	}
	id, a, now := fmt.Sprintf("%x", v.CHAddr()), v.YIAddr(), w.h.now.M
	holder, held := w.held[a]
	held = held && holder.end > now
	switch r.Type {
	case dhcp4.Offer:
		if held && holder.id != id {
			w.t.Fatalf("%s was offered to %s while %s holds it (I1)", a, id, holder.id)
		}
		w.mayHave(id, a)
		if o, ok := w.offs[a]; ok && o.id != id && o.end > now && w.h.core.Counters().Recalled == 0 {
			w.t.Fatalf("%s is on offer to %s and %s (I7)", a, o.id, id)
		}
		w.dropOffers(id)
		w.offs[a] = promise{id, now + 60e9}
	case dhcp4.Ack:
		if held && holder.id != id {
			w.t.Fatalf("%s was given to %s while %s holds it (I1)", a, id, holder.id)
		}
		w.mayHave(id, a)
		t, _ := v.Uint32(dhcp4.OptDHCPLeaseTime)
		end := now + int64(t)*1e9 + int64(lease.Grace(t))*1e9
		if held {
			end = max(end, holder.end)
		}
		w.held[a] = promise{id, end}
		w.dropOffers(id)
		delete(w.offs, a)
	}
}

// mayHave holds I9, I10 and I11: what the configuration in force says of the address.
func (w *world) mayHave(id string, a dhcp4.Addr) {
	sn := w.h.conf.Policy().SubnetOf(a)
	if sn == nil {
		w.t.Fatalf("%s lies in no subnet (I11)", a)
	}
	if r := sn.Network.ReservedBy(a); r != nil {
		if fmt.Sprintf("%x", r.HW) != id {
			w.t.Fatalf("the reserved %s went to %s (I9)", a, id)
		}
		return
	}
	_, never := sn.NeverOffer[a]
	for _, own := range w.h.links[0].Addrs {
		never = never || own.Addr == a
	}
	if never || sn.PoolOf(a) == nil {
		w.t.Fatalf("%s went to %s, which never happens (I10)", a, id)
	}
}

// TestRepliesHoldNothingElse compares replies over memory that was filled with a
// pattern before: no octet of a reply comes from elsewhere (I12, CVE-2017-14494).
func TestRepliesHoldNothingElse(t *testing.T) {
	run := func(fill byte) [][]byte {
		c, now := benchCore(t, 10)
		var e server.Effects
		d := discover(3)
		for range 3 { // grow the memory, then poison what it held
			c.Handle(*now, &d, &e)
			for _, r := range e.Replies {
				for i := range r.Data {
					r.Data[i] = fill
				}
			}
			e.Reset()
		}
		p := renewal(4, 77)
		c.Handle(*now, &d, &e)
		c.Handle(*now, &p, &e)
		var out [][]byte
		for _, r := range e.Replies {
			out = append(out, bytes.Clone(r.Data))
		}
		return out
	}
	a, b := run(0xaa), run(0x55)
	if len(a) != 2 || len(b) != 2 {
		t.Fatalf("%d and %d replies, want 2 each", len(a), len(b))
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			t.Errorf("reply %d depends on what the memory held before:\n%x\n%x", i, a[i], b[i])
		}
	}
}
