package checker

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/trace"
)

// The times of I17, and how long after the server knew a reply may still have been under
// way when a capture stamped it.
const (
	alarmTime = second
	healTime  = 10 * second
	underWay  = second / 100
)

// storage holds I17: a failing store is said within a second, new clients get nothing
// from then on and holders what is left, and a device that is back is used again within
// ten seconds, by a fresh store.
type storage struct{ hosts map[string]*storeOf }

type storeOf struct {
	up      bool
	failAt  int64 // of the commit that failed and of which nothing was said yet; 0: none
	failing bool
	since   int64 // of failing
	told    bool  // the trace has the truth about the disk
	works   bool  // the disk does, at full speed
	worksAt int64
	late    bool // reported
}

func newStorage() *storage { return &storage{hosts: map[string]*storeOf{}} }

func (r *storage) entry(c *Checker, e *trace.Entry) {
	h := r.hosts[e.Host]
	if h == nil {
		switch e.Body.(type) {
		case *trace.Started, *trace.Disk, *trace.Commit:
			h = &storeOf{works: true}
			r.hosts[e.Host] = h
		default:
			return
		}
	}
	if _, clock := e.Body.(*trace.Clock); clock {
		return // a suspend: the ledger knows when
	}
	if h.up && awake(e) {
		h.overdue(c, e.T)
	}
	switch b := e.Body.(type) {
	case *trace.Started:
		h.up, h.failing, h.failAt, h.late = true, false, 0, false
	case *trace.Ended:
		h.up = false
	case *trace.Disk:
		h.disk(e.T, b)
	case *trace.Commit:
		h.commit(c, e.T, b)
	case *trace.StoreState:
		if b.Failing && !h.failing {
			h.since = e.T
		}
		h.failing, h.failAt, h.late = b.Failing, 0, false
	case *trace.Frame:
		if h.failing && b.Sent && c.ledger.msg != nil && e.T > h.since+underWay {
			replyWhileFailing(c, c.ledger.host.server, c.ledger.msg)
		}
	}
}

func (r *storage) end(*Checker) {}

func (h *storeOf) disk(t int64, b *trace.Disk) {
	works := !b.Broken && !b.Slow
	if works && !h.works || !h.told {
		h.worksAt = t
	}
	h.told, h.works = true, works
}

// overdue holds what must have been said by now.
func (h *storeOf) overdue(c *Checker, now int64) {
	woke := c.ledger.host.clock.since
	if h.failAt != 0 && now > max(h.failAt, woke)+alarmTime+slack {
		c.breach("I17", "a commit failed %d ms ago, and the server does not say so", (now-h.failAt)/1e6)
		h.failAt = 0
	}
	if h.failing && h.told && h.works && !h.late {
		back := max(h.worksAt, h.since, woke)
		if now > back+healTime+slack {
			c.breach("I17", "the disk works for %d ms, and the store is still failing", (now-back)/1e6)
			h.late = true
		}
	}
}

// commit holds that after a failed sync nothing is durable until there is a fresh store.
func (h *storeOf) commit(c *Checker, t int64, b *trace.Commit) {
	switch {
	case b.Err != "":
		if !h.failing && h.failAt == 0 {
			h.failAt = t
		}
	case h.failing || h.failAt != 0:
		c.breach("I17", "a commit to a store that had failed is said to be durable")
		h.failAt = 0
	}
}

// replyWhileFailing holds that only holders are answered: with an ACK or an OFFER of what
// they durably have, and never longer.
func replyWhileFailing(c *Checker, s *server, m *message) {
	if m.kind == dhcp4.Nak {
		c.breach("I17", "a NAK to %s while the store fails", name(m.who))
		return
	}
	if m.kind != dhcp4.Offer && m.kind != dhcp4.Ack || m.yiaddr == 0 {
		return
	}
	rec := s.records[m.yiaddr]
	if rec != nil && rec.unknown {
		return
	}
	if rec == nil || !bound(rec.now, c.ledger.m) || !same(s.pol, identOf(rec.now), m.who, m.yiaddr) {
		c.breach("I17", "%v of %s to %s, who does not hold it, while the store fails", m.kind, m.yiaddr, name(m.who))
		return
	}
	left := rec.now.End - c.ledger.m
	if m.kind == dhcp4.Offer && rec.now.End != lease.Never && int64(m.lifetime)*second > left+second {
		c.breach("I17", "an OFFER of %s for %d s, %d ms are durable and the store fails", m.yiaddr, m.lifetime, left/1e6)
	}
}
