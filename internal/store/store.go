// Package store is the narrow interface between the engine and what survives a
// power cut. A store keeps the last state of each address, the mark of elapsed
// time, and the history of possession.
package store

import (
	"context"
	"errors"
	"time"

	"lessor/dhcp4"
	"lessor/internal/lease"
)

// Pos is a position in the order of commits of one store; later is greater.
type Pos uint64

// Outcome is the answer to one change of a group.
type Outcome uint8

const (
	// Durable: after any crash a state at least as new is recovered.
	Durable Outcome = 1 + iota
	// Refused: the record in the store is not the one the change was decided on.
	Refused
	// Failed: the change is not in the store in force, nor in the one that Recreate
	// writes. Only a crash before Recreate has succeeded can bring it back: a record
	// whose ACK was never sent, which is legal and holds its address until its end
	// (I2c). A change that no store can hold (a field over the limit that lease.Binding
	// gives it, no address, an unknown state) is Failed alone; the rest of its group is
	// not touched.
	Failed
)

// Result answers one change. Current is set for Refused only.
type Result struct {
	Outcome Outcome
	Current lease.Binding
}

// ErrUnknown wraps the error of a commit whose outcome nobody knows (a time-out
// of a shared store). Nothing that rests on it may be sent.
var ErrUnknown = errors.New("store: outcome unknown")

// ErrLocked is wrapped by the error of opening a store that another process uses;
// the text says which.
var ErrLocked = errors.New("store: in use by another process")

// ErrFormat is wrapped by the error of opening a store of a format that this
// version cannot read. Nothing on the disk has been changed.
var ErrFormat = errors.New("store: written in another format")

// ErrBroken is answered by every call of an embedded store that had a failed
// write or sync, until Recreate succeeds.
var ErrBroken = errors.New("store: a write or sync failed")

// Store keeps bindings durably. Commit, Recreate and Close are called from one
// goroutine; Load before the first Commit; Alive and the reads of History from
// any.
type Store interface {
	// Commit makes a group of changes and the mark durable with one sync; with no
	// changes it writes the mark alone. res has the length of cs; res[i] answers cs[i].
	// An error that wraps ErrUnknown means unknown for all; with any other error every
	// result is Failed and the store is broken. It keeps no slice of cs.
	Commit(ctx context.Context, mark lease.Mark, cs []lease.Change, res []Result) error

	// Load hands out the records of the addresses in in (nil: all) as of one position,
	// in batches, in address order. The bindings are valid during the call of fn only.
	Load(ctx context.Context, in []dhcp4.Range, fn func([]lease.Binding) error) (Pos, error)

	// Watch hands out every later change, in order; it idles until ctx ends in a store
	// with a single writer.
	Watch(ctx context.Context, in []dhcp4.Range, after Pos, fn func([]lease.Binding, Pos) error) error

	// Mark is the mark of the last commit, also that of an earlier process; zero in a
	// fresh store.
	Mark() lease.Mark

	// Recovery says what opening the store had to do; final once Load has returned nil.
	// It survives a restart: it is the same at the next open, until Recovered is called.
	Recovery() Recovery

	// Recovered drops what Recovery reports, for when careful mode is over. It is
	// called like Commit.
	Recovered(ctx context.Context) error

	// Alive is a read that proves the store can still commit.
	Alive(ctx context.Context) (Pos, error)

	// Recreate leaves a broken store behind: it writes a fresh one from the bindings
	// that next yields (all that are durable, in any order; next returns 0 at the
	// end), syncs it, and switches to it by an atomic rename. On an error the store
	// stays broken and Recreate may be called again.
	Recreate(ctx context.Context, mark lease.Mark, next func([]lease.Binding) (int, error)) error

	History

	Close() error
}

// Recovery is what was wrong with a store when it was opened. The zero value says
// that it was whole, or a first start.
type Recovery struct {
	Careful bool   // records may be missing: the server starts in careful mode
	What    string // what was found and what was done with it, for people; empty: nothing
	Kept    int    // records that could be read
	Lost    int    // records known to be lost; there can be more
}

// Possession is one interval during which one client had one address.
type Possession struct {
	Addr     dhcp4.Addr
	HType    uint8
	HW       []byte
	ClientID []byte
	Hostname []byte
	GIAddr   dhcp4.Addr
	Agent    []byte
	From     int64 // Unix seconds
	Until    int64 // Unix seconds; the end of the lease for one that is still running
	Running  bool

	// Free is from when on others may have the address, Unix seconds: after the end of
	// the lease and its grace, or, when it was given back or declined, from Until on. math.MaxInt64
	// for a lease without end, 0 where an earlier version did not write it down.
	Free int64
}

// FreeAfter is the Free of the possession that b is, which a change to state after ended
// at until; 0 for one that is still there.
func FreeAfter(b *lease.Binding, after lease.State, until int64) int64 {
	switch {
	case after == lease.Released || after == lease.Declined:
		return until
	case b.Lifetime == lease.Infinite:
		return lease.Never
	}
	return b.Until + int64(b.Grace)
}

// History answers who had an address when. The yielded value is valid during the
// call only; returning false ends the walk. Newest first, by From. Intervals that
// touch [from, to] are yielded; a zero from or to is no limit. HistoryByClient takes
// either key or both, and yields what matches at least one of them.
//
// A possession begins when its address becomes Bound with another client or another
// Start than before; it ends when the address ceases to be Bound to that client with
// that Start: at the time of the mark of that commit, or at Until if that came first.
type History interface {
	HistoryByAddr(ctx context.Context, a dhcp4.Addr, from, to time.Time, yield func(*Possession) bool) error
	HistoryByClient(ctx context.Context, hw []byte, clientID []byte, from, to time.Time, yield func(*Possession) bool) error
}
