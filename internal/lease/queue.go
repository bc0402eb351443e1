package lease

// queue is a heap of wake times with four children a node, in chunks so that it
// grows without copying. Ties are broken by slot, so that the order is a function of
// what was put in.
type queue struct {
	chunks []*[slabSize]queued
	n      uint32
	pos    []*[slabSize]uint32 // by slot: its place in the heap, for records with inQueue
}

// queued is one entry: 12 octets. Its time is never later than the wake time in
// the record; when it comes up early it goes back with that one.
type queued struct {
	hi   int32
	lo   uint32
	slot Slot
}

func (e queued) at() int64 { return int64(e.hi)<<32 | int64(e.lo) }

func entry(at int64, s Slot) queued { return queued{int32(at >> 32), uint32(at), s} }

func (e queued) before(f queued) bool {
	if e.hi != f.hi {
		return e.hi < f.hi
	}
	if e.lo != f.lo {
		return e.lo < f.lo
	}
	return e.slot < f.slot
}

func (q *queue) get(i uint32) *queued { return &q.chunks[i>>slabBits][i%slabSize] }

func (q *queue) place(s Slot) *uint32 { return &q.pos[s>>slabBits][s%slabSize] }

func (q *queue) set(i uint32, e queued) {
	*q.get(i) = e
	*q.place(e.slot) = i
}

// up puts e at i or above.
func (q *queue) up(i uint32, e queued) {
	for i > 0 {
		parent := (i - 1) / 4
		p := *q.get(parent)
		if !e.before(p) {
			break
		}
		q.set(i, p)
		i = parent
	}
	q.set(i, e)
}

// down puts e at i or below.
func (q *queue) down(i uint32, e queued) {
	for {
		child := 4*i + 1
		if child >= q.n {
			break
		}
		least, at := *q.get(child), child
		for c := child + 1; c < min(child+4, q.n); c++ {
			if f := *q.get(c); f.before(least) {
				least, at = f, c
			}
		}
		if !least.before(e) {
			break
		}
		q.set(i, least)
		i = at
	}
	q.set(i, e)
}

func (q *queue) push(e queued) {
	if int(q.n>>slabBits) == len(q.chunks) {
		q.chunks = append(q.chunks, new([slabSize]queued))
	}
	q.n++
	q.up(q.n-1, e)
}

func (q *queue) remove(i uint32) {
	q.n--
	if i == q.n {
		return
	}
	last := *q.get(q.n)
	if i > 0 && last.before(*q.get((i - 1) / 4)) {
		q.up(i, last)
	} else {
		q.down(i, last)
	}
}

// Wake sets when Due hands the record out next, on CLOCK_BOOTTIME in nanoseconds;
// Never is not at all. Moving it later costs O(1) and touches nothing but the
// record: the queue finds out when the old time comes up.
func (t *Table) Wake(s Slot, at int64) {
	r, q := t.rec(s), &t.queue
	was := r.wake
	r.wake = at
	switch {
	case r.flags&inQueue == 0:
		if at != Never {
			r.flags |= inQueue
			q.push(entry(at, s))
		}
	case at < was: // the entry's own time may be earlier still
		if i := *q.place(s); at < q.get(i).at() {
			q.up(i, entry(at, s))
		}
	}
}

// NextWake returns a time before which Due has nothing to hand out; it can be
// earlier than the first wake time, when that one was moved. ok is false when no
// record is queued.
func (t *Table) NextWake() (at int64, ok bool) {
	if t.queue.n == 0 {
		return 0, false
	}
	return t.queue.get(0).at(), true
}

// Due takes one record whose wake time is at or before now out of the queue and
// returns it, earliest first; ok is false when there is none. The record stays out
// until the next Wake.
func (t *Table) Due(now int64) (s Slot, ok bool) {
	q := &t.queue
	for q.n > 0 {
		top := *q.get(0)
		if top.at() > now {
			break
		}
		r := t.rec(top.slot)
		if r.wake != Never && r.wake > top.at() {
			q.down(0, entry(r.wake, top.slot))
			continue
		}
		wanted := r.wake != Never
		r.wake = Never
		t.unqueue(top.slot, r)
		if wanted {
			return top.slot, true
		}
	}
	return 0, false
}

func (t *Table) unqueue(s Slot, r *Rec) {
	if r.flags&inQueue != 0 {
		r.flags &^= inQueue
		t.queue.remove(*t.queue.place(s))
	}
}
