package e2e

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
)

// Crowd is many test clients that all want an address at once, on one station and
// in one goroutine. Each repeats what was not answered after Retry.
type Crowd struct {
	Station *Station
	Retry   time.Duration
	Loss    float64 // of frames, in each direction, 0 to 1
	Copies  float64 // of frames that arrive twice, in each direction
	First   int     // number of the first client: its hardware address is TestMAC(First)
	Rand    *rand.Rand

	Offers, Acks, Naks int // received, copies counted
	Sent               int // frames that were not lost

	members []member
	out     [][]byte
}

// member is one client: it discovers until an offer comes, and requests that until
// it is acknowledged or refused, or silence makes it start again.
type member struct {
	addr, server dhcp4.Addr // of the offer; zero while discovering
	bound        dhcp4.Addr
	boundAt      time.Duration // since the start
	due          time.Time
	tries        int // of the present REQUEST
	era          uint8
}

const maxTries = 4 // of a REQUEST, as RFC 2131 4.4.1's example has it

// Run lets n clients start at once and returns when all are bound, or at the
// deadline. It returns what each was bound to (zero: nothing) and the time that the
// slowest took.
func (c *Crowd) Run(n int, deadline time.Duration) (bound []dhcp4.Addr, slowest time.Duration, err error) {
	start := time.Now()
	c.members = make([]member, n)
	left := n
	for left > 0 && time.Since(start) < deadline {
		now := time.Now()
		for i := range c.members {
			if m := &c.members[i]; m.bound == 0 && !now.Before(m.due) {
				m.due = now.Add(c.Retry)
				c.transmit(i)
			}
		}
		if err := c.flush(); err != nil {
			return nil, 0, err
		}
		err := c.Station.Receive(5*time.Millisecond, func(b []byte) {
			for range c.arrivals() {
				if c.hear(b, time.Since(start)) {
					left--
				}
			}
		})
		if err == nil {
			err = c.flush()
		}
		if err != nil {
			return nil, 0, err
		}
	}
	for i := range c.members {
		bound = append(bound, c.members[i].bound)
		slowest = max(slowest, c.members[i].boundAt)
	}
	return bound, slowest, nil
}

// arrivals is how often a frame arrives: lost, once, or twice.
func (c *Crowd) arrivals() int {
	switch x := c.Rand.Float64(); {
	case x < c.Loss:
		return 0
	case c.Rand.Float64() < c.Copies:
		return 2
	}
	return 1
}

// transmit queues what client i has to say now.
func (c *Crowd) transmit(i int) {
	m := &c.members[i]
	mac := TestMAC(c.First + i)
	if m.addr != 0 {
		if m.tries++; m.tries > maxTries {
			m.addr, m.tries = 0, 0
			m.era++
		}
	}
	xid := uint32(i)<<8 | uint32(m.era)
	msg := Discover(mac, xid)
	if m.addr != 0 {
		msg = Select(mac, xid, m.addr, m.server)
	}
	frame := msg.Frame()
	for range c.arrivals() {
		c.out = append(c.out, frame)
	}
}

func (c *Crowd) flush() error {
	c.Sent += len(c.out)
	err := c.Station.Send(c.out)
	c.out = c.out[:0]
	return err
}

// hear takes in one frame and reports whether it made its client bound.
func (c *Crowd) hear(b []byte, at time.Duration) bool {
	f, ok := netlab.DecodeFrame(b)
	if !ok {
		return false
	}
	v, ok := f.View()
	if !ok || v.Op() != 2 {
		return false
	}
	i := int(v.XID() >> 8)
	if i >= len(c.members) {
		return false
	}
	m := &c.members[i]
	mac := TestMAC(c.First + i)
	if uint8(v.XID()) != m.era || [6]byte(v.CHAddr()) != mac {
		return false
	}
	switch v.MessageType() {
	case dhcp4.Offer:
		c.Offers++
		if m.addr == 0 && m.bound == 0 {
			m.addr = v.YIAddr()
			m.server, _ = v.Addr(dhcp4.OptDHCPServerIdentifier)
			m.due = time.Now().Add(c.Retry)
			c.transmit(i)
		}
	case dhcp4.Ack:
		c.Acks++
		if m.bound == 0 && m.addr == v.YIAddr() {
			m.bound, m.boundAt = m.addr, at
			return true
		}
	case dhcp4.Nak:
		c.Naks++
		if m.bound == 0 {
			m.addr, m.tries = 0, 0
			m.era++
			m.due = time.Now().Add(c.Retry)
		}
	}
	return false
}

// Flood sends frames at a rate, whether or not the server keeps up, until stop is
// closed; make writes the n-th frame into the slice that it is given. It returns how
// many were sent.
func Flood(s *Station, rate int, stop <-chan struct{}, make func(n int, dst []byte) []byte) (sent int, err error) {
	start := time.Now()
	frames := [batch][]byte{}
	for i := range frames {
		frames[i] = []byte{}
	}
	for {
		select {
		case <-stop:
			return sent, nil
		default:
		}
		due := int(time.Since(start).Seconds() * float64(rate))
		n := min(due-sent, batch)
		if n <= 0 {
			time.Sleep(200 * time.Microsecond)
			continue
		}
		for i := range n {
			frames[i] = make(sent+i, frames[i][:0])
		}
		if err := s.Send(frames[:n]); err != nil {
			return sent, err
		}
		sent += n
	}
}

// Template is a message whose transaction id and client change from frame to frame.
type Template struct{ frame []byte }

// Offsets in a frame: Ethernet, IP and UDP headers without options come before the message.
const (
	offPayload = 14 + 20 + 8
	offXID     = offPayload + 4
	offCHAddr  = offPayload + 28
)

// NewTemplate prepares m, whose UDP checksum is zero and need not change.
func NewTemplate(m Msg) *Template { return &Template{m.Frame()} }

// Append appends the message with another transaction id and the hardware address TestMAC
// would not give: 02:f1 and 32 bits of id. The frame's source stays that of m.
func (t *Template) Append(dst []byte, xid, id uint32) []byte {
	start := len(dst)
	dst = append(dst, t.frame...)
	f := dst[start:]
	binary.BigEndian.PutUint32(f[offXID:], xid)
	f[offCHAddr], f[offCHAddr+1] = 0x02, 0xf1
	binary.BigEndian.PutUint32(f[offCHAddr+2:], id)
	return dst
}
