package pebble

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/store/storetest"
)

// keysIn counts the keys of one space.
func keysIn(t *testing.T, s *Store, space byte) (n int) {
	t.Helper()
	it, err := s.gen.db.NewIter(&pebble.IterOptions{LowerBound: []byte{space}, UpperBound: []byte{space + 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	return n
}

// TestRetention: an ended possession goes when its time has come, with all that led
// to it, in bounded steps; a running one stays however long it has run.
func TestRetention(t *testing.T) {
	const keep = 1000 // seconds
	s, err := Open("db", Options{FS: vfs.NewMem(), HistoryRetention: keep * time.Second, Now: func() int64 { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	commit := func(now int64, cs ...lease.Change) {
		t.Helper()
		if err := s.Commit(ctx, storetest.MarkAt(now), cs, make([]store.Result, len(cs))); err != nil {
			t.Fatal(err)
		}
	}
	long := storetest.Binding(storetest.Net(5000), 1, storetest.T0, 1)
	commit(storetest.T0, lease.Change{After: long})
	const n = expireRows + 100
	var ends []lease.Change
	for i := range n {
		b := storetest.Binding(storetest.Net(i), 1, storetest.T0, uint64(i))
		r := b
		r.State = lease.Released
		commit(storetest.T0, lease.Change{After: b})
		ends = append(ends, lease.Change{Before: b, After: r})
	}
	commit(storetest.T0+10, ends...)
	commit(storetest.T0 + 10 + keep)
	if h := keysIn(t, s, spaceHistory); h != n {
		t.Errorf("%d rows at the end of their time, want %d", h, n)
	}
	commit(storetest.T0 + 10 + keep + 60)
	if h := keysIn(t, s, spaceHistory); h != n-expireRows {
		t.Errorf("%d rows after one step, want %d", h, n-expireRows)
	}
	commit(storetest.T0 + 10 + keep + 61)
	for space, want := range map[byte]int{spaceHistory: 0, spaceExpiry: 0, spaceClient: 2} {
		if got := keysIn(t, s, space); got != want {
			t.Errorf("%d keys in %q, want %d", got, space, want)
		}
	}
	got := 0
	err = s.HistoryByClient(ctx, long.HW, nil, time.Time{}, time.Time{}, func(p *store.Possession) bool {
		got++
		if p.Addr != long.Addr {
			t.Errorf("a possession of %v is left", p.Addr)
		}
		return true
	})
	if err != nil || got != 1 {
		t.Errorf("%d possessions of the client that still has one: %v", got, err)
	}
}

// TestRetentionShared: two possessions that share their client keys go one by one.
func TestRetentionShared(t *testing.T) {
	s, err := Open("db", Options{FS: vfs.NewMem(), HistoryRetention: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	a := storetest.Binding(storetest.Net(1), 1, storetest.T0, 1)
	r, again := a, a
	r.State = lease.Released
	again.Until += 10_000
	end := again
	end.State = lease.Released
	now := storetest.T0
	for _, c := range []lease.Change{{After: a}, {Before: a, After: r}, {Before: r, After: again}} {
		if err := s.Commit(ctx, storetest.MarkAt(now), []lease.Change{c}, make([]store.Result, 1)); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (n int) {
		if err := s.HistoryByClient(ctx, nil, a.ClientID, time.Time{}, time.Time{}, func(*store.Possession) bool { n++; return true }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 2 {
		t.Fatalf("%d possessions", n)
	}
	if err := s.Commit(ctx, storetest.MarkAt(now+100), nil, nil); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 1 {
		t.Errorf("%d possessions after the first has gone; the second must still be found", n)
	}
}
