package tracefile

import (
	"slices"
	"sort"

	"lessor/internal/lease"
)

// sample says what the wall clock showed at a point of the trace's time.
type sample struct{ t, w int64 }

// axis maps the wall clock of a server's machine to the trace's time. Between two steps
// of the wall clock it is a piece of its own: an hour that is lived twice is in
// two pieces.
type axis struct {
	samples []sample
	pieces  []int // where each piece begins; made by at
}

// thin is how much the two clocks may move against each other between two samples that are
// worth keeping, in nanoseconds.
const thin = 1000

// add takes a sample; they come in the order of t.
func (a *axis) add(t, w int64) {
	if n := len(a.samples); n >= 2 {
		l, b := a.samples[n-1], a.samples[n-2]
		if d := w - t - (l.w - l.t); d > -thin && d < thin && t-b.t < lease.Second {
			a.samples[n-1] = sample{t, w} // nothing new: only how long it holds
			return
		}
	}
	a.samples = append(a.samples, sample{t, w})
}

// at returns the trace's time of wall time w: of the times at which the clock showed it, the
// first that is not before after, or else the first there is. Times that it never showed
// are those at which it was set. There is a sample at least.
func (a *axis) at(w, after int64) int64 {
	if a.pieces == nil {
		a.split()
	}
	best, found := int64(0), false
	for k, from := range a.pieces {
		to, until := len(a.samples), lease.Never
		if k+1 < len(a.pieces) {
			to = a.pieces[k+1]
			until = a.samples[to].t
		}
		t := convert(a.samples[from:to], w)
		if k > 0 {
			t = max(t, a.samples[from].t)
		}
		if t >= until {
			continue
		}
		if t >= after-lease.Second { // frames may be written in another order than they came in
			return t
		}
		if !found {
			best, found = t, true
		}
	}
	return best
}

// split finds the pieces.
func (a *axis) split() {
	a.pieces = []int{0}
	for i := 1; i < len(a.samples); i++ {
		if a.stepped(i) {
			a.pieces = append(a.pieces, i)
		}
	}
}

// stepped reports whether the wall clock was set between samples i-1 and i.
func (a *axis) stepped(i int) bool {
	d := (a.samples[i].w - a.samples[i].t) - (a.samples[i-1].w - a.samples[i-1].t)
	// What is slewed moves by at most 500 ppm.
	most := (a.samples[i].t-a.samples[i-1].t)/2000 + step
	return d > most || d < -most
}

// convert is the time of w in a piece without steps; outside it the clock is taken to run
// on as it did.
func convert(piece []sample, w int64) int64 {
	i := sort.Search(len(piece), func(i int) bool { return piece[i].w > w })
	switch {
	case i == 0:
		return w - (piece[0].w - piece[0].t)
	case i == len(piece):
		return w - (piece[i-1].w - piece[i-1].t)
	}
	a, b := piece[i-1], piece[i]
	offset := a.w - a.t
	if b.w > a.w { // slewed evenly in between
		part := float64(w-a.w) / float64(b.w-a.w)
		offset += int64(part * float64(b.w-b.t-offset))
	}
	return w - offset
}

// bases give each boot its place on the trace's axis: T = M + base. It is chosen so that T
// is about the wall time, which makes traces of several machines comparable.
type bases struct {
	boots []lease.BootID
	base  []int64
}

func (b *bases) of(boot lease.BootID, first lease.Instant, notBefore int64) int64 {
	if i := slices.Index(b.boots, boot); i >= 0 {
		return b.base[i]
	}
	base := first.W - first.M
	if first.M+base < notBefore {
		base = notBefore - first.M
	}
	b.boots, b.base = append(b.boots, boot), append(b.base, base)
	return base
}
