package client

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// Waits around conflicts.
const (
	declineWait    = 10 * lease.Second  // RFC 2131 3.1 ¶5
	defendInterval = 10 * lease.Second  // RFC 5227 1.1
	maxConflicts   = 10                 // RFC 5227 1.1: after that many …
	rateLimit      = 60 * lease.Second  // … one try in this time
	quietTime      = 600 * lease.Second // without a conflict, after which counting begins anew
	avoidTime      = 600 * lease.Second // for which an address in conflict is not taken, unless
	avoidTries     = 2                  // is the number of this DISCOVER, and there is no other offer
	maxAvoided     = 16
)

// conflicts is what is known of other users of our addresses.
type conflicts struct {
	count    int
	last     int64 // time of the last one
	until    int64 // before this time nothing is asked for
	defended int64 // when the address in use was defended; 0: never
	avoid    [maxAvoided]avoided
	next     int // place of the next avoided address
}

type avoided struct {
	addr  dhcp4.Addr
	until int64
}

// hear takes an ARP message.
func (m *Machine) hear(a *wire.ARP) {
	if !m.up || a.SenderMAC == m.link.MAC || a.SenderMAC.IsMulticast() || a.SenderMAC == (wire.MAC{}) {
		return
	}
	if m.has && m.c.Detection != DetectOff && m.claims(a) {
		m.claimed(a.SenderMAC)
		return
	}
	m.hearRouter(a)
}

// claims reports whether an ARP message is a sign that another station uses the
// address, or, while we check, is about to (RFC 5227 2.1.1, 2.4).
func (m *Machine) claims(a *wire.ARP) bool {
	addr := m.lease.Addr.Addr
	switch {
	case m.state == Checking:
		probe := a.Op == arpRequest && a.SenderIP == 0 && a.TargetIP == addr
		return a.SenderIP == addr || probe
	case m.configured:
		return a.SenderIP == addr
	}
	return false
}

// claimed answers a conflict. An address that is not yet known to be free goes at
// once; one that is in use is defended once in 10 s (RFC 5227 2.4 (b)).
func (m *Machine) claimed(by wire.MAC) {
	c := &m.conflicts
	ev := Event{Kind: EventConflict, Addr: m.lease.Addr.Addr, MAC: by, Reason: AddressTaken}
	settled := m.inUse() && !m.check.running
	if settled && (c.defended == 0 || m.now-c.defended >= defendInterval) {
		c.defended = max(m.now, 1)
		ev.Reason = Defended
		m.event(&ev)
		m.arp(m.lease.Addr.Addr, m.lease.Addr.Addr, wire.MAC{})
		return
	}
	m.event(&ev)
	m.decline()
}

// decline gives the address up, tells the server, and begins anew after a pause.
func (m *Machine) decline() {
	addr, server := m.lease.Addr.Addr, m.lease.Server
	m.deconfigure(AddressTaken)
	m.send(&message{typ: dhcp4.Decline, xid: m.random.xid(), requested: addr, server: server,
		text: "another host uses the address"}, toAll(0), 1, 0)
	m.forget(addr)
	m.drop()
	c := &m.conflicts
	if m.now-c.last > quietTime {
		c.count = 0
	}
	c.count++
	c.last, c.defended = m.now, 0
	wait := declineWait
	if c.count >= maxConflicts {
		wait = rateLimit
	}
	c.until = later(m.now, wait)
	c.avoid[c.next] = avoided{addr, later(m.now, avoidTime)}
	c.next = (c.next + 1) % maxAvoided
	m.wish, m.request, m.acquired = 0, 0, lease.Never
	m.pause(AddressTaken, wait)
}

// avoided reports whether the address was in conflict a short time ago.
func (m *Machine) avoided(a dhcp4.Addr) bool {
	for i := range m.conflicts.avoid {
		if v := &m.conflicts.avoid[i]; v.addr == a && m.now < v.until {
			return true
		}
	}
	return false
}
