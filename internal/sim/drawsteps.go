package sim

import (
	"fmt"

	"lessor/dhcp4"
)

// steps draws what goes wrong, in the order of faultKeys, and what hostile stations do.
func (d *drawer) steps() {
	for _, f := range d.s.Faults {
		for range d.swarm(f.Count) {
			if s := d.step(f.Key); s.Kind != StepNone {
				d.p.Steps = append(d.p.Steps, s)
			}
		}
	}
	d.wallSteps()
	if len(d.p.Hostiles) == 0 {
		return
	}
	for range d.swarm(d.s.Hostile) {
		h := d.n(int64(len(d.p.Hostiles)))
		d.p.Steps = append(d.p.Steps, Step{At: d.when(), Kind: StepForge, Host: hostileName(int(h)), Size: d.log(d.s.Burst.Least, d.s.Burst.Most),
			For: d.log(second/100, 30*second), Forge: d.forgery()})
	}
}

func (d *drawer) forgery() Forgery {
	w := d.word(d.s.Forge)
	for i, f := range forgeWords {
		if f == w {
			return Forgery(i)
		}
	}
	return ForgeBytes
}

// when is a moment of the time in which things go wrong: any, or shortly after one at
// which a client begins or renews.
func (d *drawer) when() int64 {
	last := d.p.Heal - second
	if d.half() {
		return d.between(second, last)
	}
	c := d.p.Clients[d.n(int64(len(d.p.Clients)))]
	t1 := int64(d.base) * second / 2
	at := c.Start + d.n(max((last-c.Start)/t1, 1))*t1 + d.log(1_000_000, 10*second)
	return min(max(at, second), last)
}

// a while is between a second and long; it ends with the faults at the latest.
func (d *drawer) during(s Step, least, most int64) Step {
	s.For = min(d.log(least, max(most, least)), max(d.p.Heal-s.At, 0))
	return s
}

func (d *drawer) server() int       { return int(d.n(int64(len(d.p.Servers)))) }
func (d *drawer) client() string    { return d.p.Clients[d.n(int64(len(d.p.Clients)))].Name }
func (d *drawer) nic() int          { return int(d.n(int64(d.p.Segments))) }
func (d *drawer) boundaries() int64 { return d.n(2) * d.log(1, 40) }

// anyHost is a server in half of the throws, or nearly where there are routers.
func (d *drawer) anyHost() string {
	if n := len(d.p.Relays); n > 0 && d.n(4) == 0 {
		return d.p.Relays[d.n(int64(n))].Name
	}
	if d.half() {
		return d.p.Servers[d.server()].Name
	}
	return d.client()
}

// step draws one step of a kind of faultKeys. StepNone: none, or none yet.
func (d *drawer) step(key string) Step {
	i := d.server()
	s := Step{At: d.when(), Host: d.p.Servers[i].Name}
	t := int64(d.base) * second // a lease
	switch key {
	case "kill":
		s.Kind, s.N = StepKill, int(d.boundaries())
		return d.during(s, second/100, 60*second)
	case "power":
		if !d.powered[i] {
			return Step{}
		}
		s.Kind, s.N, s.Size = StepPower, int(d.boundaries()<<2|d.n(3)), d.n(second)
		return d.during(s, second, 2*t)
	case "stop":
		s.Kind = StepStop
		return d.during(s, second/100, 120*second)
	case "suspend":
		s.Kind = StepSuspend
		return d.during(s, second, 2*t)
	case "disk-error":
		s.Kind, s.N = StepDiskError, int(d.n(2))
		return d.during(s, second, 300*second)
	case "disk-slow":
		s.Kind, s.Size = StepDiskSlow, d.log(10_000_000, 30*second)
		return d.during(s, second, 300*second)
	case "drift":
		return d.drift(s)
	case "renumber":
		s.Kind, s.N, s.Bits = StepRenumber, d.nic(), 24
		s.Addr = addrIn(s.N, firstOther+10*i+int(d.n(3)))
		switch d.n(6) {
		case 0, 1:
			s.Addr = addrIn(100+s.N, 1+i) // another network
		case 2:
			s.Addr = d.poolAddrOn(i, s.N) // one that it gives to others
		}
		return d.during(s, second, 600*second)
	case "reload":
		s.Kind = StepReload // reloads fills it in
		return s
	case "operator":
		s.Kind, s.N, s.Addr = StepRelease, int(d.n(2)), d.poolAddr(i)
		return s
	case "partition", "link-down", "move":
		return d.linkStep(key, s)
	case "relay-stop", "relay-power":
		return d.relayStep(key, s)
	}
	return d.clientStep(key, s)
}

// drift changes the rate of a clock. That of a machine whose power is cut stays.
func (d *drawer) drift(s Step) Step {
	s.Kind, s.Host, s.N = StepDrift, d.anyHost(), int(d.between(-200, 200))
	for i := range d.p.Servers {
		if d.p.Servers[i].Name == s.Host && d.powered[i] {
			return Step{}
		}
	}
	return s
}

func (d *drawer) linkStep(key string, s Step) Step {
	switch key {
	case "partition":
		s.Kind, s.Host, s.N = StepPart, d.anyHost(), int(d.n(2))
		if d.n(3) > 0 {
			if s.Peer = d.anyHost(); s.Peer == s.Host {
				s.Peer = ""
			}
		}
		return d.during(s, second, max(int64(d.base)*second, 300*second))
	case "link-down":
		s.Kind, s.Host = StepLinkDown, d.anyHost()
		switch s.Host[0] {
		case 's':
			s.N = d.nic()
		case 'r':
			s.N = int(d.n(3))
		}
		return d.during(s, second/2, 300*second)
	}
	if d.segments() < 2 {
		return Step{}
	}
	s.Kind, s.Host, s.N = StepMove, d.client(), int(d.n(int64(d.segments())))
	return s
}

// relayStep restarts an agent, or the router that it runs on.
func (d *drawer) relayStep(key string, s Step) Step {
	n := len(d.p.Relays)
	if n == 0 {
		return Step{}
	}
	s.Kind, s.Host = StepStop, d.p.Relays[d.n(int64(n))].Name
	if key == "relay-power" {
		s.Kind = StepPower
	}
	return d.during(s, second/10, 300*second)
}

func (d *drawer) clientStep(key string, s Step) Step {
	i := d.n(int64(len(d.p.Clients)))
	s.Host = d.p.Clients[i].Name
	switch key {
	case "user":
		s.Kind = []StepKind{StepRenew, StepRebind, StepGiveUp}[d.n(3)]
		if s.Kind == StepGiveUp {
			return d.during(s, second, 600*second)
		}
		return s
	case "boot":
		if d.p.Clients[i].ROM == nil {
			return Step{}
		}
		s.Kind = StepBoot
		return d.during(s, 10*second, max(int64(d.base)*second, 60*second))
	case "client-kill":
		s.Kind = []StepKind{StepKill, StepStop}[d.n(2)]
		return d.during(s, second/10, 600*second)
	case "client-suspend":
		s.Kind = StepSuspend
		return d.during(s, second, 2*int64(d.base)*second)
	case "client-power":
		if d.wallOK[i] {
			return Step{} // its lease file's wall times would be wrong at the boot
		}
		s.Kind = StepPower
		return d.during(s, second, 2*int64(d.base)*second)
	case "client-wall":
		if !d.wallOK[i] {
			return Step{}
		}
		s.Kind, s.Size = StepWall, (1-2*d.n(2))*d.log(second, 20*365*day)
		return s
	}
	return Step{}
}

// wallSteps sets the servers' wall clocks. That of a machine whose power is cut is never
// set to what lies behind (serverClock).
func (d *drawer) wallSteps() {
	ahead := make([]int64, len(d.p.Servers))
	for range d.swarm(d.s.Count("wall-step")) {
		i := d.server()
		s := Step{At: d.when(), Kind: StepWall, Host: d.p.Servers[i].Name, Size: d.log(second, 20*365*day)}
		switch {
		case !d.powered[i] && d.half():
			s.Size = -s.Size
		case d.powered[i] && ahead[i] > 0:
			continue // there and back once; more would have to be in order
		case d.powered[i]:
			ahead[i] = s.Size
			if s.At < d.p.Heal-second && d.half() {
				d.p.Steps = append(d.p.Steps, Step{At: d.between(s.At+1, d.p.Heal), Kind: StepWall, Host: s.Host, Size: -s.Size})
			}
		}
		d.p.Steps = append(d.p.Steps, s)
	}
}

// poolAddr is an address of a pool of server i.
func (d *drawer) poolAddr(i int) dhcp4.Addr { return d.poolAddrOn(i, int(d.n(int64(d.segments())))) }

// networked reports whether there is something about networks to change.
func (d *drawer) networked() bool {
	return d.confs[0].classes || len(d.p.Snoops) > 0 || len(d.s.Nets.Keys) > 1
}

func (d *drawer) poolAddrOn(i, seg int) dhcp4.Addr {
	s := d.confs[i].subnets[seg]
	p := s.pools[d.n(int64(len(s.pools)))]
	return p.First + dhcp4.Addr(d.n(int64(p.Size())))
}

// reloads fills in the configurations of the reloads, each made from the one before, and
// adds a last one after the healing, under which there is room in most runs.
func (d *drawer) reloads() {
	now := make([]*conf, len(d.confs))
	for i := range now {
		now[i] = d.confs[i].clone()
	}
	for i := range d.p.Steps {
		s := &d.p.Steps[i]
		if s.Kind != StepReload {
			continue
		}
		k := 0
		for d.p.Servers[k].Name != s.Host {
			k++
		}
		if d.n(4) == 0 {
			s.Text = d.bad(now[k])
			continue
		}
		now[k] = d.changed(now[k], k)
		s.Text = now[k].yaml(d.p.Clients)
	}
	for k, c := range now {
		if d.n(10) < 7 {
			d.room(c, k)
		}
		if text := c.yaml(d.p.Clients); text != d.p.Servers[k].Config {
			d.p.Steps = append(d.p.Steps, Step{At: d.p.Heal + 1, Kind: StepReload, Host: d.p.Servers[k].Name, Text: text})
		}
	}
}

// room gives server k a pool that every client of the run fits in, wherever it is, and
// what may be declined besides.
func (d *drawer) room(c *conf, k int) {
	for seg := range c.subnets {
		first := addrIn(seg, firstPool+k*poolRoom)
		last := first + dhcp4.Addr(min(len(d.p.Clients)+12, poolRoom)-1)
		c.subnets[seg].pools = []poolConf{{Range: dhcp4.Range{First: first, Last: last}}}
	}
}

// bad is a configuration with an error.
func (d *drawer) bad(c *conf) string {
	text := c.yaml(d.p.Clients)
	switch d.n(5) {
	case 0:
		return text[:len(text)/2] + "\n  [: {"
	case 1:
		return text + "valid-lifetme: 3600\n"
	case 2:
		return text + "lease-grace: 0\n"
	case 3:
		return fmt.Sprintf("%s  - subnet: %s/25\n    pools: [%s-%s]\n", text, addrIn(0, 0), addrIn(0, 1), addrIn(1, 2))
	}
	return ""
}

// changed is c with one thing changed, or the configuration of the start.
func (d *drawer) changed(c *conf, k int) *conf {
	c = c.clone()
	seg := int(d.n(int64(len(c.subnets))))
	if d.networked() && d.n(3) == 0 {
		d.changedNetwork(c, seg)
		return c
	}
	s := &c.subnets[seg]
	p := &s.pools[d.n(int64(len(s.pools)))]
	switch d.n(9) {
	case 0: // smaller
		p.Last = p.First + dhcp4.Addr(d.n(int64(p.Size())))
	case 1: // larger, up to the next pool or the server's last address
		p = &s.pools[len(s.pools)-1]
		most := p.First&^0xff + firstPool + dhcp4.Addr((k+1)*poolRoom) - 1
		p.Last = min(p.Last+dhcp4.Addr(d.between(1, 6)), most)
	case 2: // its first addresses are gone
		p.First += dhcp4.Addr(d.n(int64(p.Size())))
	case 3:
		if k == 0 {
			d.addReservation(c, k)
		}
	case 4:
		if n := len(s.reservations); n > 0 { // removed
			i := int(d.n(int64(n)))
			s.reservations = append(s.reservations[:i], s.reservations[i+1:]...)
		}
	case 5:
		d.moveReservation(s, k)
	case 6:
		c.valid, c.min, c.max = d.another(d.base), 0, 0
	case 7:
		p.exclude = p.First + dhcp4.Addr(d.n(int64(p.Size())))
		return c
	case 8:
		return d.confs[k].clone()
	}
	if p.exclude != 0 && !p.Contains(p.exclude) {
		p.exclude = 0
	}
	return c
}

// moveReservation gives one client's reservation another address.
func (d *drawer) moveReservation(s *subnetConf, k int) {
	if len(s.reservations) == 0 {
		return
	}
	r := &s.reservations[d.n(int64(len(s.reservations)))]
	if a := d.freeForReservation(s, d.perClient[r.client], k, r.client); a != 0 {
		r.addr = a
	}
}
