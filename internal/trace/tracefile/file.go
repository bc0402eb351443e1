package tracefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// beginning is how a file begins that Writer made.
const beginning = `{"lessor-trace"`

// openFile opens the file of a trace to append to it, for as long as this process lives the
// only one to do so. What is no trace is left alone: it may be the configuration, mistyped.
func openFile(path string) (f *os.File, size int64, err error) {
	// Without O_NONBLOCK a named pipe that nobody reads would be waited for.
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if errors.Is(err, unix.ELOOP) {
		return nil, 0, fmt.Errorf("%s is a symbolic link; name the file that it leads to", path)
	}
	if err != nil {
		return nil, 0, err
	}
	if size, err = check(f, path); err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

func check(f *os.File, path string) (size int64, err error) {
	st, err := f.Stat()
	switch {
	case err != nil:
		return 0, err
	case !st.Mode().IsRegular():
		return 0, fmt.Errorf("%s is no regular file", path)
	case st.Mode().Perm()&0o077 != 0:
		return 0, fmt.Errorf("%s is open to others than its owner (mode %04o), and a trace names every client; chmod 600 it, or name another file", path, st.Mode().Perm())
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return 0, fmt.Errorf("%s is being written by another process; each server needs a file of its own", path)
		}
		return 0, fmt.Errorf("locking %s: %w", path, err)
	}
	begin := make([]byte, len(beginning)+1)
	n, err := f.ReadAt(begin, 0)
	if err != nil && err != io.EOF {
		return 0, err
	}
	if n > 0 && !bytes.HasPrefix(bytes.TrimPrefix(begin[:n], []byte{'\n'}), []byte(beginning)) {
		return 0, fmt.Errorf("%s holds something else than a trace; name another file", path)
	}
	return st.Size(), nil
}
