//go:build !race

package pebble

import (
	"context"
	"testing"

	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/store/storetest"
)

// TestCommitAllocates is the gate for P12: a durable commit of 128 renewals costs a
// fixed handful of allocations, none for each record.
func TestCommitAllocates(t *testing.T) {
	s := mustOpen(t, mkTemp(t)+"/db")
	defer s.Close()
	cs := make([]lease.Change, 128)
	res := make([]store.Result, len(cs))
	now := storetest.T0
	for i := range cs {
		cs[i].After = storetest.Binding(storetest.Net(i), i, now, uint64(i))
	}
	commit := func() {
		now++
		for i := range cs {
			cs[i].Before = cs[i].After
			cs[i].After.Renewed = now
		}
		if err := s.Commit(context.Background(), storetest.MarkAt(now), cs, res); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		commit()
	}
	if n := testing.AllocsPerRun(200, commit); n > 16 {
		t.Errorf("a commit of %d renewals makes %v allocations", len(cs), n)
	} else {
		t.Logf("%v allocations for %d renewals", n, len(cs))
	}
}
