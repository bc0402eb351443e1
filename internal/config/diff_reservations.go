package config

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"lessor/internal/policy"
)

// reservations compares the reservations. One that has a key of a former one, in a
// subnet of the same network if there is one, is that one.
func (d *differ) reservations() {
	old, now := sortedReservations(d.before), sortedReservations(d.after)
	byKey := map[string][]*policy.Reservation{}
	for _, r := range now {
		for _, k := range r.Keys {
			byKey[keyText(k)] = append(byKey[keyText(k)], r)
		}
	}
	taken := map[*policy.Reservation]bool{}
	for _, r := range old {
		var s *policy.Reservation
		for _, k := range r.Keys {
			for _, c := range byKey[keyText(k)] {
				if !taken[c] && (s == nil || c.Subnet.Prefix == r.Subnet.Prefix && s.Subnet.Prefix != r.Subnet.Prefix) {
					s = c
				}
			}
		}
		if s == nil {
			d.removed(r)
			continue
		}
		taken[s] = true
		d.reservation(r, s)
	}
	for _, s := range now {
		if !taken[s] {
			d.add("reservation", "added", reservationName(s), policy.Pos{}, s.Pos, "%s", givesText(s))
		}
	}
}

func sortedReservations(p *policy.Policy) (all []*policy.Reservation) {
	for _, n := range p.Networks {
		all = append(all, n.Reservations()...)
	}
	slices.SortStableFunc(all, func(a, b *policy.Reservation) int {
		return cmp.Or(cmp.Compare(a.Subnet.Prefix.Addr, b.Subnet.Prefix.Addr), cmp.Compare(a.Addr, b.Addr), cmp.Compare(keyText(a.Keys[0]), keyText(b.Keys[0])))
	})
	return all
}

func keyText(k policy.Key) string { return fmt.Sprintf("%d/%d/%s", k.Kind, k.HType, k.Value) }

// reservationName is what people call it: its host name, else its client.
func reservationName(r *policy.Reservation) string {
	if r.Hostname != "" {
		return r.Hostname
	}
	k := keyNode{Key: r.Keys[0]}
	return k.String()
}

func givesText(r *policy.Reservation) string {
	if r.Addr == 0 {
		return "no address in " + r.Subnet.Name
	}
	return r.Addr.String() + " in " + r.Subnet.Name
}

func (d *differ) removed(r *policy.Reservation) {
	text := givesText(r) + " is reserved no more"
	switch {
	case r.Addr == 0:
	case d.after.SubnetOf(r.Addr) == nil:
		text = r.Addr.String() + " is in no subnet any more"
	default:
		if owner := d.after.SubnetOf(r.Addr).Network.ReservedBy(r.Addr); owner != nil {
			text = fmt.Sprintf("%s goes to %s (%s:%d)", r.Addr, reservationName(owner), d.after.File, owner.Pos.Line)
		}
	}
	c := d.add("reservation", "removed", reservationName(r), r.Pos, policy.Pos{}, "%s", text)
	c.Leaves = r.Addr != 0 && d.after.SubnetOf(r.Addr) == nil
}

func (d *differ) reservation(r, s *policy.Reservation) {
	name := reservationName(s)
	say := func(change, format string, args ...any) *Change {
		return d.add("reservation", change, name, r.Pos, s.Pos, format, args...)
	}
	if r.Addr != s.Addr {
		c := say("moved", "its client moves from %s to %s", orNone(r), orNone(s))
		c.Leaves = r.Addr != 0 && s.Subnet.Prefix != r.Subnet.Prefix
	} else if s.Subnet.Prefix != r.Subnet.Prefix {
		say("moved", "it leaves %s for %s", r.Subnet.Name, s.Subnet.Name).Leaves = true
	}
	if !slices.EqualFunc(r.Keys, s.Keys, func(a, b policy.Key) bool {
		return a.Kind == b.Kind && a.HType == b.HType && bytes.Equal(a.Value, b.Value)
	}) {
		say("changed", "it knows its client by other keys")
	}
	if r.Hostname != s.Hostname {
		say("changed", "its host name was %s", quotable(r.Hostname))
	}
	if r.OwnLifetime != s.OwnLifetime || r.OwnLifetime && r.Lifetimes != s.Lifetimes {
		say("changed", "leases last %s, not %s", lifetimesText(s.Lifetimes), lifetimesText(r.Lifetimes))
	}
	if codes := otherOptions(r.Options, s.Options); len(codes) > 0 && (r.Hostname == s.Hostname || len(codes) > 1) {
		say("changed", "other options: %s", joinNames(codes))
	}
	if !slices.Equal(classNamesOf(d.before, r.Classes), classNamesOf(d.after, s.Classes)) {
		say("changed", "its client is in other classes")
	}
}

func orNone(r *policy.Reservation) string {
	if r.Addr == 0 {
		return "a pool"
	}
	return r.Addr.String()
}
