package pebble

import (
	"bytes"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/store/storetest"
)

// commitAll makes one group of bindings durable.
func commitAll(t *testing.T, s *Store, now int64, bs ...lease.Binding) {
	t.Helper()
	var cs []lease.Change
	for _, b := range bs {
		cs = append(cs, lease.Change{After: b})
	}
	if err := s.Commit(t.Context(), storetest.MarkAt(now), cs, make([]store.Result, len(cs))); err != nil {
		t.Fatal(err)
	}
}

// TestNoWaitForNobody: many small tables in level 0 that do not overlap call for no
// compaction, so a commit must not wait for one.
func TestNoWaitForNobody(t *testing.T) {
	tune := &tuning{batch: maxBatch, engine: func(o *pebble.Options) {
		o.FlushSplitBytes = 1 << 10
		for i := range o.TargetFileSizes {
			o.TargetFileSizes[i] = 1 << 10
		}
	}}
	s, err := Open(crashDir, Options{FS: newCrashDisk(t), HistoryRetention: -1, tune: tune})
	if err != nil {
		t.Fatal(err)
	}
	var bs []lease.Binding
	for i := range 400 {
		b := storetest.Binding(storetest.Net(i), i, storetest.T0, uint64(i+1))
		b.Agent = bytes.Repeat([]byte{byte(i)}, 255)
		bs = append(bs, b)
	}
	commitAll(t, s, storetest.T0, bs...)
	if err := s.gen.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if m := s.gen.db.Metrics(); m.Levels[0].TablesCount < maxL0Tables || m.Compact.Count != 0 {
		t.Fatalf("%d tables in level 0 after %d compactions: nothing is shown", m.Levels[0].TablesCount, m.Compact.Count)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		commitAll(t, s, storetest.T0+1, storetest.Binding(storetest.Net(1), 1, storetest.T0, 1000))
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("a commit waits for a compaction that nothing begins")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
