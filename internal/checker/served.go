package checker

import (
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// followTime is how soon a server follows its interfaces (L4).
const followTime = 2 * lease.Second

// served holds L4: an interface that is ready is served within 2 s, with the addresses
// that it has, one that is not is given up within 2 s, and neither ends a process. It
// judges by what the server's host shows afterwards, so that a suspended machine, which
// shows nothing, is judged once it runs again.
type served struct{ hosts map[string]*servedHost }

type servedHost struct {
	up      bool
	names   []string // configured
	links   []wire.Link
	truth   []interfaceTruth
	late    bool  // some interface is not served as it should be
	changed int64 // when an interface last changed
	seen    bool  // one has
}

// interfaceTruth is one interface as it is.
type interfaceTruth struct {
	link  wire.Link
	ready bool
	wrong bool  // what is served is not what should be
	since int64 // since when it could have been right
}

func newServed() *served { return &served{hosts: map[string]*servedHost{}} }

func (r *served) entry(c *Checker, e *trace.Entry) {
	h := r.hosts[e.Host]
	if h == nil {
		switch e.Body.(type) {
		case *trace.Started, *trace.Interface, *trace.Config, *trace.Served:
			h = &servedHost{}
			r.hosts[e.Host] = h
		default:
			return
		}
	}
	if _, clock := e.Body.(*trace.Clock); clock {
		h.again(e.T) // a suspend gives it another two seconds
		return
	}
	if h.late && h.up && awake(e) {
		h.overdue(c, e.T)
	}
	switch b := e.Body.(type) {
	case *trace.Started:
		h.up, h.links = true, nil
		h.judge(e.T)
		h.again(e.T)
	case *trace.Ended:
		if b.Crashed && h.seen && e.T-h.changed <= followTime {
			c.breach("L4", "the server gave up %d ms after an interface changed", (e.T-h.changed)/1e6)
		}
		h.up = false
	case *trace.Config:
		if b.Policy != nil {
			h.names = b.Policy.Interfaces
			h.judge(e.T)
			h.again(e.T)
		}
	case *trace.Served:
		h.links = b.Links
		h.judge(e.T)
	case *trace.Interface:
		h.set(b, e.T)
	}
}

func (r *served) end(*Checker) {}

// awake reports whether an entry shows that its host runs. What becomes of its cables, its
// disk and its power says nothing of that.
func awake(e *trace.Entry) bool {
	switch b := e.Body.(type) {
	case *trace.Interface, *trace.Disk:
		return false
	case *trace.Ended:
		return b.Clean
	}
	return true
}

// set takes over the truth about one interface.
func (h *servedHost) set(b *trace.Interface, now int64) {
	h.changed, h.seen = now, true
	i := slices.IndexFunc(h.truth, func(t interfaceTruth) bool { return t.link.ID == b.Link.ID })
	if i < 0 {
		i = len(h.truth)
		h.truth = append(h.truth, interfaceTruth{})
	}
	h.truth[i] = interfaceTruth{link: b.Link, ready: b.Ready, since: now}
	h.judge(now)
}

// judge compares what is served with what should be.
func (h *servedHost) judge(now int64) {
	h.late = false
	for i := range h.truth {
		t := &h.truth[i]
		wrong := !h.right(t)
		if wrong && !t.wrong {
			t.since = max(t.since, now)
		}
		t.wrong = wrong
		h.late = h.late || wrong
	}
}

// right reports whether an interface is served as it should be. One under a name that is
// not configured may be served, for it may have been renamed.
func (h *servedHost) right(t *interfaceTruth) bool {
	i := slices.IndexFunc(h.links, func(l wire.Link) bool { return l.ID == t.link.ID })
	if !t.ready {
		return i < 0
	}
	if i < 0 {
		return !slices.Contains(h.names, t.link.Name)
	}
	return sameAddrs(h.links[i].Addrs, t.link.Addrs)
}

// sameAddrs reports whether two interfaces have the same addresses, in any order.
func sameAddrs(a, b []dhcp4.Prefix) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(p dhcp4.Prefix) bool { return !slices.Contains(b, p) })
}

// again gives everything that is wrong another two seconds.
func (h *servedHost) again(now int64) {
	for i := range h.truth {
		h.truth[i].since = max(h.truth[i].since, now)
	}
}

// overdue reports what is wrong for too long, once.
func (h *servedHost) overdue(c *Checker, now int64) {
	for i := range h.truth {
		t := &h.truth[i]
		if !t.wrong || now-t.since <= followTime {
			continue
		}
		if t.ready {
			c.breach("L4", "%s (interface %d) is ready since %.3f s and not served as it is", t.link.Name, t.link.ID, float64(t.since)/float64(second))
		} else {
			c.breach("L4", "%s (interface %d) is not ready since %.3f s and still served", t.link.Name, t.link.ID, float64(t.since)/float64(second))
		}
		t.since = lease.Never - now // once for each change
	}
}
