package expr

import (
	"math"
	"testing"

	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// TestCalculate: numbers past 64 bits and division by zero have no result, as in CEL.
func TestCalculate(t *testing.T) {
	numbers := []int64{math.MinInt64, math.MinInt64 + 1, -1 << 32, -3, -2, -1, 0, 1, 2, 3, 7, 1 << 31, 1 << 32, math.MaxInt64 - 1, math.MaxInt64, math.MaxInt64 / 2}
	ops := map[string]func(a, b types.Int) ref.Val{
		operators.Add:      func(a, b types.Int) ref.Val { return a.Add(b) },
		operators.Subtract: func(a, b types.Int) ref.Val { return a.Subtract(b) },
		operators.Multiply: func(a, b types.Int) ref.Val { return a.Multiply(b) },
		operators.Divide:   func(a, b types.Int) ref.Val { return a.Divide(b) },
		operators.Modulo:   func(a, b types.Int) ref.Val { return a.Modulo(b) },
	}
	for op, cel := range ops {
		for _, m := range numbers {
			for _, n := range numbers {
				got, ok := calculate(op, m, n)
				want, isInt := cel(types.Int(m), types.Int(n)).(types.Int)
				if ok != isInt || ok && got != int64(want) {
					t.Errorf("%d %s %d: %d, %v; CEL: %d, %v", m, op, n, got, ok, want, isInt)
				}
			}
		}
	}
}
