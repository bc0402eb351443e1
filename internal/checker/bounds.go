package checker

import "lessor/internal/trace"

// The stated maxima of I22, as docs/checker.md lists them.
const (
	mostOffers = 1 << 16 // remembered, live and past
	mostChecks = 1024    // addresses asked for
	mostPassed = 1024    // addresses passed over
	mostGroup  = 8192    // changes or replies of one group
	mostQueued = 16 * 64 // packets of one interface between its socket and the core

	// In the group in flight and the gathering one, each with what one look at the checks adds.
	mostWaiting = 2 * (mostGroup + mostChecks + mostPassed)
)

// bounds holds I22: nothing that a server keeps outgrows its stated maximum. Records are
// bounded by the addresses that there are, so no number of identities makes more.
type bounds struct{ hosts map[string]*boundsHost }

type boundsHost struct {
	started bool
	room    uint64 // records that there can be
	links   int    // the most interfaces that were served at once
	most    trace.Bounds
}

// within is a bound of a simulated run, or that of service.
func within(rare, usual int) int {
	if rare > 0 {
		return rare
	}
	return usual
}

// waiting is how many changes or replies may wait where a group has at most rare. A look at
// the checks adds nothing for an address that is not there.
func (h *boundsHost) waiting(rare int) int {
	if rare == 0 || !h.started {
		return mostWaiting
	}
	return 2 * (rare + 2*int(min(h.room, mostChecks)) + 8)
}

func newBounds() *bounds { return &bounds{hosts: map[string]*boundsHost{}} }

func (r *bounds) host(name string) *boundsHost {
	h := r.hosts[name]
	if h == nil {
		h = &boundsHost{}
		r.hosts[name] = h
	}
	return h
}

func (r *bounds) entry(c *Checker, e *trace.Entry) {
	switch b := e.Body.(type) {
	case *trace.Started:
		*r.host(e.Host) = boundsHost{started: true, room: uint64(b.Records), most: b.Bounds}
	case *trace.Config:
		if b.Policy == nil {
			return
		}
		h := r.host(e.Host)
		for _, n := range b.Policy.Networks {
			h.room += uint64(len(n.Reservations()))
			for _, s := range n.Subnets {
				for _, p := range s.Pools {
					h.room += p.Range.Size()
				}
			}
		}
	case *trace.Served:
		h := r.host(e.Host)
		h.links = max(h.links, len(b.Links))
	case *trace.Counts:
		r.counts(c, r.host(e.Host), b)
	}
}

func (r *bounds) counts(c *Checker, h *boundsHost, n *trace.Counts) {
	over := func(what string, have, most int) {
		if have > most {
			c.breach("I22", "%d %s, at most %d may be", have, what, most)
		}
	}
	over("offers are remembered", n.Offers+n.Past, within(h.most.Offers, mostOffers))
	over("addresses are asked for or passed over", n.Checks, within(h.most.Checks, mostChecks)+within(h.most.Passed, mostPassed))
	over("changes wait for the store", n.Changes, h.waiting(h.most.Changes))
	over("replies wait for the store", n.Replies, h.waiting(h.most.Replies))
	over("packets are queued", n.Queued, mostQueued*max(1, h.links))
	if h.started && uint64(max(n.Bindings, 0)) > h.room {
		c.breach("I22", "%d records in memory, and only %d addresses that could have one", n.Bindings, h.room)
	}
}

func (r *bounds) end(*Checker) {}
