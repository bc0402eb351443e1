package server

import (
	"encoding/binary"
	"math"

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
	parts map[*policy.Pool]*part
	order []*part // in the order of the configuration
	own   map[dhcp4.Addr]struct{}

	offers   offers
	limit    limiter
	checks   checks
	released []freed // released addresses whose release is not durable yet

	seq      uint64 // revision of the newest change
	durable  uint64
	failing  bool // the store cannot commit (I17)
	overload bool
	careful  int64 // careful mode until then, CLOCK_BOOTTIME nanoseconds
	zeroConf int64 // every offer is checked until then

	count Counters
	q     request // of the packet under way
	reply replyScratch
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

	ready       *pool.Ready
	cursor      dhcp4.Addr // where the search for addresses to ask for goes on
	recallUntil int64      // the first REQUEST wins until then: offers had to be recalled
}

// freed is an address that was released by the change with revision rev.
type freed struct {
	addr dhcp4.Addr
	rev  uint64
}

// New returns a Core without configuration, interfaces or bindings. secret keys
// the hashes of client identities; boot is the boot id that M belongs to.
func New(secret [16]byte, boot lease.BootID) *Core {
	return &Core{
		k0:     binary.LittleEndian.Uint64(secret[:]),
		k1:     binary.LittleEndian.Uint64(secret[8:]),
		boot:   boot,
		table:  lease.NewTable(),
		parts:  map[*policy.Pool]*part{},
		own:    map[dhcp4.Addr]struct{}{},
		offers: newOffers(),
		checks: newChecks(),
	}
}

// Restore takes over a record of the store. It is called at start for each, before
// SetPolicy; b's deadlines are valid for the Core's boot (lease.Resume).
func (c *Core) Restore(b *lease.Binding) {
	s := c.table.Put(b)
	c.wake(s)
	c.seq = max(c.seq, b.Rev)
	c.durable = c.seq
}

// SetCareful begins careful mode, after a damaged, restored or lost store: for one
// longest lease a NAK needs more reason, unknown renewers are adopted, and
// addresses are checked before they are offered (docs/invariants.md, Clocks).
func (c *Core) SetCareful(now lease.Instant) { c.careful = now.M + c.longestLease() }

func (c *Core) longestLease() int64 {
	longest := int64(policy.DefaultLifetime)
	for _, p := range c.order {
		if p.conf.Max != lease.Infinite {
			longest = max(longest, int64(p.conf.Max))
		}
	}
	for s := c.table.Scan(0, 0, nil); s != 0; {
		s = c.table.Scan(s, math.MaxInt, func(s lease.Slot) {
			if t := c.table.Rec(s).Lifetime; t != lease.Infinite {
				longest = max(longest, int64(t))
			}
		})
	}
	return longest * second
}

// SetStoreFailing tells the Core that the store cannot commit, or can again. While
// it cannot, nothing new is promised (I17).
func (c *Core) SetStoreFailing(failing bool) { c.failing = failing }

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

// Durable tells the Core that every change up to rev is durable. A released
// address is free for others only from then on (I2b).
func (c *Core) Durable(rev uint64) {
	c.durable = max(c.durable, rev)
	n := 0
	for ; n < len(c.released) && c.released[n].rev <= c.durable; n++ {
		f := c.released[n]
		if s := c.table.ByAddr(f.addr); s != 0 && c.table.Rec(s).Rev == f.rev {
			c.account(s, c.table.Rec(s).Free)
		}
	}
	c.released = append(c.released[:0], c.released[n:]...)
}

// Rollback takes back changes that are not in the store and never will be: memory
// is then what is durable. cs is in order; of two groups the later comes first.
func (c *Core) Rollback(now lease.Instant, cs []lease.Change) {
	for i := len(cs) - 1; i >= 0; i-- {
		ch := &cs[i]
		if ch.CompareOnly {
			continue
		}
		addr := ch.After.Addr
		if ch.Before.Addr == 0 {
			if s := c.table.ByAddr(addr); s != 0 {
				c.moveTo(addr, s, c.idle(addr), 0)
				c.table.Delete(addr)
			}
			continue
		}
		s := c.table.Put(&ch.Before)
		c.account(s, now.M)
		c.wake(s)
	}
}

// part is the pool that a belongs to now, or nil.
func (c *Core) part(a dhcp4.Addr) *part {
	if sn := c.pol.SubnetOf(a); sn != nil {
		if p := sn.PoolOf(a); p != nil {
			return c.parts[p]
		}
	}
	return nil
}

// idle is the state of an address that nobody has.
func (c *Core) idle(a dhcp4.Addr) pool.State {
	sn := c.pol.SubnetOf(a)
	if sn == nil {
		return pool.Free
	}
	if sn.Network.ReservedBy(a) != nil {
		return pool.Reserved
	}
	if _, never := sn.NeverOffer[a]; never || c.isOwn(a) {
		return pool.Excluded
	}
	return pool.Free
}

// isOwn reports whether a is an address of one of our interfaces.
func (c *Core) isOwn(a dhcp4.Addr) bool {
	for i := range c.links {
		for _, p := range c.links[i].Addrs {
			if p.Addr == a {
				return true
			}
		}
	}
	return false
}

// stateAt is the state in its pool of the address of record s at time m, and the
// key that orders it there. A release counts only once it is durable.
func (c *Core) stateAt(s lease.Slot, m int64) (pool.State, int64) {
	r := c.table.Rec(s)
	switch {
	case r.State == lease.Released && r.Rev > c.durable:
		return pool.Held, 0
	case m >= r.Free:
		key := r.Free
		if key == 0 {
			key = -1 // 0 is for addresses that nobody ever had
		}
		return c.idle(r.Addr), key
	case r.State == lease.Declined:
		return pool.Declined, r.Free
	case r.State == lease.Bound && m < r.End:
		return pool.Bound, 0
	}
	return pool.Held, 0
}

// account brings the pool of record s up to date with the record as of time m.
// An address on offer stays so: ending the offer calls account again.
func (c *Core) account(s lease.Slot, m int64) {
	addr := c.table.Rec(s).Addr
	if of := c.offers.ofAddr(addr); of != nil && of.taken {
		return
	}
	to, key := c.stateAt(s, m)
	c.moveTo(addr, s, to, key)
}

// moveTo moves the address of record s from the state that the record was counted
// in to another.
func (c *Core) moveTo(addr dhcp4.Addr, s lease.Slot, to pool.State, key int64) {
	p := c.part(addr)
	if p == nil {
		return
	}
	from := c.counted(addr, s)
	if from == to && to != pool.Free && to != pool.Declined {
		return
	}
	if from == pool.Free {
		p.ready.Remove(addr)
	}
	p.pool.Move(addr, from, to, key)
	c.table.SetTag(s, uint8(to)+1)
}

// counted is the state that the pool has the address of record s in. A record that
// is new in its table takes over from an address without a record.
func (c *Core) counted(addr dhcp4.Addr, s lease.Slot) pool.State {
	if tag := c.table.Tag(s); tag != 0 {
		return pool.State(tag - 1)
	}
	return c.idle(addr)
}

// wake sets when record s changes its state by itself.
func (c *Core) wake(s lease.Slot) {
	r := c.table.Rec(s)
	at := r.Free
	if r.State == lease.Bound {
		at = r.End
	}
	c.table.Wake(s, at)
}

// commit makes b the state of its address, in memory at once and as a change for
// the store, and returns the change's revision. before is the record it replaces,
// 0 for none.
func (c *Core) commit(now lease.Instant, e *Effects, b *lease.Binding) uint64 {
	if of := c.offers.ofAddr(b.Addr); of != nil {
		c.endOffer(of, now.M)
	}
	delete(c.checks.byAddr, b.Addr) // an answer that comes now is its client's
	c.seq++
	b.Rev, b.Boot = c.seq, c.boot
	ch := lease.Change{After: *b}
	if s := c.table.ByAddr(b.Addr); s != 0 {
		c.table.Binding(s, &ch.Before)
		ch.Before.Boot = c.boot
		e.keep(&ch.Before)
	}
	e.keep(&ch.After)
	e.Changes = append(e.Changes, ch)
	s := c.table.Put(b)
	c.account(s, now.M)
	c.wake(s)
	if b.State == lease.Released {
		c.released = append(c.released, freed{b.Addr, b.Rev})
	}
	return c.seq
}

// compare asks the store whether record s is still as it is here, and returns the
// revision to wait for: a NAK that rests on a record must not rest on a stale one.
func (c *Core) compare(e *Effects, s lease.Slot) uint64 {
	c.seq++
	ch := lease.Change{CompareOnly: true}
	c.table.Binding(s, &ch.Before)
	ch.Before.Boot = c.boot
	e.keep(&ch.Before)
	e.Changes = append(e.Changes, ch)
	return c.seq
}

// keep copies b's slices into the memory of e.
func (e *Effects) keep(b *lease.Binding) {
	b.HW = e.copy(b.HW)
	b.ClientID = e.copy(b.ClientID)
	b.Hostname = e.copy(b.Hostname)
	b.Agent = e.copy(b.Agent)
}

// copy returns a copy of b in the memory of e. Growing leaves earlier copies where
// they are.
func (e *Effects) copy(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if cap(e.arena)-len(e.arena) < len(b) {
		e.arena = make([]byte, 0, max(2*cap(e.arena), 4096, len(b)))
	}
	n := len(e.arena)
	e.arena = append(e.arena, b...)
	return e.arena[n:len(e.arena):len(e.arena)]
}
