package checker

import (
	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/trace"
)

// change is the step of address a to what edit makes of its record.
func (b *history) change(a string, edit func(r *lease.Binding)) lease.Change {
	h := b.hosts[b.host]
	before := h.records[addrOf(a)]
	after := before
	after.Addr, after.Boot = addrOf(a), h.clock.boot
	edit(&after)
	h.rev++
	after.Rev = h.rev
	h.records[after.Addr] = after
	return lease.Change{Before: before, After: after}
}

// bind is the change that answers q: a lease of a.
func (b *history) bind(q *said, a string, lifetime uint32) lease.Change {
	h := b.hosts[b.host]
	return b.change(a, func(r *lease.Binding) {
		mac := q.k.mac()
		free := r.Free
		was := r.State == lease.Bound && string(r.HW) == string(mac[:])
		r.State, r.HType, r.HW, r.ClientID = lease.Bound, 1, mac[:], nil
		if len(q.k.rawID()) >= 2 {
			r.ClientID = q.k.rawID()
		}
		if q.h.GIAddr != 0 || q.h.CIAddr == 0 { // a renewal past the agent changes nothing
			r.GIAddr, r.Agent = q.h.GIAddr, q.agent
		}
		r.Lifetime, r.Grace = lifetime, grace(h.pol, lifetime)
		r.Start, r.Renewed = lease.FloorSeconds(q.w), lease.FloorSeconds(q.w)
		r.Until = lease.CeilSeconds(lease.After(q.w, lifetime))
		r.End, r.Free = lease.Deadlines(q.m, lifetime, r.Grace)
		if was && free != lease.Never {
			r.Free = max(r.Free, free)
		}
	})
}

// free is the change that gives a back, out the one that takes it out for the probation
// time.
func (b *history) free(a string) lease.Change {
	now := b.now()
	return b.change(a, func(r *lease.Binding) {
		r.State, r.End, r.Free, r.Until, r.Grace = lease.Released, now.M, now.M, lease.FloorSeconds(now.W), 0
	})
}

func (b *history) out(a string) lease.Change {
	now, probation := b.now(), b.hosts[b.host].pol.Probation
	return b.change(a, func(r *lease.Binding) {
		r.State, r.End, r.Free = lease.Declined, now.M, now.M+probation
		r.Until = lease.FloorSeconds(now.W) + probation/second
	})
}

// commit makes changes durable; without any it writes the mark alone.
func (b *history) commit(changes ...lease.Change) {
	h := b.hosts[b.host]
	k := &trace.Commit{Began: b.now(), Mark: h.mark.At(b.now().M), Changes: changes}
	h.mark = k.Mark
	for range changes {
		k.Results = append(k.Results, store.Durable)
	}
	b.pass(0.001)
	b.add(k)
}

// failCommit is the commit of changes that fails.
func (b *history) failCommit(changes ...lease.Change) {
	for _, ch := range changes {
		b.hosts[b.host].records[ch.After.Addr] = ch.Before
	}
	k := &trace.Commit{Began: b.now(), Changes: changes, Results: make([]store.Outcome, len(changes)), Err: "input/output error"}
	for i := range k.Results {
		k.Results[i] = store.Failed
	}
	b.pass(0.001)
	b.add(k)
	b.add(&trace.StoreState{Failing: true, Why: k.Err})
	b.hosts[b.host].failing = true
}

// bound is the whole REQUEST of a known offer: received, durable, acknowledged.
func (b *history) bound(q *said, a string, lifetime uint32) *said {
	b.commit(b.bind(q, a, lifetime))
	b.ack(q, a, lifetime)
	return q
}
