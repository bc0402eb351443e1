// Package run runs the client's state machine on an interface: one goroutine owns the
// machine, one receives; what has to be changed on the host is asked of a Host,
// which is this process or, where privileges are separated, its parent.
package run

import (
	"context"
	"time"

	"lessor/internal/client"
	"lessor/internal/client/setup"
	"lessor/internal/clock"
	"lessor/internal/link"
)

// Host is what the runner asks of the privileged part: setup.Host, or the peer at the
// other end of a socket.
type Host interface {
	Up() error
	Apply(c *setup.Config) error
	Clear() error
	ReadLeases() ([]byte, error)
	WriteLeases(b []byte) error
	Hook(e *setup.HookEvent)
}

// Options are what a Runner is made of.
type Options struct {
	Interface string
	Client    client.Config
	Secret    [16]byte
	Net       link.ClientNet
	Host      Host
	Clock     clock.Clock
	Once      bool // end after the first address, and leave it on the interface
	// Report is called by the runner's goroutine with everything that happens. It must not
	// block for long; what it is given is its own.
	Report func(*Report)
}

// Report is one thing that happened.
type Report struct {
	At    time.Time
	Event *client.Event // nil: Note
	Note  string        // what the runner itself has to say: waiting for an interface, an error of the host
	// Configured and Removed tell of the interface: what was put on it, and that it was taken off.
	Configured *setup.Config
	Removed    bool
	Reason     client.Reason
	Status     *Status // as of now
}

// Status is what is known of the client: the JSON of "lessor client status".
type Status struct {
	Interface string            `json:"interface"`
	State     string            `json:"state"` // in small letters: bound, init-reboot, …
	Reason    string            `json:"reason"`
	Address   string            `json:"address,omitempty"` // 192.0.2.52/24
	Server    string            `json:"server,omitempty"`
	Obtained  *time.Time        `json:"obtained,omitempty"`
	Renews    *time.Time        `json:"renews,omitempty"`
	Rebinds   *time.Time        `json:"rebinds,omitempty"`
	Expires   *time.Time        `json:"expires,omitempty"` // missing: no end
	Options   map[string]any    `json:"options,omitempty"`
	Changes   []Change          `json:"changes"`           // the last ones, the newest last
	Ignored   map[string]uint64 `json:"ignored,omitempty"` // replies that did not count, by reason
}

// Change is one step of the state.
type Change struct {
	At     time.Time `json:"at"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	Reason string    `json:"reason"`
}

// Runner runs one client.
type Runner struct{}

// New makes a runner; Run runs it until ctx ends (the interface is then as it was
// before), or, with Once, until the interface has an address.
func New(o Options) (*Runner, error)            { return nil, nil }
func (r *Runner) Run(ctx context.Context) error { return nil }

// Renew, Rebind, Release and Status may be called by any goroutine while Run runs.
func (r *Runner) Renew() error    { return nil }
func (r *Runner) Rebind() error   { return nil }
func (r *Runner) Release() error  { return nil }
func (r *Runner) Status() *Status { return nil }
