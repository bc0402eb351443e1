package pebble

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"lessor/internal/store"
	"lessor/internal/store/storetest"
)

// suite makes stores on the file systems that base hands out, each with its directory.
func suite(base func(testing.TB) (vfs.FS, string)) storetest.Factory {
	type files struct {
		fs   *failFS
		dir  string
		opts Options
	}
	all := make(map[store.Store]files)
	open := func(t testing.TB, f files) store.Store {
		t.Helper()
		s, err := Open(f.dir, f.opts)
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		if r := s.Recovery(); r != (store.Recovery{}) {
			t.Errorf("Recovery of a whole store: %+v", r)
		}
		all[s] = f
		return s
	}
	return storetest.Factory{
		New: func(t testing.TB) store.Store {
			fs, dir := base(t)
			f := files{fs: &failFS{FS: fs}, dir: dir}
			f.opts = Options{FS: f.fs, HistoryRetention: -1, Report: func(s string) { t.Log(s) }}
			return open(t, f)
		},
		Reopen: func(t testing.TB, s store.Store) store.Store {
			t.Helper()
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			return open(t, all[s])
		},
		Break: func(_ testing.TB, s store.Store) { all[s].fs.failing.Store(true) },
		Mend:  func(_ testing.TB, s store.Store) { all[s].fs.failing.Store(false) },
	}
}

func TestSuiteInMemory(t *testing.T) {
	storetest.Run(t, suite(func(testing.TB) (vfs.FS, string) {
		fs := vfs.NewMem()
		if err := fs.MkdirAll("/var/lib", 0o755); err != nil {
			t.Fatal(err)
		}
		return fs, "/var/lib/lessor/db"
	}))
}
