package sim

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"slices"

	"lessor/internal/checker"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/trace"
)

// Observer gets every entry as it happens; it may keep what an entry refers to.
type Observer interface{ Entry(*trace.Entry) }

// world is one run. It belongs to one goroutine.
type world struct {
	plan   *Plan
	now    int64 // true time
	queue  queue
	healed bool
	cuts   []cut
	err    error // what a run must not meet at all

	segments []*segment
	servers  []*serverHost
	clients  []*clientHost
	hostiles []*hostile
	relays   []*relayHost
	policies map[string]*policy.Policy

	check    *checker.Checker
	hash     hash.Hash
	scratch  []byte
	observer Observer
	stats    Stats
}

// mostEvents is far more than any plan needs.
const mostEvents = 20_000_000

// Run lives through a plan and judges it. It stops at the first breach. The same plan gives
// the same result. o may be nil.
func Run(p *Plan, o Observer) Result {
	w := &world{plan: p, check: checker.New(), hash: sha256.New(), observer: o, policies: map[string]*policy.Policy{}}
	w.stats.Seeds = 1
	w.build()
	w.emit("", &trace.Phase{Name: trace.PhaseFaults})
	for i := range p.Steps {
		s := &p.Steps[i]
		w.queue.push(s.At, func() { w.step(s) })
	}
	w.queue.push(p.Heal, w.heal)
	for n := 0; len(w.queue.heap) > 0 && len(w.check.Breaches()) == 0 && w.err == nil; n++ {
		if n == mostEvents {
			w.err = fmt.Errorf("%d events, and the run is not over: something goes round in a circle", n)
		}
		e := w.queue.pop()
		if e.at > p.End {
			break
		}
		w.now = max(w.now, e.at)
		e.do()
	}
	return w.finish()
}

func (w *world) finish() Result {
	r := Result{Plan: w.plan}
	whole := len(w.check.Breaches()) == 0 && w.err == nil
	if whole {
		w.now = w.plan.End
		w.emit("", &trace.Phase{Name: trace.PhaseEnd})
		w.check.End()
	}
	for _, b := range w.check.Breaches() {
		if r.Rule == "" {
			r.Rule = b.Rule
		}
		r.Breaches = append(r.Breaches, b.String())
	}
	if w.err != nil {
		r.Rule = "run"
		r.Breaches = append(r.Breaches, w.err.Error())
	}
	for _, s := range w.servers {
		s.disk.discard()
	}
	w.stats.Virtual = w.now
	r.Stats = w.stats
	w.hash.Sum(r.Hash[:0])
	return r
}

// heal ends all that goes wrong.
func (w *world) heal() {
	w.healed = true
	w.cuts = nil
	for _, s := range w.servers {
		s.mend()
	}
	for _, r := range w.relays {
		r.mend()
	}
	for _, c := range w.clients {
		c.mend()
	}
	w.emit("", &trace.Phase{Name: trace.PhaseHealed})
}

// after plans something.
func (w *world) after(d int64, do func()) { w.queue.push(w.now+max(d, 0), do) }

// emit gives an entry to whoever judges, counts and watches. What body refers to must not be
// changed afterwards.
func (w *world) emit(host string, body trace.Body) {
	e := &trace.Entry{T: w.now, Host: host, Body: body}
	if c := w.clockOf(host); c != nil {
		e.Now = c.read(w.now)
	}
	w.hashEntry(e)
	w.check.Entry(e)
	if w.observer != nil {
		w.observer.Entry(e)
	}
}

// note is for a reader alone.
func (w *world) note(host, format string, args ...any) {
	if w.observer != nil {
		w.observer.Entry(&trace.Entry{T: w.now, Host: host, Body: &trace.Note{Text: fmt.Sprintf(format, args...)}})
	}
}

func (w *world) clockOf(host string) *clocks {
	if s := w.server(host); s != nil {
		return &s.clock
	}
	if c := w.client(host); c != nil {
		return &c.clock
	}
	return nil
}

func (w *world) server(name string) *serverHost {
	for _, s := range w.servers {
		if s.plan.Name == name {
			return s
		}
	}
	return nil
}

func (w *world) client(name string) *clientHost {
	for _, c := range w.clients {
		if c.plan.Name == name {
			return c
		}
	}
	return nil
}

func (w *world) relay(name string) *relayHost {
	for _, r := range w.relays {
		if r.plan.Name == name {
			return r
		}
	}
	return nil
}

// build makes the hosts of the plan.
func (w *world) build() {
	for i := range max(w.plan.Segments, 1) + w.plan.Far {
		w.segments = append(w.segments, &segment{name: fmt.Sprintf("lan%d", i), snoops: slices.Contains(w.plan.Snoops, i)})
	}
	for i := range w.plan.Relays {
		w.relays = append(w.relays, newRelayHost(w, &w.plan.Relays[i]))
	}
	for i := range w.plan.Servers {
		s := newServerHost(w, &w.plan.Servers[i])
		w.servers = append(w.servers, s)
		w.emit(s.plan.Name, s.clock.entry())
		s.powerUp()
	}
	for i := range w.plan.Clients {
		c := newClientHost(w, &w.plan.Clients[i])
		w.clients = append(w.clients, c)
		w.emit(c.plan.Name, c.clock.entry())
		w.after(c.plan.Start, c.start)
	}
	for i, mac := range w.plan.Hostiles {
		w.hostiles = append(w.hostiles, newHostile(w, i, mac))
	}
}

func newClocks(seed uint64, host string, p ClockPlan) clocks {
	d := newDice(seed, name(host), 1)
	c := clocks{drift: int64(p.Drift), now: lease.Instant{M: 5*second + d.n(3600*second), W: epoch + p.Offset}}
	c.newBoot(&d)
	return c
}

func (c *clocks) newBoot(d *dice) {
	for i := range c.boot {
		c.boot[i] = byte(d.next() >> 7)
	}
}

func (c *clocks) entry() *trace.Clock { return &trace.Clock{Boot: c.boot, Drift: int32(c.drift)} }
