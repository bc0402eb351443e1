package server

import (
	"math"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/pool"
	"lessor/internal/wire"
)

// Bounds and times of the conflict check.
const (
	maxChecks  = 1024          // addresses asked for and passed over, together (I22)
	maxWaiters = 256           // packets that wait for an answer
	silence    = 500e6         // how long an answer may take
	readyFor   = 60 * second   // how long silence counts
	reaskAfter = 30 * second   // when an address on a ready list is asked for again
	scanPause  = 20e6          // the least time between two looks at the checks
	forever    = math.MaxInt64 // no deadline
)

// checkKind says what an ARP question is for.
type checkKind uint8

const (
	forReady   checkKind = iota // the ready list of a pool
	forWaiter                   // an offer that waits for the answer
	forRecheck                  // a declined address, which silence sets free (I5)
	passedOver                  // answered while no more addresses may be out
)

// check is one question under way, or an address that is passed over.
type check struct {
	kind  checkKind
	asked int64
	ends  int64
	link  wire.LinkID
	from  *waiter
}

// waiter is a DISCOVER whose OFFER waits for a check.
type waiter struct {
	pkt  wire.Packet
	hw   wire.MAC
	data [1500]byte
}

// checks are the questions under way.
type checks struct {
	byAddr  map[dhcp4.Addr]*check
	waiting int
	next    int64 // when to look again
	last    int64 // when the last look was
	ended   []dhcp4.Addr
}

func newChecks() checks {
	return checks{byAddr: map[dhcp4.Addr]*check{}, next: forever, last: math.MinInt64}
}

// soon asks for a look as soon as the pause allows.
func (k *checks) soon() { k.next = min(k.next, k.last+scanPause) }

// askable is the interface on which a can be asked for by ARP, or nil.
func (c *Core) askable(a dhcp4.Addr) *ethernet {
	if !c.pol.ConflictCheck {
		return nil
	}
	sn := c.pol.SubnetOf(a)
	if sn == nil {
		return nil
	}
	for i := range c.links {
		if c.links[i].net == sn.Network {
			return &c.links[i]
		}
	}
	return nil
}

// unproven reports whether a could be checked for this client and has not been.
func (c *Core) unproven(q *request, a dhcp4.Addr) bool {
	if q.giaddr != 0 || c.askable(a) == nil {
		return false
	}
	p := c.part(a)
	return p == nil || !p.ready.Has(a)
}

// mustCheck reports whether no offer may leave unchecked: in careful mode and in the
// first lease time of a start without configuration.
func (c *Core) mustCheck(q *request) bool {
	return q.giaddr == 0 && (q.now.M < c.careful || q.now.M < c.zeroConf)
}

// mustAskFirst reports whether the last client of a may use it still: some clients
// hold a lease under 122 s for 122 s, and a RELEASE may be forged.
func (c *Core) mustAskFirst(a dhcp4.Addr) bool {
	s := c.table.ByAddr(a)
	return s != 0 && (c.table.Rec(s).Lifetime < 122 || c.table.Rec(s).State == lease.Released)
}

// passOver reports whether the search for a new address skips a.
func (c *Core) passOver(q *request, a dhcp4.Addr) bool {
	if a == q.giaddr {
		return true
	}
	k := c.checks.byAddr[a]
	return k != nil && k.kind == passedOver
}

// Answers of waitForCheck.
const (
	cannotWait = iota
	waits
	waitsAlready
)

// waitForCheck asks for a and keeps the packet until the answer, or the silence.
func (c *Core) waitForCheck(q *request, e *Effects, a dhcp4.Addr) int {
	k := c.checks.byAddr[a]
	if k != nil && k.kind == forWaiter {
		return waitsAlready
	}
	l := c.askable(a)
	if l == nil || c.checks.waiting >= maxWaiters || len(q.pkt.Data) > len(waiter{}.data) ||
		k == nil && len(c.checks.byAddr) >= maxChecks {
		return cannotWait
	}
	w := &waiter{pkt: *q.pkt}
	w.pkt.Data = w.data[:copy(w.data[:], q.pkt.Data)]
	if isEthernet(q.htype, q.hw) {
		w.hw = wire.MAC(q.hw)
	}
	c.checks.waiting++
	c.ask(q.now, e, l, a, check{kind: forWaiter, from: w})
	return waits
}

// ask sends the question, with our own address as sender: a sender of zero would
// be a probe, which makes a client that is just probing decline (RFC 5227 2.1.1).
func (c *Core) ask(now lease.Instant, e *Effects, l *ethernet, a dhcp4.Addr, k check) {
	k.asked, k.ends, k.link = now.M, now.M+silence, l.ID
	c.checks.byAddr[a] = &k
	c.checks.next = min(c.checks.next, k.ends)
	c.count.Probes++
	sender := l.Addrs[0].Addr
	if sn := c.pol.SubnetOf(a); sn != nil {
		for _, p := range l.Addrs {
			if sn.Prefix.Contains(p.Addr) {
				sender = p.Addr
				break
			}
		}
	}
	e.Probes = append(e.Probes, wire.ARP{Link: l.ID, Op: 1, SenderMAC: l.MAC, SenderIP: sender, TargetIP: a})
}

// forgetWaiter ends the wait of an offer that is over.
func (c *Core) forgetWaiter(a dhcp4.Addr) {
	if k := c.checks.byAddr[a]; k != nil && k.kind == forWaiter {
		c.checks.waiting--
		delete(c.checks.byAddr, a)
		c.count.Dropped[ProbePending]++
	}
}

// HandleARP takes an ARP message that was seen on an interface: who speaks from an
// address that was asked for has it.
func (c *Core) HandleARP(now lease.Instant, m *wire.ARP, e *Effects) {
	l := c.linkOf(m.Link)
	if l == nil || m.SenderIP == 0 || c.isOwnMAC(m.SenderMAC) || m.SenderMAC.IsMulticast() || c.pol == nil {
		return
	}
	a := m.SenderIP
	k := c.checks.byAddr[a]
	if k == nil || k.link != m.Link || k.kind == passedOver {
		if p := c.part(a); p != nil && p.ready.Remove(a) {
			c.checks.soon()
		}
		return
	}
	if k.kind == forWaiter && k.from.hw == m.SenderMAC {
		return // the client itself: no conflict
	}
	delete(c.checks.byAddr, a)
	if k.kind == forWaiter {
		c.checks.waiting--
	}
	if k.kind != forRecheck {
		c.conflict(now, m, e)
	}
	if k.kind == forWaiter {
		c.again(now, k.from, e)
	}
	c.checks.soon()
}

// conflict takes an address out that somebody answers for, or passes it over when
// too many are out already (I5).
func (c *Core) conflict(now lease.Instant, m *wire.ARP, e *Effects) {
	a := m.SenderIP
	c.count.Alarms[AlarmProbeConflict]++
	ev := Event{Kind: EventConflict, Reason: AlarmProbeConflict, Link: m.Link, Addr: a, HType: 1, HW: e.copy(m.SenderMAC[:])}
	if of := c.offers.ofAddr(a); of != nil {
		c.endOffer(of, now.M)
	}
	if c.failing || !c.mayTakeOut(a) {
		if len(c.checks.byAddr) < maxChecks {
			c.checks.byAddr[a] = &check{kind: passedOver, asked: now.M, ends: now.M + readyFor, link: m.Link}
		}
		if !c.failing {
			c.count.Alarms[AlarmDeclineLimit]++
			c.recheckOldest(now, e, c.part(a))
		}
		e.Events = append(e.Events, ev)
		return
	}
	wall := lease.FloorSeconds(now.W)
	ev.After = c.commit(now, e, &lease.Binding{Addr: a, State: lease.Declined, HType: 1, HW: m.SenderMAC[:],
		Start: wall, Until: wall + c.pol.Probation/second, End: now.M, Free: now.M + c.pol.Probation})
	e.Events = append(e.Events, ev)
}

// recheckOldest asks again for the declined address of p that is out longest.
func (c *Core) recheckOldest(now lease.Instant, e *Effects, p *part) {
	if p == nil {
		return
	}
	a, _, ok := p.pool.Oldest(pool.Declined)
	l := c.askable(a)
	if !ok || l == nil || c.checks.byAddr[a] != nil || len(c.checks.byAddr) >= maxChecks {
		return
	}
	c.ask(now, e, l, a, check{kind: forRecheck})
}

// again handles a DISCOVER whose check has ended.
func (c *Core) again(now lease.Instant, w *waiter, e *Effects) {
	q := &c.q
	q.now, q.pkt, q.replay = now, &w.pkt, true
	c.handle(q, e)
}

// look ends the questions that stayed silent and asks for what the ready lists
// need.
func (c *Core) look(now lease.Instant, e *Effects) {
	k := &c.checks
	k.last, k.next = now.M, forever
	k.ended = k.ended[:0]
	for a, ch := range k.byAddr {
		if ch.ends <= now.M {
			k.ended = append(k.ended, a)
		} else {
			k.next = min(k.next, ch.ends)
		}
	}
	sortAddrs(k.ended) // maps have no order, and a run must repeat
	for _, a := range k.ended {
		if ch := k.byAddr[a]; ch != nil {
			c.silent(now, e, a, ch)
		}
	}
	if c.pol == nil || !c.pol.ConflictCheck {
		return
	}
	for _, p := range c.order {
		if l := c.askable(p.conf.Range.First); l != nil {
			c.fill(now, e, l, p)
		}
	}
}

// silent ends a question that nobody answered.
func (c *Core) silent(now lease.Instant, e *Effects, a dhcp4.Addr, ch *check) {
	delete(c.checks.byAddr, a)
	switch ch.kind {
	case forReady:
		if p := c.part(a); p != nil {
			if key, ok := p.pool.Key(a, pool.Free); ok {
				p.ready.Add(a, ch.asked, key)
			}
		}
	case forWaiter:
		c.checks.waiting--
		if of := c.offers.ofAddr(a); of != nil {
			of.checked = true
		}
		c.again(now, ch.from, e)
	case forRecheck:
		if s := c.table.ByAddr(a); s != 0 && c.table.Rec(s).State == lease.Declined && !c.failing {
			var b lease.Binding
			c.table.Binding(s, &b)
			b.State, b.End, b.Free, b.Until = lease.Released, now.M, now.M, lease.FloorSeconds(now.W)
			rev := c.commit(now, e, &b)
			e.Events = append(e.Events, Event{Kind: EventExpired, After: rev, Addr: a, Link: ch.link})
		}
	}
}

// fill asks for free addresses until p's ready list is full, in the order of I4:
// never-used ones from the cursor on, then the longest free.
func (c *Core) fill(now lease.Instant, e *Effects, l *ethernet, p *part) {
	p.ready.Expire(now.M - readyFor)
	room := p.ready.Need()
	for _, ch := range c.checks.byAddr {
		if ch.kind == forReady && ch.link == l.ID {
			room-- // of any pool on this link: good enough to bound the questions
		}
	}
	for a, at := range p.ready.All {
		if at <= now.M-reaskAfter {
			c.askForReady(now, e, l, a)
		} else {
			c.checks.next = min(c.checks.next, at+reaskAfter)
		}
	}
	first, ok := p.pool.NextUnused(p.cursor)
	for a := first; ok && room > 0 && len(c.checks.byAddr) < maxChecks; {
		if c.askForReady(now, e, l, a) {
			room--
		}
		p.cursor = a + 1
		if a, ok = p.pool.NextUnused(p.cursor); a == first {
			break
		}
	}
	if room > 0 {
		for a := range p.pool.Freed {
			if room <= 0 {
				break
			}
			if c.askForReady(now, e, l, a) {
				room--
			}
		}
	}
}

// askForReady asks for a unless that is under way or fresh; it reports whether it
// did.
func (c *Core) askForReady(now lease.Instant, e *Effects, l *ethernet, a dhcp4.Addr) bool {
	if c.checks.byAddr[a] != nil || len(c.checks.byAddr) >= maxChecks {
		return false
	}
	if p := c.part(a); p == nil || p.ready.AskedSince(a, now.M-reaskAfter) {
		return false
	}
	c.ask(now, e, l, a, check{kind: forReady})
	return true
}
