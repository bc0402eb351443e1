package engine

import (
	"context"
	"errors"
	"fmt"

	"lessor/internal/lease"
	"lessor/internal/store"
)

// jobKind says what the store is to do.
type jobKind uint8

const (
	jobCommit    jobKind = iota // make a group and the mark durable
	jobRecreate                 // leave the broken store behind for a new one
	jobRecovered                // careful mode is over
)

// Job is one piece of work for the store. There is at most one under way, and the
// same memory serves for all.
type Job struct {
	Group *Group // to commit; nil for other work
	Mark  lease.Mark
	Began lease.Instant // when it was given
	Err   error         // the store's answer, for Answered

	kind  jobKind
	since int64 // when the first change of the group was decided
}

// errCommitPanic stands for a panic inside the store; what it wrote is not known
// to be whole, so it counts as a failed commit.
var errCommitPanic = errors.New("a fault in the lease store")

// Run calls the store and sets Err. do runs a function where the Serving may be looked
// at, and reports whether it ran.
func (j *Job) Run(ctx context.Context, st store.Store, s *Serving, do func(func()) bool) {
	switch j.kind {
	case jobCommit:
		j.Err = st.Commit(ctx, j.Mark, j.Group.Changes, j.Group.Results)
	case jobRecreate:
		sn := &snapshot{s: s, do: do}
		j.Err = st.Recreate(ctx, j.Mark, sn.next)
	case jobRecovered:
		j.Err = st.Recovered(ctx)
	default:
		j.Err = fmt.Errorf("unknown job %d", j.kind)
	}
}

// snapshot yields all bindings in bounded steps through the loop, for a new store.
// It is stable although the loop goes on: while the store fails nothing changes.
type snapshot struct {
	s    *Serving
	do   func(func()) bool
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
	ran := s.do(func() {
		t := s.s.core.Table()
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
	b.Boot = s.s.boot
}

// scanStep is how many records the loop hands out between two batches.
const scanStep = 256
