package server

import (
	"bytes"

	"lessor/dhcp4"
	"lessor/internal/lease"
)

// maxClones bounds the addresses of which a former hardware address is remembered (I22).
const maxClones = 1024

// clone is what is remembered of an address whose client changed its hardware address.
type clone struct {
	before uint64 // hash of the hardware address that it had before
	said   int64  // when the alarm was raised, 0: never
}

// suspectClone raises an alarm when one client identifier comes from two hardware
// addresses in turn: two machines made from one image share it, and share the address.
// One that changes once has a new card, and one with a reservation by several keys is
// meant to.
func (c *Core) suspectClone(q *request, e *Effects, old *lease.Binding) {
	if q.clientID == nil || len(q.hw) == 0 || len(old.HW) == 0 || bytes.Equal(q.hw, old.HW) || q.res != nil && q.res.Addr == old.Addr {
		return
	}
	a := old.Addr
	k, known := c.clones[a]
	if known && k.before == c.hashHW(q.hw) && (k.said == 0 || q.now.M-k.said >= 3600*second) {
		k.said = q.now.M
		c.alarm(q, e, AlarmClones, a)
	}
	if !known && len(c.clones) >= maxClones {
		clear(c.clones)
	}
	k.before = c.hashHW(old.HW)
	c.clones[a] = k
}

func (c *Core) hashHW(hw []byte) uint64 { return sipHash(c.k0, c.k1, hw) }

// forgetClone is called when the address goes to another client.
func (c *Core) forgetClone(a dhcp4.Addr) { delete(c.clones, a) }
