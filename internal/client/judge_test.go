package client_test

import (
	"fmt"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// judge holds I20 against what a machine is given and what it does. It knows nothing of
// the machine's insides: it reads the messages and keeps its own books.
type judge struct {
	c   client.Config
	own wire.MAC

	sent     map[uint32][]sending // transmissions by xid
	order    []uint32             // the xids of sent, the oldest first
	offers   []promise            // OFFERs that were delivered
	granted  map[dhcp4.Addr]int64 // until when an address is ours at most
	proven   map[dhcp4.Addr]bool  // it was in use, so it needs no check before use
	probes   map[dhcp4.Addr][]int64
	onLink   dhcp4.Addr // what is on the interface; 0: nothing
	left     bool       // something of a run that was killed is on the interface
	end      int64
	lifetime uint32
	declined int64 // time of the last DECLINE
	declines []int64
	breaches []string
}

// sending is one transmission of a message.
type sending struct {
	at        int64
	typ       dhcp4.MessageType
	ciaddr    dhcp4.Addr
	requested dhcp4.Addr
	server    dhcp4.Addr
	extends   uint32 // lifetime of the lease that it extends
	broadcast bool
}

// promise is an OFFER or ACK that was delivered.
type promise struct {
	xid          uint32
	addr, server dhcp4.Addr
}

func newJudge(c client.Config, own wire.MAC) *judge {
	return &judge{c: c, own: own, sent: map[uint32][]sending{}, granted: map[dhcp4.Addr]int64{}, proven: map[dhcp4.Addr]bool{},
		probes: map[dhcp4.Addr][]int64{}, declined: -1 << 60}
}

func (j *judge) breach(format string, args ...any) {
	j.breaches = append(j.breaches, fmt.Sprintf(format, args...))
}

// delivered notes what a message that the machine is about to get could promise. It
// reports whether the message may have any effect at all: not when its xid is not of
// a message of ours, or chaddr, client identifier, server or form are wrong.
func (j *judge) delivered(data []byte) (may bool) {
	var v dhcp4.View
	if v.Parse(data) != nil || v.Op() != 2 || v.HLen() != 6 || wire.MAC(v.CHAddr()) != j.own || v.HType() != 1 {
		return false
	}
	server, ok := v.Addr(dhcp4.OptDHCPServerIdentifier)
	sent := j.sent[v.XID()]
	if !ok || len(sent) == 0 || len(data) > client.MaxACK || j.denied(server) {
		return false
	}
	if id, has := v.Get(dhcp4.OptDHCPClientIdentifier, make([]byte, 300)); has && string(id) != "\x01"+string(j.own[:]) {
		return false
	}
	last := sent[len(sent)-1]
	t, _ := v.Uint32(dhcp4.OptDHCPLeaseTime)
	switch v.MessageType() {
	case dhcp4.Offer:
		j.offers = append(j.offers, promise{v.XID(), v.YIAddr(), server})
		return last.typ == dhcp4.Discover
	case dhcp4.Nak:
		return last.typ == dhcp4.Request && (last.server == 0 || last.server == server)
	case dhcp4.Ack:
		switch {
		case last.typ != dhcp4.Request || last.server != 0 && last.server != server || t == 0:
			return false
		case v.YIAddr() != last.requested && v.YIAddr() != last.ciaddr:
			return false
		}
		until := lease.Never
		if t != lease.Infinite {
			until = lease.After(j.firstRequest(sent), t)
		}
		j.granted[v.YIAddr()] = max(j.granted[v.YIAddr()], until)
		return true
	}
	return false
}

func (j *judge) firstRequest(sent []sending) int64 {
	for _, s := range sent {
		if s.typ == dhcp4.Request {
			return s.at
		}
	}
	return sent[0].at
}

func (j *judge) denied(server dhcp4.Addr) bool {
	for _, p := range j.c.Deny {
		if p.Contains(server) {
			return true
		}
	}
	return false
}

// effects reads what the machine did at instant now.
func (j *judge) effects(now int64, list []client.Effect) {
	for i := range list {
		switch f := &list[i]; f.Kind {
		case client.EffectSend:
			j.send(now, &f.Send)
		case client.EffectARP:
			if f.ARP.SenderIP == 0 && f.ARP.To == (wire.MAC{}) {
				j.probes[f.ARP.TargetIP] = append(j.probes[f.ARP.TargetIP], now)
			}
			if f.ARP.SenderIP == f.ARP.TargetIP && j.c.Detection == client.DetectProbe && f.ARP.SenderIP != j.onLink {
				j.breach("%s is announced and not in use", f.ARP.SenderIP)
			}
		case client.EffectConfigure:
			j.configure(now, f.Lease)
		case client.EffectDeconfigure:
			j.onLink, j.left = 0, false
		}
	}
	if len(list) > 80 {
		j.breach("%d effects of one input", len(list))
	}
}

func (j *judge) configure(now int64, l *client.Lease) {
	a := l.Addr.Addr
	switch until, ok := j.granted[a]; {
	case !ok:
		j.breach("%s is used and was never granted", a)
	case l.End > until:
		j.breach("%s is used until %d, it was granted until %d", a, l.End, until)
	case now >= l.End:
		j.breach("%s is put on the interface after its end", a)
	}
	if !l.Addr.IsHost(a) || !a.IsUnicastHost() {
		j.breach("%s is no address of a host", l.Addr)
	}
	if j.c.Detection == client.DetectProbe && !j.proven[a] {
		j.checked(now, a)
	}
	j.onLink, j.end, j.lifetime, j.proven[a], j.left = a, l.End, l.Lifetime, true, false
}

// checked holds that a new address was probed as RFC 5227 says, not long ago.
func (j *judge) checked(now int64, a dhcp4.Addr) {
	times := j.c.Probe
	p := j.probes[a]
	if len(p) < times.Num {
		j.breach("%s is used after %d probes", a, len(p))
		return
	}
	p = p[len(p)-times.Num:]
	for i := 1; i < len(p); i++ {
		if gap := p[i] - p[i-1]; gap < times.Min { // longer when we were asleep
			j.breach("%d ns between two probes", gap)
		}
	}
	if wait := now - p[len(p)-1]; wait < times.AnnounceWait {
		j.breach("%s is used %d ns after the last probe", a, wait)
	}
}

// send checks one message.
func (j *judge) send(now int64, s *wire.Send) {
	var v dhcp4.View
	if err := v.Parse(s.Data); err != nil {
		j.breach("sends what does not parse: %v", err)
		return
	}
	m := sending{at: now, typ: v.MessageType(), ciaddr: v.CIAddr(), broadcast: s.Dst == dhcp4.Broadcast}
	m.requested, _ = v.Addr(dhcp4.OptDHCPRequestedAddress)
	m.server, _ = v.Addr(dhcp4.OptDHCPServerIdentifier)
	switch m.typ {
	case dhcp4.Discover:
		if j.onLink != 0 || j.left {
			j.breach("DISCOVER with %s on the interface", j.onLink)
		}
	case dhcp4.Request:
		j.request(&v, &m)
	case dhcp4.Release:
		j.ours(now, m.ciaddr)
		delete(j.granted, m.ciaddr)
		delete(j.proven, m.ciaddr)
		return
	case dhcp4.Decline:
		if j.onLink != 0 {
			j.breach("DECLINE with %s on the interface", j.onLink)
		}
		j.declined, j.declines = now, append(j.declines, now)
		delete(j.granted, m.requested)
		delete(j.proven, m.requested)
		return
	default:
		j.breach("sends %v", m.typ)
	}
	if now-j.declined < 10*lease.Second {
		j.breach("%v %d ns after a DECLINE", m.typ, now-j.declined)
	}
	if n := len(j.declines); n >= 10 && now-j.declines[n-10] < 300*lease.Second && now-j.declined < 60*lease.Second {
		j.breach("%v within a minute after ten conflicts", m.typ)
	}
	j.pace(v.XID(), &m)
	if len(j.sent[v.XID()]) == 0 {
		j.order = append(j.order, v.XID())
	}
	j.sent[v.XID()] = append(j.sent[v.XID()], m)
}

// request checks that a REQUEST asks for what was offered, or for what is ours.
func (j *judge) request(v *dhcp4.View, m *sending) {
	if m.server == 0 {
		a := m.ciaddr | m.requested
		j.ours(m.at, a)
		if m.ciaddr != 0 {
			m.extends = j.lifetime
			if j.onLink != m.ciaddr {
				j.breach("ciaddr %s, and %s on the interface", m.ciaddr, j.onLink)
			}
		}
		return
	}
	for _, o := range j.offers {
		if o == (promise{v.XID(), m.requested, m.server}) {
			return
		}
	}
	j.breach("REQUEST to %s for %s, which it did not offer", m.server, m.requested)
}

func (j *judge) ours(now int64, a dhcp4.Addr) {
	if until, ok := j.granted[a]; !ok || now >= until {
		j.breach("speaks of %s, which is not ours any more", a)
	}
}

// pace holds that one question is never repeated faster than RFC 2131 allows.
func (j *judge) pace(xid uint32, m *sending) {
	var before []sending
	for _, s := range j.sent[xid] {
		if s.typ == m.typ {
			before = append(before, s)
		}
	}
	if len(before) == 0 {
		return
	}
	least := int64(4)<<min(len(before)-1, 4)*lease.Second - lease.Second
	switch {
	case m.ciaddr == 0 || m.extends == lease.Infinite:
	case m.extends < 240:
		least = lease.Second
	default:
		least = 60 * lease.Second
	}
	if gap := m.at - before[len(before)-1].at; gap < least {
		j.breach("%v repeated after %d ns, %d at least", m.typ, gap, least)
	}
}

// rest is what must hold after each input, when the machine next wants a tick at next.
func (j *judge) rest(now, next int64, m *client.Machine) {
	switch {
	case j.onLink != 0 && now >= j.end:
		j.breach("%s is on the interface after its end", j.onLink)
	case j.onLink != 0 && next > j.end:
		j.breach("the next tick is after the end of %s", j.onLink)
	case (j.onLink != 0) != m.Configured():
		j.breach("Configured is %v with %s on the interface", m.Configured(), j.onLink)
	case m.Configured() && (m.Lease() == nil || m.Lease().Addr.Addr != j.onLink):
		j.breach("the lease is not what is on the interface")
	case len(m.Memory()) > client.MaxMemory:
		j.breach("%d networks remembered", len(m.Memory()))
	case len(m.AppendWatched(nil)) > client.MaxMemory+2:
		j.breach("%d addresses watched", len(m.AppendWatched(nil)))
	}
	for len(j.order) > 64 { // the judge is bounded, too
		delete(j.sent, j.order[0])
		j.order = j.order[1:]
	}
	if len(j.offers) > 64 {
		j.offers = j.offers[len(j.offers)-64:]
	}
}

// killed takes note that the machine is gone and another one begins with its memory.
func (j *judge) killed() {
	j.onLink, j.left = 0, j.onLink != 0 || j.left
	j.declined, j.declines = -1<<60, nil // who starts it again may do so at once
	clear(j.proven)
	for a := range j.granted { // what it had shown to be free stays so
		j.proven[a] = true
	}
}

// refused takes note of a NAK that must have counted.
func (j *judge) refused(a dhcp4.Addr) {
	delete(j.granted, a)
	delete(j.proven, a)
}
