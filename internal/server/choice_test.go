package server_test

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/wire"
)

// choice is the slow, obvious model of which address a DISCOVER gets (I8, I4, I7): it
// looks at every address for every question. What is bound it reads from the store; what
// is on offer it keeps itself.
type choice struct {
	t      *rapid.T
	h      *harness
	pools  [][]dhcp4.Addr // in the order of the configuration, without what is never offered
	owner  map[dhcp4.Addr]byte
	offers []onOffer // oldest first
}

type onOffer struct {
	addr      dhcp4.Addr
	hw        byte
	made, end int64
}

func addrs(first string, n int) (out []dhcp4.Addr) {
	for i := range n {
		out = append(out, dhcp4.MustParseAddr(first)+dhcp4.Addr(i))
	}
	return out
}

// newChoice serves a shared network of two subnets with three pools. A router and a
// reservation lie in pools, another reservation outside.
func newChoice(t *testing.T, rt *rapid.T) *choice {
	prefix := func(a string) dhcp4.Prefix { return dhcp4.Prefix{Addr: dhcp4.MustParseAddr(a), Bits: 24} }
	pool := func(first string, n int) policy.PoolSpec {
		a := dhcp4.MustParseAddr(first)
		return policy.PoolSpec{Range: dhcp4.Range{First: a, Last: a + dhcp4.Addr(n-1)}}
	}
	spec := policy.Spec{Settings: policy.Defaults(), Lifetimes: policy.Lifetimes{Valid: 60}}
	spec.ConflictCheck = false
	spec.Networks = []policy.NetworkSpec{{Subnets: []policy.SubnetSpec{
		{Prefix: prefix("198.18.0.0"), Pools: []policy.PoolSpec{pool("198.18.0.100", 3), pool("198.18.0.110", 2)},
			Options:      policy.NewOptionSet(dhcp4.Option{Code: dhcp4.OptRouters, Data: dhcp4.MustParseAddr("198.18.0.111").Append(nil)}),
			Reservations: []policy.Reservation{{Keys: []policy.Key{{Kind: policy.KeyHWAddress, HType: 1, Value: client{hw: 7}.mac()}}, Addr: dhcp4.MustParseAddr("198.18.0.101")}}},
		{Prefix: prefix("198.18.1.0"), Pools: []policy.PoolSpec{pool("198.18.1.100", 3)},
			Reservations: []policy.Reservation{{Keys: []policy.Key{{Kind: policy.KeyHWAddress, HType: 1, Value: client{hw: 8}.mac()}}, Addr: dhcp4.MustParseAddr("198.18.1.50")}}},
	}}}
	p, err := policy.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	c := &choice{t: rt, h: newHarness(t),
		pools: [][]dhcp4.Addr{{dhcp4.MustParseAddr("198.18.0.100"), dhcp4.MustParseAddr("198.18.0.102")}, addrs("198.18.0.110", 1), addrs("198.18.1.100", 3)},
		owner: map[dhcp4.Addr]byte{dhcp4.MustParseAddr("198.18.0.101"): 7, dhcp4.MustParseAddr("198.18.1.50"): 8}}
	c.h.core.SetPolicy(c.h.now, p, &c.h.e)
	c.h.core.SetLinks(c.h.now, []wire.Link{{ID: 1, Name: "eth0", MAC: wire.MAC{2, 0, 0, 0, 0xff, 1}, MTU: 1500,
		Addrs: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("198.18.0.1"), Bits: 24}}}}, &c.h.e)
	return c
}

// heldBy is the client that a is bound to or held for, 0 for none.
func (c *choice) heldBy(a dhcp4.Addr) byte {
	if b, ok := c.h.store[a]; ok && b.Free > c.h.now.M {
		return b.HW[5]
	}
	return 0
}

func (c *choice) offer(match func(onOffer) bool) (onOffer, bool) {
	for _, o := range c.offers {
		if o.end > c.h.now.M && match(o) {
			return o, true
		}
	}
	return onOffer{}, false
}

// free reports whether hw could have a: nobody else holds it or was offered it.
func (c *choice) free(hw byte, a dhcp4.Addr) bool {
	by := c.heldBy(a)
	_, other := c.offer(func(o onOffer) bool { return o.addr == a && o.hw != hw })
	return (by == 0 || by == hw) && !other
}

// reserved is the client's own address.
func (c *choice) reserved(hw byte) (dhcp4.Addr, bool) {
	for a, owner := range c.owner {
		if owner == hw {
			return a, true
		}
	}
	return 0, false
}

// allowed reports whether the configuration lets hw have a.
func (c *choice) allowed(hw byte, a dhcp4.Addr) bool {
	if owner, ok := c.owner[a]; ok {
		return owner == hw
	}
	if r, ok := c.reserved(hw); ok && c.free(hw, r) {
		return false
	}
	return slices.ContainsFunc(c.pools, func(p []dhcp4.Addr) bool { return slices.Contains(p, a) })
}

// expected is the set of addresses of which hw must be offered one; empty: none.
func (c *choice) expected(hw byte, wanted dhcp4.Addr) (why string, out []dhcp4.Addr) {
	if r, ok := c.reserved(hw); ok && c.free(hw, r) {
		return "its reservation", []dhcp4.Addr{r}
	}
	var live, last *lease.Binding
	for a := range c.h.store {
		b := c.h.store[a]
		switch {
		case b.HW[5] != hw || !c.allowed(hw, a):
		case b.State == lease.Bound && b.Free > c.h.now.M:
			if live == nil || b.End > live.End {
				live = &b
			}
		case last == nil || b.End > last.End:
			last = &b
		}
	}
	if live != nil {
		return "its live binding", []dhcp4.Addr{live.Addr}
	}
	if o, ok := c.offer(func(o onOffer) bool { return o.hw == hw }); ok && c.allowed(hw, o.addr) {
		return "what it was offered", []dhcp4.Addr{o.addr}
	}
	if last != nil && c.free(hw, last.Addr) {
		return "its last address", []dhcp4.Addr{last.Addr}
	}
	if wanted != 0 && c.allowed(hw, wanted) && c.free(hw, wanted) {
		return "the requested one", []dhcp4.Addr{wanted}
	}
	return c.expectedNew(hw)
}

func (c *choice) expectedNew(hw byte) (why string, out []dhcp4.Addr) {
	var used []dhcp4.Addr
	for _, p := range c.pools {
		for _, a := range p {
			if _, offered := c.offer(func(o onOffer) bool { return o.addr == a }); offered || c.heldBy(a) != 0 {
				continue
			}
			if _, ok := c.h.store[a]; ok {
				used = append(used, a)
			} else {
				out = append(out, a)
			}
		}
		if len(out) > 0 {
			return "a never-used one of the first pool that has one", out
		}
	}
	if len(used) > 0 {
		least := slices.MinFunc(used, func(a, b dhcp4.Addr) int { return cmp.Compare(c.h.store[a].Free, c.h.store[b].Free) })
		for _, a := range used {
			if c.h.store[a].Free == c.h.store[least].Free {
				out = append(out, a)
			}
		}
		return "the one that was free longest", out
	}
	for _, o := range c.offers {
		if _, reserved := c.owner[o.addr]; o.end > c.h.now.M && !reserved && c.heldBy(o.addr) == 0 {
			if len(out) == 0 || o.made == c.h.now.M || o.made == c.madeOf(out[0]) {
				out = append(out, o.addr)
			}
		}
	}
	return "the oldest offer's", out
}

func (c *choice) madeOf(a dhcp4.Addr) int64 {
	o, _ := c.offer(func(o onOffer) bool { return o.addr == a })
	return o.made
}

// drop forgets offers.
func (c *choice) drop(match func(onOffer) bool) { c.offers = slices.DeleteFunc(c.offers, match) }

func (c *choice) discover() {
	hw := rapid.ByteRange(1, 9).Draw(c.t, "client")
	p := newPacket(c.h.t, dhcp4.Discover)
	copy(p.h.CHAddr[:], client{hw: hw}.mac())
	wanted := dhcp4.Addr(0)
	if rapid.IntRange(0, 2).Draw(c.t, "wants") == 0 {
		wanted = rapid.SampledFrom(append(slices.Concat(c.pools...), addrs("198.18.0.99", 3)...)).Draw(c.t, "wanted")
		p.set("req", wanted.String())
	}
	why, want := c.expected(hw, wanted)
	pkt := p.packet()
	c.h.e.Reset()
	c.h.core.Handle(c.h.now, &pkt, &c.h.e)
	got := dhcp4.Addr(0)
	if len(c.h.e.Replies) == 1 {
		got = yiaddr(c.h.e.Replies[0].Data)
	}
	if got == 0 && len(want) > 0 || got != 0 && !slices.Contains(want, got) {
		c.t.Fatalf("client %d was offered %v; want %s: %v", hw, got, why, want)
	}
	if got != 0 {
		c.drop(func(o onOffer) bool { return o.hw == hw || o.addr == got })
		c.offers = append(c.offers, onOffer{got, hw, c.h.now.M, c.h.now.M + 60e9})
	}
	c.h.e.Reset()
}

// take has a client take what it was offered.
func (c *choice) take() {
	if len(c.offers) == 0 {
		return
	}
	o := rapid.SampledFrom(c.offers).Draw(c.t, "offer")
	p := newPacket(c.h.t, dhcp4.Request)
	copy(p.h.CHAddr[:], client{hw: o.hw}.mac())
	p.h.XID = uint32(c.h.now.M / 1e6)
	p.set("sid", "198.18.0.1")
	p.set("req", o.addr.String())
	allowed := o.end > c.h.now.M && c.allowed(o.hw, o.addr)
	pkt := p.packet()
	c.h.core.Handle(c.h.now, &pkt, &c.h.e)
	if acked := len(c.h.e.Replies) == 1 && c.h.e.Replies[0].Type == dhcp4.Ack; allowed && !acked {
		c.t.Fatalf("client %d did not get %v, which it was offered: %v", o.hw, o.addr, c.h.e.Events)
	} else if acked {
		c.drop(func(x onOffer) bool { return x.hw == o.hw || x.addr == o.addr })
	}
	c.h.flush()
}

func (c *choice) release() {
	var bound []dhcp4.Addr
	for a, b := range c.h.store {
		if b.State == lease.Bound && b.Free > c.h.now.M {
			bound = append(bound, a)
		}
	}
	if len(bound) == 0 {
		return
	}
	slices.Sort(bound)
	a := rapid.SampledFrom(bound).Draw(c.t, "bound")
	p := newPacket(c.h.t, dhcp4.Release)
	copy(p.h.CHAddr[:], c.h.store[a].HW)
	copy(p.meta.SrcMAC[:], c.h.store[a].HW)
	p.set("sid", "198.18.0.1")
	p.set("ciaddr", a.String())
	p.set("from", a.String())
	p.set("to", "198.18.0.1")
	pkt := p.packet()
	c.h.core.Handle(c.h.now, &pkt, &c.h.e)
	c.drop(func(o onOffer) bool { return o.addr == a })
	c.h.flush()
}

// TestI8ChoiceIsItsModel holds the core's choice of an address to the model.
func TestI8ChoiceIsItsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newChoice(t, rt)
		for range rapid.IntRange(1, 100).Draw(rt, "steps") {
			switch rapid.IntRange(0, 7).Draw(rt, "what") {
			case 0, 1, 2, 3:
				c.discover()
			case 4, 5:
				c.take()
			case 6:
				c.release()
			case 7:
				step := rapid.SampledFrom([]int64{1e6, 1e9, 30e9, 61e9, 70e9}).Draw(rt, "time")
				end := c.h.now.M + step
				for at := c.h.core.NextTick(); at <= end; at = c.h.core.NextTick() {
					c.h.now.M = max(at, c.h.now.M)
					c.h.core.Tick(c.h.now, &c.h.e)
					c.h.flush()
				}
				c.h.now.W += step
				c.h.now.M = end
			}
			c.h.out.Reset()
		}
	})
}
