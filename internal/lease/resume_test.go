package lease

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

var (
	bootA = BootID{1}
	bootB = BootID{2}
)

const hour = 3600 * Second

// written is a lease of one hour with its grace of 67 s, asked for at wall time w and
// boot time m of boot A.
func written(m, w int64) Binding {
	b := Binding{
		Addr: 0xc0000264, State: Bound, Lifetime: 3600, Grace: 67, Boot: bootA,
		Until: CeilSeconds(w + hour),
	}
	b.End, b.Free = Deadlines(m, b.Lifetime, b.Grace)
	return b
}

func TestI14SameBootKeepsDeadlines(t *testing.T) {
	const m, w = 100 * Second, 1_700_000_000 * Second
	for _, step := range []int64{-10 * 365 * 24 * hour, -hour, 0, hour, 10 * 365 * 24 * hour} {
		b := written(m, w)
		Resume(&b, Mark{W: w, M: m, Boot: bootA}, Instant{M: m + 10*Second, W: w + step}, bootA)
		if b.End != m+hour || b.Free != m+hour+67*Second {
			t.Errorf("clock stepped by %d s: end %d, free %d, want them unchanged", step/Second, b.End, b.Free)
		}
	}
}

func TestI14RebootUsesTheBetterOfClockAndMark(t *testing.T) {
	const m, w = 100 * Second, 1_700_000_000 * Second
	for _, c := range []struct {
		name       string
		mark, wall int64 // after w
		left       int64 // of the lease
	}{
		{"clock right", 600 * Second, 1200 * Second, hour - 1200*Second},
		{"clock set back: the mark counts", 600 * Second, -24 * hour, hour - 600*Second},
		{"no clock at all (1970): the mark counts", 600 * Second, -w, hour - 600*Second},
		{"clock ahead: over", 600 * Second, 2 * hour, -hour},
		{"clock and mark lost: the length of the lease and its grace", -w, -w, hour + 67*Second},
	} {
		b := written(m, w)
		now := Instant{M: 7 * Second, W: w + c.wall}
		Resume(&b, Mark{W: w + c.mark, M: m + c.mark, Boot: bootA}, now, bootB)
		if got := b.End - now.M; got != c.left {
			t.Errorf("%s: %d s left, want %d", c.name, got/Second, c.left/Second)
		}
		if b.Free-b.End != 67*Second || b.Boot != bootB {
			t.Errorf("%s: grace %d s in boot %v", c.name, (b.Free-b.End)/Second, b.Boot[0])
		}
	}
}

func TestMarkCountsElapsedTimeOnly(t *testing.T) {
	start := StartMark(Mark{}, Instant{M: 10 * Second, W: 1000 * Second}, bootA)
	if got := start.At(70 * Second); got.W != 1060*Second || got.M != 70*Second || got.Boot != bootA {
		t.Errorf("after a minute: %+v", got)
	}
	if got := start.At(9 * Second); got != start {
		t.Errorf("an earlier instant moved the mark: %+v", got)
	}
	// A restart in the same boot with the clock set back by a day: the time since the
	// last mark counts too.
	now := Instant{M: 100 * Second, W: 1000*Second - 24*hour}
	if got := Wall(start.At(70*Second), now, bootA); got != 1090*Second {
		t.Errorf("wall %d s, want 1090", got/Second)
	}
	// Nor does one that was set ahead count within the boot, for the present or for the mark.
	ahead := Instant{M: 100 * Second, W: 1000*Second + 24*hour}
	if got := Wall(start.At(70*Second), ahead, bootA); got != 1090*Second {
		t.Errorf("wall %d s, want 1090", got/Second)
	}
	if got := StartMark(start.At(70*Second), ahead, bootA); got.W != 1090*Second || got.M != ahead.M {
		t.Errorf("after a restart with the clock ahead: %+v", got)
	}
	if got := StartMark(start.At(70*Second), now, bootB); got.W != 1060*Second || got.M != now.M || got.Boot != bootB {
		t.Errorf("after a reboot: %+v", got)
	}
}

func TestI5DeclinedStaysOutAcrossReboot(t *testing.T) {
	const m, w = 100 * Second, 1_700_000_000 * Second
	for _, c := range []struct {
		name string
		wall int64 // after the decline
		left int64
	}{
		{"an hour later", hour, 23 * hour},
		{"a day and an hour later", 25 * hour, -hour},
		{"clock a year behind: all of it once more", -365 * 24 * hour, 24 * hour},
	} {
		b := Binding{
			Addr: 1, State: Declined, Boot: bootA,
			End: m, Free: m + 24*hour, Until: (w + 24*hour) / Second,
		}
		now := Instant{M: 5 * Second, W: w + c.wall}
		Resume(&b, Mark{}, now, bootB)
		if got := b.Free - now.M; got != c.left {
			t.Errorf("%s: out for another %d s, want %d", c.name, got/Second, c.left/Second)
		}
	}
}

// A lease that was shortened holds its address as long as the longer one did, for
// the ACK that arrived may be that one's.
func TestI1ShortenedLeaseStaysHeldAcrossReboot(t *testing.T) {
	const w = 1_700_000_000 * Second
	b := written(0, w)
	b.Lifetime, b.End, b.Until = 60, 60*Second, (w+60*Second)/Second
	Resume(&b, Mark{}, Instant{M: 0, W: w + 600*Second}, bootB)
	if want := hour + 67*Second - 600*Second; b.Free != want || b.End != -540*Second {
		t.Errorf("end %d s, free %d s, want -540 and %d", b.End/Second, b.Free/Second, want/Second)
	}
}

func TestReleasedIsNotHeldAgain(t *testing.T) {
	b := written(0, 1000*Second)
	b.State, b.End, b.Free, b.Until = Released, 10*Second, 10*Second, 1010
	same := b
	Resume(&same, Mark{}, Instant{M: 20 * Second, W: 1020 * Second}, bootA)
	if same.End != b.End || same.Free != b.Free {
		t.Errorf("same boot: end %d, free %d, want both %d", same.End, same.Free, b.End)
	}
	Resume(&b, Mark{}, Instant{M: 0, W: 1020 * Second}, bootB)
	if b.End != -10*Second || b.Free != -10*Second {
		t.Errorf("after a reboot: end %d, free %d, want both 10 s ago", b.End, b.Free)
	}
}

func TestInfiniteLeaseHasNoEnd(t *testing.T) {
	for _, boot := range []BootID{bootA, bootB} {
		b := Binding{Addr: 1, State: Bound, Lifetime: Infinite, Boot: bootA, End: 5, Free: 6, Until: 7}
		Resume(&b, Mark{}, Instant{M: 1, W: 1 << 60}, boot)
		if b.End != Never || b.Free != Never {
			t.Errorf("end %d, free %d", b.End, b.Free)
		}
	}
}

func TestUnreadableBootIDIsNobodys(t *testing.T) {
	const w = 1_700_000_000 * Second
	b := written(0, w)
	b.Boot = BootID{}
	Resume(&b, Mark{}, Instant{M: 0, W: w + 600*Second}, BootID{})
	if b.End != hour-600*Second {
		t.Errorf("end %d s, want 3000: a boot without id must be judged by the wall clock", b.End/Second)
	}
}

func anyInt64() *rapid.Generator[int64] {
	return rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{
		math.MinInt64, math.MinInt64 + 1, -1, 0, 1, 1_700_000_000, 1_700_000_000 * Second, Never - 1, Never,
	}))
}

// Any content gives deadlines that are in order and end: no lease that is not
// infinite can be made one, or be stretched, by what stands in the store.
func TestI16ResumeAcceptsAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		boot := rapid.SampledFrom([]BootID{{}, bootA, bootB})
		b := Binding{
			State:    State(rapid.Uint8().Draw(t, "state")),
			Lifetime: rapid.OneOf(rapid.Uint32(), rapid.Just(Infinite)).Draw(t, "lifetime"),
			Grace:    rapid.Uint32().Draw(t, "grace"),
			Until:    anyInt64().Draw(t, "until"), End: anyInt64().Draw(t, "end"), Free: anyInt64().Draw(t, "free"),
			Boot: boot.Draw(t, "boot"),
		}
		mark := Mark{W: anyInt64().Draw(t, "mark W"), M: anyInt64().Draw(t, "mark M"), Boot: boot.Draw(t, "mark boot")}
		now := Instant{M: rapid.Int64Range(0, 1<<55).Draw(t, "M"), W: anyInt64().Draw(t, "W")}
		self := boot.Draw(t, "this boot")
		was := b
		Resume(&b, mark, now, self)

		switch {
		case b.State < Bound || b.State > Declined:
			t.Fatalf("state %d", b.State)
		case b.Boot != self || b.Until != was.Until || b.Lifetime != was.Lifetime:
			t.Fatalf("%+v became %+v", was, b)
		case b.Free < b.End:
			t.Fatalf("free %d before end %d", b.Free, b.End)
		case b.Lifetime == Infinite && b.State == Bound:
			if b.End != Never || b.Free != Never {
				t.Fatalf("an infinite lease ends at %d", b.End)
			}
			return
		case b.Lifetime == Infinite && b.State == Released:
			return
		}
		most := now.M + (int64(b.Lifetime)+int64(b.Grace))*Second
		if b.State == Declined {
			most = now.M
		}
		if b.End > most {
			t.Fatalf("end %d, later than %d", b.End, most)
		}
		if b.End == Never || b.Free == Never {
			t.Fatalf("a finite lease never ends: %+v", b)
		}
		if b.State == Bound && b.Free < min(b.End+int64(b.Grace)*Second, Never-1) && b.End > 0 {
			t.Fatalf("end %d, free %d with grace %d s", b.End, b.Free, b.Grace)
		}
		again := b
		Resume(&again, mark, now, self)
		if self != (BootID{}) && (again.End != b.End || again.Free != b.Free) {
			t.Fatalf("not idempotent: %d, %d became %d, %d", b.End, b.Free, again.End, again.Free)
		}
	})
}

// A sequence number that is damage leaves room for the changes to come.
func TestResumeBoundsTheRevision(t *testing.T) {
	b := Binding{Addr: 1, State: Bound, Rev: math.MaxUint64}
	if Resume(&b, Mark{}, Instant{}, BootID{1}); b.Rev != maxRev {
		t.Errorf("revision %d, want %d", b.Rev, uint64(maxRev))
	}
}
