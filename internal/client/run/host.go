package run

import (
	"fmt"

	"lessor/internal/client"
	"lessor/internal/client/setup"
	"lessor/internal/lease"
)

// Pauses between tries of what the host refused.
const (
	retryFirst = second / 4
	retryMost  = 30 * second
)

// retry is something to be tried again, with growing pauses.
type retry struct {
	at    int64 // never: nothing is to be tried again
	pause int64
}

func (r *retry) init() { r.at, r.pause = never, 0 }

func (r *retry) failed(now lease.Instant) {
	r.pause = min(max(2*r.pause, retryFirst), retryMost)
	r.at = now.M + r.pause
}

// hostWork is what the interface is to look like, and what of it is still to be done.
type hostWork struct {
	wanted  bool // an address is to be on the interface
	reason  client.Reason
	applied *setup.Config // what is on it, nil: nothing
	change  retry
	write   retry
}

func (h *hostWork) init() {
	h.change.init()
	h.write.init()
}

func (h *hostWork) at() int64 { return min(h.change.at, h.write.at) }

// due tries again what failed.
func (h *hostWork) due(l *loop, now lease.Instant) {
	if h.write.at <= now.M {
		h.save(l, now)
	}
	if h.change.at > now.M {
		return
	}
	switch cur := l.m.Lease(); {
	case !h.wanted:
		h.clear(l, now)
	case cur == nil:
		h.change.init()
	default:
		h.apply(l, now, cur)
	}
}

// configure puts lease c on the interface.
func (h *hostWork) configure(l *loop, now lease.Instant, c *client.Lease, why client.Reason) {
	h.wanted, h.reason = true, why
	h.change.init()
	h.apply(l, now, c)
}

func (h *hostWork) apply(l *loop, now lease.Instant, c *client.Lease) {
	conf := setup.FromLease(c, now)
	if err := l.o.Host.Apply(conf); err != nil {
		h.change.failed(now)
		l.report.note(l, now, "apply", fmt.Sprintf("%s cannot be put on %s: %v; trying again", c.Addr, l.o.Interface, err))
		return
	}
	h.change.init()
	l.report.clear("apply")
	before := h.applied
	h.applied = conf
	l.status.touch()
	l.report.send(l, now, &Report{Configured: conf, Reason: h.reason})
	l.hook(appliedEvent(before, conf), c, h.reason)
	l.enough()
}

// enough ends a Once whose address is on the interface and confirmed: a remembered one is used
// before its server has said a word (RFC 4436), and might be refused by it.
func (l *loop) enough() {
	if l.o.Once && l.host.applied != nil && l.m.State() == client.Bound {
		l.finished = true
	}
}

// deconfigure takes everything off the interface.
func (h *hostWork) deconfigure(l *loop, now lease.Instant, why client.Reason) {
	h.wanted, h.reason = false, why
	h.change.init()
	h.clear(l, now)
}

func (h *hostWork) clear(l *loop, now lease.Instant) {
	if err := l.o.Host.Clear(); err != nil {
		h.change.failed(now)
		l.report.note(l, now, "apply", fmt.Sprintf("the address cannot be taken off %s: %v; trying again", l.o.Interface, err))
		return
	}
	h.change.init()
	l.report.clear("apply")
	if h.applied == nil {
		return // nothing that anybody was told of was there
	}
	h.applied = nil
	l.status.touch()
	l.report.send(l, now, &Report{Removed: true, Reason: h.reason})
	l.hook("lost", nil, h.reason)
}

// save writes the machine's memory.
func (h *hostWork) save(l *loop, now lease.Instant) {
	text := EncodeLeases(l.m.Memory(), l.o.Clock.BootID(), now)
	if err := l.o.Host.WriteLeases(text); err != nil {
		h.write.failed(now)
		l.report.note(l, now, "save", fmt.Sprintf("the lease file cannot be written: %v; after a restart the client may get another address. Trying again", err))
		return
	}
	h.write.init()
	l.report.clear("save")
}

// readLeases is what an earlier run remembered.
func (l *loop) readLeases(now lease.Instant) []client.Remembered {
	text, err := l.o.Host.ReadLeases()
	if err != nil {
		l.report.note(l, now, "read", fmt.Sprintf("the lease file cannot be read: %v; starting without it", err))
		return nil
	}
	memory, problem := DecodeLeases(text, &l.o.Client, l.o.Clock.BootID(), now)
	if problem != "" {
		l.report.note(l, now, "read", problem)
	}
	return memory
}
