// Package policy is the configuration compiled to lookup tables: which network
// and subnet a packet belongs to, which pools and reservations it has, which
// options and lifetimes its client gets. A Policy is never changed once built.
package policy

import (
	"lessor/dhcp4"
)

// NakDelivery is how a NAK reaches a client on the link (docs/protocol.md, NAK).
type NakDelivery uint8

const (
	NakAuto      NakDelivery = iota // unicast frame to chaddr wherever that can work
	NakBroadcast                    // RFC 2131 4.3.2: broadcast when giaddr is zero
)

// Policy is one whole configuration.
type Policy struct {
	Interfaces []string // names to serve, as configured
	Networks   []*Network

	Authoritative    bool
	NakDelivery      NakDelivery
	ServerIdentifier dhcp4.Addr // 0: derived from the link's addresses
	MatchClientID    bool
	RapidCommit      bool
	ConflictCheck    bool  // ARP before an offer, on direct links
	OfferLifetime    int64 // nanoseconds
	Grace            int64 // seconds; -1: G(T) of the definitions in docs/invariants.md
	Probation        int64 // nanoseconds a declined address stays out

	// CarefulUntilFirstLease asks for a probe before every offer for the first lease
	// time of a start (zero configuration).
	Careful bool

	// BindLimit and BindBurst bound, for each ingress, bindings that answer no offer (F5).
	BindLimit float64 // per second, default 50
	BindBurst float64 // default 500
}

// Network is one broadcast domain: a subnet, or a shared network of several.
type Network struct {
	Name    string
	Subnets []*Subnet

	byHW       map[hwKey]*Reservation
	byClientID map[string]*Reservation
	byAddr     map[dhcp4.Addr]*Reservation
}

type hwKey struct {
	htype uint8
	hlen  uint8
	hw    [16]byte
}

// Lifetimes are lease durations in seconds; lease.Infinite for no end.
type Lifetimes struct{ Valid, Min, Max uint32 }

// Subnet is one subnet of a network.
type Subnet struct {
	Name    string // stable; default its prefix
	Prefix  dhcp4.Prefix
	Network *Network
	Pools   []*Pool
	Lifetimes
	Options *OptionSet // global and subnet options merged, 1 (subnet-mask) filled in

	// NeverOffer holds what I10 excludes in this subnet whatever a pool says: network and
	// broadcast address, routers and servers named in its options. Own addresses and
	// giaddrs are the server's to know.
	NeverOffer map[dhcp4.Addr]struct{}
}

// Pool is a range of dynamic addresses of a subnet.
type Pool struct {
	Range   dhcp4.Range
	Exclude []dhcp4.Range
	Subnet  *Subnet
	Lifetimes
	Options *OptionSet // of the subnet, with the pool's own on top
}

// Reservation binds an address, options or both to one client.
type Reservation struct {
	Subnet      *Subnet
	HType       uint8
	HW          []byte // nil when keyed by ClientID
	ClientID    []byte
	Addr        dhcp4.Addr // 0: options only
	Hostname    string
	Lifetimes              // of the subnet unless set; zero fields are never left
	OwnLifetime bool       // the reservation sets its own lifetime
	Options     *OptionSet // its own only; looked up before the pool's or the subnet's
	Pos         string     // "lessor.yaml:9", for messages
}

// OptionSet is encoded options by code, at most one value a code.
type OptionSet struct {
	present [4]uint64
	opts    []dhcp4.Option // ascending by code
}

// The seam that the server uses (bodies to be written):
//
//	func (s *OptionSet) Get(code dhcp4.Code) ([]byte, bool)   // nil receiver: none; 0 allocations
//	func (s *OptionSet) All() []dhcp4.Option
//	func NewOptionSet(opts ...dhcp4.Option) *OptionSet
//	func Merge(outer, inner *OptionSet) *OptionSet
//	func (p *Policy) SubnetOf(a dhcp4.Addr) *Subnet          // longest prefix that contains a; 0 allocations, not linear in subnets
//	func (p *Policy) NetworkOfLink(l *wire.Link) *Network     // by the link's addresses, the primary first
//	func (s *Subnet) PoolOf(a dhcp4.Addr) *Pool               // nil: not dynamic, or excluded
//	func (n *Network) Contains(a dhcp4.Addr) *Subnet          // a's subnet in n, or nil
//	func (n *Network) Reservation(clientID []byte, htype uint8, hw []byte) *Reservation // client-id key wins; 0 allocations
//	func (n *Network) ReservedBy(a dhcp4.Addr) *Reservation   // whose address a is
//	func (n *Network) Reservations() []*Reservation
