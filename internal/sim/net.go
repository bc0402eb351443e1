package sim

import (
	"encoding/binary"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

const mtu = 1500

// segment is a broadcast domain.
type segment struct {
	name   string
	nics   []*nic // in the order of the plan
	snoops bool   // its switch puts option 82 into what clients broadcast
}

// nic is a network card and what the kernel behind it does by itself: it answers ARP
// and ICMP echo requests for the interface's addresses.
type nic struct {
	w       *world
	host    string
	seg     *segment
	id      wire.LinkID
	mac     wire.MAC
	carrier bool
	off     bool // the host has no power, or sleeps
	addrs   []dhcp4.Prefix
	times   map[uint64]uint64 // how often a frame was sent, by frameKey
	ipID    uint16
	client  bool
	take    func(frame []byte) // gives a frame to the program, nil for none
}

// cut is a partition: frames from one host do not reach another one.
type cut struct {
	from, to string // to "": nobody
	until    int64
}

func (w *world) cutOff(from, to string) bool {
	for _, c := range w.cuts {
		if c.from == from && (c.to == "" || c.to == to) && w.now < c.until {
			return true
		}
	}
	return false
}

// owner is the card on n's segment that answers for a.
func (n *nic) owner(a dhcp4.Addr) (wire.MAC, bool) {
	for _, o := range n.seg.nics {
		if o != n && o.up() && o.owns(a) {
			return o.mac, true
		}
	}
	return wire.MAC{}, false
}

func (n *nic) owns(a dhcp4.Addr) bool {
	return slices.ContainsFunc(n.addrs, func(p dhcp4.Prefix) bool { return p.Addr == a })
}

func (n *nic) up() bool { return n.carrier && !n.off }

// send sends a DHCP message as the kernel would: a raw frame as it is, anything else to
// whoever answers for its destination.
func (n *nic) send(s wire.Send) {
	found := true // else the kernel asks by ARP in vain
	if !s.Raw {
		if s.MAC, found = n.nextHop(s.Dst); s.Dst == dhcp4.Broadcast {
			s.MAC, found = wire.BroadcastMAC, true
		}
	}
	n.ipID++
	frame := link.AppendFrame(make([]byte, 0, 42+len(s.Data)), n.mac, n.ipID, &s)
	f := &trace.Frame{Link: n.seg.name, Sent: true, LinkID: n.id, SrcMAC: n.mac, DstMAC: s.MAC, Src: s.Src, Dst: s.Dst,
		SrcPort: s.SrcPort, DstPort: s.DstPort, Payload: frame[42 : 42+len(s.Data)]}
	n.w.emit(n.host, f)
	n.w.stats.Messages++
	if !found {
		return
	}
	if n.seg.snoops && n.client && s.Dst == dhcp4.Broadcast && s.DstPort == dhcp4.ServerPort {
		frame = n.snooped(&s)
	}
	n.transmit(frame)
}

func (n *nic) sendARP(a wire.ARP) {
	frame := link.AppendARP(nil, n.mac, &a)
	n.w.emit(n.host, &trace.Frame{Link: n.seg.name, Sent: true, LinkID: n.id, SrcMAC: n.mac, DstMAC: wire.MAC(frame[:6]), ARP: &a})
	n.transmit(frame)
}

// sendEcho sends an ICMP echo message to whoever has its destination, or leads there.
func (n *nic) sendEcho(m wire.Echo) {
	if mac, ok := n.nextHop(m.Dst); ok {
		n.ipID++
		n.transmit(link.AppendEchoFrame(nil, n.mac, mac, n.ipID, &m))
	}
}

// transmit carries a frame to every card that it is for; the dice decide what becomes
// of it on the way to each.
func (n *nic) transmit(frame []byte) {
	if !n.up() {
		return
	}
	if n.times == nil {
		n.times = make(map[uint64]uint64)
	}
	key := frameKey(frame)
	n.times[key]++
	to := wire.MAC(frame[:6])
	for _, o := range n.seg.nics {
		if o == n || !to.IsMulticast() && o.mac != to {
			continue
		}
		d := newDice(n.w.plan.Seed, name(n.host), key, n.times[key], name(o.host))
		n.w.fate(n, o, frame, &d)
	}
}

// frameKey is what a frame says and to whom, without the number that IP gives it: so what
// else its sender has sent changes nothing of its fate.
func frameKey(frame []byte) uint64 {
	if binary.BigEndian.Uint16(frame[12:]) == 0x0800 && len(frame) > 42 {
		return name(string(frame[:6])) ^ name(string(frame[42:]))*3
	}
	return name(string(frame))
}

// fate decides about one frame on its way to one receiver.
func (w *world) fate(from, to *nic, frame []byte, d *dice) {
	delay := d.between(w.plan.Net.Base)
	if w.cutOff(from.host, to.host) {
		w.stats.Faults++
		w.note(to.host, "a frame from %s is cut off", from.host)
		return
	}
	p := &w.plan.Net
	loss, copied, late, damage := d.hit(p.Loss), d.hit(p.Copy), d.hit(p.Late), d.hit(p.Damage)
	lateness, copyDelay := d.n(p.MaxDelay), d.n(p.MaxDelay)
	if w.healed {
		loss, copied, late, damage = false, false, false, false
	}
	if late || copied {
		if farewell(frame) {
			late, copyDelay = false, 0 // a late one cannot be told from a new one: nothing is promised then
		}
	}
	if loss {
		w.stats.Faults++
		w.note(to.host, "a frame from %s is lost", from.host)
		return
	}
	if copied {
		w.stats.Faults++
		w.after(delay+copyDelay, func() { to.deliver(frame) })
	}
	if late {
		w.stats.Faults++
		delay += lateness
	}
	if damage {
		w.stats.Faults++
		frame = damaged(frame, d)
	}
	w.after(delay, func() { to.deliver(frame) })
}

// damaged is a copy of frame with a bit changed, as a bad cable does; the card lets it
// through, the checksums must find it.
func damaged(frame []byte, d *dice) []byte {
	c := slices.Clone(frame)
	bit := 14*8 + d.n(int64(len(c)-14)*8)
	if binary.BigEndian.Uint16(c[12:]) == 0x0806 {
		bit = 14*8 + d.n(8*8) // ARP has no checksum: another sender's address would be a forgery
	}
	c[bit/8] ^= 1 << (bit % 8)
	return c
}

// farewell reports whether a frame is a RELEASE or a DECLINE.
func farewell(frame []byte) bool {
	if len(frame) < 42+240 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 || frame[42] != 1 {
		return false
	}
	var v dhcp4.View
	if v.Parse(frame[42:]) != nil {
		return false
	}
	t := v.MessageType()
	return t == dhcp4.Release || t == dhcp4.Decline
}

// deliver hands a frame to the host: its kernel answers ARP, its program gets the rest.
func (n *nic) deliver(frame []byte) {
	if !n.up() {
		return
	}
	n.w.stats.Frames++
	if binary.BigEndian.Uint16(frame[12:]) == 0x0806 {
		var a wire.ARP
		if link.ParseARP(frame, &a) == link.BadNone && a.Op == 1 && n.owns(a.TargetIP) && a.SenderMAC != n.mac {
			n.sendARP(wire.ARP{Link: n.id, Op: 2, SenderMAC: n.mac, SenderIP: a.TargetIP, TargetMAC: a.SenderMAC, TargetIP: a.SenderIP, To: a.SenderMAC})
		}
	}
	var m wire.Echo
	if link.ParseEcho(frame, &m) == link.BadNone && !m.Reply && n.owns(m.Dst) {
		m.Reply, m.Src, m.Dst = true, m.Dst, m.Src
		n.sendEcho(m)
	}
	if n.take != nil {
		n.take(frame)
	}
}

// received is the entry for a message that a program was handed.
func (n *nic) received(p *wire.Packet, dstPort uint16) *trace.Frame {
	return &trace.Frame{Link: n.seg.name, LinkID: n.id, SrcMAC: p.SrcMAC, DstMAC: p.DstMAC, Src: p.Src, Dst: p.Dst,
		SrcPort: p.SrcPort, DstPort: dstPort, Payload: p.Data}
}

func (n *nic) receivedARP(a *wire.ARP) *trace.Frame {
	c := *a
	return &trace.Frame{Link: n.seg.name, LinkID: n.id, SrcMAC: a.SenderMAC, ARP: &c}
}
