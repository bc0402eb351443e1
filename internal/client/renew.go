package client

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// watch plans T1 and T2 of the lease. Where T2 is past, T1 does not count any more.
func (m *Machine) watch() {
	m.at[timerT1], m.at[timerT2], m.at[timerEnd] = m.lease.T1, m.lease.T2, m.lease.End
	if m.lease.T2 <= m.now {
		m.at[timerT1] = lease.Never
	}
}

// extend asks for more time: in RENEWING the server that gave the lease, by unicast,
// in REBINDING all, by broadcast (RFC 2131 4.4.5). Each is an exchange of its own.
func (m *Machine) extend(s State, why Reason) {
	if next := later(m.ex.last, lease.Second); why == RebindingTime && m.ex.try > 0 && m.now < next {
		m.at[timerT2] = next // of a lease of seconds; if that is after its end, the end comes first
		return
	}
	m.begin()
	m.ex.byUser = why == AskedRenew || why == AskedRebind
	m.at[timerT1] = lease.Never
	if s == Rebinding {
		m.at[timerT2] = lease.Never
	}
	m.setState(s, why)
	m.sendExtend()
}

func (m *Machine) sendExtend() {
	try := m.count()
	msg := message{typ: dhcp4.Request, xid: m.ex.xid, secs: m.seconds(m.ex.first), ciaddr: m.lease.Addr.Addr}
	to, wait := toAll(msg.ciaddr), m.extendWait(m.lease.End)
	if m.state == Renewing {
		// The kernel finds the way: the server may be behind a router.
		to, wait = wire.Send{Src: msg.ciaddr, Dst: m.lease.Server}, m.extendWait(m.lease.T2)
	}
	m.send(&msg, to, try, wait)
	m.sent(wait)
}

// extendWait is the time until the REQUEST is repeated: half of what is left until
// the given point, at least 60 s. A lease of less than four minutes has no room for
// that, so there the least is a sixteenth of it, and 1 s. 0 means that the time until
// then is too short for another one.
func (m *Machine) extendWait(until int64) int64 {
	if until == lease.Never {
		return m.random.backoff(m.ex.try)
	}
	least := 60 * lease.Second
	if m.lease.Lifetime < 240 {
		least = max(1*lease.Second, int64(m.lease.Lifetime)*lease.Second/16)
	}
	wait := max((until-m.now)/2, least)
	if wait >= until-m.now {
		return 0
	}
	return wait
}

// askedFor is the user's renew or rebind. Without a lease it begins anew, and only
// the pause after a conflict holds it up.
func (m *Machine) askedFor(why Reason) {
	m.released = false
	switch m.state {
	case Bound, Renewing, Rebinding:
		if why == AskedRenew && (m.lease.End == lease.Never || m.now < m.lease.T2) {
			m.at[timerT2] = m.lease.T2
			m.extend(Renewing, why)
		} else {
			m.extend(Rebinding, why)
		}
	case Init, Selecting, Requesting:
		if m.up {
			m.pause(why, 0)
		}
	}
}

// ended takes off an address whose lease is over and begins anew. That address is
// asked for again.
func (m *Machine) ended() {
	m.deconfigure(Expired)
	addr := m.lease.Addr.Addr
	m.drop()
	switch m.state {
	case Checking, Bound, Renewing, Rebinding, Rebooting:
		m.wish = addr
		m.pause(Expired, 0)
	}
}

// release gives the address back, while it still can be used, and waits for the user.
func (m *Machine) release() {
	if m.has && (m.configured || m.state == Checking) {
		to := wire.Send{Raw: true, MAC: m.lease.ServerMAC, Src: m.lease.Addr.Addr, Dst: m.lease.Server}
		if to.MAC == (wire.MAC{}) {
			to.Raw = false
		}
		m.send(&message{typ: dhcp4.Release, xid: m.random.xid(), ciaddr: m.lease.Addr.Addr, server: m.lease.Server,
			text: "released by the user"}, to, 1, 0)
	}
	m.deconfigure(AskedRelease)
	m.wish = m.lease.Addr.Addr // 0 without a lease
	if m.has {
		m.endRemembered()
	}
	m.drop()
	m.clear()
	m.released, m.acquired = true, lease.Never
	m.setState(Init, AskedRelease)
}

// stop takes everything off the interface. The lease stays in memory for the next
// start.
func (m *Machine) stop() {
	m.deconfigure(Stopped)
	m.clear()
	m.drop()
	m.setState(Init, Stopped)
	m.stopped = true
}
