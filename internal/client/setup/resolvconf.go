package setup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// maxOldFile is the longest file that is replaced: it must fit into the file of what has
// to be put back.
const maxOldFile = maxFile / 4

// oldFile is a file as it was before we replaced it, and what we replaced it by.
type oldFile struct {
	Path string
	Was  content
	Sums []string // SHA-256 of our last texts: the one that stands there, and the one that is to
}

// content is what stood at a path.
type content struct {
	There bool
	Link  string `json:",omitempty"` // the target, if it was a symbolic link; then the rest does not matter
	Text  []byte `json:",omitempty"`
	Meta  meta
}

func (c *content) same(o *content) bool {
	return c.There == o.There && c.Link == o.Link && (c.Link != "" || c.Meta == o.Meta && bytes.Equal(c.Text, o.Text))
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// lookAt reads what stands at path.
func lookAt(path string) (c content, err error) {
	c.Meta = meta{Mode: 0o644, UID: -1}
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	c.There = true
	if fi.Mode()&fs.ModeSymlink != 0 {
		c.Link, err = os.Readlink(path)
		return c, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return c, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return c, fmt.Errorf("look at %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return c, fmt.Errorf("%s is no regular file: name another file", path)
	}
	c.Meta = meta{Mode: st.Mode & 0o7777, UID: int(st.Uid), GID: int(st.Gid)}
	if c.Text, err = io.ReadAll(io.LimitReader(f, maxOldFile+1)); err != nil {
		return c, err
	}
	if len(c.Text) > maxOldFile {
		return c, fmt.Errorf("%s is longer than %d octets and is not replaced: name another file", path, maxOldFile)
	}
	return c, nil
}

// applyFile puts text in the place of what stands at path. Its permissions and owner stay.
// A symbolic link is itself replaced, not what it leads to, which belongs to another program;
// the link comes back at the end.
func (h *Host) applyFile(path string, text []byte) error {
	old := h.done.File
	if old != nil && old.Path != path {
		if err := h.clearFile(); err != nil {
			return err
		}
		old = nil
	}
	now, err := lookAt(path)
	if err != nil {
		return fmt.Errorf("DNS servers cannot be written to a file: %w", err)
	}
	if other := writtenFor(now.Text); old == nil && other != "" && other != h.name {
		return fmt.Errorf("%s has the DNS servers of the client of %s, which stay: each client needs a file of its own, "+
			"and if none runs there, starting and stopping it once brings the old file back", path, other)
	}
	switch {
	case old == nil:
		old = &oldFile{Path: path, Was: now}
	case old.ours(&now):
		if bytes.Equal(now.Text, text) {
			return nil
		}
	case !now.same(&old.Was):
		return fmt.Errorf("somebody changed %s, which this client had written: it is left alone", path)
	}
	sums := []string{sum(text)}
	if old.ours(&now) {
		sums = append(sums, sum(now.Text))
	}
	h.done.File = &oldFile{Path: path, Was: old.Was, Sums: sums}
	h.saveUndo()
	m := old.Was.Meta
	if now.There && now.Link == "" {
		m = now.Meta
	}
	return put(path, text, m)
}

// fileMark begins a file that a client wrote; the name of its interface follows, and a colon.
const fileMark = "# Written by lessor client for "

// writtenFor is the interface whose client wrote text, "" for text of others. What a client
// takes for the file of before must not be another's: the one that ends last would put back
// the servers of one that has ended.
func writtenFor(text []byte) string {
	rest, ours := bytes.CutPrefix(text, []byte(fileMark))
	name, _, whole := bytes.Cut(rest[:min(len(rest), unix.IFNAMSIZ)], []byte(":"))
	if !ours || !whole {
		return ""
	}
	return string(name)
}

// ours says whether now is what we wrote.
func (o *oldFile) ours(now *content) bool {
	return now.There && now.Link == "" && slices.Contains(o.Sums, sum(now.Text)) && !now.same(&o.Was)
}

// put replaces path. Where something is mounted over the file itself, as containers do
// with resolv.conf, it cannot be replaced, and is written over.
func put(path string, text []byte, m meta) error {
	err := replace(path, text, m, true)
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("write over %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write over %w", err)
	}
	return nil
}

// clearFile puts back what stood at the path before, unless somebody changed our file.
func (h *Host) clearFile() error {
	old := h.done.File
	if old == nil {
		return nil
	}
	now, err := lookAt(old.Path)
	if err != nil {
		return err
	}
	switch {
	case now.same(&old.Was):
	case !old.ours(&now):
		h.warn(fmt.Sprintf("somebody changed %s, which this client had written: it stays as it is", old.Path))
	case !old.Was.There:
		err = os.Remove(old.Path)
	case old.Was.Link != "":
		err = relink(old.Path, old.Was.Link)
	default:
		err = put(old.Path, old.Was.Text, old.Was.Meta)
	}
	if err != nil {
		return err
	}
	// What a run that was killed while it wrote may have left.
	if err := remove(aside(old.Path)); err != nil {
		return err
	}
	h.done.File = nil
	h.saveUndo()
	return nil
}

// relink puts a symbolic link in the place of path.
func relink(path, target string) error {
	tmp := aside(path)
	if err := remove(tmp); err != nil {
		return err
	}
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
