//go:build !race

package policy

import (
	"testing"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// lookups does once what the server does for a packet.
func lookups(p *Policy, l *wire.Link, a dhcp4.Addr, id, hw []byte) (found int) {
	n := p.NetworkOfLink(l)
	s := p.SubnetOf(a)
	if n == nil || s == nil {
		return 0
	}
	if n.Contains(a) != nil {
		found++
	}
	if s.PoolOf(a) != nil {
		found++
	}
	if n.Reservation(&Keys{ClientID: id, HType: 1, HW: hw}) != nil {
		found++
	}
	if n.Reservation(&Keys{HType: 1, HW: hw}) != nil {
		found++
	}
	if n.ReservedBy(a) != nil {
		found++
	}
	if _, ok := s.Options.Get(6); ok {
		found++
	}
	return found
}

func TestLookupsDoNotAllocate(t *testing.T) {
	p := big(t, 500)
	base := addr("198.18.99.0")
	l := &wire.Link{Addrs: []dhcp4.Prefix{{Addr: base + 1, Bits: 24}}}
	hw := []byte{2, 0, 0, 0, 0, 99}
	id := append([]byte{1}, hw...)
	if got := lookups(p, l, base+80, id, hw); got != 5 {
		t.Fatalf("found %d of 5", got)
	}
	if n := testing.AllocsPerRun(1000, func() { lookups(p, l, base+80, id, hw) }); n != 0 {
		t.Errorf("%v allocations for the look-ups of a packet", n)
	}
}
