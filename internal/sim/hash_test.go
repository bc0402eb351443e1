//go:build !race

package sim

import (
	"runtime"
	"sync/atomic"
	"testing"
)

// drawn is the plan of a seed as sim run has it without a scenario.
func drawn(seed uint64) *Plan { return Draw(seed, Pick(seed, Scenarios(), true)) }

// TestSameSeedSameHash: 50 seeds, 20 times each, beside each other and with one core and with
// several, give the same hash a thousand times of a thousand.
func TestSameSeedSameHash(t *testing.T) {
	const seeds, times = 50, 20
	var want [seeds][32]byte
	for i := range want {
		want[i] = Run(drawn(uint64(i)), nil).Hash
	}
	var same, runs atomic.Int32
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for round := range times - 1 {
		runtime.GOMAXPROCS(1 + round%4)
		m := Many{Seeds: seeds, Jobs: 1 + round%5, On: true, Run: Live, Draw: drawn, Each: func(seed uint64, r *Result) {
			runs.Add(1)
			if r.Hash == want[seed] {
				same.Add(1)
			} else {
				t.Errorf("seed %d gave another hash", seed)
			}
		}}
		m.Do(t.Context())
	}
	if n := int32(seeds * (times - 1)); runs.Load() != n || same.Load() != n {
		t.Errorf("%d of %d the same, want %d", same.Load(), runs.Load(), n)
	}
	for i := 1; i < seeds; i++ {
		if want[i] == want[0] {
			t.Errorf("seeds 0 and %d have the same hash", i)
		}
	}
}
