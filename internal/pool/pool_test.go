package pool

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lessor/dhcp4"
)

// place is where the model has one address.
type place struct {
	state State
	key   int64 // where it orders; 0 in Free: never used
}

// model is the slow, obvious pool: the place of every address.
type model map[dhcp4.Addr]place

func (m model) in(s State, used bool) []dhcp4.Addr {
	var as []dhcp4.Addr
	for a, p := range m {
		if p.state == s && (s != Free || used == (p.key != 0)) {
			as = append(as, a)
		}
	}
	slices.SortFunc(as, func(a, b dhcp4.Addr) int {
		return cmp.Or(cmp.Compare(m[a].key, m[b].key), cmp.Compare(a, b))
	})
	return as
}

// nextUnused is the never-used free address nearest at or after from, round the
// end.
func (m model) nextUnused(from dhcp4.Addr) (dhcp4.Addr, bool) {
	as := m.in(Free, false)
	if len(as) == 0 {
		return 0, false
	}
	slices.Sort(as)
	for _, a := range as {
		if a >= from {
			return a, true
		}
	}
	return as[0], true
}

func anyRanges() *rapid.Generator[[]dhcp4.Range] {
	return rapid.Custom(func(t *rapid.T) []dhcp4.Range {
		at := dhcp4.Addr(rapid.SampledFrom([]uint32{0, 1, 0xc0000200, 0xfffffe00}).Draw(t, "first"))
		var rs []dhcp4.Range
		for range rapid.IntRange(0, 3).Draw(t, "ranges") {
			at += dhcp4.Addr(rapid.Uint32Range(0, 70).Draw(t, "gap"))
			n := dhcp4.Addr(rapid.Uint32Range(0, 90).Draw(t, "size"))
			if n > 0 {
				rs = append(rs, dhcp4.Range{First: at, Last: at + n - 1})
				at += n
			}
		}
		return rs
	})
}

// I4 and I8's "a new one": whatever is moved where, every address is in one state, the
// counts add up to the size, never-used addresses are found from any start, and used
// ones come longest free first.
func TestI4I8PoolIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ranges := anyRanges().Draw(t, "pool")
		p, m := New(ranges...), model{}
		for _, r := range ranges {
			for a := uint64(r.First); a <= uint64(r.Last); a++ {
				m[dhcp4.Addr(a)] = place{}
			}
		}
		all := slices.Sorted(maps.Keys(m))
		state := rapid.Custom(func(t *rapid.T) State { return State(rapid.IntRange(0, int(NumStates)-1).Draw(t, "state")) })
		key := rapid.Int64Range(-3, 6)
		t.Repeat(map[string]func(*rapid.T){
			"move": func(t *rapid.T) {
				if len(all) == 0 {
					return
				}
				a := rapid.SampledFrom(all).Draw(t, "addr")
				to := place{state.Draw(t, "to"), key.Draw(t, "key")}
				p.Move(a, m[a].state, to.state, to.key)
				m[a] = to
			},
			"take the oldest": func(t *rapid.T) {
				s := rapid.SampledFrom([]State{Free, Offered, Declined}).Draw(t, "of")
				if a, _, ok := p.Oldest(s); ok {
					p.Move(a, s, Bound, 0)
					m[a] = place{state: Bound}
				}
			},
			"take a never-used one": func(t *rapid.T) {
				from := dhcp4.Addr(rapid.Uint32().Draw(t, "from"))
				if a, ok := p.NextUnused(from); ok {
					p.Move(a, Free, Offered, 1)
					m[a] = place{Offered, 1}
				}
			},
			"move a range": func(t *rapid.T) { m.moveRange(t, p, all) },
			"":             func(t *rapid.T) { m.check(t, p, all) },
		})
	})
}

// moveRange excludes the longest run of never-used addresses from a random one on, or
// gives a run of excluded ones back.
func (m model) moveRange(t *rapid.T, p *Pool, all []dhcp4.Addr) {
	if len(all) == 0 {
		return
	}
	i := rapid.IntRange(0, len(all)-1).Draw(t, "at")
	want, to := m[all[i]], place{state: Excluded}
	switch {
	case want.state == Excluded:
		to.state = Free
	case want != place{}:
		return
	}
	j := i
	for j+1 < len(all) && m[all[j+1]].state == want.state && (want.state == Excluded || m[all[j+1]].key == 0) {
		j++
	}
	p.MoveRange(dhcp4.Range{First: all[i], Last: all[j]}, want.state, to.state)
	for _, a := range all[i : j+1] {
		m[a] = to
	}
}

func (m model) check(t *rapid.T, p *Pool, all []dhcp4.Addr) {
	if p.Size() != uint64(len(m)) {
		t.Fatalf("size %d, want %d", p.Size(), len(m))
	}
	sum := uint64(0)
	for s := range NumStates {
		want := len(m.in(s, false))
		if s == Free {
			want += len(m.in(s, true))
		}
		if p.Count(s) != uint64(want) {
			t.Fatalf("%d addresses %v, want %d", p.Count(s), s, want)
		}
		sum += p.Count(s)
	}
	if sum != p.Size() {
		t.Fatalf("I4: the states add up to %d of %d", sum, p.Size())
	}
	for i, a := range all {
		if p.At(uint64(i)) != a || !p.Contains(a) || p.Contains(a-1) != hasKey(m, a-1) || p.Contains(a+1) != hasKey(m, a+1) {
			t.Fatalf("address %d is %v, want %v, or its neighbours are wrong", i, p.At(uint64(i)), a)
		}
		if p.IsUnused(a) != (m[a] == place{}) {
			t.Fatalf("%v unused: %v, want %+v", a, p.IsUnused(a), m[a])
		}
		for _, s := range []State{Free, Offered, Declined} {
			if k, ok := p.Key(a, s); ok != (m[a].state == s) || ok && k != m[a].key {
				t.Fatalf("key of %v as %v: %d, %v, want %+v", a, s, k, ok, m[a])
			}
		}
	}
	for _, s := range []State{Free, Offered, Declined} {
		a, k, ok := p.Oldest(s)
		want := m.in(s, true)
		if ok != (len(want) > 0) || ok && (a != want[0] || k != m[a].key) {
			t.Fatalf("oldest %v: %v %d %v, want the first of %v", s, a, k, ok, want)
		}
		for i, but := range want[:min(len(want), 2)] { // without the first the second is; without another the first
			rest := append(slices.Clone(want[:i]), want[i+1:]...)
			if a, k, ok := p.OldestBut(s, but); ok != (len(rest) > 0) || ok && (a != rest[0] || k != m[a].key) {
				t.Fatalf("oldest %v but %v: %v %d %v, want the first of %v", s, but, a, k, ok, rest)
			}
		}
	}
	var freed []dhcp4.Addr
	for a, k := range p.Freed {
		if k != m[a].key {
			t.Fatalf("%v freed with key %d, want %d", a, k, m[a].key)
		}
		freed = append(freed, a)
	}
	if want := m.in(Free, true); !slices.Equal(freed, want) {
		t.Fatalf("I4: free ones in the order %v, want %v", freed, want)
	}
	for _, from := range append([]dhcp4.Addr{0, dhcp4.Broadcast}, all...) {
		for _, from := range []dhcp4.Addr{from - 1, from, from + 1} {
			a, ok := p.NextUnused(from)
			if want, there := m.nextUnused(from); a != want || ok != there {
				t.Fatalf("next unused from %v: %v %v, want %v %v", from, a, ok, want, there)
			}
		}
	}
}

func hasKey(m model, a dhcp4.Addr) bool { _, ok := m[a]; return ok }

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}

// A broken caller is stopped before the partition is, and leaves it whole.
func TestMovePanicsBeforeItCorrupts(t *testing.T) {
	p := New(dhcp4.Range{First: 10, Last: 19})
	p.Move(10, Free, Bound, 0)
	p.Move(11, Free, Offered, 1)
	p.Move(12, Free, Declined, 1)
	p.Move(13, Free, Bound, 0)
	p.Move(13, Bound, Free, 5)
	for _, c := range []struct {
		what     string
		a        dhcp4.Addr
		from, to State
	}{
		{"below the pool", 9, Free, Bound},
		{"above the pool", 20, Free, Bound},
		{"bound, said to be free", 10, Free, Offered},
		{"bound, said to be offered", 10, Offered, Bound},
		{"offered, said to be bound", 11, Bound, Free},
		{"offered, said to be declined", 11, Declined, Free},
		{"declined, said to be free", 12, Free, Bound},
		{"used and free, said to be bound", 13, Bound, Held},
		{"unused and free, said to be bound", 14, Bound, Free},
		{"nobody is reserved", 10, Reserved, Free},
	} {
		var before [NumStates]uint64
		for s := range NumStates {
			before[s] = p.Count(s)
		}
		mustPanic(t, c.what, func() { p.Move(c.a, c.from, c.to, 1) })
		for s := range NumStates {
			if p.Count(s) != before[s] {
				t.Errorf("%s: %d %v, before %d", c.what, p.Count(s), s, before[s])
			}
		}
	}
	mustPanic(t, "a range with a bound address", func() { p.MoveRange(dhcp4.Range{First: 0, Last: 99}, Free, Excluded) })
	mustPanic(t, "a range nobody is in", func() { p.MoveRange(dhcp4.Range{First: 14, Last: 19}, Excluded, Reserved) })
	mustPanic(t, "a range to offer", func() { p.MoveRange(dhcp4.Range{First: 14, Last: 19}, Free, Offered) })
	mustPanic(t, "overlapping ranges", func() {
		New(dhcp4.Range{First: 1, Last: 5}, dhcp4.Range{First: 5, Last: 9})
	})
	mustPanic(t, "an address beyond the end", func() { p.At(10) })
	if a, ok := p.NextUnused(10); !ok || a != 14 {
		t.Errorf("next unused %v, want 14", a)
	}
}

// MoveRange at the size it is for: half of a /8, with ends inside words.
func TestMoveRangeOfMillions(t *testing.T) {
	first := dhcp4.MustParseAddr("10.0.0.0")
	p := New(dhcp4.Range{First: first, Last: first + 1<<24 - 1})
	out := dhcp4.Range{First: first + 100, Last: first + 1<<23 + 33}
	p.MoveRange(out, Free, Excluded)
	if p.Count(Excluded) != out.Size() || p.Count(Free)+p.Count(Excluded) != p.Size() {
		t.Fatalf("%d excluded, %d free", p.Count(Excluded), p.Count(Free))
	}
	for _, c := range []struct{ from, want dhcp4.Addr }{
		{first + 99, first + 99}, {first + 100, out.Last + 1}, {out.Last, out.Last + 1}, {out.Last + 2, out.Last + 2},
		{first + 1<<24 - 1, first + 1<<24 - 1}, {first - 1, first},
	} {
		if a, _ := p.NextUnused(c.from); a != c.want {
			t.Errorf("next unused from %v: %v, want %v", c.from, a, c.want)
		}
	}
	p.MoveRange(out, Excluded, Free)
	if a, _ := p.NextUnused(first + 5000); a != first+5000 || p.Count(Free) != p.Size() {
		t.Errorf("after giving it back: %v, %d free", a, p.Count(Free))
	}
}

func TestStateNames(t *testing.T) {
	want := "[free offered bound held declined reserved excluded state 7]"
	var all []State
	for s := range NumStates + 1 {
		all = append(all, s)
	}
	if got := fmt.Sprint(all); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
