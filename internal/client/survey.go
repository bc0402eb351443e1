package client

import (
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// MaxOffers is how many offers a Survey keeps, however many servers there seem to be.
const MaxOffers = 64

// Offer is what one server offers to a Survey.
type Offer struct {
	Server dhcp4.Addr // option 54; the source of the packet where that is missing
	MAC    wire.MAC   // source of the frame: the server, or the relay agent before it
	Lease  Lease      // points of time are zero, T1 and T2 seconds, as ReadLease leaves them
	Reason Reason     // None, or why a client would not take it
}

// Survey asks all servers what they offer and takes nothing: it sends DISCOVER, with the
// retransmissions of RFC 2131 4.1, and never a REQUEST. A server that makes an
// offer holds an address for a while; nothing else changes anywhere. It belongs to one
// goroutine.
type Survey struct {
	c       Config
	random  random
	compose composer
	view    dhcp4.View
	xid     uint32
	first   int64
	try     int
	next    int64
	until   int64
	offers  []Offer
}

// NewSurvey returns a survey on link that ends at instant until of CLOCK_BOOTTIME. Its
// first tick is due at once. secret is as for New; of c everything counts that shapes
// a DISCOVER, and Allow and Deny.
func NewSurvey(c Config, secret [16]byte, link wire.Link, until int64) *Survey {
	c.RapidCommit = false // an answer to it would bind an address
	s := &Survey{c: c, random: newRandom(secret), until: until}
	s.compose = newComposer(&s.c)
	s.compose.setLink(link)
	s.xid = s.random.xid()
	return s
}

// Handle takes one input at instant now and appends to e what is to be sent: InputTick
// when it is due, and InputPacket. Other inputs have no effect.
func (s *Survey) Handle(now lease.Instant, in *Input, e *Effects) {
	switch in.Kind {
	case InputTick:
		s.tick(now.M, e)
	case InputPacket:
		if now.M < s.until {
			s.receive(in.Packet)
		}
	}
}

// NextTick is the point of CLOCK_BOOTTIME at which InputTick is due; lease.Never
// when the survey has ended.
func (s *Survey) NextTick() int64 { return s.next }

// Done reports whether the survey has ended.
func (s *Survey) Done() bool { return s.next == lease.Never }

// Offers are the offers so far, one for each server and frame address, in the order
// in which they came. They are the Survey's.
func (s *Survey) Offers() []Offer { return s.offers }

func (s *Survey) tick(now int64, e *Effects) {
	switch {
	case s.Done() || now < s.next:
		return
	case now >= s.until:
		s.next = lease.Never
		return
	}
	if s.try++; s.try == 1 {
		s.first = now
	}
	wait := s.random.backoff(s.try)
	start := len(e.arena)
	msg := message{typ: dhcp4.Discover, xid: s.xid, secs: uint16(min((now-s.first)/lease.Second, 0xffff)), requested: s.c.Request,
		broadcast: true}
	e.arena = s.compose.append(e.arena, &msg)
	to := toAll(0)
	to.Link, to.SrcPort, to.DstPort = s.compose.link.ID, dhcp4.ClientPort, dhcp4.ServerPort
	to.Data = e.arena[start:len(e.arena):len(e.arena)]
	e.List = append(e.List, Effect{Kind: EffectSend, Send: to},
		Effect{Kind: EffectEvent, Event: Event{Kind: EventSent, Type: dhcp4.Discover, XID: s.xid, Addr: msg.requested, Try: s.try, Wait: wait}})
	s.next = min(later(now, wait), s.until)
}

// receive keeps an OFFER that answers the question, good or bad.
func (s *Survey) receive(p *wire.Packet) {
	v := &s.view
	if v.Parse(p.Data) != nil || v.Op() != 2 || v.MessageType() != dhcp4.Offer || v.XID() != s.xid || s.try == 0 ||
		v.HType() != htypeEthernet || v.HLen() != 6 || wire.MAC(v.CHAddr()) != s.compose.link.MAC {
		return
	}
	o := Offer{Server: p.Src, MAC: p.SrcMAC}
	if server, ok := v.Addr(dhcp4.OptDHCPServerIdentifier); ok {
		o.Server = server
	}
	i := slices.IndexFunc(s.offers, func(old Offer) bool { return old.Server == o.Server && old.MAC == o.MAC })
	if i >= 0 && s.offers[i].Reason == None || i < 0 && len(s.offers) == MaxOffers {
		return
	}
	o.Lease, _, o.Reason = ReadLease(&s.c, v, p.SrcMAC, nil)
	switch {
	case !s.compose.ours(v):
		o.Reason = OtherClientID
	case !s.c.allowed(o.Server):
		o.Reason = ServerDenied
	}
	if i >= 0 {
		s.offers[i] = o
	} else {
		s.offers = append(s.offers, o)
	}
}
