package sim

import (
	"bytes"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/client/run"
	"lessor/internal/lease"
	"lessor/internal/link"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// clientHost is a machine with a client: what internal/client/run does around the
// client.Machine, without its goroutines and the kernel.
type clientHost struct {
	w     *world
	plan  *ClientPlan
	clock clocks
	nic   *nic

	m      program // nil: the process is not there
	fx     client.Effects
	rule   *link.Rule
	watch  []dhcp4.Addr
	batch  link.Batch
	life   int
	armed  int64
	asleep bool
	off    bool

	booting bool      // its ROM runs, and not its system
	kept    leaseFile // of the system meanwhile
	file    leaseFile
	lease   client.Lease
	has     bool
	config  dhcp4.Prefix // on the interface
	end     int64        // when the kernel takes it off, CLOCK_BOOTTIME
}

func newClientHost(w *world, p *ClientPlan) *clientHost {
	c := &clientHost{w: w, plan: p, clock: newClocks(w.plan.Seed, p.Name, p.Clock), rule: link.ClientRule, armed: never}
	c.nic = &nic{w: w, host: p.Name, seg: w.segments[p.Segment], id: 2, mac: p.MAC, carrier: true, client: true, take: c.arrived}
	c.nic.seg.nics = append(c.nic.seg.nics, c.nic)
	return c
}

func (c *clientHost) now() lease.Instant { return c.clock.read(c.w.now) }

// start starts the process.
func (c *clientHost) start() {
	if c.m != nil || c.off {
		return
	}
	if c.asleep {
		c.w.after(second, c.start)
		return
	}
	c.life++
	conf := c.settings()
	memory, problem := run.DecodeLeases(c.file.text(), conf, c.clock.boot, c.now())
	if problem != "" {
		c.w.note(c.plan.Name, "%s", problem)
	}
	d := newDice(c.w.plan.Seed, name(c.plan.Name), uint64(c.life))
	var secret [16]byte
	for i := range secret {
		secret[i] = byte(d.next())
	}
	c.armed, c.has = never, false
	if c.plan.Plain {
		c.m = newPlain(c.plan.MAC, d, memory)
	} else {
		c.m = client.New(*conf, secret, memory)
	}
	start := &trace.Client{What: trace.ClientStart, Ours: !c.plan.Plain, MAC: c.plan.MAC, ClientID: c.identifier()}
	if t := conf.Probe; conf.Detection == client.DetectProbe && !c.plan.Plain {
		if t == (client.ProbeTimes{}) {
			t = client.RFC5227
			if conf.Fast {
				t = client.Quick
			}
		}
		start.Probes, start.ProbeMin, start.ProbeWait = t.Num, t.Min, t.AnnounceWait
	}
	c.w.emit(c.plan.Name, start)
	if c.nic.up() {
		c.handle(client.Input{Kind: client.InputLinkUp, Link: c.link()})
	}
	c.arm()
}

// settings are those of what runs: the system's client, or that of the ROM.
func (c *clientHost) settings() *client.Config {
	if c.booting {
		return c.plan.ROM
	}
	return &c.plan.Config
}

// identifier is what the client sends as option 61.
func (c *clientHost) identifier() []byte {
	if c.plan.Plain {
		return nil
	}
	return identifierOf(c.settings(), c.plan.MAC)
}

func (c *clientHost) link() wire.Link {
	return wire.Link{ID: c.nic.id, Name: "eth0", MAC: c.nic.mac, MTU: mtu}
}

// arrived is called when a frame has reached the card.
func (c *clientHost) arrived(frame []byte) {
	if c.m == nil || c.asleep || !c.rule.Wanted(frame) {
		return
	}
	c.batch.Reset()
	c.batch.Add(&link.Identity{Link: c.nic.id, MAC: c.nic.mac, Port: dhcp4.ClientPort}, frame, link.Aux{})
	for i := range c.batch.Packets {
		p := &c.batch.Packets[i]
		c.w.emit(c.plan.Name, c.nic.received(p, dhcp4.ClientPort))
		c.handle(client.Input{Kind: client.InputPacket, Packet: p})
	}
	for i := range c.batch.ARPs {
		a := c.batch.ARPs[i]
		c.w.emit(c.plan.Name, c.nic.receivedARP(&a))
		c.handle(client.Input{Kind: client.InputARP, ARP: &a})
	}
}

// handle gives the machine one input and does what it asks for.
func (c *clientHost) handle(in client.Input) {
	if c.m == nil || c.asleep {
		return
	}
	before := c.m.State()
	c.m.Handle(c.now(), &in, &c.fx)
	if l := c.m.Lease(); l == nil {
		c.has = false
	} else if !c.has || l.Addr != c.lease.Addr || l.End != c.lease.End || l.Start != c.lease.Start {
		c.has, c.lease = true, *l
		c.say(trace.ClientAccept)
	}
	if s := c.m.State(); s != before {
		c.say(trace.ClientState)
	}
	c.watching()
	c.perform()
	c.fx.Reset()
	c.arm()
}

// say reports a step of the client.
func (c *clientHost) say(what trace.ClientWhat) {
	e := &trace.Client{What: what, Ours: !c.plan.Plain, MAC: c.plan.MAC, ClientID: c.identifier()}
	if c.m != nil {
		e.State = c.m.State().String()
	}
	switch {
	case what == trace.ClientDeconfigure || what == trace.ClientKilled:
		e.Addr, e.End = c.config.Addr, c.end
	case c.has:
		e.Addr, e.Start, e.End, e.Lifetime = c.lease.Addr.Addr, c.lease.Start, c.lease.End, c.lease.Lifetime
	}
	c.w.emit(c.plan.Name, e)
}

// watching sets the filter of the socket to what matters now.
func (c *clientHost) watching() {
	c.watch = c.m.AppendWatched(c.watch[:0])
	if slices.Equal(c.watch, c.rule.Watched) {
		return
	}
	rule, err := link.WatchRule(c.watch)
	if err != nil {
		c.w.err = err
		return
	}
	c.rule = rule
}

func (c *clientHost) perform() {
	for i := range c.fx.List {
		e := &c.fx.List[i]
		switch e.Kind {
		case client.EffectSend:
			c.nic.send(e.Send)
		case client.EffectARP:
			c.nic.sendARP(e.ARP)
		case client.EffectConfigure:
			c.configure(e.Lease)
		case client.EffectDeconfigure:
			c.deconfigure()
		case client.EffectSave:
			c.file = c.written()
		}
	}
}

// leaseFile is what was saved last. Its text is made when it is read: most are never.
type leaseFile struct {
	memory []client.Remembered
	boot   lease.BootID
	at     lease.Instant
}

func (c *clientHost) written() leaseFile {
	f := leaseFile{slices.Clone(c.m.Memory()), c.clock.boot, c.now()}
	for i := range f.memory {
		f.memory[i].Lease.ACK = bytes.Clone(f.memory[i].Lease.ACK)
	}
	return f
}

func (f *leaseFile) text() []byte {
	if f.at == (lease.Instant{}) {
		return nil
	}
	return run.EncodeLeases(f.memory, f.boot, f.at)
}

// configure puts the address on the interface; the kernel takes it off at its end even when
// the process is gone.
func (c *clientHost) configure(l *client.Lease) {
	if c.config.Addr != 0 && c.config.Addr != l.Addr.Addr {
		c.deconfigure()
	}
	c.config, c.end = l.Addr, l.End
	c.nic.addrs = []dhcp4.Prefix{l.Addr}
	c.say(trace.ClientConfigure)
	if l.End != never {
		c.kernelTakesOff(l.End)
	}
}

// kernelTakesOff plans the end of the address's lifetime.
func (c *clientHost) kernelTakesOff(end int64) {
	c.w.after(c.clock.when(end)-c.w.now+second/2, func() {
		switch {
		case c.config.Addr == 0 || c.end != end || c.off:
		case c.asleep: // so are the kernel's timers
			c.w.after(10*second, func() { c.kernelTakesOff(end) })
		case c.now().M < end: // the clock's rate changed meanwhile
			c.kernelTakesOff(end)
		default:
			c.deconfigure()
		}
	})
}

func (c *clientHost) deconfigure() {
	if c.config.Addr == 0 {
		return
	}
	c.nic.addrs = nil
	c.say(trace.ClientDeconfigure)
	c.config = dhcp4.Prefix{}
}

// arm plans the machine's next tick.
func (c *clientHost) arm() {
	if c.m == nil {
		return
	}
	at := c.m.NextTick()
	if at == never || at >= c.armed && c.armed > c.now().M {
		return
	}
	c.armed = at
	life := c.life
	c.w.after(c.clock.when(at)-c.w.now, func() {
		if c.life != life || c.asleep || c.armed != at {
			return
		}
		c.armed = never
		c.handle(client.Input{Kind: client.InputTick})
	})
}

// kill ends the process without a word; the address stays on the interface.
func (c *clientHost) kill() {
	if c.m == nil {
		return
	}
	c.m, c.rule = nil, link.ClientRule
	c.life++
	c.say(trace.ClientKilled)
}

// powerOff takes everything but the lease file.
func (c *clientHost) powerOff() {
	if c.off {
		return
	}
	if c.asleep {
		c.w.emit(c.plan.Name, c.clock.entry()) // until now it could do nothing
	}
	c.m, c.off, c.asleep, c.nic.off, c.nic.addrs, c.config = nil, true, false, true, nil, dhcp4.Prefix{}
	c.life++
	c.say(trace.ClientOff)
}

func (c *clientHost) powerOn(wall int64) {
	if !c.off {
		return
	}
	c.off, c.nic.off = false, false
	d := newDice(c.w.plan.Seed, name(c.plan.Name), uint64(c.life), 13)
	c.clock.rebase(c.w.now)
	c.clock.now = lease.Instant{M: 2*second + d.n(20*second), W: epoch + c.w.now + wall}
	c.clock.newBoot(&d)
	c.w.emit(c.plan.Name, c.clock.entry())
	c.start()
}

func (c *clientHost) sleep(d int64) {
	if c.asleep || c.off {
		return
	}
	c.asleep, c.nic.off = true, true
	c.w.after(d, c.wakeUp)
}

func (c *clientHost) wakeUp() {
	if !c.asleep {
		return
	}
	c.asleep, c.nic.off, c.armed = false, false, never
	c.w.emit(c.plan.Name, c.clock.entry())
	if c.config.Addr != 0 && c.end <= c.now().M {
		c.deconfigure() // the kernel's timers come first
	}
	c.handle(client.Input{Kind: client.InputResume})
	c.arm()
}

// boot runs the machine's ROM for d, and then its system again. The ROM remembers nothing.
func (c *clientHost) boot(d int64) {
	if c.plan.ROM == nil || c.booting || c.off || c.asleep {
		return
	}
	c.powerOff()
	c.booting, c.kept, c.file = true, c.file, leaseFile{}
	c.w.after(second, func() { c.powerOn(0) })
	c.w.after(second+d, c.booted)
}

func (c *clientHost) booted() {
	if !c.booting {
		return
	}
	c.powerOff()
	c.booting, c.file = false, c.kept
	c.w.after(second, func() { c.powerOn(0) })
}

// carrier plugs the cable in or out.
func (c *clientHost) carrier(on bool) {
	if c.nic.carrier == on {
		return
	}
	c.nic.carrier = on
	kind := client.InputLinkDown
	if on {
		kind = client.InputLinkUp
	}
	if !c.off {
		c.handle(client.Input{Kind: kind, Link: c.link()})
	}
}

// move plugs the cable into another segment.
func (c *clientHost) move(to int) {
	if to >= len(c.w.segments) || c.w.segments[to] == c.nic.seg {
		return
	}
	c.carrier(false)
	c.nic.seg.nics = slices.DeleteFunc(c.nic.seg.nics, func(n *nic) bool { return n == c.nic })
	c.nic.seg = c.w.segments[to]
	c.nic.seg.nics = append(c.nic.seg.nics, c.nic)
	c.w.after(second, func() { c.carrier(true) })
}

// mend ends every fault of the host.
func (c *clientHost) mend() {
	c.wakeUp()
	c.booted()
	c.powerOn(0)
	c.carrier(true)
	if c.w.now > c.plan.Start {
		c.start()
	}
}

func (c *clientHost) step(p *Step) {
	switch p.Kind {
	case StepKill, StepStop:
		if c.asleep {
			return // nobody is there to do it
		}
		if p.Kind == StepStop {
			c.handle(client.Input{Kind: client.InputStop})
		}
		c.kill()
		c.w.after(10_000_000+p.For, c.start)
	case StepPower:
		c.powerOff()
		c.w.after(second+p.For, func() { c.powerOn(min(p.Size, second)) })
	case StepSuspend:
		c.sleep(p.For)
	case StepWall:
		c.clock.rebase(c.w.now)
		c.clock.now.W += p.Size
		c.w.emit(c.plan.Name, c.clock.entry())
	case StepDrift:
		c.clock.rebase(c.w.now)
		c.clock.drift = int64(p.N)
		c.w.emit(c.plan.Name, c.clock.entry())
		c.armed = never
		c.arm()
		if c.config.Addr != 0 && c.end != never {
			c.kernelTakesOff(c.end)
		}
	case StepLinkDown:
		c.carrier(false)
		c.w.after(p.For, func() { c.carrier(true) })
	case StepMove:
		c.move(p.N)
	case StepBoot:
		c.boot(p.For)
	case StepRenew:
		c.handle(client.Input{Kind: client.InputRenew})
	case StepRebind:
		c.handle(client.Input{Kind: client.InputRebind})
	case StepGiveUp:
		c.handle(client.Input{Kind: client.InputRelease})
		c.w.after(p.For, func() { c.handle(client.Input{Kind: client.InputRenew}) })
	}
}
