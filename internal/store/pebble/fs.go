package pebble

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// breakFS is the file system below one Pebble instance. It ends all change of the
// disk at the first call that fails: what is on the disk from then on is what a
// crash at that moment would have left, and a failed sync is never tried again.
//
// Pebble itself is not told. Its answer to a failed write is to end the process, and
// where a new log file cannot be made it dies of an unlock of an unlocked mutex that
// nothing can catch; a failed flush it repeats without a pause. So the failing call
// and all later ones seem to succeed and do nothing, Pebble runs on dry until it is
// closed, without a leak, and whoever commits asks err before anything is called
// durable. The order is safe: the failure is on record before the failing call
// returns, so no commit that rests on it can see err as nil.
type breakFS struct {
	vfs.FS
	modes   bool   // files of an operating system: keep group and others out
	onBreak func() // called once, on the goroutine of the failing call; must not block
	failure atomic.Pointer[error]

	mu   sync.Mutex
	open map[*breakFile]struct{}
	hold bool     // removals of tables are noted, not done
	held []string // in the order of the calls
}

// markerPrefix begins the names of the files by whose name Pebble says which of its
// lists of tables is in force. A marker must not outlive, in a power cut, the entry
// of the file it names; Pebble syncs both entries at once, so the directory is synced
// before a marker is made.
const markerPrefix = "marker."

func newBreakFS(base vfs.FS, onBreak func()) *breakFS {
	return &breakFS{
		FS: base, modes: onDisk(base), onBreak: onBreak,
		open: make(map[*breakFile]struct{}),
	}
}

// err is the first failure, nil while there was none. Safe for any goroutine.
func (f *breakFS) err() error {
	if e := f.failure.Load(); e != nil {
		return *e
	}
	return nil
}

// fail puts a failure on record; the first one counts.
func (f *breakFS) fail(err error) {
	if f.failure.CompareAndSwap(nil, &err) && f.onBreak != nil {
		f.onBreak()
	}
}

// broken is the test before each change of the disk.
func (f *breakFS) broken() bool { return f.failure.Load() != nil }

// did looks at the outcome of a change: only the absence of a file is Pebble's to
// know; everything else breaks the file system and is kept from it.
func (f *breakFS) did(op, name string, err error) error {
	if err == nil || (op == "remove" && oserror.IsNotExist(err)) {
		return err
	}
	f.fail(&changeError{op, name, err})
	return nil
}

// changeError is a change of the disk that failed; all other failures are of reading
// or of Pebble itself.
type changeError struct {
	op, name string
	err      error
}

func (e *changeError) Error() string {
	text := e.err.Error()
	if strings.Contains(text, e.name) {
		return text // the system's errors say it all
	}
	return e.op + " " + e.name + ": " + text
}

func (e *changeError) Unwrap() error { return e.err }

// refusesChanges reports whether err came of a change of the disk that failed.
func refusesChanges(err error) bool {
	var e *changeError
	return errors.As(err, &e)
}

// made wraps a file that was opened for writing.
func (f *breakFS) made(op, name string, file vfs.File, err error) (vfs.File, error) {
	if err == nil && f.modes {
		err = os.Chmod(name, 0o600)
	}
	if err != nil {
		if file != nil {
			file.Close()
		}
		f.did(op, name, err)
		return discard{}, nil
	}
	return f.track(file, name), nil
}

func (f *breakFS) track(file vfs.File, name string) vfs.File {
	b := &breakFile{File: file, fs: f, name: name}
	f.mu.Lock()
	f.open[b] = struct{}{}
	f.mu.Unlock()
	return b
}

func (f *breakFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if f.broken() {
		return discard{}, nil
	}
	if strings.HasPrefix(f.FS.PathBase(name), markerPrefix) {
		dir := f.FS.PathDir(name)
		if err := syncDir(f.FS, dir); err != nil {
			f.did("sync", dir, err)
			return discard{}, nil
		}
	}
	file, err := f.FS.Create(name, c)
	return f.made("create", name, file, err)
}

func (f *breakFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if f.broken() {
		return discard{}, nil
	}
	file, err := f.FS.OpenReadWrite(name, c, opts...)
	return f.made("open", name, file, err)
}

func (f *breakFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if f.broken() {
		return discard{}, nil
	}
	file, err := f.FS.ReuseForWrite(oldname, newname, c)
	return f.made("rename", newname, file, err)
}

func (f *breakFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.Open(name, opts...)
	if err != nil {
		return nil, err
	}
	return f.track(file, name), nil
}

func (f *breakFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return f.track(file, name), nil
}

func (f *breakFS) Link(oldname, newname string) error {
	if f.broken() {
		return nil
	}
	return f.did("link", newname, f.FS.Link(oldname, newname))
}

func (f *breakFS) Rename(oldname, newname string) error {
	if f.broken() {
		return nil
	}
	return f.did("rename", newname, f.FS.Rename(oldname, newname))
}

func (f *breakFS) MkdirAll(dir string, perm os.FileMode) error {
	if f.broken() {
		return nil
	}
	return f.did("mkdir", dir, f.FS.MkdirAll(dir, perm&0o700))
}

func (f *breakFS) Remove(name string) error {
	if f.broken() {
		return nil
	}
	f.mu.Lock()
	if f.hold && strings.HasSuffix(name, ".sst") {
		f.held = append(f.held, name)
		f.mu.Unlock()
		return nil
	}
	f.mu.Unlock()
	return f.did("remove", name, f.FS.Remove(name))
}

func (f *breakFS) RemoveAll(name string) error {
	if f.broken() {
		return nil
	}
	return f.did("remove", name, f.FS.RemoveAll(name))
}

// List breaks the file system when it fails: Pebble lists its directory once more when it
// is open already, and what it has started by then it leaves running on an error.
func (f *breakFS) List(dir string) ([]string, error) {
	names, err := f.FS.List(dir)
	return names, f.did("list", dir, err)
}

// Lock does nothing: the state directory is locked as a whole, by LOCK.
func (f *breakFS) Lock(string) (io.Closer, error) { return noCloser{}, nil }

func (f *breakFS) Unwrap() vfs.FS { return f.FS }

// releaseRemovals does the removals that were held back, or forgets them and holds
// on.
func (f *breakFS) releaseRemovals(do bool) {
	if !do {
		return
	}
	f.mu.Lock()
	f.hold = false
	names := f.held
	f.held = nil
	f.mu.Unlock()
	for _, n := range names {
		f.Remove(n)
	}
}

// closeAll closes the files that Pebble left open.
func (f *breakFS) closeAll() {
	f.mu.Lock()
	var left []*breakFile
	for b := range f.open {
		left = append(left, b)
	}
	clear(f.open)
	f.mu.Unlock()
	for _, b := range left {
		b.File.Close()
	}
}

// breakFile is a file of a breakFS.
type breakFile struct {
	vfs.File
	fs   *breakFS
	name string
}

func (b *breakFile) did(op string, err error) error { return b.fs.did(op, b.name, err) }

func (b *breakFile) Write(p []byte) (int, error) {
	if b.fs.broken() {
		return len(p), nil
	}
	n, err := b.File.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return len(p), b.did("write", err)
}

func (b *breakFile) WriteAt(p []byte, off int64) (int, error) {
	if b.fs.broken() {
		return len(p), nil
	}
	n, err := b.File.WriteAt(p, off)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return len(p), b.did("write", err)
}

func (b *breakFile) Sync() error {
	if b.fs.broken() {
		return nil
	}
	return b.did("sync", b.File.Sync())
}

func (b *breakFile) SyncData() error {
	if b.fs.broken() {
		return nil
	}
	return b.did("sync", b.File.SyncData())
}

func (b *breakFile) SyncTo(length int64) (bool, error) {
	if b.fs.broken() {
		return true, nil
	}
	full, err := b.File.SyncTo(length)
	return full, b.did("sync", err)
}

// Preallocate does nothing: a small disk is not to be filled with room for a log.
func (b *breakFile) Preallocate(int64, int64) error { return nil }

func (b *breakFile) Close() error {
	b.fs.mu.Lock()
	_, open := b.fs.open[b]
	delete(b.fs.open, b)
	b.fs.mu.Unlock()
	if !open {
		return nil // closed by closeAll
	}
	if err := b.File.Close(); !b.fs.broken() {
		return b.did("close", err)
	}
	return nil
}

// discard is a file that a broken file system made: it takes everything and keeps
// nothing.
type discard struct{ vfs.File }

func (discard) Write(p []byte) (int, error)            { return len(p), nil }
func (discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (discard) Read([]byte) (int, error)               { return 0, io.ErrUnexpectedEOF }
func (discard) ReadAt([]byte, int64) (int, error)      { return 0, io.ErrUnexpectedEOF }
func (discard) Sync() error                            { return nil }
func (discard) SyncData() error                        { return nil }
func (discard) SyncTo(int64) (bool, error)             { return true, nil }
func (discard) Preallocate(int64, int64) error         { return nil }
func (discard) Prefetch(int64, int64) error            { return nil }
func (discard) Close() error                           { return nil }
func (discard) Fd() uintptr                            { return vfs.InvalidFd }
func (discard) Stat() (vfs.FileInfo, error)            { return discardInfo{}, nil }

type discardInfo struct{ vfs.FileInfo }

func (discardInfo) Size() int64 { return 0 }

type noCloser struct{}

func (noCloser) Close() error { return nil }
