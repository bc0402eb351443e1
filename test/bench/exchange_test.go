package bench

import (
	"slices"
	"testing"
	"time"

	"lessor/dhcp4"
)

const (
	outstanding = 64
	bound       = 20_000 // clients that renew
	perServer   = 60_000 // exchanges with one server at most, so that the pool holds them
)

// lone is one exchange after the other with a server of its own.
type lone struct {
	*load
	site *site
}

func newLone(b *testing.B, server string) *lone {
	s := newSite(b)
	s.start(server)
	l := &lone{site: s, load: newLoad(s, dora, false, 1)}
	l.took = make([]time.Duration, 0, 1<<20)
	l.run(50) // both programs are warm
	l.took = l.took[:0]
	return l
}

// quantiles are those of all exchanges so far, in µs.
func (l *lone) quantiles() (p50, p99 float64) {
	slices.Sort(l.took)
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
	return us(l.took[len(l.took)/2]), us(l.took[len(l.took)*99/100])
}

// BenchmarkLone is one durable exchange, DISCOVER to ACK, with nothing else
// outstanding: with Lessor and with dhcpd in turn, so that both see the same machine
// (P5: the ratio of the medians is to be at most 0.6).
func BenchmarkLone(b *testing.B) {
	ours, theirs := newLone(b, "lessor"), newLone(b, "dhcpd")
	defer ours.site.close()
	defer theirs.site.close()
	for b.Loop() {
		ours.run(1)
		theirs.run(1)
	}
	p50, p99 := ours.quantiles()
	d50, d99 := theirs.quantiles()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(p50, "p50-µs")
	b.ReportMetric(p99, "p99-µs")
	b.ReportMetric(d50, "dhcpd-p50-µs")
	b.ReportMetric(d99, "dhcpd-p99-µs")
	b.ReportMetric(p50/d50, "p50-ratio")
}

// saturate measures exchanges with 64 outstanding. A server serves perServer of them,
// then a fresh one takes its place.
func saturate(b *testing.B, server string, kind exchange, relayed bool) {
	var cpu, wall time.Duration
	again := 0
	b.ResetTimer()
	for left := b.N; left > 0; {
		b.StopTimer()
		s := newSite(b)
		s.start(server)
		n := min(left, perServer)
		if kind == renewal {
			n = left
		}
		l := newLoad(s, kind, relayed, outstanding)
		if kind == renewal {
			l.bound = s.bind(bound)
		}
		used, begun := s.cpu(), time.Now()
		b.StartTimer()
		l.run(n)
		b.StopTimer()
		wall += time.Since(begun)
		cpu += s.cpu() - used
		again += l.again + l.refused
		left -= n
		s.close()
	}
	b.ReportMetric(float64(b.N)/wall.Seconds(), "exchanges/s")
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(again), "repeated")
}

// bind gives addresses to n clients behind the relay agent.
func (s *site) bind(n int) (addrs []dhcp4.Addr) {
	if s.echo {
		for i := range n {
			addrs = append(addrs, farFirst+dhcp4.Addr(i))
		}
		return addrs
	}
	l := newLoad(s, dora, true, outstanding)
	l.run(n)
	return l.bound
}

// BenchmarkDORA is a new client's lease, DISCOVER to ACK, 64 outstanding (P1; P2: CPU at
// most 1.4 times that of echo and durable-echo of BenchmarkRenewals together).
func BenchmarkDORA(b *testing.B) {
	b.Run("lessor/direct", func(b *testing.B) { saturate(b, "lessor", dora, false) })
	b.Run("lessor/relayed", func(b *testing.B) { saturate(b, "lessor", dora, true) })
	b.Run("dhcpd/relayed", func(b *testing.B) { saturate(b, "dhcpd", dora, true) })
}

// BenchmarkOffers is a new client's DISCOVER and its OFFER, 64 outstanding (P4: CPU at
// most twice that of echo).
func BenchmarkOffers(b *testing.B) {
	b.Run("lessor/direct", func(b *testing.B) { saturate(b, "lessor", offers, false) })
	b.Run("lessor/relayed", func(b *testing.B) { saturate(b, "lessor", offers, true) })
	b.Run("dhcpd/relayed", func(b *testing.B) { saturate(b, "dhcpd", offers, true) })
}

// BenchmarkRenewals is the durable renewal of one of 20,000 clients, 64 outstanding
// (P3: CPU at most 1.25 times that of durable-echo), beside echo servers with and without
// a store.
func BenchmarkRenewals(b *testing.B) {
	for _, server := range []string{"lessor", "echo", "durable-echo", "dhcpd"} {
		b.Run(server, func(b *testing.B) { saturate(b, server, renewal, true) })
	}
}
