package bench

import (
	"testing"
	"time"
)

// turn is one server of its own and what its clients do, of which a part is done in
// each round.
type turn struct {
	server string
	kind   exchange
	site   *site
	load   *load
	used   time.Duration // processor time before the first round
	begun  int
	took   time.Duration
}

// perTurn is how many exchanges a server gets before it is the next one's turn.
const perTurn = 1000

func (t *turn) start(b *testing.B) {
	t.site = newSite(b)
	t.site.start(t.server)
	t.load = newLoad(t.site, t.kind, true, outstanding)
	if t.kind == renewal {
		t.load.bound = t.site.bind(bound)
	}
	t.load.run(perTurn) // both programs are warm
	t.used = t.site.cpu()
}

func (t *turn) run() {
	if t.kind == dora && t.load.next > perServer {
		t.load.next = 0 // they come again, and the pool has their addresses still
	}
	begun := time.Now()
	t.load.run(perTurn)
	t.took += time.Since(begun)
	t.begun += perTurn
}

// cpu is the server's processor time for one exchange, in µs. What it did in the
// background while others had their turn is part of it.
func (t *turn) cpu() float64 {
	return float64((t.site.cpu() - t.used).Microseconds()) / float64(t.begun)
}

func (t *turn) rate() float64 { return float64(t.begun) / t.took.Seconds() }

// BenchmarkBeside lets Lessor and the echo servers run in turn, a thousand relayed
// exchanges each with 64 outstanding, so that whatever else the machine does slows all
// of them alike. With E and D for the processor time of echo and durable-echo: renewals
// are to cost at most 1.25 D and come at 0.75 times the rate (P3), new clients' leases at
// most 1.4 (E + D) (P2), offers at most 2 E (P4).
func BenchmarkBeside(b *testing.B) {
	turns := []*turn{{server: "echo", kind: renewal}, {server: "durable-echo", kind: renewal},
		{server: "lessor", kind: renewal}, {server: "lessor", kind: dora}, {server: "lessor", kind: offers}}
	for _, t := range turns {
		t.start(b)
		defer t.site.close()
	}
	for b.Loop() {
		for _, t := range turns {
			t.run()
		}
	}
	e, d, renewals, leases, discovers := turns[0], turns[1], turns[2], turns[3], turns[4]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(e.cpu(), "E-µs")
	b.ReportMetric(d.cpu(), "D-µs")
	b.ReportMetric(renewals.cpu(), "renewal-µs")
	b.ReportMetric(renewals.cpu()/d.cpu(), "renewal/D")
	b.ReportMetric(renewals.rate()/d.rate(), "renewal-rate/D-rate")
	b.ReportMetric(leases.cpu(), "DORA-µs")
	b.ReportMetric(leases.cpu()/(e.cpu()+d.cpu()), "DORA/(E+D)")
	b.ReportMetric(discovers.cpu(), "offer-µs")
	b.ReportMetric(discovers.cpu()/e.cpu(), "offer/E")
}
