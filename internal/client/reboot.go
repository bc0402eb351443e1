package client

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// gateway is the station by which the current network is known.
type gateway struct {
	addr   dhcp4.Addr
	mac    wire.MAC // zero until it is known
	tries  int      // ARP requests so far
	agreed bool     // it answered since the network was in doubt
}

// How remembered routers are asked. RFC 4436 2.1 leaves number and waits open.
const (
	routerTries    = 3
	routerWait     = lease.Second / 5
	routerWaitFast = lease.Second / 20
	learnWait      = lease.Second
)

// candidate reports whether memory i may be of the network that we are in: its router
// can be asked, and the interface is the same one. A lease that is current goes
// along when the interface gets another address.
func (m *Machine) candidate(i int) bool {
	r := &m.memory[i]
	if r.Router == 0 || r.RouterMAC == (wire.MAC{}) {
		return false
	}
	if m.state == Selecting && r.Lease.End <= m.now {
		return false // nothing to be gained any more
	}
	return r.OwnMAC == m.link.MAC || m.has && m.listed && i == 0
}

func (m *Machine) anyCandidate() bool {
	for i := range m.memory {
		if m.candidate(i) {
			return true
		}
	}
	return false
}

// askCandidates asks each remembered router, by unicast, whether it is there. The
// sender is the address that we would use (RFC 4436 2.1.1); one whose lease has
// ended is not ours to name.
func (m *Machine) askCandidates() {
	for i := range m.memory {
		if !m.candidate(i) {
			continue
		}
		r := &m.memory[i]
		sender := r.Lease.Addr.Addr
		if r.Lease.End <= m.now {
			sender = 0
		}
		m.arp(sender, r.Router, r.RouterMAC)
	}
}

// askOn is the next ARP request to a router, or the end of asking.
func (m *Machine) askOn() {
	g := &m.gateway
	g.tries++
	switch m.state {
	case InitReboot:
		if g.tries > routerTries {
			m.lost = true
			m.unknownNetwork(RouterSilent)
			return
		}
		m.askCandidates()
		m.at[timerRouter] = later(m.now, m.routerWait())
	case Rebooting:
		if !g.agreed && g.mac != (wire.MAC{}) && g.tries <= routerTries {
			m.arp(m.lease.Addr.Addr, g.addr, g.mac)
			m.at[timerRouter] = later(m.now, m.routerWait())
		}
	case Bound, Renewing, Rebinding:
		if g.addr != 0 && g.mac == (wire.MAC{}) && g.tries <= routerTries {
			m.arp(m.lease.Addr.Addr, g.addr, wire.MAC{})
			m.at[timerRouter] = later(m.now, learnWait)
		}
	}
}

func (m *Machine) routerWait() int64 {
	if m.c.Fast {
		return routerWaitFast
	}
	return routerWait
}

// hearRouter looks whether an ARP message is from a station by which a network is
// known.
func (m *Machine) hearRouter(a *wire.ARP) {
	switch m.state {
	case InitReboot, Selecting:
		if a.Op != arpReply || m.state == Selecting && !m.lost {
			return
		}
		for i := range m.memory {
			if m.candidate(i) && a.SenderIP == m.memory[i].Router && a.SenderMAC == m.memory[i].RouterMAC {
				m.routerAnswered(i)
				return
			}
		}
	case Rebooting, Bound, Renewing, Rebinding:
		g := &m.gateway
		switch {
		case g.addr == 0 || a.SenderIP != g.addr:
		case g.mac == (wire.MAC{}):
			if m.state == Rebooting {
				return // what it was before is not known
			}
			g.mac = a.SenderMAC
			m.at[timerRouter] = lease.Never
			m.remember()
		case g.mac == a.SenderMAC:
			g.agreed = true
		}
	}
}

// routerAnswered takes up what is remembered of this network. A lease that has not
// ended is used at once (RFC 4436 2.1) and confirmed by INIT-REBOOT.
func (m *Machine) routerAnswered(i int) {
	m.recall(i)
	r := &m.memory[0]
	m.clear()
	m.gateway, m.lost = gateway{addr: r.Router, mac: r.RouterMAC, agreed: true}, false
	if r.Lease.End <= m.now {
		if m.wish == 0 {
			m.wish = r.Lease.Addr.Addr
		}
		m.drop()
		m.fresh(RouterAnswered)
		return
	}
	m.lease, m.has, m.listed = r.Lease, true, true
	m.at[timerEnd] = m.lease.End
	m.configure()
	m.announce(1)
	m.reboot(RouterAnswered)
}

// revalidate asks whether the address in use is still right. Until the answer it
// stays on the interface: nothing says that the network is another one.
func (m *Machine) revalidate(why Reason) {
	m.clear()
	if m.gateway.mac == (wire.MAC{}) && m.listed { // who stands for the network until the router is known
		m.gateway = gateway{addr: m.memory[0].Router, mac: m.memory[0].RouterMAC}
	}
	m.gateway.agreed = false
	m.reboot(why)
}

// reboot asks all servers for the remembered address (RFC 2131 3.2).
func (m *Machine) reboot(why Reason) {
	m.begin()
	m.setState(Rebooting, why)
	m.sendReboot()
}

func (m *Machine) sendReboot() {
	if m.ex.try > 0 {
		m.ex.secs = m.seconds(m.ex.first)
	}
	m.broadcastRequest(m.lease.Addr.Addr, 0)
	m.gateway.tries = 0
	m.askOn()
}

// rebootUnanswered keeps the lease for the rest of its time when the router agrees
// that this is its network (RFC 2131 3.2 ¶3), and else gives it up.
func (m *Machine) rebootUnanswered() {
	m.clear()
	if m.gateway.agreed {
		m.configure() // the kernel's lifetimes may have stood still in suspend
		m.setState(Bound, NoAnswer)
		m.watch()
		return
	}
	m.deconfigure(NoAnswer)
	m.drop()
	m.wish, m.lost = 0, true
	m.pause(NoAnswer, 0)
}

// resume is the end of a suspend. A lease that ended in it is gone already.
func (m *Machine) resume() {
	switch m.state {
	case Bound, Renewing, Rebinding, Rebooting:
		m.revalidate(Resumed)
	case InitReboot, Checking, Selecting, Requesting:
		if m.ex.try == 0 || m.ex.last < m.now { // else the end of the lease has begun it just now
			m.start(Resumed)
		}
	}
}

// macChanged goes on with another hardware address: as the holder of the lease where
// there is one (INIT-REBOOT with the new chaddr).
func (m *Machine) macChanged() {
	switch m.state {
	case Bound, Renewing, Rebinding, Rebooting:
		m.revalidate(MACChanged)
		m.announce(1) // the caches of others have the old one
	case InitReboot, Checking, Selecting, Requesting:
		m.start(MACChanged)
	}
}
