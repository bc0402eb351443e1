package policy

import (
	"fmt"
	"strings"
	"testing"

	"lessor/dhcp4"
)

func show(s *OptionSet) string {
	var b strings.Builder
	for _, v := range s.All() {
		fmt.Fprintf(&b, "%d=%s %s %d:%d flags %d\n", v.Code, v.Data, v.Level, v.Pos.Line, v.Pos.Col, v.Flags)
	}
	return b.String()
}

// TestMerge: the inner value wins whole, with its place, level and flags.
func TestMerge(t *testing.T) {
	outer := NewValues(
		Value{Code: 3, Data: []byte("outer"), Pos: Pos{1, 2}, Flags: AlwaysSend},
		Value{Code: 6, Data: []byte("outer"), Pos: Pos{1, 9}},
		Value{Code: 252, Data: []byte("outer"), Pos: Pos{1, 10}},
	).At(LevelGlobal)
	inner := NewValues(
		Value{Code: 1, Data: []byte("inner"), Pos: Pos{4, 1}},
		Value{Code: 6, Pos: Pos{4, 2}, Flags: NeverSend},
		Value{Code: 3, Data: []byte("inner"), Pos: Pos{4, 3}},
	).At(LevelPool)
	s := Merge(outer, inner)
	want := "1=inner pool 4:1 flags 0\n3=inner pool 4:3 flags 0\n6= pool 4:2 flags 2\n252=outer global 1:10 flags 0\n"
	if got := show(s); got != want {
		t.Errorf("merged:\n%swant\n%s", got, want)
	}
	if s.Has(6) || s.Lookup(6) == nil {
		t.Error("an option that is never sent must be found, and not be there")
	}
	if _, ok := s.Get(6); ok {
		t.Error("an option that is never sent has a value")
	}
	if !outer.SendsAlways() || s.SendsAlways() {
		t.Error("the inner value's flags count, not the outer one's")
	}
	if s := Merge(inner, outer); !s.SendsAlways() || !s.Has(6) {
		t.Error("what was never sent outside is sent where it is set inside")
	}
	if Merge(outer, nil) != outer || Merge(nil, inner) != inner {
		t.Error("a set was copied without need")
	}
	var none *OptionSet
	if none.At(LevelPool) != nil || none.SendsAlways() || none.Lookup(3) != nil {
		t.Error("a nil set is not empty")
	}
	if got := NewValues(Value{Code: dhcp4.OptRouters}).At(LevelClass).Lookup(3).Level; got != LevelClass {
		t.Errorf("level %v", got)
	}
}

// TestLevels: each option of a policy says which level it is of.
func TestLevels(t *testing.T) {
	p := mustBuild(t, Spec{
		Options: NewOptionSet(opt(6, "192.0.2.53")),
		Classes: []Class{{Name: "phones", Options: NewOptionSet(opt(42, "192.0.2.42"))}},
		Networks: []NetworkSpec{{Name: "campus", Options: NewOptionSet(opt(4, "192.0.2.4")), Subnets: []SubnetSpec{{
			Prefix: prefix("198.18.0.0/24"), Options: NewOptionSet(opt(3, "198.18.0.1")),
			Pools:        []PoolSpec{{Range: span("198.18.0.10", "198.18.0.20"), Options: NewOptionSet(opt(5, "192.0.2.5"))}},
			Reservations: []Reservation{{Keys: []Key{byID([]byte("ab"))}, Hostname: "printer", Pos: Pos{9, 3}, Options: NewOptionSet(opt(7, "192.0.2.7"))}},
		}}}},
	})
	n := p.Networks[0]
	got := show(n.Subnets[0].Pools[0].Options) + show(p.Classes[FirstClass].Options) + show(n.Reservations()[0].Options)
	for _, want := range []string{"1=\xff\xff\xff\x00 derived", "3=\xc6\x12\x00\x01 subnet", "4=\xc0\x00\x02\x04 shared network", "5=\xc0\x00\x02\x05 pool",
		"6=\xc0\x00\x02\x35 global", "42=\xc0\x00\x02\x2a client class", "12=printer reservation 9:3", "7=\xc0\x00\x02\x07 reservation"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%q", want, got)
		}
	}
}
