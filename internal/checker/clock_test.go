package checker

import (
	"testing"

	"lessor/internal/lease"
	"lessor/internal/trace"
)

// TestI14Running: deadlines count from what came in, on CLOCK_BOOTTIME, and the mark goes
// with it.
func TestI14Running(t *testing.T) {
	k, a := who{hw: 1}, "198.18.0.100"
	for _, c := range []struct {
		name  string
		off   float64
		rules []string
	}{
		{"1.5 s late", 1.5, []string{"I14"}},
		{"0.5 s late", 0.5, nil},
		{"an hour late, as the wall clock", 3600, []string{"I14"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHistory(t, "")
			b.offer(b.discover(k), a, 60)
			b.step(3600)
			q := b.selecting(k, a)
			ch := b.bind(q, a, 60)
			ch.After.End += int64(c.off * float64(second))
			b.commit(ch)
			b.ack(q, a, 60)
			b.breaks(c.rules...)
		})
	}
	for _, off := range []int64{second + 1, second} {
		b := newHistory(t, "")
		b.grant(k, a, 60)
		b.step(float64(off) / float64(second))
		b.hosts["s1"].mark.W += off
		b.commit()
		b.hosts["s1"].mark.W -= off
		if off > second {
			b.breaks("I14")
		} else {
			b.holds()
		}
	}
}

// loaded is the first Loaded entry from the end on.
func (b *history) loaded() *trace.Loaded {
	for i := len(b.entries) - 1; i >= 0; i-- {
		if l, ok := b.entries[i].Body.(*trace.Loaded); ok {
			return l
		}
	}
	b.t.Fatal("nothing was loaded")
	return nil
}

// TestI14Down: a step of the wall clock while the server was down ends nothing before its
// stored end, and gives nobody another lease.
func TestI14Down(t *testing.T) {
	k, a := who{hw: 1}, "198.18.0.100"
	for _, c := range []struct {
		name   string
		reboot bool
		off    float64
		rules  []string
	}{
		{"same boot, 1.5 s sooner", false, -1.5, []string{"I14"}},
		{"same boot, 0.5 s sooner", false, -0.5, nil},
		{"another boot, 4 s sooner", true, -4, []string{"I14"}},
		{"another boot, 1 s sooner", true, -1, nil},
		{"another boot, 10 s longer", true, 10, []string{"I14"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHistory(t, "")
			b.grant(k, a, 600)
			b.pass(60)
			b.commit()
			if c.reboot {
				b.reboot(false)
			} else {
				b.restart()
			}
			b.loaded().Records[0].End += int64(c.off * float64(second))
			b.breaks(c.rules...)
		})
	}
}

// TestI15Reload: a configuration ends nothing, and one with an error says why it is refused.
func TestI15Reload(t *testing.T) {
	k, a := who{hw: 1}, "198.18.0.100"
	other := `
interfaces: [eth0]
conflict-check: off
subnets:
  - subnet: 198.18.0.0/24
    pools: [198.18.0.102-198.18.0.110]
`
	b := newHistory(t, "")
	b.grant(k, a, 60)
	b.configure(other)
	b.commit(b.free(a))
	b.breaks("I15")

	b = newHistory(t, "")
	b.grant(k, a, 60)
	b.configure(other)
	b.release(k, a)
	b.commit(b.free(a))
	b.holds()

	b = newHistory(t, "")
	b.grant(k, a, 60)
	b.configure(other)
	b.add(&trace.Override{Addr: addrOf(a)})
	b.commit(b.change(a, func(r *lease.Binding) { r.State, r.End = lease.Released, b.now().M }))
	b.holds()

	b = newHistory(t, "")
	b.add(&trace.Config{Text: "subnets: 7", Refused: true})
	b.breaks("I15")

	b = newHistory(t, "")
	b.add(&trace.Config{Text: "subnets: 7", Refused: true, Why: "lessor.yaml:1: a list is expected"})
	b.holds()
}
