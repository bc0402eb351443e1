//go:build !race

package pebble

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"lessor/internal/store"
	"lessor/internal/store/memory"
	"lessor/internal/store/storetest"
)

// subject is a store on a disk in memory, of random sizes, and what befalls it.
type subject struct {
	t    *rapid.T
	mem  *vfs.MemFS
	fs   *failFS
	tune *tuning
	what string // for failure messages

	cuts, faults, flushes bool
}

// drawSubject draws the sizes of a store, all of them far below the real ones, and
// which kinds of trouble it gets into.
func drawSubject(t *rapid.T) *subject {
	of := func(name string, from ...int) int { return rapid.SampledFrom(from).Draw(t, name) }
	memTable, block := of("memtable", 32<<10, 64<<10, 4<<20), of("block", 64, 1<<10, 16<<10)
	file, l0 := of("file", 1<<10, 8<<10, 2<<20), of("level 0", 1, 2, 4)
	manifest, cache := of("list of tables", 1, 1<<20), of("cache", 0, 4<<20)
	u := &subject{t: t}
	u.cuts, u.faults, u.flushes = rapid.Bool().Draw(t, "cuts"), rapid.Bool().Draw(t, "faults"), rapid.Bool().Draw(t, "flushes")
	u.tune = &tuning{batch: min(of("batch", 1, 2<<10, maxBatch), memTable/8), engine: func(o *pebble.Options) {
		o.MemTableSize, o.L0CompactionThreshold = uint64(memTable), l0
		o.MaxManifestFileSize, o.CacheSize = int64(manifest), int64(cache)
		o.LBaseMaxBytes, o.FlushSplitBytes = int64(file), int64(file)
		for i := range o.Levels {
			o.Levels[i].BlockSize, o.TargetFileSizes[i] = block, int64(file)
		}
	}}
	u.what = fmt.Sprintf("memtable %d, block %d, file %d, level 0 %d, manifest %d, cache %d, batch %d, cuts %t, faults %t, flushes %t",
		memTable, block, file, l0, manifest, cache, u.tune.batch, u.cuts, u.faults, u.flushes)
	u.disk(vfs.NewCrashableMem())
	if err := u.mem.MkdirAll("/", 0o755); err != nil {
		t.Fatal(err)
	}
	return u
}

// disk puts the store on this disk from the next open on.
func (u *subject) disk(m *vfs.MemFS) { u.mem, u.fs = m, &failFS{FS: m} }

func (u *subject) open() store.Store {
	u.t.Helper()
	o := Options{FS: u.fs, HistoryRetention: -1, tune: u.tune}
	s, err := Open(crashDir, o)
	if err != nil && u.fs.failAt.Load() != 0 {
		u.mend()
		s, err = Open(crashDir, o)
	}
	if err != nil {
		u.t.Fatalf("Open: %v (%s)", err, u.what)
	}
	return s
}

func (u *subject) mend() { u.fs.failAt.Store(0) }

func (u *subject) restart(s store.Store) store.Store {
	u.t.Helper()
	if err := s.Close(); err != nil && u.fs.failAt.Load() == 0 {
		u.t.Errorf("Close: %v (%s)", err, u.what)
	}
	return u.open()
}

// befall cuts the power, lets changes of the disk fail from some soon one on, or moves
// what the memtables hold to the disk.
func (u *subject) befall(s store.Store) store.Store {
	u.t.Helper()
	often := func(on bool, name string) bool { return on && rapid.IntRange(0, 9).Draw(u.t, name) == 0 }
	if often(u.faults, "fault") {
		u.fs.once.Store(rapid.Bool().Draw(u.t, "once"))
		u.fs.failAt.Store(u.fs.n.Load() + int64(rapid.IntRange(1, 12).Draw(u.t, "change")))
	}
	if g := s.(*Store).gen; often(u.flushes, "flush") && g.refuse == nil && g.use() == nil {
		if _, err := g.db.AsyncFlush(); err != nil {
			u.t.Errorf("AsyncFlush: %v", err)
		}
		g.done()
	}
	if !often(u.cuts, "cut") {
		return s
	}
	percent := rapid.SampledFrom([]int{0, 50, 100}).Draw(u.t, "kept")
	after := u.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(rapid.Uint64().Draw(u.t, "seed"), 5))})
	u.mend()
	s.Close() // on a disk that nobody reads again
	u.disk(after)
	return u.open()
}

// TestSameAnswers runs random programs on a store in memory and on stores on disk, of
// random sizes, through restarts, power cuts and failing disks: what they answer must be
// the same. The memory's sorted lists are right by being simple.
func TestSameAnswers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := storetest.DrawProgram(rt, 60)
		want := p.Play(rt, &storetest.Subject{Store: memory.New()})
		for range 2 {
			u := drawSubject(rt)
			sub := &storetest.Subject{Store: u.open(), Restart: u.restart, Befall: u.befall}
			if u.faults {
				sub.Mend = u.mend
			}
			got := p.Play(rt, sub)
			if err := sub.Store.Close(); err != nil && !u.faults {
				rt.Errorf("Close: %v", err)
			}
			for i := range got {
				if got[i] != want[i] {
					rt.Fatalf("operation %d of %d: the answers differ (%s)\nin memory:\n%s\non disk:\n%s\nthe program: %v",
						i, len(p), u.what, want[i], got[i], p[:i+1])
				}
			}
		}
	})
}
