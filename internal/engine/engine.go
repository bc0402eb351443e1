// Package engine is the world around the server core: the only goroutines there
// are. A receiver for each interface brings batches of packets to one loop, which
// owns the core; a committer makes the changes durable; what waits for them stays in
// a Hold until they are. Nothing but the loop touches the core.
//
//	receiver(s) → queue → loop: Handle … Hold → committer: store.Commit
//	                       ↑ send ←─────────────── answer ┘
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"lessor/dhcp4"
	"lessor/internal/clock"
	"lessor/internal/event"
	"lessor/internal/lease"
	"lessor/internal/link"
	"lessor/internal/policy"
	"lessor/internal/store"
	"lessor/internal/wire"
)

// Config is what an Engine is made of. The Engine uses the store and the log, and
// whoever opened them closes them after Stop.
type Config struct {
	Clock  clock.Clock
	Net    link.Net
	Store  store.Store
	Log    *event.Log
	Policy *policy.Policy
	Secret [16]byte // keys the hashes of client identities; the same after a restart

	Trace   Tracer // nil: nobody asks
	Began   int64  // when the process began, CLOCK_BOOTTIME; 0 when not known. For the trace
	Version string // of the program, for the trace
}

// Engine serves one configuration at a time. Start, Stop and the requests of
// requests.go are safe for concurrent use.
type Engine struct {
	clock clock.Clock
	net   link.Net
	store store.Store
	log   *event.Log
	trace Tracer // nil: nobody asks
	boot  lease.BootID

	policy    atomic.Pointer[policy.Policy] // in force, for names
	linkNames atomic.Pointer[[]wire.Link]   // served, for names
	missing   atomic.Pointer[[]link.Missing]
	stats     stats
	queued    atomic.Int64 // packets between the receivers and the loop
	stopping  atomic.Bool

	in    chan input
	calls chan func()
	jobs  chan *Job
	done  chan *Job
	ports *ports

	cancelPorts context.CancelFunc
	cancelStore context.CancelFunc
	portsDone   chan struct{}
	loopDone    chan struct{}
	stopOnce    sync.Once
	stopErr     error

	loop // the fields of the loop's goroutine
}

// stats are counters that several goroutines add to.
type stats struct {
	socketDropped atomic.Uint64 // frames that a socket had no room for
	shed          atomic.Uint64 // messages dropped unread under overload
	sendFailed    atomic.Uint64 // messages that the kernel refused
	panics        atomic.Uint64
	bad           [link.NumBadReasons]atomic.Uint64
}

// Load reads the store and returns an Engine that is ready to Start. It changes
// nothing on disk.
func Load(ctx context.Context, c Config) (*Engine, error) {
	e := &Engine{
		clock: c.Clock, net: c.Net, store: c.Store, log: c.Log, trace: c.Trace, boot: c.Clock.BootID(),
		in:       make(chan input, 4*batchesPerPort),
		calls:    make(chan func(), 16),
		jobs:     make(chan *Job, 1),
		done:     make(chan *Job, 1),
		loopDone: make(chan struct{}), portsDone: make(chan struct{}),
	}
	e.ports = newPorts(e)
	e.policy.Store(c.Policy)
	e.linkNames.Store(&[]wire.Link{})
	e.missing.Store(&[]link.Missing{})
	now := e.clock.Now()
	var records int
	var err error
	if e.serving, records, err = LoadServing(ctx, c.Store, now, e.boot, c.Secret, c.Log); err != nil {
		return nil, err
	}
	if e.alarm, err = e.clock.NewAlarm(); err != nil {
		return nil, err
	}
	e.log.Say(event.StoreLoaded, slog.Int("count", records),
		slog.String("took", time.Duration(e.clock.Now().M-now.M).Round(time.Microsecond).String()))
	took := int64(0)
	if c.Began != 0 {
		took = e.clock.Now().M - c.Began
	}
	e.traceStart(records, took, c.Version)
	e.perform(now, e.serving.Begin(now, c.Policy, e.store.Recovery()))
	return e, nil
}

// Start begins to serve. It returns when the state of the interfaces is known and
// those that are ready are open; an interface that is not ready is waited for. An
// error is a *link.PortTakenError or a *link.PrivilegeError, or ctx's, and nothing
// runs then.
func (e *Engine) Start(ctx context.Context) error {
	pctx, cancel := context.WithCancel(context.Background())
	sctx, cancelStore := context.WithCancel(context.Background())
	e.cancelPorts, e.cancelStore = cancel, cancelStore
	go e.commitAll(sctx)
	go e.run()
	go func() {
		defer close(e.portsDone)
		e.ports.run(pctx, e.policy.Load().Interfaces)
	}()
	select {
	case err := <-e.ports.started:
		if err == nil {
			return nil
		}
		return errors.Join(err, e.Stop(ctx))
	case <-ctx.Done():
		return errors.Join(ctx.Err(), e.Stop(context.WithoutCancel(ctx)))
	}
}

// Stop ends the service: no more packets are taken in, what was taken in is
// answered once it is durable, the last mark is written, sockets are closed. When
// ctx ends first, Stop gives up waiting for the store and says so. The store and
// the log are not used after Stop, unless it returned an error.
func (e *Engine) Stop(ctx context.Context) error {
	e.stopOnce.Do(func() { e.stopErr = e.stop(ctx) })
	return e.stopErr
}

func (e *Engine) stop(ctx context.Context) error {
	e.stopping.Store(true)
	drained := make(chan struct{})
	e.do(func() { e.serving.Close(); e.drained = drained })
	var err error
	select {
	case <-drained:
	case <-ctx.Done():
		err = fmt.Errorf("the lease store did not answer in time: replies that waited for it were not sent: %w", context.Cause(ctx))
	}
	e.cancelPorts()
	<-e.portsDone
	e.cancelStore()
	e.do(func() { e.ended = true })
	if err != nil {
		return err // the committer may be stuck in the kernel
	}
	<-e.loopDone
	return nil
}

// do runs fn in the loop and returns when it has run, or the loop has ended.
func (e *Engine) do(fn func()) (ran bool) {
	finished := make(chan struct{})
	select {
	case e.calls <- func() { defer close(finished); fn() }:
	case <-e.loopDone:
		return false
	}
	select {
	case <-finished:
		return true
	case <-e.loopDone:
		return false
	}
}

// guard is deferred around whatever handles input: it turns a panic into a counted,
// logged drop of that input (then is called) and goes on. Tests fail when the
// count is not zero.
func (e *Engine) guard(where string, then func()) {
	r := recover()
	if r == nil {
		return
	}
	if e.stats.panics.Add(1) == 1 {
		e.log.Say(event.PanicRecovered, slog.String("reason", fmt.Sprint(r)), slog.String("where", where),
			slog.String("stack", string(debug.Stack())))
	}
	if then != nil {
		then()
	}
}

// Names are the names that log lines show for what e serves.
func (e *Engine) Names() event.Names {
	return event.Names{
		Link: func(id int32) string {
			for _, l := range *e.linkNames.Load() {
				if l.ID == wire.LinkID(id) {
					return l.Name
				}
			}
			return ""
		},
		Subnet: func(a dhcp4.Addr) string {
			if s := e.policy.Load().SubnetOf(a); s != nil {
				return s.Name
			}
			return ""
		},
	}
}
