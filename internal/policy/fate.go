package policy

import "lessor/dhcp4"

// Fate is what a configuration makes of an address that a client has, when the client
// comes back for it.
type Fate uint8

const (
	FateKeeps        Fate = iota // it keeps the address
	FateMoves                    // its reservation names another address
	FateNoSubnet                 // no subnet has the address
	FateReserved                 // the address is reserved for another client
	FateExcluded                 // a pool excludes the address
	FateNoPool                   // the address is in no pool
	FateNeverOffer               // it is a network or broadcast address, or a router's or server's
	FateGuarded                  // the pool is for classes in which the client is not, as far as its record says
	FateDropped                  // the client is in the class DROP and gets no answer
	FateOtherNetwork             // its relay agent stands for another network
)

var fateNames = [...]string{"keeps", "moves", "no-subnet", "reserved", "excluded", "no-pool", "never-offered", "guarded", "dropped", "other-network"}

// String is the fate's name in JSON.
func (f Fate) String() string { return fateNames[f] }

// FateOf says what becomes of a when the client comes back to renew it, of whom f says
// what its record tells: keys, relay information and giaddr. FateOf sets f's network,
// and the classes as far as they can be told without a packet. It returns the client's
// reservation, if it has one. Whether a server holds other addresses back, or has a as
// its own, only the server knows.
func (p *Policy) FateOf(f *Facts, a dhcp4.Addr) (Fate, *Reservation) {
	sn := p.SubnetOf(a)
	if sn == nil {
		return FateNoSubnet, nil
	}
	if f.GIAddr != 0 {
		if n := p.NetworkOfRelay(f.GIAddr); n != nil && n != sn.Network && !has(f.Agent, 5) {
			return FateOtherNetwork, nil
		}
	}
	f.Network = sn.Network
	r := f.Network.Reservation(p.keysOf(f))
	if p.recordClasses(f, r); p.Drop != 0 && f.Classes.Has(p.Drop) {
		return FateDropped, r
	}
	if r != nil && r.Addr != 0 && r.Addr != a {
		return FateMoves, r
	}
	return f.Network.Grants(a, r, &f.Classes), r
}

// Grants says whether n has a for a client with this reservation, nil for none, and in these
// classes: FateKeeps, or why not. That the client's place may be its reserved address is the
// caller's to see. It does not allocate.
func (n *Network) Grants(a dhcp4.Addr, r *Reservation, classes *ClassSet) Fate {
	sn := n.Contains(a)
	if sn == nil {
		return FateNoSubnet
	}
	if owner := n.ReservedBy(a); owner != nil {
		if owner == r {
			return FateKeeps
		}
		return FateReserved
	}
	switch pool := sn.PoolOf(a); {
	case pool == nil && sn.excludes(a):
		return FateExcluded
	case pool == nil:
		return FateNoPool
	case sn.NeverOffer.Has(a):
		return FateNeverOffer
	case !Admits(pool.Guards, classes):
		return FateGuarded
	}
	return FateKeeps
}

func has(agent []byte, sub uint8) bool {
	_, ok := AgentOption(agent, sub)
	return ok
}

// keysOf are the keys by which p knows the client of f.
func (p *Policy) keysOf(f *Facts) *Keys {
	k := &Keys{HType: f.HType, HW: f.HW, Agent: f.Agent}
	if p.MatchClientID {
		k.ClientID = f.ClientID
	}
	if p.FlexID != nil {
		k.FlexID = p.FlexID(f)
	}
	return k
}

// recordClasses finds the classes that can be told without a packet.
func (p *Policy) recordClasses(f *Facts, r *Reservation) {
	f.Classes = ClassSet{}
	if f.Known = r != nil; f.Known {
		f.Classes = r.Classes
		f.Classes.Add(ClassKnown)
	} else {
		f.Classes.Add(ClassUnknown)
	}
	for i := FirstClass; i < len(p.Classes); i++ {
		if c := &p.Classes[i]; c.Test != nil && !f.Classes.Has(i) {
			if in, err := c.Test(f); in && err == nil {
				f.Classes.Add(i)
			}
		}
	}
}

// excludes reports whether a lies in a pool that excludes it.
func (s *Subnet) excludes(a dhcp4.Addr) bool {
	for _, p := range s.Pools {
		if p.Range.Contains(a) {
			return s.PoolOf(a) == nil
		}
	}
	return false
}
