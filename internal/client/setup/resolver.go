package setup

import (
	"slices"
	"sync"
	"time"
)

// dnsWait is how long Apply and Clear wait for a program that changes DNS. Most are
// done by then; one that hangs must not keep an address on an interface.
const dnsWait = 500 * time.Millisecond

// resolver runs the programs that change DNS, one after the other, outside the
// goroutine of the Host.
type resolver struct {
	warn func(string)

	mu     sync.Mutex
	jobs   []job // waiting, at most one for each way
	busy   bool  // a goroutine works through jobs
	idle   sync.Cond
	failed string // what was last said
}

// job are calls that belong together.
type job struct {
	by    string
	calls []call
	done  chan struct{}
}

func newResolver(warn func(string)) *resolver {
	r := &resolver{warn: warn}
	r.idle.L = &r.mu
	return r
}

// do has calls made in their order. They take the place of waiting ones of the same
// way: only the last word counts.
func (r *resolver) do(by string, calls ...call) {
	j := job{by: by, calls: calls, done: make(chan struct{})}
	r.mu.Lock()
	r.jobs = append(slices.DeleteFunc(r.jobs, func(o job) bool { return o.by == by }), j)
	if !r.busy {
		r.busy = true
		go r.work()
	}
	r.mu.Unlock()
	t := time.NewTimer(dnsWait)
	defer t.Stop()
	select {
	case <-j.done:
	case <-t.C:
	}
}

func (r *resolver) work() {
	for {
		r.mu.Lock()
		if len(r.jobs) == 0 {
			r.busy = false
			r.idle.Broadcast()
			r.mu.Unlock()
			return
		}
		j := r.jobs[0]
		r.jobs = r.jobs[1:]
		r.mu.Unlock()
		r.run(j)
		close(j.done)
	}
}

func (r *resolver) run(j job) {
	for i := range j.calls {
		if _, err := j.calls[i].run(programLimit); err != nil {
			if text := err.Error(); text != r.failed {
				r.failed = text
				r.warn(text)
			}
			return
		}
	}
	r.failed = ""
}

// close waits for what is to be done, programLimit at most.
func (r *resolver) close() {
	done := make(chan struct{})
	go func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for r.busy {
			r.idle.Wait()
		}
		close(done)
	}()
	t := time.NewTimer(programLimit + 2*time.Second) // one that hangs is killed first
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}
