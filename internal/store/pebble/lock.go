package pebble

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"lessor/internal/store"
)

// lockName is the file in the state directory that belongs to the one process that
// uses the store. The lock is the kernel's (flock), so it ends with the process
// however that ends; the text in the file only says who holds it.
const lockName = "LOCK"

// lockState takes the lock of the state directory. An error that wraps
// store.ErrLocked names the holder.
func lockState(fs vfs.FS, state, command string) (io.Closer, error) {
	if fs != vfs.Default {
		l, err := fs.Lock(fs.PathJoin(state, lockName))
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
			return nil, fmt.Errorf("%w: %s", store.ErrLocked, state)
		}
		return l, err
	}
	name := filepath.Join(state, lockName)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot use state directory: %w", err)
	}
	if err := flockPatiently(f); err != nil {
		holder := lockHolder(f)
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is used by %s: stop it, or give this server another --state directory",
				store.ErrLocked, state, holder)
		}
		return nil, fmt.Errorf("cannot lock %s: %w", name, err)
	}
	if command == "" {
		command = filepath.Base(os.Args[0])
	}
	// The text is a courtesy: on a full disk the lock holds without it.
	if f.Truncate(0) == nil {
		fmt.Fprintf(f, "pid %d (%s)\n", os.Getpid(), command)
	}
	return f, nil
}

// flockPatiently tries for a fifth of a second: a program that only asks whether a
// server runs (checkUnlocked) holds the lock for an instant.
func flockPatiently(f *os.File) (err error) {
	for i := 0; i < 10; i++ {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil || !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// lockHolder reads who holds the lock: "pid 812 (lessor serve)".
func lockHolder(f *os.File) string {
	b, _ := io.ReadAll(io.NewSectionReader(f, 0, 200))
	if s := strings.TrimSpace(string(b)); strings.HasPrefix(s, "pid ") {
		return fmt.Sprintf("%.120s", strings.ToValidUTF8(s, "?"))
	}
	return "another process"
}

// checkUnlocked says by its error whether a process uses the store in state. It
// takes no lock that could be in a starting server's way.
func checkUnlocked(fs vfs.FS, state string) error {
	if fs != vfs.Default {
		return nil
	}
	f, err := os.Open(filepath.Join(state, lockName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// F_OFD_GETLK would not see flock's locks; a shared one that is given back at once
	// is the shortest way to ask.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%w: %s is used by %s: ask that server instead", store.ErrLocked, state, lockHolder(f))
	}
	return unix.Flock(int(f.Fd()), unix.LOCK_UN)
}
