package checker

import (
	"lessor/dhcp4"
)

// offer is an address that a server offered to a client.
type offer struct {
	addr dhcp4.Addr
	who  ident
	m    int64 // CLOCK_BOOTTIME of the server when it was sent
	ends int64 // M at which it runs out
	live bool  // nothing is known to have ended it
}

// offerBook is what is known of one server's offers.
type offerBook struct {
	byAddr map[dhcp4.Addr]*offer
	byKey  map[string]*asker
}

// asker is a client that has asked for an offer.
type asker struct {
	discover int64 // M of the last DISCOVER
	refused  int64 // M of the last drop because of a REQUEST to another server; 0: none
	offer    *offer
}

func newOfferBook() offerBook {
	return offerBook{byAddr: map[dhcp4.Addr]*offer{}, byKey: map[string]*asker{}}
}

// offerKey is the client of q in its network, valid until the next call.
func (s *server) offerKey(q *request) []byte {
	b := s.keyBuf[:0]
	if q.net != nil {
		first := q.net.Subnets[0].Prefix
		b = append(first.Addr.Append(b), uint8(first.Bits))
	}
	if len(q.who.id) >= 2 && (q.pol == nil || q.pol.MatchClientID) {
		b = append(append(b, 1), q.who.id...)
	} else {
		b = append(append(b, 0, q.who.htype), q.who.hw...)
	}
	s.keyBuf = b
	return b
}

// asked takes a DISCOVER: whatever the client was offered, it may be offered another.
func (o *offerBook) asked(s *server, q *request) {
	k := s.offerKey(q)
	a := o.byKey[string(k)]
	if a == nil {
		a = &asker{}
		o.byKey[string(k)] = a
	}
	a.discover, a.refused = q.m, 0
	if a.offer != nil {
		a.offer.live = false
	}
}

// answeredBy takes a REQUEST or DECLINE of a client: its offer may be over.
func (o *offerBook) answeredBy(s *server, q *request) {
	if a := o.byKey[string(s.offerKey(q))]; a != nil && a.offer != nil {
		a.offer.live = false
	}
}

// refused takes the drop of a REQUEST that named another server.
func (o *offerBook) refused(key []byte, m int64) {
	if a := o.byKey[string(key)]; a != nil {
		a.refused = m
	}
}

// end ends what is on offer of a.
func (o *offerBook) end(a dhcp4.Addr) {
	if of := o.byAddr[a]; of != nil {
		of.live = false
	}
}

// unsure says that any offer may have ended.
func (o *offerBook) unsure() {
	for _, of := range o.byAddr {
		of.live = false
	}
}

// rival is the live offer of r's address to another client, or nil.
func (o *offerBook) rival(s *server, r *reply) *offer {
	of := o.byAddr[r.addr]
	if of == nil || !of.live || s.l.m >= of.ends-second || r.isSame(of.who) || same(s.pol, r.who, of.who, r.addr) {
		return nil
	}
	return of
}

// made takes an OFFER.
func (o *offerBook) made(s *server, r *reply, m int64) {
	if s.pol == nil {
		return
	}
	of := &offer{addr: r.addr, who: r.who, m: m, ends: m + s.pol.OfferLifetime, live: true}
	o.byAddr[r.addr] = of
	if r.request != nil {
		if a := o.byKey[string(s.offerKey(r.request))]; a != nil {
			a.offer = of
		}
	}
}
