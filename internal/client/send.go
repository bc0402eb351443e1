package client

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// send writes message msg and says so. to is zero for all: then the frame is a
// broadcast. wait is the time until the next transmission, 0 for none.
func (m *Machine) send(msg *message, s wire.Send, try int, wait int64) {
	start := len(m.e.arena)
	m.e.arena = m.compose.append(m.e.arena, msg)
	s.Data = m.e.arena[start:len(m.e.arena):len(m.e.arena)]
	s.Link, s.SrcPort, s.DstPort = m.link.ID, dhcp4.ClientPort, dhcp4.ServerPort
	m.e.List = append(m.e.List, Effect{Kind: EffectSend, Send: s})
	ev := Event{Kind: EventSent, Type: msg.typ, XID: msg.xid, Addr: msg.requested, Try: try, Wait: wait}
	if s.Dst != dhcp4.Broadcast {
		ev.Server = s.Dst
	}
	if msg.ciaddr != 0 {
		ev.Addr = msg.ciaddr
	}
	m.event(&ev)
}

// toAll is a frame to all stations from address src: 0 before there is an address
// (RFC 2131 4.1).
func toAll(src dhcp4.Addr) wire.Send {
	return wire.Send{Raw: true, MAC: wire.BroadcastMAC, Src: src, Dst: dhcp4.Broadcast}
}

func (m *Machine) event(ev *Event) {
	m.e.List = append(m.e.List, Effect{Kind: EffectEvent, Event: *ev})
}

// arp sends an ARP request for target, from sender, to one station or, with zero, to all.
func (m *Machine) arp(sender, target dhcp4.Addr, to wire.MAC) {
	m.e.List = append(m.e.List, Effect{Kind: EffectARP, ARP: wire.ARP{Link: m.link.ID, Op: arpRequest,
		SenderMAC: m.link.MAC, SenderIP: sender, TargetIP: target, To: to}})
}

const (
	arpRequest = 1
	arpReply   = 2
)

// configure puts the lease on the interface, or brings up to date what is there.
func (m *Machine) configure() {
	m.configured, m.unsure = true, false
	m.e.List = append(m.e.List, Effect{Kind: EffectConfigure, Lease: &m.lease})
}

// deconfigure takes everything off the interface.
func (m *Machine) deconfigure(why Reason) {
	if !m.configured && !m.unsure {
		return
	}
	m.configured, m.unsure = false, false
	m.at[timerAnnounce] = lease.Never
	m.e.List = append(m.e.List, Effect{Kind: EffectDeconfigure, Reason: why})
}

func (m *Machine) save() {
	m.e.List = append(m.e.List, Effect{Kind: EffectSave})
}

// drop forgets the lease as the current one. What is on the interface went before.
func (m *Machine) drop() {
	m.has, m.listed = false, false
	m.lease = Lease{}
	m.at[timerEnd], m.at[timerT1], m.at[timerT2] = lease.Never, lease.Never, lease.Never
}
