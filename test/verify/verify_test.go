package verify

import (
	"os"
	"slices"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
)

// TestVerify: real clients lease, renew, give back and decline; the server is reloaded, and
// killed and started again; what it wrote and what went over the wire is accepted.
func TestVerify(t *testing.T) {
	s := newStage(t)
	var real []*netlab.Client
	for _, kind := range []netlab.Kind{netlab.Udhcpc, netlab.Dhclient, netlab.Lessor} {
		real = append(real, s.client(kind))
	}
	c := s.crowd()
	first := map[int]dhcp4.Addr{}
	for n := range 20 {
		a := c.bind(n)
		first[n] = a
		c.renew(n, a)
		switch n % 5 {
		case 3:
			c.release(n, a)
			c.bind(100 + n)
		case 4:
			c.decline(n, a)
		}
	}
	for _, r := range real {
		s.bound(r)
	}
	s.configure(220)
	s.reload()
	check(t, os.WriteFile(s.conf, []byte("subnets: bad\n"), 0o644))
	s.reload()
	s.configure(220)
	a := c.bind(50)
	s.kill()
	c.renew(50, a)
	b := c.bind(51)
	time.Sleep(7 * time.Second) // the leases of the crowd end, and those of others are renewed
	late := c.bind(52)
	for n := range 20 {
		c.bind(200 + n)
	}
	s.stop()
	check(t, s.rec.WritePcap(s.capture))
	v, code := verify(t, "--trace", s.trace, "--capture", s.capture)
	t.Logf("%d entries, %d commits of %d changes, %d frames, %d REQUESTs, %d ACKs; notes %q", v.Entries, v.Commits, v.Changes, v.Frames, v.Requests, v.Acks, v.Notes)
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, b := range v.Breaches {
		t.Errorf("%s %s: %s", b.Rule, b.Time, b.What)
	}
	if v.Acks < 70 || v.Acks != s.acks() || v.Commits < 50 {
		t.Errorf("only %d ACKs (%d on the wire) and %d commits were judged", v.Acks, s.acks(), v.Commits)
	}

	t.Run("a capture that begins late", func(t *testing.T) {
		f := s.forge(t)
		f.frames = f.frames[len(f.frames)/3:]
		if broken, v, code := f.judge(); code != 0 || len(v.Notes) == 0 || v.Acks < 20 {
			t.Errorf("exit code %d, broken %q, %d ACKs judged, notes %q", code, broken, v.Acks, v.Notes)
		}
	})
	t.Run("no capture", func(t *testing.T) {
		if v, code := verify(t, "--trace", s.trace); code != 0 || v.Commits < 50 {
			t.Errorf("exit code %d, %d commits", code, v.Commits)
		}
	})
	t.Run("the store", func(t *testing.T) {
		if v, code := verify(t, "--state", s.state); code != 0 || len(v.Decided) != 1 {
			t.Errorf("exit code %d, decided %q, breaches %v", code, v.Decided, v.Breaches)
		}
	})
	for _, p := range []struct {
		name, rule string
		forge      func(f *forgery)
	}{
		// Client 1 gets the address that client 0 holds.
		{"a double binding", "I1", func(f *forgery) { f.move(c.mac(1), first[1], first[0]) }},
		// The lease of client 51 has ended a second before, its grace lasts for 5 s more.
		{"an early reuse", "I1", func(f *forgery) { f.move(c.mac(52), late, b) }},
		{"an ACK without a record", "I2", func(f *forgery) { f.lines[f.commitOf(c.mac(2), first[2])] = "" }},
		{"an ACK before its sync", "I2", func(f *forgery) { f.delay(f.commitOf(c.mac(2), first[2]), 100*time.Millisecond) }},
	} {
		t.Run(p.name, func(t *testing.T) {
			f := s.forge(t)
			p.forge(f)
			broken, v, code := f.judge()
			if code != 3 || !slices.Contains(broken, p.rule) {
				t.Errorf("exit code %d, broken %q; want 3 and %s", code, broken, p.rule)
			}
			for _, b := range v.Breaches {
				t.Logf("%s %s: %s", b.Rule, b.Time, b.What)
			}
		})
	}
}
