package client

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
)

// choose asks for the address of the best OFFER. The REQUEST is a broadcast, so that
// the other servers see that they were not chosen (RFC 2131 3.1 ¶3).
func (m *Machine) choose() {
	if !m.offer.there {
		return
	}
	m.ex.try = 0 // of the REQUEST; xid and secs stay those of the DISCOVER
	m.at[timerSelect] = lease.Never
	m.setState(Requesting, Offered)
	m.sendSelect()
}

func (m *Machine) sendSelect() {
	m.broadcastRequest(m.offer.lease.Addr.Addr, m.offer.lease.Server)
}

// acked takes an ACK, or says why not.
func (m *Machine) acked(r *reply) Reason {
	rapid := m.state == Selecting
	switch {
	case !m.fromChosen(r):
		return OtherServer
	case rapid && !(m.c.RapidCommit && r.v.Has(dhcp4.OptRapidCommit)): // RFC 4039 3.1
		return NotRapid
	}
	if wait, ok := m.ipv6Only(r.v); ok && !m.extending() {
		m.report(r, EventReceived, None)
		m.stayAway(wait)
		return None
	}
	l, why := m.promised(r)
	switch {
	case why != None:
		return why
	case rapid && m.avoided(l.Addr.Addr):
		return AddressAvoided
	case !rapid && l.Addr.Addr != m.asked():
		return OtherAddress
	}
	m.setTimes(&l)
	if l.End <= m.now {
		return LeaseOver
	}
	m.report(r, EventReceived, None)
	for _, f := range m.refused {
		m.event(&Event{Kind: EventOption, Option: f.Code, Reason: f.Reason, Server: r.server, MAC: r.p.SrcMAC})
	}
	m.take(&l)
	return None
}

// extending reports whether the question is about a lease in use.
func (m *Machine) extending() bool { return m.state == Renewing || m.state == Rebinding }

// asked is the address that the REQUEST named.
func (m *Machine) asked() dhcp4.Addr {
	if m.state == Requesting {
		return m.offer.lease.Addr.Addr
	}
	return m.lease.Addr.Addr
}

// setTimes makes points of time of the seconds in l. They count from the first
// transmission of the question, because that is the one that may have been answered
// (RFC 2131 4.4.1).
func (m *Machine) setTimes(l *Lease) {
	l.Start, l.Obtained = m.ex.first, m.wall-(m.now-m.ex.first)
	t1, t2 := l.T1, l.T2
	l.T1, l.T2, l.End = lease.Never, lease.Never, lease.Never
	if l.Lifetime == lease.Infinite {
		return
	}
	l.T1, l.T2, l.End = lease.After(l.Start, uint32(t1)), lease.After(l.Start, uint32(t2)), lease.After(l.Start, l.Lifetime)
	// Clients that started together shall not renew together (RFC 2131 4.4.5), except
	// where the server chose the times.
	if d1, d2 := defaultTimes(l.Lifetime); t1 != int64(d1) || t2 != int64(d2) {
		return
	}
	fuzz := min(int64(l.Lifetime)*lease.Second/128, 30*lease.Second)
	l.T1 -= m.random.between(0, fuzz)
	l.T2 -= m.random.between(0, min(fuzz, (l.T2-l.T1)/2))
}

// take makes l the lease. One that was in use before stays in use; a new address is
// checked first.
func (m *Machine) take(l *Lease) {
	before, asked := m.state, m.ex.byUser
	m.lease, m.has = *l, true
	m.at[timerEnd] = l.End
	m.at[timerRetry], m.at[timerT1], m.at[timerT2] = lease.Never, lease.Never, lease.Never
	m.ex = exchange{}
	switch before {
	case Renewing:
		m.bind(Acknowledged)
		if asked {
			m.recheck()
		} else {
			m.announce(1)
		}
	case Rebinding, Rebooting:
		m.bind(Acknowledged)
		m.recheck()
	default:
		m.offer = offer{}
		m.examine()
	}
}

// bind puts the lease to use.
func (m *Machine) bind(why Reason) {
	m.silent, m.naks, m.lost, m.acquired, m.wish, m.request = 0, 0, false, lease.Never, m.lease.Addr.Addr, 0
	m.configure()
	m.setState(Bound, why)
	m.watch()
	m.findGateway()
	m.remember()
}

// naked takes a NAK, or says why not: the address is not ours, at once.
func (m *Machine) naked(r *reply) Reason {
	if !m.fromChosen(r) {
		return OtherServer
	}
	m.event(&Event{Kind: EventReceived, Type: r.typ, XID: r.v.XID(), Server: r.server, Addr: m.asked(), MAC: r.p.SrcMAC, Text: m.text(r.v)})
	m.deconfigure(Refused)
	m.forget(m.asked())
	if m.has {
		m.drop()
	}
	m.wish, m.request = 0, 0
	m.naks++
	wait := int64(0)
	if m.naks > 1 { // a server that offers what it then refuses would keep us both busy
		wait = m.random.backoff(m.naks - 1)
	}
	m.pause(Refused, wait)
	return None
}

// text copies option 56 to memory of the Effects.
func (m *Machine) text(v *dhcp4.View) []byte {
	var scratch [255]byte
	text, ok := v.Get(dhcp4.OptDHCPMessage, scratch[:])
	if !ok || len(text) == 0 {
		return nil
	}
	start := len(m.e.arena)
	m.e.arena = append(m.e.arena, text...)
	return m.e.arena[start:len(m.e.arena):len(m.e.arena)]
}
