package server

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/pool"
)

// candidates tells where the address for a DISCOVER comes from, and of each source before
// it why it gave none.
func (t *Trace) candidates(c *Core, q *request, live, last lease.Slot, from source, taken dhcp4.Addr) {
	var of [fromReady]dhcp4.Addr
	if q.res != nil {
		of[fromReservation] = q.res.Addr
	}
	if live != 0 {
		of[fromLease] = c.table.Rec(live).Addr
	}
	if o := c.offers.ofID(q.id); o != nil && o.live {
		of[fromOffer] = o.addr
	}
	if last != 0 {
		of[fromLast] = c.table.Rec(last).Addr
	}
	of[fromRequest] = q.wanted
	for src := range fromReady {
		switch a := of[src]; {
		case src == from:
			text, pos := c.describe(q, a)
			t.add(Step{Stage: StageAddress, Verdict: Yes, Name: sourceNames[src], Addr: a, Text: text, Pos: pos})
			return
		case a == 0:
			t.add(Step{Stage: StageAddress, Name: sourceNames[src], Text: "none"})
		default:
			text, pos := c.describe(q, a)
			t.add(Step{Stage: StageAddress, Verdict: No, Name: sourceNames[src], Addr: a, Reason: c.allowed(q, a), Text: text, Pos: pos})
		}
	}
	t.pools(c, q, from == fromNowhere)
	if from == fromNowhere {
		return
	}
	s := Step{Stage: StageAddress, Verdict: Yes, Name: sourceNames[from], Addr: taken}
	switch {
	case from == fromReady && q.giaddr != 0:
		s.Text = "free"
	case from == fromReady:
		s.Text = "free, and unanswered by ARP"
	default:
		s.Text = c.whichNew(taken)
	}
	if p := c.part(taken); p != nil {
		s.Text, s.Pos = s.Text+"; pool "+p.conf.Range.String(), p.conf.Pos
	}
	t.add(s)
}

// whichNew says why just this address of a pool is the new one.
func (c *Core) whichNew(a dhcp4.Addr) string {
	p := c.part(a)
	if p == nil {
		return ""
	}
	_, offered := p.pool.Key(a, pool.Offered)
	switch {
	case offered:
		return "taken back from the oldest offer, because no other is free"
	case c.checks.answers(a):
		return "somebody answered for it lately, but no other is free"
	case p.pool.IsUnused(a):
		return "never used before"
	}
	return "free for the longest time"
}

// pools tells which pools are for other clients, and with all what fills the others.
func (t *Trace) pools(c *Core, q *request, all bool) {
	for _, sn := range q.net.Subnets {
		for _, conf := range sn.Pools {
			s := Step{Stage: StageAddress, Verdict: No, Name: "pool", Pos: conf.Pos}
			p := c.parts[conf.Index]
			switch {
			case !policy.Admits(conf.Guards, &q.facts.Classes):
				s.Reason = NakWrongClass
				s.Text = fmt.Sprintf("%s is for %s", conf.Range, c.guardText(conf.Guards, &q.facts.Classes))
			case all && p != nil:
				s.Reason = PoolFull
				s.Text = conf.Range.String() + ": " + use(p.pool)
			default:
				continue
			}
			t.add(s)
		}
	}
	if all && !slices.ContainsFunc(q.net.Subnets, func(sn *policy.Subnet) bool { return len(sn.Pools) > 0 }) {
		t.add(Step{Stage: StageAddress, Verdict: No, Name: "pool", Text: "this network has no pool", Reason: NoPoolForClient})
	}
}

// use says what the addresses of a pool are in use for.
func use(p *pool.Pool) string {
	var parts []string
	for st := range pool.NumStates {
		if n := p.Count(st); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, st))
		}
	}
	return strings.Join(parts, ", ")
}

// guardText names the classes of the guards that these classes do not pass.
func (c *Core) guardText(guards []policy.ClassSet, classes *policy.ClassSet) string {
	var all []string
	for i := range guards {
		if guards[i].Meets(classes) {
			continue
		}
		var names []string
		for n := range c.pol.Classes {
			if guards[i].Has(n) {
				names = append(names, c.pol.Classes[n].Name)
			}
		}
		all = append(all, strings.Join(names, " or "))
	}
	if len(all) == 1 && !strings.Contains(all[0], " or ") {
		return "class " + all[0]
	}
	return "classes " + strings.Join(all, ", and ")
}

// describe says what a is to this client, and the place that decides it.
func (c *Core) describe(q *request, a dhcp4.Addr) (string, policy.Pos) {
	st, s := c.standing(q, a)
	text := ""
	switch st {
	case free:
		text = "free"
	case mine:
		text = "this client's own, for another " + c.left(q, s)
		if r := c.table.Rec(s); q.now.M >= r.End {
			text = "this client's lease has ended, held for it for another " + span(r.Free-q.now.M)
		}
	case mineOnce:
		text = "this client's until " + ago(q.now.M-c.table.Rec(s).Free) + " ago, free"
	case others:
		text = "bound to " + c.holder(s) + ", for another " + c.left(q, s)
		if r := c.table.Rec(s); q.now.M >= r.End || r.State != lease.Bound {
			text = "held for " + c.holder(s) + ", for another " + span(r.Free-q.now.M)
		}
	case out:
		text = "out of use for another " + span(c.table.Rec(s).Free-q.now.M) + ": a client declined it, or somebody answered for it"
	case onOffer:
		text = "on offer to another client"
		if of := c.offers.ofAddr(a); of != nil && of.expires > q.now.M {
			text += ", for another " + span(of.expires-q.now.M)
		}
	}
	if c.checks.answers(a) && st != mine {
		text += ", but somebody answered for it lately"
	}
	why, pos := c.forbids(q, a)
	switch {
	case why == "":
	case st == free:
		text = why
	default:
		text += "; " + why
	}
	return text, pos
}

// forbids says in words what c.allowed does as a Reason.
func (c *Core) forbids(q *request, a dhcp4.Addr) (string, policy.Pos) {
	sn := q.net.Contains(a)
	switch c.allowed(q, a) {
	case None:
		if r := q.net.ReservedBy(a); r != nil {
			return "", r.Pos
		}
		return "", policy.Pos{}
	case NakWrongNetwork:
		if other := c.pol.SubnetOf(a); other != nil {
			return "in another network, " + subnetName(other), other.Pos
		}
		return "in another network, which is not configured here", policy.Pos{}
	case NakReserved:
		r := q.net.ReservedBy(a)
		text := "reserved for "
		for i, k := range r.Keys {
			if i > 0 {
				text += " or "
			}
			switch v := k.Value; k.Kind {
			case policy.KeyHWAddress, policy.KeyClientID, policy.KeyDUID:
				text += k.Kind.String() + " " + hwText(v)
			default:
				text += k.Kind.String() + " " + said(v)
			}
		}
		return text, r.Pos
	case NakWrongClass:
		p := sn.PoolOf(a)
		return "its pool is for " + c.guardText(p.Guards, &q.facts.Classes), p.Pos
	}
	never := sn.NeverOffer.Has(a)
	switch {
	case a == q.giaddr:
		return "the relay agent's own address", policy.Pos{}
	case c.isOwn(a):
		return "this server's own address", policy.Pos{}
	case never:
		return "never given out: a router, a server, or the network's or broadcast address", sn.Pos
	case sn.PoolOf(a) == nil:
		return "in no pool", sn.Pos
	}
	return fmt.Sprintf("the client's place is its reserved address %s", q.res.Addr), q.res.Pos
}

// left is how long the lease of record s has to run, or its hold.
func (c *Core) left(q *request, s lease.Slot) string {
	r := c.table.Rec(s)
	if r.End == forever {
		return "ever"
	}
	return span(r.End - q.now.M)
}

// holder names the client of record s.
func (c *Core) holder(s lease.Slot) string {
	if _, hw := c.table.HW(s); len(hw) > 0 {
		return hwText(hw)
	}
	if id := c.table.ClientID(s); len(id) > 0 {
		return "client-id " + hwText(id)
	}
	return "somebody"
}

// span is a duration in nanoseconds as people say it, to two units at most.
func span(ns int64) string {
	d := time.Duration(ns).Round(time.Second)
	days, rest := d/(24*time.Hour), d%(24*time.Hour)
	h, m, s := rest/time.Hour, rest%time.Hour/time.Minute, rest%time.Minute/time.Second
	switch {
	case days > 0 && h > 0:
		return fmt.Sprintf("%dd%dh", days, h)
	case days > 0:
		return fmt.Sprintf("%dd", days)
	case h > 0 && m > 0:
		return fmt.Sprintf("%dh%dm", h, m)
	case h > 0:
		return fmt.Sprintf("%dh", h)
	case m > 0 && s > 0:
		return fmt.Sprintf("%dm%ds", m, s)
	case m > 0:
		return fmt.Sprintf("%dm", m)
	}
	return fmt.Sprintf("%ds", s)
}

// ago is span for what was before the records of this run too.
func ago(ns int64) string {
	if ns > 400*24*3600*second || ns < 0 {
		return "a while"
	}
	return span(ns)
}

// request tells what the address of a REQUEST is to its client.
func (t *Trace) request(c *Core, q *request, a dhcp4.Addr) {
	s := Step{Stage: StageAddress, Addr: a, Name: q.state()}
	st, _ := c.standing(q, a)
	s.Reason = c.allowed(q, a)
	if s.Verdict = Yes; s.Reason != None || st != mine && st != mineOnce && st != free {
		s.Verdict = No
	}
	s.Text, s.Pos = c.describe(q, a)
	if q.serverID != 0 && st == free && s.Reason == None {
		s.Text = "free, and not on offer to this client"
		if c.wasOffered(q, a) {
			s.Text = "on offer to this client"
		}
	}
	t.add(s)
	if live, _ := c.bindings(q); live != 0 && c.table.Rec(live).Addr != a {
		have := c.table.Rec(live).Addr
		text, pos := c.describe(q, have)
		t.add(Step{Stage: StageAddress, Name: "current", Addr: have, Text: text, Pos: pos})
	}
}

// state is the state of the client that sends a REQUEST (RFC 2131 4.3.2).
func (q *request) state() string {
	switch {
	case q.ciaddr != 0 && q.unicast():
		return "renewing"
	case q.ciaddr != 0:
		return "rebinding"
	case q.serverID != 0:
		return "selecting"
	}
	return "rebooting"
}
