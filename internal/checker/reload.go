package checker

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	core "lessor/internal/server"
	"lessor/internal/trace"
)

// causes holds I15, and of I14 what is seen while a server runs: every change of a
// binding has a cause in what came in, never a configuration, and every deadline
// follows from it and from CLOCK_BOOTTIME.
type causes struct{ marks map[string]*markOf }

// markOf is what the mark of a process shows, as wall time less time on M.
type markOf struct {
	known bool
	off   int64
}

func newCauses() *causes { return &causes{marks: map[string]*markOf{}} }

func (r *causes) entry(c *Checker, e *trace.Entry) {
	switch b := e.Body.(type) {
	case *trace.Started:
		r.marks[e.Host] = &markOf{}
	case *trace.Config:
		if b.Refused && (b.Policy != nil || b.Why == "") {
			c.breach("I15", "a configuration is refused without saying why")
		}
	case *trace.Commit:
		if k := r.marks[e.Host]; k != nil && (b.Mark != lease.Mark{}) {
			k.commit(c, b)
		}
	case *trace.Happened:
		if s := c.ledger.host.server; s != nil && b.Event.Kind == core.EventExpired {
			r.expired(c, s, b.Event.Addr)
		}
	}
}

func (r *causes) end(*Checker) {}

// commit holds that the mark goes with CLOCK_BOOTTIME alone.
func (k *markOf) commit(c *Checker, b *trace.Commit) {
	off := b.Mark.W - b.Mark.M
	if k.known && (off-k.off > second || k.off-off > second) {
		c.breach("I14", "the mark went %d ms off the time that has passed", (off-k.off)/1e6)
	}
	if !k.known || off != k.off {
		k.known, k.off = true, off
	}
}

// expired holds that no lease is declared over before its end.
func (r *causes) expired(c *Checker, s *server, a dhcp4.Addr) {
	rec := s.records[a]
	if rec == nil || rec.now == nil || rec.unknown || rec.now.State != lease.Bound {
		return
	}
	if c.ledger.m < rec.now.End-second {
		c.doubt(s, []dhcp4.Addr{a}, "I14", "the lease of %s is declared over %d s before its end", a, (rec.now.End-c.ledger.m)/second)
	}
}

// change is one change that became durable.
func (r *causes) change(c *Checker, s *server, rec *record) {
	b, ok := c.at.Body.(*trace.Commit)
	if !ok {
		return
	}
	now, old := rec.now, rec.prev
	if now == nil || now.State != lease.Bound {
		if now != nil && now.End != lease.Never && now.End > b.Began.M+second {
			c.breach("I14", "%s was given up %d ms after the change was made", rec.addr, (now.End-b.Began.M)/1e6)
		}
		if bound(old, b.Began.M) && !rec.overridden && !givenUp(s, rec.addr) {
			c.breach(r.whose(s), "the binding of %s to %s ended, and nobody asked for that", rec.addr, name(identOf(old)))
		}
		return
	}
	if now.Lifetime == lease.Infinite {
		return
	}
	at := grantedAt(now)
	if at > b.Began.M+second {
		c.breach("I14", "the lease of %s ends %d ms later than any request can make it end", rec.addr, (at-b.Began.M)/1e6)
		return
	}
	switch askedBefore(s, identOf(now), at+second) {
	case neverAsked:
		c.breach(r.whose(s), "%s was bound to %s, and that client asked for nothing", rec.addr, name(identOf(now)))
	case askedLater:
		c.breach("I14", "the lease of %s counts from %d ms before the change, and nobody had asked then", rec.addr, (b.Began.M-at)/1e6)
	}
}

// whose is the promise that a change without a cause breaks: after a reload, that a
// configuration ends nothing.
func (r *causes) whose(s *server) string {
	if s.oldPol != nil {
		return "I15"
	}
	return "I1"
}

// givenUp reports whether somebody gave a up, or another host answered for it, or nobody
// can say.
func givenUp(s *server, a dhcp4.Addr) bool {
	if _, heard := s.arpHeard[a]; heard || s.pings() {
		return true
	}
	for i := len(s.requests) - 1; i >= s.oldest; i-- {
		q := s.requests[i]
		if q.kind == dhcp4.Release && q.ciaddr == a || q.kind == dhcp4.Decline && q.wanted == a {
			return true
		}
	}
	return len(s.requests)-s.oldest >= maxRequests
}

// Answers of askedBefore.
const (
	askedInTime = iota
	askedLater
	neverAsked
)

// askedBefore reports whether client k sent a message that can make a binding at m or
// before.
func askedBefore(s *server, k ident, m int64) int {
	found := neverAsked
	for i := len(s.requests) - 1; i >= s.oldest; i-- {
		q := s.requests[i]
		if q.kind != dhcp4.Request && !q.rapid || !bySame(q, k) {
			continue
		}
		if q.m <= m {
			return askedInTime
		}
		found = askedLater
	}
	if len(s.requests)-s.oldest >= maxRequests {
		return askedInTime
	}
	return found
}
