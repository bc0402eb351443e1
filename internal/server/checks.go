package server

import (
	"math"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/pool"
	"lessor/internal/wire"
)

// Bounds and times of the conflict check.
const (
	maxChecks  = 1024          // addresses asked for at once (I22)
	maxPassed  = 1024          // addresses passed over at once (I22)
	maxWaiters = 256           // packets that wait for an answer
	maxWaits   = 8             // checks that one packet waits for, one after the other
	silence    = 500e6         // how long an answer may take
	passedFor  = 60 * second   // how long an answer keeps its address from new clients
	scanPause  = 20e6          // the least time between two looks at the checks
	echoPause  = second / 1000 // between two echo requests on average
	echoBurst  = 100           // so many may be ahead of that
	forever    = math.MaxInt64 // no deadline
)

// checkKind says what a question is for.
type checkKind uint8

const (
	forReady   checkKind = iota // the ready list of a pool
	forWaiter                   // an offer that waits for the answer
	forRecheck                  // a declined address, which silence sets free (I5)
	noAnswer                    // no question: the echo request of just now stayed silent
	passedOver                  // no question: somebody answered, or declined, and no more addresses may be out
)

// check is one question under way, or an address that is passed over.
type check struct {
	kind  checkKind
	asked int64
	ends  int64
	link  wire.LinkID
	from  *waiter
	echo  wire.Echo // the question, where it is by ICMP; else zero
}

// byEcho reports whether the question is, or was, an ICMP echo request.
func (ch *check) byEcho() bool { return ch.echo.Dst != 0 }

// waiter is a DISCOVER whose OFFER waits for a check.
type waiter struct {
	pkt   wire.Packet
	hw    wire.MAC // of the client, whose own answer is no conflict
	waits int      // checks that it waits for or has waited for
	data  [1500]byte
}

// hold keeps a copy of the packet.
func (w *waiter) hold(q *request) {
	w.pkt = *q.pkt
	w.pkt.Data = w.data[:copy(w.data[:], q.pkt.Data)]
}

// checks are the questions under way and the addresses that are passed over.
type checks struct {
	byAddr  map[dhcp4.Addr]*check
	waiting int // of them forWaiter
	passed  int // of them passedOver and noAnswer
	asked   uint64
	echoDue int64 // when an echo request would be due if they were evenly spaced
	next    int64 // when to look again
	last    int64 // when the last look was
	ended   []dhcp4.Addr
}

func newChecks() checks {
	return checks{byAddr: map[dhcp4.Addr]*check{}, next: forever, last: math.MinInt64}
}

// soon asks for a look as soon as the pause allows.
func (k *checks) soon() { k.next = min(k.next, k.last+scanPause) }

// roomToAsk reports whether one more question may be asked.
func (c *Core) roomToAsk() bool { return len(c.checks.byAddr)-c.checks.passed < c.bound.Checks }

func (k *checks) put(a dhcp4.Addr, ch *check) {
	k.drop(a)
	switch ch.kind {
	case forWaiter:
		k.waiting++
	case passedOver, noAnswer:
		k.passed++
	}
	k.byAddr[a] = ch
	k.next = min(k.next, ch.ends)
}

// drop ends the check of a, if there is one.
func (k *checks) drop(a dhcp4.Addr) {
	ch := k.byAddr[a]
	if ch == nil {
		return
	}
	switch ch.kind {
	case forWaiter:
		k.waiting--
	case passedOver, noAnswer:
		k.passed--
	}
	delete(k.byAddr, a)
}

// answers reports whether somebody answered for a, or declined it, not long ago.
func (k *checks) answers(a dhcp4.Addr) bool {
	ch := k.byAddr[a]
	return ch != nil && ch.kind == passedOver
}

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

// ask sends the question, with our own address as sender: a sender of zero would
// be a probe, which makes a client that is just probing decline (RFC 5227 2.1.1).
func (c *Core) ask(now lease.Instant, e *Effects, l *ethernet, a dhcp4.Addr, k check) {
	k.asked, k.ends, k.link = now.M, now.M+silence, l.ID
	c.checks.put(a, &k)
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

// passOver keeps a from new clients for a while. Beyond the bound nothing is noted, and
// a may be offered again.
func (c *Core) passOver(now lease.Instant, a dhcp4.Addr, link wire.LinkID) {
	if p := c.part(a); p != nil && p.ready.Remove(a) {
		c.wantReady(p)
	}
	if c.checks.passed < c.bound.Passed {
		c.checks.put(a, &check{kind: passedOver, asked: now.M, ends: now.M + passedFor, link: link})
	}
}

// Answers of waitForCheck.
const (
	cannotWait = iota
	waits
	waitsAlready
)

// waitForCheck asks for a and keeps the packet until the answer, or the silence. A later
// packet of the same client takes the place of an earlier one: it waits for that one's
// answer no more.
func (c *Core) waitForCheck(q *request, e *Effects, a dhcp4.Addr) int {
	if len(q.pkt.Data) > len(waiter{}.data) {
		return cannotWait
	}
	k := c.checks.byAddr[a]
	if k != nil && k.kind == forWaiter {
		k.from.hold(q)
		return waitsAlready
	}
	l, echo := c.way(q, a)
	most := c.bound.Waiters
	if echo {
		most -= most / 4 // a quarter is for links of ours, whatever relay agents bring
	}
	if l == nil || c.checks.waiting >= most || q.waits >= maxWaits || !c.roomToAsk() || echo && !c.mayEcho(q.now) {
		return cannotWait
	}
	w := &waiter{waits: q.waits + 1}
	w.hold(q)
	if isEthernet(q.htype, q.hw) {
		w.hw = wire.MAC(q.hw)
	}
	if echo {
		c.askEcho(q, e, a, w)
	} else {
		c.ask(q.now, e, l, a, check{kind: forWaiter, from: w})
	}
	return waits
}

// forgetWaiter ends the wait of an offer that is over.
func (c *Core) forgetWaiter(a dhcp4.Addr) {
	if k := c.checks.byAddr[a]; k != nil && k.kind == forWaiter {
		c.checks.drop(a)
		c.count.Dropped[ProbePending]++
	}
}

// again handles a DISCOVER whose check has ended.
func (c *Core) again(now lease.Instant, w *waiter, e *Effects) {
	q := &c.q
	q.now, q.pkt, q.waits = now, &w.pkt, w.waits
	c.handle(q, e)
}

// HandleARP takes an ARP message that was seen on an interface: who speaks from an
// address that was asked for has it.
func (c *Core) HandleARP(now lease.Instant, m *wire.ARP, e *Effects) {
	c.at(now)
	l := c.linkOf(m.Link)
	if l == nil || m.SenderIP == 0 || c.isOwnMAC(m.SenderMAC) || m.SenderMAC.IsMulticast() || c.pol == nil {
		return
	}
	a := m.SenderIP
	k := c.checks.byAddr[a]
	if k == nil || k.link != m.Link || k.kind == passedOver || k.byEcho() {
		if p := c.part(a); p != nil && p.link == m.Link && p.ready.Remove(a) {
			c.wantReady(p)
		}
		return
	}
	if k.kind == forWaiter && k.from.hw == m.SenderMAC {
		return // the client itself: no conflict
	}
	c.checks.drop(a)
	if k.kind == forRecheck {
		c.stillInUse(now, a)
	} else {
		c.conflict(now, a, m.Link, m.SenderMAC[:], e)
	}
	if k.kind == forWaiter {
		c.again(now, k.from, e)
	}
	c.checks.soon()
}

// conflict takes an address out that somebody answers for, or passes it over when
// too many are out already (I5). So it does where leases may be running that this server
// knows nothing of: who answers may be a client, and may want to extend its lease. hw is the
// Ethernet address of who answers, empty when not known.
func (c *Core) conflict(now lease.Instant, a dhcp4.Addr, link wire.LinkID, hw []byte, e *Effects) {
	htype := uint8(0)
	if len(hw) > 0 {
		htype = 1
	}
	c.count.Alarms[AlarmProbeConflict]++
	ev := Event{Kind: EventConflict, Reason: AlarmProbeConflict, Link: link, Addr: a, HType: htype, HW: e.copy(hw)}
	if of := c.offers.ofAddr(a); of != nil {
		c.endOffer(of, now.M)
	}
	switch {
	case c.failing || now.M < c.careful || now.M < c.zeroConf:
		c.passOver(now, a, link)
	case !c.mayTakeOut(a):
		c.passOver(now, a, link)
		c.count.Alarms[AlarmDeclineLimit]++
		c.recheckOldest(now, e, c.part(a))
	default:
		wall := lease.FloorSeconds(now.W)
		ev.After = c.commit(now, e, &lease.Binding{Addr: a, State: lease.Declined, HType: htype, HW: hw,
			Start: wall, Until: wall + c.pol.Probation/second, End: now.M, Free: now.M + c.pol.Probation})
	}
	e.Events = append(e.Events, ev)
}

// recheckOldest asks again for the declined address of p that is out longest.
func (c *Core) recheckOldest(now lease.Instant, e *Effects, p *part) {
	if p == nil {
		return
	}
	a, _, ok := p.pool.Oldest(pool.Declined)
	l := c.askable(a)
	if !ok || l == nil || c.checks.byAddr[a] != nil || !c.roomToAsk() {
		return
	}
	c.ask(now, e, l, a, check{kind: forRecheck})
}

// stillInUse puts a declined address that answered again behind the others, so that
// each has its turn to be asked for. When it comes back does not change.
func (c *Core) stillInUse(now lease.Instant, a dhcp4.Addr) {
	p := c.part(a)
	if p == nil {
		return
	}
	if _, ok := p.pool.Key(a, pool.Declined); ok {
		p.pool.Move(a, pool.Declined, pool.Declined, now.M+c.pol.Probation)
	}
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
	slices.Sort(k.ended) // maps have no order, and a run must repeat
	for _, a := range k.ended {
		if ch := k.byAddr[a]; ch != nil && ch.ends <= now.M { // else an earlier one changed it
			c.silent(now, e, a, ch)
		}
	}
	c.fillReady(now, e)
}

// silent ends a question that nobody answered.
func (c *Core) silent(now lease.Instant, e *Effects, a dhcp4.Addr, ch *check) {
	c.checks.drop(a)
	switch ch.kind {
	case forReady:
		if p := c.part(a); p != nil {
			if key, ok := p.pool.Key(a, pool.Free); ok {
				p.ready.Add(a, ch.asked, key)
			}
		}
	case forWaiter:
		if of := c.offers.ofAddr(a); of != nil {
			of.checked = true
		}
		if ch.byEcho() {
			c.rememberSilence(a, ch)
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
