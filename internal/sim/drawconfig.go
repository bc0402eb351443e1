package sim

import (
	"fmt"
	"slices"
	"strings"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// The hosts of a subnet: servers from 1 on, reservations outside of pools from 10 on,
// each server's pool from 64 or 124 on, other addresses of servers from 200 on.
const (
	firstReserved = 10
	firstPool     = 64
	poolRoom      = 60
	firstOther    = 200
)

// conf is a server's configuration before it is text.
type conf struct {
	valid, min, max      uint32 // seconds; 0: not set
	grace                int64  // 0: auto
	probation, offer     int64
	check                string
	match, authoritative bool
	rapid, broadcastNak  bool
	router, routerInPool bool // option 3 names the server, or the last address of a pool, which nobody may have then
	direct               int  // of the subnets, on an interface; the others are behind relay agents
	trusted              bool // option 82 of direct clients is believed
	classes, drop        bool
	relays               []dhcp4.Addr // known agents outside of all subnets
	subnets              []subnetConf
}

// subnetConf is the network of a segment: one subnet, or with pools in a second one two.
type subnetConf struct {
	relay        dhcp4.Addr // an agent outside of all subnets that stands for it; 0: none
	pools        []poolConf
	reservations []reservationConf
}

type poolConf struct {
	dhcp4.Range
	exclude dhcp4.Addr // 0: none
	valid   uint32     // 0: not set
	guard   string     // the class that it is for, "": all
}

type reservationConf struct {
	client          int // index in Plan.Clients
	hw, id          bool
	circuit, remote string // "": not by it
	addr            dhcp4.Addr
	valid           uint32
}

func (c *conf) clone() *conf {
	n := *c
	n.relays = slices.Clone(n.relays)
	n.subnets = slices.Clone(c.subnets)
	for i := range n.subnets {
		n.subnets[i].pools = slices.Clone(n.subnets[i].pools)
		n.subnets[i].reservations = slices.Clone(n.subnets[i].reservations)
	}
	return &n
}

// pools draws server i's pools on segment seg: as many addresses as the ratio wants.
func (d *drawer) pools(seg, i, servers int) []poolConf {
	clients := int64(0)
	for _, s := range d.perClient {
		if s == seg {
			clients++
		}
	}
	ratio := d.in(d.s.Ratio)
	size := min(max((clients*1000+ratio/2)/ratio/int64(servers), 1), poolRoom/2)
	first := addrIn(seg, firstPool+i*poolRoom)
	p := poolConf{Range: dhcp4.Range{First: first, Last: first + dhcp4.Addr(size-1)}}
	if d.shared[seg] {
		return d.poolsOfTwo(p, seg, size)
	}
	if size >= 3 && d.n(4) == 0 {
		p.exclude = first + dhcp4.Addr(d.n(size))
		p.Last++
	}
	if size >= 4 && d.n(4) == 0 { // two pools, the second with leases of its own
		q := poolConf{Range: dhcp4.Range{First: first + dhcp4.Addr(size/2), Last: p.Last}, valid: d.another(d.base)}
		p.Last = q.First - 1
		if q.Contains(p.exclude) {
			p.exclude, q.exclude = 0, p.exclude
		}
		return []poolConf{p, q}
	}
	return []poolConf{p}
}

// poolsOfTwo gives the second subnet of a shared network a part of its addresses.
func (d *drawer) poolsOfTwo(p poolConf, seg int, size int64) []poolConf {
	q := p
	q.First += secondOf << 8
	if size < 2 {
		q.Last = q.First
		return []poolConf{p, q}
	}
	n := dhcp4.Addr(d.between(1, size-1))
	p.Last = p.First + n - 1
	q.Last = q.First + dhcp4.Addr(size) - n - 1
	if d.n(3) == 0 {
		q.valid = d.another(d.base)
	}
	return []poolConf{p, q}
}

// another is a lifetime near t that every configuration of the run allows: between half of
// it and twice as long.
func (d *drawer) another(t uint32) uint32 {
	v := uint32(min(max(d.log(int64(d.base)/2, int64(d.base)*2), 4), int64(d.base)*2))
	d.shortest = min(d.shortest, v)
	return v
}

// limits lets clients ask for other lifetimes in some runs.
func (d *drawer) limits(c *conf) {
	if c.valid == lease.Infinite || d.n(3) > 0 {
		return
	}
	c.min = max(4, c.valid/uint32(d.between(1, 4)))
	c.max = uint32(min(int64(c.valid)*d.between(1, 2), 2*int64(d.base)))
	d.shortest = min(d.shortest, c.min)
}

// reserve gives some clients a reservation of server i. A client has one for each subnet, in
// the subnet that it is in.
func (d *drawer) reserve(i int) {
	if i > 0 {
		return // what a second server reserves would be another client's at the first
	}
	for range min(d.in(d.s.Reservations), int64(len(d.p.Clients))) {
		d.addReservation(d.confs[i], i)
	}
}

// addReservation reserves an address of the pool or one outside for a client that has none.
func (d *drawer) addReservation(c *conf, server int) bool {
	k := int(d.n(int64(len(d.p.Clients))))
	s := &c.subnets[d.perClient[k]]
	if slices.ContainsFunc(s.reservations, func(r reservationConf) bool { return r.client == k }) {
		return false
	}
	r := reservationConf{client: k, hw: true}
	if c.match && d.p.Clients[k].Config.Identifier != client.IdentifierNone {
		r.id = d.half()
		r.hw = !r.id || d.half()
	}
	if len(d.s.Nets.Keys) > 1 {
		d.keysFor(s, &r, k)
	}
	if d.n(4) == 0 && c.valid != lease.Infinite {
		r.valid = d.another(d.base)
	}
	r.addr = d.freeForReservation(s, d.perClient[k], server, k)
	if r.addr != 0 {
		s.reservations = append(s.reservations, r)
	}
	return r.addr != 0
}

// freeForReservation is an address that nobody has reserved.
func (d *drawer) freeForReservation(s *subnetConf, seg, server, k int) dhcp4.Addr {
	a := addrIn(seg, firstReserved+server*maxHosts+k)
	if d.half() {
		p := s.pools[d.n(int64(len(s.pools)))]
		a = p.First + dhcp4.Addr(d.n(int64(p.Size())))
	}
	if slices.ContainsFunc(s.reservations, func(r reservationConf) bool { return r.addr == a }) {
		return 0
	}
	return a
}

// routerOf is the router of segment seg that option 3 names, 0 for none.
func (c *conf) routerOf(seg int) dhcp4.Addr {
	p := c.subnets[seg].pools[0]
	switch {
	case !c.router:
		return 0
	case c.routerInPool && p.Size() > 1:
		return p.Last
	}
	return addrIn(seg, 1)
}

// identifier is what the client sends as option 61, nil for none.
func (c *ClientPlan) identifier() []byte { return identifierOf(&c.Config, c.MAC) }

func identifierOf(c *client.Config, mac wire.MAC) []byte {
	switch c.Identifier {
	case client.IdentifierMAC:
		return append([]byte{1}, mac[:]...)
	case client.IdentifierFixed:
		return c.ClientID
	}
	return nil
}

func colons(b []byte) string {
	return strings.ReplaceAll(fmt.Sprintf("% x", b), " ", ":")
}
