package clock

import (
	"testing"
	"time"
)

// TestSuspended: the time of suspend does not move while the machine is awake, and who
// waits for jumps is woken by none.
func TestSuspended(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	s, ok := c.(Sleeper)
	if !ok {
		t.Fatal("the machine's clock does not know of suspend")
	}
	j, err := s.NewJumps()
	if err != nil {
		t.Fatal(err)
	}
	first := s.Suspended()
	for range 1000 {
		if d := s.Suspended() - first; d < -1e6 || d > 1e6 {
			t.Fatalf("the time of suspend moved by %d ns", d)
		}
	}
	select {
	case <-j.C():
		t.Error("a jump that nobody made")
	case <-time.After(10 * time.Millisecond):
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}
