package pebble

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"lessor/internal/store"
)

// generation is one Pebble instance in its own directory. A store has one at a
// time; Recreate and recovery make the next. A generation is used by whoever holds a
// reference (use, done); the first failure lets in nobody new, and when the last
// user has left it is closed on a goroutine of its own.
type generation struct {
	num uint64
	dir string
	fs  *breakFS
	db  *pebble.DB

	// refuse, if not nil, is what commits are told: the disk took no writes when the
	// store was opened, and g can only be read.
	refuse error

	mu        sync.Mutex
	cond      sync.Cond
	refs      int
	shut      atomic.Bool // nobody new is let in; set under mu
	shutdown  bool        // the closing goroutine runs
	closed    chan struct{}
	closeErr  error
	immutable int // memtables that wait for their flush
	flushing  int // flushes that run
	compacts  int // compactions that run
	l0        int // tables in level 0

	inputs map[uint64]bool // tables that compactions took while g is being opened; nil: not remembered
}

// newGeneration prepares a generation in dir; db is opened by the caller.
func newGeneration(base vfs.FS, num uint64, dir string) *generation {
	g := &generation{num: num, dir: dir, closed: make(chan struct{})}
	g.cond.L = &g.mu
	g.fs = newBreakFS(base, g.broke)
	return g
}

// openDB opens Pebble on g with o. For an error refusesChanges says whether the disk
// took no writes; every other failure is one of reading (damage, mostly), also when
// Pebble said it by a panic or only in the background.
func (g *generation) openDB(o *pebble.Options) (err error) {
	g.mu.Lock()
	g.refs++ // a failure meanwhile must not close what is being opened
	g.mu.Unlock()
	var db *pebble.DB
	func() {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("pebble: %v", p)
			}
		}()
		db, err = pebble.Open(g.dir, o)
	}()
	if err == nil {
		l0 := int(db.Metrics().Levels[0].TablesCount)
		g.mu.Lock()
		g.db, g.l0, g.immutable = db, l0, 0
		g.mu.Unlock()
	}
	g.done()
	if ferr := g.fs.err(); ferr != nil {
		err = brokenBy(ferr)
	}
	if err != nil {
		g.close()
	}
	return err
}

// brokenBy is the error of a call that found the store broken by cause.
func brokenBy(cause error) error { return fmt.Errorf("%w: %w", store.ErrBroken, cause) }

// fail breaks g: Pebble met an error that it does not recover from.
func (g *generation) fail(err error) {
	if !g.shut.Load() {
		g.fs.fail(err)
	}
}

// broke is the file system's call at its first failure. Pebble may hold its locks,
// so it only marks g and leaves the rest to another goroutine.
func (g *generation) broke() { g.startShutdown() }

func (g *generation) startShutdown() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut.Store(true)
	g.cond.Broadcast()
	if !g.shutdown {
		g.shutdown = true
		go g.closeWhenUnused()
	}
}

// closeWhenUnused closes Pebble when the last user of g has left.
func (g *generation) closeWhenUnused() {
	defer close(g.closed)
	g.mu.Lock()
	for g.refs > 0 {
		g.cond.Wait()
	}
	g.mu.Unlock()
	defer g.fs.closeAll()
	defer func() {
		if p := recover(); p != nil {
			g.closeErr = fmt.Errorf("pebble: %v", p)
		}
	}()
	if g.db != nil {
		g.closeErr = g.db.Close()
	}
}

// close closes g and waits for it.
func (g *generation) close() error {
	g.startShutdown()
	<-g.closed
	return errors.Join(g.fs.err(), g.closeErr)
}

// use takes a reference; done gives it back. The error wraps store.ErrBroken.
func (g *generation) use() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut.Load() {
		return g.brokenErr()
	}
	g.refs++
	return nil
}

func (g *generation) done() {
	g.mu.Lock()
	g.refs--
	if g.refs == 0 && g.shut.Load() {
		g.cond.Broadcast()
	}
	g.mu.Unlock()
}

// brokenErr is why g takes no commits; nil while it is whole.
func (g *generation) brokenErr() error {
	if err := g.fs.err(); err != nil {
		return brokenBy(err)
	}
	if g.refuse != nil {
		return g.refuse
	}
	if g.shut.Load() {
		return fmt.Errorf("%w: the store is closed", store.ErrBroken)
	}
	return nil
}

// makeRoom waits while flushes or compactions lag behind, so that Pebble itself,
// which nothing could wake from such a wait on a broken disk, never has to. The
// caller holds a reference.
func (g *generation) makeRoom() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	// Pebble lets small memtables gather before it flushes, and many tables that do not
	// overlap lie in level 0, so their number alone is no reason to wait: nothing might
	// ever lower it.
	for !g.shut.Load() && (g.immutable >= maxImmutable && g.flushing > 0 || g.l0 >= maxL0Tables && g.compacts > 0) {
		g.cond.Wait()
	}
	if g.shut.Load() {
		return g.brokenErr()
	}
	return nil
}

// listener counts what waits, and breaks g when work in the background fails: all
// that is durable is in the server's memory, and a fresh store is written from it.
func (g *generation) listener() *pebble.EventListener {
	count := func(immutable, flushing, compacts, l0 int) {
		g.mu.Lock()
		g.immutable += immutable
		g.flushing += flushing
		g.compacts += compacts
		g.l0 += l0
		g.cond.Broadcast()
		g.mu.Unlock()
	}
	return &pebble.EventListener{
		WALCreated: func(pebble.WALCreateInfo) { count(1, 0, 0, 0) },
		FlushBegin: func(pebble.FlushInfo) { count(0, 1, 0, 0) },
		FlushEnd: func(i pebble.FlushInfo) {
			if i.Err != nil {
				i.Input, i.Output = 0, nil
			}
			count(-i.Input, -1, 0, len(i.Output))
		},
		CompactionBegin: func(i pebble.CompactionInfo) {
			g.noteInputs(i)
			count(0, 0, 1, 0)
		},
		CompactionEnd: func(i pebble.CompactionInfo) {
			if i.Err != nil {
				count(0, 0, -1, 0)
				return
			}
			n := 0
			for _, l := range i.Input {
				if l.Level == 0 {
					n -= len(l.Tables)
				}
			}
			if i.Output.Level == 0 {
				n += len(i.Output.Tables)
			}
			count(0, 0, -1, n)
		},
		BackgroundError: func(err error) { g.fail(fmt.Errorf("background: %w", err)) },
	}
}

// noteInputs remembers the tables that a compaction takes: Pebble's list named them,
// though it soon will not any more.
func (g *generation) noteInputs(i pebble.CompactionInfo) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inputs == nil {
		return
	}
	for _, l := range i.Input {
		for _, t := range l.Tables {
			g.inputs[uint64(t.FileNum)] = true
		}
	}
}

// takeInputs returns the tables that compactions have taken, and ends the remembering.
func (g *generation) takeInputs() map[uint64]bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	in := g.inputs
	g.inputs = nil
	return in
}
