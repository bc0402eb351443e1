package tracefile

import (
	"fmt"
	"io"
	"sync"
	"time"

	"lessor/internal/lease"
	"lessor/internal/trace"
)

const (
	// maxPending bounds what waits to be written, in octets.
	maxPending = 32 << 20
	// commitWait bounds how long an entry that must be in the file before its replies leave
	// is waited for. A disk that takes longer is not waited for again until it has caught up.
	commitWait = 100 * time.Millisecond
	// closeWait bounds how long Close waits for the disk.
	closeWait = 2 * time.Second
	// tight is how near two readings of the clocks must be to count as one, in nanoseconds.
	tight = 5_000
	// step is how much the wall clock must move against CLOCK_BOOTTIME to count as set.
	step = 1_000_000
)

// File is what a Writer writes to; an os.File is one.
type File interface {
	io.Writer
	Truncate(size int64) error
	Close() error
}

// Writer writes the trace of one process. Its methods may be called by any goroutine;
// the entries are in the file in the order of the calls, each with the time of its call.
//
// What cannot be written ends the trace: report is told once, nothing later is written, and the
// file ends, if the disk takes that much, with a line that says so.
type Writer struct {
	clock  Clock
	file   File
	report func(error)

	mu       sync.Mutex // guards all below
	wake     *sync.Cond // something is pending, or closing
	pending  []byte     // lines that are not written yet
	queued   int64      // octets ever made pending
	written  int64      // octets of them that are in the file
	progress chan struct{}
	behind   bool  // the disk did not take a commit in time
	err      error // why the trace ends; nil: it goes on
	closing  bool
	offset   int64 // W − M of the last Clock entry
	done     chan struct{}

	// These belong to the writing goroutine.
	size   int64   // of the file, up to its last whole line
	before []int64 // sizes that it had before, after whole lines; the last few
}

// Create opens path for the trace of a process that starts now, behind what other processes
// wrote there. Files are their owner's alone: a trace names every client.
func Create(path string, h Header, clock Clock, report func(error)) (*Writer, error) {
	f, size, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot write a trace: %w", err)
	}
	w, err := NewWriter(f, size, h, clock, report)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot write a trace to %s: %w", path, err)
	}
	return w, nil
}

// NewWriter writes to f, which has size octets already, and closes it in the end. The
// first lines, the header and the clocks, are written before it returns.
func NewWriter(f File, size int64, h Header, clock Clock, report func(error)) (*Writer, error) {
	w := &Writer{clock: clock, file: f, report: report, size: size, done: make(chan struct{}), progress: make(chan struct{})}
	w.wake = sync.NewCond(&w.mu)
	b := clock.BootID()
	h.Version, h.Boot = Version, b[:]
	var first []byte
	if size > 0 {
		first = append(first, '\n') // the run before may have ended in the middle of a line
	}
	first, err := appendJSON(first, &h)
	if err != nil {
		return nil, err
	}
	now := w.now()
	w.offset = now.W - now.M
	if first, err = appendLine(first, &trace.Entry{Now: now, Body: &trace.Clock{Boot: b}}, false); err != nil {
		return nil, err
	}
	if _, err := f.Write(first); err != nil {
		return nil, err
	}
	w.size += int64(len(first))
	go w.run()
	return w, nil
}

// now reads both clocks so close together that a frame's wall time can be set in order
// with what the server did: a reading that was interrupted in between is repeated, and M is
// that of the first, so that it is not later than the call.
func (w *Writer) now() lease.Instant {
	first := w.clock.Now()
	a, best := first, int64(1)<<62
	offset := a.W - a.M
	for range 8 {
		b := w.clock.Now()
		if gap := b.M - a.M; gap < best {
			best, offset = gap, a.W-a.M
		}
		if best < tight {
			break
		}
		a = b
	}
	return lease.Instant{M: first.M, W: first.M + offset}
}

// Write records that something has happened. b is not kept. A Commit is in the file when
// Write returns, or the disk took longer than a tenth of a second.
func (w *Writer) Write(b trace.Body) {
	w.mu.Lock()
	if w.err != nil || w.closing {
		w.mu.Unlock()
		return
	}
	now := w.now()
	if d := now.W - now.M - w.offset; d > step || d < -step {
		w.offset = now.W - now.M
		w.add(now, &trace.Clock{Boot: w.clock.BootID()})
	}
	w.add(now, b)
	end := w.queued
	w.wake.Signal()
	_, wait := b.(*trace.Commit)
	wait = wait && !w.behind
	w.mu.Unlock()
	if wait {
		w.await(end, commitWait)
	}
}

// Loaded records bindings that a store was loaded with, in parts of a bounded size.
func (w *Writer) Loaded(records []lease.Binding) {
	for len(records) > 0 {
		n := min(len(records), loadedChunk)
		w.Write(&trace.Loaded{Records: records[:n]})
		records = records[n:]
	}
}

// add makes an entry pending. w.mu is held.
func (w *Writer) add(now lease.Instant, b trace.Body) {
	before := len(w.pending)
	var err error
	w.pending, err = appendLine(w.pending, &trace.Entry{Now: now, Body: b}, false)
	switch {
	case err != nil:
		w.fail(err)
	case len(w.pending) > maxPending && before > 0:
		w.pending = w.pending[:before]
		w.fail(fmt.Errorf("the disk is too slow for it: %d MiB waited", maxPending>>20))
	default:
		w.queued += int64(len(w.pending) - before)
	}
}

// fail ends the trace. w.mu is held.
func (w *Writer) fail(err error) {
	if w.err == nil {
		w.err = err
		w.wake.Signal()
	}
}

// await waits until the octets up to end are in the file.
func (w *Writer) await(end int64, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for {
		w.mu.Lock()
		done, progress := w.written >= end || w.err != nil, w.progress
		w.mu.Unlock()
		if done {
			return
		}
		select {
		case <-progress:
		case <-timer.C:
			w.mu.Lock()
			w.behind = w.written < end
			w.mu.Unlock()
			return
		}
	}
}

// run is the goroutine that writes.
func (w *Writer) run() {
	defer close(w.done)
	var spare []byte
	for {
		w.mu.Lock()
		for len(w.pending) == 0 && !w.closing && w.err == nil {
			w.behind = false
			w.wake.Wait()
		}
		out, err, over := w.pending, w.err, w.closing && len(w.pending) == 0
		w.pending = spare[:0]
		w.mu.Unlock()
		if len(out) > 0 {
			werr := w.put(out)
			w.mu.Lock()
			if werr == nil {
				w.written += int64(len(out))
			} else {
				w.fail(werr)
				err = w.err
			}
			close(w.progress)
			w.progress = make(chan struct{})
			w.mu.Unlock()
		}
		if spare = out; cap(spare) > 1<<20 {
			spare = nil
		}
		switch {
		case err != nil:
			w.giveUp(err)
			return
		case over:
			w.mu.Lock()
			w.err = w.file.Close()
			w.mu.Unlock()
			return
		}
	}
}

// put writes whole lines. When they do not fit the file keeps those before.
func (w *Writer) put(out []byte) error {
	n, err := w.file.Write(out)
	if err == nil && n < len(out) {
		err = io.ErrShortWrite
	}
	if err == nil {
		if len(w.before) == 64 {
			w.before = w.before[:copy(w.before, w.before[1:])]
		}
		w.before = append(w.before, w.size)
		w.size += int64(n)
	}
	return err
}

// giveUp says that the trace ends here, and says so in the file too. When that does not
// fit either, the last lines make room for it.
func (w *Writer) giveUp(err error) {
	if w.report != nil {
		w.report(err)
	}
	defer w.file.Close()
	text, jerr := appendJSON(nil, &line{Incomplete: &incompleteLine{Why: err.Error()}})
	if jerr != nil {
		return
	}
	for {
		if w.file.Truncate(w.size) != nil {
			_, _ = w.file.Write(append([]byte{'\n'}, text...)) // it is no file, but a pipe perhaps
			return
		}
		if n, err := w.file.Write(text); err == nil && n == len(text) || len(w.before) == 0 {
			return
		}
		w.size = w.before[len(w.before)-1]
		w.before = w.before[:len(w.before)-1]
	}
}

// Close writes what is pending and closes the file. The error says why the trace is not
// whole; it was reported already if it came up before.
func (w *Writer) Close() error {
	w.mu.Lock()
	again := w.closing
	w.closing = true
	w.wake.Broadcast()
	w.mu.Unlock()
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
		return fmt.Errorf("the trace was not written within %v", closeWait)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if again {
		return nil
	}
	return w.err
}
