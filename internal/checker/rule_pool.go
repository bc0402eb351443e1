package checker

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	core "lessor/internal/server"
	"lessor/internal/trace"
)

// pools holds I4: an address is free at most a second after the end of S, the states of a
// pool add up to its size. The order in which addresses are used again is judged with
// the choice of an address (choices).
type pools struct{}

func (*pools) entry(c *Checker, e *trace.Entry) {
	switch b := e.Body.(type) {
	case *trace.Counts:
		for i := range b.Pools {
			p := &b.Pools[i]
			sum := uint64(0)
			for _, n := range p.Count {
				sum += n
			}
			if sum != p.Size || p.Size != p.Range.Size() {
				c.breach("I4", "the states of pool %s add up to %d, and it has %d addresses", p.Range, sum, p.Range.Size())
			}
		}
	case *trace.Happened:
		if b.Event.Kind == core.EventDrop && (b.Event.Reason == core.PoolFull || b.Event.Reason == core.NoPoolForClient) && len(c.ledger.dropped) > 0 {
			full(c, c.ledger.host.server)
		}
	}
}

func (*pools) end(*Checker) {}

// full judges that a DISCOVER got nothing because no address was left: even one on offer
// would have been taken back.
func full(c *Checker, s *server) {
	q := c.ledger.dropped[len(c.ledger.dropped)-1]
	t, m := c.ledger.t, c.ledger.m
	if q.net == nil || q.pol != s.pol || t-s.polT <= second || t-s.linksT <= second || t-s.host.clock.since <= second || s.failing || t-s.failT <= second {
		return
	}
	eachFree(q.net, func(a dhcp4.Addr) bool {
		if s.judge(s.pol, q.net, q, a) != allowed {
			return false
		}
		r := s.records[a]
		if r != nil && (r.unknown || t-r.t <= second || r.now != nil && m-second <= r.now.Free) {
			return false
		}
		c.doubt(s, []dhcp4.Addr{a}, "I4", "no address is left for %v, and %s is free", q.who, a)
		return true
	})
}

// change holds that no record keeps its address for longer than S can last.
func (*pools) change(c *Checker, s *server, r *record) {
	k, _ := c.at.Body.(*trace.Commit)
	b := r.now
	if k == nil || s.pol == nil || b == nil || b.State != lease.Bound || b.Lifetime == lease.Infinite {
		return
	}
	g := grace(s.pol, b.Lifetime)
	if s.oldPol != nil {
		g = max(g, grace(s.oldPol, b.Lifetime))
	}
	latest := k.Began.M + (int64(b.Lifetime)+int64(g))*second
	for _, old := range [2]*lease.Binding{r.prev, r.before} {
		if old != nil {
			latest = max(latest, old.Free)
		}
	}
	if latest != lease.Never && b.Free > latest+second {
		c.breach("I4", "%s is kept for %v until %.3f s after the end of its lease of %d s", r.addr, identOf(b), secs(b.Free-b.End), b.Lifetime)
	}
}
