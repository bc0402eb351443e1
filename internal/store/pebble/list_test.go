package pebble

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"lessor/internal/store"
	"lessor/internal/store/storetest"
)

// listFS fails one call of List.
type listFS struct {
	vfs.FS
	n, at int
}

func (f *listFS) List(dir string) ([]string, error) {
	if f.n++; f.n == f.at {
		return nil, errFail
	}
	return f.FS.List(dir)
}

// TestListFails: a directory that cannot be listed once, at whichever moment of an open,
// is no damage, loses nothing, and leaves no goroutine behind.
func TestListFails(t *testing.T) {
	mem := newCrashDisk(t)
	b := storetest.Binding(storetest.Net(1), 1, storetest.T0, 1)
	first, err := Open(crashDir, Options{FS: mem, HistoryRetention: -1})
	if err != nil {
		t.Fatal(err)
	}
	commitAll(t, first, storetest.T0, b)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	tries := 0
	for at := 1; ; at++ {
		f := &listFS{FS: mem, at: at}
		s, err := Open(crashDir, Options{FS: f, HistoryRetention: -1})
		if err != nil && !errors.Is(err, errFail) {
			t.Fatalf("call %d of List fails: %v", at, err)
		}
		if err == nil {
			if r := s.Recovery(); r != (store.Recovery{}) {
				t.Errorf("call %d of List fails: %+v", at, r)
			}
			if got, _ := storetest.LoadAll(t, s, nil); len(got) != 1 {
				t.Errorf("call %d of List fails: %d records", at, len(got))
			}
			s.Close()
		}
		if f.n < at {
			break
		}
		tries++
	}
	if tries < 3 {
		t.Fatalf("an open lists only %d directories", tries)
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%d goroutines are left of %d opens, %d were there before", runtime.NumGoroutine(), tries, before)
}
