package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/store/storetest"
)

// grown makes a disk with a store of several tables, a log and a history.
func grown(t *testing.T) (*vfs.MemFS, *ledger) {
	t.Helper()
	mem, l := newCrashDisk(t), newLedger()
	rng := rand.New(rand.NewPCG(11, 11))
	for range 2 {
		s, err := Open(crashDir, Options{FS: mem, HistoryRetention: -1})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := l.work(t, s, rng, 60); err != nil {
				t.Fatal(err)
			}
			if err := s.gen.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.work(t, s, rng, 40); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return mem, l
}

func cloneDisk(mem *vfs.MemFS) *vfs.MemFS {
	return mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(0, 0))})
}

// storeFiles lists all files below the database directory.
func storeFiles(t *testing.T, fs vfs.FS, dir string) (files []string) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		p := fs.PathJoin(dir, n)
		if st, err := fs.Stat(p); err != nil {
			t.Fatal(err)
		} else if st.IsDir() {
			files = append(files, storeFiles(t, fs, p)...)
		} else {
			files = append(files, p)
		}
	}
	return files
}

func readFile(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// prefixRev is the change of an address that was its last one when change upTo had
// been made.
func (l *ledger) prefixRev(a dhcp4.Addr, upTo uint64) (rev uint64) {
	for r := range l.asked[a] {
		if r <= upTo {
			rev = max(rev, r)
		}
	}
	return rev
}

// checkDamaged starts on a damaged disk: it always starts, says so if anything is
// missing, and starts again in the same state. A damaged log may end early without a
// word, since that is what a power cut looks like; then no change is missing that
// comes before one that is there.
func (l *ledger) checkDamaged(t *testing.T, fs vfs.FS, what string, log bool) (rec store.Recovery) {
	t.Helper()
	for round := range 2 {
		s, err := Open(crashDir, Options{FS: fs, HistoryRetention: -1})
		if err != nil {
			t.Errorf("%s: start %d: %v", what, round, err)
			return rec
		}
		all, _ := storetest.LoadAll(t, s, nil)
		if round > 0 && s.Recovery() != rec {
			t.Errorf("%s: the second start says %+v, the first said %+v", what, s.Recovery(), rec)
		}
		rec = s.Recovery()
		got, newest := make(map[dhcp4.Addr]uint64), uint64(0)
		for _, b := range all {
			got[b.Addr] = b.Rev
			newest = max(newest, b.Rev)
			if !l.asked[b.Addr][b.Rev] {
				t.Errorf("%s: %v has a state that was never asked for: %d", what, b.Addr, b.Rev)
			}
		}
		upTo := l.rev
		if log {
			upTo = newest
		}
		missing := 0
		for a := range l.asked {
			want := l.prefixRev(a, upTo)
			if want != 0 && a != lastAddr && !l.deletes[want] && got[a] != want {
				missing++
			}
		}
		if missing > 0 && !rec.Careful {
			t.Errorf("%s: %d records are missing or old, and nothing is said", what, missing)
		}
		res := make([]store.Result, 1)
		b := storetest.Binding(lastAddr, 1, storetest.T0, 1)
		commit := func() error {
			return s.Commit(context.Background(), storetest.MarkAt(storetest.T0), []lease.Change{{After: b}}, res)
		}
		if err := commit(); errors.Is(err, store.ErrBroken) {
			// Damaged history comes to light when it is worked on; a new store heals it.
			if err := storetest.Recreate(s, storetest.T0, all); err != nil {
				t.Errorf("%s: Recreate: %v", what, err)
			}
			if err := commit(); err != nil {
				t.Errorf("%s: Commit after Recreate: %v", what, err)
			}
		} else if err != nil {
			t.Errorf("%s: Commit: %v", what, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: Close: %v", what, err)
		}
	}
	return rec
}

// TestDamage damages each file of a store in every way that disks and people have.
func TestDamage(t *testing.T) {
	mem, l := grown(t)
	rng := rand.New(rand.NewPCG(5, 5))
	files := storeFiles(t, mem, crashDir)
	if len(files) < 8 {
		t.Fatalf("only %d files", len(files))
	}
	put := func(fs vfs.FS, name string, b []byte) {
		if err := writeFile(fs, name, b); err != nil {
			t.Fatal(err)
		}
	}
	ways := map[string]func(fs *vfs.MemFS, name string, b []byte){
		"a bit flipped": func(fs *vfs.MemFS, name string, b []byte) {
			if len(b) > 0 {
				b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			}
			put(fs, name, b)
		},
		"a sector zeroed": func(fs *vfs.MemFS, name string, b []byte) {
			if len(b) > 0 {
				at := rng.IntN(len(b))
				clear(b[at:min(len(b), at+512)])
			}
			put(fs, name, b)
		},
		"cut short": func(fs *vfs.MemFS, name string, b []byte) {
			put(fs, name, b[:rng.IntN(len(b)+1)])
		},
		"emptied": func(fs *vfs.MemFS, name string, b []byte) { put(fs, name, nil) },
		"removed": func(fs *vfs.MemFS, name string, b []byte) {
			if err := fs.Remove(name); err != nil {
				t.Fatal(err)
			}
		},
	}
	for _, name := range files {
		for way, damage := range ways {
			n := 1
			if way == "a bit flipped" || way == "a sector zeroed" || way == "cut short" {
				n = max(1, 5/thin)
			}
			for i := range n {
				fs := cloneDisk(mem)
				damage(fs, name, readFile(t, fs, name))
				l.checkDamaged(t, fs, fmt.Sprintf("%s %s (%d)", name, way, i), strings.HasSuffix(name, ".log"))
				if t.Failed() {
					return
				}
			}
		}
	}
}

// TestDamageIsBounded says what one damaged block of a table costs: its records, not
// those of other blocks.
func TestDamageIsBounded(t *testing.T) {
	mem := newCrashDisk(t)
	s, err := Open(crashDir, Options{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	var cs []lease.Change
	for i := range 20_000 {
		cs = append(cs, lease.Change{After: storetest.Binding(storetest.Net(i), i, storetest.T0, uint64(i+1))})
	}
	if err := s.Commit(context.Background(), storetest.MarkAt(storetest.T0), cs, make([]store.Result, len(cs))); err != nil {
		t.Fatal(err)
	}
	if err := s.gen.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	s.Close()
	for _, f := range dataFiles(mem, s.generationDir(1)) {
		if b := readFile(t, mem, f.name); f.table && len(b) > 100_000 {
			b[len(b)/3] ^= 0x10
			if err := writeFile(mem, f.name, b); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, err = Open(crashDir, Options{FS: mem, Now: func() int64 { return storetest.T0 * 1e9 }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all, _ := storetest.LoadAll(t, s, nil)
	rec := s.Recovery()
	if !rec.Careful || rec.Kept != len(all) {
		t.Errorf("Recovery %+v with %d records loaded", rec, len(all))
	}
	if len(all) < 19_000 || len(all) == 20_000 {
		t.Errorf("%d of 20000 records are left of a store with damaged blocks", len(all))
	}
	names, _ := mem.List(crashDir)
	if want := "damaged-20200913T122640Z-000001"; !strings.Contains(strings.Join(names, " "), want) {
		t.Errorf("the damaged store is not put aside as %s: %v", want, names)
	}
	// Careful mode ends when the server says so, not before.
	if err := s.Recovered(context.Background()); err != nil {
		t.Fatal(err)
	}
	if s.Recovery() != (store.Recovery{}) {
		t.Errorf("Recovery after Recovered: %+v", s.Recovery())
	}
}

// TestUnknownValues: values of no known form are set aside, counted and reported; the
// rest is served.
func TestUnknownValues(t *testing.T) {
	mem := newCrashDisk(t)
	open := func() *Store {
		s, err := Open(crashDir, Options{FS: mem})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	good := storetest.Binding(storetest.Net(5), 5, storetest.T0, 5)
	v := appendRecord(nil, &good)
	bad := map[string][]byte{
		string(appendRecordKey(nil, storetest.Net(1))): nil,
		string(appendRecordKey(nil, storetest.Net(2))): v[:len(v)-1],
		string(appendRecordKey(nil, storetest.Net(3))): append(bytes.Clone(v), 0),
		string(appendRecordKey(nil, storetest.Net(4))): append([]byte{recordVersion + 1}, v[1:]...),
		string(appendRecordKey(nil, 0)):                v,
		"b":                                            v,
		"b12345":                                       v,
	}
	for k, v := range bad {
		s.batch.Set([]byte(k), v, nil)
	}
	res := make([]store.Result, 1)
	if err := s.Commit(context.Background(), storetest.MarkAt(storetest.T0), []lease.Change{{After: good}}, res); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		all, _ := storetest.LoadAll(t, s, nil)
		if len(all) != 1 || all[0].Rev != good.Rev {
			t.Fatalf("loaded %+v", all)
		}
		if r := s.Recovery(); !r.Careful || r.Lost != len(bad) || r.Kept != 1 {
			t.Fatalf("Recovery %+v", r)
		}
		s.Close()
		s = open()
	}
	defer s.Close()
	for k, v := range bad {
		got, closer, err := s.gen.db.Get(append([]byte{spaceSetAside}, k...))
		if err != nil || !bytes.Equal(got, v) {
			t.Errorf("%q is not kept: %x, %v", k, got, err)
			continue
		}
		closer.Close()
	}
}
