package client

import (
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// check is the search for another user of our address (RFC 5227 2.1) and the
// announcements of its use (2.3).
type check struct {
	running   bool
	probes    int // still to send
	announces int // still to send
}

// examine checks a new address before it is used.
func (m *Machine) examine() {
	times := &m.c.Probe
	switch m.c.Detection {
	case DetectProbe:
		m.setState(Checking, Acknowledged)
		m.probe()
	case DetectAnnounce: // S6 and S7: say that it is ours, and listen whether anybody objects
		m.setState(Checking, Acknowledged)
		m.check = check{running: true}
		m.arp(m.lease.Addr.Addr, m.lease.Addr.Addr, wire.MAC{})
		m.at[timerCheck] = later(m.now, times.AnnounceWait)
	default:
		m.bind(Acknowledged)
	}
}

// recheck announces an address that was confirmed again and looks for another user of
// it while it is in use. A renewal at T1 is no occasion: RFC 5227 2.1 forbids a check
// at regular times, and what another user sends is seen anyhow.
func (m *Machine) recheck() {
	m.announce(m.c.Probe.AnnounceNum)
	if m.c.Detection == DetectProbe {
		m.probe()
	}
}

// probe begins the probes, after a random wait (RFC 5227 2.1.1).
func (m *Machine) probe() {
	m.check.running, m.check.probes = true, m.c.Probe.Num
	m.at[timerCheck] = later(m.now, m.random.between(0, m.c.Probe.Wait))
	if m.at[timerCheck] == m.now {
		m.at[timerCheck] = lease.Never
		m.checkOn()
	}
}

// checkOn sends the next probe, or ends the check: nobody answered.
func (m *Machine) checkOn() {
	times := &m.c.Probe
	if m.check.probes > 0 {
		m.check.probes--
		m.arp(0, m.lease.Addr.Addr, wire.MAC{}) // sender 0, so that no cache learns from it
		wait := times.AnnounceWait
		if m.check.probes > 0 {
			wait = m.random.between(times.Min, times.Max)
		}
		m.at[timerCheck] = later(m.now, wait)
		return
	}
	m.check.running = false
	if m.state != Checking {
		return
	}
	m.bind(AddressFree)
	if m.c.Detection == DetectAnnounce { // one is out already
		m.check.announces = times.AnnounceNum - 1
		m.at[timerAnnounce] = later(m.now, times.AnnounceInterval)
		return
	}
	m.announce(times.AnnounceNum)
}

// announce says n times that the address is in use by us: an ARP request with it as
// sender and target.
func (m *Machine) announce(n int) {
	if m.c.Detection == DetectOff {
		return
	}
	m.check.announces = n
	m.announceOn()
}

func (m *Machine) announceOn() {
	if m.check.announces <= 0 || !m.configured {
		return
	}
	m.check.announces--
	m.arp(m.lease.Addr.Addr, m.lease.Addr.Addr, wire.MAC{})
	if m.check.announces > 0 {
		m.at[timerAnnounce] = later(m.now, m.c.Probe.AnnounceInterval)
	}
}
