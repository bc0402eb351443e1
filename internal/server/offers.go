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
	checked bool // the conflict check is done, or was not asked for
	id      identity
	made    int64 // CLOCK_BOOTTIME nanoseconds
	expires int64
	prev    int32 // in the order in which offers were made; 0: none
	next    int32
}

// offers is the table of offers: by address (live ones), by identity (the newest
// of each), and in the order in which they were made. It grows in pieces, so that a
// flood that fills it leaves no garbage behind.
type offers struct {
	slab   [][]offer // pieces of slabStep; [0][0] is the head of the ring, never an offer
	count  int32     // offers in the slab, the head included
	unused []int32
	byAddr offerIndex
	byID   offerIndex
	cursor int32 // every live offer is at or after it in the order; 0: none is live
}

const slabStep = 1024

func newOffers() offers {
	return offers{
		slab:   [][]offer{make([]offer, slabStep)},
		count:  1,
		byAddr: offerIndex{slots: make([]int32, 2*slabStep)},
		byID:   offerIndex{slots: make([]int32, 2*slabStep), id: true},
	}
}

// at is the offer with number i.
func (o *offers) at(i int32) *offer { return &o.slab[i/slabStep][i%slabStep] }

func (o *offers) len() int { return int(o.count) - 1 - len(o.unused) }

// all walks the offers, live and past, in the order in which they were made. One may be
// ended during the walk, but none added, renewed or forgotten.
func (o *offers) all(yield func(*offer) bool) {
	for i := o.at(0).next; i != 0; i = o.at(i).next {
		if !yield(o.at(i)) {
			return
		}
	}
}

// oldest is the offer that was made first, or nil.
func (o *offers) oldest() *offer {
	if i := o.at(0).next; i != 0 {
		return o.at(i)
	}
	return nil
}

// ofAddr is the live offer of a, or nil.
func (o *offers) ofAddr(a dhcp4.Addr) *offer {
	x := &o.byAddr
	for at := x.first(&offer{addr: a}); x.slots[at] != 0; at = x.next(at) {
		if of := o.at(x.slots[at]); of.addr == a {
			return of
		}
	}
	return nil
}

// ofID is the newest offer made to id, live or past, or nil.
func (o *offers) ofID(id identity) *offer {
	x := &o.byID
	for at := x.first(&offer{id: id}); x.slots[at] != 0; at = x.next(at) {
		if of := o.at(x.slots[at]); of.id == id {
			return of
		}
	}
	return nil
}

// oldestLive is the live offer that was made first, or nil.
func (o *offers) oldestLive() *offer {
	for o.cursor != 0 {
		of := o.at(o.cursor)
		if of.live {
			return of
		}
		o.cursor = of.next
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
		i = o.count
		if int(i)/slabStep == len(o.slab) {
			o.slab = append(o.slab, make([]offer, slabStep))
		}
		o.count++
	}
	of.live = true
	past := o.ofID(of.id)
	*o.at(i) = of
	o.link(i)
	o.byAddr.add(o, i)
	if past != nil { // the newest takes its place
		o.byID.remove(o, o.number(past))
	}
	o.byID.add(o, i)
	return o.at(i)
}

// number is the number of an offer that is in the order.
func (o *offers) number(of *offer) int32 { return o.at(of.prev).next }

// end makes a live offer a past one. What the pool knows of it is the caller's.
func (o *offers) end(of *offer) {
	of.live = false
	o.byAddr.remove(o, o.number(of))
}

// forget removes a past offer.
func (o *offers) forget(of *offer) {
	i := o.number(of)
	o.byID.remove(o, i)
	o.unlink(i)
	*of = offer{}
	o.unused = append(o.unused, i)
}

// offerIndex finds offers by one of their keys: numbers of offers by open
// addressing with linear probing. At most half of the slots are in use.
type offerIndex struct {
	slots []int32 // 0: free; the length is a power of two
	used  int
	id    bool // the key is the identity, not the address
}

// home is where the search for an offer begins, before the mask. An identity is a
// keyed hash already. Addresses come from our own pools, so nobody chooses them to
// collide; they are multiplied so that neighbours lie apart.
func (x *offerIndex) home(of *offer) uint32 {
	if x.id {
		return uint32(of.id[0])
	}
	return uint32(uint64(of.addr) * 0x9e3779b97f4a7c15 >> 32)
}

func (x *offerIndex) first(of *offer) uint32 { return x.home(of) & uint32(len(x.slots)-1) }

func (x *offerIndex) next(at uint32) uint32 { return (at + 1) & uint32(len(x.slots)-1) }

func (x *offerIndex) add(o *offers, i int32) {
	if 2*(x.used+1) > len(x.slots) {
		old := x.slots
		x.slots, x.used = make([]int32, 2*len(old)), 0
		for _, j := range old {
			if j != 0 {
				x.add(o, j)
			}
		}
	}
	at := x.first(o.at(i))
	for x.slots[at] != 0 {
		at = x.next(at)
	}
	x.slots[at] = i
	x.used++
}

// remove takes offer i out, if it is there, and closes the gap: what probing had
// carried past the freed slot moves back.
func (x *offerIndex) remove(o *offers, i int32) {
	at := x.first(o.at(i))
	for x.slots[at] != i {
		if x.slots[at] == 0 {
			return
		}
		at = x.next(at)
	}
	x.used--
	mask := uint32(len(x.slots) - 1)
	for probe := x.next(at); x.slots[probe] != 0; probe = x.next(probe) {
		home := x.first(o.at(x.slots[probe]))
		if (probe-home)&mask >= (probe-at)&mask {
			x.slots[at], at = x.slots[probe], probe
		}
	}
	x.slots[at] = 0
}

// renew puts a live offer at the end of the order.
func (o *offers) renew(of *offer, now, expires int64) {
	i := o.number(of)
	o.unlink(i)
	of.made, of.expires = now, expires
	o.link(i)
}

func (o *offers) link(i int32) {
	head := o.at(0)
	last := head.prev
	of := o.at(i)
	of.prev, of.next = last, 0
	o.at(last).next = i
	head.prev = i
	if o.cursor == 0 {
		o.cursor = i
	}
}

func (o *offers) unlink(i int32) {
	of := o.at(i)
	if o.cursor == i {
		o.cursor = of.next
	}
	o.at(of.prev).next = of.next
	o.at(of.next).prev = of.prev
}
