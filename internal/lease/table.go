package lease

import "lessor/dhcp4"

// Slot is the handle of a record in a Table, valid until the record is deleted;
// 0 is none.
type Slot uint32

// Table is all current bindings in memory: pointer-free records of at most 160
// octets each (all indexes included, at a million), found by address, by client
// identifier and by hardware address, and ordered by their next deadline. A Table
// belongs to one goroutine.
//
// (to be written; the method set below is the agreed seam)
//
//	func NewTable() *Table
//	func (t *Table) Len() int
//	func (t *Table) ByAddr(a dhcp4.Addr) Slot
//	// records with this client identifier / hardware address, in no order: first and next
//	func (t *Table) FirstByClientID(id []byte) Slot
//	func (t *Table) NextByClientID(s Slot) Slot
//	func (t *Table) FirstByHW(htype uint8, hw []byte) Slot
//	func (t *Table) NextByHW(s Slot) Slot
//	// Put makes b the state of b.Addr; it copies b's slices. 0 allocations when the record exists
//	// and its variable parts fit where they were.
//	func (t *Table) Put(b *Binding) Slot
//	func (t *Table) Delete(a dhcp4.Addr)
//	// Binding fills b from the record; b's slices alias the table: valid until the next Put or Delete
//	func (t *Table) Binding(s Slot, b *Binding)
//	func (t *Table) Rec(s Slot) *Rec   // hot fields, read only: Addr, State, End, Free, Rev, Lifetime, Start; valid until next Put/Delete
//	func (t *Table) ClientID(s Slot) []byte
//	func (t *Table) HW(s Slot) (htype uint8, hw []byte)
//	// Wake sets when Due hands the record out next (CLOCK_BOOTTIME ns, math.MaxInt64 never).
//	// Moving it later is lazy and costs O(1).
//	func (t *Table) Wake(s Slot, at int64)
//	func (t *Table) NextWake() (at int64, ok bool)
//	func (t *Table) Due(now int64) (Slot, bool) // pops one record whose wake time has come
//	// Scan calls fn for up to n records from slot `from` (0: the first) on and returns where to go on; 0: done.
//	func (t *Table) Scan(from Slot, n int, fn func(Slot)) Slot
type Table struct{ _ dhcp4.Addr }
