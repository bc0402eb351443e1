package checker

import "lessor/internal/trace"

// usage holds L3: once load stops, a process occupies what it occupied before.
type usage struct{ start map[string]trace.Usage }

func newUsage() *usage { return &usage{start: map[string]trace.Usage{}} }

func (r *usage) entry(c *Checker, e *trace.Entry) {
	u, ok := e.Body.(*trace.Usage)
	if !ok {
		if _, new := e.Body.(*trace.Started); new {
			delete(r.start, e.Host)
		}
		return
	}
	if u.Start {
		r.start[e.Host] = *u
		return
	}
	was, ok := r.start[e.Host]
	if !ok || !u.Idle {
		return
	}
	within2 := func(what string, before, now int) {
		if now-before > 2 || before-now > 2 {
			c.breach("L3", "%d %s without load, %d at the start", now, what, before)
		}
	}
	within2("goroutines", was.Goroutines, u.Goroutines)
	within2("descriptors", was.FDs, u.FDs)
	if u.Heap > was.Heap+was.Heap/10 {
		c.breach("L3", "%d octets of heap without load, %d at the start", u.Heap, was.Heap)
	}
}

func (r *usage) end(*Checker) {}
