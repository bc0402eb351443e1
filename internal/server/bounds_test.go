package server

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/wire"
)

// direct is a core with one /16 on a link, checks before offers, and another network behind
// relay agents.
func direct(t testing.TB) (*Core, lease.Instant) {
	spec := policy.Spec{Settings: policy.Defaults(), Lifetimes: policy.Lifetimes{Valid: 60}}
	spec.RapidCommit = true
	for _, a := range []string{"198.18.0.0", "198.19.0.0"} {
		p := dhcp4.Prefix{Addr: dhcp4.MustParseAddr(a), Bits: 16}
		spec.Networks = append(spec.Networks, policy.NetworkSpec{Subnets: []policy.SubnetSpec{{Prefix: p,
			Pools: []policy.PoolSpec{{Range: dhcp4.Range{First: p.Addr + 256, Last: p.Range().Last - 1}}}}}})
	}
	p, err := policy.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	c, now := New([16]byte{1}, lease.BootID{1}), lease.Instant{M: 1e15, W: 1_790_000_000e9}
	var e Effects
	c.SetPolicy(now, p, &e)
	c.SetLinks(now, []wire.Link{{ID: 1, Name: "eth0", MAC: wire.MAC{2, 0, 0, 0, 0xff, 1}, MTU: 1500,
		Addrs: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("198.18.0.1"), Bits: 16}}}}, &e)
	return c, now
}

// filled is how much the tables held at most.
type filled struct{ asked, passed, waiting, buckets, offers int }

// flood sends packets and ARP messages of stations that change everything about themselves.
func flood(c *Core, now lease.Instant, packets int) (seen filled) {
	r := rand.New(rand.NewPCG(3, 4))
	var e Effects
	opts := [][]dhcp4.Option{
		{{Code: dhcp4.OptDHCPMessageType, Data: []byte{1}}, {Code: dhcp4.OptDHCPRequestedAddress}},
		{{Code: dhcp4.OptDHCPMessageType, Data: []byte{1}}, {Code: dhcp4.OptRapidCommit}},
		{{Code: dhcp4.OptDHCPMessageType, Data: []byte{3}}, {Code: dhcp4.OptDHCPRequestedAddress}, {Code: dhcp4.OptDHCPServerIdentifier, Data: []byte{198, 18, 0, 1}}},
		{{Code: dhcp4.OptDHCPMessageType, Data: []byte{4}}, {Code: dhcp4.OptDHCPRequestedAddress}, {Code: dhcp4.OptDHCPServerIdentifier, Data: []byte{198, 18, 0, 1}}},
	}
	var data []byte
	for i := range packets {
		h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: uint32(i)}
		h.CHAddr = [16]byte{2}
		binary.BigEndian.PutUint32(h.CHAddr[1:], r.Uint32())
		p := wire.Packet{Link: 1, Dst: dhcp4.Broadcast, DstMAC: wire.BroadcastMAC, SrcMAC: wire.MAC(h.CHAddr[:6])}
		var agent []byte
		if i%2 == 0 {
			h.GIAddr = dhcp4.MustParseAddr("198.19.0.1") + dhcp4.Addr(r.IntN(60000))
			agent = binary.BigEndian.AppendUint32([]byte{1, 4}, r.Uint32())
		}
		o := opts[r.IntN(len(opts))]
		if len(o) > 1 && o[1].Code == dhcp4.OptDHCPRequestedAddress {
			o[1].Data = (dhcp4.MustParseAddr("198.18.1.0") + dhcp4.Addr(r.IntN(1<<17))).Append(nil)
		}
		data, _ = dhcp4.AppendMessage(data[:0], &h, o, agent, 1472)
		p.Data = data
		c.Handle(now, &p, &e)
		for _, q := range e.Probes {
			if m := (wire.ARP{Link: 1, Op: 2, SenderMAC: wire.MAC{2, 9}, SenderIP: q.TargetIP}); r.IntN(3) > 0 {
				c.HandleARP(now, &m, &e)
			}
		}
		if now.M += 5e4; c.NextTick() <= now.M {
			c.Tick(now, &e)
		}
		c.Durable(c.seq)
		e.Reset()
		seen.asked = max(seen.asked, len(c.checks.byAddr)-c.checks.passed)
		seen.passed = max(seen.passed, c.checks.passed)
		seen.waiting = max(seen.waiting, c.checks.waiting)
		seen.buckets = max(seen.buckets, len(c.limit.buckets))
		seen.offers = max(seen.offers, c.offers.len())
	}
	return seen
}

// TestTablesAreBounded is I22: hundreds of thousands of packets and ARP messages of stations
// that change everything about themselves, and every interface address in the world, fill no
// table beyond what it may hold.
func TestTablesAreBounded(t *testing.T) {
	c, now := direct(t)
	seen := flood(c, now, 400_000)
	var e Effects
	for i := range 5_000 {
		c.SetLinks(now, []wire.Link{{ID: 1, MTU: 1500, Addrs: []dhcp4.Prefix{{Addr: dhcp4.Addr(0x0a000000 + i), Bits: 8}}}}, &e)
	}
	t.Logf("at most %+v, %d identifiers", seen, len(c.own))
	if seen.asked > maxChecks || seen.passed > maxPassed || seen.waiting > maxWaiters ||
		seen.buckets > maxIngresses+2 || seen.offers > maxOffers || len(c.own) > maxOwn {
		t.Errorf("a table is too large: %+v, %d identifiers", seen, len(c.own))
	}
	if seen.asked < 100 || seen.passed < 100 || seen.waiting < maxWaiters || seen.buckets < maxIngresses || len(c.own) < maxOwn {
		t.Errorf("the test fills too little: %+v, %d identifiers", seen, len(c.own))
	}
}

// TestRareBounds: what a simulated run makes small is small, and the rest as it was.
func TestRareBounds(t *testing.T) {
	c, now := direct(t)
	c.SetRare(Rare{Offers: 5, Checks: 65, Passed: 3, Waiters: 2, Due: 1})
	c.SetCareful(now)
	if seen := flood(c, now, 20_000); seen.offers != 5 || seen.asked != 65 || seen.passed != 3 || seen.waiting != 2 {
		t.Errorf("the tables held %+v", seen)
	}
	c, now = direct(t)
	if c.SetRare(Rare{Passed: 3}); c.bound != (Rare{Offers: maxOffers, Checks: maxChecks, Passed: 3, Waiters: maxWaiters, Due: maxDue}) {
		t.Errorf("the bounds are %+v", c.bound)
	}
	var e Effects
	c.SetRare(Rare{Due: 1})
	for i := range 3 {
		a := dhcp4.MustParseAddr("198.18.9.0") + dhcp4.Addr(i)
		c.Restore(&lease.Binding{Addr: a, State: lease.Bound, HType: 1, HW: []byte{2, 0, 0, 0, 0, byte(i)}, Lifetime: 60,
			End: now.M + 1, Free: now.M + 60e9, Rev: uint64(i + 1)})
	}
	now.M += 2
	for i := range 3 {
		if c.NextTick() > now.M {
			t.Fatalf("after %d ticks nothing is due", i)
		}
		e.Reset()
		if c.Tick(now, &e); len(e.Events) != 1 {
			t.Errorf("one tick ended %d leases", len(e.Events))
		}
	}
}

// TestLimiterForgets: hundreds of thousands of invented relay agents fill the table of
// limiters; once they are quiet, an honest one has its own again.
func TestLimiterForgets(t *testing.T) {
	var l limiter
	for i := range uint64(300_000) {
		l.allow(ingress{link: 1, relay: i + 1}, int64(i)*1e6, 50, 500)
	}
	now := int64(400e9)
	for i := range 500 {
		if !l.allow(ingress{link: 1, relay: 1e9}, now, 50, 500) {
			t.Fatalf("an honest agent is refused at request %d of its burst", i)
		}
	}
	if l.allow(ingress{link: 1, relay: 1e9}, now, 50, 500) {
		t.Error("the burst has no end")
	}
	if !l.allow(ingress{link: 1}, now, 50, 500) {
		t.Error("an interface shares the bucket of the agents")
	}
}

// TestAnyRecordIsServed is I16 for the core: whatever a store hands out, the core starts,
// counts each address once, and takes what time and clients do to it.
func TestAnyRecordIsServed(t *testing.T) {
	times := []int64{0, 1, -1, 1e9, 1e15, 1e15 + 60e9, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1}
	seconds := []uint32{0, 1, 60, 3600, 1 << 31, lease.Infinite - 1, lease.Infinite}
	rapid.Check(t, func(rt *rapid.T) {
		c, now := direct(t)
		var e Effects
		boot := lease.BootID{rapid.ByteRange(0, 1).Draw(rt, "boot")}
		for range rapid.IntRange(0, 20).Draw(rt, "records") {
			at := func(what string) int64 { return rapid.SampledFrom(times).Draw(rt, what) }
			b := lease.Binding{Addr: dhcp4.MustParseAddr("198.18.0.254") + dhcp4.Addr(rapid.IntRange(0, 6).Draw(rt, "addr")),
				State: lease.State(rapid.ByteRange(0, 5).Draw(rt, "state")), HType: 1, HW: rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(rt, "hw"),
				ClientID: rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(rt, "id"), Boot: boot,
				Lifetime: rapid.SampledFrom(seconds).Draw(rt, "lifetime"), Grace: rapid.SampledFrom(seconds).Draw(rt, "grace"),
				Start: at("start"), Renewed: at("renewed"), Until: at("until"), End: at("end"), Free: at("free"), Rev: rapid.Uint64Range(0, 1<<40).Draw(rt, "rev")}
			if rapid.IntRange(0, 9).Draw(rt, "none") == 0 {
				b.Addr = 0
			}
			lease.Resume(&b, lease.Mark{W: at("mark"), M: at("mark M"), Boot: boot}, now, lease.BootID{1})
			c.Restore(&b)
		}
		c.SetPolicy(now, c.pol, &e)
		for range 20 {
			h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: 1, CHAddr: [16]byte{2, 5: rapid.ByteRange(0, 3).Draw(rt, "client")}}
			p := wire.Packet{Link: 1, Dst: dhcp4.Broadcast, DstMAC: wire.BroadcastMAC, SrcMAC: wire.MAC(h.CHAddr[:6])}
			a := dhcp4.MustParseAddr("198.18.0.254") + dhcp4.Addr(rapid.IntRange(0, 6).Draw(rt, "addr"))
			p.Data, _ = dhcp4.AppendMessage(nil, &h, []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{rapid.ByteRange(1, 8).Draw(rt, "type")}},
				{Code: dhcp4.OptDHCPRequestedAddress, Data: a.Append(nil)}, {Code: dhcp4.OptDHCPServerIdentifier, Data: []byte{198, 18, 0, 1}}}, nil, 576)
			c.Handle(now, &p, &e)
			_ = c.Release(now, a, rapid.Bool().Draw(rt, "now"), &e)
			c.Durable(c.seq)
			now.M += rapid.Int64Range(0, 100e9).Draw(rt, "step")
			c.Tick(now, &e)
			e.Reset()
			for _, p := range c.Pools() {
				sum := uint64(0)
				for _, n := range p.Count {
					sum += n
				}
				if sum != p.Size {
					rt.Fatalf("the states sum up to %d of %d", sum, p.Size)
				}
			}
		}
	})
}
