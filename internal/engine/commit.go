package engine

import (
	"context"
	"errors"
	"fmt"

	"lessor/internal/lease"
)

// jobKind says what the committer is to do.
type jobKind uint8

const (
	jobCommit    jobKind = iota // make a group and the mark durable
	jobRecreate                 // leave the broken store behind for a new one
	jobRecovered                // careful mode is over
)

// job is one piece of work for the committer. There is at most one under way, and
// the same memory serves for all.
type job struct {
	kind  jobKind
	group *Group
	mark  lease.Mark
	next  func([]lease.Binding) (int, error)
	began int64 // when it was given, CLOCK_BOOTTIME
	since int64 // when the first change of the group was decided
	err   error
}

// errCommitPanic stands for a panic inside the store; what it wrote is not known
// to be whole, so it counts as a failed commit.
var errCommitPanic = errors.New("a fault in the lease store")

// commitAll is the committer: the one goroutine that calls the store. It ends when
// the loop closes jobs.
func (e *Engine) commitAll(ctx context.Context) {
	for j := range e.jobs {
		j.err = e.work(ctx, j)
		e.done <- j
	}
	close(e.done)
}

func (e *Engine) work(ctx context.Context, j *job) (err error) {
	defer e.guard("commit", func() { err = errCommitPanic })
	switch j.kind {
	case jobCommit:
		return e.store.Commit(ctx, j.mark, j.group.Changes, j.group.Results)
	case jobRecreate:
		return e.store.Recreate(ctx, j.mark, j.next)
	case jobRecovered:
		return e.store.Recovered(ctx)
	}
	return fmt.Errorf("unknown job %d", j.kind)
}

// snapshot yields all bindings in bounded steps through the loop, for a new store.
// It is stable although the loop goes on: while the store fails nothing changes.
type snapshot struct {
	e    *Engine
	from lease.Slot
	over bool
	mem  []byte
}

// next fills out and returns how many; 0 at the end.
func (s *snapshot) next(out []lease.Binding) (n int, err error) {
	if s.over || len(out) == 0 {
		return 0, nil
	}
	s.mem = s.mem[:0]
	ran := s.e.do(func() {
		t := s.e.core.Table()
		for n == 0 && !s.over {
			s.from = t.Scan(s.from, min(len(out), scanStep), func(slot lease.Slot) {
				t.Binding(slot, &out[n])
				s.keep(&out[n])
				n++
			})
			s.over = s.from == 0
		}
	})
	if !ran {
		return 0, context.Canceled
	}
	return n, nil
}

// keep copies b's slices out of the table.
func (s *snapshot) keep(b *lease.Binding) {
	for _, f := range []*[]byte{&b.HW, &b.ClientID, &b.Hostname, &b.Agent} {
		if len(*f) > 0 {
			at := len(s.mem)
			s.mem = append(s.mem, *f...)
			*f = s.mem[at:len(s.mem):len(s.mem)]
		}
	}
	b.Boot = s.e.boot
}

// scanStep is how many records the loop hands out between two batches.
const scanStep = 256
