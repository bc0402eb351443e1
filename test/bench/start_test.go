package bench

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store/pebble"
)

const million = 1_000_000

// startConfig has a network that holds a million bindings beside the link's.
const startConfig = lessorConfig + `  - {subnet: 10.0.0.0/8, pools: [10.0.0.0-10.31.255.255]}
`

// fill writes a store with n running leases, as a server leaves it that was stopped.
func fill(b *testing.B, dir string, n int) {
	b.Helper()
	st := must(pebble.Open(dir, pebble.Options{}))(b)
	now := time.Now()
	i := 0
	mem := make([]byte, 0, 32*1024)
	next := func(out []lease.Binding) (k int, err error) {
		mem = mem[:0]
		for ; k < len(out) && k < 1000 && i < n; k++ {
			at := len(mem)
			mem = append(mem, 1, 2, 0xf3, byte(i>>24), byte(i>>16), byte(i>>8), byte(i))
			mem = append(mem, "client-of-a-benchmark"...)
			out[k] = lease.Binding{Addr: dhcp4.MustParseAddr("10.0.0.0") + dhcp4.Addr(i), State: lease.Bound, HType: 1,
				HW: mem[at+1 : at+7], ClientID: mem[at : at+7], Hostname: mem[at+7:],
				Lifetime: 43200, Grace: 82, Start: now.Unix(), Renewed: now.Unix(), Until: now.Unix() + 43200,
				End: 43200 * lease.Second, Free: 43282 * lease.Second, Boot: lease.BootID{1}, Rev: uint64(i + 1)}
			i++
		}
		return k, nil
	}
	mark := lease.Mark{W: now.UnixNano(), M: 1, Boot: lease.BootID{1}}
	check(b, st.Recreate(context.Background(), mark, next))
	check(b, st.Close())
}

// start is one benchmark of a server's start with n bindings in the store, which it
// makes first: the time from exec to the first OFFER, and the memory after it has
// worked for a while, when its heap is as large as it becomes. It returns the means.
func start(b *testing.B, n int) (took time.Duration, rss float64) {
	b.Helper()
	s := newSite(b)
	defer s.close()
	if n > 0 {
		fill(b, filepath.Join(s.dir, "state", "db"), n)
	}
	most, used := 0.0, time.Duration(0)
	for b.Loop() {
		begun := time.Now()
		s.startLessor(startConfig)
		s.await(30 * time.Second)
		took += time.Since(begun)
		used += s.cpu()
		b.StopTimer()
		l := newLoad(s, dora, true, outstanding)
		l.run(20_000)
		renewals := newLoad(s, renewal, true, outstanding)
		renewals.bound = l.bound
		renewals.run(40_000)
		rss += float64(s.memory("VmRSS"))
		most = max(most, float64(s.memory("VmHWM")))
		check(b, s.proc.Stop(10*time.Second))
		b.StartTimer()
	}
	took, rss = took/time.Duration(b.N), rss/float64(b.N)
	b.ReportMetric(took.Seconds(), "s-to-OFFER")
	b.ReportMetric(used.Seconds()/float64(b.N), "cpu-s-to-OFFER")
	b.ReportMetric(rss/(1<<20), "RSS-MiB")
	b.ReportMetric(most/(1<<20), "peak-MiB")
	return took, rss
}

// BenchmarkStart is the start of a server that has no lease, and of one that has a
// million of them (P11: at most 1 s longer; P10: at most 256 octets for each).
func BenchmarkStart(b *testing.B) {
	var empty, full time.Duration
	var rss0, rss1 float64
	b.Run("empty", func(b *testing.B) { empty, rss0 = start(b, 0) })
	b.Run("million", func(b *testing.B) {
		full, rss1 = start(b, million)
		if rss0 > 0 {
			b.ReportMetric((full - empty).Seconds(), "s-longer")
			b.ReportMetric((rss1-rss0)/million, "B/binding")
		}
	})
}
