package sim

import (
	"context"
	"errors"

	"lessor/internal/engine"
	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/store/memory"
	"lessor/internal/trace"
)

// disk is a store on a disk that can be slow, fail, and lose what was not synced. The
// process uses it as a store.Store; the world does the rest.
type disk interface {
	store.Store
	open() (store.Store, error) // for a new process
	close()                     // the process ended cleanly
	begin(j *engine.Job)        // the work is under way: written, not synced
	end()                       // it was answered
	kill(d *dice)               // the process is gone; what it had written may be there
	cut(mode int, d *dice)      // the power is gone: what was not synced is kept (0), lost (1) or torn (2)
	fail(once bool, until int64)
	failing() bool
	mend()
	discard() // the run is over
}

func newDisk(w *world, p *ServerPlan) disk {
	if p.Store == StorePebble {
		return newPebbleDisk(w, p)
	}
	return &model{faults: faults{w: w, host: p.Name}, Store: memory.New()}
}

// faults is what makes a disk fail.
type faults struct {
	w     *world
	host  string
	once  bool
	until int64
}

func (f *faults) fail(once bool, until int64) {
	f.once, f.until = once, max(until, f.until)
	if !once {
		f.w.emit(f.host, &trace.Disk{Broken: true, Slow: f.slow()})
		f.w.queue.push(f.until, func() {
			if f.until != 0 && f.w.now >= f.until {
				f.mend()
			}
		})
	} else {
		f.until = 0
	}
}

// slow reports whether the device, failing or not, is a slow one now.
func (f *faults) slow() bool {
	s := f.w.server(f.host)
	return s != nil && f.w.now < s.slowTill && !f.w.healed
}

func (f *faults) failing() bool { return f.until != 0 && f.w.now < f.until }

func (f *faults) mend() {
	if f.until != 0 {
		f.until = 0
		f.w.emit(f.host, &trace.Disk{Slow: f.slow()})
	}
	f.once = false
}

// trip is one write or sync: it fails, or not.
func (f *faults) trip() bool {
	if f.once {
		f.once = false
		return true
	}
	return f.failing()
}

var errDisk = errors.New("input/output error")

// model is a disk around store/memory: a group is there whole or not at all, which is what a
// log with checksums gives. What a failed write left is there after a crash, or not.
type model struct {
	faults
	*memory.Store
	flight *engine.Job
	broken bool
	ghosts []ghost // groups that failed: a crash may bring them back (store.Failed)
}

// ghost is a group that was written, and whose sync failed.
type ghost struct {
	mark    lease.Mark
	changes []lease.Change
}

func (m *model) open() (store.Store, error) {
	if m.failing() {
		return nil, errDisk
	}
	m.broken, m.ghosts = false, nil
	return m, nil
}

func (m *model) close()              {}
func (m *model) discard()            {}
func (m *model) begin(j *engine.Job) { m.flight = j }
func (m *model) end()                { m.flight = nil }

// Commit implements store.Store.
func (m *model) Commit(ctx context.Context, mark lease.Mark, cs []lease.Change, res []store.Result) error {
	switch {
	case m.broken:
	case m.trip():
		m.broken = true
		m.ghosts = append(m.ghosts, ghost{mark, copyChanges(cs)})
	default:
		return m.Store.Commit(ctx, mark, cs, res)
	}
	for i := range res {
		res[i] = store.Result{Outcome: store.Failed}
	}
	return store.ErrBroken
}

// Recreate implements store.Store.
func (m *model) Recreate(ctx context.Context, mark lease.Mark, next func([]lease.Binding) (int, error)) error {
	if m.trip() {
		return errDisk
	}
	if err := m.Store.Recreate(ctx, mark, next); err != nil {
		return err
	}
	m.broken, m.ghosts = false, nil
	return nil
}

// kill: what the process had written is in the kernel's hands.
func (m *model) kill(d *dice) {
	for i := range m.ghosts {
		if d.hit(500_000) {
			m.apply(m.ghosts[i].mark, m.ghosts[i].changes)
		}
	}
	m.ghosts = nil
	if j := m.flight; j != nil && j.Group != nil && !m.broken && d.hit(500_000) {
		m.apply(j.Mark, j.Group.Changes)
	}
	m.flight = nil
}

// cut: of what was not synced the plan says what is left; a torn group is none.
func (m *model) cut(mode int, d *dice) {
	if mode != 0 {
		m.ghosts, m.flight = nil, nil
	}
	if j := m.flight; j != nil && j.Group != nil && !m.broken {
		m.apply(j.Mark, j.Group.Changes)
		m.flight = nil
	}
	m.kill(d)
}

func (m *model) apply(mark lease.Mark, cs []lease.Change) {
	if err := m.Store.Commit(context.Background(), mark, cs, make([]store.Result, len(cs))); err != nil {
		m.w.err = err
	}
}

func copyChanges(cs []lease.Change) []lease.Change {
	out := make([]lease.Change, len(cs))
	for i, c := range cs {
		c.Before, c.After = keep(c.Before), keep(c.After)
		out[i] = c
	}
	return out
}
