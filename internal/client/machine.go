// Package client is the DHCP client as a function: messages, ARP, time, the state
// of the link and the wishes of the user go in; messages to send, ARP probes,
// configurations of the interface and events come out. It does no I/O, reads no
// clock, starts no goroutine and takes no lock.
package client

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
)

// Machine is one client on one interface. It belongs to one goroutine.
type Machine struct {
	memory []Remembered
}

// New returns a machine without a link. secret seeds all its random choices, so that
// the same inputs give the same effects. memory is what an earlier run saved, the
// newest first, with points of time made valid for this boot (lease.Never for none,
// past ones for leases that have ended); the machine takes it over.
func New(c Config, secret [16]byte, memory []Remembered) *Machine { return &Machine{memory: memory} }

// Handle takes one input at instant now and appends to e what is to be done.
func (m *Machine) Handle(now lease.Instant, in *Input, e *Effects) {}

// NextTick is the point of CLOCK_BOOTTIME at which InputTick is due, lease.Never for none.
func (m *Machine) NextTick() int64 { return lease.Never }

// State is the state the machine is in.
func (m *Machine) State() State { return Init }

// Lease is the current lease, nil if there is none; it is not to be changed and valid until the
// next call of Handle. Configured says whether it is on the interface.
func (m *Machine) Lease() *Lease    { return nil }
func (m *Machine) Configured() bool { return false }

// Memory is what to save for the next start, the newest first, at most MaxMemory. It
// is not to be changed and valid until the next call of Handle.
func (m *Machine) Memory() []Remembered { return m.memory }

// AppendWatched appends the addresses about which ARP messages matter now.
func (m *Machine) AppendWatched(dst []dhcp4.Addr) []dhcp4.Addr { return dst }
