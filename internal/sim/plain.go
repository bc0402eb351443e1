package sim

import (
	"bytes"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// program is what runs on a client's host: client.Machine, or a plain client.
type program interface {
	Handle(now lease.Instant, in *client.Input, e *client.Effects)
	NextTick() int64
	State() client.State
	Lease() *client.Lease
	Memory() []client.Remembered
	AppendWatched(dst []dhcp4.Addr) []dhcp4.Addr
}

var (
	_ program = (*client.Machine)(nil)
	_ program = (*plain)(nil)
)

// plain is a client of another make that keeps the protocol and no more: it asks nobody
// whether its address is free, sends no client identifier, and counts its lease from the
// last transmission of the REQUEST, which RFC 2131 4.4.1 allows.
type plain struct {
	mac   wire.MAC
	d     dice
	state client.State
	up    bool
	lease client.Lease
	has   bool
	known client.Lease // remembered for INIT-REBOOT

	xid     uint32
	sent    int64 // the last transmission
	first   int64 // the first transmission of this exchange
	tries   int
	retry   int64 // when to send again or give up
	offered dhcp4.Addr
	server  dhcp4.Addr
	now     int64
	e       *client.Effects
}

func newPlain(mac wire.MAC, d dice, memory []client.Remembered) *plain {
	p := &plain{mac: mac, d: d, retry: never}
	if len(memory) > 0 {
		p.known = memory[0].Lease
	}
	return p
}

func (p *plain) State() client.State { return p.state }

func (p *plain) Lease() *client.Lease {
	if !p.has {
		return nil
	}
	return &p.lease
}

func (p *plain) Memory() []client.Remembered {
	if p.known.Addr.Addr == 0 {
		return nil
	}
	return []client.Remembered{{Router: p.known.Server, RouterMAC: p.known.ServerMAC, OwnMAC: p.mac, Lease: p.known}}
}

func (p *plain) AppendWatched(dst []dhcp4.Addr) []dhcp4.Addr { return dst }

// NextTick is when time alone has an effect.
func (p *plain) NextTick() int64 {
	at := p.retry
	if p.has {
		at = min(at, p.lease.End)
		switch p.state {
		case client.Bound:
			at = min(at, p.lease.T1)
		case client.Renewing:
			at = min(at, p.lease.T2)
		}
	}
	return at
}

func (p *plain) Handle(now lease.Instant, in *client.Input, e *client.Effects) {
	p.now, p.e = max(p.now, now.M), e
	p.tick()
	switch in.Kind {
	case client.InputPacket:
		p.packet(in.Packet)
	case client.InputLinkUp:
		p.up = true
		p.e.List = append(p.e.List, client.Effect{Kind: client.EffectDeconfigure}) // what an earlier process left
		p.begin()
	case client.InputLinkDown, client.InputStop:
		p.lose()
		p.up = false
	case client.InputRenew:
		if p.has {
			p.extend(client.Renewing)
		} else if p.up {
			p.begin()
		}
	case client.InputRebind:
		if p.has {
			p.extend(client.Rebinding)
		}
	case client.InputRelease:
		p.giveUp()
	case client.InputResume:
		if p.has {
			p.extend(client.Rebinding)
		}
	}
}

// tick does what is due; the end of the lease comes before everything else.
func (p *plain) tick() {
	switch {
	case p.has && p.now >= p.lease.End:
		p.lose()
		p.begin()
	case p.has && p.state == client.Bound && p.now >= p.lease.T1:
		p.extend(client.Renewing)
	case p.has && p.state == client.Renewing && p.now >= p.lease.T2:
		p.extend(client.Rebinding)
	case p.now >= p.retry:
		p.again()
	}
}

// begin asks for the address it had, else for any.
func (p *plain) begin() {
	if !p.up {
		return
	}
	p.newExchange()
	if a := p.known.Addr.Addr; a != 0 && (p.known.End == never || p.known.End > p.now) {
		p.state = client.Rebooting
	} else {
		p.state = client.Selecting
	}
	p.transmit()
}

func (p *plain) newExchange() {
	p.xid, p.tries, p.first = uint32(p.d.next()), 0, p.now
}

// extend asks for more time.
func (p *plain) extend(s client.State) {
	if p.state != s {
		p.state = s
		p.newExchange()
	}
	p.transmit()
}

// again sends once more, or begins anew where nobody answers.
func (p *plain) again() {
	if p.tries >= 4 && (p.state == client.Requesting || p.state == client.Rebooting) {
		p.known = client.Lease{}
		p.begin()
		return
	}
	p.transmit()
}

// transmit sends the message of the state, and plans the next one (RFC 2131 4.1, 4.4.5).
func (p *plain) transmit() {
	p.tries++
	p.sent = p.now
	gap := min(int64(4)<<min(p.tries-1, 4), 64)*second + p.d.between([2]int64{-second, second})
	all := wire.Send{Raw: true, MAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast}
	switch p.state {
	case client.Selecting:
		p.send(all, dhcp4.Discover, 0)
	case client.Requesting:
		p.send(all, dhcp4.Request, 0, addr(dhcp4.OptDHCPRequestedAddress, p.offered), addr(dhcp4.OptDHCPServerIdentifier, p.server))
	case client.Rebooting:
		p.send(all, dhcp4.Request, 0, addr(dhcp4.OptDHCPRequestedAddress, p.known.Addr.Addr))
	case client.Renewing, client.Rebinding:
		to, until := all, p.lease.End
		to.Src = p.lease.Addr.Addr
		if p.state == client.Renewing {
			to, until = wire.Send{Raw: true, MAC: p.lease.ServerMAC, Src: to.Src, Dst: p.lease.Server}, p.lease.T2
		}
		p.send(to, dhcp4.Request, p.lease.Addr.Addr)
		gap = max((until-p.now)/2, 60*second)
		if p.lease.Lifetime < 240 {
			gap = max((until-p.now)/2, second)
		}
	}
	p.retry = p.now + gap
}

func addr(c dhcp4.Code, a dhcp4.Addr) dhcp4.Option { return dhcp4.Option{Code: c, Data: a.Append(nil)} }

func (p *plain) send(s wire.Send, t dhcp4.MessageType, ciaddr dhcp4.Addr, opts ...dhcp4.Option) {
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: p.xid, CIAddr: ciaddr}
	copy(h.CHAddr[:], p.mac[:])
	opts = append([]dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(t)}}}, opts...)
	s.Data, _ = dhcp4.AppendMessage(nil, &h, opts, nil, 576)
	s.Link, s.SrcPort, s.DstPort = 2, dhcp4.ClientPort, dhcp4.ServerPort
	p.e.List = append(p.e.List, client.Effect{Kind: client.EffectSend, Send: s})
}

// packet takes a reply.
func (p *plain) packet(pkt *wire.Packet) {
	var v dhcp4.View
	if v.Parse(pkt.Data) != nil || v.XID() != p.xid || !bytes.Equal(v.CHAddr(), p.mac[:]) {
		return
	}
	server, _ := v.Addr(dhcp4.OptDHCPServerIdentifier)
	asks := p.state == client.Requesting || p.state == client.Rebooting || p.state == client.Renewing || p.state == client.Rebinding
	switch v.MessageType() {
	case dhcp4.Offer:
		if p.state == client.Selecting && v.YIAddr() != 0 && server != 0 {
			p.offered, p.server, p.state, p.tries = v.YIAddr(), server, client.Requesting, 0
			p.transmit()
		}
	case dhcp4.Nak:
		if asks && (p.state != client.Requesting || server == p.server) {
			p.known = client.Lease{}
			p.lose()
			p.begin()
		}
	case dhcp4.Ack:
		if asks && (p.state != client.Requesting || server == p.server && v.YIAddr() == p.offered) {
			p.acknowledged(&v, server, pkt.SrcMAC)
		}
	}
}

func (p *plain) acknowledged(v *dhcp4.View, server dhcp4.Addr, mac wire.MAC) {
	t, ok := v.Uint32(dhcp4.OptDHCPLeaseTime)
	if !ok || t == 0 || p.has && v.YIAddr() != p.lease.Addr.Addr {
		return
	}
	l := client.Lease{Addr: dhcp4.Prefix{Addr: v.YIAddr(), Bits: 24}, Server: server, ServerMAC: mac, Lifetime: t, Start: p.sent, T1: never, T2: never}
	l.End, _ = lease.Deadlines(p.sent, t, 0)
	if t1, t2, ok := lease.Timers(t); ok {
		l.T1, l.T2 = lease.After(p.sent, t1), lease.After(p.sent, t2)
	}
	if l.End <= p.now {
		return
	}
	l.ACK = bytes.Clone(v.Bytes())
	p.lease, p.known, p.has, p.state, p.retry = l, l, true, client.Bound, never
	p.e.List = append(p.e.List, client.Effect{Kind: client.EffectConfigure, Lease: &p.lease}, client.Effect{Kind: client.EffectSave})
}

// lose takes the address off.
func (p *plain) lose() {
	if p.has {
		p.e.List = append(p.e.List, client.Effect{Kind: client.EffectDeconfigure}, client.Effect{Kind: client.EffectSave})
	}
	p.has, p.state, p.retry = false, client.Init, never
}

// giveUp sends a RELEASE.
func (p *plain) giveUp() {
	if !p.has {
		return
	}
	p.newExchange()
	l := p.lease
	p.known = client.Lease{}
	p.lose()
	p.send(wire.Send{Raw: true, MAC: l.ServerMAC, Src: l.Addr.Addr, Dst: l.Server}, dhcp4.Release, l.Addr.Addr, addr(dhcp4.OptDHCPServerIdentifier, l.Server))
}
