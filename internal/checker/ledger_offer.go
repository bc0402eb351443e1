package checker

import (
	"lessor/dhcp4"
)

// offer is an address that a server offered to a client.
type offer struct {
	addr dhcp4.Addr
	who  ident
	t    int64 // true time when it was sent
	m    int64 // CLOCK_BOOTTIME of the server then
	ends int64 // M at which it runs out
	live bool  // nothing is known to have ended it

	before *offer // of the same address: what was decided while it stood may leave later
}

const mostBefore = 3 // offers of one address that are remembered before the last

// offerBook is what is known of one server's offers.
type offerBook struct {
	byAddr map[dhcp4.Addr]*offer
	byKey  map[string]*asker

	longest int64 // offer lifetime of this process, nanoseconds
}

// asker is a client that has asked for an offer.
type asker struct {
	discover int64 // M of the last DISCOVER
	entry    int   // where that is in the trace
	refused  int64 // M of the last drop because of a REQUEST to another server; 0: none
	offer    *offer
	earlier  *offer // the one before
	spoke    int    // entry of its last REQUEST or DECLINE, which ends an offer
}

// wasOffered reports whether the client was offered a in the last five minutes before m.
func (a *asker) wasOffered(addr dhcp4.Addr, m int64) bool {
	for _, of := range [2]*offer{a.offer, a.earlier} {
		if of != nil && of.addr == addr && m-of.m <= pastOffer+second {
			return true
		}
	}
	return false
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
	if s.pol != nil {
		o.longest = max(o.longest, s.pol.OfferLifetime)
	}
	k := s.offerKey(q)
	a := o.byKey[string(k)]
	if a == nil {
		a = &asker{}
		o.byKey[string(k)] = a
	}
	a.discover, a.entry, a.refused = q.m, q.at.entry, 0
	if a.offer != nil {
		a.offer.live = false
	}
}

// answeredBy takes a REQUEST or DECLINE of a client: its offer may be over.
func (o *offerBook) answeredBy(s *server, q *request) {
	if a := o.byKey[string(s.offerKey(q))]; a != nil {
		a.spoke = q.at.entry
		if a.offer != nil {
			a.offer.live = false
		}
	}
}

// refused takes the drop of REQUEST q that named another server. A DISCOVER that overtook
// it asked for an offer of its own.
func (o *offerBook) refused(key []byte, q *request, m int64) {
	if a := o.byKey[string(key)]; a != nil && q.at.entry > a.entry {
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
	if sn := s.pol.SubnetOf(r.addr); sn != nil { // of those at one place the last to ask has the offer
		if res := sn.Network.ReservedBy(r.addr); res != nil && reservationOf(s.pol, sn.Network, r.who) == res && reservationOf(s.pol, sn.Network, of.who) == res {
			return nil
		}
	}
	return of
}

// made takes an OFFER. Several inputs may be handled before a reply to the first of them
// leaves: what came after the DISCOVER may have ended the offer already.
func (o *offerBook) made(s *server, r *reply, m int64) {
	if s.pol == nil {
		return
	}
	of := &offer{addr: r.addr, who: r.who, t: s.l.t, m: m, ends: m + s.pol.OfferLifetime}
	of.before = o.byAddr[r.addr]
	for n, p := 0, of; p.before != nil; n, p = n+1, p.before {
		if n == mostBefore || p.before.ends < m-pastOffer {
			p.before = nil
			break
		}
	}
	o.byAddr[r.addr] = of
	q := r.request
	if q == nil {
		return
	}
	if a := o.byKey[string(s.offerKey(q))]; a != nil {
		heard, spoken := s.arpHeard[r.addr]
		of.live = a.spoke < q.at.entry && q.at.T > s.polT && q.at.T > s.linksT && !(spoken && heard >= q.m) && s.record(r.addr).t < q.at.T
		a.offer, a.earlier = of, a.offer
	}
}

// hidden reports whether s may have offers at m that the trace does not show: a DISCOVER
// without an answer or a drop waits for a conflict check, or its OFFER could not leave.
func (s *server) hidden(m int64) bool {
	if s.pol == nil {
		return true
	}
	for _, silent := range [2]int64{s.silentM, s.openDiscover()} {
		if silent != 0 && m-silent <= s.pol.OfferLifetime+10*second {
			return true
		}
	}
	return false
}

// openDiscover is when the last DISCOVER came, if nothing has answered it; else 0.
func (s *server) openDiscover() int64 {
	if s.discover != nil && s.discover.fate == waits {
		return s.discover.m
	}
	return 0
}

// possible is how many clients can have a live offer at m, and how many more could if
// they had not named another server more than a second ago. Who has asked long ago is
// forgotten. It looks no further once it has found enough clients for live offers.
func (o *offerBook) possible(s *server, m int64, live int) (can, freed int) {
	life := max(s.pol.OfferLifetime, o.longest)
	for k, a := range o.byKey { // whether there are enough does not depend on the order
		if can >= live {
			break
		}
		switch old := m - a.discover; {
		case old > life+pastOffer+10*second:
			delete(o.byKey, k)
		case old > life+10*second:
		case a.refused != 0 && m-a.refused > second:
			freed++
		default:
			can++
		}
	}
	return can, freed
}

// hiddenFromOthers is hidden without what q itself, which was just answered, may hide.
func (s *server) hiddenFromOthers(q *request, m int64) bool {
	if s.discover == q {
		return s.silentM != 0 && m-s.silentM <= s.pol.OfferLifetime+10*second
	}
	return s.hidden(m)
}
