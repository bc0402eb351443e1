package faults

import (
	"testing"
	"time"
)

// The process is killed at the moment at which an ACK is read, 50 times in one state
// directory. What has been acknowledged is there after each start.
func TestKillAtTheAck(t *testing.T) {
	s := newSite(t)
	l := s.newLoad(8, 0.3)
	var slowest time.Duration
	begin := time.Now()
	for i := range 50 {
		started := time.Now()
		n := s.start(t)
		took := time.Since(started)
		slowest = max(slowest, took)
		l.mustHold(t, "after a restart", s.leases(t, true))
		stop := l.acks + 1 + l.rand.IntN(20)
		deadline := time.Now().Add(10 * time.Second)
		killed := false
		l.onAck = func() {
			if l.acks >= stop && !killed {
				n.Kill()
				killed = true
			}
		}
		check(t, l.run(func() bool { return killed || time.Now().After(deadline) }))
		l.onAck = nil
		if !killed {
			t.Fatalf("turn %d: %d ACKs came within 10 s, not %d", i, l.acks, stop)
		}
		check(t, l.drain(time.Millisecond)) // on their way when the process ended
		if bad := n.lines("STORE_DAMAGED"); len(bad) > 0 {
			t.Fatalf("turn %d: the store was taken for damaged: %v", i, bad)
		}
	}
	n := s.start(t)
	l.mustHold(t, "at the end", s.leases(t, true))
	check(t, n.Stop(5*time.Second))
	l.mustHold(t, "in the store of the stopped server", s.leases(t, false))
	t.Logf("50 kills in %.1f s: %d ACKs read for %d addresses, 0 missing; slowest start %d ms",
		time.Since(begin).Seconds(), l.acks, len(l.promises), slowest.Milliseconds())
}
