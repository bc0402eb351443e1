package sim

import (
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/trace"
)

// What can be done to a server's machine and process.

// crash ends the process at once; power takes the machine and what was not synced with it.
func (s *serverHost) crash(power bool, mode int) {
	if s.serving == nil && !power || s.off {
		return
	}
	s.w.stats.Crashes++
	running := s.serving != nil
	s.serving, s.fuse, s.waiting, s.stopping = nil, -1, nil, false
	s.life++
	d := newDice(s.w.plan.Seed, name(s.plan.Name), uint64(s.life), 11)
	if power {
		s.disk.cut(mode, &d)
	} else {
		s.disk.kill(&d)
	}
	if running {
		s.w.emit(s.plan.Name, &trace.Ended{Power: power})
	}
	if power {
		s.off, s.asleep = true, false
		for _, n := range s.nics {
			n.off = true
			s.sayInterface(n)
		}
	}
}

// reboot gives the machine power again: CLOCK_BOOTTIME begins anew, and the wall clock is
// what its battery says, off by wall.
func (s *serverHost) reboot(wall int64) {
	if !s.off {
		return
	}
	s.newBoot(wall)
	s.powerUp()
}

func (s *serverHost) newBoot(wall int64) {
	d := newDice(s.w.plan.Seed, name(s.plan.Name), uint64(s.life), 13)
	s.clock.rebase(s.w.now)
	s.clock.now = lease.Instant{M: 2*second + d.n(20*second), W: epoch + s.w.now + wall}
	s.clock.newBoot(&d)
	s.w.emit(s.plan.Name, s.clock.entry())
}

// light lays the fuse: after n more effect boundaries f happens.
func (s *serverHost) light(n int, f func()) {
	if n <= 0 || s.serving == nil {
		f()
		return
	}
	s.fuse, s.dead = n, f
	s.own(600*second, func() { // a server that does nothing meets no boundary
		if s.fuse >= 0 {
			s.fuse = -1
			f()
		}
	})
}

// stop asks the process to end, and starts it again later.
func (s *serverHost) stop(restart int64) {
	if s.serving == nil || s.stopping {
		return
	}
	if s.asleep { // nobody asks before it wakes up
		s.own(0, func() { s.stop(restart) })
		return
	}
	s.stopping, s.restart = true, restart
	s.waiting = nil
	s.serving.Close()
	s.next()
}

func (s *serverHost) stopped() {
	s.serving, s.stopping, s.fuse = nil, false, -1
	s.life++
	s.disk.close()
	s.w.emit(s.plan.Name, &trace.Ended{Clean: true})
	s.w.after(s.restart, s.start)
}

// sleep suspends the machine: CLOCK_BOOTTIME goes on, nothing else does.
func (s *serverHost) sleep(d int64) {
	if s.asleep || s.off {
		return
	}
	s.asleep = true
	for _, n := range s.nics {
		n.off = true
	}
	s.w.note(s.plan.Name, "suspended")
	s.w.after(d, s.wakeUp)
}

func (s *serverHost) wakeUp() {
	if !s.asleep || s.off {
		return
	}
	s.asleep = false
	for _, n := range s.nics {
		n.off = false
	}
	s.w.note(s.plan.Name, "resumed")
	s.w.emit(s.plan.Name, s.clock.entry())
	for _, n := range s.nics { // what became of it meanwhile
		s.sayInterface(n)
	}
	if s.serving != nil {
		s.tick()
	}
}

// carrier plugs interface i in or out.
func (s *serverHost) carrier(i int, on bool) {
	if i >= len(s.nics) || s.nics[i].carrier == on {
		return
	}
	s.nics[i].carrier = on
	s.interfaceChanged(s.nics[i])
}

// renumber gives interface i another address.
func (s *serverHost) renumber(i int, a dhcp4.Prefix) {
	if i < len(s.nics) {
		s.nics[i].addrs = []dhcp4.Prefix{a}
		s.moved()
		s.interfaceChanged(s.nics[i])
	}
}

func (s *serverHost) interfaceChanged(n *nic) {
	s.sayInterface(n)
	if s.serving != nil {
		s.own(50_000_000, s.linksChanged)
	}
}

// reload offers a configuration, as SIGHUP does.
func (s *serverHost) reload(text string) {
	if s.asleep { // the signal is there when the machine wakes up
		s.w.after(second, func() { s.reload(text) })
		return
	}
	p, why := s.w.policy(text)
	if p == nil && s.serving == nil {
		return // nobody looks at the file
	}
	if p == nil {
		s.w.emit(s.plan.Name, &trace.Config{Text: text, Refused: true, Why: why})
		return
	}
	s.config = text
	if s.serving == nil || s.asleep || s.stopping {
		return
	}
	s.w.emit(s.plan.Name, &trace.Config{Text: text, Policy: p})
	s.serving.Call(s.now(), func(now lease.Instant, core *server.Core, fx *server.Effects) { core.SetPolicy(now, p, fx) })
	s.settle()
}

// release is the operator's leases release.
func (s *serverHost) release(a dhcp4.Addr, immediate bool) {
	if s.serving == nil || s.asleep || s.stopping || s.serving.Failing() != nil {
		return
	}
	s.serving.Call(s.now(), func(now lease.Instant, core *server.Core, fx *server.Effects) {
		if core.Release(now, a, immediate, fx) == nil {
			s.w.emit(s.plan.Name, &trace.Override{Addr: a, Immediate: immediate})
		}
	})
	s.settle()
}

// mend ends every fault of the host.
func (s *serverHost) mend() {
	s.fuse = -1
	s.disk.mend()
	s.wakeUp()
	for i, n := range s.nics {
		if !n.carrier {
			s.carrier(i, true)
		}
		if want := []dhcp4.Prefix{s.plan.Addrs[i]}; !slices.Equal(n.addrs, want) {
			s.renumber(i, want[0])
		}
	}
	if s.off {
		s.reboot(0)
	} else if s.serving == nil {
		s.start()
	}
}

// step does one step of the plan.
func (w *world) step(p *Step) {
	if w.healed && p.Kind != StepReload {
		return
	}
	w.stats.Faults++
	w.note(p.Host, "%s", p)
	if p.Kind == StepForge {
		w.forge(p)
		return
	}
	if p.Kind == StepPart {
		w.cuts = append(w.cuts, cut{p.Host, p.Peer, w.now + p.For})
		if p.N == 1 && p.Peer != "" {
			w.cuts = append(w.cuts, cut{p.Peer, p.Host, w.now + p.For})
		}
		return
	}
	if s := w.server(p.Host); s != nil {
		s.step(p)
	}
	if c := w.client(p.Host); c != nil {
		c.step(p)
	}
	if r := w.relay(p.Host); r != nil {
		r.step(p)
	}
}

func (s *serverHost) step(p *Step) {
	switch p.Kind {
	case StepKill:
		s.light(p.N, func() {
			s.crash(false, 0)
			s.w.after(10_000_000+p.For, s.start)
		})
	case StepPower:
		s.light(p.N>>2, func() {
			s.crash(true, p.N&3)
			s.w.after(second+p.For, func() { s.reboot(min(p.Size, second)) })
		})
	case StepStop:
		s.stop(p.For)
	case StepSuspend:
		s.sleep(p.For)
	case StepDiskError:
		s.disk.fail(p.N == 0, s.w.now+p.For)
	case StepDiskSlow:
		s.slowBy, s.slowTill = p.Size, s.w.now+p.For
		s.w.emit(s.plan.Name, &trace.Disk{Slow: true, Broken: s.disk.failing()})
		s.w.after(p.For, func() { s.w.emit(s.plan.Name, &trace.Disk{Slow: s.w.now < s.slowTill, Broken: s.disk.failing()}) })
	case StepWall:
		s.clock.rebase(s.w.now)
		s.clock.now.W += p.Size
		s.w.emit(s.plan.Name, s.clock.entry())
	case StepDrift:
		s.clock.rebase(s.w.now)
		s.clock.drift = int64(p.N)
		s.w.emit(s.plan.Name, s.clock.entry())
		s.rearm()
	case StepLinkDown:
		s.carrier(p.N, false)
		s.w.after(p.For, func() { s.carrier(p.N, true) })
	case StepRenumber:
		s.stepRenumber(p)
	case StepReload:
		s.reload(p.Text)
	case StepRelease:
		s.release(p.Addr, p.N == 1)
	}
}

func (s *serverHost) stepRenumber(p *Step) {
	if p.N >= len(s.nics) {
		return
	}
	was := s.nics[p.N].addrs[0]
	s.renumber(p.N, dhcp4.Prefix{Addr: p.Addr, Bits: p.Bits})
	if p.For > 0 {
		s.w.after(p.For, func() { s.renumber(p.N, was) })
	}
}

// rearm sets the alarm again: the clock runs at another rate now.
func (s *serverHost) rearm() {
	s.armed = never
	if s.serving != nil {
		s.arm(s.now())
	}
}
