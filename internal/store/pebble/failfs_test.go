package pebble

import (
	"errors"
	"os"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var errFail = errors.New("injected: input/output error")

// failFS fails changes of the disk. Each change has a number; those from failAt on
// fail (0: none), and all of them while failing is set.
type failFS struct {
	vfs.FS
	failing atomic.Bool
	failAt  atomic.Int64
	once    atomic.Bool // only the change failAt fails
	n       atomic.Int64
	before  func(op string) // called before each change, if not nil
}

func (f *failFS) change(op string) error {
	n := f.n.Add(1)
	if f.before != nil {
		f.before(op)
	}
	at := f.failAt.Load()
	if f.failing.Load() || at > 0 && (n == at || n > at && !f.once.Load()) {
		return errFail
	}
	return nil
}

func (f *failFS) file(op string, open func() (vfs.File, error)) (vfs.File, error) {
	if err := f.change(op); err != nil {
		return nil, err
	}
	file, err := open()
	if err != nil {
		return nil, err
	}
	return failFile{file, f}, nil
}

func (f *failFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file("create", func() (vfs.File, error) { return f.FS.Create(name, c) })
}

func (f *failFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.file("open", func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, o...) })
}

func (f *failFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file("reuse", func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, c) })
}

func (f *failFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return failFile{file, f}, nil
}

func (f *failFS) simple(op string, do func() error) error {
	if err := f.change(op); err != nil {
		return err
	}
	return do()
}

func (f *failFS) Rename(a, b string) error {
	return f.simple("rename", func() error { return f.FS.Rename(a, b) })
}

func (f *failFS) Link(a, b string) error {
	return f.simple("link", func() error { return f.FS.Link(a, b) })
}

func (f *failFS) Remove(a string) error {
	return f.simple("remove", func() error { return f.FS.Remove(a) })
}

func (f *failFS) RemoveAll(a string) error {
	return f.simple("removeall", func() error { return f.FS.RemoveAll(a) })
}

func (f *failFS) MkdirAll(a string, p os.FileMode) error {
	return f.simple("mkdir", func() error { return f.FS.MkdirAll(a, p) })
}

func (f *failFS) Unwrap() vfs.FS { return f.FS }

type failFile struct {
	vfs.File
	fs *failFS
}

func (f failFile) Write(p []byte) (int, error) {
	if err := f.fs.change("write"); err != nil {
		// Half of it comes to the disk.
		f.File.Write(p[:len(p)/2])
		return len(p) / 2, err
	}
	return f.File.Write(p)
}

func (f failFile) Sync() error { return f.fs.simple("sync", f.File.Sync) }

func (f failFile) SyncData() error { return f.fs.simple("sync", f.File.SyncData) }

func (f failFile) SyncTo(n int64) (full bool, err error) {
	err = f.fs.simple("sync", func() error { full, err = f.File.SyncTo(n); return err })
	return full, err
}
