// Package server is the DHCP server as a function: packets, ARP messages, echoes, ticks,
// operator requests and configurations go in; replies, changes of bindings,
// probes and events come out. It does no I/O, reads no clock, starts no
// goroutine and takes no lock. handle.go shows one packet's way from top to
// bottom.
package server

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// Reply is a message to send once everything it rests on is durable.
type Reply struct {
	wire.Send        // Data lies in the memory of the Effects
	After     uint64 // revision that must be durable first; 0: send now
	End       int64  // of the lease that an ACK gives, on M; 0 for other messages and for what has no end
	Type      dhcp4.MessageType
}

// Effects is what inputs asked for, in order. The caller owns it, hands the same
// one to the calls for a whole batch, and resets it when it has taken over the
// contents: every slice in it lies in memory of the Effects itself.
type Effects struct {
	Replies []Reply
	Changes []lease.Change // in order of revision, which grows by one from change to change
	Probes  []wire.ARP     // ARP requests to send
	Echoes  []wire.Echo    // ICMP echo requests to send
	Events  []Event

	arena []byte
}

// Reset empties e and keeps its memory.
func (e *Effects) Reset() {
	e.Replies, e.Changes, e.Events = e.Replies[:0], e.Changes[:0], e.Events[:0]
	e.Probes, e.Echoes = e.Probes[:0], e.Echoes[:0]
	e.arena = e.arena[:0]
}

// EventKind says what an Event reports.
type EventKind uint8

const (
	EventDrop     EventKind = 1 + iota // an input ended without a reply: Reason says why
	EventBound                         // a new binding: logged once durable
	EventRenewed                       // a binding extended
	EventReleased                      // by its client
	EventDeclined                      // by its client
	EventConflict                      // an answer for an address that should have been free
	EventNak                           // a NAK: Reason says why
	EventExpired                       // a binding's time ran out; nothing was written
	EventAlarm                         // something an operator must know: Reason says what
)

// Event is for logs, counters and live streams. Its slices lie in the Effects.
type Event struct {
	Kind     EventKind
	Type     dhcp4.MessageType // of the packet that caused it, 0 if none did
	Reason   Reason
	After    uint64 // as Reply.After: what it reports is true only then
	Link     wire.LinkID
	Addr     dhcp4.Addr
	XID      uint32
	HType    uint8
	HW       []byte
	ClientID []byte
	Hostname []byte
	GIAddr   dhcp4.Addr
	Lifetime uint32
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
