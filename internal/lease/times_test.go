package lease

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestGraceFigures(t *testing.T) {
	for _, c := range []struct{ t, min, grace uint32 }{
		{0, 1, 5},
		{1, 2, 6},
		{6, 2, 6},
		{64, 2, 6},
		{65, 2, 7},
		{1024, 2, 66},
		{3600, 3, 67},
		{24 * 3600, 36, 100},
		{2500, 2, 66},
		{2501, 3, 67},
		{Infinite - 1, 1717988, 1718052},
		{Infinite, 0, 0},
	} {
		if got := MinGrace(c.t); got != c.min {
			t.Errorf("MinGrace(%d) = %d, want %d", c.t, got, c.min)
		}
		if got := Grace(c.t); got != c.grace {
			t.Errorf("Grace(%d) = %d, want %d", c.t, got, c.grace)
		}
	}
}

// I1 rests on this: a client whose clock is 200 ppm slow, whose last REQUEST was the
// longest delay old when it came in and whose times were rounded by up to a
// second is done with its address before a server whose clock is 200 ppm fast frees it.
func TestI1GraceCoversDriftDelayAndRounding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		T := rapid.Uint32Range(0, Infinite-1).Draw(t, "T")
		exact := new(big.Rat).Mul(big.NewRat(4, 10000), new(big.Rat).SetInt64(int64(T)))
		delay := big.NewRat(int64(T), 16)
		if delay.Cmp(big.NewRat(4, 1)) < 0 {
			delay = big.NewRat(4, 1)
		}
		if delay.Cmp(big.NewRat(64, 1)) > 0 {
			delay = big.NewRat(64, 1)
		}
		least := new(big.Rat).Add(exact, big.NewRat(1, 1))
		if got := new(big.Rat).SetInt64(int64(MinGrace(T))); got.Cmp(least) < 0 {
			t.Fatalf("MinGrace(%d) = %v, below %v", T, got, least)
		}
		least.Add(least, delay)
		got := new(big.Rat).SetInt64(int64(Grace(T)))
		if got.Cmp(least) < 0 || got.Cmp(new(big.Rat).Add(least, big.NewRat(2, 1))) >= 0 {
			t.Fatalf("Grace(%d) = %v, want %v rounded up", T, got, least)
		}
	})
}

func TestTimers(t *testing.T) {
	for _, c := range []struct {
		t, t1, t2 uint32
		ok        bool
	}{
		{0, 0, 0, false}, {3, 0, 0, false}, {4, 2, 3, true}, {5, 2, 4, true}, {20, 10, 17, true},
		{3600, 1800, 3150, true}, {Infinite - 1, 2147483647, 3758096382, true}, {Infinite, 0, 0, false},
	} {
		t1, t2, ok := Timers(c.t)
		if t1 != c.t1 || t2 != c.t2 || ok != c.ok {
			t.Errorf("Timers(%d) = %d, %d, %v, want %d, %d, %v", c.t, t1, t2, ok, c.t1, c.t2, c.ok)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		T := rapid.Uint32Range(4, Infinite-1).Draw(t, "T")
		t1, t2, ok := Timers(T)
		if !ok || t1 <= 0 || t1 >= t2 || t2 >= T {
			t.Fatalf("Timers(%d) = %d, %d, %v: want 0 < t1 < t2 < t", T, t1, t2, ok)
		}
	})
}

func TestRemainingRoundsDown(t *testing.T) {
	const now = 5 * Second
	for _, c := range []struct {
		end  int64
		want uint32
	}{
		{now, 0}, {now - 1, 0}, {math.MinInt64, 0}, {now + Second - 1, 0}, {now + Second, 1},
		{now + 2*Second - 1, 1}, {Never, Infinite}, {Never - 1, Infinite - 1},
	} {
		if got := Remaining(c.end, now); got != c.want {
			t.Errorf("Remaining(%d) = %d, want %d", c.end, got, c.want)
		}
	}
}

func TestDeadlines(t *testing.T) {
	if end, free := Deadlines(7, 3600, 67); end != 7+3600*Second || free != end+67*Second {
		t.Errorf("1 h: %d, %d", end, free)
	}
	if end, free := Deadlines(7, Infinite, 67); end != Never || free != Never {
		t.Errorf("infinite: %d, %d", end, free)
	}
	if end, free := Deadlines(Never-9, Infinite-1, Infinite); end != Never-1 || free != Never-1 {
		t.Errorf("at the end of time: %d, %d: a finite lease must not become an infinite one", end, free)
	}
}

func TestRoundingOfInstants(t *testing.T) {
	for _, c := range []struct{ t, floor, ceil int64 }{
		{0, 0, 0}, {1, 0, 1}, {Second, 1, 1}, {Second + 1, 1, 2}, {-1, -1, 0}, {-Second, -1, -1},
		{-Second - 1, -2, -1}, {Never, Never, Never}, {math.MinInt64, -9223372037, -9223372036},
	} {
		if f, k := FloorSeconds(c.t), CeilSeconds(c.t); f != c.floor || k != c.ceil {
			t.Errorf("%d ns: floor %d, ceil %d, want %d, %d", c.t, f, k, c.floor, c.ceil)
		}
	}
}

func TestArithmeticSaturates(t *testing.T) {
	big1 := func(f func(z, a, b *big.Int) *big.Int, a, b int64) int64 {
		z := f(new(big.Int), big.NewInt(a), big.NewInt(b))
		switch {
		case z.Cmp(big.NewInt(Never-1)) > 0:
			return Never - 1
		case z.Cmp(big.NewInt(math.MinInt64)) < 0:
			return math.MinInt64
		}
		return z.Int64()
	}
	edges := []int64{math.MinInt64, math.MinInt64 + 1, -Second, -1, 0, 1, Second, Never - 1, Never}
	for _, a := range edges {
		for _, b := range edges {
			if got, want := add(a, b), big1((*big.Int).Add, a, b); got != want {
				t.Errorf("add(%d, %d) = %d, want %d", a, b, got, want)
			}
			if got, want := sub(a, b), big1((*big.Int).Sub, a, b); got != want {
				t.Errorf("sub(%d, %d) = %d, want %d", a, b, got, want)
			}
		}
	}
}
