// Package client is the DHCP client as a function: messages, ARP, time, the state
// of the link and the wishes of the user go in; messages to send, ARP probes,
// configurations of the interface and events come out. It does no I/O, reads no
// clock, starts no goroutine and takes no lock.
package client

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// Machine is one client on one interface. It belongs to one goroutine.
//
//	             link up, a network is remembered
//	┌──────┐ ───────────────────────────────────────────────► ┌─────────────┐
//	│ INIT │                          nobody answers the ARP  │ INIT-REBOOT │
//	└──────┘ ◄─────────────────────────────────────────────── └─────────────┘
//	 │ ▲ ▲ ▲  link down, stop, release: from every state             │ the router answers: the
//	 │ │ │ │                                                         │ address is used at once
//	 │ │ │ └──────────── NAK, end of the lease ─────────────┐        ▼ / REQUEST, broadcast
//	 │ │ │                                                ┌───────────┐
//	 │ │ │                    resume, clock, MAC ───────► │ REBOOTING │
//	 │ │ └── NAK, no answer ──┐                           └───────────┘
//	 ▼ │ / DISCOVER           │                                  │ ACK, or no answer and the
//	┌───────────┐ OFFER  ┌────────────┐                          │ router agrees
//	│ SELECTING │ ─────► │ REQUESTING │                          ▼
//	└───────────┘        └────────────┘   nobody answers  ┌───────────┐
//	      │ ACK (rapid)        │ ACK    ┌───────────────► │   BOUND   │ ◄────────┐
//	      └──────────────────► ▼ / ARP  │                 └───────────┘          │
//	                     ┌──────────┐   │                        │ T1            │
//	 INIT ◄──────────────│ CHECKING │───┘                        ▼ / REQUEST     │ ACK
//	 DECLINE, 10 s       └──────────┘                     ┌───────────┐          │
//	                                                      │ RENEWING  │ ─────────┤
//	 NAK, the end of the lease and a second conflict      └───────────┘          │
//	 lead from BOUND, RENEWING and REBINDING                     │ T2            │
//	 to INIT; the address goes first.                            ▼ / REQUEST, broadcast
//	                                                      ┌───────────┐          │
//	                                                      │ REBINDING │ ─────────┘
//	                                                      └───────────┘
type Machine struct {
	c       Config
	random  random
	compose composer
	view    dhcp4.View

	e    *Effects // of the call of Handle that is under way
	now  int64    // M of that call
	wall int64    // W of that call

	clock    int64 // W - M at the last input
	hasClock bool

	link     wire.Link
	up       bool
	released bool // the user gave the address back
	stopped  bool
	unsure   bool // an earlier run may have left an address on the interface
	lost     bool // remembered routers were asked and none answered

	state      State
	at         [numTimers]int64
	lease      Lease
	has        bool // lease is one that has not ended
	configured bool

	ex       exchange
	offer    offer
	wish     dhcp4.Addr // to ask for in the next DISCOVER
	request  dhcp4.Addr // what the user wishes, until there was a first answer to it
	next     Reason     // of what is done at timerStart: DISCOVER, or finding out the network
	attach   bool       // the latter
	acquired int64      // since when an address is being sought; lease.Never when it is not
	naks     int        // in a row
	silent   dhcp4.Addr // the server that offered last and then did not answer; 0: none

	check     check
	conflicts conflicts
	gateway   gateway
	memory    []Remembered // [0] is lease's own when listed
	listed    bool
	refused   []Refusal // of the lease that was read last
	screen    reader    // scratch
	spare     Lease     // scratch
}

// timer names a point of time at which something is due.
type timer uint8

const (
	timerEnd      timer = iota // the lease ends; first, so that nothing else happens in its name
	timerStart                 // a pause in INIT is over
	timerT1                    // of a lease in use
	timerT2                    //
	timerRetry                 // no answer came
	timerSelect                // a better OFFER is not waited for any longer
	timerCheck                 // the next probe, or the end of checking
	timerAnnounce              // the next announcement
	timerRouter                // the next ARP request to a router
	numTimers
)

// New returns a machine without a link. secret seeds all its random choices, so that
// the same inputs give the same effects. memory is what an earlier run saved, the
// newest first, with points of time made valid for this boot (lease.Never for none,
// past ones for leases that have ended); the machine takes it over.
func New(c Config, secret [16]byte, memory []Remembered) *Machine {
	if c.Probe == (ProbeTimes{}) {
		c.Probe = RFC5227
		if c.Fast {
			c.Probe = Quick
		}
	}
	m := &Machine{c: c, random: newRandom(secret), memory: usable(memory), unsure: len(memory) > 0,
		request: c.Request, acquired: lease.Never}
	m.compose = newComposer(&m.c)
	for t := range m.at {
		m.at[t] = lease.Never
	}
	return m
}

// Handle takes one input at instant now and appends to e what is to be done.
func (m *Machine) Handle(now lease.Instant, in *Input, e *Effects) {
	m.e, m.now, m.wall = e, max(m.now, now.M), now.W
	defer func() { m.e = nil }()
	if m.stopped {
		return
	}
	stepped := m.clockStepped()
	m.expire()
	if stepped && m.inUse() {
		m.revalidate(ClockStepped)
	}
	switch in.Kind {
	case InputTick:
		m.tick()
	case InputPacket:
		m.receive(in.Packet)
	case InputARP:
		m.hear(in.ARP)
	case InputLinkUp:
		m.linkUp(in.Link)
	case InputLinkDown:
		m.linkDown()
	case InputNetworkChanged:
		m.networkChanged()
	case InputResume:
		m.resume()
	case InputRenew:
		m.askedFor(AskedRenew)
	case InputRebind:
		m.askedFor(AskedRebind)
	case InputRelease:
		m.release()
	case InputStop:
		m.stop()
	}
}

// clockStepped reports whether the wall clock moved by more than a minute against the
// boot clock since the last input: somebody set it, or the machine was paused and
// its boot clock with it.
func (m *Machine) clockStepped() bool {
	old, had := m.clock, m.hasClock
	m.clock, m.hasClock = m.wall-m.now, true
	step := m.clock - old
	return had && (step > maxClockStep || step < -maxClockStep)
}

const maxClockStep = 60 * lease.Second

// NextTick is the point of CLOCK_BOOTTIME at which InputTick is due, lease.Never for none.
func (m *Machine) NextTick() int64 {
	next := lease.Never
	for _, at := range m.at {
		next = min(next, at)
	}
	return next
}

// tick does what is due. What it sets anew for the same instant is done too, up to a
// bound that no sane configuration meets.
func (m *Machine) tick() {
	for range 64 {
		due := numTimers
		for t, at := range m.at {
			if at <= m.now && (due == numTimers || at < m.at[due]) {
				due = timer(t)
			}
		}
		if due == numTimers {
			return
		}
		m.at[due] = lease.Never
		m.fire(due)
	}
}

func (m *Machine) fire(t timer) {
	switch t {
	case timerEnd:
		m.ended()
	case timerStart:
		if m.attach {
			m.start(m.next)
		} else {
			m.discover(m.next)
		}
	case timerT1:
		m.extend(Renewing, RenewalTime)
	case timerT2:
		m.extend(Rebinding, RebindingTime)
	case timerRetry:
		m.retry()
	case timerSelect:
		m.choose()
	case timerCheck:
		m.checkOn()
	case timerAnnounce:
		m.announceOn()
	case timerRouter:
		m.askOn()
	}
}

// expire ends a lease whose time is over, before anything else is done with an input.
func (m *Machine) expire() {
	if m.at[timerEnd] <= m.now {
		m.at[timerEnd] = lease.Never
		m.ended()
	}
}

// clear forgets what was planned, except for the end of the lease.
func (m *Machine) clear() {
	for t := timerEnd + 1; t < numTimers; t++ {
		m.at[t] = lease.Never
	}
	m.ex, m.offer, m.check, m.attach = exchange{}, offer{}, check{}, false
}

// setState goes to state s and says so.
func (m *Machine) setState(s State, why Reason) {
	if m.state == s {
		return
	}
	m.event(&Event{Kind: EventState, From: m.state, To: s, Reason: why})
	m.state = s
}

// inUse reports whether the state is one in which a lease is used and watched.
func (m *Machine) inUse() bool {
	return m.state == Bound || m.state == Renewing || m.state == Rebinding
}

// State is the state the machine is in.
func (m *Machine) State() State { return m.state }

// Lease is the current lease, nil if there is none; it is not to be changed and valid until the
// next call of Handle. Configured says whether it is on the interface.
func (m *Machine) Lease() *Lease {
	if !m.has {
		return nil
	}
	return &m.lease
}

// Configured reports whether the current lease is on the interface.
func (m *Machine) Configured() bool { return m.configured }

// Memory is what to save for the next start, the newest first, at most MaxMemory. It
// is not to be changed and valid until the next call of Handle.
func (m *Machine) Memory() []Remembered { return m.memory }

// AppendWatched appends the addresses about which ARP messages matter now.
func (m *Machine) AppendWatched(dst []dhcp4.Addr) []dhcp4.Addr {
	if m.has && (m.configured || m.state == Checking) {
		dst = append(dst, m.lease.Addr.Addr)
		if m.gateway.addr != 0 {
			dst = append(dst, m.gateway.addr)
		}
	}
	if m.state == InitReboot || m.state == Selecting && m.lost {
		for i := range m.memory {
			if m.candidate(i) {
				dst = append(dst, m.memory[i].Router)
			}
		}
	}
	return dst
}
