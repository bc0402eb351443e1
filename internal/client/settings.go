package client

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// minMaskBits is the length of the shortest mask that is taken. A shorter one would
// put several networks of class A on the link, and a server that lies could have half
// of the Internet sent to its own wire with two octets (CVE-2024-3661).
const minMaskBits = 8

// minMTU is the least value of option 26 that is taken: a host must be able to
// take packets of 576 octets (RFC 791 3.1), and DHCP itself needs them (RFC 2131 2).
const minMTU = 576

// Refusal is an option that was not used, and why.
type Refusal struct {
	Code   dhcp4.Code
	Reason Reason
}

// ReadLease reads what an OFFER or ACK promises: address, mask, server, lifetime and
// settings. reason is None, or why the message is no lease that a host can use; then
// the rest does not matter. Points of time are left zero; T1 and T2 hold seconds,
// both lease.Infinite for a lease without an end, and are never 0 and never after the
// end. l keeps a copy of the message. c says which routes are taken. refused is
// appended to and returned: one entry for each option and reason, however often.
//
// A message is a good offer when it is no longer than MaxACK, when options 54 and 51
// are there with four octets, 54 is the address of one host, 51 is not 0, option 1 is
// a mask of 8 to 32 bits, and yiaddr is an address that a host can have in that
// prefix and not the server's own. Without an option 1 of four octets the mask is
// that of the address's class (RFC 950 2.1).
func ReadLease(c *Config, v *dhcp4.View, from wire.MAC, refused []Refusal) (l Lease, _ []Refusal, reason Reason) {
	r := reader{c: c, v: v, l: &l, refused: refused, old: len(refused)}
	if reason := r.offer(); reason != None {
		return Lease{}, refused, reason
	}
	l.ServerMAC = from
	l.ACK = append([]byte(nil), v.Bytes()...)
	r.times()
	r.settings()
	return l, r.refused, None
}

// reader is one call of ReadLease.
type reader struct {
	c       *Config
	v       *dhcp4.View
	l       *Lease
	refused []Refusal
	old     int    // how many refusals are not ours
	scratch []byte // for options that come in parts
}

// offer reads what makes a message a lease, and says why it is none.
func (r *reader) offer() Reason {
	if len(r.v.Bytes()) > MaxACK {
		return LeaseTooLong
	}
	server, ok := r.v.Addr(dhcp4.OptDHCPServerIdentifier)
	switch {
	case !ok:
		return LeaseNoServer
	case !server.IsUnicastHost():
		return LeaseBadServer
	}
	lifetime, ok := r.v.Uint32(dhcp4.OptDHCPLeaseTime)
	switch {
	case !ok:
		return LeaseNoTime
	case lifetime == 0:
		return LeaseZeroTime
	}
	addr := r.v.YIAddr()
	if !addr.IsUnicastHost() || addr == server {
		return LeaseBadAddress
	}
	bits, ok := r.maskBits(addr)
	if !ok {
		return LeaseBadMask
	}
	r.l.Addr = dhcp4.Prefix{Addr: addr, Bits: bits}
	if !r.l.Addr.IsHost(addr) {
		return LeaseNotHost
	}
	r.l.Server, r.l.Lifetime = server, lifetime
	return None
}

// maskBits is the length of the mask of option 1, or of the address's class where
// the option is missing or has not four octets. ok is false for what is no mask.
func (r *reader) maskBits(addr dhcp4.Addr) (bits int, ok bool) {
	mask, there := r.uint32(dhcp4.OptSubnetMask)
	if !there {
		return classBits(addr), true
	}
	for bits < 32 && mask<<bits>>31 == 1 {
		bits++
	}
	return bits, bits >= minMaskBits && mask<<bits == 0
}

// classBits is the length of the network number of an address of class A, B or C.
func classBits(a dhcp4.Addr) int {
	switch {
	case a>>31 == 0:
		return 8
	case a>>30 == 2:
		return 16
	default:
		return 24
	}
}

// times sets T1 and T2: options 58 and 59 where they are in order, else a half and
// seven eighths of the lifetime (RFC 2131 4.4.5).
func (r *reader) times() {
	t := r.l.Lifetime
	d1, d2 := defaultTimes(t)
	r.l.T1, r.l.T2 = int64(d1), int64(d2)
	if t == lease.Infinite {
		return
	}
	t1, sent1 := r.uint32(dhcp4.OptDHCPRenewalTime)
	t2, sent2 := r.uint32(dhcp4.OptDHCPRebindingTime)
	if !sent1 {
		t1 = d1
	}
	if !sent2 {
		t2 = d2
	}
	if 0 < t1 && t1 < t2 && t2 < t {
		r.l.T1, r.l.T2 = int64(t1), int64(t2)
		return
	}
	if sent1 {
		r.refuse(dhcp4.OptDHCPRenewalTime, OptionDisorder)
	}
	if sent2 {
		r.refuse(dhcp4.OptDHCPRebindingTime, OptionDisorder)
	}
}

// defaultTimes are T1 and T2 in seconds where the server says nothing. They are at
// least 1, so that no server makes the client ask without a pause.
func defaultTimes(t uint32) (t1, t2 uint32) {
	t1, t2, ok := lease.Timers(t)
	switch {
	case ok:
		return t1, t2
	case t == lease.Infinite:
		return lease.Infinite, lease.Infinite
	default:
		return max(1, t/2), max(1, t*7/8)
	}
}

// settings reads the options that are used once there is a lease. None of them can
// spoil it.
func (r *reader) settings() {
	s := &r.l.Settings
	s.Broadcast = r.broadcast()
	r.routes()
	if mtu, ok := r.uint16(dhcp4.OptInterfaceMTU); ok && mtu < minMTU {
		r.refuse(dhcp4.OptInterfaceMTU, OptionTooSmall)
	} else if ok {
		s.MTU = mtu
	}
	s.DNS = r.hosts(dhcp4.OptDomainNameServers)
	s.NTP = r.hosts(dhcp4.OptNTPServers)
	s.HostName = r.name(dhcp4.OptHostName)
	s.Domain = r.name(dhcp4.OptDomainName)
	s.Search = r.search()
	s.CaptivePortal = r.url(dhcp4.OptV4CaptivePortal)
	s.TimeZone = r.timeZone(dhcp4.OptTCode)
}

// broadcast is the broadcast address. Option 28 may say what the mask says or
// 255.255.255.255 (RFC 1122 3.2.1.3); any other value would make one host of the
// network, such as its router, unreachable.
func (r *reader) broadcast() dhcp4.Addr {
	own, has := r.l.Addr.BroadcastAddr()
	if !has {
		own = 0
	}
	sent, ok := r.uint32(dhcp4.OptBroadcastAddress)
	switch a := dhcp4.Addr(sent); {
	case !ok:
	case has && (a == own || a == dhcp4.Broadcast):
		return a
	default:
		r.refuse(dhcp4.OptBroadcastAddress, OptionBadAddress)
	}
	return own
}

// hosts reads a list of addresses, each of one host, each once, at most MaxServers.
func (r *reader) hosts(code dhcp4.Code) (list []dhcp4.Addr) {
	val, ok := r.get(code)
	if !ok {
		return nil
	}
	if len(val) == 0 || len(val)%4 != 0 {
		r.refuse(code, OptionLength)
		return nil
	}
next:
	for ; len(val) > 0; val = val[4:] {
		a := dhcp4.AddrFromBytes(val)
		if !a.IsUnicastHost() {
			r.refuse(code, OptionBadAddress)
			continue
		}
		for _, b := range list {
			if a == b {
				continue next
			}
		}
		if len(list) == MaxServers {
			r.refuse(code, OptionTooMany)
			return list
		}
		list = append(list, a)
	}
	return list
}

// uint32 and uint16 read a number. A wrong length is a refusal, and no number.
func (r *reader) uint32(code dhcp4.Code) (uint32, bool) {
	n, ok := r.v.Uint32(code)
	if !ok && r.v.Has(code) {
		r.refuse(code, OptionLength)
	}
	return n, ok
}

func (r *reader) uint16(code dhcp4.Code) (uint16, bool) {
	n, ok := r.v.Uint16(code)
	if !ok && r.v.Has(code) {
		r.refuse(code, OptionLength)
	}
	return n, ok
}

// get is the whole value of an option, joined where it came in parts (RFC 3396). It
// is valid until the next get.
func (r *reader) get(code dhcp4.Code) ([]byte, bool) {
	if n := r.v.Len(code); n > len(r.scratch) {
		r.scratch = make([]byte, n)
	}
	return r.v.Get(code, r.scratch)
}

// text is the value of a text option without the zeros that some servers end it
// with (RFC 2132 2).
func (r *reader) text(code dhcp4.Code) ([]byte, bool) {
	val, ok := r.get(code)
	for len(val) > 0 && val[len(val)-1] == 0 {
		val = val[:len(val)-1]
	}
	if ok && len(val) == 0 {
		r.refuse(code, OptionLength)
	}
	return val, ok && len(val) > 0
}

// refuse notes that an option is not used, once for each reason.
func (r *reader) refuse(code dhcp4.Code, why Reason) {
	for _, f := range r.refused[r.old:] {
		if f.Code == code && f.Reason == why {
			return
		}
	}
	r.refused = append(r.refused, Refusal{code, why})
}
