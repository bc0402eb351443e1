// Package setup is what a DHCP client changes on its host: address, routes, MTU, DNS,
// host name, a hook program, the lease file. It takes back all that it changed and
// touches nothing else. It is the privileged part of the client: it accepts only
// values that it has checked itself.
package setup

import (
	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
)

// Config is what is put on an interface. It travels as JSON from the part of the
// client that reads packets.
type Config struct {
	Addr             dhcp4.Prefix // the host's own address, not masked
	Broadcast        dhcp4.Addr   // 0: none
	Valid, Preferred uint32       // seconds for the kernel; lease.Infinite for no end
	Server           dhcp4.Addr
	Routes           []client.Route
	MTU              uint16 // 0: leave it
	DNS              []dhcp4.Addr
	Domain           string
	Search           []string
	HostName         string // used only where Options.SetHostName
	NTP              []dhcp4.Addr
	CaptivePortal    string
	TimeZone         string
}

// FromLease is what lease l puts on the interface at instant now.
func FromLease(l *client.Lease, now lease.Instant) *Config { return nil }

// Check says what in c no lease that was read by package client can hold. The
// privileged part calls it on everything that it is sent.
func (c *Config) Check() error { return nil }

// Options are how a Host does its work.
type Options struct {
	Metric      int    // of routes, to which the interface's index is added
	Table       int    // routing table; 0: the main one
	ResolvConf  string // file to replace with the lease's DNS servers; "": systemd-resolved or resolvconf, where there is one
	SetHostName bool
	Hook        string // program to run, "" for none: rule H of docs/faults.md
	LeaseFile   string
	NoConfigure bool // only the lease file and the hook
}

// Host changes one interface of this machine. Its methods are called by one goroutine.
type Host struct{}

// Open looks at the interface and takes over what an earlier run that was killed
// left on it. Warnings are said by warn, one line each.
func Open(ifname string, o Options, warn func(string)) (*Host, error) { return nil, nil }

// Up sets the interface up if it is down; Close sets it down again.
func (h *Host) Up() error { return nil }

// Apply puts c on the interface in place of what was there of ours.
func (h *Host) Apply(c *Config) error { return nil }

// Clear takes everything of ours off the interface.
func (h *Host) Clear() error { return nil }

// ReadLeases and WriteLeases read and replace the lease file: written whole, synced,
// renamed into place; nil when there is none.
func (h *Host) ReadLeases() ([]byte, error) { return nil, nil }
func (h *Host) WriteLeases(b []byte) error  { return nil }

// HookEvent is what the hook program is told, as JSON and as environment variables.
type HookEvent struct {
	Event     string // bound, renewed, lost, …: of a fixed list
	Interface string
	State     string
	Reason    string
	Config    *Config           // nil: no lease
	Options   map[string]string // name of options.csv to hexadecimal value, of the ACK
}

// Hook starts the hook program for e, or queues it; it never waits.
func (h *Host) Hook(e *HookEvent) {}

// Close ends the hooks; leave says whether what is on the interface stays there.
func (h *Host) Close(leave bool) error { return nil }
