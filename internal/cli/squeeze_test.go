package cli

import (
	"slices"
	"testing"
)

func TestSqueeze(t *testing.T) {
	for _, c := range []struct {
		widths []int
		width  int
		want   []int
	}{
		{[]int{10, 10}, 80, []int{10, 10}},
		{[]int{14, 27, 4, 4, 7, 6, 4, 8}, 80, []int{14, 19, 4, 4, 7, 6, 4, 8}}, // the pools of status: DECLINED stays
		{[]int{15, 60, 40, 8}, 80, []int{15, 25, 26, 8}},
		{[]int{18, 18, 18}, 20, []int{18, 18, 18}},
		{[]int{50}, 0, []int{50}},
	} {
		got := slices.Clone(c.widths)
		squeeze(got, c.width)
		if !slices.Equal(got, c.want) {
			t.Errorf("squeeze(%v, %d) = %v, not %v", c.widths, c.width, got, c.want)
		}
	}
}
