package checker

import (
	"bytes"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/trace"
)

// recovery holds I16, and what I14 says of the time while a server is down. It keeps what
// each store has said is durable, and what it was asked to keep besides, and holds what
// a starting server reads against that. The first start that a trace shows is believed.
type recovery struct{ hosts map[string]*disk }

// disk is the account of one store.
type disk struct {
	records map[dhcp4.Addr]*kept
	newest  uint64 // revision of the newest change that was answered, or read
	begun   bool   // a start was seen
	running bool
	clean   bool // how the last process ended
	boot    lease.BootID

	durable  lease.Mark // the newest that is durable
	latest   lease.Mark // the newest that can be
	vague    bool       // how far the mark of the last process can have come is not known
	reading  bool
	read     int       // of the records that should be there
	problems []problem // of the records read so far
}

// problem is what is wrong with a record, unless the start is careful.
type problem struct {
	rule, what string
	addr       dhcp4.Addr
	a, b       int64
}

// kept is one address in a store.
type kept struct {
	addr   dhcp4.Addr
	state  *lease.Binding   // durable, as it was written; nil: none
	vague  bool             // in which boot state was written is not known
	loaded *lease.Binding   // what the running process read of it; nil: it was written since
	tries  []*lease.Binding // asked for and not durable: a crash may bring the last ones back
	seen   bool             // read by the start under way
}

func newRecovery() *recovery { return &recovery{hosts: map[string]*disk{}} }

func (r *recovery) entry(c *Checker, e *trace.Entry) {
	d := r.hosts[e.Host]
	if d == nil {
		switch e.Body.(type) {
		case *trace.Started, *trace.Loaded:
			d = &disk{records: map[dhcp4.Addr]*kept{}}
			r.hosts[e.Host] = d
		default:
			return
		}
	}
	switch b := e.Body.(type) {
	case *trace.Commit:
		d.commit(b)
	case *trace.StoreState:
		if !b.Failing {
			d.rewritten()
		}
	case *trace.Ended:
		d.running, d.clean = false, b.Clean
		d.latest = later(d.latest, d.latest.At(c.ledger.m))
	case *trace.Loaded:
		d.load(c, e, b)
	case *trace.Started:
		d.started(c, e, b)
	}
}

func (r *recovery) end(*Checker) {}

// later is the mark that shows more.
func later(a, b lease.Mark) lease.Mark {
	if b.W > a.W {
		return b
	}
	return a
}

// commit takes what became durable, and what may have.
func (d *disk) commit(b *trace.Commit) {
	if b.Mark != (lease.Mark{}) {
		d.latest = later(d.latest, b.Mark)
		if b.Err == "" {
			d.durable = later(d.durable, b.Mark)
		}
	}
	for i := range b.Changes {
		ch := &b.Changes[i]
		if ch.CompareOnly {
			continue
		}
		k := d.of(ch.After.Addr)
		d.newest = max(d.newest, ch.After.Rev)
		if b.Err != "" || len(b.Results) > i && b.Results[i] != store.Durable {
			k.tries = append(k.tries, &ch.After)
			continue
		}
		k.state, k.loaded, k.vague, k.tries = &ch.After, nil, false, nil
		if ch.After.State == 0 {
			k.state = nil
		}
	}
}

func (d *disk) of(a dhcp4.Addr) *kept {
	k := d.records[a]
	if k == nil {
		k = &kept{addr: a}
		d.records[a] = k
	}
	return k
}

// rewritten: a fresh store was made of what the process has in memory, in its boot.
func (d *disk) rewritten() {
	for _, k := range d.records { // each by itself: the order does not matter
		k.tries = nil
		if k.loaded != nil {
			k.state, k.vague = k.loaded, false
		}
	}
}

// load takes a part of what a start reads.
func (d *disk) load(c *Checker, e *trace.Entry, b *trace.Loaded) {
	d.begin(c)
	now := e.Now
	if now == (lease.Instant{}) {
		now = lease.Instant{M: c.ledger.m, W: c.ledger.host.clock.wall(e.T)}
	}
	for i := range b.Records {
		got := &b.Records[i]
		if got.Boot == (lease.BootID{}) { // deadlines are always those of the boot that reads
			here := *got
			here.Boot = c.ledger.host.clock.boot
			got = &here
		}
		d.take(got, now)
	}
}

// begin is the first entry of a start.
func (d *disk) begin(c *Checker) {
	if d.reading {
		return
	}
	if d.running { // it ended without saying so, and when is not known
		d.running, d.clean = false, false
		d.vague = c.ledger.host.clock.boot != d.boot
		if !d.vague {
			d.latest = later(d.latest, d.latest.At(c.ledger.m))
		}
	}
	d.reading, d.read, d.problems = true, 0, d.problems[:0]
	for _, k := range d.records { // each by itself: the order does not matter
		k.seen = false
	}
}

func (d *disk) wrong(rule, what string, addr dhcp4.Addr, a, b int64) {
	if len(d.problems) < 10 {
		d.problems = append(d.problems, problem{rule, what, addr, a, b})
	}
}

// take holds one record that is read against the account.
func (d *disk) take(got *lease.Binding, now lease.Instant) {
	k := d.of(got.Addr)
	if k.state != nil && !k.seen {
		d.read++
	}
	k.seen = true
	switch try := k.try(got); {
	case !d.begun:
		k.state, k.vague = got, true
	case k.state != nil && got.Rev == k.state.Rev && alike(got, k.state):
		d.deadline(k, got, now)
	case try != nil:
		k.state, k.vague = try, false
		d.deadline(k, got, now)
	case k.state != nil && got.Rev < k.state.Rev:
		d.wrong("I16", "is older than what is durable, revision %d for %d", got.Addr, int64(got.Rev), int64(k.state.Rev))
		k.state, k.vague = got, true
	case got.Rev > d.newest && !d.clean:
		k.state, k.vague = got, true // of the group that was under way
	default:
		d.wrong("I16", "is not as it was ever asked for, revision %d, the newest is %d", got.Addr, int64(got.Rev), int64(d.newest))
		k.state, k.vague = got, true
	}
	k.loaded = got
}

// try is the change that was asked for and that got is, or nil.
func (k *kept) try(got *lease.Binding) *lease.Binding {
	for i := len(k.tries) - 1; i >= 0; i-- {
		if t := k.tries[i]; t.Rev == got.Rev && alike(t, got) && (k.state == nil || t.Rev >= k.state.Rev) {
			return t
		}
	}
	return nil
}

// alike reports whether two bindings are the same but for the deadlines, which a start
// makes anew.
func alike(a, b *lease.Binding) bool {
	return a.State == b.State && a.HType == b.HType && a.Lifetime == b.Lifetime && a.Grace == b.Grace && a.Until == b.Until &&
		bytes.Equal(a.HW, b.HW) && bytes.Equal(a.ClientID, b.ClientID)
}

// deadline holds that no step of the wall clock while the server was down ended a binding
// before its stored end, or gave it more (I14).
func (d *disk) deadline(k *kept, got *lease.Binding, now lease.Instant) {
	was := k.state
	if k.vague || was.State != lease.Bound {
		return
	}
	if was.Lifetime == lease.Infinite || was.End == lease.Never {
		if was.Lifetime == lease.Infinite && got.End != lease.Never {
			d.wrong("I14", "has an end at a start, %d, and had none, %d", got.Addr, got.End, was.End)
		}
		return
	}
	if was.Boot == got.Boot && was.Boot != (lease.BootID{}) {
		if got.End < was.End-second || got.End > was.End+second {
			d.wrong("I14", "ends at %d after a start in the same boot, at %d before", got.Addr, got.End, was.End)
		}
		return
	}
	most := (int64(was.Lifetime) + int64(was.Grace)) * second
	left := func(mark lease.Mark) int64 { return min(was.Until*second-d.present(mark, now, got.Boot), most) }
	const loading = 2 * second // the clock was read before the records were
	if l := k.loaded; l != nil && l.Boot == got.Boot && l.End-second <= got.End && got.End <= l.End+second {
		return // a fresh store was written, and the process ended before it could say so
	}
	if least := now.M + left(d.latest) - loading; got.End < least && !d.vague {
		d.wrong("I14", "ends at %d after a start, its stored end is at %d or later", got.Addr, got.End, least)
	}
	if last := now.M + left(d.durable) + loading; got.End > last {
		d.wrong("I14", "ends at %d after a start, its stored end is at %d or sooner", got.Addr, got.End, last)
	}
}

// present is the wall time of a start: within the boot of a durable mark that mark and the time
// since, else the wall clock or mark, whichever shows more.
func (d *disk) present(mark lease.Mark, now lease.Instant, boot lease.BootID) int64 {
	if d.durable.Boot == boot {
		return d.durable.At(now.M).W
	}
	if mark.Boot == boot {
		mark = mark.At(now.M)
	}
	return max(now.W, mark.W)
}

// started holds what the start has read, all of it.
func (d *disk) started(c *Checker, e *trace.Entry, b *trace.Started) {
	d.begin(c)
	d.reading = false
	careful := b.Careful || !d.begun && !b.Fresh
	if !careful {
		d.missing(c)
	}
	for _, p := range d.problems {
		if !careful {
			c.breach(p.rule, "the record of %s "+p.what, p.addr, p.a, p.b)
		}
	}
	if b.Fresh && b.Records > 0 {
		c.breach("I16", "a first start reads %d records", b.Records)
	}
	d.newest = 0
	for a, k := range d.records { // each by itself: the order does not matter
		if !k.seen {
			delete(d.records, a)
			continue
		}
		k.tries = nil
		d.newest = max(d.newest, k.state.Rev)
	}
	now := e.Now
	if now == (lease.Instant{}) {
		now = lease.Instant{M: c.ledger.m, W: c.ledger.host.clock.wall(e.T)}
	}
	d.latest = lease.Mark{W: d.present(d.latest, now, b.Boot), M: now.M, Boot: b.Boot}
	d.begun, d.running, d.clean, d.vague, d.boot = true, true, false, false, b.Boot
}

// missing reports durable records that the start did not read.
func (d *disk) missing(c *Checker) {
	n := 0
	for _, k := range d.records { // counting: the order does not matter
		if k.state != nil {
			n++
		}
	}
	if n -= d.read; n <= 0 {
		return
	}
	var lost []dhcp4.Addr
	for a, k := range d.records {
		if k.state != nil && !k.seen {
			lost = append(lost, a)
		}
	}
	slices.Sort(lost)
	if len(lost) > 0 {
		c.breach("I16", "%d durable records are gone after a start that is not careful, of %s first", len(lost), lost[0])
	}
}
