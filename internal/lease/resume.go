package lease

import "math"

// At returns the mark as of the later instant m on the clock of its boot. What the
// two clocks gave in between does not matter: only the time that passed on
// CLOCK_BOOTTIME does.
func (k Mark) At(m int64) Mark {
	if m > k.M {
		k.W, k.M = add(k.W, sub(m, k.M)), m
	}
	return k
}

// Wall returns the wall time, in nanoseconds, that deadlines in it are compared
// with at a start. Within the boot of stored that is what stored says and the time that has
// passed on M since: a clock that was set meanwhile, either way, ends no lease and makes no mark
// wrong. In another boot it is what the clock says, but never earlier than what stored
// proves to have passed: a clock that was set back while the server was down gives nobody
// another lease, and one without a battery does not start before the records it
// judges.
func Wall(stored Mark, now Instant, boot BootID) int64 {
	if sameBoot(stored.Boot, boot) {
		return stored.At(now.M).W
	}
	return max(now.W, stored.W)
}

// StartMark returns the mark of a process that starts at now over a store whose
// mark is stored (zero for a new store). From then on the process writes its At. The
// wall clock counts at the first start in a boot alone: one that was set ahead and
// back must not leave a mark behind that ends every lease at the next boot.
func StartMark(stored Mark, now Instant, boot BootID) Mark {
	return Mark{W: Wall(stored, now, boot), M: now.M, Boot: boot}
}

// sameBoot reports whether deadlines of boot a hold in boot b. The zero id is a boot
// that could not be read: it is no other one's, nor its own after a restart.
func sameBoot(a, b BootID) bool { return a == b && a != BootID{} }

// maxRev leaves room for every change that can come after a start: a larger number in
// a store is damage, and would make all later changes look durable.
const maxRev = 1 << 62

// Resume makes the deadlines of a record that was read from a store usable at
// instant now of boot: End, Free and Boot are set, and the state if it has none.
// It accepts any content (I16):
//
//   - Written in this boot: End and Free stand as they are.
//   - Else the end is Until on the wall clock, compared with Wall; a clock that is
//     wrong can stretch what is left to the length of the lease and its grace, no
//     further. Free lies behind End by as much as it did when the record was
//     written.
//   - Of a declined address Until is the wall time of Free, and what is left is at
//     most the probation time, which lies between End and Free (I5).
//   - In both cases no end lies further ahead than the lease and its grace are long,
//     Free is not before End, and for a bound lease at least Grace after it.
//   - A bound lease of infinite length has no end, nor has a released one whose Until
//     is Never.
//   - An unknown state is taken as Bound, which holds the address.
//
// Until is left as it is: it is what people were told.
func Resume(b *Binding, stored Mark, now Instant, boot BootID) {
	if b.State == 0 || b.State > Declined {
		b.State = Bound
	}
	b.Rev = min(b.Rev, maxRev)
	here := sameBoot(b.Boot, boot)
	b.Boot = boot
	if b.Lifetime == Infinite && (b.State == Bound || b.State == Released && b.Until == Never) {
		b.End, b.Free = Never, Never
		return
	}
	grace := int64(b.Grace) * Second
	hold := sub(b.Free, b.End)
	if hold < 0 || b.State == Bound && hold < grace {
		hold = grace
	}
	hold = min(hold, math.MaxUint32*Second)
	if !here {
		left := sub(nanos(b.Until), Wall(stored, now, boot))
		if b.State == Declined {
			left = sub(left, hold)
		}
		b.End = add(now.M, left)
	}
	switch {
	case b.State == Declined:
		b.End = min(b.End, now.M)
	case b.Lifetime != Infinite:
		b.End = min(b.End, add(now.M, int64(b.Lifetime)*Second+grace))
	}
	b.End = min(b.End, Never-1)
	b.Free = add(b.End, hold)
}
