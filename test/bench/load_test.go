package bench

import (
	"encoding/binary"
	"time"

	"lessor/dhcp4"
	"lessor/test/e2e"
)

// exchange is what a client of a load does over and over.
type exchange uint8

const (
	dora    exchange = iota // a new client's DISCOVER, OFFER, REQUEST, ACK
	offers                  // a new client's DISCOVER, OFFER
	renewal                 // a bound client's REQUEST, by unicast through a router, and ACK
)

// Offsets in a frame with an IP header without options.
const (
	offIP      = 14
	offSrcIP   = offIP + 12
	offUDP     = offIP + 20
	offPayload = offUDP + 8
	offXID     = offPayload + 4
	offCIAddr  = offPayload + 12
	offYIAddr  = offPayload + 16
	offCHAddr  = offPayload + 28
	offOptions = offPayload + 240
)

// load is clients in a closed loop: a fixed number of exchanges is outstanding, and as
// soon as one is over the next begins. It belongs to one goroutine.
type load struct {
	s       *site
	kind    exchange
	slots   []slot
	next    uint32 // number of the next client
	left    int    // exchanges that are still to be begun
	open    int    // slots that are in use
	over    int
	again   int // messages that were not answered and were sent again
	refused int // NAKs

	discover, request, renew []byte
	out                      [][]byte
	mem                      [][]byte     // the frame of each slot
	bound                    []dhcp4.Addr // of each client, once it has one
	took                     []time.Duration
	clock                    time.Time // of the last batch
}

// slot is one outstanding exchange.
type slot struct {
	client uint32
	addr   dhcp4.Addr // asked for; 0 while discovering
	begun  time.Time
	sent   time.Time
	used   bool
	round  uint16 // makes a transaction id that no earlier exchange had
}

// repeat is when a message without an answer is sent again.
const repeat = time.Second

// newLoad makes clients for s. Relayed ones are behind the relay agent; renewals
// always come by a router.
func newLoad(s *site, kind exchange, relayed bool, outstanding int) *load {
	l := &load{s: s, kind: kind, slots: make([]slot, outstanding)}
	mac := e2e.TestMAC(0)
	frame := func(m e2e.Msg) []byte {
		switch {
		case m.CIAddr != 0:
			m.Dst, m.DstMAC, m.SrcMAC = serverAddr, s.serverMAC, s.hostMAC
		case relayed:
			m.Src, m.Dst, m.DstMAC, m.SrcMAC = hostAddr, serverAddr, s.serverMAC, s.hostMAC
			m.SrcPort, m.GIAddr = dhcp4.ServerPort, relayAddr
		}
		m.Options = []dhcp4.Option{{Code: dhcp4.OptHostName, Data: []byte("client-of-a-benchmark")}}
		return m.Frame()
	}
	l.discover = frame(e2e.Discover(mac, 0))
	l.request = frame(e2e.Select(mac, 0, serverAddr, serverAddr))
	l.renew = frame(e2e.Rebind(mac, 0, farFirst))
	for range l.slots {
		l.mem = append(l.mem, make([]byte, 0, 512))
	}
	l.took = make([]time.Duration, 0, 1<<16)
	return l
}

// run lets n exchanges happen.
func (l *load) run(n int) {
	l.s.b.Helper()
	l.left, l.over = n, 0
	l.clock = time.Now()
	for i := range l.slots {
		l.begin(i)
	}
	checked := l.clock
	for {
		check(l.s.b, l.s.station.Send(l.out))
		l.out = l.out[:0]
		if l.open == 0 {
			return
		}
		check(l.s.b, l.s.station.Receive(50*time.Millisecond, l.hear))
		if l.clock = time.Now(); l.clock.Sub(checked) > repeat/10 {
			checked = l.clock
			l.late()
		}
	}
}

// late sends again what has not been answered.
func (l *load) late() {
	for i := range l.slots {
		if c := &l.slots[i]; c.used && l.clock.Sub(c.sent) > repeat {
			l.again++
			l.transmit(i)
		}
	}
	if err, ended := l.s.proc.Wait(0); ended {
		l.s.b.Fatalf("the server ended: %v:\n%s", err, l.s.log())
	}
	if l.again > 1000+l.over {
		l.s.b.Fatalf("hardly anything is answered (%d of %d); the server wrote:\n%s", l.over, l.over+l.again, l.s.log())
	}
}

// begin lets slot i be the next client.
func (l *load) begin(i int) {
	if l.left == 0 {
		return
	}
	l.left--
	l.open++
	c := &l.slots[i]
	*c = slot{client: l.next, begun: l.clock, used: true, round: uint16(l.next)}
	l.next++
	if l.kind == renewal {
		c.client %= uint32(len(l.bound))
		c.addr = l.bound[c.client]
	}
	l.transmit(i)
}

// transmit queues what slot i has to say.
func (l *load) transmit(i int) {
	c := &l.slots[i]
	c.sent = l.clock
	f := l.mem[i][:0]
	switch {
	case l.kind == renewal:
		f = append(f, l.renew...)
		binary.BigEndian.PutUint32(f[offSrcIP:], uint32(c.addr))
		binary.BigEndian.PutUint32(f[offCIAddr:], uint32(c.addr))
		sumHeader(f[offIP:offUDP])
	case c.addr != 0:
		f = append(f, l.request...)
		// Option 50 follows options 53 and 54.
		binary.BigEndian.PutUint32(f[offOptions+3+6+2:], uint32(c.addr))
	default:
		f = append(f, l.discover...)
	}
	binary.BigEndian.PutUint32(f[offXID:], uint32(i)|uint32(c.round)<<16)
	putHW(f[offCHAddr:], c.client)
	l.mem[i] = f
	l.out = append(l.out, f)
}

// putHW writes the hardware address of a client.
func putHW(dst []byte, client uint32) {
	dst[0], dst[1] = 0x02, 0xf2
	binary.BigEndian.PutUint32(dst[2:], client)
}

// sumHeader writes the checksum of an IP header.
func sumHeader(h []byte) {
	h[10], h[11] = 0, 0
	sum := uint32(0)
	for i := 0; i < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum))
}

// hear takes in one frame.
func (l *load) hear(f []byte) {
	if len(f) < offOptions+3 || f[offPayload] != 2 || f[offIP] != 0x45 {
		return
	}
	xid := binary.BigEndian.Uint32(f[offXID:])
	i := int(xid & 0xffff)
	if i >= len(l.slots) {
		return
	}
	c := &l.slots[i]
	if !c.used || c.round != uint16(xid>>16) {
		return
	}
	typ := dhcp4.Ack
	if l.s.echo {
		// It knows one kind of reply.
	} else if typ = messageType(f[offOptions:]); typ == dhcp4.Nak {
		l.refused++
		l.left++
		l.end(i)
		return
	}
	switch {
	case typ == dhcp4.Offer && l.kind == dora:
		if c.addr == 0 {
			c.addr = dhcp4.AddrFromBytes(f[offYIAddr:])
			l.transmit(i)
		}
	case typ == dhcp4.Ack && (l.kind == renewal || c.addr != 0 || l.s.echo), typ == dhcp4.Offer && l.kind == offers:
		l.over++
		if l.kind == dora {
			l.keep(c)
		}
		if len(l.took) < cap(l.took) {
			l.took = append(l.took, time.Since(c.begun))
		}
		l.end(i)
	}
}

// keep remembers what a client was bound to.
func (l *load) keep(c *slot) {
	for uint32(len(l.bound)) <= c.client {
		l.bound = append(l.bound, 0)
	}
	l.bound[c.client] = c.addr
}

// end makes slot i free for the next client.
func (l *load) end(i int) {
	l.slots[i].used = false
	l.open--
	l.begin(i)
}

// messageType finds option 53, which nearly every server sends first.
func messageType(opts []byte) dhcp4.MessageType {
	for len(opts) >= 3 && opts[0] != 255 {
		if opts[0] == byte(dhcp4.OptDHCPMessageType) {
			return dhcp4.MessageType(opts[2])
		}
		if n := 2 + int(opts[1]); opts[0] != 0 && n <= len(opts) {
			opts = opts[n:]
			continue
		}
		opts = opts[1:]
	}
	return 0
}
