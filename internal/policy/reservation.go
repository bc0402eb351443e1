package policy

import (
	"bytes"
	"fmt"

	"lessor/dhcp4"
)

// KeyKind says by what a reservation knows its client. Of the reservations that a
// client matches the one with the first kind in this order is its own.
type KeyKind uint8

const (
	KeyFlexID    KeyKind = iota // the value of Settings.FlexID
	KeyClientID                 // option 61
	KeyDUID                     // the DUID in a client identifier of type 255 (RFC 4361 6.1)
	KeyHWAddress                // chaddr with its type
	KeyCircuitID                // sub-option 1 of option 82 (RFC 3046 3.1)
	KeyRemoteID                 // sub-option 2 (RFC 3046 3.2)
	numKeyKinds
)

var keyNames = [...]string{"flex-id", "client-id", "duid", "hw-address", "circuit-id", "remote-id"}

// String is the key's name in a configuration.
func (k KeyKind) String() string { return keyNames[k] }

// Key is one key of a reservation.
type Key struct {
	Kind  KeyKind
	HType uint8 // of KeyHWAddress
	Value []byte
}

// Keys are the keys by which a client, or the client of a record, may be known. Empty
// ones match nothing.
type Keys struct {
	FlexID   []byte
	ClientID []byte
	HType    uint8
	HW       []byte
	Agent    []byte // the value of option 82, as far as it is believed
}

// Reservation binds an address, options or both to one client.
type Reservation struct {
	Subnet      *Subnet
	Keys        []Key      // at least one; any of them will do
	Addr        dhcp4.Addr // 0: options only
	Hostname    string
	Lifetimes              // of the subnet unless set; zero fields are never left
	OwnLifetime bool       // the reservation sets its own lifetime
	Options     *OptionSet // its own only, with 12 (host-name) from Hostname; looked up before the pool's or the subnet's
	Boot        *Boot      // its own
	Classes     ClassSet   // that its client is in
	Pos         Pos
}

// duidOf is the DUID in a client identifier, or nil: type 255, four octets of IAID, the
// DUID (RFC 4361 6.1).
func duidOf(clientID []byte) []byte {
	if len(clientID) < 6 || clientID[0] != 255 {
		return nil
	}
	return clientID[5:]
}

// value is the client's key of one kind.
func (k *Keys) value(kind KeyKind) []byte {
	var v []byte
	switch kind {
	case KeyFlexID:
		v = k.FlexID
	case KeyClientID:
		v = k.ClientID
	case KeyDUID:
		v = duidOf(k.ClientID)
	case KeyHWAddress:
		v = k.HW
	case KeyCircuitID:
		v, _ = AgentOption(k.Agent, 1)
	case KeyRemoteID:
		v, _ = AgentOption(k.Agent, 2)
	}
	return v
}

// maxKey is the longest value of a key that is looked up.
const maxKey = 255

// Reservation returns the reservation of the client with these keys, or nil. Where
// several match, the first kind of key wins. It does not allocate, and costs nothing
// where the network has none.
func (n *Network) Reservation(k *Keys) *Reservation {
	r, _ := n.Match(k, nil)
	return r
}

// Match is Reservation, which also says by which kind of key. each, where it is not nil,
// is told of every other reservation that matches, which that one shadows.
func (n *Network) Match(k *Keys, each func(KeyKind, *Reservation)) (best *Reservation, by KeyKind) {
	if n.kinds == 0 {
		return nil, 0
	}
	for kind := range numKeyKinds {
		v := k.value(kind)
		if n.kinds>>kind&1 == 0 || len(v) == 0 || len(v) > maxKey {
			continue
		}
		r := n.byKey.find(kind, k.HType, v)
		switch {
		case r == nil || r == best:
		case best != nil:
			each(kind, r)
		default:
			best, by = r, kind
			if each == nil {
				return best, by
			}
		}
	}
	return best, by
}

// OneClient reports whether a and b, who both match r, are one client: one machine by
// its hardware address, or both named by an identifier of theirs. A circuit-id, a
// remote-id and a flex-id may name a place, such as the port of a switch, and two machines
// there are two clients: the second gets what is r's once the first has left it.
func (r *Reservation) OneClient(a, b *Keys) bool {
	if a.HType == b.HType && len(a.HW) > 0 && bytes.Equal(a.HW, b.HW) {
		return true
	}
	return r.names(a) && r.names(b)
}

// names reports whether one of r's keys is an identifier of the client with keys k.
func (r *Reservation) names(k *Keys) bool {
	for i := range r.Keys {
		own := &r.Keys[i]
		switch own.Kind {
		case KeyFlexID, KeyCircuitID, KeyRemoteID:
			continue
		case KeyHWAddress:
			if own.HType != k.HType {
				continue
			}
		}
		if len(own.Value) > 0 && bytes.Equal(own.Value, k.value(own.Kind)) {
			return true
		}
	}
	return false
}

// ReservedBy returns the reservation whose address a is, or nil.
func (n *Network) ReservedBy(a dhcp4.Addr) *Reservation {
	if i := n.byAddr.find(a); i > 0 {
		return n.reservations[i-1]
	}
	return nil
}

// Reservations returns the reservations of n in the order of the configuration.
// The slice belongs to n.
func (n *Network) Reservations() []*Reservation { return n.reservations }

// compact returns a copy of r in one piece with its first key: who matches one of 100,000
// reservations reads it where the reservation is.
func (r *Reservation) compact() *Reservation {
	c := &struct {
		Reservation
		keys  [1]Key
		value [16]byte
	}{Reservation: *r}
	if len(r.Keys) == 1 {
		c.keys[0] = r.Keys[0]
		c.Keys = c.keys[:]
		if n := len(r.Keys[0].Value); n <= len(c.value) {
			c.keys[0].Value = append(c.value[:0:n], r.Keys[0].Value...)
		}
	}
	return &c.Reservation
}

func (n *Network) addReservation(r *Reservation) error {
	if r.Addr != 0 {
		if !r.Subnet.Prefix.Contains(r.Addr) {
			return fmt.Errorf("reserved address %s is outside its subnet %s", r.Addr, r.Subnet.Prefix)
		}
		if n.ReservedBy(r.Addr) != nil {
			return fmt.Errorf("%s is reserved twice", r.Addr)
		}
		n.byAddr.add(r.Addr, uint32(len(n.reservations)+1))
	}
	named := false
	for _, k := range r.Keys {
		if len(k.Value) == 0 || len(k.Value) > maxKey {
			continue
		}
		if n.byKey.find(k.Kind, k.HType, k.Value) != nil {
			return fmt.Errorf("%s %x has two reservations in one network", k.Kind, k.Value)
		}
		n.byKey.add(keyHash(k.Kind, k.HType, k.Value), r)
		n.kinds |= 1 << k.Kind
		named = true
	}
	if !named {
		return fmt.Errorf("a reservation of subnet %s names no client", r.Subnet.Prefix)
	}
	n.reservations = append(n.reservations, r)
	return nil
}
