package policy

import (
	"cmp"
	"fmt"
	"slices"

	"lessor/dhcp4"
)

// DefaultLifetime is the lease duration in seconds where none is configured.
const DefaultLifetime uint32 = 12 * 3600

// Spec is what Build makes a Policy of: the configuration level by level, without
// inheritance. It is plain data; Build copies what it changes and keeps the
// option sets.
type Spec struct {
	Settings
	File      string
	Lifetimes            // zero fields: not set here
	Options   *OptionSet // of all subnets
	Boot      *Boot
	Classes   []Class // of the configuration, in its order; their numbers begin at FirstClass
	Networks  []NetworkSpec
}

// NetworkSpec is one network. An empty Name becomes the first subnet's. What is set here
// is that of a shared network.
type NetworkSpec struct {
	Name       string
	Lifetimes  // zero fields: inherited
	Options    *OptionSet
	Boot       *Boot
	Guard      ClassSet     // empty: for all
	Relays     []dhcp4.Addr // agents that stand for this network
	Interfaces []string     // whose clients are in this network
	Pos        Pos
	Subnets    []SubnetSpec
}

// SubnetSpec is one subnet. An empty Name becomes the prefix.
type SubnetSpec struct {
	Name         string
	Prefix       dhcp4.Prefix
	Lifetimes               // zero fields: inherited
	Options      *OptionSet // its own
	Boot         *Boot      // its own
	Limits       Limits
	Guard        ClassSet      // empty: for all
	Pools        []PoolSpec    // in any order
	Reservations []Reservation // Subnet is set by Build; zero fields of Lifetimes are inherited
	Pos          Pos
}

// PoolSpec is one pool; ranges of Exclude may overlap and reach beyond Range.
type PoolSpec struct {
	Range   dhcp4.Range
	Exclude []dhcp4.Range
	Lifetimes
	Options *OptionSet
	Boot    *Boot
	Guard   ClassSet // empty: for all
	Pos     Pos
}

// Build compiles s. It returns an error for what would make the tables
// ambiguous: a pool or a reserved address outside its subnet, pools that
// overlap, an address or a client key that is reserved twice in a network, a
// prefix, relay agent or interface that occurs twice. The configuration reports the
// same faults with their positions before it comes here.
func Build(s Spec) (*Policy, error) {
	p := &Policy{Settings: s.Settings, File: s.File, sets: map[optionsKey]*OptionSet{}}
	p.Classes = append([]Class{{Name: NameKnown}, {Name: NameUnknown}}, s.Classes...)
	if len(p.Classes) > MaxClasses {
		return nil, fmt.Errorf("there are more than %d client classes", MaxClasses-FirstClass)
	}
	for i := range p.Classes {
		if p.Classes[i].Name == NameDrop {
			p.Drop = i
		}
	}
	for i := range p.Classes {
		p.Classes[i].Options = p.Classes[i].Options.At(LevelClass)
	}
	s.Options = s.Options.At(LevelGlobal)
	var all []*Subnet
	for i := range s.Networks {
		n, err := p.buildNetwork(&s, &s.Networks[i])
		if err != nil {
			return nil, err
		}
		p.Networks = append(p.Networks, n)
		all = append(all, n.Subnets...)
		for _, sn := range n.Subnets {
			for _, pool := range sn.Pools {
				pool.Index = p.Pools
				p.Pools++
			}
		}
	}
	var err error
	if p.subnets, err = subnetSegments(all); err != nil {
		return nil, err
	}
	p.markNamed(&s)
	p.sets = nil
	return p, nil
}

func (p *Policy) buildNetwork(s *Spec, ns *NetworkSpec) (*Network, error) {
	first := &plot{}
	n := &first.network
	n.Name, n.Pos, n.Subnets = ns.Name, ns.Pos, first.subnets[:0]
	outer := level{ns.Lifetimes.Within(s.Lifetimes), Merge(s.Options, ns.Options.At(LevelSharedNetwork)), MergeBoot(s.Boot, ns.Boot), guarded(nil, ns.Guard)}
	for i := range ns.Subnets {
		on := first
		if i > 0 {
			on = &plot{}
		}
		sn, err := p.buildSubnet(on, &outer, n, &ns.Subnets[i])
		if err != nil {
			return nil, err
		}
		n.Subnets = append(n.Subnets, sn)
		p.Guards = p.Guards || sn.guarded()
	}
	if n.Name == "" && len(n.Subnets) > 0 {
		n.Name = n.Subnets[0].Name
	}
	if err := p.place(n, ns); err != nil {
		return nil, err
	}
	var err error
	n.subnets, err = subnetSegments(n.Subnets)
	return n, err
}

// plot is a network, a subnet and a pool beside each other, with the lists of one that lead
// from each to the next: of 10,000 networks hardly one is in the cache, and a packet looks at
// all three. A list that grows moves away by itself.
type plot struct {
	network Network
	subnets [1]*Subnet
	subnet  Subnet
	pools   [1]*Pool
	never   [4]dhcp4.Addr
	dynamic [1]segment[Pool]
	pool    Pool
}

// place notes the agents and interfaces that stand for n.
func (p *Policy) place(n *Network, ns *NetworkSpec) error {
	for _, a := range ns.Relays {
		if p.relays == nil {
			p.relays = map[dhcp4.Addr]*Network{}
		}
		if p.relays[a] != nil {
			return fmt.Errorf("the relay agent %s stands for two networks", a)
		}
		p.relays[a] = n
	}
	for _, name := range ns.Interfaces {
		if p.byInterface == nil {
			p.byInterface = map[string]*Network{}
		}
		if p.byInterface[name] != nil {
			return fmt.Errorf("the interface %s stands for two networks", name)
		}
		p.byInterface[name] = n
	}
	return nil
}

// level is what the levels around something have, merged.
type level struct {
	Lifetimes
	options *OptionSet
	boot    *Boot
	guards  []ClassSet
}

// guarded returns the guards around something with its own.
func guarded(outer []ClassSet, own ClassSet) []ClassSet {
	if own.Empty() {
		return outer
	}
	return append(slices.Clip(outer), own)
}

func (sn *Subnet) guarded() bool {
	return len(sn.Guards) > 0 || slices.ContainsFunc(sn.Pools, func(p *Pool) bool { return len(p.Guards) > 0 })
}

func (p *Policy) buildSubnet(on *plot, outer *level, n *Network, ss *SubnetSpec) (*Subnet, error) {
	raw := ss.Lifetimes.Within(outer.Lifetimes)
	on.subnet = Subnet{
		Name:       ss.Name,
		Prefix:     ss.Prefix,
		Network:    n,
		Pools:      on.pools[:0],
		Lifetimes:  raw.Resolve(),
		Options:    p.subnetOptions(outer.options, ss),
		Boot:       MergeBoot(outer.boot, ss.Boot),
		Limits:     ss.Limits,
		Guards:     guarded(outer.guards, ss.Guard),
		Pos:        ss.Pos,
		NeverOffer: on.never[:0],
		dynamic:    on.dynamic[:0],
	}
	sn := &on.subnet
	if sn.Name == "" {
		sn.Name = ss.Prefix.String()
	}
	if r := ss.Prefix.Range(); ss.Prefix.Bits <= 30 {
		sn.NeverOffer.add(r.First)
		sn.NeverOffer.add(r.Last)
	}
	if err := sn.addPools(on, ss, raw); err != nil {
		return nil, err
	}
	for i := range ss.Reservations {
		r := ss.Reservations[i]
		r.Subnet = sn
		r.OwnLifetime = r.OwnLifetime || r.Lifetimes != Lifetimes{}
		r.Lifetimes = r.Lifetimes.Within(raw).Resolve()
		if r.Hostname != "" {
			name := NewValues(Value{Code: dhcp4.OptHostName, Pos: r.Pos, Data: []byte(r.Hostname)})
			r.Options = Merge(name, r.Options)
		}
		r.Options = r.Options.At(LevelReservation)
		if err := n.addReservation(r.compact()); err != nil {
			return nil, err
		}
	}
	return sn, nil
}

// subnetOptions is what a subnet has of the levels around it and its own, with the mask.
// Subnets for which that is the same share it.
func (p *Policy) subnetOptions(outer *OptionSet, ss *SubnetSpec) *OptionSet {
	key := optionsKey{ss.Prefix.Bits, outer, ss.Options}
	set := p.sets[key]
	if set == nil {
		mask := NewOptionSet(dhcp4.Option{Code: 1, Data: ss.Prefix.Mask().Append(nil)})
		set = Merge(mask, Merge(outer, ss.Options.At(LevelSubnet)))
		p.sets[key] = set
	}
	return set
}

type optionsKey struct {
	bits         int
	outer, inner *OptionSet
}

func (sn *Subnet) addPools(on *plot, ss *SubnetSpec, raw Lifetimes) error {
	for i := range ss.Pools {
		ps := &ss.Pools[i]
		if ps.Range.Size() == 0 || !sn.Prefix.Contains(ps.Range.First) || !sn.Prefix.Contains(ps.Range.Last) {
			return fmt.Errorf("pool %s is empty or outside its subnet %s", ps.Range, sn.Prefix)
		}
		pool := &on.pool
		if i > 0 {
			pool = &Pool{}
		}
		sn.Pools = append(sn.Pools, pool)
		*pool = Pool{
			Range:     ps.Range,
			Exclude:   clip(ps.Exclude, ps.Range),
			Subnet:    sn,
			Lifetimes: ps.Lifetimes.Within(raw).Resolve(),
			Options:   Merge(sn.Options, ps.Options.At(LevelPool)),
			Boot:      MergeBoot(sn.Boot, ps.Boot),
			Guards:    guarded(sn.Guards, ps.Guard),
			Pos:       ps.Pos,
		}
	}
	slices.SortFunc(sn.Pools, func(a, b *Pool) int { return cmp.Compare(a.Range.First, b.Range.First) })
	for i, p := range sn.Pools {
		if i > 0 && p.Range.Overlaps(sn.Pools[i-1].Range) {
			return fmt.Errorf("pools %s and %s overlap", sn.Pools[i-1].Range, p.Range)
		}
		next := uint64(p.Range.First)
		for _, e := range p.Exclude {
			if next < uint64(e.First) {
				sn.dynamic.add(dhcp4.Range{First: dhcp4.Addr(next), Last: e.First - 1}, p)
			}
			next = uint64(e.Last) + 1
		}
		if next <= uint64(p.Range.Last) {
			sn.dynamic.add(dhcp4.Range{First: dhcp4.Addr(next), Last: p.Range.Last}, p)
		}
	}
	return nil
}

// clip returns the parts of rs within in, ascending and merged.
func clip(rs []dhcp4.Range, in dhcp4.Range) []dhcp4.Range {
	var out []dhcp4.Range
	for _, r := range rs {
		r.First, r.Last = max(r.First, in.First), min(r.Last, in.Last)
		if r.Size() > 0 {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b dhcp4.Range) int { return cmp.Compare(a.First, b.First) })
	merged := out[:0]
	for _, r := range out {
		if n := len(merged); n > 0 && uint64(r.First) <= uint64(merged[n-1].Last)+1 {
			merged[n-1].Last = max(merged[n-1].Last, r.Last)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// subnetSegments flattens prefixes, which may be nested, to disjoint ranges, each
// with the longest prefix that covers it.
func subnetSegments(subnets []*Subnet) (segments[Subnet], error) {
	var out segments[Subnet]
	sorted := slices.Clone(subnets)
	slices.SortFunc(sorted, func(a, b *Subnet) int {
		return cmp.Or(cmp.Compare(a.Prefix.Addr, b.Prefix.Addr), cmp.Compare(a.Prefix.Bits, b.Prefix.Bits))
	})
	var open []*Subnet // each contains the next
	next := uint64(0)  // first address not yet written
	closeUpTo := func(end uint64) {
		for len(open) > 0 {
			top := open[len(open)-1]
			last := uint64(top.Prefix.Range().Last)
			stop := min(last+1, end)
			if next < stop {
				out.add(dhcp4.Range{First: dhcp4.Addr(next), Last: dhcp4.Addr(stop - 1)}, top)
				next = stop
			}
			if last >= end {
				return
			}
			open = open[:len(open)-1]
		}
	}
	for i, s := range sorted {
		if i > 0 && sorted[i-1].Prefix == s.Prefix {
			return out, fmt.Errorf("subnet %s is there twice", s.Prefix)
		}
		first := uint64(s.Prefix.Range().First)
		closeUpTo(first)
		next = first
		open = append(open, s)
	}
	closeUpTo(1 << 32)
	return out, nil
}

// Within returns l inside outer: what l leaves unset is inherited, and where l
// sets a duration of its own the inherited limits give way to it.
func (l Lifetimes) Within(outer Lifetimes) Lifetimes {
	out := Lifetimes{cmp.Or(l.Valid, outer.Valid), cmp.Or(l.Min, outer.Min), cmp.Or(l.Max, outer.Max)}
	if l.Valid != 0 {
		if l.Min == 0 && out.Min > l.Valid {
			out.Min = l.Valid
		}
		if l.Max == 0 && out.Max != 0 && out.Max < l.Valid {
			out.Max = l.Valid
		}
	}
	return out
}

// Resolve fills what no level has set: a client gets the configured duration
// whatever it asks for, unless limits are set.
func (l Lifetimes) Resolve() Lifetimes {
	l.Valid = cmp.Or(l.Valid, DefaultLifetime)
	l.Min = min(cmp.Or(l.Min, l.Valid), l.Valid)
	l.Max = max(cmp.Or(l.Max, l.Valid), l.Valid)
	return l
}
