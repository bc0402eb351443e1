package run

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/clock"
	"lessor/internal/lease"
	"lessor/internal/link"
	"lessor/internal/wire"
)

const (
	never  = lease.Never
	second = lease.Second

	// suspendJump is the time of suspend from which on the machine is told of it.
	suspendJump = second / 2
)

// loop is the state of the runner's goroutine, which owns the machine.
type loop struct {
	r *Runner
	o *Options

	alarm   clock.Alarm
	armed   int64 // when it rings
	jumps   clock.Jumps
	sleeper clock.Sleeper // nil: the clock does not know of suspend
	slept   int64         // Sleeper.Suspended when last looked at

	m        *client.Machine // nil before the interface was up for the first time
	in       client.Input
	fx       client.Effects
	watched  []dhcp4.Addr // what the port was told
	scratch  []dhcp4.Addr
	oneSend  [1]wire.Send // what is sent; a field, so that it does not escape each time
	oneARP   [1]wire.ARP
	carrier  carrier
	host     hostWork
	report   reporter
	status   statusKeeper
	finished bool
	result   error
}

// linkReport is what WatchClient says.
type linkReport struct {
	link    *wire.Link
	missing *link.Missing
	err     error // the watch failed and is begun anew
}

// Run implements what New says.
func (r *Runner) Run(ctx context.Context) error {
	defer close(r.ended)
	r.final.Store(&Status{Interface: r.o.Interface, State: stateName(client.Init), Reason: client.None.String(), Changes: []Change{}})
	l, err := newLoop(r)
	if err != nil {
		return err
	}
	defer l.alarm.Close()
	watching, stop := context.WithCancel(ctx)
	reports := make(chan linkReport)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watchLink(watching, r.o.Net, r.o.Interface, reports)
	}()
	l.run(ctx, reports)
	stop()
	<-watched
	l.closePort()
	if l.jumps != nil {
		l.jumps.Close()
	}
	r.final.Store(l.status.get(l))
	return l.result
}

func newLoop(r *Runner) (*loop, error) {
	l := &loop{r: r, o: &r.o, armed: never}
	var err error
	if l.alarm, err = r.o.Clock.NewAlarm(); err != nil {
		return nil, err
	}
	now := r.o.Clock.Now()
	if s, ok := r.o.Clock.(clock.Sleeper); ok {
		if l.jumps, err = s.NewJumps(); err != nil {
			l.alarm.Close()
			return nil, err
		}
		l.sleeper, l.slept = s, s.Suspended()
	}
	l.carrier.init()
	l.host.init()
	l.report.init()
	l.status.init(now)
	return l, nil
}

// watchLink follows the interface until ctx ends.
func watchLink(ctx context.Context, n link.ClientNet, name string, reports chan<- linkReport) {
	send := func(r linkReport) {
		select {
		case reports <- r:
		case <-ctx.Done():
		}
	}
	for {
		err := n.WatchClient(ctx, name, func(l *wire.Link, m *link.Missing) { send(linkReport{link: l, missing: m}) })
		if ctx.Err() != nil {
			return
		}
		send(linkReport{err: err})
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// run is the loop. One wake-up handles all that came in one batch and reads the clock
// once for it.
func (l *loop) run(ctx context.Context, reports <-chan linkReport) {
	done := ctx.Done()
	var jumped <-chan struct{}
	if l.jumps != nil {
		jumped = l.jumps.C()
	}
	for !l.finished {
		l.arm()
		select {
		case <-done:
			l.stop(l.o.Clock.Now())
		case r := <-reports:
			l.wake()
			l.linkChanged(l.o.Clock.Now(), r)
		case in := <-l.carrier.received:
			l.wake()
			l.batch(l.o.Clock.Now(), in)
		case fn := <-l.r.calls:
			l.wake()
			fn(l)
		case <-l.alarm.C():
			l.armed = never
			l.wake()
			l.due(l.o.Clock.Now())
		case <-jumped:
			l.wake()
			l.tick(l.o.Clock.Now())
		}
	}
}

// arm sets the alarm to what is due next.
func (l *loop) arm() {
	at := min(l.carrier.at(), l.host.at(), l.report.at())
	if l.m != nil {
		at = min(at, l.m.NextTick())
	}
	if at != l.armed {
		l.armed = at
		l.alarm.Set(at)
	}
}

// wake looks whether the machine slept before anything else is done with what woke the
// loop: the address may have ended meanwhile, while the kernel's timers stood still.
func (l *loop) wake() {
	if l.sleeper == nil {
		return
	}
	s := l.sleeper.Suspended()
	resumed := s-l.slept >= suspendJump
	l.slept = s
	if resumed && l.m != nil {
		l.in = client.Input{Kind: client.InputResume}
		l.handle(l.o.Clock.Now())
	}
}

// tick gives the machine the time: it sees by itself what is due, and whether the wall
// clock was set.
func (l *loop) tick(now lease.Instant) {
	if l.m != nil {
		l.in = client.Input{Kind: client.InputTick}
		l.handle(now)
	}
}

// due does what has become due.
func (l *loop) due(now lease.Instant) {
	if l.m != nil && l.m.NextTick() <= now.M {
		l.tick(now)
	}
	l.host.due(l, now)
	l.carrier.due(l, now)
	l.report.due(l, now)
}

// batch handles what one Receive brought, and gives the batch back.
func (l *loop) batch(now lease.Instant, in received) {
	p := in.from
	if p != l.carrier.port {
		return // of a port that was closed meanwhile
	}
	if in.err != nil {
		l.portFailed(now, in.err)
		return
	}
	for i := range in.batch.Packets {
		l.in = client.Input{Kind: client.InputPacket, Packet: &in.batch.Packets[i]}
		l.handle(now)
	}
	for i := range in.batch.ARPs {
		l.in = client.Input{Kind: client.InputARP, ARP: &in.batch.ARPs[i]}
		l.handle(now)
	}
	p.free <- in.batch
}

// handle gives the machine l.in, tells the port whose ARP messages matter now, before a
// probe can be answered, and does what the machine asks for.
func (l *loop) handle(now lease.Instant) {
	l.guarded(now)
	l.watch(now)
	l.perform(now)
	l.fx.Reset()
	l.in = client.Input{}
}

// guarded calls the machine. What a panic had asked for until then is dropped: the
// next input finds a machine that may have missed one.
func (l *loop) guarded(now lease.Instant) {
	defer func() {
		if p := recover(); p != nil {
			l.fx.Reset()
			l.panicked(now, p)
		}
	}()
	l.m.Handle(now, &l.in, &l.fx)
}

func (l *loop) panicked(now lease.Instant, p any) {
	l.r.panics.Add(1)
	l.report.note(l, now, "panic", fmt.Sprintf("a bug: %v; the client goes on. Please report this:\n%s", p, debug.Stack()))
}

// command does what the user asks for.
func (l *loop) command(kind client.InputKind) error {
	switch {
	case l.m == nil || l.carrier.link == nil:
		return fmt.Errorf("%w: %s is not up, so that no server can be asked", ErrRefused, l.o.Interface)
	case l.m.Lease() == nil && kind != client.InputRenew:
		return fmt.Errorf("%w: there is no lease", ErrRefused)
	}
	l.in = client.Input{Kind: kind}
	l.handle(l.o.Clock.Now())
	return nil
}

// stop takes everything off the interface and ends the loop.
func (l *loop) stop(now lease.Instant) {
	if l.finished {
		return
	}
	if l.m != nil {
		l.in = client.Input{Kind: client.InputStop}
		l.handle(now)
	}
	l.finished = true
	if l.o.Once {
		l.result = ErrNotBound
	}
}
