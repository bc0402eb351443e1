package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/store"
)

// platter is a store on a disk that fails when it is told to. What a failed commit was to
// write may have come to the disk all the same: then it is there after a crash (I2c).
type platter struct {
	store.Store
	o      *oracle
	fail   bool
	broken bool
	half   []lease.Change // of a failed commit, since the last Recreate
	halfAt int            // ACKs that had left then
}

func (p *platter) Commit(ctx context.Context, m lease.Mark, cs []lease.Change, res []store.Result) error {
	if p.fail || p.broken {
		if !p.broken {
			p.half, p.halfAt = copyChanges(cs), p.o.acks
		}
		p.broken = true
		for i := range res {
			res[i].Outcome = store.Failed
		}
		return store.ErrBroken
	}
	if err := p.Store.Commit(ctx, m, cs, res); err != nil {
		return err
	}
	p.o.committed(cs, p.o.acks)
	return nil
}

func (p *platter) Recreate(ctx context.Context, m lease.Mark, next func([]lease.Binding) (int, error)) error {
	if p.fail {
		return store.ErrBroken
	}
	err := p.Store.Recreate(ctx, m, next)
	if err == nil {
		p.broken, p.half = false, nil
	}
	return err
}

func copyBinding(b lease.Binding) lease.Binding {
	for _, f := range []*[]byte{&b.HW, &b.ClientID, &b.Hostname, &b.Agent} {
		*f = bytes.Clone(*f)
	}
	return b
}

func copyChanges(cs []lease.Change) []lease.Change {
	out := slices.Clone(cs)
	for i := range out {
		out[i].Before, out[i].After = copyBinding(cs[i].Before), copyBinding(cs[i].After)
	}
	return out
}

// held is a promise made by an ACK. Times are true ones, nanoseconds.
type held struct {
	key, hw string
	end     int64 // of the lease
	free    int64 // of S
	n       int   // it is the n-th ACK
}

// oracle judges a run by simple means. The checker judges many more things; this one
// knows nothing of it.
type oracle struct {
	t        testing.TB
	base     int64            // true time at which this boot's CLOCK_BOOTTIME was zero
	now      int64            // true time
	asked    map[uint32]int64 // when the REQUEST of an xid came in, the first one
	durable  map[dhcp4.Addr]lease.Binding
	leased   map[dhcp4.Addr]held // the last durable lease, ended or not
	promises map[dhcp4.Addr]held
	acks     int
	started  bool // a server has just read its store
	trail    []string
}

func (o *oracle) fail(format string, args ...any) {
	o.t.Helper()
	for _, l := range o.trail {
		o.t.Log(l)
	}
	o.t.Fatalf(format, args...)
}

// committed notes what is durable now. A durable release or decline by the holder ends
// what was promised to it, up to the ACK of number acks.
func (o *oracle) committed(cs []lease.Change, acks int) {
	for i := range cs {
		if cs[i].CompareOnly {
			continue
		}
		b := copyBinding(cs[i].After)
		if b.Addr == 0 {
			b.Addr = cs[i].Before.Addr
		}
		o.durable[b.Addr] = b
		if b.State == lease.Bound {
			key, hw := keyOf(b.HType, b.HW, b.ClientID)
			o.leased[b.Addr] = held{key: key, hw: hw, end: o.truth(b.End)}
		}
		if p, ok := o.promises[b.Addr]; ok && p.n <= acks && b.State != lease.Bound && (b.State != 0 || o.now >= p.free) {
			delete(o.promises, b.Addr)
		}
	}
}

// rebooted notes that from now on a lease ends when its record says so in wall time, which
// was rounded up to a second.
func (o *oracle) rebooted() {
	for a, l := range o.leased {
		if b := o.durable[a]; l.end != lease.Never && b.State == lease.Bound {
			l.end = max(l.end, b.Until*lease.Second)
			o.leased[a] = l
		}
	}
}

// truth is an instant of this boot in true time.
func (o *oracle) truth(m int64) int64 {
	if m == lease.Never {
		return m
	}
	return o.base + m
}

func keyOf(htype uint8, hw, id []byte) (key, hardware string) {
	hardware = fmt.Sprintf("%d %x", htype, hw)
	if len(id) >= 2 {
		return fmt.Sprintf("id %x", id), hardware
	}
	return hardware, hardware
}

// reply judges one message that the server sends now.
func (o *oracle) reply(r *server.Reply) {
	o.t.Helper()
	var v dhcp4.View
	if err := v.Parse(r.Data); err != nil {
		o.fail("a reply does not parse: %v: %x", err, r.Data)
	}
	id, _ := v.Get(dhcp4.OptDHCPClientIdentifier, nil)
	key, hw := keyOf(v.HType(), v.CHAddr(), id)
	a := v.YIAddr()
	o.trail = append(o.trail, fmt.Sprintf("%d: %v %v to %s", o.now/1e9, v.MessageType(), a, key))
	other := false
	p, ok := o.promises[a]
	if ok && p.free > o.now {
		other = p.key != key && p.hw != hw
	}
	switch v.MessageType() {
	case dhcp4.Offer:
		if other {
			o.fail("%v is offered to %s while %s has it", a, key, p.key)
		}
	case dhcp4.Ack:
		secs, ok := v.Uint32(dhcp4.OptDHCPLeaseTime)
		if !ok {
			return // to an INFORM
		}
		if end := o.end(v.XID(), secs); end > o.now { // else the store took longer than the lease
			if other {
				o.fail("%v is acknowledged to %s while %s has it until %d (I1)", a, key, p.key, p.free/1e9)
			}
			o.acknowledged(a, key, hw, end)
		}
	}
}

// end is when a lease of secs ends that was asked for with xid.
func (o *oracle) end(xid, secs uint32) int64 {
	if secs == lease.Infinite {
		return lease.Never
	}
	return o.asked[xid] + int64(secs)*lease.Second
}

// acknowledged checks an ACK against what is durable, and notes it.
func (o *oracle) acknowledged(a dhcp4.Addr, key, hw string, end int64) {
	o.t.Helper()
	b, l := o.durable[a], o.leased[a]
	if l.key != key && l.hw != hw || l.end < end {
		o.fail("%v is acknowledged to %s until %d; durable is a lease of %s until %d (I2)", a, key, end/1e9, l.key, l.end/1e9)
	}
	if b.State != lease.Bound {
		return // given back after the REQUEST, in one group with it
	}
	p := o.promises[a]
	if p.key == key || p.hw == hw {
		end = max(end, p.end) // an answer with less takes nothing back
	}
	o.acks++
	o.promises[a] = held{key, hw, end, lease.After(end, b.Grace), o.acks}
}

// look checks a server between two inputs: the sums of its pools, and that it knows all
// that was acknowledged.
func (o *oracle) look(core *server.Core) {
	o.t.Helper()
	for _, p := range core.Pools() {
		sum := uint64(0)
		for _, n := range p.Count {
			sum += n
		}
		if sum != p.Size {
			o.fail("the pool %v has %d addresses, not %d: %v (I4)", p.Range, sum, p.Size, p.Count)
		}
	}
	for a, p := range o.promises {
		if p.end <= o.now {
			continue
		}
		var b lease.Binding
		slot := core.Table().ByAddr(a)
		if slot != 0 {
			core.Table().Binding(slot, &b)
		}
		k, h := keyOf(b.HType, b.HW, b.ClientID)
		if o.started && b.State != lease.Bound || b.State == lease.Bound && (k != p.key && h != p.hw || o.truth(b.End) < p.end) || b.State == 0 {
			o.fail("%v was acknowledged to %s until %d; the server has state %d, %s, until %d", a, p.key, p.end/1e9, b.State, k, o.truth(b.End)/1e9)
		}
	}
}
