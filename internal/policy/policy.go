// Package policy is the configuration compiled to lookup tables: which network
// and subnet a packet belongs to, which pools and reservations it has, which
// options and lifetimes its client gets. A Policy is never changed once built,
// so any number of goroutines may read it.
package policy

import (
	"slices"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// NakDelivery is how a NAK reaches a client on the link (docs/protocol.md, NAK).
type NakDelivery uint8

const (
	NakAuto      NakDelivery = iota // unicast frame to chaddr wherever that can work
	NakBroadcast                    // RFC 2131 4.3.2: broadcast when giaddr is zero
)

// Settings are the values of a configuration that are not bound to a subnet.
type Settings struct {
	Interfaces []string // names to serve, as configured

	Authoritative    bool
	NakDelivery      NakDelivery
	ServerIdentifier dhcp4.Addr // 0: derived from the link's addresses
	MatchClientID    bool
	RapidCommit      bool
	ConflictCheck    bool  // ARP before an offer, on direct links
	EchoCheck        bool  // an ICMP echo request before an offer, behind relay agents
	OfferLifetime    int64 // nanoseconds
	Grace            int64 // seconds; -1: G(T) of the definitions in docs/invariants.md
	Probation        int64 // nanoseconds a declined address stays out

	// Careful asks for a probe before every offer for the first lease
	// time of a start (zero configuration).
	Careful bool

	// Trusted are the interfaces on which relay information is believed of a packet
	// without giaddr: a snooping switch put it in.
	Trusted []string
	// SubnetSelection: option 118 is believed of clients on our links too (RFC 3011);
	// of those behind known relay agents it always is.
	SubnetSelection bool
	// Relays are agents outside of all subnets that are known all the same.
	Relays []dhcp4.Range
	// FlexID computes the value that is compared with KeyFlexID; nil: there is none.
	FlexID Expression
	// Ingress bounds the new bindings of each interface, or giaddr and circuit-id.
	Ingress Limits

	// BindLimit and BindBurst bound, for each ingress, bindings that answer no offer (F5).
	BindLimit float64 // per second, default 50
	BindBurst float64 // default 500
}

// Defaults returns the settings of a configuration that sets nothing.
func Defaults() Settings {
	return Settings{
		Authoritative: true,
		MatchClientID: true,
		ConflictCheck: true,
		OfferLifetime: 60e9,
		Grace:         -1,
		Probation:     24 * 3600e9,
		BindLimit:     50,
		BindBurst:     500,
	}
}

// Policy is one whole configuration. Build makes it.
type Policy struct {
	Settings
	File     string // name of the configuration file, for messages; "" where there is none
	Networks []*Network
	Pools    int     // how many there are
	Classes  []Class // by number; the built-in ones first

	// Guards: some subnet or pool is for certain classes only. Without guards and without
	// classes of the configuration nothing of a packet is tested.
	Guards bool
	Drop   int // number of the class DROP, 0: there is none

	subnets     segments[Subnet]
	relays      map[dhcp4.Addr]*Network // agents that stand for a network
	byInterface map[string]*Network
	sets        map[optionsKey]*OptionSet // while it is built
}

// KnownRelay reports whether giaddr is that of a relay agent whose word is believed:
// in a configured subnet, or named in the configuration.
func (p *Policy) KnownRelay(giaddr dhcp4.Addr) bool {
	if p.subnets.find(giaddr) != nil || p.relays[giaddr] != nil {
		return true
	}
	return slices.ContainsFunc(p.Relays, func(r dhcp4.Range) bool { return r.Contains(giaddr) })
}

// NetworkOfRelay returns the network of the clients behind an agent: the one that the
// configuration gives it, else that in which its address lies; nil for none.
func (p *Policy) NetworkOfRelay(giaddr dhcp4.Addr) *Network {
	if n := p.relays[giaddr]; n != nil {
		return n
	}
	if s := p.subnets.find(giaddr); s != nil {
		return s.Network
	}
	return nil
}

// Trusts reports whether relay information is believed on the interface of that name.
func (p *Policy) Trusts(name string) bool { return slices.Contains(p.Trusted, name) }

// SubnetOf returns the subnet with the longest prefix that contains a, or nil.
// It does not allocate and takes time logarithmic in the number of subnets.
func (p *Policy) SubnetOf(a dhcp4.Addr) *Subnet { return p.subnets.find(a) }

// NetworkOfLink returns the network that the link l is attached to: the one that the
// configuration gives it, else that of its first address that lies in a subnet, the
// primary address first; nil when none does.
func (p *Policy) NetworkOfLink(l *wire.Link) *Network {
	if n := p.byInterface[l.Name]; n != nil {
		return n
	}
	for i := range l.Addrs {
		if s := p.SubnetOf(l.Addrs[i].Addr); s != nil {
			return s.Network
		}
	}
	return nil
}

// Network is one broadcast domain: a subnet, or a shared network of several.
type Network struct {
	Name    string
	Subnets []*Subnet

	Pos Pos // of a shared network

	subnets      segments[Subnet]
	reservations []*Reservation
	kinds        uint8 // of keys that some reservation has, as bits
	byKey        keyTable
	byAddr       addrTable
}

// Contains returns the subnet of n that a lies in, or nil.
func (n *Network) Contains(a dhcp4.Addr) *Subnet {
	if len(n.Subnets) == 1 {
		if s := n.Subnets[0]; s.Prefix.Contains(a) {
			return s
		}
		return nil
	}
	return n.subnets.find(a)
}

// Lifetimes are lease durations in seconds; lease.Infinite for no end.
type Lifetimes struct{ Valid, Min, Max uint32 }

// Subnet is one subnet of a network.
type Subnet struct {
	Name    string // stable; default its prefix
	Prefix  dhcp4.Prefix
	Network *Network
	Pools   []*Pool // ascending by address, disjoint
	Lifetimes
	Options *OptionSet // of the levels above and its own merged, 1 (subnet-mask) filled in
	Boot    *Boot      // likewise
	Limits  Limits
	Guards  []ClassSet // its clients are in a class of each, its network's included
	Pos     Pos

	// NeverOffer holds what I10 excludes in this subnet whatever a pool says: network and
	// broadcast address, routers and servers named in any option of the configuration.
	// An address that a reservation names is left out, so that a server can get its own
	// by DHCP. Own addresses and giaddrs are the server's to know.
	NeverOffer AddrSet

	dynamic segments[Pool]
}

// PoolOf returns the pool that a belongs to, or nil when a is not dynamic or is
// excluded. It does not look at NeverOffer or reservations. It does not allocate.
func (s *Subnet) PoolOf(a dhcp4.Addr) *Pool { return s.dynamic.find(a) }

// Pool is a range of dynamic addresses of a subnet.
type Pool struct {
	Index   int // number among all pools of the policy, in their order
	Range   dhcp4.Range
	Exclude []dhcp4.Range // ascending, disjoint, within Range
	Subnet  *Subnet
	Lifetimes
	Options *OptionSet // of the subnet, with the pool's own on top
	Boot    *Boot      // likewise
	Guards  []ClassSet // its clients are in a class of each, the subnet's included
	Pos     Pos
}

// Admits reports whether a client in these classes passes all guards.
func Admits(guards []ClassSet, classes *ClassSet) bool {
	for i := range guards {
		if !guards[i].Meets(classes) {
			return false
		}
	}
	return true
}

// Size is the number of addresses of the pool without the excluded ones.
func (p *Pool) Size() uint64 {
	n := p.Range.Size()
	for _, e := range p.Exclude {
		n -= e.Size()
	}
	return n
}

// segments maps disjoint address ranges to values of type T by binary search. What
// belongs together lies together: of 10,000 subnets hardly one is in the cache.
type segments[T any] []segment[T]

type segment[T any] struct {
	dhcp4.Range
	val *T
}

func (s segments[T]) find(a dhcp4.Addr) *T {
	lo, hi := 0, len(s)
	for lo < hi { // the first that ends at a or behind it
		if mid := int(uint(lo+hi) / 2); s[mid].Last < a {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(s) || a < s[lo].First {
		return nil
	}
	return s[lo].val
}

// add appends a range that lies after all others.
func (s *segments[T]) add(r dhcp4.Range, v *T) { *s = append(*s, segment[T]{r, v}) }

// AddrSet is a set of a few addresses, ascending.
type AddrSet []dhcp4.Addr

// Has reports whether a is in the set.
func (s AddrSet) Has(a dhcp4.Addr) bool {
	_, ok := slices.BinarySearch(s, a)
	return ok
}

func (s *AddrSet) add(a dhcp4.Addr) {
	if i, ok := slices.BinarySearch(*s, a); !ok {
		*s = slices.Insert(*s, i, a)
	}
}
