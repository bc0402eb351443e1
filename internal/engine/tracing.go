package engine

import (
	"errors"

	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/store"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// Tracer is told what happens, in the order in which it happens, by the goroutines of
// the Engine: tracefile.Writer is one. What it is given is the Engine's again when
// Write returns. Everything waits for it, an ACK too, so it must not take long.
type Tracer interface{ Write(b trace.Body) }

const (
	countEvery = 10 * second // between two Counts of a trace
	loadedStep = 256         // records in one Loaded
)

// traceStart tells what the store was loaded with, and that the server begins.
func (e *Engine) traceStart(records int, took int64, version string) {
	if e.trace == nil {
		return
	}
	t := e.serving.core.Table()
	keep := snapshot{s: e.serving}
	part := make([]lease.Binding, 0, loadedStep)
	for from, more := lease.Slot(0), true; more; more = from != 0 {
		from = t.Scan(from, loadedStep, func(slot lease.Slot) {
			var b lease.Binding
			t.Binding(slot, &b)
			keep.keep(&b)
			part = append(part, b)
		})
		if len(part) > 0 {
			e.trace.Write(&trace.Loaded{Records: part})
		}
		part, keep.mem = part[:0], keep.mem[:0]
	}
	e.trace.Write(&trace.Started{Boot: e.boot, Careful: e.store.Recovery().Careful, Fresh: records == 0 && e.store.Mark() == lease.Mark{},
		Records: records, Version: version, Took: took})
	e.trace.Write(&trace.Config{Policy: e.policy.Load()})
}

// traceCommit tells the store's answer; it is called right after it, by who called the store.
func (e *Engine) traceCommit(j *Job) {
	if e.trace != nil && j.kind == jobCommit {
		e.trace.Write(CommitEntry(j))
	}
}

// CommitEntry is what a trace says of a Job that has run; nil if it was not to commit. It
// refers to the group.
func CommitEntry(j *Job) *trace.Commit {
	if j.kind != jobCommit {
		return nil
	}
	c := &trace.Commit{Began: j.Began, Mark: j.Mark, Changes: j.Group.Changes, Results: make([]store.Outcome, len(j.Group.Results))}
	for i := range j.Group.Results {
		c.Results[i] = j.Group.Results[i].Outcome
	}
	if j.Err != nil {
		c.Err, c.Unknown = j.Err.Error(), errors.Is(j.Err, store.ErrUnknown)
	}
	return c
}

// traceStore tells when the store's health has changed since it was failing.
func (e *Engine) traceStore(wasFailing bool) {
	if e.trace == nil {
		return
	}
	switch err := e.serving.Failing(); {
	case err != nil && !wasFailing:
		e.trace.Write(&trace.StoreState{Failing: true, Why: err.Error()})
	case err == nil && wasFailing:
		e.trace.Write(&trace.StoreState{})
	}
}

func (e *Engine) traceEvents(events []server.Event) {
	if e.trace == nil {
		return
	}
	for i := range events {
		e.trace.Write(&trace.Happened{Event: events[i]})
	}
}

func (e *Engine) traceServed(links []wire.Link) {
	if e.trace != nil {
		e.trace.Write(&trace.Served{Links: links})
	}
}

// traceCounts looks at the server now and then, between two inputs.
func (e *Engine) traceCounts(now lease.Instant) {
	if e.trace == nil || now.M < e.counted+countEvery {
		return
	}
	e.counted = now.M
	core := e.serving.core
	c := &trace.Counts{Pools: core.Pools(), Counters: *core.Counters(), Bindings: core.Table().Len(), Queued: int(e.queued.Load()),
		Overload: e.serving.overload}
	c.Changes, c.Replies = e.serving.Waiting()
	n := core.Sizes()
	c.Offers, c.Past, c.Checks = n.Offers, n.Past, n.Checks
	e.trace.Write(c)
}
