package lease

import "math"

// Second is one second in the nanoseconds of an Instant.
const Second int64 = 1e9

// Never is the deadline of what has no end.
const Never int64 = math.MaxInt64

// The definitions of docs/invariants.md in integers. A clock of ours or of a
// conforming client runs at most 200 ppm fast or slow, so two of them drift apart by
// at most 4e-4 of a lease (RFC 2131 4.4.5 leaves drift to the implementer).
const driftPerMyriad = 4

// MinGrace is the least time in seconds for which an address must be held from
// others after a lease of t seconds: the drift of two clocks, rounded up, and one
// second of rounding. It is 0 for Infinite, which has no end.
func MinGrace(t uint32) uint32 {
	if t == Infinite {
		return 0
	}
	return uint32((driftPerMyriad*uint64(t)+9999)/10000) + 1
}

// Grace is G(T), the time in seconds for which an address is held from others
// after a lease of t seconds unless the configuration sets another: MinGrace and
// the longest delay of a message in the network. 6 s: 6; 1 h: 67; 24 h: 100;
// Infinite: 0.
func Grace(t uint32) uint32 {
	if t == Infinite {
		return 0
	}
	return MinGrace(t) + MaxDelay(t)
}

// MaxDelay is D, the longest delay in seconds of a message that concerns a lease of t
// seconds: a sixteenth of it rounded up, at least 4 and at most 64, the longest
// gap between retransmissions (RFC 2131 4.1).
func MaxDelay(t uint32) uint32 {
	return uint32(min(64, max(4, (uint64(t)+15)/16)))
}

// Timers returns T1 and T2, options 58 and 59, for a lease of t seconds: a half and
// seven eighths of it, rounded down (RFC 2131 4.4.5). ok is false, and they are
// not sent, for Infinite and below 4 s; else 0 < t1 < t2 < t.
func Timers(t uint32) (t1, t2 uint32, ok bool) {
	if t == Infinite || t < 4 {
		return 0, 0, false
	}
	return t / 2, uint32(uint64(t) * 7 / 8), true
}

// Remaining is the time from now to end, both on one clock in nanoseconds, in
// whole seconds as option 51 carries it: rounded down, 0 when less than a second is
// left, Infinite for Never, and for finite ends less than Infinite.
func Remaining(end, now int64) uint32 {
	if end == Never {
		return Infinite
	}
	left := sub(end, now) / Second
	return uint32(min(max(left, 0), int64(Infinite)-1))
}

// Deadlines returns End and Free of a lease of t seconds and grace seconds that was
// asked for at instant r of a clock; both are Never for Infinite.
func Deadlines(r int64, t, grace uint32) (end, free int64) {
	if t == Infinite {
		return Never, Never
	}
	end = After(r, t)
	return end, After(end, grace)
}

// After returns the instant s seconds after t. It stays below Never unless t is
// Never.
func After(t int64, s uint32) int64 {
	if t == Never {
		return Never
	}
	return add(t, int64(s)*Second)
}

// CeilSeconds returns t nanoseconds in whole seconds, rounded up, as deadlines are.
// Never stays Never.
func CeilSeconds(t int64) int64 {
	if t == Never {
		return Never
	}
	s := t / Second
	if t%Second > 0 {
		s++
	}
	return s
}

// FloorSeconds returns t nanoseconds in whole seconds, rounded down, as times on
// the wire are. Never stays Never.
func FloorSeconds(t int64) int64 {
	if t == Never {
		return Never
	}
	s := t / Second
	if t%Second < 0 {
		s--
	}
	return s
}

// nanos returns s seconds in nanoseconds, kept within what they can express and
// below Never.
func nanos(s int64) int64 {
	if s == Never {
		return Never
	}
	const most = (math.MaxInt64 - 1) / Second
	return min(max(s, -most), most) * Second
}

// add and sub keep their result within 64 bits and below Never.
func add(a, b int64) int64 {
	c := a + b
	switch {
	case a >= 0 && b >= 0 && c < 0:
		return Never - 1
	case a < 0 && b < 0 && c >= 0:
		return math.MinInt64
	}
	return min(c, Never-1)
}

func sub(a, b int64) int64 {
	if b == math.MinInt64 {
		return add(add(a, math.MaxInt64), 1)
	}
	return add(a, -b)
}
