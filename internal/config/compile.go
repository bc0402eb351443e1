package config

import (
	"lessor/dhcp4"
	"lessor/internal/policy"
)

// Config is a configuration without errors. It never changes.
type Config struct {
	// Name is the file's name as given, for messages.
	Name string
	// LeaseDatabase is the directory of the lease database, or "" for the default.
	LeaseDatabase string

	policy *policy.Policy
}

// Policy returns the configuration compiled to lookup tables.
func (c *Config) Policy() *policy.Policy { return c.policy }

// Interfaces returns the names of the interfaces to serve.
func (c *Config) Interfaces() []string { return c.policy.Interfaces }

// Addresses is the number of dynamic addresses of all pools.
func (c *Config) Addresses() (n uint64) {
	for _, nw := range c.policy.Networks {
		for _, s := range nw.Subnets {
			for _, pool := range s.Pools {
				n += pool.Size()
			}
		}
	}
	return n
}

// Summary says what is in the configuration, for example "2 subnets, 351
// addresses, 3 reservations".
func (c *Config) Summary() string {
	subnets, reservations := 0, 0
	for _, n := range c.policy.Networks {
		subnets += len(n.Subnets)
		reservations += len(n.Reservations())
	}
	out := count(subnets, "subnet") + ", " + count(int(c.Addresses()), "address")
	if reservations > 0 {
		out += ", " + count(reservations, "reservation")
	}
	return out
}

// Parse reads a configuration; name stands in messages. The configuration is nil
// when there are errors; warnings come with it.
func Parse(name string, data []byte) (*Config, Problems) {
	p := newParser(name, data)
	root := p.read()
	if root == nil {
		return nil, p.result()
	}
	f := p.parse(root)
	p.check(f)
	spec := p.spec(f)
	if p.errors > 0 {
		return nil, p.result()
	}
	pol, err := policy.Build(spec)
	if err != nil { // what check did not find
		p.add(Error, p.at(1, 1, 1), "build", "", "%v", err)
		return nil, p.result()
	}
	p.doubt(f, pol)
	return &Config{Name: name, LeaseDatabase: f.leaseDatabase, policy: pol}, p.result()
}

// spec turns the tree into what a policy is built of.
func (p *parser) spec(f *file) policy.Spec {
	for _, s := range f.allSubnets() {
		for _, r := range s.reservations {
			for _, n := range r.classes {
				if c := f.class(n.name); c != nil {
					c.used = true
				}
			}
		}
	}
	spec := policy.Spec{File: p.name, Lifetimes: f.lifetimes(), Options: f.optionSet(), Boot: f.boot}
	spec.Classes, f.settings.FlexID = p.compileClasses(f)
	spec.Settings = f.settings
	for _, w := range f.allNetworks() {
		ns := policy.NetworkSpec{Name: w.name, Lifetimes: w.lifetimes(), Options: w.optionSet(), Boot: w.boot,
			Guard: p.classSet(f, w.guard), Pos: w.at.pos()}
		for _, in := range w.ingresses() {
			for _, r := range in.relays {
				ns.Relays = append(ns.Relays, r.First)
			}
			for _, i := range in.interfaces {
				ns.Interfaces = append(ns.Interfaces, i.name)
			}
		}
		for _, s := range w.subnets {
			ns.Subnets = append(ns.Subnets, p.subnetSpec(f, s))
		}
		if len(ns.Subnets) > 0 {
			spec.Networks = append(spec.Networks, ns)
		}
	}
	return spec
}

func (p *parser) subnetSpec(f *file, s *subnetNode) policy.SubnetSpec {
	ss := policy.SubnetSpec{Name: s.name, Prefix: s.prefix, Lifetimes: s.lifetimes(), Options: s.optionSet(), Boot: s.boot,
		Limits: s.limits, Guard: p.classSet(f, s.guard), Pos: s.at.pos()}
	for _, pool := range s.pools {
		ps := policy.PoolSpec{Range: pool.r, Lifetimes: pool.lifetimes(), Options: pool.optionSet(), Boot: pool.boot,
			Guard: p.classSet(f, pool.guard), Pos: pool.at.pos()}
		for _, e := range pool.exclude {
			ps.Exclude = append(ps.Exclude, e.Range)
		}
		ss.Pools = append(ss.Pools, ps)
	}
	for _, r := range s.reservations {
		res := policy.Reservation{
			Addr: r.addr, Hostname: r.hostname,
			Lifetimes: r.lifetimes(), Options: r.optionSet(), Boot: r.boot,
			Classes: p.classSet(f, r.classes), Pos: r.at.pos(),
		}
		for _, k := range r.keys {
			res.Keys = append(res.Keys, k.Key)
		}
		ss.Reservations = append(ss.Reservations, res)
	}
	return ss
}

// doubt warns of what is allowed but may not be what was meant.
func (p *parser) doubt(f *file, pol *policy.Policy) {
	at := map[*policy.Pool]Place{}
	for _, s := range f.allSubnets() {
		sn := pol.SubnetOf(s.prefix.Addr)
		for _, pool := range s.pools {
			at[poolAt(sn, pool.r)] = pool.at
		}
		p.doubtReservations(s, sn, at)
	}
	p.doubtRoutes(f)
	p.doubtRouters(f)
	p.doubtGuards(f)
	p.doubtKeys(f)
	p.doubtRelays(f, pol)
	named := map[dhcp4.Addr]bool{}
	f.eachLevel(func(_ []*level, l *level) {
		for _, t := range []timeNode{l.valid, l.min} {
			switch {
			case t.seconds == 0 || t.seconds >= 300:
			case t.seconds < 122:
				p.warnf(t.at, "short-lease", "", "a lease of %s is very short; some clients treat it as one of 122s", formatDuration(t.seconds))
			default:
				p.warnf(t.at, "short-lease", "", "a lease of %s is short; each client renews it every %s", formatDuration(t.seconds), formatDuration(t.seconds/2))
			}
		}
		for i := range l.options {
			o := &l.options[i]
			policy.EachHost(dhcp4.Option{Code: o.code, Data: o.data}, func(a dhcp4.Addr) {
				sn := pol.SubnetOf(a)
				if sn == nil || named[a] || sn.Network.ReservedBy(a) != nil {
					return
				}
				if pool := sn.PoolOf(a); pool != nil {
					named[a] = true
					p.warnf(at[pool], "server-in-pool", "leave it out of the pool, or exclude it", "%s lies in this pool and is named in %s (%s); it is never offered", a, o.name, o.val).relate(o.val, "named here")
				}
			})
		}
	})
}

func poolAt(sn *policy.Subnet, r dhcp4.Range) *policy.Pool {
	for _, pool := range sn.Pools {
		if pool.Range == r {
			return pool
		}
	}
	return nil
}

// doubtReservations warns of pools with hardly an address that is not reserved.
func (p *parser) doubtReservations(s *subnetNode, sn *policy.Subnet, at map[*policy.Pool]Place) {
	reserved := map[*policy.Pool]uint64{}
	for _, r := range s.reservations {
		if pool := sn.PoolOf(r.addr); pool != nil {
			reserved[pool]++
		}
	}
	for _, pool := range sn.Pools {
		switch n := reserved[pool]; {
		case pool.Size() == 0:
			p.warnf(at[pool], "empty-pool", "", "all addresses of the pool are excluded")
		case n*10 > pool.Size()*9:
			p.warnf(at[pool], "pool-reserved", "", "%d of the %d addresses of the pool are reserved", n, pool.Size())
		}
	}
}
