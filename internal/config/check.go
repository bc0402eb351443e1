package config

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
)

// check holds the parts of the file against each other.
func (p *parser) check(f *file) {
	p.checkSubnets(f)
	for _, s := range f.allSubnets() {
		if s.ok {
			p.checkPools(s)
		}
	}
	for _, w := range f.allNetworks() {
		p.checkReservations(w)
	}
	p.checkNetworks(f)
	p.checkReservedOnce(f)
	p.checkTimes(f)
	p.checkSizes(f)
}

// checkSubnets reports subnets that overlap and names that occur twice.
func (p *parser) checkSubnets(f *file) {
	names := map[string]*subnetNode{}
	sorted := make([]*subnetNode, 0, len(f.subnets))
	for _, s := range f.allSubnets() {
		if !s.ok {
			continue
		}
		sorted = append(sorted, s)
		name, at := s.name, s.nameAt
		if name == "" {
			name, at = s.prefix.String(), s.at
		}
		if other := names[name]; other != nil && other.prefix != s.prefix {
			otherAt := cmp.Or(other.nameAt, other.at)
			p.add(Error, at, "duplicate-name", "give each subnet a name of its own", "two subnets are called %s; the other one is at %s", quotable(name), otherAt).relate(otherAt, "the first one")
		}
		names[name] = s
	}
	slices.SortStableFunc(sorted, func(a, b *subnetNode) int {
		return cmp.Or(cmp.Compare(a.prefix.Addr, b.prefix.Addr), cmp.Compare(a.prefix.Bits, b.prefix.Bits))
	})
	var open []*subnetNode // each contains the next; prefixes are nested or disjoint
	for _, s := range sorted {
		for len(open) > 0 && !open[len(open)-1].prefix.Contains(s.prefix.Addr) {
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			a, b := inOrder(open[len(open)-1], s, func(s *subnetNode) Place { return s.at })
			if a.prefix == b.prefix {
				p.add(Error, b.at, "subnet-overlap", "keep one of them", "the subnet %s is there twice; the other one is at %s", b.prefix, a.at).relate(a.at, "the first one")
			} else {
				p.add(Error, b.at, "subnet-overlap", "an address may be in one subnet only", "the subnets %s and %s (%s) overlap", b.prefix, a.prefix, a.at).relate(a.at, "the other one")
			}
		}
		open = append(open, s)
	}
}

// inOrder returns a and b by position.
func inOrder[T any](a, b T, at func(T) Place) (T, T) {
	if x, y := at(a), at(b); cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Col, y.Col)) > 0 {
		return b, a
	}
	return a, b
}

func (p *parser) checkPools(s *subnetNode) {
	var good []*poolNode
	for _, pool := range s.pools {
		if !pool.ok {
			continue
		}
		if !s.prefix.Contains(pool.r.First) || !s.prefix.Contains(pool.r.Last) {
			p.add(Error, pool.at, "pool-outside", moveInto(s.prefix, pool.r), "the pool lies outside its subnet %s (%s)", s.prefix, s.at).relate(s.at, "its subnet")
			continue
		}
		good = append(good, pool)
		for _, e := range pool.exclude {
			if !pool.r.Contains(e.First) || !pool.r.Contains(e.Last) {
				p.add(Error, e.at, "exclude-outside", "", "what is excluded lies outside the pool %s (%s)", pool.r, pool.at).relate(pool.at, "the pool")
			}
		}
	}
	slices.SortStableFunc(good, func(a, b *poolNode) int { return cmp.Compare(a.r.First, b.r.First) })
	var far *poolNode // reaches farthest so far
	for _, pool := range good {
		if far != nil && far.r.Overlaps(pool.r) {
			a, b := inOrder(far, pool, func(n *poolNode) Place { return n.at })
			common := dhcp4.Range{First: max(a.r.First, b.r.First), Last: min(a.r.Last, b.r.Last)}
			p.add(Error, b.at, "pool-overlap", "an address may be in one pool only", "pools overlap in %s; the other one is at %s", common, a.at).relate(a.at, "the other one")
		}
		if far == nil || pool.r.Last > far.r.Last {
			far = pool
		}
	}
}

// moveInto suggests the range with the host parts of r in the subnet.
func moveInto(pre dhcp4.Prefix, r dhcp4.Range) string {
	host := ^pre.Mask()
	moved := dhcp4.Range{First: pre.Addr | r.First&host, Last: pre.Addr | r.Last&host}
	if moved.First > moved.Last || moved.Size() != r.Size() {
		return ""
	}
	if moved.First == moved.Last {
		return fmt.Sprintf("did you mean %s?", moved.First)
	}
	return fmt.Sprintf("did you mean %s?", moved)
}

// checkReservations reports addresses that the subnet does not have and clients
// with two reservations in one network.
func (p *parser) checkReservations(w *networkNode) {
	keys := map[string]Place{}
	for _, s := range w.subnets {
		for _, r := range s.reservations {
			for _, k := range r.keys {
				key := fmt.Sprintf("%d %d %s", k.Kind, k.HType, k.Value)
				if first, dup := keys[key]; dup {
					where, whose := "shared network", k.String()
					if k.Kind != policy.KeyHWAddress {
						whose = "with " + whose
					}
					if w.implicit {
						where = "subnet"
					}
					p.add(Error, k.at, "duplicate-client", "keep one of them", "the client %s has another reservation in this %s at %s", whose, where, first).relate(first, "the first one")
					continue
				}
				keys[key] = k.at
			}
			p.checkReserved(s, r)
		}
	}
}

func (p *parser) checkReserved(s *subnetNode, r *reservationNode) {
	switch {
	case r.addr == 0 || !s.ok:
	case !s.prefix.Contains(r.addr):
		fix := moveInto(s.prefix, dhcp4.Range{First: r.addr, Last: r.addr})
		p.add(Error, r.addrAt, "reservation-outside", fix, "the address lies outside its subnet %s (%s)", s.prefix, s.at).relate(s.at, "its subnet")
	case !s.prefix.IsHost(r.addr):
		what := "network"
		if r.addr != s.prefix.Addr {
			what = "broadcast"
		}
		p.add(Error, r.addrAt, "reservation-address", "", "%s is the %s address of its subnet, no client can have it", r.addr, what)
	}
}

// checkReservedOnce reports addresses with two reservations.
func (p *parser) checkReservedOnce(f *file) {
	seen := map[dhcp4.Addr]*reservationNode{}
	for _, s := range f.allSubnets() {
		for _, r := range s.reservations {
			if r.addr == 0 {
				continue
			}
			if first := seen[r.addr]; first != nil {
				whose := ""
				if len(first.keys) > 0 {
					whose = " for " + first.client()
				}
				p.add(Error, r.addrAt, "duplicate-address", "", "%s is already reserved%s at %s", r.addr, whose, first.addrAt).relate(first.addrAt, "the first one")
				continue
			}
			seen[r.addr] = r
		}
	}
}

// checkTimes reports limits that contradict their lifetime, and a grace that is
// too short for the longest lease.
func (p *parser) checkTimes(f *file) {
	var longest timeNode
	for _, w := range f.allNetworks() {
		for _, s := range w.subnets {
			if f.valid.seconds == 0 && w.valid.seconds == 0 && s.valid.seconds == 0 {
				longest.seconds = policy.DefaultLifetime
			}
		}
	}
	f.eachLevel(func(outer []*level, l *level) {
		p.checkLimits(outer, l)
		for _, t := range []timeNode{l.valid, l.min, l.max} {
			if t.seconds != lease.Infinite && t.seconds > longest.seconds {
				longest = t
			}
		}
	})
	if f.graceAt.Line == 0 {
		return
	}
	if least := MinGrace(longest.seconds); f.settings.Grace < int64(least) {
		pr := p.add(Error, f.graceAt, "lease-grace", fmt.Sprintf("use at least %s, or auto", formatDuration(least)),
			"lease-grace of %s is too short for leases of %s: clocks may differ by 200 ppm each, and times are rounded to seconds",
			formatDuration(uint32(f.settings.Grace)), formatDuration(longest.seconds))
		if longest.at.Line > 0 {
			pr.relate(longest.at, "the longest lease")
		}
	}
}

// MinGrace is the least grace in seconds that a lease of so many seconds needs:
// both clocks may be off by 200 ppm, and times are rounded to whole seconds.
func MinGrace(lifetime uint32) uint32 {
	return uint32(math.Ceil(4e-4*float64(lifetime))) + 1
}

// eachLevel calls fn for each level with the levels around it, outermost first.
func (f *file) eachLevel(fn func(outer []*level, l *level)) {
	fn(nil, &f.level)
	for _, c := range f.classes {
		fn([]*level{&f.level}, &c.level)
	}
	for _, w := range f.allNetworks() {
		around := []*level{&f.level}
		if !w.implicit {
			fn(around, &w.level)
			around = append(around, &w.level)
		}
		for _, s := range w.subnets {
			fn(around, &s.level)
			inner := append(slices.Clip(around), &s.level)
			for _, pool := range s.pools {
				fn(inner, &pool.level)
			}
			for _, r := range s.reservations {
				fn(inner, &r.level)
			}
		}
	}
}

// checkLimits reports a limit set at level l that its lifetime, set there or
// around it, breaks. Limits of outer levels give way to an inner lifetime.
func (p *parser) checkLimits(outer []*level, l *level) {
	valid, lo, hi := l.valid, l.min, l.max
	for i := len(outer) - 1; i >= 0; i-- {
		if valid.seconds == 0 {
			valid = outer[i].valid
		}
		if lo.seconds == 0 {
			lo = outer[i].min
		}
		if hi.seconds == 0 {
			hi = outer[i].max
		}
	}
	against := func(t timeNode, bad bool, key, word string) {
		if !bad {
			return
		}
		other := fmt.Sprintf("valid-lifetime, %s", formatDuration(valid.seconds))
		if valid.at.Line == 0 {
			other += " by default"
		} else {
			other += fmt.Sprintf(" (%s)", valid.at)
		}
		pr := p.add(Error, t.at, "lifetime-limits", "", "%s of %s is %s than %s", key, formatDuration(t.seconds), word, other)
		if valid.at.Line > 0 {
			pr.relate(valid.at, "the lifetime")
		}
	}
	if valid.seconds == 0 {
		valid.seconds = policy.DefaultLifetime
	}
	if l.min.seconds != 0 {
		against(lo, lo.seconds > valid.seconds, "min-valid-lifetime", "longer")
	}
	if l.max.seconds != 0 {
		against(hi, hi.seconds < valid.seconds, "max-valid-lifetime", "shorter")
	}
}

// maxOptions is the octets that options of a configuration may take together: an
// Ethernet frame carries 1,472 octets of DHCP, of which the header takes 240 and
// the options of the protocol itself (53, 51, 54, 58, 59, END) 28.
const maxOptions = 1472 - 240 - 28

// checkSizes reports options that together cannot fit in one reply.
func (p *parser) checkSizes(f *file) {
	f.eachLevel(func(outer []*level, l *level) {
		if len(l.options) == 0 {
			return
		}
		sizes := map[dhcp4.Code]int{}
		for _, o := range append(slices.Clone(outer), l) {
			for i := range o.options {
				n := len(o.options[i].data)
				sizes[o.options[i].code] = n + 2*max(1, (n+254)/255)
				if o.options[i].flags&policy.NeverSend != 0 {
					sizes[o.options[i].code] = 0
				}
			}
		}
		total := 0
		for _, n := range sizes {
			total += n
		}
		if total <= maxOptions {
			return
		}
		big := slices.MaxFunc(l.options, func(a, b optionNode) int { return cmp.Compare(len(a.data), len(b.data)) })
		p.add(Error, big.val, "options-too-large", "shorten them; this is the largest one here",
			"the options need %d octets together, a reply has room for %d", total, maxOptions)
	})
}
