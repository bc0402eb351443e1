// Package pebble is the store that a single server keeps on its own disk: Pebble
// below, in a directory of generations of which the file CURRENT names the one in
// use. docs/storage.md describes the files, what is written when, and what happens
// when the disk fails.
package pebble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
)

// Store implements store.Store.
type Store struct {
	fs        vfs.FS
	dir       string // the database directory: CURRENT and the generations
	state     string // its parent: LOCK
	opts      Options
	lock      io.Closer
	readOnly  bool
	retention int64 // seconds; below 0: for ever
	maxBatch  int   // octets, normally the constant of this name

	// Of the goroutine that commits.
	batch     *pebble.Batch // of gen
	buf       []byte
	leaving   []*generation // broken ones that have not closed yet
	committed bool          // there was a commit or a Recreate since Open
	unsure    bool          // CURRENT may name either of two generations after a crash
	written   int64         // wall time of the last mark that was written, ns
	swept     int64         // wall time of the mark at the last step of retention, ns
	sweepMore bool

	mu       sync.Mutex
	gen      *generation
	mark     lease.Mark
	pos      store.Pos
	recovery store.Recovery
}

var _ store.Store = (*Store)(nil)

// Open opens the store whose database directory is dir (the path of
// lease-database) and locks its parent, the state directory. Missing directories are
// made, for this user alone. An error that wraps store.ErrLocked names the process
// that holds the lock; one that wraps store.ErrFormat says that nothing was changed.
//
// What is damaged is no error: as many records as can be read are taken over into a
// fresh generation, the damaged one is put aside, and Recovery says so. Where the
// disk refuses writes, but the store can be read, Open succeeds with a store that is
// broken already: Load works, Commit says store.ErrBroken, Recreate heals it.
func Open(dir string, opts Options) (*Store, error) {
	s := newStore(dir, opts)
	if err := makeDir(s.fs, s.state); err != nil {
		return nil, fmt.Errorf("cannot make state directory: %w", err)
	}
	lock, err := lockState(s.fs, s.state, s.opts.Command)
	if err != nil {
		return nil, err
	}
	s.lock = lock
	if err := s.open(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("cannot open the store in %s: %w", dir, err)
	}
	return s, nil
}

func newStore(dir string, opts Options) *Store {
	s := &Store{opts: opts, fs: opts.FS, dir: dir, retention: int64(opts.HistoryRetention / time.Second), maxBatch: maxBatch}
	if s.fs == nil {
		s.fs = vfs.Default
	}
	switch {
	case opts.HistoryRetention == 0:
		s.retention = int64(DefaultHistoryRetention / time.Second)
	case opts.HistoryRetention < 0:
		s.retention = -1
	}
	if s.opts.Now == nil {
		s.opts.Now = func() int64 { return time.Now().UnixNano() }
	}
	if s.opts.Report == nil {
		s.opts.Report = func(string) {}
	}
	if s.opts.tune != nil {
		s.maxBatch = s.opts.tune.batch
	}
	s.state = s.fs.PathDir(dir)
	return s
}

// use returns the generation in use, with a reference.
func (s *Store) use() (*generation, error) {
	s.mu.Lock()
	g := s.gen
	s.mu.Unlock()
	if err := g.use(); err != nil {
		return nil, err
	}
	return g, nil
}

// setGeneration puts g in force. s.mark, s.pos and s.recovery are those of g.
func (s *Store) setGeneration(g *generation) {
	s.mu.Lock()
	s.gen = g
	s.mu.Unlock()
	s.batch = nil
	if g.refuse == nil {
		s.batch = g.db.NewBatchWithSize(64 << 10)
	}
}

// Mark implements store.Store; safe for any goroutine.
func (s *Store) Mark() lease.Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mark
}

// Recovery implements store.Store; safe for any goroutine.
func (s *Store) Recovery() store.Recovery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recovery
}

// Alive implements store.Store: it reads the mark from Pebble.
func (s *Store) Alive(context.Context) (store.Pos, error) {
	g, err := s.use()
	if err != nil {
		return 0, err
	}
	defer g.done()
	if g.refuse != nil {
		return 0, g.refuse
	}
	_, pos, err := g.mark()
	if err == nil {
		err = g.brokenErr()
	}
	return pos, err
}

// Watch implements store.Store: no one else writes, so it idles.
func (s *Store) Watch(ctx context.Context, _ []dhcp4.Range, _ store.Pos, _ func([]lease.Binding, store.Pos) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// Close implements store.Store: it waits for the reads of history that are under
// way and gives the lock back. The store is not used afterwards.
func (s *Store) Close() error {
	s.mu.Lock()
	g := s.gen
	s.mu.Unlock()
	if s.batch != nil {
		s.batch.Close()
		s.batch = nil
	}
	err := g.close()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// mark reads the mark; a store that never had one has the zero mark.
func (g *generation) mark() (m lease.Mark, pos store.Pos, err error) {
	v, closer, err := g.db.Get(keyMark)
	if errors.Is(err, pebble.ErrNotFound) {
		return m, 0, nil
	}
	if err != nil {
		return m, 0, err
	}
	defer closer.Close()
	return decodeMark(v)
}
