package checker

import (
	"lessor/internal/lease"
	"lessor/internal/trace"
)

const second = lease.Second

// slack is what readings of one clock may differ by: the server reads it once for a
// batch, a capture stamps each frame by itself.
const slack = int64(1e6)

// clock is how a host's CLOCK_BOOTTIME and wall clock run: at true time t they show m
// and w, and m gains drift parts per million.
type clock struct {
	known   bool
	t, m, w int64
	drift   int32
	boot    lease.BootID
	since   int64 // true time of the last Clock entry
}

func (k *clock) set(t int64, now lease.Instant, drift int32, boot lease.BootID) {
	*k = clock{known: true, t: t, m: now.M, w: now.W, drift: drift, boot: boot, since: t}
}

// passed is how much the clock gains while true time gains d.
func (k *clock) passed(d int64) int64 {
	p := int64(k.drift)
	return d + d/1e6*p + d%1e6*p/1e6
}

// at is CLOCK_BOOTTIME at true time t.
func (k *clock) at(t int64) int64 {
	if !k.known {
		return t
	}
	return k.m + k.passed(t-k.t)
}

// wall is the wall clock at true time t. It runs like CLOCK_BOOTTIME until it is set.
func (k *clock) wall(t int64) int64 { return k.w + k.passed(t-k.t) }

// until is the true time that passes before a clock at m shows end; negative when it has
// shown it, lease.Never for what has no end.
func (k *clock) until(end, m int64) int64 {
	if end == lease.Never {
		return lease.Never
	}
	d, p := end-m, int64(k.drift)
	return d - d/1e6*p - d%1e6*p/1e6
}

// setClock takes a Clock entry. In another boot CLOCK_BOOTTIME begins anew: what was
// promised on the old one goes on in true time.
func (l *ledger) setClock(h *host, e *trace.Entry, k *trace.Clock) {
	old := h.clock
	h.clock.set(e.T, e.Now, k.Drift, k.Boot)
	s := h.server
	l.booted = old.known && old.boot != k.Boot
	if s == nil || !l.booted {
		return
	}
	m := old.at(e.T)
	move := func(end int64) int64 {
		if end == lease.Never {
			return end
		}
		return e.Now.M + h.clock.passed(old.until(end, m))
	}
	for _, ps := range l.promises { // each by itself: the order does not matter
		for _, p := range ps {
			if p.server == s {
				p.end, p.asked = move(p.end), move(p.asked)
				p.rebooted = true
			}
		}
	}
	for _, r := range s.records {
		if r.out != 0 {
			r.out = move(r.out)
		}
	}
	s.present = s.present.At(m)
}
