package checker

import (
	"testing"

	"lessor/internal/lease"
	"lessor/internal/trace"
)

// reread changes what the start under way reads, before it is said to have started.
func (b *history) reread(edit func(all []lease.Binding) []lease.Binding) {
	l := b.loaded()
	l.Records = edit(l.Records)
	for i := range b.entries {
		if s, ok := b.entries[i].Body.(*trace.Started); ok && i > 5 {
			s.Records = len(l.Records)
		}
	}
}

// TestI16Recovery: a start reads everything that is durable and nothing that nobody asked
// for, or it is careful.
func TestI16Recovery(t *testing.T) {
	one, two := who{hw: 1}, who{hw: 2}
	none := func([]lease.Binding) []lease.Binding { return nil }
	first := func(edit func(r *lease.Binding)) func([]lease.Binding) []lease.Binding {
		return func(all []lease.Binding) []lease.Binding { edit(&all[0]); return all }
	}
	extra := func(rev uint64) func([]lease.Binding) []lease.Binding {
		return func(all []lease.Binding) []lease.Binding {
			r := all[0]
			r.Addr, r.Rev, r.HW = r.Addr+2, rev, []byte{2, 0, 0x5e, 0x10, 0, 9}
			return append(all, r)
		}
	}
	for _, c := range []struct {
		name    string
		careful bool
		edit    func([]lease.Binding) []lease.Binding
		rules   []string
	}{
		{"all of it", false, func(all []lease.Binding) []lease.Binding { return all }, nil},
		{"silently empty", false, none, []string{"I16"}},
		{"empty and careful", true, none, nil},
		{"one is missing", false, func(all []lease.Binding) []lease.Binding { return all[1:] }, []string{"I16"}},
		{"an older state", false, first(func(r *lease.Binding) { r.Rev-- }), []string{"I16"}},
		{"another client", false, first(func(r *lease.Binding) { r.HW = []byte{2, 0, 0x5e, 0x10, 0, 7} }), []string{"I16"}},
		{"a record that nobody asked for", false, extra(3), []string{"I16"}},
		{"a record of the group that was under way", false, extra(4), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHistory(t, "")
			b.grant(one, "198.18.0.100", 600)
			b.grant(two, "198.18.0.101", 600)
			b.bound(b.renew(one, "198.18.0.100"), "198.18.0.100", 600)
			b.add(&trace.Ended{})
			b.start(&trace.Started{Boot: b.hosts["s1"].clock.boot, Careful: c.careful})
			b.reread(c.edit)
			b.breaks(c.rules...)
		})
	}
}

// TestI16AfterAFailure: what a failed commit was to write may come back with a crash, until
// a fresh store was written, and a server that ended in order leaves nothing unsaid.
func TestI16AfterAFailure(t *testing.T) {
	k, a := who{hw: 1}, "198.18.0.100"
	for _, healed := range []bool{false, true} {
		b := newHistory(t, "")
		b.grant(k, a, 600)
		b.pass(10)
		ch := b.bind(b.renew(k, a), a, 600)
		b.failCommit(ch)
		if healed {
			b.add(&trace.StoreState{})
		}
		b.add(&trace.Ended{Clean: healed})
		b.hosts["s1"].records[addrOf(a)] = ch.After
		b.start(&trace.Started{Boot: b.hosts["s1"].clock.boot})
		if healed {
			b.breaks("I16")
		} else {
			b.holds()
		}
	}
}

// TestI17Replies: while the store fails, holders get what is left and nobody else gets
// anything.
func TestI17Replies(t *testing.T) {
	one, two := who{hw: 1}, who{hw: 2}
	for _, c := range []struct {
		name  string
		do    func(b *history)
		rules []string
	}{
		{"an ACK of what is left", func(b *history) { b.ack(b.renew(one, "198.18.0.100"), "198.18.0.100", 589) }, nil},
		{"an OFFER of what is left", func(b *history) { b.offer(b.discover(one), "198.18.0.100", 589) }, nil},
		{"an OFFER of more", func(b *history) { b.offer(b.discover(one), "198.18.0.100", 600) }, []string{"I17"}},
		{"an OFFER to a new client", func(b *history) { b.offer(b.discover(two), "198.18.0.101", 600) }, []string{"I17"}},
		{"a NAK", func(b *history) { b.nak(b.initReboot(two, "203.0.113.5")) }, []string{"I17"}},
		{"a NAK after it was mended", func(b *history) {
			b.add(&trace.StoreState{})
			b.nak(b.initReboot(two, "203.0.113.5"))
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHistory(t, "")
			b.grant(one, "198.18.0.100", 600)
			b.pass(10)
			b.failCommit()
			b.pass(0.02)
			c.do(b)
			b.add(&trace.StoreState{})
			b.breaks(c.rules...)
		})
	}
}

// TestI17Times: the alarm within a second, service within ten of the disk's return, by a
// fresh store.
func TestI17Times(t *testing.T) {
	silent := func(b *history, s float64) {
		b.failCommit()
		said := b.entries[len(b.entries)-1]
		b.entries = b.entries[:len(b.entries)-1]
		b.T = said.T
		b.pass(s)
		b.add(said.Body)
		b.add(&trace.StoreState{})
	}
	back := func(b *history, s float64) {
		b.add(&trace.Disk{Broken: true})
		b.failCommit()
		b.pass(60)
		b.add(&trace.Disk{})
		b.pass(s)
		b.add(&trace.StoreState{})
	}
	for _, c := range []struct {
		name  string
		do    func(b *history)
		rules []string
	}{
		{"said after 0.99 s", func(b *history) { silent(b, 0.99) }, nil},
		{"said after 1.1 s", func(b *history) { silent(b, 1.1) }, []string{"I17"}},
		{"whole after 9.9 s", func(b *history) { back(b, 9.9) }, nil},
		{"whole after 10.1 s", func(b *history) { back(b, 10.1) }, []string{"I17"}},
		{"whole 10.1 s after, of which it slept 5", func(b *history) {
			b.add(&trace.Disk{Broken: true})
			b.failCommit()
			b.add(&trace.Disk{})
			b.pass(5)
			b.clockEntry()
			b.pass(5.1)
			b.add(&trace.StoreState{})
		}, nil},
		{"the sync is repeated", func(b *history) {
			b.failCommit()
			b.commit()
			b.add(&trace.StoreState{})
		}, []string{"I17"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHistory(t, "")
			b.grant(who{hw: 1}, "198.18.0.100", 600)
			c.do(b)
			b.breaks(c.rules...)
		})
	}
}

// TestI22Bounds: what a look at the server counts stays within what is stated.
func TestI22Bounds(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(n *trace.Counts, by int)
	}{
		{"checks", func(n *trace.Counts, by int) { n.Checks = mostChecks + mostPassed + by }},
		{"changes", func(n *trace.Counts, by int) { n.Changes = mostWaiting + by }},
		{"replies", func(n *trace.Counts, by int) { n.Replies = mostWaiting + by }},
		{"queue", func(n *trace.Counts, by int) { n.Queued = mostQueued + by }},
		{"records", func(n *trace.Counts, by int) { n.Bindings = 4 + by }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHistory(t, "")
			b.counts(func(n *trace.Counts) { c.edit(n, 1) })
			b.breaks("I22")
			b = newHistory(t, "")
			b.counts(func(n *trace.Counts) { c.edit(n, 0) })
			b.holds()
		})
	}
	b := newHistory(t, "")
	b.counts(func(n *trace.Counts) { n.Offers, n.Past = mostOffers, 1 })
	b.breaks("I22")
}

// TestI22SmallBounds: where a run makes bounds smaller, these are what counts.
func TestI22SmallBounds(t *testing.T) {
	c := New()
	see := func(body trace.Body) { c.Entry(&trace.Entry{Host: "s1", Body: body}) }
	see(&trace.Started{Records: 4, Bounds: trace.Bounds{Offers: 3, Checks: 5, Passed: 1, Changes: 2}})
	see(&trace.Counts{Past: 3, Checks: 6, Changes: 2 * (2 + 2*4 + 8), Replies: mostWaiting})
	if b := c.Breaches(); len(b) > 0 {
		t.Fatal(b)
	}
	for _, n := range []trace.Counts{{Past: 4}, {Checks: 7}, {Changes: 2*(2+2*4+8) + 1}, {Replies: mostWaiting + 1}} {
		before := len(c.Breaches())
		see(&n)
		if b := c.Breaches()[before:]; len(b) != 1 || b[0].Rule != "I22" {
			t.Errorf("%+v: %v", n, b)
		}
	}
}
