package engine

import (
	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/store"
	"lessor/internal/wire"
)

// Bounds of one group (I22). At three quarters of any of them the core is told
// of overload, at the bound itself nothing more is handled until the group under
// way is done.
const (
	maxChanges = 8192
	maxHeld    = 8192
	maxOctets  = 8 << 20
)

// Group is the effects of the inputs between two commits: the changes that one
// commit makes durable, and the replies and events that wait for it.
type Group struct {
	server.Effects
	Results []store.Result // one for each change, for the store to fill
	octets  int            // of replies made since the group was empty, sent ones included
}

func (g *Group) reset() {
	g.Effects.Reset()
	g.octets = 0
}

// Out is what may leave now, in order. The slices belong to the Hold and are
// valid until its next call of Effects, Settle, Next or Done.
type Out struct {
	Replies []server.Reply
	Probes  []wire.ARP
	Echoes  []wire.Echo
	Events  []server.Event
	Since   int64 // when the first of it was decided, CLOCK_BOOTTIME; 0: just now
}

// Undo is what a failure takes back, to be given to Core.Rollback: first
// Gathering, then Failed. The slices are valid as those of Out are.
type Undo struct {
	Gathering []lease.Change
	Failed    []lease.Change
	Replies   int // replies that will never be sent
}

// Hold keeps replies and events back until what they rest on is durable: the
// rule that no ACK leaves before its record is on disk lives here and nowhere
// else. It has at most one group being committed while the next one gathers, so
// that group commit needs no timer. It is pure: no goroutine, no I/O, no clock.
//
// The effects of inputs are appended straight to the gathering group. What may
// leave at once is taken out after each batch (Settle) and sent before the
// next; what must wait stays where it is and is not copied. When a group has been
// answered, its memory serves the group after the next.
type Hold struct {
	groups  [2]Group
	gather  *Group
	flight  *Group // nil: no commit is under way
	durable uint64 // every change up to this revision is durable

	most    groupBounds
	replies int // gather.Replies[:replies] and gather.Events[:events] were found waiting
	events  int
	out     Out
}

// NewHold returns an empty Hold; every change up to revision durable is in the
// store already.
func NewHold(durable uint64) *Hold {
	h := &Hold{durable: durable, most: groupBounds{maxChanges, maxHeld, maxOctets}}
	h.gather = &h.groups[0]
	return h
}

// Effects is where the next inputs append what they ask for, until the next
// Settle.
func (h *Hold) Effects() *server.Effects {
	h.tidy()
	return &h.gather.Effects
}

// tidy gives the memory of the gathering group back when nothing waits in it.
func (h *Hold) tidy() {
	g := h.gather
	if len(g.Changes) == 0 && h.replies == len(g.Replies) && h.replies == 0 &&
		h.events == len(g.Events) && h.events == 0 && len(g.Probes) == 0 && len(g.Echoes) == 0 {
		g.reset()
	}
}

// Settle looks at what was appended since the last call and returns what may
// leave now: replies and events that wait for nothing, and all probes and echo requests.
func (h *Hold) Settle() Out {
	g := h.gather
	h.out.Replies, h.out.Events = h.out.Replies[:0], h.out.Events[:0]
	for i := h.replies; i < len(g.Replies); i++ {
		g.octets += len(g.Replies[i].Data)
	}
	h.release(h.replies, h.events)
	h.out.Probes, g.Probes = g.Probes, g.Probes[:0]
	h.out.Echoes, g.Echoes = g.Echoes, g.Echoes[:0]
	return h.out
}

// release moves what has become true from the gathering group to out, looking
// only at replies and events from the given places on.
func (h *Hold) release(replies, events int) {
	g, keep := h.gather, replies
	for i := replies; i < len(g.Replies); i++ {
		if r := &g.Replies[i]; r.After <= h.durable {
			h.out.Replies = append(h.out.Replies, *r)
		} else {
			if keep != i {
				g.Replies[keep] = *r
			}
			keep++
		}
	}
	g.Replies, h.replies = g.Replies[:keep], keep

	keep = events
	for i := events; i < len(g.Events); i++ {
		if e := &g.Events[i]; e.After <= h.durable {
			h.out.Events = append(h.out.Events, *e)
		} else {
			if keep != i {
				g.Events[keep] = *e
			}
			keep++
		}
	}
	g.Events, h.events = g.Events[:keep], keep
}

// Next hands out the gathered group to be committed, or nil while one is under
// way or there is no change to commit. With force it hands out a group without
// changes too, for a mark. The group belongs to the caller until Done. Settle
// must have been called since the last input.
func (h *Hold) Next(force bool) *Group {
	g := h.gather
	if h.flight != nil || len(g.Changes) == 0 && !force {
		return nil
	}
	if cap(g.Results) < len(g.Changes) {
		g.Results = make([]store.Result, len(g.Changes), 2*len(g.Changes))
	}
	g.Results = g.Results[:len(g.Changes)]
	clear(g.Results)
	h.flight = g
	h.gather = &h.groups[0]
	if h.gather == g {
		h.gather = &h.groups[1]
	}
	h.gather.reset()
	h.replies, h.events = 0, 0
	return g
}

// Done takes the answer to the group that Next handed out; failed says that the
// commit returned an error. On success it returns what has become true, in order:
// that of the group, then that of the gathering one which waited for nothing else.
//
// When the commit failed, or a single change of it did, nothing of the group is
// ever released, nor of the gathering one, which was decided on top of it; undo
// says what memory must take back. ok is false then.
func (h *Hold) Done(failed bool) (out Out, undo Undo, ok bool) {
	g := h.flight
	h.flight = nil
	h.out.Replies, h.out.Events, h.out.Probes, h.out.Echoes = h.out.Replies[:0], h.out.Events[:0], nil, nil
	if failed {
		undo = h.Abandon()
		undo.Replies += len(g.Replies)
		undo.Failed = g.Changes
		return Out{}, undo, false
	}
	h.durable = max(h.durable, g.last())
	ok = true
	for i := range g.Changes {
		ok = ok && g.Results[i].Outcome == store.Durable
	}
	if ok {
		h.out.Replies = append(h.out.Replies, g.Replies...)
		h.out.Events = append(h.out.Events, g.Events...)
		h.release(0, 0)
		return h.out, Undo{}, true
	}
	undo = h.Abandon()
	undo.Replies += len(g.Replies)
	for i := range g.Changes {
		if g.Results[i].Outcome != store.Durable {
			undo.Failed = append(undo.Failed, g.Changes[i])
		}
	}
	return Out{}, undo, false
}

// last is the revision of the group's last change. A change that only compares
// carries none, but the reply that waits for it does, and no reply waits for a
// later one.
func (g *Group) last() (rev uint64) {
	if n := len(g.Changes); n > 0 {
		rev = g.Changes[n-1].After.Rev
	}
	for i := range g.Replies {
		rev = max(rev, g.Replies[i].After)
	}
	return rev
}

// Abandon drops all that the gathering group holds: while the store fails no
// change can be kept. The returned changes are to be taken back.
func (h *Hold) Abandon() (undo Undo) {
	g := h.gather
	undo.Gathering, undo.Replies = g.Changes, len(g.Replies)
	g.Changes, g.Replies, g.Events = g.Changes[:0], g.Replies[:0], g.Events[:0]
	h.replies, h.events = 0, 0
	return undo
}

// Durable is the revision up to which every change is durable.
func (h *Hold) Durable() uint64 { return h.durable }

// Gathering is the number of changes in the gathering group.
func (h *Hold) Gathering() int { return len(h.gather.Changes) }

// Waiting is the number of changes and of replies that wait, in both groups.
func (h *Hold) Waiting() (changes, replies int) {
	changes, replies = len(h.gather.Changes), len(h.gather.Replies)
	if h.flight != nil {
		changes, replies = changes+len(h.flight.Changes), replies+len(h.flight.Replies)
	}
	return changes, replies
}

// Fill says how full the gathering group is, in quarters of its bounds: 0 to 3,
// and 4 when it must take no more.
func (h *Hold) Fill() int {
	g := h.gather
	return min(4, max(len(g.Changes)*4/h.most.changes, len(g.Replies)*4/h.most.replies, g.octets*4/h.most.octets))
}
