package engine

import (
	"log/slog"
	"time"

	"lessor/internal/clock"
	"lessor/internal/event"
	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/wire"
)

const (
	never  = lease.Never
	second = lease.Second

	markEvery  = 50 * second        // a mark is on disk at least once a minute
	healEvery  = second             // between two tries to write a new store
	slowAfter  = second             // a commit that takes longer makes health red
	calmAfter  = 5 * second         // without overload before it counts as over
	drainLimit = batchesPerPort / 2 // batches handled before a commit is begun
)

// loop is the state of the loop's goroutine.
type loop struct {
	core  *server.Core
	hold  *Hold
	alarm clock.Alarm
	open  []*served
	job   job
	mark  lease.Mark // of the start of the process

	armed    int64 // when the alarm rings
	marked   int64 // when the last commit began
	began    int64 // when the first change of the gathering group was made; 0: none
	failing  error // why the store cannot commit, nil if it can
	since    int64 // when that began
	healAt   int64
	slow     bool
	overload bool
	calmAt   int64
	careful  int64 // when careful mode ends, 0: not in it
	busy     bool  // the committer has the job

	drained  chan struct{} // set by stop: to be closed when nothing waits
	farewell bool          // the last mark is written, or being written
	ended    bool
}

// run is the loop. One wake-up handles all that waits, up to a bound, and reads the
// clock once for each batch.
func (e *Engine) run() {
	defer close(e.loopDone)
	e.armed = never
	for !e.ended {
		e.next()
		select {
		case in := <-e.in:
			e.drain(in)
		case j := <-e.done:
			e.answered(j)
		case fn := <-e.calls:
			e.call(fn)
		case <-e.alarm.C():
			e.armed = never
			e.tick()
		}
	}
	e.alarm.Close()
	close(e.jobs)
	if e.busy {
		<-e.done
	}
}

// drain handles in and what waits behind it.
func (e *Engine) drain(in input) {
	for range drainLimit {
		e.batch(in)
		select {
		case j := <-e.done:
			e.answered(j)
			e.next()
		default:
		}
		select {
		case in = <-e.in:
		default:
			return
		}
	}
	e.batch(in)
}

// batch handles one batch and sends what need not wait.
func (e *Engine) batch(in input) {
	now := e.clock.Now()
	e.queued.Add(-int64(len(in.packets)))
	e.measure(now)
	fill := e.hold.Fill()
	for i := range in.packets {
		if fill >= 3 && (fill == 4 || classify(in.packets[i].Data) < holder) {
			e.stats.shed.Add(1)
			continue
		}
		e.handle(now, &in.packets[i])
	}
	for i := range in.batch.ARPs {
		e.handleARP(now, &in.batch.ARPs[i])
	}
	in.from.free <- in.batch
	e.settle(now)
}

func (e *Engine) handle(now lease.Instant, p *wire.Packet) {
	fx := e.hold.Effects()
	replies := len(fx.Replies)
	defer e.guard("handle", func() { fx.Replies = fx.Replies[:replies] })
	e.core.Handle(now, p, fx)
}

func (e *Engine) handleARP(now lease.Instant, a *wire.ARP) {
	defer e.guard("handle ARP", nil)
	e.core.HandleARP(now, a, e.hold.Effects())
}

// tick lets the core do what has become due.
func (e *Engine) tick() {
	now := e.clock.Now()
	e.measure(now)
	e.log.Tick(now)
	func() {
		defer e.guard("tick", nil)
		if e.core.NextTick() <= now.M {
			e.core.Tick(now, e.hold.Effects())
		}
	}()
	e.settle(now)
}

// call runs a request of another goroutine.
func (e *Engine) call(fn func()) {
	defer e.guard("request", nil)
	fn()
	e.settle(e.clock.Now())
}

// settle sends what inputs asked for and need not wait for.
func (e *Engine) settle(now lease.Instant) {
	e.perform(now, e.hold.Settle(), 0)
	switch {
	case e.hold.Gathering() == 0:
		e.began = 0
	case e.failing != nil:
		undo := e.hold.Abandon()
		e.core.Rollback(now, undo.Gathering)
	case e.began == 0:
		e.began = now.M
	}
}

// next gives the committer its next work, if it has none and there is any, and
// sets the alarm.
func (e *Engine) next() {
	now := e.clock.Now()
	if !e.busy {
		e.assign(now)
	}
	if e.drained != nil && !e.busy && len(e.in) == 0 {
		close(e.drained)
		e.drained = nil
	}
	e.arm(now)
}

// assign chooses the committer's next job.
func (e *Engine) assign(now lease.Instant) {
	switch {
	case e.failing != nil:
		if now.M >= e.healAt && e.drained == nil {
			s := &snapshot{e: e}
			e.give(now, job{kind: jobRecreate, next: s.next})
		}
	case e.careful != 0 && now.M >= e.careful:
		e.careful = 0
		e.give(now, job{kind: jobRecovered})
	default:
		last := e.drained != nil && !e.farewell && len(e.in) == 0
		if g := e.hold.Next(last || now.M >= e.marked+markEvery); g != nil {
			e.give(now, job{kind: jobCommit, group: g, since: e.began})
			e.began, e.farewell = 0, last
		}
	}
}

func (e *Engine) give(now lease.Instant, j job) {
	j.began, j.mark = now.M, e.mark.At(now.M)
	e.job, e.marked, e.busy = j, now.M, true
	e.jobs <- &e.job
}

// answered takes the committer's answer.
func (e *Engine) answered(j *job) {
	e.busy = false
	now := e.clock.Now()
	if e.slow {
		e.slow = false
	}
	switch j.kind {
	case jobCommit:
		e.committed(now, j)
	case jobRecreate:
		e.recreated(now, j)
	case jobRecovered:
		if j.err != nil {
			e.storeFailed(now, j.err)
		}
	}
}

func (e *Engine) committed(now lease.Instant, j *job) {
	out, undo, ok := e.hold.Done(j.err != nil)
	if j.err == nil {
		e.core.Durable(e.hold.Durable())
	}
	if !ok {
		e.core.Rollback(now, undo.Gathering)
		e.core.Rollback(now, undo.Failed)
		e.began = 0
	}
	if j.err != nil {
		e.storeFailed(now, j.err)
		return
	}
	e.perform(now, out, j.since)
}

// storeFailed begins the time in which nothing new is promised (I17).
func (e *Engine) storeFailed(now lease.Instant, err error) {
	e.core.SetStoreFailing(true)
	e.failing, e.since, e.healAt = err, now.M, now.M+healEvery
	e.log.Say(event.StoreFailed, slog.Any("error", err))
}

func (e *Engine) recreated(now lease.Instant, j *job) {
	if j.err != nil {
		e.healAt = now.M + healEvery
		e.log.Say(event.StoreRetry, slog.Any("error", j.err))
		return
	}
	e.failing = nil
	e.core.SetStoreFailing(false)
	e.log.Say(event.StoreHealed, slog.String("took", time.Duration(now.M-e.since).Round(time.Millisecond).String()))
}

// perform sends replies and probes, and tells the log what has become true. since
// is when the first of it was decided, 0 for just now.
func (e *Engine) perform(now lease.Instant, out Out, since int64) {
	for i := range out.Replies {
		r := &out.Replies[i]
		if s := e.port(r.Link); s != nil {
			s.out = append(s.out, r.Send)
		} else {
			e.stats.sendFailed.Add(1) // the interface went away meanwhile
		}
	}
	for _, s := range e.open {
		if len(s.out) > 0 {
			e.send(s)
		}
	}
	if len(out.Probes) > 0 {
		e.probe(out.Probes)
	}
	took := int64(0)
	if since != 0 {
		took = now.M - since
	}
	for i := range out.Events {
		e.log.Event(now, &out.Events[i], took)
	}
}

// port is the open port of an interface, or nil. There are few.
func (e *Engine) port(id wire.LinkID) *served {
	for _, s := range e.open {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (e *Engine) send(s *served) {
	defer e.guard("send", nil)
	failed, _ := s.port.Send(s.out) // a port that is broken tells its receiver too
	s.out = s.out[:0]
	if failed > 0 {
		e.stats.sendFailed.Add(uint64(failed))
	}
}

// probe sends ARP requests, in runs of the same interface.
func (e *Engine) probe(as []wire.ARP) {
	defer e.guard("send ARP", nil)
	for len(as) > 0 {
		n := 1
		for n < len(as) && as[n].Link == as[0].Link {
			n++
		}
		if s := e.port(as[0].Link); s == nil || s.port.SendARP(as[:n]) != nil {
			e.stats.sendFailed.Add(uint64(n))
		}
		as = as[n:]
	}
}

// measure tells the core and the log when overload begins and ends.
func (e *Engine) measure(now lease.Instant) {
	high := e.queued.Load() >= shedNewcomers || e.hold.Fill() >= 3
	switch {
	case high:
		e.calmAt = now.M + calmAfter
		if !e.overload {
			e.overload = true
			e.core.SetOverload(true)
			e.log.Say(event.Overload)
		}
	case e.overload && now.M >= e.calmAt:
		e.overload = false
		e.core.SetOverload(false)
		e.log.Say(event.OverloadEnded, slog.Uint64("dropped", e.stats.shed.Load()))
	}
}

// arm sets the alarm for the next thing that is due. An alarm that is set for
// earlier is left: ringing for nothing is cheaper than setting it for each packet.
func (e *Engine) arm(now lease.Instant) {
	at := min(e.core.NextTick(), e.marked+markEvery)
	if e.busy {
		at = e.core.NextTick()
		if !e.slow && e.job.kind == jobCommit {
			if now.M >= e.job.began+slowAfter {
				e.slow = true
				e.log.Say(event.StoreSlow)
			} else {
				at = min(at, e.job.began+slowAfter)
			}
		}
	} else if e.failing != nil {
		at = min(e.core.NextTick(), e.healAt)
	}
	if e.overload {
		at = min(at, e.calmAt)
	}
	if e.careful != 0 && !e.busy {
		at = min(at, e.careful)
	}
	if at < e.armed {
		e.armed = at
		e.alarm.Set(at)
	}
}

// setLinks takes the interfaces that are served from now on.
func (e *Engine) setLinks(open []*served, links []wire.Link) {
	e.open = open
	e.core.SetLinks(e.clock.Now(), links, e.hold.Effects())
}
