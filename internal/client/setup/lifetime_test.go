package setup

import (
	"testing"

	"lessor/internal/client"
	"lessor/internal/lease"
)

// The kernel's lifetimes are the second line: never before the client's own end, and
// less than a second after it. What is over is zero: deprecated at once, or refused.
func TestLifetimesAreRoundedUp(t *testing.T) {
	const now = 1000 * lease.Second
	for _, c := range []struct {
		t2, end          int64
		preferred, valid uint32
	}{
		{now + 5*lease.Second, now + 10*lease.Second, 5, 10},
		{now + 5*lease.Second + 1, now + 10*lease.Second + 1, 6, 11},
		{now - lease.Second, now + lease.Second/2, 0, 1},
		{now - 2*lease.Second, now, 0, 0},
		{now - 2*lease.Second, now - lease.Second, 0, 0},
		{lease.Never, lease.Never, lease.Infinite, lease.Infinite},
		{lease.Never, now + 7*lease.Second, 7, 7},
		{now, now + 0xfffffffe*lease.Second, 0, 0xfffffffe},
	} {
		l := client.Lease{T2: c.t2, End: c.end}
		got := FromLease(&l, lease.Instant{M: now})
		if got.Addr, got.Server = prefix("198.18.0.52/24"), addr("198.18.0.1"); (got.Check() == nil) != (c.valid > 0) {
			t.Errorf("valid %d: %v", c.valid, got.Check())
		}
		if got.Preferred != c.preferred || got.Valid != c.valid {
			t.Errorf("T2 %d end %d: preferred %d valid %d, want %d %d", c.t2, c.end, got.Preferred, got.Valid, c.preferred, c.valid)
		}
	}
}
