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
	Lifetimes            // zero fields: not set here
	Options   *OptionSet // of all subnets
	Networks  []NetworkSpec
}

// NetworkSpec is one network. An empty Name becomes the first subnet's.
type NetworkSpec struct {
	Name    string
	Subnets []SubnetSpec
}

// SubnetSpec is one subnet. An empty Name becomes the prefix.
type SubnetSpec struct {
	Name         string
	Prefix       dhcp4.Prefix
	Lifetimes                  // zero fields: inherited
	Options      *OptionSet    // its own
	Pools        []PoolSpec    // in any order
	Reservations []Reservation // Subnet is set by Build; zero fields of Lifetimes are inherited
}

// PoolSpec is one pool; ranges of Exclude may overlap and reach beyond Range.
type PoolSpec struct {
	Range   dhcp4.Range
	Exclude []dhcp4.Range
	Lifetimes
	Options *OptionSet
}

// Build compiles s. It returns an error for what would make the tables
// ambiguous: a pool or a reserved address outside its subnet, pools that
// overlap, an address or a client key that is reserved twice in a network, a
// prefix that occurs twice. The configuration reports the same faults with their
// positions before it comes here.
func Build(s Spec) (*Policy, error) {
	p := &Policy{Settings: s.Settings}
	var all []*Subnet
	for i := range s.Networks {
		n, err := buildNetwork(&s, &s.Networks[i])
		if err != nil {
			return nil, err
		}
		p.Networks = append(p.Networks, n)
		all = append(all, n.Subnets...)
	}
	var err error
	if p.subnets, err = subnetSegments(all); err != nil {
		return nil, err
	}
	p.markNamed(&s)
	return p, nil
}

func buildNetwork(s *Spec, ns *NetworkSpec) (*Network, error) {
	n := &Network{
		Name:       ns.Name,
		byHW:       map[hwKey]*Reservation{},
		byClientID: map[string]*Reservation{},
		byAddr:     map[dhcp4.Addr]*Reservation{},
	}
	for i := range ns.Subnets {
		sn, err := buildSubnet(s, n, &ns.Subnets[i])
		if err != nil {
			return nil, err
		}
		n.Subnets = append(n.Subnets, sn)
	}
	if n.Name == "" && len(n.Subnets) > 0 {
		n.Name = n.Subnets[0].Name
	}
	var err error
	n.subnets, err = subnetSegments(n.Subnets)
	return n, err
}

func buildSubnet(s *Spec, n *Network, ss *SubnetSpec) (*Subnet, error) {
	raw := ss.Lifetimes.within(s.Lifetimes)
	mask := NewOptionSet(dhcp4.Option{Code: 1, Data: ss.Prefix.Mask().Append(nil)})
	sn := &Subnet{
		Name:       ss.Name,
		Prefix:     ss.Prefix,
		Network:    n,
		Lifetimes:  raw.resolve(),
		Options:    Merge(mask, Merge(s.Options, ss.Options)),
		NeverOffer: map[dhcp4.Addr]struct{}{},
	}
	if sn.Name == "" {
		sn.Name = ss.Prefix.String()
	}
	if r := ss.Prefix.Range(); ss.Prefix.Bits <= 30 {
		sn.NeverOffer[r.First] = struct{}{}
		sn.NeverOffer[r.Last] = struct{}{}
	}
	if err := sn.addPools(ss, raw); err != nil {
		return nil, err
	}
	for i := range ss.Reservations {
		r := ss.Reservations[i]
		r.Subnet = sn
		r.OwnLifetime = r.OwnLifetime || r.Lifetimes != Lifetimes{}
		r.Lifetimes = r.Lifetimes.within(raw).resolve()
		if r.Hostname != "" {
			name := NewOptionSet(dhcp4.Option{Code: 12, Data: []byte(r.Hostname)})
			r.Options = Merge(name, r.Options)
		}
		if err := n.addReservation(&r); err != nil {
			return nil, err
		}
	}
	return sn, nil
}

func (sn *Subnet) addPools(ss *SubnetSpec, raw Lifetimes) error {
	for i := range ss.Pools {
		ps := &ss.Pools[i]
		if ps.Range.Size() == 0 || !sn.Prefix.Contains(ps.Range.First) || !sn.Prefix.Contains(ps.Range.Last) {
			return fmt.Errorf("pool %s is empty or outside its subnet %s", ps.Range, sn.Prefix)
		}
		sn.Pools = append(sn.Pools, &Pool{
			Range:     ps.Range,
			Exclude:   clip(ps.Exclude, ps.Range),
			Subnet:    sn,
			Lifetimes: ps.Lifetimes.within(raw).resolve(),
			Options:   Merge(sn.Options, ps.Options),
		})
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

func (n *Network) addReservation(r *Reservation) error {
	if r.Addr != 0 {
		if !r.Subnet.Prefix.Contains(r.Addr) {
			return fmt.Errorf("reserved address %s is outside its subnet %s", r.Addr, r.Subnet.Prefix)
		}
		if n.byAddr[r.Addr] != nil {
			return fmt.Errorf("%s is reserved twice", r.Addr)
		}
		n.byAddr[r.Addr] = r
	}
	key, hasHW := hwKeyOf(r.HType, r.HW)
	if hasHW {
		if n.byHW[key] != nil {
			return fmt.Errorf("hardware address %x has two reservations in one network", r.HW)
		}
		n.byHW[key] = r
	}
	if len(r.ClientID) > 0 {
		if n.byClientID[string(r.ClientID)] != nil {
			return fmt.Errorf("client identifier %x has two reservations in one network", r.ClientID)
		}
		n.byClientID[string(r.ClientID)] = r
	}
	if !hasHW && len(r.ClientID) == 0 {
		return fmt.Errorf("a reservation of subnet %s names no client", r.Subnet.Prefix)
	}
	n.reservations = append(n.reservations, r)
	return nil
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

// within returns l inside outer: what l leaves unset is inherited, and where l
// sets a duration of its own the inherited limits give way to it.
func (l Lifetimes) within(outer Lifetimes) Lifetimes {
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

// resolve fills what no level has set: a client gets the configured duration
// whatever it asks for, unless limits are set.
func (l Lifetimes) resolve() Lifetimes {
	l.Valid = cmp.Or(l.Valid, DefaultLifetime)
	l.Min = min(cmp.Or(l.Min, l.Valid), l.Valid)
	l.Max = max(cmp.Or(l.Max, l.Valid), l.Valid)
	return l
}
