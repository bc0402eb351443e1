package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"lessor/dhcp4"
	"lessor/internal/control"
	"lessor/internal/policy"
)

// leaseChange is what a change of the configuration means for one running lease, when
// its client renews it the next time.
type leaseChange struct {
	Address  dhcp4.Addr `json:"address"`
	Client   string     `json:"client"`
	Hostname string     `json:"hostname,omitempty"`
	Subnet   string     `json:"subnet,omitempty"`
	Was      string     `json:"was"`  // see policy.Fate
	Fate     string     `json:"fate"` // see policy.Fate
	MovesTo  dhcp4.Addr `json:"moves-to,omitzero"`
	Where    string     `json:"where,omitempty"` // the reservation that moves it, as file:line
	Why      string     `json:"why"`
	Renews   *time.Time `json:"renews,omitempty"`
}

// loses reports whether the client does not keep its address.
func (c *leaseChange) loses() bool { return c.Fate != policy.FateKeeps.String() }

// leaseChanges compares what two configurations make of each running lease.
func leaseChanges(ctx context.Context, a *asker, before, after *policy.Policy) ([]*leaseChange, error) {
	var all []*leaseChange
	err := a.leases(ctx, control.Filter{State: "active"}, func(l *control.Lease) error {
		if c := changeOf(l, before, after); c != nil {
			all = append(all, c)
		}
		return nil
	})
	slices.SortFunc(all, func(x, y *leaseChange) int { return cmp.Compare(x.Address, y.Address) })
	return all, err
}

// changeOf is nil where nothing changes for the lease.
func changeOf(l *control.Lease, before, after *policy.Policy) *leaseChange {
	was, wasRes := before.FateOf(l.Facts(), l.Address)
	is, res := after.FateOf(l.Facts(), l.Address)
	if was == is && (is != policy.FateMoves || wasRes.Addr == res.Addr) {
		return nil
	}
	c := &leaseChange{Address: l.Address, Client: l.Client(), Hostname: l.Hostname, Subnet: l.Subnet, Renews: l.Renews,
		Was: was.String(), Fate: is.String(), Why: whyFate(is, l, after, res)}
	if is == policy.FateMoves {
		c.MovesTo, c.Where = res.Addr, wherePos(after, res.Pos)
	}
	return c
}

// whyFate says in words why the client of l keeps its address or does not.
func whyFate(f policy.Fate, l *control.Lease, p *policy.Policy, res *policy.Reservation) string {
	switch sn := p.SubnetOf(l.Address); f {
	case policy.FateKeeps:
		return "it keeps its address, which it would have lost before"
	case policy.FateMoves:
		return fmt.Sprintf("its reservation at %s names %s", wherePos(p, res.Pos), res.Addr)
	case policy.FateNoSubnet:
		return "no subnet has the address any more"
	case policy.FateReserved:
		owner := sn.Network.ReservedBy(l.Address)
		return fmt.Sprintf("the address is reserved for another client at %s", wherePos(p, owner.Pos))
	case policy.FateExcluded:
		return "the pool excludes the address"
	case policy.FateNoPool:
		return "the address is in no pool of " + sn.Name
	case policy.FateNeverOffer:
		return "the address is that of the network, a router or a server"
	case policy.FateGuarded:
		return "the pool is for client classes that this client is not in, as far as its lease tells"
	case policy.FateDropped:
		return "the client is in the class DROP: it gets no answer"
	default:
		return fmt.Sprintf("its relay agent %s stands for another network", l.Relay.GIAddr)
	}
}

// wherePos is a place as file:line.
func wherePos(p *policy.Policy, at policy.Pos) string {
	if at.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, at.Line)
}

// text says what happens on one line.
func (c *leaseChange) text(g *globals, now time.Time) string {
	who := c.Address.String()
	if c.Hostname != "" {
		who += " (" + printable(c.Hostname) + ")"
	}
	when := "at its next renewal"
	if c.Renews != nil && g.terminal && c.Renews.After(now) {
		when += ", " + g.when(*c.Renews, now)
	}
	switch {
	case !c.loses():
		return who + " stays: " + c.Why
	case c.MovesTo != 0:
		return fmt.Sprintf("%s moves to %s %s", who, c.MovesTo, when)
	default:
		return fmt.Sprintf("%s ends %s: %s", who, when, c.Why)
	}
}
