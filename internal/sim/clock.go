package sim

import "lessor/internal/lease"

const (
	second = lease.Second
	never  = lease.Never

	// epoch is the wall time at the start of a run.
	epoch = 1_790_000_000 * second
)

// clocks are a host's two clocks as functions of true time.
type clocks struct {
	at    int64 // true time at which M and W were as now says
	now   lease.Instant
	drift int64 // parts per million
	boot  lease.BootID
}

// read is what the clocks show at true time t.
func (c *clocks) read(t int64) lease.Instant {
	d := t - c.at
	d += d / 1_000_000 * c.drift
	return lease.Instant{M: c.now.M + d, W: c.now.W + d}
}

// rebase makes t the time from which on the clocks are computed, before a change.
func (c *clocks) rebase(t int64) { c.now, c.at = c.read(t), t }

// when is the first true time at which M is at least m, never for never.
func (c *clocks) when(m int64) int64 {
	if m == never {
		return never
	}
	if m <= c.now.M { // long ago, when the difference has no room either
		return c.at
	}
	d := m - c.now.M
	t := c.at + d - d/1_000_000*c.drift
	for c.read(t).M < m {
		t += 1 + (m-c.read(t).M)/2
	}
	return t
}

// dice is a small generator whose throws depend on what it was made from alone, so
// that taking one thing out of a plan changes no other's luck (SplitMix64).
type dice uint64

func newDice(seed uint64, parts ...uint64) dice {
	d := dice(seed)
	for _, p := range parts {
		d = dice(uint64(d) ^ p*0x9e3779b97f4a7c15)
		d.next()
		d = dice(d.mix())
	}
	return d
}

func (d *dice) mix() uint64 {
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (d *dice) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	return d.mix()
}

// n is a number from 0 to n-1.
func (d *dice) n(n int64) int64 {
	if n <= 1 {
		return 0
	}
	return int64(d.next() % uint64(n))
}

// between is a number from r[0] to r[1].
func (d *dice) between(r [2]int64) int64 { return r[0] + d.n(r[1]-r[0]+1) }

// hit is true ppm times in a million.
func (d *dice) hit(ppm uint32) bool { return ppm > 0 && d.next()%1_000_000 < uint64(ppm) }

// name gives a host's name a number for dice.
func name(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
