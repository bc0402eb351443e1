package config

import (
	"bytes"
	"fmt"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// doubtRouters warns of routers outside of the subnet of their clients (RFC 2132 3.5), which
// these cannot reach. Where classless routes are sent, they say how.
func (p *parser) doubtRouters(f *file) {
	warned := map[Place]bool{}
	one := func(s *subnetNode, outer []*level, l *level) {
		o := effective(outer, l, dhcp4.OptRouters)
		if o == nil || warned[o.val] || effective(outer, l, dhcp4.OptClasslessStaticRoute) != nil {
			return
		}
		policy.EachHost(dhcp4.Option{Code: o.code, Data: o.data}, func(a dhcp4.Addr) {
			if s.prefix.Contains(a) || warned[o.val] {
				return
			}
			warned[o.val] = true
			p.warnf(o.val, "router-outside", "name a router of that subnet", "the router %s lies outside the subnet %s (%s), so its clients cannot reach it", a, s.prefix, s.at).relate(s.at, "the subnet")
		})
	}
	for _, w := range f.allNetworks() {
		around := []*level{&f.level, &w.level}
		for _, s := range w.subnets {
			inner := append(slices.Clip(around), &s.level)
			if len(s.pools) == 0 && len(s.reservations) == 0 {
				continue
			}
			one(s, around, &s.level)
			for _, pool := range s.pools {
				one(s, inner, &pool.level)
			}
			for _, r := range s.reservations {
				one(s, inner, &r.level)
			}
		}
	}
}

// doubtGuards warns of guards that let nobody in.
func (p *parser) doubtGuards(f *file) {
	for _, w := range f.allNetworks() {
		known := slices.ContainsFunc(w.subnets, func(s *subnetNode) bool { return len(s.reservations) > 0 })
		if !p.lets(f, known, w.guard) {
			continue
		}
		for _, s := range w.subnets {
			if !p.lets(f, known, w.guard, s.guard) {
				continue
			}
			for _, pool := range s.pools {
				p.lets(f, known, w.guard, s.guard, pool.guard)
			}
		}
	}
}

// lets reports whether a client can pass all guards, and warns where the last one keeps all
// out. known: some client of the network has a reservation.
func (p *parser) lets(f *file, known bool, guards ...[]nameNode) bool {
	own := guards[len(guards)-1]
	if len(own) == 0 {
		return true
	}
	why := ""
	switch {
	case !slices.ContainsFunc(own, func(n nameNode) bool { return f.hasClients(n.name, known) }):
		why = "no client is ever in " + quotable(own[0].name)
		if own[0].name == policy.NameDrop {
			why = "whoever is in DROP gets no answer"
		} else if own[0].name == policy.NameKnown {
			why = "this network has no reservations"
		}
	case only(policy.NameKnown, own) && slices.ContainsFunc(guards, func(g []nameNode) bool { return only(policy.NameUnknown, g) }),
		only(policy.NameUnknown, own) && slices.ContainsFunc(guards, func(g []nameNode) bool { return only(policy.NameKnown, g) }):
		why = "no client is both in KNOWN and in UNKNOWN"
	default:
		return true
	}
	p.warnf(own[0].at, "guard-unreached", "name a class that has clients", "nobody gets an address here: %s", why)
	return false
}

func only(name string, guard []nameNode) bool { return len(guard) == 1 && guard[0].name == name }

// hasClients reports whether some client may be in the class and gets an answer.
func (f *file) hasClients(name string, known bool) bool {
	switch name {
	case policy.NameDrop:
		return false
	case policy.NameKnown:
		return known
	case policy.NameUnknown:
		return true
	}
	c := f.class(name)
	return c != nil && (c.test != nil || c.used)
}

// doubtKeys warns of two reservations of one network that are most likely for one client: one by
// its hardware address, the other by the client identifier that is made of it.
func (p *parser) doubtKeys(f *file) {
	for _, w := range f.allNetworks() {
		type owner struct {
			r  *reservationNode
			at Place
		}
		ids := map[string]owner{}
		for _, s := range w.subnets {
			for _, r := range s.reservations {
				for _, k := range r.keys {
					if k.Kind == policy.KeyClientID && len(k.Value) == 7 && bytes.HasPrefix(k.Value, []byte{1}) {
						ids[string(k.Value)] = owner{r, k.at}
					}
				}
			}
		}
		for _, s := range w.subnets {
			for _, r := range s.reservations {
				for _, k := range r.keys {
					if k.Kind != policy.KeyHWAddress || len(k.Value) != 6 {
						continue
					}
					other, there := ids[string(append([]byte{k.HType}, k.Value...))]
					if there && other.r != r {
						p.warnf(k.at, "reservation-shadowed", "put both keys into one reservation",
							"a client with this hardware address that sends the usual client identifier made of it has the reservation by client-id (%s) instead", other.at).relate(other.at, "that one")
					}
				}
			}
		}
	}
}

// doubtRelays warns of relay agents that are known without being named.
func (p *parser) doubtRelays(f *file, pol *policy.Policy) {
	for _, r := range f.relays {
		if sn := pol.SubnetOf(r.First); sn != nil && sn.Prefix.Contains(r.Last) {
			what := fmt.Sprintf("%s lies", r.First)
			if r.First != r.Last {
				what = fmt.Sprintf("%s lie", r.Range)
			}
			p.warnf(r.at, "relay-needless", "leave it out", "%s in the subnet %s, whose relay agents are known anyway", what, sn.Prefix)
		}
	}
}
