package server_test

import (
	"bytes"
	"testing"

	"lessor/internal/server"
)

// TestRepliesHoldNothingElse compares replies over memory that was filled with a
// pattern before: no octet of a reply comes from elsewhere (I12, CVE-2017-14494).
func TestRepliesHoldNothingElse(t *testing.T) {
	run := func(fill byte) [][]byte {
		c, now := benchCore(t, 10)
		var e server.Effects
		d := discover(3)
		for range 3 { // grow the memory, then poison what it held
			c.Handle(*now, &d, &e)
			for _, r := range e.Replies {
				for i := range r.Data {
					r.Data[i] = fill
				}
			}
			e.Reset()
		}
		p := renewal(4, 77)
		c.Handle(*now, &d, &e)
		c.Handle(*now, &p, &e)
		var out [][]byte
		for _, r := range e.Replies {
			out = append(out, bytes.Clone(r.Data))
		}
		return out
	}
	a, b := run(0xaa), run(0x55)
	if len(a) != 2 || len(b) != 2 {
		t.Fatalf("%d and %d replies, want 2 each", len(a), len(b))
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			t.Errorf("reply %d depends on what the memory held before:\n%x\n%x", i, a[i], b[i])
		}
	}
}
