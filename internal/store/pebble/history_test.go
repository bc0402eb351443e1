package pebble

import (
	"errors"
	"testing"
	"time"

	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/store/storetest"
)

// TestHistoryOfAStoreThatBreaks: a read of history during which the store breaks says
// that it is broken.
func TestHistoryOfAStoreThatBreaks(t *testing.T) {
	s, err := Open(crashDir, Options{FS: newCrashDisk(t), HistoryRetention: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a := storetest.Net(1)
	before := lease.Binding{}
	for i := range 5 {
		now := storetest.T0 + int64(i)
		after := storetest.Binding(a, i, now, uint64(i+1))
		cs := []lease.Change{{Before: before, After: after}}
		if err := s.Commit(t.Context(), storetest.MarkAt(now), cs, make([]store.Result, 1)); err != nil {
			t.Fatal(err)
		}
		before = after
	}
	n := 0
	err = s.HistoryByAddr(t.Context(), a, time.Time{}, time.Time{}, func(*store.Possession) bool {
		n++
		s.gen.fail(errFail)
		return true
	})
	if n == 0 || n == 5 || !errors.Is(err, store.ErrBroken) || !errors.Is(err, errFail) {
		t.Errorf("after %d of 5 possessions: %v", n, err)
	}
}
