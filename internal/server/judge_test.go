package server_test

import (
	"encoding/hex"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/server"
)

// What the world of world_test.go knows of right and wrong, in the words of
// docs/invariants.md.

// reservation is the one of client c in a's network, nil for none.
func (w *world) reservation(c client, a dhcp4.Addr) *policy.Reservation {
	sn := w.h.conf.Policy().SubnetOf(a)
	if sn == nil {
		return nil
	}
	var id []byte
	if w.h.conf.Policy().MatchClientID {
		id, _ = hex.DecodeString(c.cid)
	}
	return sn.Network.Reservation(&policy.Keys{ClientID: id, HType: 1, HW: c.mac()})
}

// same reports whether two clients are one for address a (Identity).
func (w *world) same(holder, c client, a dhcp4.Addr) bool {
	if r := w.reservation(c, a); r != nil && r.Addr == a && r == w.reservation(holder, a) {
		return true
	}
	if c.cid != "" && w.h.conf.Policy().MatchClientID {
		return holder.cid == c.cid
	}
	return holder.hw == c.hw
}

// has finds an address of net that c holds, offered one that is on offer to it.
func (w *world) has(c client, net string) (dhcp4.Addr, bool) { return w.lowest(w.held, c, net) }

func (w *world) offered(c client, net string) (dhcp4.Addr, bool) { return w.lowest(w.offs, c, net) }

func (w *world) lowest(m map[dhcp4.Addr]promise, c client, net string) (dhcp4.Addr, bool) {
	var all []dhcp4.Addr
	for a, p := range m {
		if inNet(a, net) && p.end > w.h.now.M && w.same(p.client, c, a) {
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	return slices.Min(all), true
}

// allowed says what the configuration in force and our own addresses say of c at a
// (I9, I10, I11); empty: it is allowed.
func (w *world) allowed(c client, a dhcp4.Addr) string {
	sn := w.h.conf.Policy().SubnetOf(a)
	if sn == nil {
		return "it lies in no subnet (I11)"
	}
	for _, l := range w.h.links {
		for _, own := range l.Addrs {
			if own.Addr == a {
				return "it is our own (I10)"
			}
		}
	}
	if r := sn.Network.ReservedBy(a); r != nil {
		if r != w.reservation(c, a) {
			return "it is reserved for another (I9)"
		}
		return ""
	}
	if sn.NeverOffer.Has(a) || sn.PoolOf(a) == nil {
		return "it is never given out (I10)"
	}
	return ""
}

// owed is the address that the answer to p must acknowledge, 0 for none: the client
// holds it (I3), or was offered it and nothing has happened since (I7).
func (w *world) owed(c client, p *packet) dhcp4.Addr {
	if p.typ != dhcp4.Request || w.failing {
		return 0
	}
	a, selecting := p.h.CIAddr, false
	for _, o := range p.opts {
		switch o.Code {
		case dhcp4.OptDHCPRequestedAddress:
			a = dhcp4.AddrFromBytes(o.Data)
		case dhcp4.OptDHCPServerIdentifier:
			if selecting = true; dhcp4.AddrFromBytes(o.Data) == dhcp4.MustParseAddr("198.18.0.2") {
				return 0
			}
		}
	}
	r := w.reservation(c, a)
	if w.allowed(c, a) != "" || w.leaving[a] || r != nil && r.Addr != 0 && r.Addr != a || a == p.h.GIAddr {
		return 0
	}
	if h, ok := w.held[a]; ok && !h.held && h.end > w.h.now.M && w.same(h.client, c, a) {
		return a
	}
	if o, ok := w.offs[a]; ok && selecting && o.end > w.h.now.M && o.client == c && w.h.core.Counters().Recalled == w.recalled {
		return a
	}
	return 0
}

// send has a client say something, sometimes twice, and looks at what is owed to it.
// What leaves is judged in settle.
func (w *world) send(c client, typ dhcp4.MessageType, args []string) {
	p := newPacket(w.h.t, typ)
	copy(p.h.CHAddr[:], c.mac())
	copy(p.meta.SrcMAC[:], c.mac())
	if c.cid != "" {
		p.set("id", c.cid)
	}
	for i := 0; i < len(args); i += 2 {
		p.set(args[i], args[i+1])
	}
	owed := w.owed(c, p)
	pkt, e := p.packet(), &w.h.e
	if w.explained {
		explained(w.t, w.h.core, w.h.now, &pkt, e)
	} else {
		w.h.core.Handle(w.h.now, &pkt, e)
	}
	replies, changes := len(e.Replies), len(e.Changes)
	if typ == dhcp4.Discover && replies == 0 || replies > 0 && e.Replies[0].Type == dhcp4.Ack {
		w.dropOffers(c) // it may wait for another, or has what it wants
	}
	if owed != 0 {
		if replies != 1 || e.Replies[0].Type != dhcp4.Ack || yiaddr(e.Replies[0].Data) != owed {
			w.t.Fatalf("%s is owed to %v and was not acknowledged (I3): %v %v", owed, c, e.Replies, e.Events)
		}
	}
	if w.h.now.M%3 != 0 || replies != 1 {
		return
	}
	// A copy gets the same answer, and costs no second change (I13).
	w.h.core.Handle(w.h.now, &pkt, e)
	if len(e.Replies) != 2 || e.Replies[1].Type != e.Replies[0].Type || yiaddr(e.Replies[1].Data) != yiaddr(e.Replies[0].Data) {
		w.t.Fatalf("a copy got another answer (I13): %v", e.Replies)
	}
	if e.Replies[0].Type == dhcp4.Ack && len(e.Changes) != changes {
		w.t.Fatalf("a copy of what was acknowledged cost another change (I13)")
	}
}

func yiaddr(data []byte) dhcp4.Addr { return dhcp4.AddrFromBytes(data[16:]) }

// judge looks at what leaves the server or has become true.
func (w *world) judge(x waiting) {
	if x.ev != nil {
		w.judgeEvent(x.ev)
		return
	}
	var v dhcp4.View
	if err := v.Parse(x.data); err != nil {
		w.t.Fatal(err)
	}
	id, _ := v.Get(dhcp4.OptDHCPClientIdentifier, nil)
	c, a, now := clientOf(v.CHAddr(), id), v.YIAddr(), w.h.now.M
	if x.typ != dhcp4.Offer && x.typ != dhcp4.Ack {
		return
	}
	if h, ok := w.held[a]; ok && h.end > now && !w.same(h.client, c, a) && !(x.byHW && h.hw == c.hw) {
		w.t.Fatalf("%s: %s for %v, but %v has it (I1)", x.typ, a, c, h.client)
	}
	if b := w.h.store[a]; b.State == lease.Declined && b.Boot == w.h.boot && b.Free > now {
		w.t.Fatalf("%s: %s for %v is out (I5)", x.typ, a, c)
	}
	t, _ := v.Uint32(dhcp4.OptDHCPLeaseTime)
	if x.typ == dhcp4.Offer {
		w.judgeOffer(c, a)
		return
	}
	b := w.h.store[a]
	if b.State != lease.Bound || b.Boot == w.h.boot && b.End < x.at+int64(t)*1e9 {
		w.t.Fatalf("an ACK of %s for %d s left and is not durable (I2): %+v", a, t, b)
	}
	// What is stored says whose it is: an answer without a write changes no keys.
	p := promise{client: clientOf(b.HW, b.ClientID), end: x.at + int64(t)*1e9 + int64(lease.Grace(t))*1e9}
	if h, ok := w.held[a]; ok && h.end > now {
		p.end = max(p.end, h.end)
	}
	if !w.same(p.client, c, a) {
		w.t.Fatalf("%s was acknowledged to %v and stored for %v", a, c, p.client)
	}
	w.held[a] = p
	w.dropOffers(c)
	delete(w.offs, a)
}

func (w *world) judgeOffer(c client, a dhcp4.Addr) {
	now := w.h.now.M
	if why := w.allowed(c, a); why != "" {
		w.t.Fatalf("%s was offered to %v: %s", a, c, why)
	}
	o, ok := w.offs[a]
	if h, held := w.held[a]; held && h.end > now && w.same(h.client, c, a) {
		ok = false // one machine under two names; the later offer ends the earlier one
	}
	if ok && o.client != c && o.end > now && w.h.core.Counters().Recalled == w.recalled && !w.same(o.client, c, a) {
		w.t.Fatalf("%s is on offer to %v and %v (I7)", a, o.client, c)
	}
	w.dropOffers(c)
	w.offs[a] = promise{client: c, end: now + 60e9}
}

func (w *world) judgeEvent(ev *server.Event) {
	switch ev.Kind {
	case server.EventReleased, server.EventDeclined:
		delete(w.offs, ev.Addr)
		p, ok := w.held[ev.Addr]
		switch {
		case !ok:
		case ev.Type == 0 && w.h.store[ev.Addr].Free > w.h.now.M: // the operator's: held until the old end
			p.held = true
			w.held[ev.Addr] = p
		case ev.Type == 0 || w.same(p.client, clientOf(ev.HW, ev.ClientID), ev.Addr):
			delete(w.held, ev.Addr)
		}
	case server.EventConflict:
		if p, ok := w.held[ev.Addr]; ok && p.end > w.h.now.M {
			w.t.Fatalf("a stranger's ARP took %s from its holder", ev.Addr)
		}
		delete(w.offs, ev.Addr)
	case server.EventDrop:
		if ev.Reason == server.ForeignServer {
			w.dropOffers(clientOf(ev.HW, ev.ClientID))
		}
	}
}

// dropOffers forgets what is on offer to the client, by either of its keys.
func (w *world) dropOffers(c client) {
	for a, o := range w.offs {
		if o.hw == c.hw || o.cid != "" && o.cid == c.cid {
			delete(w.offs, a)
		}
	}
}
