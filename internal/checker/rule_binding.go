package checker

import (
	"bytes"
	"fmt"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/trace"
)

// String names a client by its keys.
func (w ident) String() string {
	if len(w.id) > 0 {
		return fmt.Sprintf("%x (id %x)", w.hw, w.id)
	}
	return fmt.Sprintf("%x", w.hw)
}

// bindings holds I1: of one address the S-intervals of different clients never overlap,
// nor do the C-intervals of clients that keep the protocol.
type bindings struct {
	byHost map[*host]*use
	byAddr map[dhcp4.Addr][]*use
}

// use is a C-interval (docs/invariants.md, Bound as the client sees it).
type use struct {
	host       *host
	addr       dhcp4.Addr
	asked      int64 // true time of the REQUEST, also of a lease that is taken up from memory
	end        int64 // on the host's CLOCK_BOOTTIME
	configured bool
}

func newBindings() *bindings {
	return &bindings{byHost: map[*host]*use{}, byAddr: map[dhcp4.Addr][]*use{}}
}

func (r *bindings) entry(c *Checker, e *trace.Entry) {
	switch b := e.Body.(type) {
	case *trace.Frame:
		if p := c.ledger.reply; p != nil && p.rival != nil && p.msg.kind == dhcp4.Ack {
			c.breach("I1", "%s is acknowledged to %v, while %v was promised it for another %.3f s by %s", p.addr, p.who, p.rival.who,
				secs(p.rival.left(e.T)), p.rival.server.host.name)
		}
	case *trace.Client:
		r.client(c, e, b)
	case *trace.Clock:
		if u := r.byHost[c.ledger.host]; u != nil && c.ledger.booted {
			r.drop(u) // the machine was off
		}
	}
}

func (r *bindings) end(*Checker) {}

// secs is nanoseconds in seconds, for texts.
func secs(ns int64) float64 { return float64(ns) / 1e9 }

// left is how long S goes on, in nanoseconds of true time.
func (p *promise) left(t int64) int64 {
	k := &p.server.host.clock
	return k.until(p.end, k.at(t))
}

func (r *bindings) client(c *Checker, e *trace.Entry, b *trace.Client) {
	u := r.byHost[c.ledger.host]
	switch b.What {
	case trace.ClientAccept:
		if u != nil {
			r.drop(u)
		}
		u = &use{host: c.ledger.host, addr: b.Addr, asked: e.T - max(0, c.ledger.m-b.Start), end: b.End, configured: u != nil && u.configured && u.addr == b.Addr}
		r.byHost[u.host] = u
		r.accept(c, u, ident{htype: 1, hw: b.MAC[:], id: b.ClientID})
		r.byAddr[u.addr] = append(r.byAddr[u.addr], u)
	case trace.ClientConfigure:
		if u != nil && u.addr == b.Addr {
			u.configured = true
		}
	case trace.ClientDeconfigure:
		if u != nil && u.addr == b.Addr {
			r.drop(u)
		}
	case trace.ClientOff:
		if u != nil {
			r.drop(u)
		}
	case trace.ClientState:
		if u != nil && !u.configured && (b.State == "INIT" || b.State == "SELECTING" || b.State == "REQUESTING") {
			r.drop(u) // it found the address in use
		}
	}
}

// drop ends an interval.
func (r *bindings) drop(u *use) {
	delete(r.byHost, u.host)
	us := r.byAddr[u.addr]
	for i := range us {
		if us[i] == u {
			us[i] = us[len(us)-1]
			r.byAddr[u.addr] = us[:len(us)-1]
			return
		}
	}
}

// accept judges a new interval against those of the same address on the same link. What
// no server of the trace promised, what was given up in its client's name, and what a
// server has lost is not claimed.
func (r *bindings) accept(c *Checker, u *use, who ident) {
	l := c.ledger
	promised := false
	for _, p := range l.promises[u.addr] {
		if p.unclaimed {
			return
		}
		promised = promised || bytes.Equal(p.who.hw, who.hw) || len(who.id) > 0 && bytes.Equal(p.who.id, who.id)
	}
	if !promised {
		return
	}
	for _, o := range r.byAddr[u.addr] {
		gaveUp, ended := l.gaveUp[u.addr]
		switch {
		case o.host.segment != u.host.segment && o.host.segment != "" && u.host.segment != "":
		case ended && gaveUp > o.asked:
		case o.end == lease.Never || o.host.clock.at(l.t) < o.end:
			c.breach("I1", "%s is accepted by %s, while %s has it by its own clock", u.addr, u.host.name, o.host.name)
		}
	}
}

// durability holds I2: what an ACK promises is durable before it is sent.
type durability struct{}

func (*durability) entry(c *Checker, _ *trace.Entry) {
	p := c.ledger.reply
	if p == nil || p.msg.kind != dhcp4.Ack || p.addr == 0 || !p.msg.timed {
		return
	}
	b := p.server.record(p.addr).standing(p)
	switch {
	case b == nil:
		c.breach("I2", "%s is acknowledged to %v, and nothing of it is durable", p.addr, p.who)
	case b.State != lease.Bound:
		c.breach("I2", "%s is acknowledged to %v, and what is durable is that nobody has it", p.addr, p.who)
	case !p.isSame(identOf(b)):
		c.breach("I2", "%s is acknowledged to %v, and what is durable is that %v has it", p.addr, p.who, identOf(b))
	case p.request == nil || b.End == lease.Never:
	case p.msg.lifetime == lease.Infinite:
		c.breach("I2", "%s is acknowledged to %v without an end, and %.3f s are durable", p.addr, p.who, secs(b.End-p.request.m))
	case b.End < p.request.m+int64(p.msg.lifetime)*second-slack:
		c.breach("I2", "%s is acknowledged to %v for %d s, and %.3f s are durable", p.addr, p.who, p.msg.lifetime, secs(b.End-p.request.m))
	}
}

func (*durability) end(*Checker) {}

// standing is the state of r that reply p rests on: the newest durable one, or, when that
// was decided after the request and became durable with its answer, the one before.
func (r *record) standing(p *reply) *lease.Binding {
	if p.request == nil || r.t < p.request.at.T || r.now != nil && r.now.State == lease.Bound && p.isSame(identOf(r.now)) {
		return r.now
	}
	if r.prev != nil && r.prev.State == lease.Bound && r.prevT >= p.request.at.T && p.isSame(identOf(r.prev)) {
		return r.prev
	}
	return r.now
}
