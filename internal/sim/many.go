package sim

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"lessor/internal/trace"
)

// Runner runs a plan and shows each entry of its trace as it happens; see may be nil. Live
// is one. Two calls with equal plans give equal results.
type Runner func(p *Plan, see func(*trace.Entry)) Result

// Live is the Runner that runs plans in the world.
func Live(p *Plan, see func(*trace.Entry)) Result {
	if see == nil {
		return Run(p, nil)
	}
	return Run(p, observer(see))
}

// observer is a function that observes.
type observer func(*trace.Entry)

// Entry implements Observer.
func (o observer) Entry(e *trace.Entry) { o(e) }

// Many is a number of seeds that are run one after the other on several cores, each by
// one goroutine.
type Many struct {
	From  uint64 // the first seed
	Seeds uint64 // how many; 0: until the context ends
	Jobs  int    // how many run at the same time; 0: one for each core
	On    bool   // a failing run does not end it

	Draw func(seed uint64) *Plan // called by several goroutines at once
	Run  Runner

	// Each is told of every finished run, by one goroutine at a time and in no order; it
	// may be nil.
	Each func(seed uint64, r *Result)
}

// Failure is a seed whose run broke a promise.
type Failure struct {
	Seed   uint64
	Result Result
}

// Tally is what Many came to.
type Tally struct {
	Stats    Stats
	Breaches int               // in all runs
	Rules    map[string]uint64 // of the first breach: how many runs
	First    *Failure          // of the lowest seed; nil: none failed
	Next     uint64            // the seed after the last one that was begun
}

// Do runs the seeds, and returns when all are done, when one has failed, or when ctx has
// ended; runs that are under way then are not waited for in the last case. Seeds are
// begun in order, and what was begun before a failure is finished: First is the
// lowest failing seed, however many cores there are.
func (m *Many) Do(ctx context.Context) Tally {
	jobs := m.Jobs
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	var (
		all   = make(chan Failure)
		gone  = make(chan struct{}) // nobody listens any more
		work  sync.WaitGroup
		queue = seedQueue{next: m.From, left: m.Seeds, endless: m.Seeds == 0}
	)
	for range jobs {
		work.Go(func() {
			for ctx.Err() == nil {
				seed, ok := queue.take()
				if !ok {
					return
				}
				f := Failure{seed, Guarded(m.Run, m.Draw(seed), nil)}
				if f.Result.Rule != "" && !m.On {
					queue.close()
				}
				select {
				case all <- f:
				case <-gone:
					return
				}
			}
		})
	}
	go func() { work.Wait(); close(all) }()
	defer close(gone)
	t := Tally{Rules: make(map[string]uint64)}
	for {
		select {
		case f, more := <-all:
			if !more {
				t.Next = queue.at()
				return t
			}
			t.add(f)
			if m.Each != nil {
				m.Each(f.Seed, &f.Result)
			}
		case <-ctx.Done():
			t.Next = queue.at()
			return t
		}
	}
}

// seedQueue hands out seeds in order.
type seedQueue struct {
	mu      sync.Mutex
	next    uint64
	left    uint64
	endless bool
	closed  bool
}

func (q *seedQueue) take() (seed uint64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.left == 0 && !q.endless {
		return 0, false
	}
	seed = q.next
	q.next++
	if !q.endless {
		q.left--
	}
	return seed, true
}

func (q *seedQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

func (q *seedQueue) at() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.next
}

func (t *Tally) add(f Failure) {
	t.Stats.Add(&f.Result.Stats)
	t.Breaches += len(f.Result.Breaches)
	if f.Result.Rule == "" {
		return
	}
	t.Rules[f.Result.Rule]++
	if t.First == nil || f.Seed < t.First.Seed {
		t.First = &f
	}
}

// Add adds the numbers of b. A run counts as one seed, whatever b.Seeds says.
func (s *Stats) Add(b *Stats) {
	s.Seeds++
	s.Virtual += b.Virtual
	s.Faults += b.Faults
	s.Frames += b.Frames
	s.Messages += b.Messages
	s.Acks += b.Acks
	s.Commits += b.Commits
	s.Crashes += b.Crashes
}

// RulePanic is the Rule of a run that did not come to its end because code in it
// panicked where nothing is to catch that.
const RulePanic = "panic"

// Guarded is run(p, see); a panic in it is a breach like others, so that it has a
// seed, and can be shrunk and replayed.
func Guarded(run Runner, p *Plan, see func(*trace.Entry)) (r Result) {
	defer func() {
		if what := recover(); what != nil {
			text := fmt.Sprintf("%s at %s: %v", RulePanic, panickedAt(), what)
			r = Result{Plan: p, Rule: RulePanic, Breaches: []string{text}}
		}
	}()
	return run(p, see)
}

// panickedAt is the function of this module that panicked.
func panickedAt() string {
	pc := make([]uintptr, 64)
	frames := runtime.CallersFrames(pc[:runtime.Callers(0, pc)])
	past := false // the frames of the recovery come first
	for {
		f, more := frames.Next()
		if past && strings.HasPrefix(f.Function, "lessor/") {
			return fmt.Sprintf("%s:%d", f.Function, f.Line)
		}
		past = past || f.Function == "runtime.gopanic"
		if !more {
			return "an unknown place"
		}
	}
}
