package client

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// offer is the best OFFER so far.
type offer struct {
	lease Lease
	there bool
}

// linkUp takes the interface as it is now.
func (m *Machine) linkUp(l wire.Link) {
	was, old := m.up, m.link
	m.link, m.up = l, true
	m.link.Addrs = nil
	m.compose.setLink(m.link)
	switch {
	case !was:
		m.start(Started)
	case l.ID != old.ID:
		m.networkChanged()
	case l.MAC != old.MAC:
		m.macChanged()
	}
}

// linkDown makes the address unusable and keeps the lease.
func (m *Machine) linkDown() {
	if !m.up {
		return
	}
	m.up = false
	m.leave(LinkDown)
}

// networkChanged makes the address unusable until the network is known.
func (m *Machine) networkChanged() {
	if !m.up {
		return
	}
	m.leave(NetworkChanged)
	m.start(NetworkChanged)
}

// leave ends everything that belongs to the network so far. A pause that the network
// asked for (RFC 8925 3.2) or that its servers earned is void.
func (m *Machine) leave(why Reason) {
	m.deconfigure(why)
	m.clear()
	m.gateway, m.lost, m.wish, m.naks, m.silent, m.acquired = gateway{}, false, 0, 0, 0, lease.Never
	m.setState(Init, why)
}

// start finds out where we are: by ARP where a network is remembered, else by
// DISCOVER.
func (m *Machine) start(why Reason) {
	m.clear()
	m.setState(Init, why)
	if m.released || !m.up {
		return
	}
	if m.conflicts.until > m.now { // no cable ends the pause after a conflict
		m.next, m.attach = PauseOver, true
		m.at[timerStart] = m.conflicts.until
		return
	}
	if m.anyCandidate() {
		m.setState(InitReboot, why)
		m.gateway.tries = 0
		m.askOn()
		return
	}
	m.unknownNetwork(why)
}

// unknownNetwork begins anew in a network of which nothing is remembered. The first
// DISCOVER waits, so that hosts that start together do not ask together (RFC 2131
// 4.4.1).
func (m *Machine) unknownNetwork(why Reason) {
	m.deconfigure(why)
	m.drop()
	m.wish = 0
	m.fresh(why)
}

// fresh goes to INIT and sends a DISCOVER after the random wait of the RFC.
func (m *Machine) fresh(why Reason) {
	wait := int64(0)
	if !m.c.Fast {
		wait = m.random.between(1*lease.Second, 10*lease.Second)
	}
	m.pause(why, wait)
	m.next = why
}

// pause goes to INIT and sends a DISCOVER after d, at once for 0. After a conflict it
// is never sooner than RFC 2131 3.1 ¶5 and RFC 5227 2.1.1 allow.
func (m *Machine) pause(why Reason, d int64) {
	m.clear()
	m.setState(Init, why)
	if d = max(d, m.conflicts.until-m.now); d <= 0 {
		m.discover(why)
		return
	}
	m.next = PauseOver
	m.at[timerStart] = later(m.now, d)
}

// discover looks for servers.
func (m *Machine) discover(why Reason) {
	m.deconfigure(why)
	m.clear()
	m.begin()
	if m.acquired == lease.Never {
		m.acquired = m.now
	}
	m.setState(Selecting, why)
	m.sendDiscover()
}

func (m *Machine) sendDiscover() {
	try := m.count()
	if m.c.RapidCommit {
		// An ACK may answer it, and the lease counts from the message that is
		// answered: each transmission has an xid of its own (RFC 2131 4.1).
		if try > 1 {
			m.ex.xid = m.random.xid()
		}
		m.ex.first = m.now
	}
	m.ex.secs = m.seconds(m.acquired)
	wait := m.random.backoff(try)
	m.send(&message{typ: dhcp4.Discover, xid: m.ex.xid, secs: m.ex.secs, requested: m.wanted(), broadcast: true}, toAll(0), try, wait)
	m.sent(wait)
	if m.lost { // the port of a switch may have been closed for half a minute
		m.askCandidates()
	}
}

// offered takes an OFFER, or says why not.
func (m *Machine) offered(r *reply) Reason {
	if wait, ok := m.ipv6Only(r.v); ok {
		m.report(r, EventReceived, None)
		m.stayAway(wait)
		return None
	}
	l, why := m.promised(r)
	switch {
	case why != None:
		return why
	case m.avoided(l.Addr.Addr) && m.ex.try < avoidTries:
		// After that it is taken and checked once more: some servers offer nothing else until
		// they are told a second time, and the other host may have gone.
		return AddressAvoided
	case r.server == m.silent && m.ex.try < avoidTries:
		return ServerSilent // or one server that never acknowledges keeps us from all others
	}
	m.report(r, EventReceived, None)
	if !m.offer.there || m.better(&l, &m.offer.lease) {
		m.offer = offer{lease: l, there: true}
	}
	if m.c.SelectTimeout <= 0 {
		m.choose()
	} else if m.at[timerSelect] == lease.Never {
		m.at[timerSelect] = later(m.now, m.c.SelectTimeout)
		m.at[timerRetry] = lease.Never
	}
	return None
}

// better reports whether a is worth more than b: nobody else had its address, it is the one
// that was asked for, or its lease is longer. Of equals the first stays.
func (m *Machine) better(a, b *Lease) bool {
	if avoided := m.avoided(a.Addr.Addr); avoided != m.avoided(b.Addr.Addr) {
		return !avoided
	}
	if wanted := a.Addr.Addr == m.wanted(); wanted != (b.Addr.Addr == m.wanted()) {
		return wanted
	}
	return a.Lifetime > b.Lifetime
}

// wanted is the address to ask for in a DISCOVER, 0 for none.
func (m *Machine) wanted() dhcp4.Addr {
	if m.request != 0 {
		return m.request
	}
	return m.wish
}

// ipv6Only reads option 108. It counts only when it was asked for (RFC 8925 3.2).
func (m *Machine) ipv6Only(v *dhcp4.View) (wait int64, ok bool) {
	if !m.c.IPv6Only {
		return 0, false
	}
	seconds, ok := v.Uint32(dhcp4.OptV6OnlyPreferred)
	return int64(max(seconds, minIPv6OnlyWait)) * lease.Second, ok
}

// minIPv6OnlyWait is MIN_V6ONLY_WAIT of RFC 8925 3.4, in seconds.
const minIPv6OnlyWait = 300

// stayAway does without IPv4 for as long as the network asks.
func (m *Machine) stayAway(wait int64) {
	m.deconfigure(IPv6OnlyNetwork)
	m.drop()
	m.acquired = lease.Never
	m.pause(IPv6OnlyNetwork, wait)
}
