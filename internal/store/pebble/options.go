package pebble

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// DefaultHistoryRetention is how long an ended possession is kept unless the options
// say otherwise. A year answers the questions that come late (an abuse report, the
// yearly audit) and no possession of a guest network is known for longer than that.
const DefaultHistoryRetention = 365 * 24 * time.Hour

// Options are the choices of whoever opens a store. The zero value is right for a
// server.
type Options struct {
	// FS is the file system; nil is the operating system's.
	FS vfs.FS
	// HistoryRetention is how long an ended possession is kept after its end: 0 is
	// DefaultHistoryRetention, below 0 is for ever.
	HistoryRetention time.Duration
	// Command is what the lock file calls this process, for example "lessor serve";
	// empty is the name of the program.
	Command string
	// Now is the wall clock, in nanoseconds since the Unix epoch; it only says whether
	// a lease that history shows still runs. nil is the system's.
	Now func() int64
	// Report is told in one sentence about what happened to the files of the store and
	// has no other way to be seen: a directory put aside, history that could not be
	// carried over. nil drops it. It is called on the goroutine of the caller.
	Report func(what string)

	tune *tuning // of tests
}

// tuning is what tests change of the sizes below, so that what is rare with them
// happens all the time. No configuration reaches it.
type tuning struct {
	engine func(*pebble.Options)
	batch  int // in the place of maxBatch
}

// Sizes of a Pebble instance. They are small: all current records are in the
// server's own memory, so Pebble's caches serve only history, and on a small disk
// the log (up to the size of a memtable, twice) must leave room for a second store.
const (
	memTableSize = 4 << 20
	memTableStop = 6 // Pebble's own stop, which is never reached: see maxImmutable
	// maxImmutable is how many memtables may wait before Commit waits for the flush that
	// runs. While none runs it does not wait: several small first memtables are let
	// gather by Pebble until they are worth one.
	maxImmutable   = 3
	maxL0Tables    = 48
	l0Stop         = 1000 // sub-levels; Commit waits for maxL0Tables tables long before
	blockCacheSize = 4 << 20
	maxOpenFiles   = 200
	maxBatch       = 256 << 10 // octets of one Pebble batch; well below half a memtable, in which small pairs take several times their size
)

// formatVersion is Pebble's format of files. It is pinned: a new version of the
// library must not change files without a decision here. It is one whose log says
// how far it was synced, so that a torn tail is told from a damaged middle.
const formatVersion = pebble.FormatTableFormatV6

// engineOptions are the options of a Pebble instance for generation g.
func (s *Store) engineOptions(g *generation, fs vfs.FS) *pebble.Options {
	o := &pebble.Options{
		FS:                          fs,
		FormatMajorVersion:          formatVersion,
		Logger:                      quietLogger{g},
		EventListener:               g.listener(),
		CacheSize:                   blockCacheSize,
		MaxOpenFiles:                maxOpenFiles,
		MemTableSize:                memTableSize,
		MemTableStopWritesThreshold: memTableStop,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       l0Stop,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		MaxManifestFileSize:         1 << 20,
	}
	o.Experimental.ReadSamplingMultiplier = -1 // reads are rare and never worth a compaction
	o.Experimental.FileCacheShards = 1
	for i := range o.Levels {
		o.Levels[i].BlockSize = 16 << 10
		o.Levels[i].Compression = func() *block.CompressionProfile { return block.FastestCompression }
	}
	if s.opts.tune != nil {
		s.opts.tune.engine(o)
	}
	return o
}

// quietLogger keeps Pebble's log out of ours and, above all, keeps Pebble from
// ending the process: what it calls fatal makes the store broken.
type quietLogger struct{ g *generation }

func (quietLogger) Infof(string, ...any)  {}
func (quietLogger) Errorf(string, ...any) {}

func (l quietLogger) Fatalf(format string, args ...any) {
	l.g.fail(fmt.Errorf(format, args...))
}
