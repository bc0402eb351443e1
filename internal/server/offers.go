package server

import (
	"lessor/dhcp4"
)

// maxOffers bounds the offers that are remembered, live and past together (I22).
const maxOffers = 1 << 16

// pastOffer is how long an offer that is over still counts as "this client was
// offered this address": for a DECLINE (I5), and for the REQUEST that comes late.
const pastOffer = 300e9

// identity is a keyed hash of a client's identity and its network. 128 bits, so
// that two clients are never taken for one.
type identity [2]uint64

// offer is one address on offer to one client. Nothing of it is durable.
type offer struct {
	addr    dhcp4.Addr
	live    bool // false: expired, recalled or answered; kept for a while
	taken   bool // the address counts as offered in its pool (it was free before)
	checked bool // the conflict check is done, or was not asked for
	id      identity
	made    int64 // CLOCK_BOOTTIME nanoseconds
	expires int64
	prev    int32 // in the order in which offers were made; 0: none
	next    int32
}

// offers is the table of offers: by address (live ones), by identity (the newest
// of each), and in the order in which they were made.
type offers struct {
	slab   []offer // [0] is the head of the ring, never an offer
	unused []int32
	byAddr map[dhcp4.Addr]int32
	byID   map[identity]int32
	cursor int32 // every live offer is at or after it in the order; 0: none is live
}

func newOffers() offers {
	return offers{
		slab:   make([]offer, 1, 64),
		byAddr: map[dhcp4.Addr]int32{},
		byID:   map[identity]int32{},
	}
}

func (o *offers) len() int { return len(o.slab) - 1 - len(o.unused) }

// oldest is the offer that was made first, or nil.
func (o *offers) oldest() *offer {
	if i := o.slab[0].next; i != 0 {
		return &o.slab[i]
	}
	return nil
}

// ofAddr is the live offer of a, or nil.
func (o *offers) ofAddr(a dhcp4.Addr) *offer {
	if i := o.byAddr[a]; i != 0 {
		return &o.slab[i]
	}
	return nil
}

// ofID is the newest offer made to id, live or past, or nil.
func (o *offers) ofID(id identity) *offer {
	if i := o.byID[id]; i != 0 {
		return &o.slab[i]
	}
	return nil
}

// oldestLive is the live offer that was made first, or nil.
func (o *offers) oldestLive() *offer {
	for o.cursor != 0 {
		if of := &o.slab[o.cursor]; of.live {
			return of
		}
		o.cursor = o.slab[o.cursor].next
	}
	return nil
}

// add makes a live offer. The caller has seen to it that neither the address nor
// the identity has one, and that the table is not full.
func (o *offers) add(of offer) *offer {
	var i int32
	if n := len(o.unused); n > 0 {
		i, o.unused = o.unused[n-1], o.unused[:n-1]
	} else {
		o.slab = append(o.slab, offer{})
		i = int32(len(o.slab) - 1)
	}
	of.live = true
	o.slab[i] = of
	o.link(i)
	o.byAddr[of.addr] = i
	o.byID[of.id] = i
	return &o.slab[i]
}

// end makes a live offer a past one. What the pool knows of it is the caller's.
func (o *offers) end(of *offer) {
	of.live = false
	delete(o.byAddr, of.addr)
}

// forget removes a past offer.
func (o *offers) forget(of *offer) {
	i := o.slab[of.prev].next
	o.unlink(i)
	if o.byID[of.id] == i {
		delete(o.byID, of.id)
	}
	*of = offer{}
	o.unused = append(o.unused, i)
}

// renew puts a live offer at the end of the order.
func (o *offers) renew(of *offer, now, expires int64) {
	i := o.slab[of.prev].next
	o.unlink(i)
	of.made, of.expires = now, expires
	o.link(i)
}

func (o *offers) link(i int32) {
	last := o.slab[0].prev
	o.slab[i].prev, o.slab[i].next = last, 0
	o.slab[last].next = i
	o.slab[0].prev = i
	if o.cursor == 0 {
		o.cursor = i
	}
}

func (o *offers) unlink(i int32) {
	of := &o.slab[i]
	if o.cursor == i {
		o.cursor = of.next
	}
	o.slab[of.prev].next = of.next
	o.slab[of.next].prev = of.prev
}
