package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/engine"
	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// Draw makes the plan of a seed: everything that the scenario leaves open is drawn from
// dice that seed and scenario alone decide about, so that the same two give the same plan.
func Draw(seed uint64, s *Scenario) *Plan {
	d := &drawer{s: s, r: rand.New(rand.NewPCG(seed, name(s.canonical()))), p: &Plan{Seed: seed}}
	d.times()
	d.network()
	d.servers()
	d.clients()
	for i := range d.confs {
		d.reserve(i)
		d.p.Servers[i].Config = d.confs[i].yaml(d.p.Clients)
	}
	d.steps()
	slices.SortStableFunc(d.p.Steps, func(a, b Step) int { return int(min(max(a.At-b.At, -1), 1)) })
	d.reloads()
	d.lateness()
	return d.p
}

// drawer is a plan in the making.
type drawer struct {
	s *Scenario
	r *rand.Rand
	p *Plan

	lease     uint32 // seconds of the lease that the first configuration gives, lease.Infinite for no end
	base      uint32 // the same, but finite
	shortest  uint32 // that any configuration of the run gives
	perClient []int  // the segment of each client
	shared    []bool // the segments that have two subnets
	confs     []*conf
	powered   []bool // servers whose power is cut: their wall clocks are never behind
	wallOK    []bool // clients whose wall clocks may be wrong; the others may lose power
}

func (d *drawer) n(n int64) int64            { return d.r.Int64N(max(n, 1)) }
func (d *drawer) between(lo, hi int64) int64 { return lo + d.n(hi-lo+1) }
func (d *drawer) in(s Span) int64            { return d.between(s.Least, s.Most) }
func (d *drawer) hit(ppm int64) bool         { return d.n(1_000_000) < ppm }
func (d *drawer) half() bool                 { return d.n(2) == 0 }
func (d *drawer) word(list []string) string  { return list[d.n(int64(len(list)))] }

// log is a value between lo and hi whose logarithm is as good as evenly spread: as often
// between 1 and 10 as between 10 and 100.
func (d *drawer) log(lo, hi int64) int64 {
	if lo >= hi {
		return lo
	}
	v := math.Exp(math.Log(float64(max(lo, 1))) + d.r.Float64()*(math.Log(float64(hi))-math.Log(float64(max(lo, 1)))))
	return min(max(int64(v), lo), hi)
}

// swarm is how many of something this run has. Where there may be none, a third of the
// runs have none, so that faults are met in all combinations and not only all at once.
func (d *drawer) swarm(s Span) int64 {
	if s.Least == 0 && d.n(3) == 0 {
		return 0
	}
	return d.in(s)
}

// times draws the lease and the length of the run.
func (d *drawer) times() {
	d.base = uint32(d.log(d.s.Lease.Least, d.s.Lease.Most) / second)
	d.lease, d.shortest = d.base, d.base
	if d.hit(d.in(d.s.Infinite)) {
		d.lease = lease.Infinite
	}
	n := int(d.in(d.s.Clients))
	d.perClient = make([]int, n)
	t := int64(d.base) * second
	run := min(d.log(d.s.Run.Least, d.s.Run.Most), d.s.Exchanges*t/2/int64(n))
	run = max(run, 300*second)
	healing := 2*t + int64(lease.Grace(d.base))*second + 60*second // two leases, if they are short
	if healing > 600*second {
		healing = d.between(180*second, 300*second)
	}
	healing = max(healing, 180*second)
	d.p.Heal = run * 4 / 5
	d.p.End = d.p.Heal + max(run/5, healing)
}

func (d *drawer) network() {
	p, s := d.p, d.s
	p.Segments = int(d.in(s.Segments))
	p.Net = NetPlan{Loss: uint32(d.swarm(s.Loss)), Copy: uint32(d.swarm(s.Copies)), Late: uint32(d.swarm(s.Late)), Damage: uint32(d.swarm(s.Damage)),
		Base: [2]int64{d.log(20_000, 1_000_000), d.log(1_000_000, 50_000_000)}}
	d.networks()
	for i := range d.perClient {
		d.perClient[i] = int(d.n(int64(d.segments())))
	}
	if d.p.Segments > 0 && d.s.Hostile.Most > 0 {
		for i := range d.in(s.Stations) {
			p.Hostiles = append(p.Hostiles, wire.MAC{2, 0, 0x66, 0x66, 0, byte(i + 1)})
		}
	}
}

func (d *drawer) servers() {
	n := int(d.in(d.s.Servers))
	check, match, authoritative := d.word(d.s.Check), d.word(d.s.MatchID) == "yes", d.word(d.s.Authoritative) == "yes" && n == 1
	rapid, grace, store := d.word(d.s.RapidCommit) == "yes", d.word(d.s.Grace), d.word(d.s.Store)
	probation := int64(86400)
	if d.word(d.s.Probation) == "short" {
		probation = d.log(5, 600)
	}
	classes := d.share(d.s.Nets.Classes)
	for i := range n {
		sp := ServerPlan{Name: fmt.Sprintf("s%d", i+1), Latency: [2]int64{d.log(50_000, 1_000_000), d.log(1_000_000, 30_000_000)}, Batch: d.half()}
		if store == "pebble" {
			sp.Store = StorePebble
		}
		sp.Rare = d.rare()
		c := &conf{valid: d.lease, check: check, match: match, authoritative: authoritative, rapid: rapid, probation: probation,
			offer: d.log(5, 120), broadcastNak: d.n(4) == 0, router: d.half(), routerInPool: d.n(4) == 0}
		longest := 2 * d.base // what a reload may make of it
		switch grace {
		case "least":
			c.grace = int64(lease.MinGrace(longest))
		case "more":
			c.grace = int64(lease.Grace(longest)) + d.log(1, 60)
		}
		for seg := range d.segments() {
			if seg < d.p.Segments {
				sp.Addrs = append(sp.Addrs, dhcp4.Prefix{Addr: addrIn(seg, 1+i), Bits: 24})
			}
			c.subnets = append(c.subnets, subnetConf{pools: d.pools(seg, i, n)})
		}
		c.direct, c.classes = d.p.Segments, classes
		if classes {
			d.guards(c)
		}
		c.trusted = len(d.p.Snoops) > 0 && d.half()
		d.limits(c)
		d.confs = append(d.confs, c)
		d.p.Servers = append(d.p.Servers, sp)
	}
	d.attach()
	d.powered = make([]bool, n)
	for i := range d.powered {
		d.powered[i] = d.s.Count("power").Most > 0 && (d.s.Count("wall-step").Most == 0 || d.half())
		d.p.Servers[i].Clock = d.serverClock(i)
	}
}

// serverClock draws how wrong a server's clocks are. A wall clock must not be ahead when
// the machine boots, else nothing is promised. Nor must one that is behind, or has lost
// or gained by its rate more than the grace has room for, be set right by a power cut:
// of a lease only the wall time of its end outlives that.
func (d *drawer) serverClock(i int) ClockPlan {
	c := ClockPlan{Offset: d.n(second), Drift: int32(d.between(-200, 200))}
	if d.powered[i] {
		most := min(200, int64(second)/2*1_000_000/d.p.End)
		c.Drift = int32(d.between(-most, most))
		return c
	}
	if d.s.Count("wall-step").Most > 0 && d.half() {
		c.Offset = -d.log(second, 20*365*day)
	}
	return c
}

// rare makes bounds tiny in a share of the seeds. They leave room for what a healthy
// network of this size needs, or L1 could not come true.
func (d *drawer) rare() (r engine.Rare) {
	if !d.hit(d.in(d.s.Rare)) {
		return r
	}
	some := func(lo, hi int64) int {
		if d.half() {
			return 0
		}
		return int(d.between(lo, hi))
	}
	r.Changes, r.Replies, r.Octets = some(2, 8), some(2, 8), some(800, 4000)
	r.Rare = server.Rare{Offers: some(2, 8), Checks: some(8, 40), Passed: some(1, 4), Waiters: some(1, 4), Due: some(1, 2)}
	return r
}

// addrIn is a host of segment seg.
func addrIn(seg, host int) dhcp4.Addr {
	return dhcp4.AddrFrom4([4]byte{198, 18, byte(seg), byte(host)})
}

func (d *drawer) clients() {
	for i, seg := range d.perClient {
		c := ClientPlan{Name: fmt.Sprintf("c%d", i+1), MAC: wire.MAC{2, 0, 0x5e, 0x10, 0, byte(i + 1)}, Segment: seg,
			Start: d.log(second/10, 60*second), Plain: d.hit(d.in(d.s.Plain)), Config: d.clientConfig(i)}
		if d.n(8) == 0 {
			c.Start = d.n(d.p.Heal * 9 / 10) // one that comes later
		}
		c.Clock.Drift = int32(d.between(-200, 200))
		wrong := d.s.Count("client-wall").Most > 0 && (d.s.Count("client-power").Most == 0 || d.half())
		if wrong {
			c.Clock.Offset = (1 - 2*d.n(2)) * d.log(second, 20*365*day)
		}
		if d.share(d.s.Nets.ROM) && !c.Plain && !wrong {
			c.ROM = d.rom(i)
		}
		d.wallOK = append(d.wallOK, wrong)
		d.p.Clients = append(d.p.Clients, c)
	}
}

func (d *drawer) clientConfig(i int) (c client.Config) {
	switch d.word(d.s.Identifiers) {
	case "none":
		c.Identifier = client.IdentifierNone
	case "fixed":
		c.Identifier = client.IdentifierFixed
		c.ClientID = append([]byte{0xff, 0x5e, byte(i + 1)}, make([]byte, d.n(12))...)
	}
	switch d.word(d.s.Detection) {
	case "announce":
		c.Detection = client.DetectAnnounce
	case "off":
		c.Detection = client.DetectOff
	}
	c.Fast = d.hit(d.in(d.s.Fast))
	c.Broadcast = d.n(4) == 0
	c.RapidCommit = slices.Contains(d.s.RapidCommit, "yes") && d.half()
	if d.half() {
		c.HostName = fmt.Sprintf("host-%d", i+1)
	}
	if d.n(4) == 0 {
		c.Request = addrIn(d.perClient[i], firstPool+int(d.n(12)))
	}
	if d.n(4) == 0 {
		c.Lifetime = uint32(max(1, d.log(int64(d.base)/4, int64(d.base)*4)))
	}
	if d.s.Nets.Classes.Most > 0 {
		c.VendorClass = d.word([]string{"", "phone-7", "phone-9", "pc"})
	}
	if d.n(3) == 0 {
		c.SelectTimeout = d.between(second/2, 3*second)
	}
	return c
}

// lateness bounds how late frames are by the shortest lease, and by what the grace
// leaves for it.
func (d *drawer) lateness() {
	most := int64(lease.MaxDelay(d.shortest)) * second
	for _, c := range d.confs {
		if c.grace > 0 && slices.ContainsFunc(d.p.Clients, func(c ClientPlan) bool { return c.Plain }) {
			most = min(most, (c.grace-int64(lease.MinGrace(2*d.base)))*second)
		}
	}
	d.p.Net.MaxDelay = max(most-d.p.Net.Base[1]-second/4, 0)
	if d.p.Net.MaxDelay == 0 {
		d.p.Net.Late = 0
	}
}
