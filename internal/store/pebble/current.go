package pebble

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"lessor/internal/store"
)

// The file CURRENT in the database directory names the generation in use. It is
// replaced as a whole by a rename, so the step from one generation to the next is
// atomic:
//
//	lessor store
//	format 1
//	use 000002
//	aside 000001
//	crc 8d1f0c55
//
// "creating N" stands in the place of "use N" while the very first generation is
// made: there is nothing in it yet. "aside N" names one that is to be put aside,
// not removed. The check sum tells a damaged file from one of another format.
const (
	currentName = "CURRENT"
	tempName    = "CURRENT.new"
	storeFormat = 1
	firstLine   = "lessor store"
)

// current is what the file says.
type current struct {
	format   int
	use      uint64
	creating bool
	aside    uint64 // 0: none
}

func (c current) bytes() []byte {
	var b bytes.Buffer
	verb := "use"
	if c.creating {
		verb = "creating"
	}
	fmt.Fprintf(&b, "%s\nformat %d\n%s %06d\n", firstLine, c.format, verb, c.use)
	if c.aside != 0 {
		fmt.Fprintf(&b, "aside %06d\n", c.aside)
	}
	fmt.Fprintf(&b, "crc %08x\n", crc32.ChecksumIEEE(b.Bytes()))
	return b.Bytes()
}

// errCurrent says that the file is damaged.
var errCurrent = fmt.Errorf("the file %s is damaged", currentName)

// parseCurrent reads the file's text. The error wraps store.ErrFormat for a whole
// file of another format, and is errCurrent for everything else.
func parseCurrent(text []byte) (c current, err error) {
	body, sum, ok := bytes.Cut(text, []byte("crc "))
	if !ok || !bytes.HasPrefix(body, []byte(firstLine+"\nformat ")) ||
		string(sum) != fmt.Sprintf("%08x\n", crc32.ChecksumIEEE(body)) {
		return c, errCurrent
	}
	for _, line := range strings.Split(string(body), "\n")[1:] {
		word, val, _ := strings.Cut(line, " ")
		n, err := strconv.ParseUint(val, 10, 63)
		switch {
		case line == "":
		case err != nil:
			return c, errCurrent
		case word == "format":
			if c.format = int(n); c.format != storeFormat {
				return c, fmt.Errorf("%w: format %d, this version reads format %d: use the version of lessor that wrote it, or export and import its leases",
					store.ErrFormat, c.format, storeFormat)
			}
		case word == "use", word == "creating":
			c.use, c.creating = n, word == "creating"
		case word == "aside":
			c.aside = n
		default:
			return c, errCurrent
		}
	}
	if c.use == 0 {
		return c, errCurrent
	}
	return c, nil
}

// readCurrent reads the file in dir; oserror.IsNotExist holds for a missing one.
func readCurrent(fs vfs.FS, dir string) (current, error) {
	f, err := fs.Open(fs.PathJoin(dir, currentName))
	if err != nil {
		return current{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return current{}, fmt.Errorf("%w: %w", errCurrent, err)
	}
	return parseCurrent(text)
}

// writeCurrent replaces the file and syncs the directory. renamed says, on an error,
// that the rename was tried: then a crash may bring up the old file or the new one.
func writeCurrent(fs vfs.FS, dir string, c current) (renamed bool, err error) {
	tmp := fs.PathJoin(dir, tempName)
	if err := writeFile(fs, tmp, c.bytes()); err != nil {
		if rerr := fs.Remove(tmp); rerr != nil && !oserror.IsNotExist(rerr) {
			err = fmt.Errorf("%w (and %w)", err, rerr)
		}
		return false, err
	}
	if err := fs.Rename(tmp, fs.PathJoin(dir, currentName)); err != nil {
		return true, err
	}
	return true, syncDir(fs, dir)
}

// onDisk reports whether fs is, at its bottom, the operating system's.
func onDisk(fs vfs.FS) bool { return vfs.Root(fs) == vfs.Default }

// writeFile makes a file with this content and syncs it.
func writeFile(fs vfs.FS, name string, b []byte) error {
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if onDisk(fs) {
		err = os.Chmod(name, 0o600)
	}
	if err != nil {
		// Nobody else may read it: it is not written.
	} else if n, werr := f.Write(b); werr != nil {
		err = werr
	} else if n < len(b) {
		err = io.ErrShortWrite
	} else {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// makeDir makes dir and the parents that it lacks, for this user alone, and makes the
// entry of each in its parent durable: a store in a directory that a power cut takes
// away would come up as a first start.
func makeDir(fs vfs.FS, dir string) error {
	parent := fs.PathDir(dir)
	_, err := fs.Stat(dir)
	if oserror.IsNotExist(err) && parent != dir {
		if err := makeDir(fs, parent); err != nil {
			return err
		}
		if err := fs.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if parent == dir {
		return nil
	}
	// Who made it may have been cut off before this. A parent that may not be read is
	// of the system's making and was there long ago.
	if err := syncDir(fs, parent); err != nil && !oserror.IsPermission(err) {
		return err
	}
	return nil
}

// syncDir makes the entries of a directory durable.
func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
