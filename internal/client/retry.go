package client

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
)

// exchange is one question that is repeated until an answer comes.
type exchange struct {
	xid   uint32
	first int64  // first transmission of the message; the lease counts from it
	last  int64  // last transmission
	secs  uint16 // of the last message; a REQUEST repeats the DISCOVER's (RFC 2131 3.1 ¶4)
	try   int    // transmissions so far; 0: no question is out

	byUser bool // of RENEWING and REBINDING: the user asked
}

// How often a REQUEST is sent before the client gives up: 4, 8, 16 and 32 s make the 60
// s of RFC 2131 3.1 ¶5.
const (
	requestTries = 4
	rebootTries  = 3
	askedTries   = 4 // of a lease without an end, which can be renewed only because the user asks
)

// backoff is the wait after transmission try: 4, 8, 16, 32, 64, 64 … s, each up to a
// second shorter or longer (RFC 2131 4.1).
func (r *random) backoff(try int) int64 {
	wait := int64(4) << min(try-1, 4) * lease.Second
	return wait + r.between(-lease.Second, lease.Second)
}

// begin starts an exchange with a transaction id of its own.
func (m *Machine) begin() { m.ex = exchange{xid: m.random.xid()} }

// sent notes a transmission and plans the next.
func (m *Machine) sent(wait int64) {
	m.at[timerRetry] = lease.Never
	if wait > 0 {
		m.at[timerRetry] = later(m.now, wait)
	}
}

// count is the number of the transmission that is about to leave.
func (m *Machine) count() int {
	m.ex.try++
	if m.ex.try == 1 {
		m.ex.first = m.now
	}
	m.ex.last = m.now
	return m.ex.try
}

// retry does what is to be done when no answer came in time.
func (m *Machine) retry() {
	switch m.state {
	case Selecting:
		m.sendDiscover()
	case Requesting:
		if m.ex.try < requestTries && m.now < m.worthless() {
			m.sendSelect()
			return
		}
		m.silent = m.offer.lease.Server
		m.pause(NoAnswer, 0)
	case Rebooting:
		if m.ex.try < rebootTries {
			m.sendReboot()
			return
		}
		m.rebootUnanswered()
	case Renewing, Rebinding:
		if m.lease.End == lease.Never && m.ex.try >= askedTries {
			m.clear()
			m.setState(Bound, NoAnswer)
			m.watch()
			return
		}
		m.sendExtend()
	}
}

// worthless is when an ACK comes too late to be worth anything, because the lease counts
// from the first REQUEST.
func (m *Machine) worthless() int64 { return lease.After(m.ex.first, m.offer.lease.Lifetime) }

// later is the instant d nanoseconds after t, kept below lease.Never.
func later(t, d int64) int64 {
	if s := t + d; s >= t && s < lease.Never {
		return s
	}
	return lease.Never - 1
}

// seconds is the value of the secs field for something that began at since.
func (m *Machine) seconds(since int64) uint16 {
	return uint16(min(max((m.now-since)/lease.Second, 0), 0xffff))
}

// broadcastRequest is a REQUEST before there is an address: in REQUESTING with the
// server, in REBOOTING without (RFC 2131 4.3.2).
func (m *Machine) broadcastRequest(addr, server dhcp4.Addr) {
	try := m.count()
	wait, giveUp := m.random.backoff(try), lease.Never
	if m.state == Requesting && later(m.now, wait) >= m.worthless() {
		wait, giveUp = 0, m.worthless()
	}
	m.send(&message{typ: dhcp4.Request, xid: m.ex.xid, secs: m.ex.secs, requested: addr, server: server, broadcast: true},
		toAll(0), try, wait)
	m.sent(wait)
	m.at[timerRetry] = min(m.at[timerRetry], giveUp)
}
