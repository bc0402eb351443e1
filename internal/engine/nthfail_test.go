package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"lessor/internal/link"
	"lessor/internal/wire"
)

var errNth = errors.New("injected: input/output error")

// nth counts the calls of a kind and lets one of them fail, or it and all later ones.
type nth struct {
	mu      sync.Mutex
	n       int64
	at      int64 // which fails; 0: none
	forever bool
	paused  bool   // calls are not counted
	what    string // the call that failed first, "" while none has
}

func (x *nth) call(what string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.paused {
		return nil
	}
	x.n++
	if x.at == 0 || x.n < x.at || x.n > x.at && !x.forever {
		return nil
	}
	if x.what == "" {
		x.what = what
	}
	return fmt.Errorf("%s: %w", what, errNth)
}

func (x *nth) mend() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.at = 0
}

func (x *nth) pause(on bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.paused = on
}

// failed is the call that failed first.
func (x *nth) failed() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.what
}

func (x *nth) calls() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.n
}

// nthNet is a network whose calls fail.
type nthNet struct {
	link.Net
	x *nth
}

func (n nthNet) Watch(ctx context.Context, names []string, changed func([]wire.Link, []link.Missing)) error {
	if err := n.x.call("watch"); err != nil {
		return err
	}
	return n.Net.Watch(ctx, names, changed)
}

func (n nthNet) Open(l wire.Link) (link.Port, error) {
	if err := n.x.call("open port"); err != nil {
		return nil, err
	}
	p, err := n.Net.Open(l)
	return nthPort{p, n.x}, err
}

type nthPort struct {
	link.Port
	x *nth
}

func (p nthPort) Receive(b *link.Batch) error {
	if err := p.x.call("receive"); err != nil {
		b.Reset()
		return err
	}
	return p.Port.Receive(b)
}

func (p nthPort) Send(out []wire.Send) (int, error) {
	if err := p.x.call("send"); err != nil {
		return len(out), err
	}
	return p.Port.Send(out)
}

func (p nthPort) SendARP(as []wire.ARP) error {
	if err := p.x.call("send ARP"); err != nil {
		return err
	}
	return p.Port.SendARP(as)
}

func (p nthPort) SendEcho(es []wire.Echo) (int, error) {
	if err := p.x.call("send echo"); err != nil {
		return len(es), err
	}
	return p.Port.SendEcho(es)
}

// Close closes also when it fails, as the kernel does.
func (p nthPort) Close() error {
	err := p.x.call("close port")
	return errors.Join(p.Port.Close(), err)
}

// nthFS is a file system whose calls fail, those that read too.
type nthFS struct {
	vfs.FS
	x *nth
}

func (f nthFS) file(what string, open func() (vfs.File, error)) (vfs.File, error) {
	if err := f.x.call(what); err != nil {
		return nil, err
	}
	file, err := open()
	if err != nil {
		return nil, err
	}
	return nthFile{file, f.x}, nil
}

func (f nthFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file("create", func() (vfs.File, error) { return f.FS.Create(name, c) })
}

func (f nthFS) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	return f.file("open", func() (vfs.File, error) { return f.FS.Open(name, o...) })
}

func (f nthFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.file("open to write", func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, o...) })
}

func (f nthFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file("reuse", func() (vfs.File, error) { return f.FS.ReuseForWrite(from, to, c) })
}

func (f nthFS) OpenDir(name string) (vfs.File, error) {
	return f.file("open directory", func() (vfs.File, error) { return f.FS.OpenDir(name) })
}

func (f nthFS) Rename(a, b string) error {
	if err := f.x.call("rename"); err != nil {
		return err
	}
	return f.FS.Rename(a, b)
}

func (f nthFS) Link(a, b string) error {
	if err := f.x.call("link"); err != nil {
		return err
	}
	return f.FS.Link(a, b)
}

func (f nthFS) Remove(a string) error {
	if err := f.x.call("remove"); err != nil {
		return err
	}
	return f.FS.Remove(a)
}

func (f nthFS) RemoveAll(a string) error {
	if err := f.x.call("remove all"); err != nil {
		return err
	}
	return f.FS.RemoveAll(a)
}

func (f nthFS) MkdirAll(a string, p os.FileMode) error {
	if err := f.x.call("make directory"); err != nil {
		return err
	}
	return f.FS.MkdirAll(a, p)
}

func (f nthFS) List(a string) ([]string, error) {
	if err := f.x.call("list"); err != nil {
		return nil, err
	}
	return f.FS.List(a)
}

func (f nthFS) Stat(a string) (vfs.FileInfo, error) {
	if err := f.x.call("stat"); err != nil {
		return nil, err
	}
	return f.FS.Stat(a)
}

func (f nthFS) Lock(a string) (io.Closer, error) {
	if err := f.x.call("lock"); err != nil {
		return nil, err
	}
	return f.FS.Lock(a)
}

func (f nthFS) Unwrap() vfs.FS { return f.FS }

type nthFile struct {
	vfs.File
	x *nth
}

// Write brings half of it to the disk when it fails.
func (f nthFile) Write(p []byte) (int, error) {
	if err := f.x.call("write"); err != nil {
		n, werr := f.File.Write(p[:len(p)/2])
		return n, errors.Join(err, werr)
	}
	return f.File.Write(p)
}

func (f nthFile) WriteAt(p []byte, at int64) (int, error) {
	if err := f.x.call("write at"); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, at)
}

func (f nthFile) Read(p []byte) (int, error) {
	if err := f.x.call("read"); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

func (f nthFile) ReadAt(p []byte, at int64) (int, error) {
	if err := f.x.call("read at"); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, at)
}

func (f nthFile) Stat() (vfs.FileInfo, error) {
	if err := f.x.call("stat file"); err != nil {
		return nil, err
	}
	return f.File.Stat()
}

func (f nthFile) Sync() error {
	if err := f.x.call("sync"); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f nthFile) SyncData() error {
	if err := f.x.call("sync data"); err != nil {
		return err
	}
	return f.File.SyncData()
}

func (f nthFile) SyncTo(n int64) (bool, error) {
	if err := f.x.call("sync to"); err != nil {
		return false, err
	}
	return f.File.SyncTo(n)
}

// Close closes also when it fails, as the kernel does.
func (f nthFile) Close() error {
	err := f.x.call("close")
	return errors.Join(f.File.Close(), err)
}
