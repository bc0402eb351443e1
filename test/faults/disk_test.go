package faults

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lessor/internal/netlab"
)

// disk is an ext4 file system in a file, mounted through a loop device in the mount
// namespace of one host. The kernel gives the device back when that namespace ends.
type disk struct {
	host    *netlab.Host
	image   string
	dir     string // where it is mounted
	mounted bool
}

// newDisk makes and mounts a file system of a size in MiB, and moves the site's state to it.
func (s *site) newDisk(t *testing.T, mib int) *disk {
	t.Helper()
	root := s.host.Root
	d := &disk{host: s.host, image: filepath.Join(root, "disk.img"), dir: filepath.Join(root, "disk")}
	check(t, os.Mkdir(d.dir, 0o755))
	f := try(os.Create(d.image))(t)
	check(t, f.Truncate(int64(mib)<<20))
	check(t, f.Close())
	d.run(t, "mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0", d.image)
	d.mount(t)
	t.Cleanup(func() {
		if d.mounted {
			_ = d.host.Do(func() error { return unix.Unmount(d.dir, unix.MNT_DETACH) })
		}
	})
	s.state = filepath.Join(d.dir, "state")
	return d
}

func (d *disk) run(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := d.host.Run(ctx, args...)
	check(t, err)
}

// mount mounts the image; the kernel replays its journal.
func (d *disk) mount(t *testing.T) {
	t.Helper()
	d.run(t, "mount", "-t", "ext4", "-o", "loop", d.image, d.dir)
	d.mounted = true
}

func (d *disk) unmount(t *testing.T) {
	t.Helper()
	d.run(t, "umount", d.dir)
	d.mounted = false
}

// ioctlShutdown is EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32), and noLogFlush its flag
// EXT4_GOING_FLAGS_NOLOGFLUSH: what has not been written to the journal and to the
// disk by now never will be.
const (
	ioctlShutdown = 0x8004587d
	noLogFlush    = 2
)

// cut takes the power from the disk.
func (d *disk) cut() error {
	return d.host.Do(func() error {
		fd, err := unix.Open(d.dir, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.IoctlSetPointerInt(fd, ioctlShutdown, noLogFlush)
	})
}

// syncer makes journal commits fall everywhere: every 3 ms it changes a file of its
// own and syncs that. end ends it.
func (d *disk) syncer(t *testing.T) (end func()) {
	t.Helper()
	f := try(d.open("syncer", os.O_CREATE|os.O_RDWR))(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(3 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			// A new length changes the inode, so that each sync needs a commit of the journal.
			if _, err := f.WriteAt([]byte{1}, int64(i)); err != nil {
				return
			}
			if err := f.Sync(); err != nil {
				return // the power was cut
			}
		}
	})
	return sync.OnceFunc(func() { close(stop); wg.Wait(); f.Close() })
}

// open opens a file of the disk.
func (d *disk) open(name string, flags int) (f *os.File, err error) {
	err = d.host.Do(func() (err error) {
		f, err = os.OpenFile(filepath.Join(d.dir, name), flags, 0o600)
		return err
	})
	return f, err
}

// powerCutter cuts the power at a random moment.
//
// What had been acknowledged before the system call began must survive. A sync that is
// under way just then proves nothing: ext4 (Linux 6.18) lets an fdatasync that waits for the
// journal return 0 although the journal was thrown away meanwhile, in about one cut of
// thirty. When the power really goes, nobody is there to hear that answer.
type powerCutter struct {
	begun atomic.Bool // the system call is about to be made, or was
	ended atomic.Bool // it has returned: no sync that begins now can succeed
	done  chan error
	over  bool
}

// cutAfter cuts the power after a random time between lo and hi.
func (d *disk) cutAfter(r *rand.Rand, lo, hi time.Duration) *powerCutter {
	c := &powerCutter{done: make(chan error, 1)}
	wait := lo + time.Duration(r.Int64N(int64(hi-lo)))
	go func() {
		time.Sleep(wait)
		c.begun.Store(true)
		err := d.cut()
		c.ended.Store(true)
		c.done <- err
	}()
	return c
}

// happened reports whether the power is gone.
func (c *powerCutter) happened(t *testing.T) bool {
	t.Helper()
	if c.over {
		return true
	}
	select {
	case err := <-c.done:
		check(t, err)
		c.over = true
	default:
	}
	return c.over
}
