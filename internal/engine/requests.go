package engine

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"lessor/dhcp4"
	"lessor/internal/event"
	"lessor/internal/lease"
	"lessor/internal/link"
	"lessor/internal/policy"
	"lessor/internal/server"
	"lessor/internal/store"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// ErrStopped is the answer to a request after Stop.
var ErrStopped = errors.New("the server has stopped")

// errBusy is the answer when the loop does not come to a request in time.
var errBusy = errors.New("the server did not answer in time: it is overloaded or stuck")

// Do runs fn in the loop, between two batches, and waits for it: the only way to
// look at the core from outside. fn must be short, and must not keep what it is
// given. Changes that fn makes are in the usual hands: committed, then real.
func (e *Engine) Do(ctx context.Context, fn func(now lease.Instant, core *server.Core, fx *server.Effects)) error {
	const (
		begun     = 1
		abandoned = 2
	)
	var state atomic.Int32
	finished := make(chan struct{})
	call := func() {
		defer close(finished)
		if state.CompareAndSwap(0, begun) {
			fn(e.clock.Now(), e.serving.core, e.serving.hold.Effects())
		}
	}
	select {
	case e.calls <- call:
	case <-e.loopDone:
		return ErrStopped
	case <-ctx.Done():
		return errors.Join(errBusy, ctx.Err())
	}
	select {
	case <-finished:
		return nil
	case <-e.loopDone:
		return ErrStopped
	case <-ctx.Done():
	}
	if state.CompareAndSwap(0, abandoned) {
		return errors.Join(errBusy, ctx.Err())
	}
	select { // it runs, or has run: what fn writes to is the caller's again only then
	case <-finished:
		return nil
	case <-e.loopDone:
		return ErrStopped
	}
}

// SetPolicy puts another configuration in force at once; nothing that is under way
// is lost (I15).
func (e *Engine) SetPolicy(ctx context.Context, p *policy.Policy) error {
	old := e.policy.Load()
	err := e.Do(ctx, func(now lease.Instant, core *server.Core, fx *server.Effects) {
		if e.trace != nil {
			e.trace.Write(&trace.Config{Policy: p})
		}
		core.SetPolicy(now, p, fx)
		e.policy.Store(p)
	})
	if err != nil || slices.Equal(old.Interfaces, p.Interfaces) {
		return err
	}
	select {
	case e.ports.names <- p.Interfaces:
		return nil
	case <-e.portsDone:
		return ErrStopped
	}
}

// Policy is the configuration in force.
func (e *Engine) Policy() *policy.Policy { return e.policy.Load() }

// Leases calls fn for every binding, ended ones that are remembered too, in no
// order. It goes through the loop in bounded steps and keeps nobody waiting; what
// changes meanwhile may be seen before or after. The binding is valid during the
// call only. An error of fn ends the walk and is returned.
func (e *Engine) Leases(ctx context.Context, fn func(now lease.Instant, b *lease.Binding) error) error {
	s := &snapshot{s: e.serving, do: e.do}
	step := make([]lease.Binding, scanStep)
	for {
		n, err := s.next(step)
		if err != nil {
			return ErrStopped
		}
		if n == 0 {
			return nil
		}
		now := e.clock.Now()
		for i := range step[:n] {
			if err := fn(now, &step[i]); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// Lease is the binding of one address; ok is false when there is none. Its slices
// belong to the caller.
func (e *Engine) Lease(ctx context.Context, a dhcp4.Addr) (b lease.Binding, now lease.Instant, ok bool, err error) {
	s := &snapshot{s: e.serving, do: e.do}
	err = e.Do(ctx, func(at lease.Instant, core *server.Core, _ *server.Effects) {
		if slot := core.Table().ByAddr(a); slot != 0 {
			core.Table().Binding(slot, &b)
			s.keep(&b)
			now, ok = at, true
		}
	})
	return b, now, ok, err
}

// Release ends a binding for the operator: its address is held until its old end,
// or with immediate given back at once. It returns when the change has been
// decided, and the log says so when it is durable.
func (e *Engine) Release(ctx context.Context, a dhcp4.Addr, immediate bool) error {
	var answer error
	err := e.Do(ctx, func(now lease.Instant, core *server.Core, fx *server.Effects) {
		if e.serving.failing != nil {
			answer = errStoreFailing{e.serving.failing}
			return
		}
		if answer = core.Release(now, a, immediate, fx); answer == nil && e.trace != nil {
			e.trace.Write(&trace.Override{Addr: a, Immediate: immediate})
		}
	})
	if err == nil {
		err = answer
	}
	if err == nil {
		e.log.Say(event.LeaseOverridden, slog.String("address", a.String()), slog.Bool("now", immediate))
	}
	return err
}

// errStoreFailing refuses a request that would have to be written.
type errStoreFailing struct{ err error }

func (e errStoreFailing) Error() string {
	return "the lease store cannot commit: " + e.err.Error()
}

func (e errStoreFailing) Unwrap() error { return e.err }

// History is the store's record of who had an address when.
func (e *Engine) History() store.History { return e.store }

// Status is what an operator looks at first.
type Status struct {
	Now        lease.Instant
	Problems   []string // why the server is not healthy; empty: it is
	Links      []wire.Link
	Missing    []link.Missing
	Interfaces []string // as configured
	Pools      []server.PoolCount
	Counters   server.Counters
	Bindings   int
	Careful    time.Duration // how long careful mode goes on; 0: not in it

	Queued        int64 // packets that wait
	Waiting       int   // replies that wait for the store
	SocketDropped uint64
	Shed          uint64
	SendFailed    uint64
	Panics        uint64
	LogLost       uint64
	BadFrames     [link.NumBadReasons]uint64
}

// Status looks at everything once.
func (e *Engine) Status(ctx context.Context) (Status, error) {
	s := Status{Links: *e.linkNames.Load(), Missing: *e.missing.Load(), Interfaces: e.policy.Load().Interfaces,
		Queued: e.queued.Load(), SocketDropped: e.stats.socketDropped.Load(), Shed: e.stats.shed.Load(),
		SendFailed: e.stats.sendFailed.Load(), Panics: e.stats.panics.Load(), LogLost: e.log.Lost()}
	for i := range s.BadFrames {
		s.BadFrames[i] = e.stats.bad[i].Load()
	}
	err := e.Do(ctx, func(now lease.Instant, core *server.Core, _ *server.Effects) {
		s.Now = now
		s.Pools, s.Counters, s.Bindings = core.Pools(), *core.Counters(), core.Table().Len()
		_, s.Waiting = e.serving.hold.Waiting()
		if e.serving.careful > now.M {
			s.Careful = time.Duration(e.serving.careful - now.M)
		}
		switch {
		case e.serving.failing != nil:
			s.Problems = append(s.Problems, "the lease store cannot commit: "+e.serving.failing.Error())
		case e.serving.slow:
			s.Problems = append(s.Problems, "the disk has not answered a commit for "+
				time.Duration(now.M-e.serving.job.Began.M).Round(time.Second).String())
		}
	})
	for _, m := range s.Missing {
		s.Problems = append(s.Problems, m.String())
	}
	if len(s.Links) == 0 && len(s.Missing) == 0 {
		s.Problems = append(s.Problems, "no interface is ready: each needs to be up, with carrier and an IPv4 address")
	}
	if s.Panics > 0 {
		s.Problems = append(s.Problems, "a fault in the program was caught; the log has the stack")
	}
	return s, err
}

// Panics is the number of recovered panics; tests demand that it is zero.
func (e *Engine) Panics() uint64 { return e.stats.panics.Load() }

// Ping goes once through the loop: it fails when the loop is stuck.
func (e *Engine) Ping(ctx context.Context) error {
	return e.Do(ctx, func(lease.Instant, *server.Core, *server.Effects) {})
}
