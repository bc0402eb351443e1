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
