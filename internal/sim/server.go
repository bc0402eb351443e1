package sim

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/engine"
	"lessor/internal/event"
	"lessor/internal/lease"
	"lessor/internal/link"
	"lessor/internal/policy"
	"lessor/internal/server"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// serverHost is a machine with a server: the process is there while serving is not nil.
type serverHost struct {
	w      *world
	plan   *ServerPlan
	clock  clocks
	nics   []*nic
	locals []*link.Locals // of all interfaces together, one value shared
	disk   disk
	config string // the file, as it was last good

	serving  *engine.Serving
	life     int // counts processes, so that what an earlier one planned is nothing to a later one
	armed    int64
	waiting  []arrival // frames between the cards and the process
	planned  bool      // a round is planned
	asleep   bool
	off      bool
	stopping bool
	fuse     int // effect boundaries until the process or machine dies; -1: none
	dead     func()
	shed     uint64
	slowBy   int64 // each sync takes so much longer
	slowTill int64
	rounds   int
	batch    link.Batch
	fresh    bool
	restart  int64 // when a stopping server is started again
}

// arrival is a frame that waits for the process.
type arrival struct {
	n     *nic
	frame []byte
}

func newServerHost(w *world, p *ServerPlan) *serverHost {
	s := &serverHost{w: w, plan: p, clock: newClocks(w.plan.Seed, p.Name, p.Clock), config: p.Config, fuse: -1, fresh: true}
	locals := new(link.Locals)
	s.locals = append(s.locals, locals)
	for i, a := range p.Addrs {
		n := &nic{w: w, host: p.Name, seg: w.segments[i], id: wire.LinkID(i + 1), mac: wire.MAC{2, 0, 0x5e, 0xee, byte(name(p.Name)), byte(i)},
			carrier: true, off: true, addrs: []dhcp4.Prefix{a}}
		n.take = func(frame []byte) { s.arrived(n, frame) }
		n.seg.nics = append(n.seg.nics, n)
		s.nics = append(s.nics, n)
	}
	s.disk = newDisk(w, p)
	return s
}

// powerUp is the machine's boot; the server is started by it.
func (s *serverHost) powerUp() {
	s.off = false
	for _, n := range s.nics {
		n.off = false
		s.sayInterface(n)
	}
	s.moved()
	s.start()
}

// links are the interfaces that can be served.
func (s *serverHost) links() (out []wire.Link) {
	for _, n := range s.nics {
		if n.up() && len(n.addrs) > 0 {
			out = append(out, s.linkOf(n))
		}
	}
	return out
}

func (s *serverHost) linkOf(n *nic) wire.Link {
	return wire.Link{ID: n.id, Name: fmt.Sprintf("eth%d", n.id-1), MAC: n.mac, MTU: mtu, Addrs: slices.Clone(n.addrs)}
}

func (s *serverHost) sayInterface(n *nic) {
	s.w.emit(s.plan.Name, &trace.Interface{Link: s.linkOf(n), Ready: n.up() && len(n.addrs) > 0, Up: n.up()})
}

// moved tells the kernel's part which addresses are the host's.
func (s *serverHost) moved() {
	var ifs []link.Interface
	for _, n := range s.nics {
		ifs = append(ifs, link.Interface{Index: n.id, MAC: n.mac, Addrs: n.addrs})
	}
	s.locals[0].Set(ifs)
}

func (s *serverHost) now() lease.Instant { return s.clock.read(s.w.now) }

// policy compiles a configuration; nil when it is bad.
func (w *world) policy(text string) (*policy.Policy, string) {
	if p, ok := w.policies[text]; ok {
		return p, ""
	}
	c, problems := config.Parse("sim.yaml", []byte(text))
	if c == nil || problems.Err() != nil {
		return nil, fmt.Sprint(problems.Err())
	}
	w.policies[text] = c.Policy()
	return c.Policy(), ""
}

// start starts the process.
func (s *serverHost) start() {
	if s.serving != nil || s.off {
		return
	}
	if s.asleep {
		s.w.after(second, s.start)
		return
	}
	w, name := s.w, s.plan.Name
	p, why := w.policy(s.config)
	if p == nil {
		w.err = fmt.Errorf("%s: the configuration to start with is bad: %s\n%s", name, why, s.config)
		return
	}
	secret := [16]byte{1, 2, 3, byte(name[len(name)-1])}
	st, err := s.disk.open()
	if err == nil {
		s.serving, _, err = engine.LoadServing(context.Background(), st, s.now(), s.clock.boot, secret, sayer{s})
	}
	if err != nil { // the disk does not let it start; the supervisor tries again
		s.serving = nil
		w.note(name, "start failed: %v", err)
		w.after(second, s.start)
		return
	}
	s.life++
	s.stopping, s.fuse, s.armed, s.waiting, s.planned = false, -1, never, s.waiting[:0], false
	s.serving.SetRare(s.plan.Rare)
	s.begin(p)
}

// begin says what was loaded, and serves.
func (s *serverHost) begin(p *policy.Policy) {
	w, name := s.w, s.plan.Name
	now := s.now()
	var all []lease.Binding
	s.serving.Call(now, func(_ lease.Instant, core *server.Core, _ *server.Effects) {
		t := core.Table()
		for from, more := lease.Slot(0), true; more; more = from != 0 {
			from = t.Scan(from, 4096, func(slot lease.Slot) {
				var b lease.Binding
				t.Binding(slot, &b)
				all = append(all, keep(b))
			})
		}
	})
	slices.SortFunc(all, func(a, b lease.Binding) int { return int(int64(a.Addr) - int64(b.Addr)) })
	if len(all) > 0 {
		w.emit(name, &trace.Loaded{Records: all})
	}
	recovery := s.disk.Recovery()
	r := &s.plan.Rare
	w.emit(name, &trace.Started{Boot: s.clock.boot, Careful: recovery.Careful, Fresh: s.fresh, Records: len(all),
		Bounds: trace.Bounds{Offers: r.Offers, Checks: r.Checks, Passed: r.Passed, Changes: r.Changes, Replies: r.Replies}})
	s.fresh = false
	w.emit(name, &trace.Config{Text: s.config, Policy: p})
	s.perform(s.serving.Begin(now, p, recovery))
	life := s.life
	w.after(20_000_000, func() {
		if s.life == life && s.serving != nil {
			s.linksChanged()
		}
	})
	s.next()
}

// keep is b with slices of its own.
func keep(b lease.Binding) lease.Binding {
	b.HW, b.ClientID = bytes.Clone(b.HW), bytes.Clone(b.ClientID)
	b.Hostname, b.Agent = bytes.Clone(b.Hostname), bytes.Clone(b.Agent)
	return b
}

// linksChanged is what the engine's watch over the interfaces brings about.
func (s *serverHost) linksChanged() {
	if s.serving == nil {
		return
	}
	links := s.links()
	s.w.emit(s.plan.Name, &trace.Served{Links: links})
	s.serving.SetLinks(s.now(), links)
	s.settle()
}

// arrived is called when a frame has reached a card: the socket's filter looks at it, and a
// round of the loop is planned.
func (s *serverHost) arrived(n *nic, frame []byte) {
	const most = 4096
	if s.serving == nil || s.stopping || s.asleep || !link.ServerRule.Wanted(frame) {
		return
	}
	if len(s.waiting) >= most {
		s.w.stats.Faults++
		return
	}
	s.waiting = append(s.waiting, arrival{n, frame})
	if s.planned {
		return
	}
	s.planned = true
	delay := int64(5_000)
	if s.plan.Batch {
		d := newDice(s.w.plan.Seed, name(s.plan.Name), uint64(s.w.now))
		delay += d.n(4_000_000)
	}
	s.own(delay, s.round)
}

// own plans something for this life of the process alone; while the machine sleeps it waits.
func (s *serverHost) own(delay int64, do func()) {
	life := s.life
	var run func()
	run = func() {
		switch {
		case s.life != life || s.serving == nil:
		case s.asleep:
			s.w.after(100_000_000, run)
		default:
			do()
		}
	}
	s.w.after(delay, run)
}

// round is one turn of the loop: what waits is handled, what need not wait leaves.
func (s *serverHost) round() {
	s.planned = false
	now := s.now()
	s.serving.Measure(now, int64(len(s.waiting)), s.shed)
	batch := s.waiting
	s.waiting = nil
	for _, a := range batch {
		s.handle(now, a)
	}
	s.settle()
}

func (s *serverHost) handle(now lease.Instant, a arrival) {
	s.batch.Reset()
	s.batch.Add(&link.Identity{Link: a.n.id, MAC: a.n.mac, Port: dhcp4.ServerPort, Locals: s.locals[0]}, a.frame, link.Aux{})
	for i := range s.batch.Packets {
		p := &s.batch.Packets[i]
		if !s.serving.Packet(now, p) {
			s.shed++
			s.w.stats.Faults++
			continue
		}
		s.w.emit(s.plan.Name, a.n.received(p, dhcp4.ServerPort))
	}
	for i := range s.batch.ARPs {
		m := &s.batch.ARPs[i]
		s.serving.ARP(now, m)
		s.w.emit(s.plan.Name, a.n.receivedARP(m))
	}
	for i := range s.batch.Echoes {
		s.serving.Echo(now, &s.batch.Echoes[i])
	}
}

// settle lets go what need not wait and gives the disk its next work.
func (s *serverHost) settle() {
	s.perform(s.serving.Settle(s.now()))
	if s.serving != nil {
		s.next()
	}
	s.rounds++
	if s.rounds%32 == 0 {
		s.count()
	}
}

// boundary is between two effects: where a process or a machine may end.
func (s *serverHost) boundary() (alive bool) {
	if s.fuse < 0 {
		return true
	}
	if s.fuse--; s.fuse < 0 {
		s.dead()
	}
	return s.serving != nil
}

// perform sends and says what Serving has let go. The process may end in the midst of it.
func (s *serverHost) perform(out engine.Out) {
	for i := range out.Replies {
		if !s.boundary() {
			return
		}
		r := &out.Replies[i]
		if n := s.nic(r.Link); n != nil {
			n.send(r.Send)
		}
		if r.Type == dhcp4.Ack {
			s.w.stats.Acks++
		}
	}
	for _, a := range out.Probes {
		if !s.boundary() {
			return
		}
		if n := s.nic(a.Link); n != nil {
			n.sendARP(a)
		}
	}
	for _, m := range out.Echoes {
		if !s.boundary() {
			return
		}
		if n := s.nic(m.Link); n != nil {
			n.sendEcho(m)
		}
	}
	for i := range out.Events {
		ev := out.Events[i]
		ev.HW, ev.ClientID, ev.Hostname = bytes.Clone(ev.HW), bytes.Clone(ev.ClientID), bytes.Clone(ev.Hostname)
		s.w.emit(s.plan.Name, &trace.Happened{Event: ev})
	}
}

func (s *serverHost) nic(id wire.LinkID) *nic {
	if id < 1 || int(id) > len(s.nics) {
		return nil
	}
	return s.nics[id-1]
}

// next gives the disk work if there is any, and arms the alarm.
func (s *serverHost) next() {
	now := s.now()
	if j := s.serving.Next(now, len(s.waiting) == 0); j != nil {
		if !s.boundary() {
			return
		}
		s.disk.begin(j)
		d := newDice(s.w.plan.Seed, name(s.plan.Name), uint64(s.w.now), 7)
		delay := d.between(s.plan.Latency)
		if s.w.now < s.slowTill && !s.w.healed {
			delay += min(s.slowBy, s.slowTill-s.w.now) // a device that works again answers what it was asked before
		}
		s.own(delay, func() { s.done(j) })
	} else if s.stopping && !s.serving.Busy() {
		s.stopped()
		return
	}
	s.arm(now)
}

// arm plans the next tick.
func (s *serverHost) arm(now lease.Instant) {
	at := s.serving.Due(now)
	if at >= s.armed {
		return
	}
	s.armed = at
	s.ring(at)
}

// ring ticks when CLOCK_BOOTTIME has come to at, unless the alarm was set anew.
func (s *serverHost) ring(at int64) {
	s.own(s.clock.when(at)-s.w.now, func() {
		switch {
		case s.armed != at:
		case s.now().M < at: // the clock's rate or base changed meanwhile
			s.ring(at)
		default:
			s.tick()
		}
	})
}

func (s *serverHost) tick() {
	s.armed = never
	now := s.now()
	s.serving.Measure(now, int64(len(s.waiting)), s.shed)
	s.serving.Tick(now)
	s.settle()
}

// done is the disk's answer.
func (s *serverHost) done(j *engine.Job) {
	if !s.boundary() {
		return
	}
	began := j.Began
	j.Run(context.Background(), s.disk, s.serving, func(f func()) bool { f(); return true })
	s.disk.end()
	if j.Group != nil {
		s.w.stats.Commits++
		c := &trace.Commit{Began: began, Mark: j.Mark}
		if j.Err != nil {
			c.Err = j.Err.Error()
		}
		for i := range j.Group.Changes {
			ch := j.Group.Changes[i]
			ch.Before, ch.After = keep(ch.Before), keep(ch.After)
			c.Changes = append(c.Changes, ch)
			c.Results = append(c.Results, j.Group.Results[i].Outcome)
		}
		s.w.emit(s.plan.Name, c)
	}
	if !s.boundary() {
		return
	}
	s.perform(s.serving.Answered(s.now(), j))
	if s.serving != nil {
		s.next()
	}
}

// count looks at the server between two inputs.
func (s *serverHost) count() {
	if s.serving == nil {
		return
	}
	s.serving.Call(s.now(), func(_ lease.Instant, core *server.Core, _ *server.Effects) {
		c := &trace.Counts{Pools: core.Pools(), Counters: *core.Counters(), Bindings: core.Table().Len(), Queued: len(s.waiting)}
		c.Changes, c.Replies = s.serving.Waiting()
		n := core.Sizes()
		c.Offers, c.Past, c.Checks = n.Offers, n.Past, n.Checks
		s.w.emit(s.plan.Name, c)
	})
}

// sayer turns what a server tells people into entries.
type sayer struct{ s *serverHost }

func (y sayer) Say(id event.ID, attrs ...slog.Attr) {
	switch id {
	case event.StoreFailed:
		y.s.w.emit(y.s.plan.Name, &trace.StoreState{Failing: true, Why: fmt.Sprint(attrs)})
	case event.StoreHealed:
		y.s.w.emit(y.s.plan.Name, &trace.StoreState{})
	default:
		y.s.w.note(y.s.plan.Name, "%v %v", id, attrs)
	}
}
