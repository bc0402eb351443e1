package engine

import (
	"lessor/internal/clock"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

const drainLimit = batchesPerPort / 2 // batches handled before a commit is begun

// loop is the state of the loop's goroutine.
type loop struct {
	serving *Serving
	alarm   clock.Alarm
	armed   int64 // when the alarm rings
	open    []*served

	counted int64 // when a trace last had Counts

	drained chan struct{} // set by stop: to be closed when nothing waits
	ended   bool
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
	if e.serving.Busy() {
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
	e.serving.Measure(now, e.queued.Add(-int64(len(in.packets))), e.stats.shed.Load())
	for i := range in.packets {
		e.handle(now, &in.packets[i])
	}
	for i := range in.batch.ARPs {
		e.handleARP(now, &in.batch.ARPs[i])
	}
	for i := range in.batch.Echoes {
		e.handleEcho(now, &in.batch.Echoes[i])
	}
	in.from.free <- in.batch
	e.perform(now, e.serving.Settle(now))
	e.traceCounts(now)
}

func (e *Engine) handle(now lease.Instant, p *wire.Packet) {
	fx := e.serving.hold.Effects()
	replies := len(fx.Replies)
	defer e.guard("handle", func() { fx.Replies = fx.Replies[:replies] })
	if !e.serving.Packet(now, p) {
		e.stats.shed.Add(1)
	}
}

func (e *Engine) handleARP(now lease.Instant, a *wire.ARP) {
	defer e.guard("handle ARP", nil)
	e.serving.ARP(now, a)
}

func (e *Engine) handleEcho(now lease.Instant, m *wire.Echo) {
	defer e.guard("handle echo", nil)
	e.serving.Echo(now, m)
}

// tick lets the core do what has become due.
func (e *Engine) tick() {
	now := e.clock.Now()
	e.serving.Measure(now, e.queued.Load(), e.stats.shed.Load())
	e.log.Tick(now)
	func() {
		defer e.guard("tick", nil)
		e.serving.Tick(now)
	}()
	e.perform(now, e.serving.Settle(now))
	e.traceCounts(now)
}

// call runs a request of another goroutine.
func (e *Engine) call(fn func()) {
	defer e.guard("request", nil)
	fn()
	now := e.clock.Now()
	e.perform(now, e.serving.Settle(now))
}

// next gives the committer its next work, if it has none and there is any, and
// sets the alarm. An alarm that is set for earlier is left: ringing for nothing is
// cheaper than setting it for each packet.
func (e *Engine) next() {
	now := e.clock.Now()
	if j := e.serving.Next(now, len(e.in) == 0); j != nil {
		e.jobs <- j
	}
	if e.drained != nil && !e.serving.Busy() && len(e.in) == 0 {
		close(e.drained)
		e.drained = nil
	}
	if at := e.serving.Due(now); at < e.armed {
		e.armed = at
		e.alarm.Set(at)
	}
}

// answered takes the committer's answer.
func (e *Engine) answered(j *Job) {
	now := e.clock.Now()
	failing := e.serving.Failing() != nil
	out := e.serving.Answered(now, j)
	e.traceStore(failing)
	e.perform(now, out)
}

// perform sends replies and probes, and tells the log what has become true.
func (e *Engine) perform(now lease.Instant, out Out) {
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
	if len(out.Echoes) > 0 {
		e.sendEchoes(out.Echoes)
	}
	took := int64(0)
	if out.Since != 0 {
		took = now.M - out.Since
	}
	for i := range out.Events {
		e.log.Event(now, &out.Events[i], took)
	}
	e.traceEvents(out.Events)
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

// sendEchoes sends echo requests, in runs of the same port.
func (e *Engine) sendEchoes(ms []wire.Echo) {
	defer e.guard("send echo", nil)
	for len(ms) > 0 {
		n := 1
		for n < len(ms) && ms[n].Link == ms[0].Link {
			n++
		}
		failed := n
		if s := e.port(ms[0].Link); s != nil {
			failed, _ = s.port.SendEcho(ms[:n]) // no route is silence
		}
		e.stats.sendFailed.Add(uint64(failed))
		ms = ms[n:]
	}
}

// setLinks takes the interfaces that are served from now on.
func (e *Engine) setLinks(open []*served, links []wire.Link) {
	e.open = open
	e.traceServed(links)
	e.serving.SetLinks(e.clock.Now(), links)
}
