package relay

import (
	"lessor/dhcp4"
	"lessor/internal/wire"
)

// Effects is what messages asked for, in order. The caller owns it, hands the same one to
// the calls for a whole batch, and resets it when it has taken over the contents: every
// slice in it lies in memory of the Effects itself.
//
// A message to a client is Raw and leaves by its Link. One to a server is routed; its Src
// is an address of this host, its Link the interface of the client.
type Effects struct {
	Sends  []wire.Send
	Events []Event

	arena []byte
}

// Reset empties e and keeps its memory.
func (e *Effects) Reset() { e.Sends, e.Events, e.arena = e.Sends[:0], e.Events[:0], e.arena[:0] }

// EventKind says what an Event reports.
type EventKind uint8

const (
	EventDrop    EventKind = 1 + iota // a message was not relayed: Reason says why
	EventOmitted                      // a request was relayed without option 82: Reason says why
)

// Event is for logs. Its slices lie in the Effects.
type Event struct {
	Kind   EventKind
	Type   dhcp4.MessageType // 0: none, or not read
	Reason Reason
	Link   wire.LinkID // that it came by
	Src    dhcp4.Addr  // of its IP packet
	Hops   uint8
	XID    uint32
	GIAddr dhcp4.Addr
	HW     []byte
}

// room returns memory of e, empty and with space for n octets. What was handed out before
// stays where it is.
func (e *Effects) room(n int) []byte {
	if cap(e.arena)-len(e.arena) < n {
		e.arena = make([]byte, 0, max(2*cap(e.arena), 1<<16, n))
	}
	at := len(e.arena)
	return e.arena[at:at:cap(e.arena)]
}

// keep takes over b, which was appended to what room returned last, and cuts its capacity.
func (e *Effects) keep(b []byte) []byte {
	e.arena = e.arena[:len(e.arena)+len(b)]
	return b[:len(b):len(b)]
}

// copy returns a copy of b in the memory of e.
func (e *Effects) copy(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return e.keep(append(e.room(len(b)), b...))
}
