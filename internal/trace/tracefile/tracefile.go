// Package tracefile keeps a trace (internal/trace) in files: what a server writes with
// --trace, one JSON object a line, and what a capture of the wire holds, pcap or
// pcapng. Merge makes one ordered trace of several, as the checker wants it.
//
// A trace file is a diagnostic: a disk that takes no more of it costs no client an
// answer. But nothing is lost silently, the file says at its end what it lacks.
package tracefile

import (
	"lessor/internal/lease"
)

// Version is the number in the first line of a file. A reader refuses every other.
const Version = 1

// maxLine bounds one line, in octets: a commit of the largest group is shorter.
const maxLine = 64 << 20

// loadedChunk is how many records one Loaded entry holds.
const loadedChunk = 256

// Header begins what one process wrote. A file that several runs of a server were
// appended to has one for each.
type Header struct {
	Version int    `json:"lessor-trace"`
	Host    string `json:"host"`  // name of the machine
	Store   string `json:"store"` // its lease store: with Host it tells servers apart
	Boot    Octets `json:"boot"`  // the boot id: within it the values of M compare
	Program string `json:"program,omitempty"`
	// World: T of every entry is written beside it. A simulator's trace is one of a world of
	// many hosts, a server's of the server alone, and its T follows from M.
	World bool `json:"world,omitempty"`
}

func (h *Header) boot() (b lease.BootID) {
	copy(b[:], h.Boot)
	return b
}

// Clock is what a Writer reads times from; clock.Clock is one.
type Clock interface {
	Now() lease.Instant
	BootID() lease.BootID
}
