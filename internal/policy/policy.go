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
	OfferLifetime    int64 // nanoseconds
	Grace            int64 // seconds; -1: G(T) of the definitions in docs/invariants.md
	Probation        int64 // nanoseconds a declined address stays out

	// Careful asks for a probe before every offer for the first lease
	// time of a start (zero configuration).
	Careful bool

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
	Networks []*Network

	subnets segments[Subnet]
}

// SubnetOf returns the subnet with the longest prefix that contains a, or nil.
// It does not allocate and takes time logarithmic in the number of subnets.
func (p *Policy) SubnetOf(a dhcp4.Addr) *Subnet { return p.subnets.find(a) }

// NetworkOfLink returns the network that the link l is attached to: that of its
// first address that lies in a subnet, the primary address first; nil when none
// does.
func (p *Policy) NetworkOfLink(l *wire.Link) *Network {
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

	subnets      segments[Subnet]
	reservations []*Reservation
	byHW         map[hwKey]*Reservation
	byClientID   map[string]*Reservation
	byAddr       map[dhcp4.Addr]*Reservation
}

type hwKey struct {
	htype uint8
	hlen  uint8
	hw    [16]byte
}

// Contains returns the subnet of n that a lies in, or nil.
func (n *Network) Contains(a dhcp4.Addr) *Subnet { return n.subnets.find(a) }

// Reservation returns the reservation of the client with these keys, or nil. A
// reservation by client identifier wins over one by hardware address. An empty
// clientID or hw matches nothing. It does not allocate.
func (n *Network) Reservation(clientID []byte, htype uint8, hw []byte) *Reservation {
	if len(clientID) > 0 {
		if r := n.byClientID[string(clientID)]; r != nil {
			return r
		}
	}
	key, ok := hwKeyOf(htype, hw)
	if !ok {
		return nil
	}
	return n.byHW[key]
}

// ReservedBy returns the reservation whose address a is, or nil.
func (n *Network) ReservedBy(a dhcp4.Addr) *Reservation { return n.byAddr[a] }

// Reservations returns the reservations of n in the order of the configuration.
// The slice belongs to n.
func (n *Network) Reservations() []*Reservation { return n.reservations }

func hwKeyOf(htype uint8, hw []byte) (k hwKey, ok bool) {
	if len(hw) == 0 || len(hw) > len(k.hw) {
		return k, false
	}
	k.htype, k.hlen = htype, uint8(len(hw))
	copy(k.hw[:], hw)
	return k, true
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
	Options *OptionSet // global and subnet options merged, 1 (subnet-mask) filled in

	// NeverOffer holds what I10 excludes in this subnet whatever a pool says: network and
	// broadcast address, routers and servers named in any option of the configuration.
	// An address that a reservation names is left out, so that a server can get its own
	// by DHCP. Own addresses and giaddrs are the server's to know.
	NeverOffer map[dhcp4.Addr]struct{}

	dynamic segments[Pool]
}

// PoolOf returns the pool that a belongs to, or nil when a is not dynamic or is
// excluded. It does not look at NeverOffer or reservations. It does not allocate.
func (s *Subnet) PoolOf(a dhcp4.Addr) *Pool { return s.dynamic.find(a) }

// Pool is a range of dynamic addresses of a subnet.
type Pool struct {
	Range   dhcp4.Range
	Exclude []dhcp4.Range // ascending, disjoint, within Range
	Subnet  *Subnet
	Lifetimes
	Options *OptionSet // of the subnet, with the pool's own on top
}

// Size is the number of addresses of the pool without the excluded ones.
func (p *Pool) Size() uint64 {
	n := p.Range.Size()
	for _, e := range p.Exclude {
		n -= e.Size()
	}
	return n
}

// Reservation binds an address, options or both to one client.
type Reservation struct {
	Subnet      *Subnet
	HType       uint8
	HW          []byte // nil when keyed by ClientID alone
	ClientID    []byte
	Addr        dhcp4.Addr // 0: options only
	Hostname    string
	Lifetimes              // of the subnet unless set; zero fields are never left
	OwnLifetime bool       // the reservation sets its own lifetime
	Options     *OptionSet // its own only, with 12 (host-name) from Hostname; looked up before the pool's or the subnet's
	Pos         string     // "lessor.yaml:9", for messages
}

// segments maps disjoint address ranges to values of type T by binary search.
type segments[T any] struct {
	first []dhcp4.Addr // ascending
	last  []dhcp4.Addr
	val   []*T
}

func (s *segments[T]) find(a dhcp4.Addr) *T {
	i, ok := slices.BinarySearch(s.first, a)
	if !ok {
		i--
	}
	if i < 0 || a > s.last[i] {
		return nil
	}
	return s.val[i]
}

// add appends a range that lies after all others.
func (s *segments[T]) add(r dhcp4.Range, v *T) {
	s.first = append(s.first, r.First)
	s.last = append(s.last, r.Last)
	s.val = append(s.val, v)
}
