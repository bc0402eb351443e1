package faults

import (
	"strings"
	"testing"
	"time"
)

// Every system call that would change the disk fails with EIO, while the server runs:
// nothing new is promised, within a second it does not call itself ready, holders get
// the time that is left to them. When the disk works again, service resumes without a
// restart, and no lease has been harmed (I17).
func TestEveryWriteFails(t *testing.T) {
	s := newSite(t)
	n, disk := s.startSupervised(t)
	l := s.newLoad(16, 0)
	l.bind(t, 300)
	before := s.leases(t, true)
	l.mustHold(t, "before", before)

	disk.set(eio)
	since := time.Now()
	acks := l.acks
	s.loadUntilFailed(t, n, l)
	if took := time.Since(since); took > time.Second {
		t.Errorf("the failure was noticed after %s", took)
	}
	if l.acks != acks {
		t.Errorf("%d ACKs for new clients while no write reached the disk", l.acks-acks)
	}
	s.mustServeHoldersOnly(t, l, "input/output error")
	time.Sleep(2 * time.Second) // tries to heal fail meanwhile
	if disk.failed.Load() < 3 {
		t.Errorf("the server tried to write %d times in 3 s", disk.failed.Load())
	}
	t.Logf("%d calls were answered with EIO", disk.failed.Load())
	if got := len(n.lines("STORE_FAILED")); got != 1 {
		t.Errorf("STORE_FAILED was logged %d times", got)
	}

	disk.set(letThrough)
	s.mustHeal(t, n, l, time.Now())
	if got := len(n.lines("STORE_HEALED")); got != 1 {
		t.Errorf("STORE_HEALED was logged %d times", got)
	}
	s.mustBeUnharmed(t, n, l, before)
}

// The disk comes and goes five times under load. Each time service resumes, and what
// was promised in between is kept.
func TestWritesFailAgainAndAgain(t *testing.T) {
	s := newSite(t)
	n, disk := s.startSupervised(t)
	l := s.newLoad(16, 0.5)
	l.retry = 200 * time.Millisecond
	l.bind(t, 100)
	begin := time.Now()
	for range 5 {
		disk.set(eio)
		for end := time.Now().Add(time.Duration(50+l.rand.IntN(1500)) * time.Millisecond); time.Now().Before(end); {
			check(t, l.step(2*time.Millisecond, func() bool { return false }))
		}
		disk.set(letThrough)
		repaired, full := time.Now(), l.full
		check(t, l.run(func() bool { return l.full > full+100 || time.Since(repaired) > 10*time.Second }))
		if l.full <= full+100 {
			t.Fatalf("10 s after the repair: %d full leases; status %q", l.full-full, first(s.status(t)).Problems)
		}
	}
	l.mustHold(t, "after five failures", s.leases(t, true))
	n.Kill()
	n = s.start(t)
	s.mustBeWhole(t, n)
	l.mustHold(t, "after five failures and a restart", s.leases(t, true))
	t.Logf("5 failures in %.1f s: %d full ACKs, %d of the remaining time, %d messages repeated",
		time.Since(begin).Seconds(), l.full, l.short, l.lost)
	if strings.Contains(n.Output(), "PANIC") {
		t.Error("a panic was caught")
	}
	check(t, n.Stop(5*time.Second))
}
