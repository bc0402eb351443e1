package checker

import (
	"bytes"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
)

// ident is who a client says it is: both keys of docs/invariants.md, Identity.
type ident struct {
	htype uint8
	hw    []byte // nil when it is all zeros
	id    []byte // option 61 of at least two octets, else nil
	agent []byte // relay information that is believed of it, or that its binding has

	facts *policy.Facts // of its packet, where a flex-id is computed of them; nil: of the keys alone
}

func identOf(b *lease.Binding) ident {
	return ident{htype: b.HType, hw: b.HW, id: b.ClientID, agent: b.Agent}
}

// same reports whether who asks as k is the holder of a, which was given to holder: by
// client identifier where that counts, else by hardware address, or because both
// match the reservation of a.
func same(p *policy.Policy, holder, k ident, a dhcp4.Addr) bool {
	if len(k.id) >= 2 && (p == nil || p.MatchClientID) {
		if bytes.Equal(holder.id, k.id) {
			return true
		}
	} else if len(k.hw) > 0 && holder.htype == k.htype && bytes.Equal(holder.hw, k.hw) {
		return true
	}
	if p == nil {
		return false
	}
	sn := p.SubnetOf(a)
	if sn == nil {
		return false
	}
	r := sn.Network.ReservedBy(a)
	return r != nil && reservationOf(p, sn.Network, k) == r && reservationOf(p, sn.Network, holder) == r && oneClient(p, r, holder, k)
}

// oneClient reports whether two that match one reservation are one client: one machine by its
// hardware address, or both named by identifiers of clients that it has. Two machines behind
// one port of a switch are two.
func oneClient(p *policy.Policy, r *policy.Reservation, a, b ident) bool {
	if a.htype == b.htype && len(a.hw) > 0 && bytes.Equal(a.hw, b.hw) {
		return true
	}
	return namedBy(p, r, a) && namedBy(p, r, b)
}

func namedBy(p *policy.Policy, r *policy.Reservation, k ident) bool {
	return slices.ContainsFunc(r.Keys, func(own policy.Key) bool {
		switch own.Kind {
		case policy.KeyClientID:
			return p.MatchClientID && bytes.Equal(own.Value, k.id)
		case policy.KeyDUID:
			return p.MatchClientID && len(k.id) > 5 && k.id[0] == 255 && bytes.Equal(own.Value, k.id[5:])
		case policy.KeyHWAddress:
			return own.HType == k.htype && bytes.Equal(own.Value, k.hw)
		}
		return false
	})
}

// reservationOf is the reservation of k in a network, or nil.
func reservationOf(p *policy.Policy, n *policy.Network, k ident) *policy.Reservation {
	if n == nil {
		return nil
	}
	id := k.id
	if !p.MatchClientID {
		id = nil
	}
	keys := policy.Keys{ClientID: id, HType: k.htype, HW: k.hw, Agent: k.agent}
	if p.FlexID != nil {
		f := policy.Facts{HType: k.htype, HW: k.hw, ClientID: k.id, Agent: k.agent}
		if k.facts != nil {
			f = *k.facts
			f.Agent = k.agent
		}
		f.Network = n
		keys.FlexID = p.FlexID(&f)
	}
	return n.Reservation(&keys)
}

// verdict is what a configuration says of an address for a client.
type verdict uint8

const (
	allowed       verdict = iota
	outside               // of every subnet of the scope (I11)
	noPool                // in the scope, and in no pool and no reservation (I11)
	neverOffered          // excluded, ours, a router's, the network's (I10)
	reservedOther         // for another client (I9)
	reservedElse          // the client's place may be its reserved address
	guarded               // in a pool that is for other classes (I11)
	refused               // the client gets no answer at all: it is in the class DROP (I11)
	inDoubt               // which classes the client is in does not show
)

// judge says what configuration p, in force on s, has to say of address a for the client
// of q in network n.
func (s *server) judge(p *policy.Policy, n *policy.Network, q *request, a dhcp4.Addr) verdict {
	sn := n.Contains(a)
	if v := s.dropped(p, n, q); v != allowed {
		return v
	}
	switch {
	case sn == nil:
		return outside
	case a == q.giaddr || s.isOwn(a):
		return neverOffered
	}
	mine := reservationOf(p, n, q.who)
	if r := n.ReservedBy(a); r != nil {
		if r == mine {
			return allowed
		}
		return reservedOther
	}
	if sn.NeverOffer.Has(a) {
		return neverOffered
	}
	pool, v := pooled(sn, a)
	if v == allowed {
		v = s.admits(p, n, q, pool)
	}
	if v != allowed {
		return v
	}
	if mine != nil && mine.Addr != 0 {
		return reservedElse
	}
	return allowed
}

// pooled looks at the ranges that the configuration has for a's subnet: it does not ask
// the tables that the server looks addresses up in.
func pooled(sn *policy.Subnet, a dhcp4.Addr) (*policy.Pool, verdict) {
	for _, p := range sn.Pools {
		switch {
		case !p.Range.Contains(a):
		case slices.ContainsFunc(p.Exclude, func(e dhcp4.Range) bool { return e.Contains(a) }):
			return p, neverOffered
		default:
			return p, allowed
		}
	}
	return nil, noPool
}

// grace is G(t) in seconds under configuration p.
func grace(p *policy.Policy, t uint32) uint32 {
	if p == nil {
		return lease.MinGrace(t)
	}
	if p.Grace < 0 {
		return lease.Grace(t)
	}
	return max(uint32(min(p.Grace, 1<<31)), lease.MinGrace(t))
}
