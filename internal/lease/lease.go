// Package lease holds bindings: what one is, who its client is, and the table of
// all current ones in memory, in compact records without pointers.
package lease

import "lessor/dhcp4"

// Instant is a point in time on both clocks, as read once for a batch of inputs.
type Instant struct {
	M int64 // CLOCK_BOOTTIME, nanoseconds: never steps while the machine is up, counts suspend
	W int64 // wall clock, nanoseconds since the Unix epoch, UTC: may step at any time
}

// BootID is the kernel's boot id; values of M compare only within one boot.
type BootID [16]byte

// Infinite is the lease duration that never ends (RFC 2131 3.3).
const Infinite uint32 = 0xffffffff

// MaxClientID is the longest client identifier that is kept; a packet with a
// longer one is dropped and counted.
const MaxClientID = 255

// State is what the last change made of an address. That a lease has run out is
// not a state: it follows from the clock.
type State uint8

const (
	// Bound: leased to its client until End, held for it until Free.
	Bound State = 1 + iota
	// Released: its client gave it back; free for others from Free on.
	Released
	// Declined: in use by somebody unknown, out until Free (I5).
	Declined
)

// Binding is the whole state of one address, in the form in which it is handed
// around, stored and shown. Its slices belong to whoever made it; each function
// that takes or returns one says how long they stay valid.
type Binding struct {
	Addr     dhcp4.Addr
	State    State
	HType    uint8
	HW       []byte // chaddr[0:hlen], at most 16 octets
	ClientID []byte // option 61 of at least 2 octets, else nil
	Hostname []byte // option 12 as the client sent it, bounded to 255: text from the network, untrusted
	GIAddr   dhcp4.Addr
	Agent    []byte // option 82 of the packet that made or last changed it through a relay, joined, at most 255 octets

	Lifetime uint32 // seconds of the lease as sent in option 51; Infinite for none
	Grace    uint32 // seconds between End and Free
	Start    int64  // begin of this client's possession, Unix seconds
	Renewed  int64  // time of the last REQUEST that was acknowledged, Unix seconds
	Until    int64  // end of the lease, or of the probation when declined, Unix seconds, rounded up: for people, and for a start after a reboot

	// Deadlines on CLOCK_BOOTTIME in nanoseconds, valid within boot Boot. End is when
	// the lease ends, Free when the address is free for others (end of S).
	// math.MaxInt64 for an infinite lease.
	Boot BootID
	End  int64
	Free int64

	Rev uint64 // sequence number of the change that made this state
}

// Change is the step of one address from one whole state to the next. The slices
// of both bindings stay valid until the commit of the change has been answered.
type Change struct {
	// CompareOnly: nothing is written; the change only asks whether Before is still
	// the state in the store (a NAK that rests on a record).
	CompareOnly bool
	Before      Binding // Before.Addr is 0 when there was no record
	After       Binding // After.State 0: the record is deleted
}

// Mark is the proof of elapsed time that a store keeps beside the records: the
// wall time at the start of the process plus the time elapsed on M since, never
// the wall clock itself.
type Mark struct {
	W    int64 // nanoseconds since the Unix epoch
	M    int64 // nanoseconds on CLOCK_BOOTTIME of Boot
	Boot BootID
}
