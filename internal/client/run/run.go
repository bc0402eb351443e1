// Package run runs the client's state machine on an interface: one goroutine owns the
// machine, one receives; what has to be changed on the host is asked of a Host,
// which is this process or, where privileges are separated, its parent.
package run

import (
	"errors"
	"sync/atomic"
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
type Runner struct {
	o      Options
	calls  chan func(*loop)
	ended  chan struct{} // closed when Run has returned
	panics atomic.Uint64
	final  atomic.Pointer[Status]
}

// ErrEnded is what a Runner answers when it does not run any more.
var ErrEnded = errors.New("the client has ended")

// New makes a runner; Run runs it until ctx ends or Stop is called (the interface is
// then as it was before), or, with Once, until the interface has an address. Run is
// called once. Its error is what waiting does not help: link.PortTakenError or
// link.PrivilegeError at the start, ErrNotBound when a Once was stopped before.
func New(o Options) (*Runner, error) {
	switch {
	case o.Interface == "":
		return nil, errors.New("no interface is named")
	case o.Net == nil || o.Host == nil || o.Clock == nil || o.Report == nil:
		return nil, errors.New("a runner needs a net, a host, a clock and somebody to report to")
	}
	return &Runner{o: o, calls: make(chan func(*loop)), ended: make(chan struct{})}, nil
}

// Renew, Rebind, Release, Stop and Status may be called by any goroutine once Run has
// been called; the first four return ErrEnded when it has returned, and an error that
// wraps ErrRefused when the client's state does not allow it. Stop waits until everything
// is off the interface.
func (r *Runner) Renew() error { return r.command(client.InputRenew) }

// Rebind asks for the lease to be extended by broadcast.
func (r *Runner) Rebind() error { return r.command(client.InputRebind) }

// Release gives the address back; Renew begins anew.
func (r *Runner) Release() error { return r.command(client.InputRelease) }

// Stop ends Run.
func (r *Runner) Stop() error {
	return r.do(func(l *loop) error {
		l.stop(l.o.Clock.Now())
		return nil
	})
}

// Status is how the client is now, or was when Run returned.
func (r *Runner) Status() (s *Status) {
	if r.do(func(l *loop) error { s = l.status.get(l); return nil }) != nil {
		return r.final.Load()
	}
	return s
}

// Panics is how many panics were recovered. Each is a bug and was reported.
func (r *Runner) Panics() uint64 { return r.panics.Load() }

func (r *Runner) command(kind client.InputKind) error {
	return r.do(func(l *loop) error { return l.command(kind) })
}

// do lets the loop's goroutine call fn.
func (r *Runner) do(fn func(*loop) error) error {
	answer := make(chan error, 1)
	select {
	case r.calls <- func(l *loop) { answer <- fn(l) }:
		return <-answer
	case <-r.ended:
		return ErrEnded
	}
}
