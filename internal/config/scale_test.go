//go:build !race

package config

import (
	"bytes"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"
)

func processorTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// campus is a file of many subnets behind relay agents, with ten reservations each.
func campus(subnets, reservations int) []byte {
	var b bytes.Buffer
	b.WriteString("interfaces: [eth0]\nvalid-lifetime: 8h\noptions: {domain-name-servers: [192.0.2.53, 198.51.100.53], domain-name: corp.example}\nsubnets:\n")
	for i := range subnets {
		// A /28 each, so that ten thousand fit into 198.18.0.0/15's addresses and next to them.
		net := 0xc6120000>>4 + i
		at := func(host int) string {
			a := net<<4 + host
			return fmt.Sprintf("%d.%d.%d.%d", a>>24&255, a>>16&255, a>>8&255, a&255)
		}
		fmt.Fprintf(&b, "  - subnet: %s/28\n    pools: [%s-%s]\n    options: {routers: %s}\n", at(0), at(12), at(14), at(1))
		if reservations > 0 {
			b.WriteString("    reservations:\n")
		}
		for r := range reservations / subnets {
			n := i*(reservations/subnets) + r
			fmt.Fprintf(&b, "      - {hw-address: 02:00:5e:%02x:%02x:%02x, ip-address: %s, hostname: host-%d}\n", n>>16&255, n>>8&255, n&255, at(2+r), n)
		}
	}
	return b.Bytes()
}

// TestCampusLoads holds that a file of 10,000 subnets and 100,000 reservations is read and
// compiled in a bounded time and space: goals of three seconds and 300 MiB. Processor time is
// measured, and three times of it allowed, for the machine has other work; the memory is
// that of the policy, and what is allocated on the way.
func TestCampusLoads(t *testing.T) {
	data := campus(10_000, 100_000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := processorTime(t)
	cfg, problems := Parse("campus.yaml", data)
	took := processorTime(t) - start
	if cfg == nil {
		t.Fatal(problems)
	}
	peak := cfg.Policy()
	runtime.GC()
	runtime.ReadMemStats(&after)
	heap := float64(after.HeapAlloc-before.HeapAlloc) / (1 << 20)
	t.Logf("%d MiB of text: %.2f s, %.0f MiB of heap, %.0f MiB allocated on the way", len(data)>>20, took.Seconds(), heap, float64(after.TotalAlloc-before.TotalAlloc)/(1<<20))
	if took > 9*time.Second {
		t.Errorf("reading took %.1f s", took.Seconds())
	}
	if heap > 100 {
		t.Errorf("the policy takes %.0f MiB", heap)
	}
	if all := (after.TotalAlloc - before.TotalAlloc) >> 20; all > 700 {
		t.Errorf("%d MiB were allocated", all)
	}
	runtime.KeepAlive(peak)
}
