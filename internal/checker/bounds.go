package checker

import "lessor/internal/trace"

// The stated maxima of I22, as docs/checker.md lists them.
const (
	mostOffers  = 1 << 16             // live offers
	mostChecks  = 1024 + 1024         // addresses asked for, and addresses passed over
	mostWaiting = 2 * (8192 + 2*1024) // changes or replies in the group in flight and the gathering one, each with what one look at the checks adds
	mostQueued  = 16 * 64             // packets of one interface between its socket and the core
)

// bounds holds I22: nothing that a server keeps outgrows its stated maximum. Records are
// bounded by the addresses that there are, so no number of identities makes more.
type bounds struct{ hosts map[string]*boundsHost }

type boundsHost struct {
	started bool
	room    uint64 // records that there can be
	links   int    // the most interfaces that were served at once
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
		*r.host(e.Host) = boundsHost{started: true, room: uint64(b.Records)}
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
	over("live offers", n.Offers, mostOffers)
	over("addresses asked for or passed over", n.Checks, mostChecks)
	over("changes wait for the store", n.Changes, mostWaiting)
	over("replies wait for the store", n.Replies, mostWaiting)
	over("packets are queued", n.Queued, mostQueued*max(1, h.links))
	if h.started && uint64(max(n.Bindings, 0)) > h.room {
		c.breach("I22", "%d records in memory, and only %d addresses that could have one", n.Bindings, h.room)
	}
}

func (r *bounds) end(*Checker) {}
