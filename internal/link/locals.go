package link

import (
	"slices"
	"sync/atomic"

	"lessor/dhcp4"
)

// Locals is the set of IPv4 addresses that this host answers to, on whatever
// interface: a packet socket also sees datagrams that the host merely forwards, and
// those belong to another server. It may be read and replaced at the same time.
type Locals struct {
	sorted atomic.Pointer[[]dhcp4.Addr]
}

// Set replaces the set with the addresses of ifs and their directed broadcast
// addresses.
func (l *Locals) Set(ifs []Interface) {
	var as []dhcp4.Addr
	for i := range ifs {
		for _, p := range ifs[i].Addrs {
			as = append(as, p.Addr)
			if b, ok := p.Masked().BroadcastAddr(); ok && !ifs[i].Loopback {
				as = append(as, b)
			}
		}
	}
	slices.Sort(as)
	l.sorted.Store(&as)
}

// Ours reports whether a datagram to a is for this host. The broadcast address
// of all zeros is the one of old hosts (RFC 1122, section 3.3.6).
func (l *Locals) Ours(a dhcp4.Addr) bool {
	if a == dhcp4.Broadcast || a == 0 {
		return true
	}
	s := l.sorted.Load()
	if s == nil {
		return false
	}
	_, ok := slices.BinarySearch(*s, a)
	return ok
}
