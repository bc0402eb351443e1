package pool

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lessor/dhcp4"
)

// I4 in the ready list: of the never-used addresses the nearest to the start, then
// the one that was free longest; never more than 64, never one that was taken out.
func TestI4ReadyListIsItsModel(t *testing.T) {
	type entry struct{ at, key int64 }
	rapid.Check(t, func(t *rapid.T) {
		var r Ready
		m := map[dhcp4.Addr]entry{}
		addr := rapid.Custom(func(t *rapid.T) dhcp4.Addr {
			return dhcp4.Addr(0xffffffd0 + rapid.Uint32Range(0, 96).Draw(t, "addr")) // round the end of the numbers
		})
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(t, "n") {
					a := addr.Draw(t, "a")
					e := entry{rapid.Int64Range(0, 9).Draw(t, "at"), rapid.Int64Range(-2, 4).Draw(t, "key")}
					_, there := m[a]
					if got, want := r.Add(a, e.at, e.key), there || len(m) < ReadySize; got != want {
						t.Fatalf("add: %v, want %v", got, want)
					} else if want {
						m[a] = e
					}
				}
			},
			"remove": func(t *rapid.T) {
				a := addr.Draw(t, "a")
				_, there := m[a]
				if r.Remove(a) != there {
					t.Fatalf("remove %v: want %v", a, there)
				}
				delete(m, a)
			},
			"expire": func(t *rapid.T) {
				before := rapid.Int64Range(0, 5).Draw(t, "before")
				r.Expire(before)
				maps.DeleteFunc(m, func(_ dhcp4.Addr, e entry) bool { return e.at < before })
			},
			"take": func(t *rapid.T) {
				start := addr.Draw(t, "start")
				order := slices.SortedFunc(maps.Keys(m), func(a, b dhcp4.Addr) int {
					x, y := m[a], m[b]
					switch {
					case x.key == 0 && y.key == 0:
						return cmp.Compare(a-start, b-start)
					case x.key == 0:
						return -1
					case y.key == 0:
						return 1
					}
					return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(a, b))
				})
				a, ok := r.Take(start)
				if ok != (len(order) > 0) || ok && a != order[0] {
					t.Fatalf("took %v %v from %v, want the first of %v", a, ok, start, order)
				}
				delete(m, a)
			},
			"": func(t *rapid.T) {
				if r.Len() != len(m) || r.Need() != ReadySize-len(m) {
					t.Fatalf("%d in the list, %d needed, want %d", r.Len(), r.Need(), len(m))
				}
				n := 0
				for a, at := range r.All {
					if e, ok := m[a]; !ok || e.at != at {
						t.Fatalf("%v asked for at %d, want %+v", a, at, e)
					}
					n++
				}
				if n != len(m) {
					t.Fatalf("walked %d of %d", n, len(m))
				}
				for a := dhcp4.Addr(0xffffffd0); a != 0x30; a++ {
					e, there := m[a]
					if r.Has(a) != there || r.AskedSince(a, 3) != (there && e.at > 3) {
						t.Fatalf("%v: has %v, asked since 3 %v, want %+v", a, r.Has(a), r.AskedSince(a, 3), e)
					}
				}
			},
		})
	})
}
