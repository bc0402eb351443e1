package sim

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"lessor/internal/engine"
	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/store/pebble"
)

const pebbleDir = "/state/db"

// pebbleDisk is the real store on a file system in memory that knows what was synced.
// Faults come at the boundaries of a commit only, where none of Pebble's goroutines is at work on
// anything that could be read later: so the same plan gives the same records.
type pebbleDisk struct {
	faults
	store.Store // of the process, nil while there is none
	fs          *vfs.MemFS
	bad         atomic.Int32 // what the file system does to changes now
	flight      *engine.Job
}

// What bad says.
const (
	diskWorks int32 = iota
	diskFailsSyncOnce
	diskFails
)

func newPebbleDisk(w *world, p *ServerPlan) disk {
	return &pebbleDisk{faults: faults{w: w, host: p.Name}, fs: vfs.NewCrashableMem()}
}

// inject implements errorfs.Injector.
func (p *pebbleDisk) inject(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		if p.bad.CompareAndSwap(diskFailsSyncOnce, diskWorks) {
			return errDisk
		}
	}
	if p.bad.Load() == diskFails && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose {
		return errDisk
	}
	return nil
}

func (p *pebbleDisk) open() (store.Store, error) {
	if p.failing() {
		return nil, errDisk
	}
	wall := func() int64 { return epoch + p.w.now }
	st, err := pebble.Open(pebbleDir, pebble.Options{FS: errorfs.Wrap(p.fs, errorfs.InjectorFunc(p.inject)), HistoryRetention: -1, Now: wall})
	if err != nil {
		return nil, err
	}
	p.Store = st
	return p, nil
}

func (p *pebbleDisk) begin(j *engine.Job) { p.flight = j }
func (p *pebbleDisk) end()                { p.flight = nil }

func (p *pebbleDisk) close() { p.discard() }

func (p *pebbleDisk) discard() {
	p.bad.Store(diskWorks)
	p.flight = nil
	if p.Store != nil {
		_ = p.Store.Close() // a store that broke says so again
		p.Store = nil
	}
}

// Commit implements store.Store. What went wrong is said in words that do not depend on
// which of Pebble's goroutines met it first.
func (p *pebbleDisk) Commit(ctx context.Context, mark lease.Mark, cs []lease.Change, res []store.Result) error {
	switch {
	case p.once:
		p.once = false
		p.bad.Store(diskFailsSyncOnce)
	case p.failing():
		p.bad.Store(diskFails)
	}
	defer p.bad.Store(diskWorks)
	if p.Store.Commit(ctx, mark, cs, res) != nil {
		return store.ErrBroken
	}
	return nil
}

// Recreate implements store.Store.
func (p *pebbleDisk) Recreate(ctx context.Context, mark lease.Mark, next func([]lease.Binding) (int, error)) error {
	if p.failing() {
		p.bad.Store(diskFails)
		defer p.bad.Store(diskWorks)
	}
	if p.Store.Recreate(ctx, mark, next) != nil {
		return store.ErrBroken
	}
	return nil
}

// whole is the disk with all that was written, percent of what was not synced.
func (p *pebbleDisk) image(percent int) *vfs.MemFS {
	return p.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(1, 1))})
}

// write has the store write the group that was under way.
func (p *pebbleDisk) write() (wrote bool) {
	j := p.flight
	if j == nil || j.Group == nil || p.Store == nil || p.failing() || p.once {
		return false
	}
	res := make([]store.Result, len(j.Group.Changes))
	return p.Store.Commit(context.Background(), j.Mark, j.Group.Changes, res) == nil
}

func (p *pebbleDisk) kill(d *dice) {
	if d.hit(500_000) {
		p.write()
	}
	fs := p.image(100)
	p.discard()
	p.fs = fs
}

func (p *pebbleDisk) cut(mode int, d *dice) {
	fs := p.image(0)
	switch mode {
	case 0:
		p.write()
		fs = p.image(100)
	case 2:
		if p.write() {
			after := p.image(100)
			if err := tear(fs, after, d); err != nil {
				p.w.err = fmt.Errorf("tearing a log: %w", err)
			}
			fs = after
		}
	}
	p.discard()
	p.fs = fs
}

// tear makes after a disk on which the last write to each log reached only a part of its
// sectors: up to a random place the new octets are there, from there on the old ones.
func tear(before, after *vfs.MemFS, d *dice) error {
	names, err := logs(after, "/")
	if err != nil {
		return err
	}
	for _, n := range names {
		was, err := content(before, n)
		if err != nil {
			continue // it was made by the write: then it is there without a torn end, or is empty
		}
		is, err := content(after, n)
		if err != nil {
			return err
		}
		first := 0
		for first < len(is) && first < len(was) && is[first] == was[first] {
			first++
		}
		if first == len(is) {
			continue
		}
		cut := first + 1 + int(d.n(int64(len(is)-first-1)))
		torn := append(slices.Clone(is[:cut]), was[min(cut, len(was)):]...)
		if err := rewrite(after, n, torn); err != nil {
			return err
		}
	}
	return nil
}

// logs are the write-ahead logs below dir.
func logs(fs *vfs.MemFS, dir string) (out []string, err error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, n := range names {
		full := fs.PathJoin(dir, n)
		info, err := fs.Stat(full)
		switch {
		case err != nil:
			return nil, err
		case info.IsDir():
			below, err := logs(fs, full)
			if err != nil {
				return nil, err
			}
			out = append(out, below...)
		case strings.HasSuffix(n, ".log"):
			out = append(out, full)
		}
	}
	return out, nil
}

func content(fs *vfs.MemFS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func rewrite(fs *vfs.MemFS, name string, data []byte) error {
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}
