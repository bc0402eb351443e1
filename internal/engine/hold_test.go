package engine

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/store"
	"lessor/internal/wire"
)

// holdModel is the slow, obvious twin of a Hold: one list of all that waits.
type holdModel struct {
	h       *Hold
	rev     uint64 // of the last change that was made and not taken back
	durable uint64
	serial  uint32
	waiting []waiting // replies and events, in order
	made    []uint64  // revisions of the gathering group
	flight  *Group
	last    uint64 // the last revision of flight, 0 if it has no change
}

type waiting struct {
	serial uint32
	after  uint64
	event  bool
}

func (m *holdModel) input(t *rapid.T) {
	e := m.h.Effects()
	after := uint64(0)
	switch rapid.SampledFrom([]string{"now", "change", "old"}).Draw(t, "rests on") {
	case "change":
		m.rev++
		ch := lease.Change{After: lease.Binding{Addr: dhcp4.Addr(m.rev), Rev: m.rev}}
		if rapid.IntRange(0, 4).Draw(t, "compare") == 0 {
			// A NAK: its change carries no revision, its one reply does.
			m.serial++
			e.Replies = append(e.Replies, server.Reply{Send: wire.Send{Dst: dhcp4.Addr(m.serial), Data: fmt.Appendf(nil, "%d", m.serial)}, After: m.rev})
			m.waiting = append(m.waiting, waiting{m.serial, m.rev, false})
			ch = lease.Change{CompareOnly: true}
		}
		e.Changes = append(e.Changes, ch)
		m.made = append(m.made, m.rev)
		after = m.rev
	case "old":
		after = rapid.Uint64Range(0, m.rev).Draw(t, "revision")
	}
	for range rapid.IntRange(0, 2).Draw(t, "replies") {
		m.serial++
		e.Replies = append(e.Replies, server.Reply{Send: wire.Send{Dst: dhcp4.Addr(m.serial), Data: fmt.Appendf(nil, "%d", m.serial)}, After: after})
		m.waiting = append(m.waiting, waiting{m.serial, after, false})
	}
	for range rapid.IntRange(0, 1).Draw(t, "events") {
		m.serial++
		e.Events = append(e.Events, server.Event{XID: m.serial, After: after})
		m.waiting = append(m.waiting, waiting{m.serial, after, true})
	}
	if rapid.Bool().Draw(t, "probe") {
		m.serial++
		e.Probes = append(e.Probes, wire.ARP{TargetIP: dhcp4.Addr(m.serial)})
	}
}

// look checks that what the Hold let go is exactly what the model says is true.
func (m *holdModel) look(t *rapid.T, out Out) {
	var want [2][]uint32
	m.waiting = slices.DeleteFunc(m.waiting, func(w waiting) bool {
		if w.after > m.durable {
			return false
		}
		kind := 0
		if w.event {
			kind = 1
		}
		want[kind] = append(want[kind], w.serial)
		return true
	})
	var got [2][]uint32
	for _, r := range out.Replies {
		if r.After > m.durable {
			t.Fatalf("reply %d left after revision %d, before revision %d was durable", r.Dst, m.durable, r.After)
		}
		if string(r.Data) != fmt.Sprint(uint32(r.Dst)) {
			t.Fatalf("reply %d carries the bytes of another: %q", r.Dst, r.Data)
		}
		got[0] = append(got[0], uint32(r.Dst))
	}
	for _, e := range out.Events {
		got[1] = append(got[1], e.XID)
	}
	for kind := range got {
		if !slices.Equal(got[kind], want[kind]) {
			t.Fatalf("kind %d: let go %v, want %v (durable %d)", kind, got[kind], want[kind], m.durable)
		}
	}
}

func (m *holdModel) done(t *rapid.T) {
	fail := rapid.SampledFrom([]string{"no", "no", "no", "all", "one"}).Draw(t, "fails")
	for i := range m.flight.Changes {
		m.flight.Results[i].Outcome = store.Durable
	}
	n := len(m.flight.Changes)
	if fail == "one" && n > 0 {
		m.flight.Results[rapid.IntRange(0, n-1).Draw(t, "which")].Outcome = store.Failed
	}
	failed := fail == "all" || fail == "one" && n > 0
	gathering := len(m.h.gather.Changes)
	lost := 0
	out, undo, ok := m.h.Done(fail == "all")
	m.flight = nil
	if ok == failed {
		t.Fatalf("Done says ok=%v for failure %q of %d changes", ok, fail, n)
	}
	if fail != "all" {
		m.durable = max(m.durable, m.last)
	}
	if !failed {
		m.look(t, out)
		return
	}
	if len(out.Replies)+len(out.Events)+len(out.Probes) != 0 {
		t.Fatalf("a failed group released %d replies and %d events", len(out.Replies), len(out.Events))
	}
	if len(undo.Gathering) != gathering {
		t.Fatalf("%d of %d gathering changes are taken back", len(undo.Gathering), gathering)
	}
	if fail == "all" && len(undo.Failed) != n || fail == "one" && len(undo.Failed) != 1 {
		t.Fatalf("failure %q takes back %d of %d changes", fail, len(undo.Failed), n)
	}
	for _, w := range m.waiting {
		if !w.event {
			lost++
		}
	}
	if undo.Replies != lost {
		t.Fatalf("%d replies dropped, want %d", undo.Replies, lost)
	}
	m.waiting, m.made = nil, nil
	m.rev = m.durable // what comes next rests on durable changes or on new ones
}

// TestHoldModel: no reply or event is released before its revision is durable,
// none is lost or sent twice, order is kept, and after a failure nothing that
// rested on the failed group ever leaves (I2, I17).
func TestHoldModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &holdModel{h: NewHold(0)}
		probes := uint32(0)
		t.Repeat(map[string]func(*rapid.T){
			"batch": func(t *rapid.T) {
				before := m.serial
				for range rapid.IntRange(1, 4).Draw(t, "inputs") {
					m.input(t)
				}
				out := m.h.Settle()
				m.look(t, out)
				for _, p := range out.Probes {
					if uint32(p.TargetIP) <= max(before, probes) {
						t.Fatalf("probe %d left twice", p.TargetIP)
					}
					probes = uint32(p.TargetIP)
				}
			},
			"next": func(t *rapid.T) {
				force := rapid.Bool().Draw(t, "force")
				changes := len(m.h.gather.Changes)
				g := m.h.Next(force)
				if (g != nil) != (m.flight == nil && (changes > 0 || force)) {
					t.Fatalf("Next handed out %v with %d changes while committing=%v", g != nil, changes, m.flight != nil)
				}
				if g != nil {
					if len(g.Changes) != changes || len(g.Results) != changes {
						t.Fatalf("a group of %d changes and %d results, want %d", len(g.Changes), len(g.Results), changes)
					}
					m.flight, m.last = g, 0
					if changes > 0 {
						m.last = m.made[changes-1]
					}
					m.made = nil
				}
			},
			"done": func(t *rapid.T) {
				if m.flight != nil {
					m.done(t)
				}
			},
			"": func(t *rapid.T) {
				changes, replies := m.h.Waiting()
				want := 0
				for _, w := range m.waiting {
					if !w.event {
						want++
					}
				}
				if replies != want {
					t.Fatalf("%d replies wait, want %d (%d changes)", replies, want, changes)
				}
			},
		})
	})
}

// TestHoldFill: the bounds are felt in quarters and reset with the group.
func TestHoldFill(t *testing.T) {
	h := NewHold(0)
	for i := range maxHeld {
		if want := i * 4 / maxHeld; h.Fill() != want {
			t.Fatalf("with %d replies held Fill is %d, want %d", i, h.Fill(), want)
		}
		e := h.Effects()
		if i == 0 {
			e.Changes = append(e.Changes, lease.Change{After: lease.Binding{Rev: 1}})
		}
		e.Replies = append(e.Replies, server.Reply{After: 1})
		h.Settle()
	}
	if h.Fill() != 4 {
		t.Fatalf("full Hold has Fill %d", h.Fill())
	}
	g := h.Next(false)
	g.Results[0].Outcome = store.Durable
	if h.Fill() != 0 {
		t.Fatalf("new gathering group has Fill %d", h.Fill())
	}
	out, _, ok := h.Done(false)
	if !ok || len(out.Replies) != maxHeld {
		t.Fatalf("ok=%v, %d replies released", ok, len(out.Replies))
	}
}

// TestRareHold: the bounds of a group are felt where a simulated run puts them.
func TestRareHold(t *testing.T) {
	for _, r := range []Rare{{Changes: 2}, {Replies: 2}, {Octets: 200}} {
		h := NewHold(0)
		h.setRare(r)
		for i, want := range []int{2, 4} {
			e := h.Effects()
			e.Changes = append(e.Changes, lease.Change{After: lease.Binding{Rev: uint64(i + 1)}})
			e.Replies = append(e.Replies, server.Reply{After: uint64(i + 1), Send: wire.Send{Data: make([]byte, 100)}})
			if h.Settle(); h.Fill() != want {
				t.Errorf("%+v: Fill is %d with %d of 2, want %d", r, h.Fill(), i+1, want)
			}
		}
	}
}

// TestHoldSentOctets: messages that leave at once still use memory of the group
// while something waits in it, so they count.
func TestHoldSentOctets(t *testing.T) {
	h := NewHold(0)
	data := make([]byte, 1024)
	h.Effects().Changes = append(h.Effects().Changes, lease.Change{After: lease.Binding{Rev: 1}})
	for range maxOctets / 1024 {
		e := h.Effects()
		e.Replies = append(e.Replies, server.Reply{Send: wire.Send{Data: data}})
		h.Settle()
	}
	if h.Fill() != 4 {
		t.Fatalf("Fill is %d after %d octets sent beside a waiting change", h.Fill(), maxOctets)
	}
}

// TestHoldAllocations: a steady state of batches and commits allocates nothing.
func TestHoldAllocations(t *testing.T) {
	h := NewHold(0)
	rev := uint64(0)
	data := make([]byte, 300)
	round := func() {
		for range 8 {
			e := h.Effects()
			for range 16 {
				rev++
				e.Changes = append(e.Changes, lease.Change{After: lease.Binding{Rev: rev}})
				e.Replies = append(e.Replies, server.Reply{Send: wire.Send{Data: data}, After: rev}, server.Reply{Send: wire.Send{Data: data}})
				e.Events = append(e.Events, server.Event{After: rev})
			}
			h.Settle()
			if h.flight != nil {
				for i := range h.flight.Results {
					h.flight.Results[i].Outcome = store.Durable
				}
				h.Done(false)
			}
			h.Next(false)
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Fatalf("%v allocations in a steady state", n)
	}
}
