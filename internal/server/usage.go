package server

import (
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/pool"
)

// usage counts the addresses in use by what has an address-limit: by ingress, by subnet
// and by class. Reserved addresses do not count. It is empty where no limit is configured. A class is not part of a record:
// after a start a client counts for its class once it renews, or at once where the
// test needs nothing but what the record has.
type usage struct {
	on      bool
	counted map[dhcp4.Addr]account
	ingress map[uint64]uint32
	subnet  map[dhcp4.Prefix]uint32
	class   [policy.MaxClasses]uint32

	// The class of the client whose binding is being made.
	addr dhcp4.Addr
	next uint8
}

// account is for what an address in use counts.
type account struct {
	ingress uint64
	class   uint8 // 0: for none
}

// reset begins a new count for the configuration in force; old numbers its classes in
// another way.
func (c *Core) resetUsage(old *policy.Policy) {
	u := &c.usage
	was := u.counted
	u.on = c.pol.Ingress.Count > 0
	for i := range c.pol.Classes {
		u.on = u.on || c.pol.Classes[i].Limits.Count > 0
	}
	for _, n := range c.pol.Networks {
		u.on = u.on || slices.ContainsFunc(n.Subnets, func(sn *policy.Subnet) bool { return sn.Limits.Count > 0 })
	}
	u.counted, u.ingress, u.subnet, u.class, u.addr = nil, nil, nil, [policy.MaxClasses]uint32{}, 0
	if !u.on {
		return
	}
	u.counted, u.ingress, u.subnet = map[dhcp4.Addr]account{}, map[uint64]uint32{}, map[dhcp4.Prefix]uint32{}
	number := map[string]uint8{}
	for i := policy.FirstClass; i < len(c.pol.Classes); i++ {
		if c.pol.Classes[i].Limits.Count > 0 {
			number[c.pol.Classes[i].Name] = uint8(i)
		}
	}
	c.eachRecord(func(s lease.Slot) {
		a := c.table.Rec(s).Addr
		class := c.classOfRecord(s)
		if acc, counted := was[a]; counted && acc.class != 0 && int(acc.class) < len(old.Classes) {
			class = number[old.Classes[acc.class].Name]
		}
		u.addr, u.next = a, class
		c.count1(a, s)
	})
	u.addr = 0
}

// classOfRecord is the first class with an address-limit that the record alone shows its
// client to be in, 0 for none.
func (c *Core) classOfRecord(s lease.Slot) uint8 {
	r := c.table.Rec(s)
	f := policy.Facts{ClientID: c.table.ClientID(s), GIAddr: r.GIAddr, Agent: c.table.Agent(s)}
	f.HType, f.HW = c.table.HW(s)
	for i := policy.FirstClass; i < len(c.pol.Classes); i++ {
		cl := &c.pol.Classes[i]
		if cl.Test == nil {
			continue
		}
		if in, err := cl.Test(&f); err != nil || !in {
			continue
		}
		if f.Classes.Add(i); cl.Limits.Count > 0 {
			return uint8(i)
		}
	}
	return 0
}

// ingressOf is where a client is: the relay agent and its port, or our link.
func (c *Core) ingressOf(net *policy.Network, giaddr dhcp4.Addr, agent []byte) uint64 {
	var buf [270]byte
	b := giaddr.Append(buf[:0])
	if giaddr == 0 && net != nil {
		b = net.Subnets[0].Prefix.Addr.Append(b)
	}
	port, _ := policy.AgentOption(agent, dhcp4.AgentCircuitID)
	return sipHash(c.k0, c.k1, append(b, port...))
}

// count1 brings the count up to date with record s of a (0: there is none any more).
func (c *Core) count1(a dhcp4.Addr, s lease.Slot) {
	u := &c.usage
	if !u.on {
		return
	}
	was, counted := u.counted[a]
	sn := c.pol.SubnetOf(a)
	if counted {
		u.subnet[sn.Prefix]--
		u.ingress[was.ingress]--
		if u.ingress[was.ingress] == 0 {
			delete(u.ingress, was.ingress)
		}
		u.class[was.class]--
		delete(u.counted, a)
	}
	if tag := c.table.Tag(s); s == 0 || sn == nil || sn.Network.ReservedBy(a) != nil ||
		tag != uint8(pool.Bound)+1 && tag != uint8(pool.Held)+1 {
		return
	}
	r := c.table.Rec(s)
	now := account{ingress: c.ingressOf(sn.Network, r.GIAddr, c.table.Agent(s)), class: was.class}
	if u.addr == a {
		now.class = u.next
	}
	u.counted[a] = now
	u.ingress[now.ingress]++
	u.subnet[sn.Prefix]++
	u.class[now.class]++
}

// mayHaveNew says why a client that has no binding cannot have one of a now: too many are
// in use, or too many were made. take takes the tokens of the rates; without it they are
// only looked at, for an offer is no binding. A client with a reserved address is not
// limited.
func (c *Core) mayHaveNew(q *request, a dhcp4.Addr, take bool) Reason {
	sn := q.net.Contains(a)
	if sn == nil || q.net.ReservedBy(a) != nil {
		return None
	}
	u := &c.usage
	if n := c.pol.Ingress.Count; n > 0 && u.ingress[c.ingressOf(q.net, q.facts.GIAddr, q.facts.Agent)] >= n {
		return c.tr.limited("each ingress", "", &c.pol.Ingress, AddressLimit)
	}
	if n := sn.Limits.Count; n > 0 && u.subnet[sn.Prefix] >= n {
		return c.tr.limited("subnet", sn.Name, &sn.Limits, AddressLimit)
	}
	for i := policy.FirstClass; i < len(c.pol.Classes); i++ {
		if l := &c.pol.Classes[i].Limits; l.Count > 0 && q.facts.Classes.Has(i) && u.class[i] >= l.Count {
			return c.tr.limited("class", c.pol.Classes[i].Name, l, AddressLimit)
		}
	}
	if !c.withinRates(q, sn, false) || take && !c.withinRates(q, sn, true) {
		return NewRateLimit
	}
	return None
}

// withinRates looks at, or takes from, the buckets of the ingress, the subnet and the
// client's classes.
func (c *Core) withinRates(q *request, sn *policy.Subnet, take bool) bool {
	now := q.now.M
	if l := &c.pol.Ingress; l.Rate > 0 {
		in := ingress{link: q.pkt.Link, kind: newAtIngress}
		if q.facts.GIAddr != 0 || has(q.facts.Agent, dhcp4.AgentCircuitID) {
			in.relay = c.ingressOf(q.net, q.facts.GIAddr, q.facts.Agent) | 1
		}
		if !c.limit.has(in, now, l.Rate, l.Burst, take) {
			return c.tr.limited("each ingress", "", l, NewRateLimit) == None
		}
	}
	if l := &sn.Limits; l.Rate > 0 {
		if !c.limit.has(ingress{relay: uint64(sn.Prefix.Addr), kind: newInSubnet}, now, l.Rate, l.Burst, take) {
			return c.tr.limited("subnet", sn.Name, l, NewRateLimit) == None
		}
	}
	for i := policy.FirstClass; i < len(c.pol.Classes); i++ {
		l := &c.pol.Classes[i].Limits
		if l.Rate > 0 && q.facts.Classes.Has(i) && !c.limit.has(ingress{relay: uint64(i), kind: newInClass}, now, l.Rate, l.Burst, take) {
			return c.tr.limited("class", c.pol.Classes[i].Name, l, NewRateLimit) == None
		}
	}
	return true
}

// noteRecord does what noteClass does for a binding that is taken back to what record s
// of a says.
func (c *Core) noteRecord(a dhcp4.Addr, s lease.Slot) {
	if c.usage.on {
		c.usage.addr, c.usage.next = a, c.classOfRecord(s)
	}
}

// noteClass remembers for the binding of a that is being made which limited class its
// client counts for.
func (c *Core) noteClass(q *request, a dhcp4.Addr) {
	if !c.usage.on {
		return
	}
	c.usage.addr, c.usage.next = a, 0
	for i := policy.FirstClass; i < len(c.pol.Classes); i++ {
		if c.pol.Classes[i].Limits.Count > 0 && q.facts.Classes.Has(i) {
			c.usage.next = uint8(i)
			return
		}
	}
}
