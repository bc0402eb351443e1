package pebble

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/store/storetest"
)

const crashDir = "/state/db"

// ledger is what a client could know: the newest change of each address that was
// answered by Durable, and all that was ever asked for.
type ledger struct {
	mu    sync.Mutex
	acked map[dhcp4.Addr]uint64          // address -> change
	asked map[dhcp4.Addr]map[uint64]bool // every change of an address
	last  map[dhcp4.Addr]lease.Binding   // the state that is durable; State 0: deleted
	rev   uint64

	deletes map[uint64]bool // the changes that deleted a record
}

// lastAddr is the address that check commits something for.
var lastAddr = storetest.Net(9999)

func newLedger() *ledger {
	l := &ledger{
		acked: make(map[dhcp4.Addr]uint64), asked: make(map[dhcp4.Addr]map[uint64]bool),
		last: make(map[dhcp4.Addr]lease.Binding), deletes: make(map[uint64]bool),
	}
	l.asked[lastAddr] = map[uint64]bool{1: true}
	return l
}

func (l *ledger) snapshot() map[dhcp4.Addr]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.acked)
}

// image is the disk as a power cut left it, with what must be found there.
type image struct {
	fs    *vfs.MemFS
	acked map[dhcp4.Addr]uint64
	what  string
}

// cutter takes images of a disk while a store works on it.
type cutter struct {
	mem    *vfs.MemFS
	l      *ledger
	rng    *rand.Rand
	mu     sync.Mutex
	images []image
	others int // per cent of the changes other than syncs at which the power is cut
}

// cut takes an image. What was acknowledged is read first: more may be durable.
func (c *cutter) cut(op string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if op != "sync" && c.rng.IntN(100) >= c.others {
		return
	}
	acked := c.l.snapshot()
	percent := []int{0, 20, 50, 80, 100}[c.rng.IntN(5)]
	fs := c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rng})
	c.images = append(c.images, image{fs, acked, fmt.Sprintf("cut %d before %s, %d%% kept", len(c.images), op, percent)})
}

// work does n random groups on s.
func (l *ledger) work(t *testing.T, s *Store, rng *rand.Rand, n int) error {
	for range n {
		now := storetest.T0 + int64(l.rev)
		var cs []lease.Change
		for range 1 + rng.IntN(20) {
			a := storetest.Net(rng.IntN(200))
			l.rev++
			before := l.last[a]
			if before.State == 0 {
				before = lease.Binding{}
			}
			after := storetest.Binding(a, rng.IntN(50), now, l.rev)
			after.Agent = make([]byte, 100+rng.IntN(155)) // fills memtables soon
			switch rng.IntN(10) {
			case 0:
				after = lease.Binding{Addr: a, Rev: l.rev}
				l.deletes[l.rev] = true
			case 1:
				after.State = lease.Released
			case 2, 3, 4:
				if before.State == lease.Bound {
					after.HW, after.ClientID, after.Start = before.HW, before.ClientID, before.Start
				}
			}
			if l.asked[a] == nil {
				l.asked[a] = make(map[uint64]bool)
			}
			l.asked[a][l.rev] = true
			cs = append(cs, lease.Change{Before: before, After: after})
			l.last[a] = after
		}
		res := make([]store.Result, len(cs))
		err := s.Commit(context.Background(), storetest.MarkAt(now), cs, res)
		if err != nil {
			for i := len(cs) - 1; i >= 0; i-- { // memory goes back
				l.last[cs[i].After.Addr] = cs[i].Before
				if res[i].Outcome != store.Failed {
					t.Errorf("outcome %d of a failed commit", res[i].Outcome)
				}
			}
			return err
		}
		l.mu.Lock()
		for _, c := range cs {
			l.acked[c.After.Addr] = c.After.Rev
		}
		l.mu.Unlock()
		if rng.IntN(20) == 0 {
			s.gen.db.AsyncFlush()
		}
	}
	return nil
}

// durable lists the bindings that are durable, for Recreate.
func (l *ledger) durable() []lease.Binding {
	var out []lease.Binding
	for _, b := range l.last {
		if b.State != 0 {
			out = append(out, b)
		}
	}
	return out
}

// check opens an image: nothing acknowledged is missing, nothing is there that was
// never asked for, and a power cut is not taken for damage.
func (l *ledger) check(t *testing.T, im image, fs vfs.FS) {
	t.Helper()
	s, err := Open(crashDir, Options{FS: fs, HistoryRetention: -1})
	if err != nil {
		t.Errorf("%s: Open: %v", im.what, err)
		return
	}
	defer s.Close()
	if r := s.Recovery(); r != (store.Recovery{}) {
		t.Errorf("%s: Recovery %+v", im.what, r)
	}
	got := make(map[dhcp4.Addr]uint64)
	all, _ := storetest.LoadAll(t, s, nil)
	for _, b := range all {
		got[b.Addr] = b.Rev
		if !l.asked[b.Addr][b.Rev] {
			t.Errorf("%s: %v has a state that was never asked for: %d", im.what, b.Addr, b.Rev)
		}
	}
	for a, rev := range im.acked {
		have, ok := got[a]
		if !ok {
			have, ok = l.deletedRev(s, a, rev)
		}
		if !ok || have < rev {
			t.Errorf("%s: %v: change %d was acknowledged and is missing (have %d)", im.what, a, rev, have)
		}
	}
	res := make([]store.Result, 1)
	b := storetest.Binding(lastAddr, 1, storetest.T0, 1)
	if err := s.Commit(context.Background(), storetest.MarkAt(storetest.T0), []lease.Change{{After: b}}, res); err != nil {
		t.Errorf("%s: Commit after the restart: %v", im.what, err)
	}
}

// deletedRev is the change that deleted the record of a; rev is the one that was
// acknowledged.
func (l *ledger) deletedRev(s *Store, a dhcp4.Addr, rev uint64) (uint64, bool) {
	v, closer, err := s.gen.db.Get(appendRecordKey(nil, a))
	if err != nil {
		return rev, l.deletes[rev] // Recreate does not keep what was deleted before it
	}
	defer closer.Close()
	return deletedRev(v)
}

func newCrashDisk(t *testing.T) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	if err := mem.MkdirAll("/", 0o755); err != nil {
		t.Fatal(err)
	}
	return mem
}

// crashLife is a first start, work, restarts and a Recreate on one disk.
func crashLife(t *testing.T, seed uint64) (*ledger, []image) {
	t.Helper()
	mem, l := newCrashDisk(t), newLedger()
	c := &cutter{mem: mem, l: l, rng: rand.New(rand.NewPCG(seed, 1)), others: 15}
	fs := &failFS{FS: mem, before: c.cut}
	rng := rand.New(rand.NewPCG(seed, 2))
	for round := range 3 {
		s, err := Open(crashDir, Options{FS: fs, HistoryRetention: -1})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.work(t, s, rng, 60); err != nil {
			t.Fatal(err)
		}
		if round == 1 {
			if err := storetest.Recreate(s, storetest.T0+int64(l.rev), l.durable()); err != nil {
				t.Fatal(err)
			}
			if err := l.work(t, s, rng, 30); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return l, c.images
}

// TestPowerCut cuts the power before every sync and at random changes in between.
func TestPowerCut(t *testing.T) {
	for seed := range uint64(2) {
		l, images := crashLife(t, seed)
		if len(images) < 200 {
			t.Fatalf("only %d cuts: the store does not sync", len(images))
		}
		for i, im := range images {
			if i%thin != 0 {
				continue
			}
			l.check(t, im, im.fs)
			if t.Failed() {
				t.Fatalf("seed %d, image %d of %d", seed, i, len(images))
			}
		}
	}
}

// TestPowerCutWhileRecovering cuts the power again while the store opens after a
// cut, and once more while it opens after that.
func TestPowerCutWhileRecovering(t *testing.T) {
	l, images := crashLife(t, 99)
	rng := rand.New(rand.NewPCG(99, 3))
	for depth := range 2 {
		var next []image
		for i := 0; i < 40; i += thin {
			im := images[rng.IntN(len(images))]
			c := &cutter{mem: im.fs, l: l, rng: rng, others: 30}
			// The disk of the image is worn by the check; each is used once.
			l.check(t, im, &failFS{FS: im.fs, before: c.cut})
			for _, again := range c.images {
				again.acked, again.what = im.acked, fmt.Sprintf("%s, then %s (depth %d)", im.what, again.what, depth)
				next = append(next, again)
			}
			if t.Failed() {
				return
			}
		}
		images = next
	}
	for i := 0; i < 100 && i < len(images); i++ {
		im := images[rng.IntN(len(images))]
		l.check(t, im, im.fs)
	}
}

// faultLife lets change number at of the disk fail, and looks at what is left.
func faultLife(t *testing.T, at int64, once bool) (changes int64) {
	t.Helper()
	mem, l := newCrashDisk(t), newLedger()
	fs := &failFS{FS: mem}
	fs.failAt.Store(at)
	fs.once.Store(once)
	rng := rand.New(rand.NewPCG(7, 7))
	what := fmt.Sprintf("change %d of the disk fails (once: %v)", at, once)
	for range 2 {
		s, err := Open(crashDir, Options{FS: fs, HistoryRetention: -1})
		if err != nil {
			if at == 0 || !errors.Is(err, errFail) {
				t.Fatalf("%s: Open: %v", what, err)
			}
			fs.failAt.Store(0)
			if s, err = Open(crashDir, Options{FS: fs, HistoryRetention: -1}); err != nil {
				t.Fatalf("%s: the next start: %v", what, err)
			}
		}
		err = l.work(t, s, rng, 50)
		if err != nil {
			if !errors.Is(err, store.ErrBroken) {
				t.Errorf("%s: Commit: %v", what, err)
			}
			for _, percent := range []int{0, 50, 100} {
				im := image{mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}), l.snapshot(), fmt.Sprintf("%s, %d%% kept", what, percent)}
				l.check(t, im, im.fs)
			}
			fs.failAt.Store(0)
			if err := storetest.Recreate(s, storetest.T0+int64(l.rev), l.durable()); err != nil {
				t.Fatalf("%s: Recreate: %v", what, err)
			}
			im := image{mem.CrashClone(vfs.CrashCloneCfg{}), l.snapshot(), what + ", after Recreate"}
			l.check(t, im, im.fs)
			if err := l.work(t, s, rng, 10); err != nil {
				t.Fatalf("%s: after Recreate: %v", what, err)
			}
		}
		if err := s.Close(); err != nil && fs.failAt.Load() == 0 {
			t.Errorf("%s: Close: %v", what, err)
		}
	}
	fs.failAt.Store(0)
	im := image{mem.CrashClone(vfs.CrashCloneCfg{}), l.snapshot(), what + ", at the end"}
	l.check(t, im, im.fs)
	return fs.n.Load()
}

// TestEveryChangeFails lets each change of the disk fail in turn, for ever and once.
func TestEveryChangeFails(t *testing.T) {
	before := runtime.NumGoroutine()
	n := faultLife(t, 0, false)
	for at := int64(1); at <= n+5 && !t.Failed(); at += thin {
		faultLife(t, at, at%2 == 0)
		if at > 60 {
			at += 2 // the life repeats itself
		}
	}
	for i := 0; runtime.NumGoroutine() > before+2 && i < 100; i++ {
		time.Sleep(20 * time.Millisecond)
	}
	if after := runtime.NumGoroutine(); after > before+2 {
		t.Errorf("%d goroutines are left, %d were there before", after, before)
	}
}

// TestRecreateFails lets each change of the disk fail while Recreate works.
func TestRecreateFails(t *testing.T) {
	for at := int64(1); ; at += thin {
		mem, l := newCrashDisk(t), newLedger()
		fs := &failFS{FS: mem}
		rng := rand.New(rand.NewPCG(3, 3))
		s, err := Open(crashDir, Options{FS: fs, HistoryRetention: -1})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.work(t, s, rng, 30); err != nil {
			t.Fatal(err)
		}
		fs.n.Store(0)
		fs.failAt.Store(at)
		err = storetest.Recreate(s, storetest.T0+int64(l.rev), l.durable())
		if err == nil && fs.n.Load() < at {
			s.Close()
			if at < 20 {
				t.Fatalf("Recreate made only %d changes", at)
			}
			return
		}
		what := fmt.Sprintf("change %d of Recreate fails (%v)", at, err)
		for _, percent := range []int{0, 50, 100} {
			im := image{mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}), l.snapshot(), what}
			l.check(t, im, im.fs)
		}
		fs.failAt.Store(0)
		if err != nil {
			if err := storetest.Recreate(s, storetest.T0+int64(l.rev), l.durable()); err != nil {
				t.Fatalf("%s: Recreate afterwards: %v", what, err)
			}
		}
		if err := l.work(t, s, rng, 3); err != nil && !errors.Is(err, store.ErrBroken) {
			t.Fatalf("%s: %v", what, err)
		}
		gens, _ := s.generations()
		if len(gens) > 1 && err != nil {
			t.Errorf("%s: generations %v are left", what, gens)
		}
		s.Close()
		im := image{mem.CrashClone(vfs.CrashCloneCfg{}), l.snapshot(), what + ", at the end"}
		l.check(t, im, im.fs)
		if t.Failed() {
			return
		}
	}
}
