// Package run runs the relay agent: one goroutine owns its rules, one receives on each
// interface and one what servers answer, one follows the interfaces.
package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"lessor/dhcp4"
	"lessor/internal/event"
	"lessor/internal/link"
	"lessor/internal/relay"
	"lessor/internal/wire"
)

// Upstream is where replies of servers come in; link.Upstream is the kernel's.
type Upstream interface {
	Receive(b *link.Batch) error
	Refuse(clients []wire.LinkID) error
	Close() error
}

// Net is where sockets come from: Kernel, or what a test makes.
type Net interface {
	link.Net
	OpenShared(l wire.Link) (link.Port, error)
	OpenUpstream(port uint16) (Upstream, error)
	PathMTU(dst dhcp4.Addr) (int, error)
	Interfaces() ([]link.Interface, error)
}

// Kernel is the Net of this host.
func Kernel() Net { return kernel{link.NewKernel()} }

type kernel struct{ *link.Kernel }

func (k kernel) OpenUpstream(port uint16) (Upstream, error) {
	u, err := k.Kernel.OpenUpstream(port)
	if err != nil {
		return nil, err // not u: a nil *link.Upstream is an Upstream
	}
	return u, nil
}

// Options are what a Runner is made of.
type Options struct {
	Relay relay.Config
	Net   Net
	Log   *event.Log
}

// Runner is a relay agent that runs. Its methods may be called by any goroutine.
type Runner struct {
	net Net
	log *event.Log

	calls    chan func(*loop)
	replies  chan input
	requests chan input
	ended    chan struct{} // the loop has ended

	ports    *ports
	upstream Upstream
	port     uint16 // of upstream
	done     chan struct{}
	began    time.Time

	bad     [link.NumBadReasons]atomic.Uint64
	dropped atomic.Uint64 // frames that sockets lost
	panics  atomic.Uint64
	missing atomic.Pointer[[]link.Missing]
}

// Start opens the sockets and relays until ctx ends; Done tells when everything is closed. Its
// error is what waiting does not help: link.PortTakenError or link.PrivilegeError. An
// interface that is missing or not ready is waited for.
func Start(ctx context.Context, o Options) (*Runner, error) {
	if o.Net == nil || o.Log == nil {
		return nil, errors.New("a relay agent needs a net and a log")
	}
	r := &Runner{net: o.Net, log: o.Log, calls: make(chan func(*loop)), replies: make(chan input), requests: make(chan input),
		ended: make(chan struct{}), done: make(chan struct{}), began: time.Now(), port: sourcePort(&o.Relay)}
	r.missing.Store(new([]link.Missing))
	var err error
	if r.upstream, err = o.Net.OpenUpstream(r.port); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r.ports = newPorts(r, o.Relay)
	var running sync.WaitGroup
	running.Go(func() { newLoop(r, o.Relay).run(ctx) })
	running.Go(func() { r.ports.run(ctx) })
	running.Go(func() { r.receiveReplies(ctx) })
	go func() {
		running.Wait()
		cancel()
		close(r.done)
	}()
	select {
	case err = <-r.ports.started:
	case <-ctx.Done():
	}
	if err != nil {
		cancel()
		<-r.done
		return nil, err
	}
	return r, nil
}

func sourcePort(c *relay.Config) uint16 {
	if c.SourcePort == 0 {
		return dhcp4.ServerPort
	}
	return c.SourcePort
}

// Done is closed when ctx has ended and all sockets are closed.
func (r *Runner) Done() <-chan struct{} { return r.done }

// ErrEnded is what a Runner answers when it does not run any more.
var ErrEnded = errors.New("the relay agent has ended")

// errPort is why Configure refuses another source port.
var errPort = errors.New("source-port cannot change while the relay agent runs: restart it")

// Configure puts c in force; requests that come later are relayed by it.
func (r *Runner) Configure(ctx context.Context, c relay.Config) error {
	if sourcePort(&c) != r.port {
		return errPort
	}
	if err := r.do(ctx, func(l *loop) { l.configure(c) }); err != nil {
		return err
	}
	select {
	case r.ports.configs <- c:
		return nil
	case <-r.ended:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ping returns nil when the loop answers before ctx ends.
func (r *Runner) Ping(ctx context.Context) error { return r.do(ctx, func(*loop) {}) }

// do lets the loop's goroutine call fn.
func (r *Runner) do(ctx context.Context, fn func(*loop)) error {
	finished := make(chan struct{})
	select {
	case r.calls <- func(l *loop) { defer close(finished); fn(l) }:
		<-finished
		return nil
	case <-r.ended:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// guard is deferred around whatever handles input: a panic drops that input and is counted.
func (r *Runner) guard(where string) {
	p := recover()
	if p == nil {
		return
	}
	if r.panics.Add(1) == 1 {
		r.log.Say(event.PanicRecovered, slog.String("reason", fmt.Sprint(p)), slog.String("where", where),
			slog.String("stack", string(debug.Stack())))
	}
}

// names are the interfaces of a configuration.
func names(c *relay.Config) []string {
	var out []string
	for i := range c.Downstream {
		if n := c.Downstream[i].Name; !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}
