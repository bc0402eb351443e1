package lease

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lessor/dhcp4"
)

// model is the slow, obvious table.
type model struct {
	recs map[dhcp4.Addr]Binding
	wake map[dhcp4.Addr]int64
	own  map[dhcp4.Addr]owned
}

// owned is what the owner keeps with a record beside the binding.
type owned struct {
	tag uint8
	xid uint32
}

func clone(b Binding) Binding {
	b.HW, b.ClientID = bytes.Clone(b.HW), bytes.Clone(b.ClientID)
	b.Hostname, b.Agent = bytes.Clone(b.Hostname), bytes.Clone(b.Agent)
	return b
}

// part draws octets whose length is mostly ordinary and sometimes at an edge, over
// a small alphabet, so that keys meet.
func part(most int) *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		n := rapid.OneOf(
			rapid.Just(0), rapid.IntRange(1, 2), rapid.IntRange(0, min(most, 34)), rapid.IntRange(0, most), rapid.Just(most),
		).Draw(t, "length")
		if n == 0 {
			return nil
		}
		return bytes.Repeat([]byte{rapid.ByteRange('a', 'c').Draw(t, "octet")}, n)
	})
}

func anyBinding() *rapid.Generator[Binding] {
	return rapid.Custom(func(t *rapid.T) Binding {
		return Binding{
			Addr:  dhcp4.Addr(rapid.Uint32Range(1, 12).Draw(t, "addr")),
			State: rapid.SampledFrom([]State{Bound, Released, Declined}).Draw(t, "state"),
			HType: rapid.SampledFrom([]uint8{1, 6, 32}).Draw(t, "htype"),
			HW:    part(MaxHW).Draw(t, "hw"), ClientID: part(MaxClientID).Draw(t, "client id"),
			Hostname: part(255).Draw(t, "host name"), Agent: part(255).Draw(t, "agent"),
			GIAddr:   dhcp4.Addr(rapid.Uint32().Draw(t, "giaddr")),
			Lifetime: rapid.Uint32().Draw(t, "lifetime"), Grace: rapid.Uint32().Draw(t, "grace"),
			Start: rapid.Int64Range(min40+1, max40-1).Draw(t, "start"), Renewed: rapid.Int64Range(min40+1, max40-1).Draw(t, "renewed"),
			Until: rapid.OneOf(rapid.Int64Range(min40+1, max40-1), rapid.Just(Never)).Draw(t, "until"),
			Boot:  rapid.SampledFrom([]BootID{{}, bootA, bootB}).Draw(t, "boot"),
			End:   rapid.Int64().Draw(t, "end"), Free: rapid.Int64().Draw(t, "free"), Rev: rapid.Uint64().Draw(t, "rev"),
		}
	})
}

// The table against the model: every record whole, found by every key, handed out
// in the order of its wake times, whatever was put, changed and deleted before.
func TestTableIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := NewTable()
		m := model{recs: map[dhcp4.Addr]Binding{}, wake: map[dhcp4.Addr]int64{}, own: map[dhcp4.Addr]owned{}}
		pick := func(t *rapid.T) dhcp4.Addr { // 0: there is none
			return rapid.SampledFrom(append(slices.Sorted(maps.Keys(m.recs)), 0)).Draw(t, "of")
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				b := anyBinding().Draw(t, "binding")
				s := tab.Put(&b)
				if tab.Rec(s).Addr != b.Addr {
					t.Fatalf("slot %d holds %v", s, tab.Rec(s).Addr)
				}
				m.recs[b.Addr] = clone(b)
			},
			"change what Binding gave": func(t *rapid.T) {
				a := pick(t)
				if a == 0 {
					return
				}
				var b Binding
				tab.Binding(tab.ByAddr(a), &b)
				was := clone(b)
				n := anyBinding().Draw(t, "new parts")
				if rapid.Bool().Draw(t, "hw") {
					b.HW = n.HW
				}
				if rapid.Bool().Draw(t, "swap") { // every slice aliases the table
					b.Hostname, b.Agent, b.ClientID = b.ClientID, b.Hostname, b.Agent
					was.Hostname, was.Agent, was.ClientID = was.ClientID, was.Hostname, was.Agent
				}
				was.HW = b.HW
				was = clone(was)
				b.Rev++
				was.Rev++
				tab.Put(&b)
				m.recs[a] = was
			},
			"delete": func(t *rapid.T) {
				a := dhcp4.Addr(rapid.Uint32Range(1, 12).Draw(t, "addr"))
				if rapid.Bool().Draw(t, "by state 0") {
					tab.Put(&Binding{Addr: a})
				} else {
					tab.Delete(a)
				}
				delete(m.recs, a)
				delete(m.wake, a)
				delete(m.own, a)
			},
			"wake": func(t *rapid.T) {
				a := pick(t)
				if a == 0 {
					return
				}
				at := rapid.OneOf(rapid.Int64Range(-5, 20), rapid.Just(Never)).Draw(t, "at")
				tab.Wake(tab.ByAddr(a), at)
				m.wake[a] = at
			},
			"tag and xid": func(t *rapid.T) {
				a, own := pick(t), owned{rapid.Uint8().Draw(t, "tag"), rapid.Uint32().Draw(t, "xid")}
				tab.SetTag(tab.ByAddr(a), own.tag)
				tab.SetXID(tab.ByAddr(a), own.xid)
				if a != 0 {
					m.own[a] = own
				}
			},
			"due": func(t *rapid.T) {
				m.checkDue(t, tab, rapid.Int64Range(-6, 22).Draw(t, "now"))
			},
			"": func(t *rapid.T) { m.check(t, tab) },
		})
	})
}

// checkDue takes one record out of the queue and compares it with the earliest.
func (m *model) checkDue(t *rapid.T, tab *Table, now int64) {
	first := Never
	for _, at := range m.wake {
		first = min(first, at)
	}
	if at, ok := tab.NextWake(); ok && at > first || !ok && first != Never {
		t.Fatalf("next wake %d %v, want %d or earlier", at, ok, first)
	}
	s, ok := tab.Due(now)
	if want := first <= now; ok != want {
		t.Fatalf("due at %d: %v, want %v", now, ok, want)
	}
	if !ok {
		return
	}
	a := tab.Rec(s).Addr
	if m.wake[a] != first {
		t.Fatalf("due %v, woken for %d, before one for %d", a, m.wake[a], first)
	}
	m.wake[a] = Never
}

func (m *model) check(t *rapid.T, tab *Table) {
	if tab.Len() != len(m.recs) {
		t.Fatalf("%d records, want %d", tab.Len(), len(m.recs))
	}
	byID, byHW := map[string][]dhcp4.Addr{}, map[string][]dhcp4.Addr{}
	for a := dhcp4.Addr(1); a <= 12; a++ {
		want, there := m.recs[a]
		s := tab.ByAddr(a)
		if got := (owned{tab.Tag(s), tab.XID(s)}); got != m.own[a] {
			t.Fatalf("kept with %v: %v, want %v", a, got, m.own[a])
		}
		if there != (s != 0) {
			t.Fatalf("%v: slot %d, want it there: %v", a, s, there)
		}
		if !there {
			continue
		}
		var got Binding
		tab.Binding(s, &got)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
		r := tab.Rec(s)
		if r.Addr != a || r.State != want.State || r.End != want.End || r.Free != want.Free ||
			r.Rev != want.Rev || r.Lifetime != want.Lifetime {
			t.Fatalf("hot fields %+v, want those of %+v", r, want)
		}
		htype, hw := tab.HW(s)
		if htype != want.HType || !bytes.Equal(hw, want.HW) || !bytes.Equal(tab.ClientID(s), want.ClientID) {
			t.Fatalf("identity of %v: %d %x %x", a, htype, hw, tab.ClientID(s))
		}
		if len(want.ClientID) > 0 {
			byID[string(want.ClientID)] = append(byID[string(want.ClientID)], a)
		}
		if len(want.HW) > 0 {
			k := string(append([]byte{want.HType}, want.HW...))
			byHW[k] = append(byHW[k], a)
		}
	}
	for k, want := range byID {
		got := walk(tab, tab.FirstByClientID([]byte(k)), tab.NextByClientID)
		if !slices.Equal(got, want) {
			t.Fatalf("client identifier %q: %v, want %v", k, got, want)
		}
	}
	for k, want := range byHW {
		got := walk(tab, tab.FirstByHW(k[0], []byte(k[1:])), tab.NextByHW)
		if !slices.Equal(got, want) {
			t.Fatalf("hardware address %q: %v, want %v", k, got, want)
		}
	}
	if s := tab.FirstByClientID([]byte("nobody")); s != 0 {
		t.Fatalf("found %v by an identifier nobody has", tab.Rec(s).Addr)
	}
	if tab.FirstByHW(1, nil) != 0 || tab.FirstByClientID(nil) != 0 {
		t.Fatal("found something by an empty key")
	}
}

func walk(tab *Table, s Slot, next func(Slot) Slot) (as []dhcp4.Addr) {
	for ; s != 0; s = next(s) {
		as = append(as, tab.Rec(s).Addr)
	}
	slices.Sort(as)
	return as
}

// numbered is a record whose identity is its number.
func numbered(i int) Binding {
	mac := []byte{2, 0, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}
	b := Binding{
		Addr: numberedAddr(i), State: Bound, HType: 1, HW: mac, ClientID: append([]byte{1}, mac...),
		Lifetime: 3600, Grace: 67, Start: 1_700_000_000, Renewed: 1_700_000_000, Until: 1_700_003_600, Boot: bootA,
		Rev: uint64(i),
	}
	b.End, b.Free = Deadlines(int64(i), b.Lifetime, b.Grace)
	return b
}

// fill makes a table as a start does: in the order of addresses, and then a look-up.
func fill(n int) *Table {
	tab := NewTable()
	for i := range n {
		b := numbered(i)
		tab.Wake(tab.Put(&b), b.Free)
	}
	tab.FirstByHW(1, []byte{1})
	return tab
}

// Past the first buckets, slabs and queue chunks, in whatever order records come and
// however many at once: everything is still found, each record once, and after
// deleting half of them the other half.
func TestTableGrows(t *testing.T) {
	const n = 40_000
	up := make([]int, n)
	for i := range up {
		up[i] = i
	}
	down := slices.Clone(up)
	slices.Reverse(down)
	mixed := slices.Clone(up)
	for i := range mixed {
		mixed[i] = i * 7919 % n
	}
	late := append(slices.Clone(down[n-3000:]), up[3000:]...)
	for name, order := range map[string][]int{"upwards": up, "downwards": down, "mixed": mixed, "few, then many": late} {
		for _, every := range []int{0, 1, 9000} { // look-ups in between
			t.Run(fmt.Sprintf("%s, look-up every %d", name, every), func(t *testing.T) { testGrowth(t, order, every) })
		}
	}
}

func testGrowth(t *testing.T, order []int, every int) {
	tab := NewTable()
	put := func(j, i int) {
		b := numbered(i)
		tab.Wake(tab.Put(&b), b.Free)
		if every > 0 && j%every == 0 && tab.FirstByHW(b.HType, b.HW) == 0 {
			t.Fatalf("record %d is lost at once", i)
		}
	}
	for j, i := range order {
		put(j, i)
	}
	check := func(there func(i int) bool) {
		t.Helper()
		for _, i := range order {
			b := numbered(i)
			want := Slot(0)
			if there(i) {
				want = tab.ByAddr(b.Addr)
				if want == 0 {
					t.Fatalf("record %d is lost", i)
				}
			}
			a, id, hw := tab.ByAddr(b.Addr), tab.FirstByClientID(b.ClientID), tab.FirstByHW(b.HType, b.HW)
			if a != want || id != want || hw != want {
				t.Fatalf("record %d: slots %d, %d, %d, want %d three times", i, a, id, hw, want)
			}
		}
		for k := range tab.index {
			if x := &tab.index[k]; int(x.used) != tab.Len() || x.n < x.used {
				t.Fatalf("index %d: %d keys of %d records in %d buckets", k, x.used, tab.Len(), x.n)
			}
		}
	}
	check(func(int) bool { return true })
	for i := 0; i < len(order); i += 2 {
		tab.Delete(numbered(i).Addr)
	}
	check(func(i int) bool { return i%2 == 1 })
	slabs := len(tab.slabs)
	for i := 0; i < len(order); i += 2 {
		put(i, i)
	}
	check(func(int) bool { return true })
	if len(tab.slabs) != slabs {
		t.Errorf("%d slabs after deleting and putting again, %d before", len(tab.slabs), slabs)
	}
	last := int64(math.MinInt64)
	for range order {
		s, ok := tab.Due(Never - 1)
		if !ok || tab.Rec(s).Free < last {
			t.Fatalf("due %v after %d: %d", ok, last, tab.Rec(s).Free)
		}
		last = tab.Rec(s).Free
	}
	if _, ok := tab.NextWake(); ok {
		t.Error("the queue is not empty")
	}
}

// A client that renews again and again costs its queue entry one step each time the
// old deadline comes up, not one each time it renews.
func TestWakeLaterIsLazy(t *testing.T) {
	tab := fill(3)
	s := tab.ByAddr(numbered(0).Addr)
	at, _ := tab.NextWake()
	for i := range int64(10) {
		tab.Wake(s, at+i*hour)
	}
	if now, _ := tab.NextWake(); now != at {
		t.Errorf("next wake moved from %d to %d: the queue was sorted", at, now)
	}
	if got, ok := tab.Due(at); ok {
		t.Errorf("slot %d is due at its old time", got)
	}
	if next, _ := tab.NextWake(); next <= at {
		t.Errorf("next wake is still %d", next)
	}
}

// I22: whoever takes many addresses under one hardware address, each with another
// client identifier, makes no other client's look-up longer: its records hang
// behind one leader, and each of them is taken out in one step.
func TestI22OneHardwareAddressWithManyRecords(t *testing.T) {
	const n = 100_000
	tab := NewTable()
	for i := range n {
		b := numbered(i)
		b.HW = []byte{2, 0, 0, 0, 0, 1}
		tab.Put(&b)
	}
	tab.enterAll()
	if used := tab.index[byHW].used; used != 1 {
		t.Fatalf("%d entries in buckets for one hardware address", used)
	}
	for i := range n {
		tab.Delete(numbered(i).Addr)
	}
	if tab.Len() != 0 || tab.index[byHW].used != 0 || tab.FirstByHW(1, []byte{2, 0, 0, 0, 0, 1}) != 0 {
		t.Error("something is left")
	}
}

func TestScanToleratesChanges(t *testing.T) {
	const n = 20_000
	tab := fill(n)
	seen := map[dhcp4.Addr]int{}
	steps := 0
	for s := tab.Scan(0, 0, nil); s != 0; steps++ {
		calls := 0
		s = tab.Scan(s, 100, func(s Slot) {
			calls++
			a := tab.Rec(s).Addr
			seen[a]++
			if a%3 == 0 { // delete the one being looked at, and put another
				tab.Delete(a)
				b := numbered(n + int(a%1000))
				tab.Put(&b)
			}
		})
		if calls > 100 {
			t.Fatalf("%d calls in a step of 100", calls)
		}
	}
	if steps < n/100 {
		t.Errorf("only %d steps", steps)
	}
	for i := range n {
		if a := numbered(i).Addr; seen[a] != 1 {
			t.Fatalf("%v was seen %d times", a, seen[a])
		}
	}

	// A table that was emptied is passed over in bounded steps too.
	tab = fill(3 * slabSize)
	for i := range 3*slabSize - 1 {
		tab.Delete(numbered(i).Addr)
	}
	found, steps := 0, 0
	for s := Slot(1); s != 0; steps++ {
		s = tab.Scan(s, 1, func(Slot) { found++ })
	}
	if found != 1 || steps < 2 {
		t.Errorf("%d records found in %d steps", found, steps)
	}
}

func TestPutRefusesNothing(t *testing.T) {
	tab := NewTable()
	if tab.Put(&Binding{State: Bound}) != 0 || tab.Len() != 0 {
		t.Error("address 0 was entered")
	}
	long := bytes.Repeat([]byte{'x'}, 400)
	s := tab.Put(&Binding{Addr: 1, State: Bound, HW: long, ClientID: long, Hostname: long, Agent: long,
		Renewed: math.MinInt64, Until: Never - 1})
	var b Binding
	tab.Binding(s, &b)
	if len(b.HW) != MaxHW || len(b.ClientID) != MaxClientID || len(b.Hostname) != 255 || len(b.Agent) != 255 {
		t.Errorf("lengths %d, %d, %d, %d", len(b.HW), len(b.ClientID), len(b.Hostname), len(b.Agent))
	}
	if b.Renewed != math.MinInt64 || b.Until != Never {
		t.Errorf("times beyond 40 bits became %d and %d", b.Renewed, b.Until)
	}
	if got := tab.Rec(0); got.State != 0 || got.Addr != 0 {
		t.Errorf("slot 0 is %+v", got)
	}
}

// A block of the arena is used again, so names that come and go take no more memory.
func TestArenaIsReused(t *testing.T) {
	tab := NewTable()
	names := func(n int) {
		for i := range 5000 {
			b := numbered(i)
			b.Hostname = bytes.Repeat([]byte{byte(i)}, n)
			tab.Put(&b)
		}
	}
	sizes := []int{255, 40, 0, 12, 255, 100}
	for _, n := range sizes {
		names(n)
	}
	next := tab.arena.next
	for range 5 {
		for _, n := range sizes {
			names(n)
		}
	}
	if tab.arena.next != next {
		t.Errorf("the arena grew from %d to %d units", next, tab.arena.next)
	}
	var b Binding
	tab.Binding(tab.ByAddr(numbered(7).Addr), &b)
	if want := bytes.Repeat([]byte{7}, 100); !bytes.Equal(b.Hostname, want) {
		t.Errorf("host name %q", b.Hostname)
	}
}

func numberedAddr(i int) dhcp4.Addr { return dhcp4.Addr(10<<24 + 1 + i) }
