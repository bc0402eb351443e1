package setup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxFile is the longest file that is read or written.
const maxFile = 1 << 20

// readOwn reads a file that this program wrote: a regular file, of this user, that
// nobody else can have written. nil without an error: there is none.
func readOwn(path string) ([]byte, error) {
	// O_NONBLOCK: a pipe in its place must not hold us up.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("%s is a symbolic link: name the file itself, or remove the link", path)
	case err != nil:
		return nil, fmt.Errorf("read %w", err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("look at %s: %w", path, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, fmt.Errorf("%s is no regular file: remove it, or name another file", path)
	case int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0:
		return nil, fmt.Errorf("%s may have been written by others (owner %d, mode %04o): if it can be trusted, chown it to user %d and chmod 600 it, else remove it",
			path, st.Uid, st.Mode&0o7777, os.Geteuid())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %w", err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s is longer than %d octets, which this program never writes: remove it", path, maxFile)
	}
	return b, nil
}

// notAFile says why path cannot be replaced by a file of ours; nil if it can.
func notAFile(path string) error {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a symbolic link: name the file itself, or remove the link", path)
	case fi.IsDir():
		return fmt.Errorf("%s is a directory: name a file", path)
	case !fi.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file: remove it, or name another file", path)
	}
	return nil
}

// meta is what a file has beside its content.
type meta struct {
	Mode     uint32 // permission bits
	UID, GID int    // -1: as they come
}

// replace puts a file with content b in the place of path: whoever opens it sees the
// old one or the new one, whole. The new one is first written beside it. When sync is
// set, it is on the disk before it takes the place, and the directory afterwards.
func replace(path string, b []byte, m meta, sync bool) (err error) {
	dir, tmp := filepath.Dir(path), aside(path)
	// What a killed run left. A name of its own each time would pile up.
	if err := remove(tmp); err != nil {
		return fmt.Errorf("make room for %s: %w", path, err)
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s, which stays as it was: %w", path, err)
			f.Close()
			os.Remove(tmp)
		}
	}()
	if _, err := f.Write(b); err != nil {
		return err
	}
	if m.UID >= 0 && (m.UID != os.Geteuid() || m.GID != os.Getegid()) {
		if err := f.Chown(m.UID, m.GID); err != nil {
			return err
		}
	}
	if err := f.Chmod(fs.FileMode(m.Mode)); err != nil { // the umask has no say here
		return err
	}
	if sync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	if sync {
		return syncDir(dir)
	}
	return nil
}

// aside is the name of the file that is to become path.
func aside(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".lessor-new")
}

// remove removes the file at path if there is one. It looks first: on a read-only file
// system the removal of nothing is an error too.
func remove(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// ReadLeases reads the lease file; nil without an error when there is none.
func (h *Host) ReadLeases() ([]byte, error) {
	if h.o.LeaseFile == "" {
		return nil, nil
	}
	return readOwn(h.o.LeaseFile)
}

// WriteLeases replaces the lease file by b, at most 1 MiB: written whole, synced, renamed into
// place, readable by this user only. After an error the old file is still there. b is not kept.
func (h *Host) WriteLeases(b []byte) error {
	if h.o.LeaseFile == "" {
		return nil
	}
	if len(b) > maxFile {
		return fmt.Errorf("the leases have %d octets, more than the lease file's %d", len(b), maxFile)
	}
	if err := notAFile(h.o.LeaseFile); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(h.o.LeaseFile), 0o700); err != nil {
		return fmt.Errorf("make the directory of the lease file: %w", err)
	}
	return replace(h.o.LeaseFile, b, meta{Mode: 0o600, UID: -1}, true)
}
