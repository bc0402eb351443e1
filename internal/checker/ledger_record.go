package checker

import (
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/store"
	"lessor/internal/trace"
)

// record is what is durable of one address.
type record struct {
	addr    dhcp4.Addr
	now     *lease.Binding // the newest durable state; nil: none
	prev    *lease.Binding // the one before, of this process; nil: none
	before  *lease.Binding // what the server believed when it made now; nil: nothing, or it was loaded
	t       int64          // true time at which now became durable, or was loaded
	prevT   int64          // the same of prev
	pol     *policy.Policy // in force when now was written; nil: loaded
	unknown bool           // the outcome of a later change is not known

	overridden bool  // an operator released it, and no change followed that was decided later
	overrideM  int64 // when
	leaving    bool  // its client gives it up, or the operator does: not durable yet
	out        int64 // M until which it must stay out after a DECLINE or a conflict (I5); 0: not out
	wall       int64 // wall clock minus true time, and the boot, when it was taken out
	boot       lease.BootID
}

// record is the account of a; it is made when it is new.
func (s *server) record(a dhcp4.Addr) *record {
	r := s.records[a]
	if r == nil {
		r = &record{addr: a}
		s.records[a] = r
	}
	return r
}

// bound reports whether now is a binding that is not free at m.
func bound(b *lease.Binding, m int64) bool {
	return b != nil && b.State == lease.Bound && m < b.Free
}

// reload begins a new set of records: those of a start.
func (s *server) reload() {
	s.former = s.records
	s.records = map[dhcp4.Addr]*record{}
	s.byKey = map[string][]dhcp4.Addr{}
	s.loading = true
}

// loaded takes records that a starting server read.
func (s *server) loaded(b *trace.Loaded) {
	if !s.loading {
		s.reload()
	}
	for i := range b.Records {
		r := s.record(b.Records[i].Addr)
		r.now, r.t = &b.Records[i], s.l.t
		s.index(r)
	}
}

// index makes r findable by the keys of its client.
func (s *server) index(r *record) {
	add := func(key []byte) {
		list := s.byKey[string(key)]
		if !slices.Contains(list, r.addr) {
			s.byKey[string(key)] = append(list, r.addr)
		}
	}
	if len(r.now.ClientID) >= 2 {
		add(s.idKey(r.now.ClientID))
	}
	if len(r.now.HW) > 0 {
		add(s.hwKey(r.now.HType, r.now.HW))
	}
}

func (s *server) idKey(id []byte) []byte {
	s.keyBuf = append(append(s.keyBuf[:0], 1), id...)
	return s.keyBuf
}

func (s *server) hwKey(htype uint8, hw []byte) []byte {
	s.keyBuf = append(append(s.keyBuf[:0], 0, htype), hw...)
	return s.keyBuf
}

// recordsOf are the addresses whose record carries the key that client k is known by.
// Some of them may have gone to others since.
func (s *server) recordsOf(p *policy.Policy, k ident) []dhcp4.Addr {
	if len(k.id) >= 2 && (p == nil || p.MatchClientID) {
		return s.byKey[string(s.idKey(k.id))]
	}
	if len(k.hw) == 0 {
		return nil
	}
	return s.byKey[string(s.hwKey(k.htype, k.hw))]
}

// carries reports whether b has the key that client k is known by.
func carries(p *policy.Policy, b *lease.Binding, k ident) bool {
	if len(k.id) >= 2 && (p == nil || p.MatchClientID) {
		return string(b.ClientID) == string(k.id)
	}
	return b.HType == k.htype && len(k.hw) > 0 && string(b.HW) == string(k.hw)
}

// committed takes the store's answer to a group.
func (s *server) committed(c *Checker, e *trace.Entry, b *trace.Commit) {
	whole := b.Err == ""
	if whole {
		s.marked = s.boot
	}
	for i := range b.Changes {
		ch := &b.Changes[i]
		ok := whole && (len(b.Results) == 0 || b.Results[i] == store.Durable)
		whole = whole && ok
		if !ok && !ch.CompareOnly {
			r := s.record(ch.After.Addr)
			r.unknown = r.unknown || b.Unknown
		}
	}
	s.settleDoubts(c, b, whole)
	for i := range b.Changes {
		if ch := &b.Changes[i]; !ch.CompareOnly && b.Err == "" && (len(b.Results) == 0 || b.Results[i] == store.Durable) {
			s.changed(c, e, ch)
		}
	}
	s.began = b.Began.M
	if !whole {
		s.failT, s.failed = e.T, true
		s.lose()
	}
}

// changed takes a change that is durable.
func (s *server) changed(c *Checker, e *trace.Entry, ch *lease.Change) {
	r := s.record(ch.After.Addr)
	r.prev, r.prevT, r.before = r.now, r.t, nil
	if ch.Before.Addr != 0 {
		r.before = &ch.Before
	}
	r.now, r.t, r.pol, r.unknown = &ch.After, e.T, s.pol, false
	if ch.After.State == 0 {
		r.now = nil
	} else {
		s.index(r)
	}
	s.offers.end(r.addr)
	for _, rule := range c.rules {
		if w, ok := rule.(changeRule); ok {
			w.change(c, s, r)
		}
	}
	if !r.overridden || s.began >= r.overrideM || r.now == nil || r.now.State != lease.Bound {
		r.overridden, r.leaving = false, false
	}
	if r.now == nil || r.now.State != lease.Bound {
		s.left(r.addr)
	}
}

// changeRule is a rule that looks at each change as it becomes durable, when the record
// has it and the promises and declines are as they were before.
type changeRule interface {
	change(c *Checker, s *server, r *record)
}

// startMark notes what the mark of this process shows.
func (s *server) startMark(e *trace.Entry, b *trace.Started) {
	k := &s.host.clock
	now := lease.Instant{M: s.l.m, W: k.wall(e.T)}
	if e.Now != (lease.Instant{}) {
		now = e.Now
	}
	before := s.present
	s.present = lease.Mark{W: max(now.W, before.W), M: now.M, Boot: b.Boot}
	if before.Boot == b.Boot {
		if before = before.At(now.M); s.marked == b.Boot {
			s.present.W = before.W // a clock that was set within a boot does not count
		} else {
			s.present.W = max(now.W, before.W)
		}
	}
}

// stillOut takes over from the process before until when the declined addresses are out.
// In another boot that follows from the wall clock.
func (s *server) stillOut() {
	s.declined = s.declined[:0]
	for _, r := range s.records { // each by itself; only their number matters
		if r.now == nil || r.now.State != lease.Declined {
			continue
		}
		s.declined = append(s.declined, r)
		old := s.former[r.addr]
		r.out, r.wall, r.boot = r.now.Free, s.present.W-s.l.t, s.boot
		if old == nil || old.out == 0 || old.now == nil || old.now.State != lease.Declined {
			continue
		}
		if s.boot == old.boot || r.wall-old.wall <= second && r.out < old.out-3*second {
			r.out = old.out
		}
		r.wall = old.wall
	}
}
