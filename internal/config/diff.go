package config

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// Change is one difference between two configurations that clients may notice.
type Change struct {
	Kind   string `json:"kind"`   // subnet, pool or reservation
	Change string `json:"change"` // added, removed, changed or moved
	Name   string `json:"name"`
	Text   string `json:"text"`            // what changes, for people
	Before string `json:"before,omitzero"` // where it stood, as file:line
	After  string `json:"after,omitzero"`  // where it stands
	Leaves bool   `json:"leaves,omitzero"` // a reservation whose address no subnet has any more
	Less   uint64 `json:"less,omitzero"`   // of a pool: how many addresses fewer
}

// Diff lists the subnets, pools and reservations that differ, by address. It is made of
// the compiled configurations, so that another spelling of the same is no difference.
func Diff(before, after *Config) []Change {
	d := &differ{before: before.policy, after: after.policy}
	old, now := subnetsOf(d.before), subnetsOf(d.after)
	for _, pre := range prefixes(old, now) {
		d.subnet(old[pre], now[pre])
	}
	d.reservations()
	return d.all
}

type differ struct {
	before, after *policy.Policy
	all           []Change
}

func (d *differ) add(kind, change, name string, before, after policy.Pos, format string, args ...any) *Change {
	c := Change{Kind: kind, Change: change, Name: name, Text: fmt.Sprintf(format, args...)}
	if before.Line > 0 {
		c.Before = fmt.Sprintf("%s:%d", d.before.File, before.Line)
	}
	if after.Line > 0 {
		c.After = fmt.Sprintf("%s:%d", d.after.File, after.Line)
	}
	d.all = append(d.all, c)
	return &d.all[len(d.all)-1]
}

func subnetsOf(p *policy.Policy) map[dhcp4.Prefix]*policy.Subnet {
	all := map[dhcp4.Prefix]*policy.Subnet{}
	for _, n := range p.Networks {
		for _, sn := range n.Subnets {
			all[sn.Prefix] = sn
		}
	}
	return all
}

// prefixes are the subnets of both, by address.
func prefixes(a, b map[dhcp4.Prefix]*policy.Subnet) []dhcp4.Prefix {
	var all []dhcp4.Prefix
	for pre := range a {
		all = append(all, pre)
	}
	for pre := range b {
		if a[pre] == nil {
			all = append(all, pre)
		}
	}
	slices.SortFunc(all, func(x, y dhcp4.Prefix) int { return cmp.Or(cmp.Compare(x.Addr, y.Addr), cmp.Compare(x.Bits, y.Bits)) })
	return all
}

func (d *differ) subnet(was, is *policy.Subnet) {
	switch {
	case is == nil:
		d.add("subnet", "removed", was.Name, was.Pos, policy.Pos{}, "the subnet %s is removed", was.Prefix)
		return
	case was == nil:
		d.add("subnet", "added", is.Name, policy.Pos{}, is.Pos, "the subnet %s is new", is.Prefix)
		return
	}
	say := func(format string, args ...any) {
		d.add("subnet", "changed", is.Name, was.Pos, is.Pos, format, args...)
	}
	if was.Name != is.Name {
		say("its name was %s", was.Name)
	}
	if a, b := neighbours(was), neighbours(is); !slices.Equal(a, b) {
		say("it is in one network with other subnets than before")
	}
	d.level(say, was.Lifetimes, is.Lifetimes, was.Options, is.Options)
	if !sameGuards(d, was.Guards, is.Guards) {
		say("it is for other client classes")
	}
	if !sameBoot(was.Boot, is.Boot) {
		say("its clients boot from elsewhere")
	}
	d.pools(was, is)
}

// sameBoot compares but for the place in the file.
func sameBoot(a, b *policy.Boot) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := *a, *b
	x.Pos, y.Pos = policy.Pos{}, policy.Pos{}
	return reflect.DeepEqual(x, y)
}

// neighbours are the subnets of its network.
func neighbours(sn *policy.Subnet) (all []string) {
	for _, s := range sn.Network.Subnets {
		all = append(all, s.Prefix.String())
	}
	slices.Sort(all)
	return all
}

// level compares what every level has.
func (d *differ) level(say func(string, ...any), t, u policy.Lifetimes, a, b *policy.OptionSet) {
	if t != u {
		say("leases last %s, not %s", lifetimesText(u), lifetimesText(t))
	}
	if codes := otherOptions(a, b); len(codes) > 0 {
		say("other options: %s", joinNames(codes))
	}
}

func lifetimesText(l policy.Lifetimes) string {
	text := formatDuration(l.Valid)
	if l.Min != l.Valid || l.Max != l.Valid {
		text += fmt.Sprintf(" (%s to %s)", formatDuration(l.Min), formatDuration(l.Max))
	}
	return text
}

// otherOptions are the codes of options that differ.
func otherOptions(a, b *policy.OptionSet) (codes []dhcp4.Code) {
	for code := range dhcp4.Code(255) {
		x, y := a.Lookup(code), b.Lookup(code)
		if (x == nil) != (y == nil) || x != nil && (x.Flags != y.Flags || !bytes.Equal(x.Data, y.Data) || !reflect.DeepEqual(x.Template, y.Template)) {
			codes = append(codes, code)
		}
	}
	return codes
}

func joinNames(codes []dhcp4.Code) (text string) {
	for i, c := range codes {
		if i > 0 {
			text += ", "
		}
		if def := dhcp4.Lookup(c); def != nil {
			text += def.Name
		} else {
			text += fmt.Sprintf("option %d", c)
		}
	}
	return text
}

// sameGuards compares guards by the names of their classes, whose numbers may differ.
func sameGuards(d *differ, a, b []policy.ClassSet) bool {
	return slices.EqualFunc(a, b, func(x, y policy.ClassSet) bool {
		return slices.Equal(classNamesOf(d.before, x), classNamesOf(d.after, y))
	})
}

func classNamesOf(p *policy.Policy, s policy.ClassSet) (names []string) {
	for i := range p.Classes {
		if s.Has(i) {
			names = append(names, p.Classes[i].Name)
		}
	}
	slices.Sort(names)
	return names
}

// pools compares the pools of a subnet. One that overlaps a former one is that one, made
// larger or smaller.
func (d *differ) pools(was, is *policy.Subnet) {
	taken := map[*policy.Pool]bool{}
	for _, p := range was.Pools {
		var q *policy.Pool
		for _, o := range is.Pools {
			if q == nil && o.Range.Overlaps(p.Range) && !taken[o] {
				q = o
			}
		}
		if q == nil {
			d.add("pool", "removed", p.Range.String(), p.Pos, policy.Pos{}, "%d addresses of %s are in no pool of their own any more", p.Size(), was.Name).Less = p.Size()
			continue
		}
		taken[q] = true
		d.pool(p, q)
	}
	for _, q := range is.Pools {
		if !taken[q] {
			d.add("pool", "added", q.Range.String(), policy.Pos{}, q.Pos, "%d more addresses in %s", q.Size(), is.Name)
		}
	}
}

func (d *differ) pool(p, q *policy.Pool) {
	say := func(format string, args ...any) *Change {
		return d.add("pool", "changed", q.Range.String(), p.Pos, q.Pos, format, args...)
	}
	if p.Range != q.Range || !slices.Equal(p.Exclude, q.Exclude) {
		switch a, b := p.Size(), q.Size(); {
		case b < a:
			say("it was %s, and shrinks by %s to %d", p.Range, count(int(a-b), "address"), b).Less = a - b
		case b > a:
			say("it was %s, and grows by %s to %d", p.Range, count(int(b-a), "address"), b)
		default:
			say("it was %s: other addresses, as many", p.Range)
		}
	}
	// What the subnet changes is said there.
	d.level(func(f string, args ...any) { say(f, args...) }, p.Lifetimes, q.Lifetimes, ownOptions(p.Subnet, p), ownOptions(q.Subnet, q))
	if !sameGuards(d, p.Guards, q.Guards) && sameGuards(d, p.Subnet.Guards, q.Subnet.Guards) {
		say("it is for other client classes")
	}
}

// ownOptions are the options of a pool that its subnet does not have so.
func ownOptions(sn *policy.Subnet, p *policy.Pool) *policy.OptionSet {
	var own []policy.Value
	for _, code := range otherOptions(sn.Options, p.Options) {
		if v := p.Options.Lookup(code); v != nil {
			own = append(own, *v)
		}
	}
	return policy.NewValues(own...)
}
