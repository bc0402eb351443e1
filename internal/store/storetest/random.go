package storetest

import (
	"bytes"
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
)

// model is a store in the most obvious form: all that was ever true, in lists.
type model struct {
	records map[dhcp4.Addr]lease.Binding
	ended   []store.Possession
	mark    lease.Mark
	rev     uint64
}

func (m *model) change(b, a lease.Binding, now int64) {
	goesOn := a.State == lease.Bound && b.Start == a.Start && b.HType == a.HType &&
		bytes.Equal(b.HW, a.HW) && bytes.Equal(b.ClientID, a.ClientID)
	if b.State == lease.Bound && !goesOn {
		until := b.Until
		if b.Lifetime == lease.Infinite || now < until {
			until = now
		}
		p := possessionOf(b, max(until, b.Start), false)
		if a.State != lease.Bound && a.State != 0 {
			p = givenBack(p)
		}
		m.ended = append(m.ended, p)
	}
	if a.State == 0 {
		delete(m.records, b.Addr)
	} else {
		m.records[a.Addr] = Copy(&a)
	}
}

func (m *model) sorted() []lease.Binding {
	var out []lease.Binding
	for _, b := range m.records {
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b lease.Binding) int { return cmp.Compare(a.Addr, b.Addr) })
	return out
}

func (m *model) history(match func(*store.Possession) bool) []store.Possession {
	out := slices.Clone(m.ended)
	for _, b := range m.records {
		if b.State == lease.Bound {
			out = append(out, possessionOf(b, b.Until, b.Lifetime == lease.Infinite))
		}
	}
	out = slices.DeleteFunc(out, func(p store.Possession) bool { return !match(&p) })
	canonical(out)
	return out
}

// canonical puts possessions that begin at the same time, whose order the interface
// leaves open, into one.
func canonical(ps []store.Possession) {
	slices.SortFunc(ps, func(a, b store.Possession) int {
		return cmp.Or(cmp.Compare(b.From, a.From), cmp.Compare(a.Addr, b.Addr), cmp.Compare(a.Until, b.Until),
			cmp.Compare(a.HType, b.HType), bytes.Compare(a.HW, b.HW), bytes.Compare(a.ClientID, b.ClientID),
			bytes.Compare(a.Hostname, b.Hostname), bytes.Compare(a.Agent, b.Agent), cmp.Compare(a.GIAddr, b.GIAddr), cmp.Compare(a.Free, b.Free))
	})
}

var (
	someHW    = [][]byte{nil, {2, 0, 0x5e, 0, 0, 1}, {2, 0, 0x5e, 0, 0, 2}, bytes.Repeat([]byte{0xff}, 16)}
	someID    = [][]byte{nil, {1, 2}, {1, 2, 3}, bytes.Repeat([]byte{0xff}, 255)}
	someState = []lease.State{0, lease.Bound, lease.Bound, lease.Bound, lease.Released, lease.Declined}
)

// draw makes the next state of an address, of few clients and few times, so that
// they meet often.
func (m *model) draw(t *rapid.T, before lease.Binding, a dhcp4.Addr, now int64) lease.Binding {
	if before.State == lease.Bound && rapid.Bool().Draw(t, "renewal") {
		b := Copy(&before)
		m.rev++
		b.Rev, b.Renewed, b.Until = m.rev, now, now+int64(rapid.IntRange(1, 50).Draw(t, "for"))
		return b
	}
	s := rapid.SampledFrom(someState).Draw(t, "state")
	if s == 0 {
		return lease.Binding{}
	}
	m.rev++
	b := lease.Binding{
		Addr: a, State: s, HType: uint8(rapid.IntRange(0, 1).Draw(t, "htype")),
		HW:       rapid.SampledFrom(someHW).Draw(t, "hw"),
		ClientID: rapid.SampledFrom(someID).Draw(t, "id"),
		Hostname: rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "host"),
		Agent:    rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "agent"),
		GIAddr:   dhcp4.Addr(rapid.Uint32().Draw(t, "giaddr")),
		Lifetime: rapid.SampledFrom([]uint32{10, lease.Infinite}).Draw(t, "lifetime"),
		Start:    now - int64(rapid.IntRange(0, 3).Draw(t, "ago")),
		Until:    now + int64(rapid.IntRange(0, 50).Draw(t, "for")),
		End:      rapid.Int64().Draw(t, "end"), Free: rapid.Int64().Draw(t, "free"),
		Rev: m.rev,
	}
	return Copy(&b)
}

// testRandom does the same random things to the store and to the model.
func testRandom(t *testing.T, f Factory) {
	rapid.Check(t, func(rt *rapid.T) {
		c := &session{t: t, f: f, s: f.New(t), now: T0}
		defer func() {
			if err := c.s.Close(); err != nil {
				rt.Errorf("Close: %v", err)
			}
		}()
		m := &model{records: make(map[dhcp4.Addr]lease.Binding)}
		rt.Repeat(map[string]func(*rapid.T){
			"commit": func(rt *rapid.T) { m.commit(rt, c) },
			"wait":   func(rt *rapid.T) { c.now += int64(rapid.IntRange(-5, 40).Draw(rt, "seconds")) },
			"restart": func(rt *rapid.T) {
				if rapid.IntRange(0, 9).Draw(rt, "really") == 0 {
					c.reopen()
				}
			},
			"recreate": func(rt *rapid.T) {
				if rapid.IntRange(0, 9).Draw(rt, "really") == 0 {
					c.recreate(c.now, m.sorted())
					m.mark = MarkAt(c.now)
				}
			},
			"": func(rt *rapid.T) { m.check(rt, c) },
		})
	})
}

func (m *model) commit(rt *rapid.T, c *session) {
	var cs []lease.Change
	n := rapid.IntRange(0, 4).Draw(rt, "changes")
	for range n {
		a := Net(rapid.IntRange(1, 5).Draw(rt, "address"))
		before := m.records[a]
		if rapid.IntRange(0, 9).Draw(rt, "compare") == 0 {
			cs = append(cs, lease.Change{CompareOnly: true, Before: before})
			continue
		}
		after := m.draw(rt, before, a, c.now)
		if after.State == 0 && before.Addr == 0 {
			continue
		}
		cs = append(cs, lease.Change{Before: before, After: after})
		m.change(before, after, c.now)
	}
	c.commit(cs...)
	if len(cs) == 0 || slices.ContainsFunc(cs, func(ch lease.Change) bool { return !ch.CompareOnly }) {
		m.mark = MarkAt(c.now)
	}
}

func (m *model) check(rt *rapid.T, c *session) {
	if d := diff(m.sorted(), c.load(nil)); d != "" {
		rt.Fatalf("records (-model +store):\n%s", d)
	}
	a := Net(rapid.IntRange(1, 5).Draw(rt, "address"))
	got := c.byAddr(a)
	canonical(got)
	if d := diff(m.history(func(p *store.Possession) bool { return p.Addr == a }), got); d != "" {
		rt.Fatalf("history of %v (-model +store):\n%s", a, d)
	}
	hw, id := rapid.SampledFrom(someHW).Draw(rt, "hw"), rapid.SampledFrom(someID).Draw(rt, "id")
	got = c.byClient(hw, id)
	canonical(got)
	want := m.history(func(p *store.Possession) bool {
		return len(hw) > 0 && bytes.Equal(p.HW, hw) || len(id) > 0 && bytes.Equal(p.ClientID, id)
	})
	if d := diff(want, got); d != "" {
		rt.Fatalf("history of client %x %x (-model +store):\n%s", hw, id, d)
	}
	if mark := c.s.Mark(); mark != m.mark && mark.W < m.mark.W-int64(time.Minute) {
		rt.Fatalf("mark %+v, want %+v", mark, m.mark)
	}
}
