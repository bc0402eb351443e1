// Package pool keeps the partition of a pool's addresses: which are free, in
// which order free ones are used, and how many are in each other state. It knows
// nothing of DHCP, of clients or of clocks; a key is any integer that orders.
package pool

// The agreed seam:
//
//	type State uint8
//	const ( Free State = iota; Offered; Bound; Held; Declined; Reserved; Excluded; NumStates )
//
//	// New makes a pool of the addresses of ranges (ascending, disjoint), each Free and never used.
//	func New(ranges ...dhcp4.Range) *Pool
//	func (p *Pool) Size() uint64
//	func (p *Pool) Contains(a dhcp4.Addr) bool
//	func (p *Pool) Count(s State) uint64     // the sum over all states is Size, always
//
//	// Move takes a out of state from and puts it into state to. key orders it there where order
//	// matters: Free (key 0: never used; else when it became free), Offered (when offered), Declined (since when).
//	// It panics when a is not in the pool, or when from is Free/Offered/Declined and a is not there
//	// (a broken caller must not corrupt the partition silently).
//	func (p *Pool) Move(a dhcp4.Addr, from, to State, key int64)
//
//	// NextUnused returns the never-used free address nearest at or after from, wrapping round.
//	func (p *Pool) NextUnused(from dhcp4.Addr) (dhcp4.Addr, bool)
//	func (p *Pool) IsUnused(a dhcp4.Addr) bool
//	// Oldest returns the address with the least key in Free (used ones only), Offered or Declined.
//	func (p *Pool) Oldest(s State) (a dhcp4.Addr, key int64, ok bool)
//	// NthFreed walks used free ones in ascending key order from the i-th; for the ready list. (Optional: OldestAfter.)
//	func (p *Pool) At(n uint64) dhcp4.Addr // the n-th address of the pool, for the hashed start
