package server

import (
	"encoding/binary"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// The conflict check behind relay agents, where the configuration wants it: an ICMP echo
// request before the OFFER. There are no ready lists for it, which would keep asking networks
// far away; an address is asked for when a client is to be offered it, and its silence counts
// for a minute. Silence proves little, since many hosts answer no echo requests, so it never
// sets a declined address free (I5).

// way is how a can be asked for before this client is offered it: by ARP on the returned link, or
// by an echo request that the link's port sends; nil: not at all.
func (c *Core) way(q *request, a dhcp4.Addr) (l *ethernet, echo bool) {
	switch {
	case q.giaddr == 0:
		return c.askable(a), false
	case c.echoable(a):
		return q.link, true
	}
	return nil, false
}

// echoable reports whether a may be asked for by an echo request: a host's address of a pool
// or a reservation, and nothing that a network could take for a broadcast.
func (c *Core) echoable(a dhcp4.Addr) bool {
	if !c.pol.EchoCheck || !a.IsUnicastHost() || c.isOwn(a) {
		return false
	}
	sn := c.pol.SubnetOf(a)
	if sn == nil || sn.PoolOf(a) == nil && sn.Network.ReservedBy(a) == nil {
		return false
	}
	r := sn.Prefix.Range()
	return sn.Prefix.Bits > 30 || a != r.First && a != r.Last
}

// mayEcho takes a token for an echo request: at most 1,000 leave in a second, and 100 at once.
func (c *Core) mayEcho(now lease.Instant) bool {
	k := &c.checks
	due := max(k.echoDue, now.M)
	if due-now.M > echoBurst*echoPause {
		return false
	}
	k.echoDue = due + echoPause
	return true
}

// askEcho sends the question that w waits for. Who does not see it cannot make the answer: what
// an answer must repeat is hashed with our secret.
func (c *Core) askEcho(q *request, e *Effects, a dhcp4.Addr, w *waiter) {
	c.checks.asked++
	b := binary.BigEndian.AppendUint64(a.Append([]byte("echo")), c.checks.asked)
	b = binary.BigEndian.AppendUint64(b, uint64(q.now.M))
	m := wire.Echo{Link: q.link.ID, Src: c.sourceFor(q, a), Dst: a, ID: uint16(sipHash(c.k1, ^c.k0, b)), Seq: uint16(c.checks.asked),
		Token: sipHash(c.k0, c.k1, b)}
	c.checks.put(a, &check{kind: forWaiter, asked: q.now.M, ends: q.now.M + silence, link: q.link.ID, from: w, echo: m})
	c.count.Probes++
	e.Echoes = append(e.Echoes, m)
}

// HandleEcho takes an ICMP echo message that came in: the answer to a question under way says
// that its source is in use. Every other is nobody's.
func (c *Core) HandleEcho(now lease.Instant, m *wire.Echo, e *Effects) {
	c.at(now)
	k := c.checks.byAddr[m.Src]
	if k == nil || k.kind != forWaiter || !k.byEcho() || !m.Reply ||
		m.Token != k.echo.Token || m.ID != k.echo.ID || m.Seq != k.echo.Seq || m.Dst != k.echo.Src {
		return
	}
	c.checks.drop(m.Src)
	c.conflict(now, m.Src, k.link, nil, e)
	c.again(now, k.from, e)
	c.checks.soon()
}

// rememberSilence keeps a from being asked for again for a minute. Half of the room for
// addresses that answered is left to them.
func (c *Core) rememberSilence(a dhcp4.Addr, was *check) {
	if c.checks.passed < c.bound.Passed/2 {
		c.checks.put(a, &check{kind: noAnswer, asked: was.asked, ends: was.asked + readyFor, link: was.link, echo: was.echo})
	}
}

// silentLately reports whether a stayed silent when it was asked for by an echo request.
func (c *Core) silentLately(now lease.Instant, a dhcp4.Addr) bool {
	k := c.checks.byAddr[a]
	return k != nil && k.kind == noAnswer && now.M < k.ends
}

// stands reports whether ch, about a, is still of use after a change of configuration or
// interfaces.
func (c *Core) stands(a dhcp4.Addr, ch *check) bool {
	switch {
	case ch.kind == passedOver:
		return true
	case ch.kind == forWaiter && c.offers.ofAddr(a) == nil:
		return false
	case ch.byEcho():
		return c.linkOf(ch.link) != nil && c.echoable(a)
	}
	l := c.askable(a)
	return l != nil && l.ID == ch.link
}
