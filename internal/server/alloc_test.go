//go:build !race

package server_test

import (
	"encoding/binary"
	"testing"

	"lessor/internal/server"
)

// TestAnsweringAllocatesNothing holds P12 for the core: a renewal in steady state
// and an offer to a client that has one.
func TestAnsweringAllocatesNothing(t *testing.T) {
	c, now := benchCore(t, 1000)
	var e server.Effects
	p, d := renewal(7, 1), discover(5000)
	xid := uint32(0)
	one := func() {
		for range 64 {
			xid++
			binary.BigEndian.PutUint32(p.Data[4:], xid)
			c.Handle(*now, &p, &e)
			c.Handle(*now, &d, &e)
			now.M += 1000
		}
		c.Durable(e.Changes[len(e.Changes)-1].After.Rev)
		e.Reset()
	}
	one()
	one()
	if n := testing.AllocsPerRun(50, one); n != 0 {
		t.Errorf("%v allocations for 64 renewals and 64 offers, want none", n)
	}
}
