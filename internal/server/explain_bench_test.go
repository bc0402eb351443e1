package server_test

import (
	"testing"

	"lessor/internal/server"
)

// BenchmarkExplain is what one question costs while thousands of offers are out.
func BenchmarkExplain(b *testing.B) {
	c, now := benchCore(b, 1000)
	var e server.Effects
	for i := range 60_000 {
		d := discover(2000 + i)
		c.Handle(*now, &d, &e)
		e.Reset()
		now.M += 1000
	}
	d := discover(1_000_000)
	var tr server.Trace
	for b.Loop() {
		e.Reset()
		c.Explain(*now, &d, &tr, &e)
	}
	b.ReportMetric(float64(len(tr.Steps)), "steps")
}
