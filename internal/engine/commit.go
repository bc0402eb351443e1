package engine

import "context"

// commitAll is the committer: the one goroutine that calls the store. It ends when
// the loop closes jobs.
func (e *Engine) commitAll(ctx context.Context) {
	for j := range e.jobs {
		e.work(ctx, j)
		e.traceCommit(j)
		e.done <- j
	}
	close(e.done)
}

func (e *Engine) work(ctx context.Context, j *Job) {
	defer e.guard("commit", func() { j.Err = errCommitPanic })
	j.Run(ctx, e.store, e.serving, e.do)
}
