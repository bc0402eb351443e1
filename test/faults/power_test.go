package faults

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// The power is cut 20 times in one store, with 64 exchanges outstanding: everything
// that was not synced is lost. Every ACK that was read before the cut is kept, nothing is
// promised after it, and every start is a good one.
func TestPowerCuts(t *testing.T) {
	s := newSite(t)
	d := s.newDisk(t, 128)
	l := s.newLoad(64, 0.4)
	begin := time.Now()
	for i := range 20 {
		n := s.start(t)
		s.mustBeWhole(t, n)
		l.mustHold(t, fmt.Sprintf("before cut %d", i+1), s.leases(t, true))
		powerCut(t, s, d, l, n)
	}
	n := s.start(t)
	s.mustBeWhole(t, n)
	l.mustHold(t, "after the last cut", s.leases(t, true))
	check(t, n.Stop(5*time.Second))
	l.mustHold(t, "in the store of the stopped server", s.leases(t, false))
	t.Logf("20 power cuts in %.1f s: %d ACKs read before them for %d addresses, 0 missing; %d more during and after them",
		time.Since(begin).Seconds(), l.acks, len(l.promises), l.late)
	if l.acks < 20*64 {
		t.Errorf("only %d ACKs: the cuts fell on an idle server", l.acks)
	}
}

// mustBeWhole fails the test when the start of n found anything wrong.
func (s *site) mustBeWhole(t *testing.T, n *server) {
	t.Helper()
	if bad := append(n.lines("STORE_DAMAGED"), n.lines("STORE_FAILED")...); len(bad) > 0 {
		t.Fatalf("a start was not a good one: %v", bad)
	}
	st, code := s.status(t)
	if code != 0 || !st.Healthy || st.Careful != 0 {
		t.Fatalf("after a start the status is %d, healthy %t, careful %v: %q", code, st.Healthy, st.Careful, st.Problems)
	}
}

// powerCut loads the server, cuts its power at a random moment, ends it, and mounts
// the disk again.
func powerCut(t *testing.T, s *site, d *disk, l *load, n *server) {
	t.Helper()
	closeSyncer := d.syncer(t)
	defer closeSyncer()
	cut := d.cutAfter(l.rand, 30*time.Millisecond, 500*time.Millisecond)
	l.cut = cut
	defer func() { l.cut = nil }()
	gone := time.Time{}
	check(t, l.run(func() bool {
		if gone.IsZero() && cut.happened(t) {
			gone = time.Now()
		}
		return !gone.IsZero() && time.Since(gone) > 100*time.Millisecond
	}))
	check(t, l.drain(5*time.Millisecond))
	n.Kill()
	check(t, l.drain(time.Millisecond))
	closeSyncer()
	d.unmount(t)
	d.mount(t)
}

// The same cuts, on a disk that says of every sync that it was done: leases are
// missing then, or the test above could not fail.
func TestPowerCutsOnALyingDisk(t *testing.T) {
	s := newSite(t)
	d := s.newDisk(t, 128)
	l := s.newLoad(64, 0.4)
	missing := 0
	for range 3 {
		n, v := s.startSupervised(t)
		v.set(lie)
		powerCut(t, s, d, l, n)
		if v.failed.Load() == 0 {
			t.Fatal("the server asked for no sync")
		}
		s.start(t).Kill()
		// The store begins anew: what is missing now would be missing in each later turn.
		missing += len(l.missing(s.leases(t, false)))
		l = s.newLoad(64, 0.4)
		check(t, s.host.Do(func() error { return os.RemoveAll(s.state) }))
	}
	if missing == 0 {
		t.Fatal("after three power cuts without a single sync no lease is missing: the cut keeps what was not synced")
	}
	t.Logf("three cuts without syncs: %d acknowledged leases are missing", missing)
}

// The method itself, with the simplest server there is: one that appends a line for
// each promise. With a sync before the promise nothing is ever missing, without one
// nearly everything is.
func TestPowerCutMethod(t *testing.T) {
	s := newSite(t)
	d := s.newDisk(t, 32)
	r := rand.New(rand.NewPCG(3, 4))
	for _, synced := range []bool{true, false} {
		promised, kept := 0, 0
		for i := range 4 {
			name := fmt.Sprintf("promises-%t-%d", synced, i)
			promised += promiseUntilCut(t, d, r, name, synced)
			d.unmount(t)
			d.mount(t)
			kept += countLines(t, d, name)
		}
		t.Logf("synced %t: %d promises, %d kept", synced, promised, kept)
		switch {
		case promised < 100:
			t.Errorf("only %d promises were made", promised)
		case synced && kept < promised:
			t.Errorf("%d synced promises are missing", promised-kept)
		case !synced && kept >= promised:
			t.Error("nothing is missing although nothing was synced")
		}
	}
}

// promiseUntilCut writes lines until the power is cut and returns how many were promised.
func promiseUntilCut(t *testing.T, d *disk, r *rand.Rand, name string, synced bool) (promised int) {
	t.Helper()
	f := try(d.open(name, os.O_CREATE|os.O_WRONLY))(t)
	defer f.Close()
	if synced {
		dir := try(d.open(".", os.O_RDONLY))(t)
		check(t, dir.Sync())
		check(t, dir.Close())
	}
	closeSyncer := d.syncer(t)
	defer closeSyncer()
	cut := d.cutAfter(r, 30*time.Millisecond, 200*time.Millisecond)
	for {
		if cut.happened(t) {
			return promised
		}
		if _, err := fmt.Fprintf(f, "lease %08d\n", promised); err != nil {
			continue // the power is gone
		}
		if synced && f.Sync() != nil {
			continue
		}
		if !cut.begun.Load() {
			promised++
		}
		if !synced {
			time.Sleep(50 * time.Microsecond)
		}
	}
}

// countLines counts the lines that are whole and in order.
func countLines(t *testing.T, d *disk, name string) (n int) {
	t.Helper()
	f, err := d.open(name, os.O_RDONLY)
	if os.IsNotExist(err) {
		return 0
	}
	check(t, err)
	defer f.Close()
	b := try(io.ReadAll(f))(t)
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() && lines.Text() == fmt.Sprintf("lease %08d", n) {
		n++
	}
	return n
}
