package pebble

import (
	"context"
	"fmt"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
)

// benchStore opens a store on the disk of the temporary directory.
func benchStore(b *testing.B, dir string) *Store {
	b.Helper()
	s, err := Open(dir+"/state/db", Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// benchBinding fills in a record of the usual size without allocating.
func benchBinding(b *lease.Binding, n int, rev uint64, text []byte) {
	*b = lease.Binding{
		Addr: dhcp4.Addr(0x0a000000 + n), State: lease.Bound, HType: 1,
		HW: text[:6], ClientID: text[6:13], Hostname: text[13:21],
		Lifetime: 43200, Grace: 82, Start: 1_700_000_000, Renewed: 1_700_000_000 + int64(rev),
		Until: 1_700_043_200 + int64(rev), End: 43_200_000_000_000 + int64(rev),
		Free: 43_282_000_000_000 + int64(rev), Rev: rev, Boot: lease.BootID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
	}
	text[3], text[4], text[5] = byte(n>>16), byte(n>>8), byte(n)
	copy(text[7:13], text[:6])
}

// benchCommit renews or makes random bindings of 200,000 addresses, size at a time.
func benchCommit(b *testing.B, size int, fresh bool) {
	s := benchStore(b, b.TempDir())
	cs := make([]lease.Change, size)
	res := make([]store.Result, size)
	text := make([][]byte, size)
	for i := range text {
		text[i] = []byte("\x02\x00\x5e\x00\x00\x00\x01xxxxxxhostname")
	}
	ctx := context.Background()
	x, rev := uint64(88172645463325252), uint64(0)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += size {
		for j := range cs {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			rev++
			n := int(x % 200_000)
			if fresh {
				n = int(rev)
			}
			benchBinding(&cs[j].After, n, rev, text[j])
			if !fresh {
				cs[j].Before = cs[j].After
			}
		}
		if err := s.Commit(ctx, lease.Mark{W: 1_700_000_000_000_000_000 + int64(rev)*1000}, cs, res); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkCommit is one durable group of renewals, or of new bindings with what
// they add to the history; ns and allocations are those of one record.
func BenchmarkCommit(b *testing.B) {
	for _, kind := range []string{"renewal", "new"} {
		for _, size := range []int{1, 16, 128, 1024} {
			b.Run(fmt.Sprintf("%s-%d", kind, size), func(b *testing.B) { benchCommit(b, size, kind == "new") })
		}
	}
}

// BenchmarkLoad1M is the start with a million records: Open and Load, per record.
func BenchmarkLoad1M(b *testing.B) {
	const n = 1_000_000
	dir := b.TempDir()
	s := benchStore(b, dir)
	text := []byte("\x02\x00\x5e\x00\x00\x00\x01xxxxxxhostname")
	i := 0
	err := s.Recreate(context.Background(), lease.Mark{}, func(bs []lease.Binding) (int, error) {
		k := 0
		for ; k < 1 && i < n; k++ {
			benchBinding(&bs[k], i, uint64(i), text)
			i++
		}
		return k, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	s.Close()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		s := benchStore(b, dir)
		got := 0
		_, err := s.Load(context.Background(), nil, func(bs []lease.Binding) error { got += len(bs); return nil })
		if err != nil || got != n {
			b.Fatalf("%d records, %v", got, err)
		}
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
}
