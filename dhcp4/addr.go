package dhcp4

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Addr is an IPv4 address in host byte order, so that a range of addresses is a
// range of integers. The zero Addr is 0.0.0.0, which DHCP uses for "none".
type Addr uint32

// Broadcast is the limited broadcast address 255.255.255.255.
const Broadcast Addr = 0xffffffff

// AddrFrom4 returns the address whose four octets, in network order, are b.
func AddrFrom4(b [4]byte) Addr { return Addr(binary.BigEndian.Uint32(b[:])) }

// AddrFromBytes reads the first four octets of b, which must have at least four.
func AddrFromBytes(b []byte) Addr { return Addr(binary.BigEndian.Uint32(b)) }

// AddrFromNetip converts a; ok is false when a is not an IPv4 address.
func AddrFromNetip(a netip.Addr) (addr Addr, ok bool) {
	if !a.Is4() {
		return 0, false
	}
	return AddrFrom4(a.As4()), true
}

// ParseAddr reads dotted decimal notation.
func ParseAddr(s string) (Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return 0, fmt.Errorf("%q is not an IPv4 address", s)
	}
	return AddrFrom4(a.As4()), nil
}

// MustParseAddr is ParseAddr for constants in tests; it panics on an error.
func MustParseAddr(s string) Addr {
	a, err := ParseAddr(s)
	if err != nil {
		panic(err)
	}
	return a
}

// As4 returns the four octets in network order.
func (a Addr) As4() (b [4]byte) {
	binary.BigEndian.PutUint32(b[:], uint32(a))
	return b
}

// Append appends the four octets in network order to dst.
func (a Addr) Append(dst []byte) []byte { return binary.BigEndian.AppendUint32(dst, uint32(a)) }

// Netip converts a to a netip.Addr.
func (a Addr) Netip() netip.Addr { return netip.AddrFrom4(a.As4()) }

// String returns dotted decimal notation.
func (a Addr) String() string { return a.Netip().String() }

// AppendText appends dotted decimal notation to dst; it never fails.
func (a Addr) AppendText(dst []byte) ([]byte, error) { return a.Netip().AppendTo(dst), nil }

// MarshalText returns dotted decimal notation.
func (a Addr) MarshalText() ([]byte, error) { return a.AppendText(nil) }

// UnmarshalText reads dotted decimal notation.
func (a *Addr) UnmarshalText(b []byte) (err error) {
	*a, err = ParseAddr(string(b))
	return err
}

// IsMulticast reports whether a lies in 224.0.0.0/4.
func (a Addr) IsMulticast() bool { return a>>28 == 0xe }

// IsLoopback reports whether a lies in 127.0.0.0/8.
func (a Addr) IsLoopback() bool { return a>>24 == 127 }

// IsUnicastHost reports whether a can be the address of one host: not in
// 0.0.0.0/8, loopback, multicast, class E or the limited broadcast address.
func (a Addr) IsUnicastHost() bool { return a>>24 != 0 && a>>24 != 127 && a>>28 < 0xe }

// Range is the addresses First to Last, both included; it is empty when
// Last < First.
type Range struct{ First, Last Addr }

// Contains reports whether a lies in r.
func (r Range) Contains(a Addr) bool { return r.First <= a && a <= r.Last }

// Size is the number of addresses in r.
func (r Range) Size() uint64 {
	if r.Last < r.First {
		return 0
	}
	return uint64(r.Last-r.First) + 1
}

// Overlaps reports whether r and s share an address.
func (r Range) Overlaps(s Range) bool { return r.First <= s.Last && s.First <= r.Last }

// String returns "first-last".
func (r Range) String() string { return r.First.String() + "-" + r.Last.String() }

// Prefix is an IPv4 subnet: its address with the host bits zero, and its length.
type Prefix struct {
	Addr Addr
	Bits int // 0 to 32
}

// Mask is the subnet mask, for example 255.255.255.0.
func (p Prefix) Mask() Addr {
	if p.Bits <= 0 {
		return 0
	}
	return Addr(^uint32(0) << (32 - p.Bits))
}

// Masked is p with the host bits of its address cleared.
func (p Prefix) Masked() Prefix { return Prefix{p.Addr & p.Mask(), p.Bits} }

// Contains reports whether a lies in p.
func (p Prefix) Contains(a Addr) bool { return (a^p.Addr)&p.Mask() == 0 }

// Range is every address of p, its network and broadcast address included.
func (p Prefix) Range() Range {
	net := p.Addr & p.Mask()
	return Range{net, net | ^p.Mask()}
}

// BroadcastAddr is the directed broadcast address of p; ok is false for /31 and
// /32, which have none (RFC 3021).
func (p Prefix) BroadcastAddr() (a Addr, ok bool) {
	return p.Addr | ^p.Mask(), p.Bits <= 30
}

// IsHost reports whether a is an address of p that a host can have: for prefixes
// up to /30 neither the network nor the broadcast address.
func (p Prefix) IsHost(a Addr) bool {
	r := p.Range()
	return p.Contains(a) && (p.Bits > 30 || a != r.First && a != r.Last)
}

// String returns CIDR notation.
func (p Prefix) String() string { return fmt.Sprintf("%s/%d", p.Addr, p.Bits) }

// MarshalText returns CIDR notation.
func (p Prefix) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads CIDR notation; host bits stay, so that what MarshalText wrote of a
// host's own address and its prefix length comes back.
func (p *Prefix) UnmarshalText(b []byte) error {
	np, err := netip.ParsePrefix(string(b))
	if err != nil || !np.Addr().Is4() {
		return fmt.Errorf("%q is not an IPv4 prefix such as 192.0.2.0/24", b)
	}
	*p = Prefix{AddrFrom4(np.Addr().As4()), np.Bits()}
	return nil
}

// ParsePrefix reads CIDR notation; host bits must be zero.
func ParsePrefix(s string) (Prefix, error) {
	np, err := netip.ParsePrefix(s)
	if err != nil || !np.Addr().Is4() {
		return Prefix{}, fmt.Errorf("%q is not an IPv4 subnet such as 192.0.2.0/24", s)
	}
	p := Prefix{AddrFrom4(np.Addr().As4()), np.Bits()}
	if p != p.Masked() {
		return Prefix{}, fmt.Errorf("%q has host bits set: the subnet is %s", s, p.Masked())
	}
	return p, nil
}
