package server

import (
	"encoding/binary"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/pool"
	"lessor/internal/wire"
)

const second = int64(1e9)

// Core is the state of one server: the bindings, the partition of its pools, its
// live offers and the checks under way. It belongs to one goroutine; every method
// is called from there. Time comes with each call.
type Core struct {
	k0, k1 uint64 // secret of every keyed hash
	boot   lease.BootID

	pol   *policy.Policy
	links []ethernet
	table *lease.Table
	parts []*part // by the Index of their pool
	order []*part // in the order of the configuration
	// direct are those of order whose addresses can be asked for by ARP.
	direct []*part
	own    map[dhcp4.Addr]struct{} // server identifiers of ours, also former ones

	offers   offers
	limit    limiter
	usage    usage
	clones   map[dhcp4.Addr]clone
	checks   checks
	released []freed // released addresses whose release is not durable yet

	latest   int64  // the newest time that was told, CLOCK_BOOTTIME nanoseconds
	seq      uint64 // revision of the newest change
	durable  uint64
	failing  bool                    // the store cannot commit (I17)
	doubtful map[dhcp4.Addr]struct{} // while failing: what Doubt named
	overload bool
	bound    Rare  // of the tables, and of what is done at a time
	careful  int64 // careful mode until then, CLOCK_BOOTTIME nanoseconds
	zeroConf int64 // every offer is checked until then
	quiet    int64 // no more is said of unchecked offers until then

	count Counters
	q     request // of the packet under way
	reply replyScratch
	tr    *Trace // of Explain's draft; nil: nothing is told
}

// ethernet is a served interface and the network that its clients are in.
type ethernet struct {
	wire.Link
	net *policy.Network
}

// part is one pool at run time.
type part struct {
	conf *policy.Pool
	pool *pool.Pool
	link wire.LinkID // where its addresses can be asked for by ARP; 0: nowhere

	ready       *pool.Ready
	asking      int        // of the look under way: addresses asked for that are not on the list
	cursor      dhcp4.Addr // where the search for addresses to ask for goes on
	recallUntil int64      // the first REQUEST wins until then: offers had to be recalled
}

// New returns a Core without configuration, interfaces or bindings. secret keys
// the hashes of client identities; boot is the boot id that M belongs to.
func New(secret [16]byte, boot lease.BootID) *Core {
	return &Core{
		k0:       binary.LittleEndian.Uint64(secret[:]),
		k1:       binary.LittleEndian.Uint64(secret[8:]),
		boot:     boot,
		table:    lease.NewTable(),
		doubtful: map[dhcp4.Addr]struct{}{},
		own:      map[dhcp4.Addr]struct{}{},
		clones:   map[dhcp4.Addr]clone{},
		offers:   newOffers(),
		checks:   newChecks(),
		bound:    usual,
	}
}

// at notes the time of an input, for those that come without.
func (c *Core) at(now lease.Instant) { c.latest = max(c.latest, now.M) }

// Restore takes over a record of the store. It is called at start for each, before
// SetPolicy; b's deadlines are valid for the Core's boot (lease.Resume). What is no
// record is passed over.
func (c *Core) Restore(b *lease.Binding) {
	s := c.table.Put(b)
	if s == 0 {
		return
	}
	c.wake(s)
	c.seq = max(c.seq, b.Rev)
	c.durable = c.seq
}

// SetCareful begins careful mode, after a damaged, restored or lost store: for one
// longest lease a NAK needs more reason, unknown renewers are adopted, and
// addresses are checked before they are offered (docs/invariants.md, Clocks). It is
// called after SetPolicy.
func (c *Core) SetCareful(now lease.Instant) {
	c.at(now)
	c.careful = now.M + c.longestLease()
}

// CarefulUntil is when careful mode ends, CLOCK_BOOTTIME nanoseconds; 0: it was never begun.
func (c *Core) CarefulUntil() int64 { return c.careful }

// longestLease is the longest finite lease that the configuration gives or that is
// running, in nanoseconds; where there is none, the default one.
func (c *Core) longestLease() int64 {
	longest := uint32(0)
	longer := func(t uint32) {
		if t != lease.Infinite {
			longest = max(longest, t)
		}
	}
	for _, n := range c.pol.Networks {
		for _, sn := range n.Subnets {
			longer(sn.Max)
			for _, p := range sn.Pools {
				longer(p.Max)
			}
		}
		for _, r := range n.Reservations() {
			longer(r.Max)
		}
	}
	for i := range c.pol.Classes {
		longer(c.pol.Classes[i].Max)
		longer(c.pol.Classes[i].Valid)
	}
	c.eachRecord(func(s lease.Slot) { longer(c.table.Rec(s).Lifetime) })
	if longest == 0 {
		longest = policy.DefaultLifetime
	}
	return int64(longest) * second
}

// eachRecord calls fn for every record.
func (c *Core) eachRecord(fn func(lease.Slot)) {
	for next := c.table.Scan(0, 4096, fn); next != 0; {
		next = c.table.Scan(next, 4096, fn)
	}
}

// SetStoreFailing tells the Core that the store cannot commit, or can again. While
// it cannot, nothing new is promised (I17).
func (c *Core) SetStoreFailing(failing bool) {
	if c.failing = failing; !failing {
		clear(c.doubtful)
	}
}

// SetOverload tells the Core that more comes in than can be committed: a renewal
// with more than three quarters of its lease left is then answered with the
// remaining time, which costs no write.
func (c *Core) SetOverload(on bool) { c.overload = on }

// Table is the bindings, to be read in bounded steps by the Core's goroutine.
func (c *Core) Table() *lease.Table { return c.table }

// Counters are the Core's own, to be read by the Core's goroutine.
func (c *Core) Counters() *Counters { return &c.count }

// PoolCount is how many addresses of a pool are in each state; their sum is Size.
type PoolCount struct {
	Subnet string
	Range  dhcp4.Range
	Size   uint64
	Count  [pool.NumStates]uint64
}

// Pools returns the counts of all pools in the order of the configuration.
func (c *Core) Pools() []PoolCount {
	out := make([]PoolCount, len(c.order))
	for i, p := range c.order {
		out[i] = PoolCount{Subnet: p.conf.Subnet.Name, Range: p.conf.Range, Size: p.pool.Size()}
		for s := range out[i].Count {
			out[i].Count[s] = p.pool.Count(pool.State(s))
		}
	}
	return out
}
