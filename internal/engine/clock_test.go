package engine_test

import (
	"fmt"
	"testing"
	"time"

	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/store/memory"
	"lessor/internal/store/pebble"
)

// keptOpen is a store that outlives the engine.
type keptOpen struct{ store.Store }

func (keptOpen) Close() error { return nil }

// TestClockStepsWhileDown is I14 for the time in which the server does not run: what
// is left of a lease follows from CLOCK_BOOTTIME within one boot, and from the later of the wall
// clock and the mark after another one. A clock that was set back ends no lease and
// gives nobody a longer one than it had when the server stopped.
func TestClockStepsWhileDown(t *testing.T) {
	const (
		year = 365 * 24 * time.Hour
		down = 30 * time.Second
	)
	cases := []struct {
		name   string
		reboot bool
		step   time.Duration // of the wall clock, beside the time that passes
		left   int64         // of the 600 s, 100 s of which were over when the server stopped
	}{
		{"the clock is right", false, 0, 470},
		{"set back by 20 years", false, -20 * year, 470},
		{"set ahead by 20 years", false, 20 * year, 470},
		{"a reboot with a right clock", true, 0, 470},
		{"a reboot with a clock of an hour ago", true, -time.Hour, 500},
		{"a reboot without a battery", true, -20 * year, 500},
	}
	stores := map[string]func(t *testing.T) store.Store{
		"memory": func(*testing.T) store.Store { return memory.New() },
		"pebble": func(t *testing.T) store.Store {
			st, err := pebble.Open(t.TempDir()+"/db", pebble.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { st.Close() })
			return st
		},
	}
	for kind, open := range stores {
		for _, c := range cases {
			t.Run(fmt.Sprintf("%s/%s", kind, c.name), func(t *testing.T) {
				st := keptOpen{open(t)}
				w := newWorld(t, st)
				cl := w.client(1)
				addr := cl.bind()
				w.clock.advance(100 * time.Second)
				if err := w.engine.Stop(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.log.Close()
				w.clock.move(down, down+c.step)
				if c.reboot {
					w.clock.reboot()
				}
				w.start(st)
				b, now, ok, err := w.engine.Lease(t.Context(), addr)
				if err != nil || !ok {
					t.Fatalf("the lease of %s: %v %v", addr, ok, err)
				}
				if left := (b.End - now.M) / lease.Second; left < c.left || left > c.left+1 {
					t.Errorf("%d s are left of the lease, want %d", left, c.left)
				}
				w.clock.advance(time.Duration(c.left-1) * time.Second)
				if n := w.status().Pools[0]; n.Count[2] != 1 {
					t.Errorf("a second before its end the lease is over: %v", n.Count)
				}
				w.clock.advance(4 * time.Second)
				w.eventually("the lease has ended", func() bool { return w.status().Pools[0].Count[2] == 0 })
			})
		}
	}
}
