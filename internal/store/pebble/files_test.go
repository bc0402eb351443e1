package pebble

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/store/storetest"
)

type pebbleKind = pebble.InternalKeyKind

func TestSuiteOnDisk(t *testing.T) {
	storetest.Run(t, suite(func(t testing.TB) (vfs.FS, string) {
		// Of the test as a whole: rapid makes many stores and ends its own too early.
		return vfs.Default, filepath.Join(mkTemp(t), "state", "db")
	}))
}

func mkTemp(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lessor-store")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func mustOpen(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{Command: "lessor serve"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func commitOne(t testing.TB, s *Store, b lease.Binding) {
	t.Helper()
	res := make([]store.Result, 1)
	if err := s.Commit(context.Background(), storetest.MarkAt(b.Start), []lease.Change{{After: b}}, res); err != nil {
		t.Fatal(err)
	}
}

// tree is every file below dir with its size, mode and time.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%s %v %d %v\n", path, i.Mode(), i.Size(), i.ModTime())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestLockSaysWho: a second server is told who has the state directory, and nothing
// changes.
func TestLockSaysWho(t *testing.T) {
	dir := filepath.Join(mkTemp(t), "db")
	s := mustOpen(t, dir)
	commitOne(t, s, storetest.Binding(storetest.Net(1), 1, storetest.T0, 1))
	before := tree(t, dir)
	for _, open := range []func(string, Options) (*Store, error){Open, OpenReadOnly} {
		_, err := open(dir, Options{})
		if !errors.Is(err, store.ErrLocked) {
			t.Fatalf("a second opening: %v", err)
		}
		if want := fmt.Sprintf("pid %d (lessor serve)", os.Getpid()); !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if after := tree(t, dir); after != before {
		t.Errorf("a second opening changed files:\n%s%s", before, after)
	}
	s.Close()
	mustOpen(t, dir).Close()
}

// TestReadOnly: looking at a stopped server's store changes nothing, also after a
// crash that left work to do.
func TestReadOnly(t *testing.T) {
	dir := filepath.Join(mkTemp(t), "db")
	if _, err := OpenReadOnly(dir, Options{}); err == nil || !strings.Contains(err.Error(), "there is none") {
		t.Errorf("reading where no store is: %v", err)
	}
	s := mustOpen(t, dir)
	one := storetest.Binding(storetest.Net(1), 1, storetest.T0, 1)
	commitOne(t, s, one)
	// A copy of a store in use is what a crash leaves.
	crashed := filepath.Join(mkTemp(t), "db")
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	before := tree(t, filepath.Dir(crashed))
	ro, err := OpenReadOnly(crashed, Options{})
	if err != nil {
		t.Fatal(err)
	}
	all, _ := storetest.LoadAll(t, ro, nil)
	if len(all) != 1 || all[0].Rev != 1 {
		t.Errorf("read %+v", all)
	}
	n := 0
	if err := ro.HistoryByAddr(context.Background(), one.Addr, time.Time{}, time.Time{}, func(*store.Possession) bool { n++; return true }); err != nil || n != 1 {
		t.Errorf("history: %d, %v", n, err)
	}
	if err := ro.Commit(context.Background(), lease.Mark{}, nil, nil); err == nil {
		t.Error("a store for reading took a commit")
	}
	if err := ro.Close(); err != nil {
		t.Error(err)
	}
	if after := tree(t, filepath.Dir(crashed)); after != before {
		t.Errorf("reading changed files:\n%s\n%s", before, after)
	}
}

// TestModes: CVE-2025-32803's row of faults: nobody else can read what a lease store
// holds.
func TestModes(t *testing.T) {
	root := mkTemp(t)
	dir := filepath.Join(root, "a", "state", "db")
	s := mustOpen(t, dir)
	var cs []lease.Change
	for i := range 30_000 {
		cs = append(cs, lease.Change{After: storetest.Binding(storetest.Net(i), i, storetest.T0, uint64(i))})
	}
	if err := s.Commit(context.Background(), storetest.MarkAt(storetest.T0), cs, make([]store.Result, len(cs))); err != nil {
		t.Fatal(err)
	}
	if err := s.gen.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := storetest.Recreate(s, storetest.T0, nil); err != nil {
		t.Fatal(err)
	}
	commitOne(t, s, storetest.Binding(storetest.Net(1), 1, storetest.T0, 1))
	files := 0
	check := func() {
		err := filepath.WalkDir(filepath.Join(root, "a"), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			i, err := d.Info()
			if err == nil && i.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", path, i.Mode())
			}
			files++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check()
	s.Close()
	check()
	if files < 10 {
		t.Errorf("only %d files were looked at", files)
	}
}

// TestOtherFormat: a store of another format is refused and left alone.
func TestOtherFormat(t *testing.T) {
	dir := filepath.Join(mkTemp(t), "db")
	mustOpen(t, dir).Close()
	if err := os.WriteFile(filepath.Join(dir, currentName), current{format: storeFormat + 1, use: 1}.bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	for _, open := range []func(string, Options) (*Store, error){Open, OpenReadOnly} {
		if _, err := open(dir, Options{}); !errors.Is(err, store.ErrFormat) || !strings.Contains(err.Error(), "format 2") {
			t.Errorf("opening another format: %v", err)
		}
	}
	if after := tree(t, dir); after != before {
		t.Errorf("refusing a format changed files:\n%s\n%s", before, after)
	}
}

// TestBadPlaces: what cannot be a state directory is one clear error.
func TestBadPlaces(t *testing.T) {
	root := mkTemp(t)
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(file, "db"), filepath.Join(file, "a", "db"), "/proc/lessor/db"} {
		if s, err := Open(dir, Options{}); err == nil {
			s.Close()
			t.Errorf("a store was opened in %s", dir)
		}
	}
}

// openFiles counts the file descriptors of this process below dir.
func openFiles(t *testing.T, dir string) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if name, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(name, dir) {
			n++
		}
	}
	return n
}

// TestRecreateLeavesNothing: a store that breaks and heals again and again keeps
// neither files nor descriptors of the ones it left.
func TestRecreateLeavesNothing(t *testing.T) {
	root := mkTemp(t)
	ffs := &failFS{FS: vfs.Default}
	s, err := Open(filepath.Join(root, "db"), Options{FS: ffs})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := storetest.Binding(storetest.Net(1), 1, storetest.T0, 1)
	commitOne(t, s, b)
	first := openFiles(t, root)
	for range 10 {
		ffs.failing.Store(true)
		res := make([]store.Result, 1)
		if err := s.Commit(context.Background(), storetest.MarkAt(storetest.T0), []lease.Change{{After: b}}, res); !errors.Is(err, store.ErrBroken) {
			t.Fatal(err)
		}
		if err := storetest.Recreate(s, storetest.T0, []lease.Binding{b}); err == nil {
			t.Fatal("Recreate on a failing disk succeeded")
		}
		ffs.failing.Store(false)
		if err := storetest.Recreate(s, storetest.T0, []lease.Binding{b}); err != nil {
			t.Fatal(err)
		}
		commitOne(t, s, b)
	}
	if n := openFiles(t, root); n > first+2 {
		t.Errorf("%d files are open, %d were at first", n, first)
	}
	names, err := os.ReadDir(s.dir)
	if err != nil || len(names) != 2 {
		t.Errorf("what is left: %v, %v", names, err)
	}
}

// TestStartOnFullDisk: where nothing can be written the store still opens, loads, and
// heals later.
func TestStartOnFullDisk(t *testing.T) {
	mem := newCrashDisk(t)
	ffs := &failFS{FS: mem}
	open := func() *Store {
		t.Helper()
		s, err := Open(crashDir, Options{FS: ffs})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	b := storetest.Binding(storetest.Net(1), 1, storetest.T0, 1)
	commitOne(t, s, b)
	s.Close()
	for at := int64(1); ; at++ {
		ffs.n.Store(0)
		ffs.failAt.Store(at)
		s, err := Open(crashDir, Options{FS: ffs})
		if err != nil {
			// Before the store itself is touched: the directories, the lock.
			if at > 10 {
				t.Fatalf("change %d fails: %v", at, err)
			}
			continue
		}
		all, _ := storetest.LoadAll(t, s, nil)
		if len(all) != 1 || all[0].Rev != 1 {
			t.Fatalf("change %d fails: loaded %+v", at, all)
		}
		if r := s.Recovery(); r != (store.Recovery{}) {
			t.Errorf("change %d fails: Recovery %+v", at, r)
		}
		whole := ffs.n.Load() < at
		ffs.failAt.Store(0)
		if _, err := s.Alive(context.Background()); errors.Is(err, store.ErrBroken) {
			if err := storetest.Recreate(s, storetest.T0, all); err != nil {
				t.Fatalf("change %d failed: Recreate: %v", at, err)
			}
		}
		commitOne(t, s, b)
		s.Close()
		if whole {
			break
		}
	}
}
