package checker

import (
	"testing"

	core "lessor/internal/server"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// TestI5Probes: who answers the server's own questions is noticed.
func TestI5Probes(t *testing.T) {
	other := wire.MAC{2, 0x77, 0, 0, 0, 1}
	answers := func(b *history, n int) {
		for range n {
			b.asked(a100)
			b.arp(a100, other)
			b.pass(30)
		}
	}
	look := func(conflicts uint64) func(b *history) {
		return func(b *history) {
			b.counts(func(c *trace.Counts) { c.Counters.Alarms[core.AlarmProbeConflict] = conflicts })
		}
	}
	tell(t, []story{
		{name: "three answers that nobody heard", breaks: []string{"I5"}, tell: func(b *history) { answers(b, 3); look(0)(b) }},
		{name: "the kernel asks for a router", tell: func(b *history) {
			for _, router := range []string{"198.18.0.50", "192.0.2.1"} {
				for range 3 {
					b.asked(router)
					b.arp(router, other)
					b.pass(30)
				}
			}
			look(0)(b)
		}},
		{name: "two may be lost", tell: func(b *history) { answers(b, 2); look(0)(b) }},
		{name: "they were heard", tell: func(b *history) { answers(b, 3); look(1)(b) }},
		{name: "they came late", tell: func(b *history) {
			for range 3 {
				b.asked(a100)
				b.pass(0.6)
				b.arp(a100, other)
			}
			look(0)(b)
		}},
		{name: "the client itself", tell: func(b *history) {
			b.discover(who{hw: 1})
			for range 3 {
				b.asked(a100)
				b.arp(a100, who{hw: 1}.mac())
			}
			look(0)(b)
		}},
	})
}
