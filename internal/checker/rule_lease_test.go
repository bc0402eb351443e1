package checker

import (
	"strings"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/pool"
	core "lessor/internal/server"
	"lessor/internal/trace"
)

var (
	one   = who{hw: 1}
	two   = who{hw: 2}
	three = who{hw: 3, id: "ff0303"}
)

const (
	a100 = "198.18.0.100"
	a101 = "198.18.0.101"
	a102 = "198.18.0.102"
)

// story is one trace, and the rules that it breaks; none: it just does not.
type story struct {
	name   string
	conf   string
	tell   func(b *history)
	breaks []string
}

func tell(t *testing.T, stories []story) {
	t.Helper()
	for _, s := range stories {
		t.Run(strings.ReplaceAll(s.name, " ", "-"), func(t *testing.T) {
			b := newHistory(t, s.conf)
			s.tell(b)
			b.breaks(s.breaks...)
		})
	}
}

// TestI1: the lease of 60 s has a grace of 6 s.
func TestI1(t *testing.T) {
	tell(t, []story{
		{name: "another within the grace", breaks: []string{"I1"}, tell: func(b *history) {
			b.grant(one, a100, 60)
			b.pass(65.9)
			b.bound(b.selecting(two, a100), a100, 60)
		}},
		{name: "another after the grace", tell: func(b *history) {
			b.grant(one, a100, 60)
			b.pass(66)
			b.bound(b.selecting(two, a100), a100, 60)
		}},
		{name: "two servers", breaks: []string{"I1"}, tell: func(b *history) {
			b.grant(one, a100, 60)
			b.server("s2", "198.18.0.2", "")
			b.bound(b.selecting(two, a100), a100, 60)
		}},
		{name: "one client at two servers", tell: func(b *history) {
			b.grant(one, a100, 60)
			b.server("s2", "198.18.0.2", "")
			b.bound(b.selecting(one, a100), a100, 60)
		}},
		{name: "a fast clock of the server", breaks: []string{"I1"}, tell: func(b *history) {
			b.drift(200)
			b.grant(one, a100, 3600)
			b.pass(3600 + 66) // by its clock 3666.7 s of 3667
			b.bound(b.selecting(two, a100), a100, 60)
		}},
		{name: "a fast clock, long enough", tell: func(b *history) {
			b.drift(200)
			b.grant(one, a100, 3600)
			b.pass(3600 + 66.3)
			b.bound(b.selecting(two, a100), a100, 60)
		}},
		{name: "a release of another", breaks: []string{"I1"}, tell: func(b *history) {
			b.grant(one, a100, 60)
			b.release(two, a100)
			b.commit(b.free(a100))
			b.bound(b.selecting(two, a100), a100, 60)
		}},
		{name: "a release of its own", tell: func(b *history) {
			b.grant(one, a100, 60)
			b.release(one, a100)
			b.commit(b.free(a100))
			b.bound(b.selecting(two, a100), a100, 60)
		}},
		{name: "a lease that was repeated shorter", breaks: []string{"I1"}, tell: func(b *history) {
			b.grant(one, a100, 600)
			b.bound(b.renew(one, a100), a100, 60)
			b.pass(100)
			b.bound(b.selecting(two, a100), a100, 60)
		}},
		{name: "a lease without an end", breaks: []string{"I1"}, tell: func(b *history) {
			b.grant(one, a100, lease.Infinite)
			b.pass(1e7)
			b.bound(b.selecting(two, a100), a100, 60)
		}},
		{name: "the operator ends a lease without an end", tell: func(b *history) {
			b.grant(one, a100, lease.Infinite)
			b.add(&trace.Override{Addr: addrOf(a100), Immediate: true})
			b.commit(b.free(a100))
			b.bound(b.selecting(two, a100), a100, 60)
		}},
	})
}

// TestI1Reboot: what was promised before a reboot holds after it, as far as the wall
// clock is right.
func TestI1Reboot(t *testing.T) {
	given := func(b *history, ahead float64) {
		b.grant(one, a100, 600)
		b.step(ahead)
		b.reboot(false)
		b.pass(10)
		b.bound(b.selecting(two, a100), a100, 60)
	}
	tell(t, []story{
		{name: "given away after a reboot", breaks: []string{"I1"}, tell: func(b *history) { given(b, 0.5) }},
		{name: "the clock was ahead", tell: func(b *history) { given(b, 1.5) }},
		{name: "the store was lost", tell: func(b *history) {
			b.grant(one, a100, 600)
			clear(b.hosts["s1"].records)
			b.reboot(true)
			b.bound(b.selecting(two, a100), a100, 60)
		}},
		{name: "free at its end", tell: func(b *history) {
			b.grant(one, a100, 60)
			b.reboot(false)
			b.pass(66)
			b.bound(b.selecting(two, a100), a100, 60)
		}},
	})
}

// TestI1Clients: the intervals of clients by their own clocks.
func TestI1Clients(t *testing.T) {
	uses := func(b *history, k who, name string, seconds float64) {
		b.turn(name)
		now := b.now().M
		b.add(&trace.Client{What: trace.ClientAccept, MAC: k.mac(), Addr: addrOf(a100), Start: now, End: now + int64(seconds*1e9)})
		b.host = "s1"
	}
	tell(t, []story{
		{name: "the first goes on", breaks: []string{"I1"}, tell: func(b *history) {
			b.grant(one, a100, 60)
			uses(b, one, "c1", 67)
			b.pass(66)
			b.bound(b.selecting(two, a100), a100, 60)
			uses(b, two, "c2", 60)
		}},
		{name: "the first has ended", tell: func(b *history) {
			b.grant(one, a100, 60)
			uses(b, one, "c1", 60)
			b.pass(66)
			b.bound(b.selecting(two, a100), a100, 60)
			uses(b, two, "c2", 60)
		}},
		{name: "somebody released it in the name of the first", tell: func(b *history) {
			b.grant(one, a100, 60)
			uses(b, one, "c1", 60)
			b.release(one, a100)
			b.commit(b.free(a100))
			b.bound(b.selecting(two, a100), a100, 60)
			uses(b, two, "c2", 60)
		}},
	})
}

func TestI2(t *testing.T) {
	tell(t, []story{
		{name: "nothing durable", breaks: []string{"I2"}, tell: func(b *history) {
			b.ack(b.selecting(one, a100), a100, 60)
		}},
		{name: "the sync comes after", breaks: []string{"I2"}, tell: func(b *history) {
			q := b.selecting(one, a100)
			b.ack(q, a100, 60)
			b.commit(b.bind(q, a100, 60))
		}},
		{name: "a second too long", breaks: []string{"I2"}, tell: func(b *history) {
			q := b.selecting(one, a100)
			b.commit(b.bind(q, a100, 60))
			b.ack(q, a100, 61)
		}},
		{name: "the commit failed", breaks: []string{"I2"}, tell: func(b *history) {
			q := b.selecting(one, a100)
			b.failCommit(b.bind(q, a100, 60))
			b.ack(q, a100, 60)
		}},
		{name: "durable", tell: func(b *history) { b.bound(b.selecting(one, a100), a100, 60) }},
		{name: "the time that is left", tell: func(b *history) {
			b.grant(one, a100, 60)
			b.pass(12)
			b.ack(b.renew(one, a100), a100, 47)
		}},
		{name: "more than the time that is left", breaks: []string{"I2"}, tell: func(b *history) {
			b.grant(one, a100, 60)
			b.pass(12)
			b.ack(b.renew(one, a100), a100, 49)
		}},
		{name: "after a crash the record is there", tell: func(b *history) {
			q := b.selecting(one, a100)
			b.commit(b.bind(q, a100, 60))
			b.restart()
			b.ack(b.initReboot(one, a100), a100, 59)
		}},
	})
}

func TestI2b(t *testing.T) {
	tell(t, []story{
		{name: "offered before the release is durable", breaks: []string{"I2b"}, tell: func(b *history) {
			b.grant(one, a100, 60)
			b.release(one, a100)
			b.offer(b.discover(two), a100, 60)
		}},
		{name: "offered after it is", tell: func(b *history) {
			b.grant(one, a100, 60)
			b.grant(three, a101, 60)
			b.grant(who{hw: 4}, a102, 60)
			b.grant(who{hw: 5}, "198.18.0.103", 60)
			b.release(one, a100)
			b.commit(b.free(a100))
			b.offer(b.discover(two), a100, 60)
		}},
	})
}

// shrunk is plainConf without its first address.
var shrunk = strings.Replace(plainConf, "198.18.0.100-", "198.18.0.101-", 1)

func TestI3(t *testing.T) {
	silent := func(b *history, between func(q *said)) {
		b.grant(one, a100, 600)
		b.drop(b.say(two, dhcp4.Inform), core.NoAddress)
		b.counts(nil)
		q := b.renew(one, a100)
		between(q)
		b.counts(nil)
		b.commit()
		b.pass(76)
	}
	tell(t, []story{
		{name: "a NAK to a holder", breaks: []string{"I3"}, tell: func(b *history) {
			b.grant(one, a100, 60)
			b.nak(b.renew(one, a100))
		}},
		{name: "a NAK in the grace", breaks: []string{"I3"}, tell: func(b *history) {
			b.grant(one, a100, 60)
			b.pass(62)
			b.nak(b.rebind(one, a100))
		}},
		{name: "the address is not allowed any more", tell: func(b *history) {
			b.grant(one, a100, 60)
			b.configure(shrunk)
			b.nak(b.renew(one, a100))
		}},
		{name: "another address", breaks: []string{"I3"}, tell: func(b *history) {
			b.grant(one, a100, 60)
			q := b.renew(one, a100)
			b.commit(b.bind(q, a101, 60))
			b.ack(q, a101, 60)
		}},
		{name: "nothing is known of a holder", breaks: []string{"I3"}, tell: func(b *history) {
			b.grant(one, a100, 60)
			b.drop(b.initReboot(one, a100), core.NoRecord)
		}},
		{name: "the store fails and the lease ends", tell: func(b *history) {
			b.grant(one, a100, 60)
			b.failCommit()
			b.pass(59.9)
			b.drop(b.renew(one, a100), core.LeaseEnding)
		}},
		{name: "silence", breaks: []string{"I3"}, tell: func(b *history) { silent(b, func(*said) {}) }},
		{name: "an answer", tell: func(b *history) { silent(b, func(q *said) { b.bound(q, a100, 600) }) }},
		{name: "the request was shed", tell: func(b *history) {
			silent(b, func(*said) { b.hosts["s1"].counters.Received[dhcp4.Request]-- })
		}},
		{name: "the commit of the answer failed", tell: func(b *history) {
			silent(b, func(*said) {
				b.failCommit()
				b.add(&trace.StoreState{})
			})
		}},
	})
}

func TestI3b(t *testing.T) {
	silentConf := strings.Replace(plainConf, "interfaces:", "authoritative: false\ninterfaces:", 1)
	tell(t, []story{
		{name: "a NAK without a record", breaks: []string{"I3b"}, tell: func(b *history) { b.nak(b.initReboot(one, a100)) }},
		{name: "a NAK for an ended record", breaks: []string{"I3b"}, tell: func(b *history) {
			b.grant(one, a100, 60)
			b.pass(67)
			b.nak(b.rebind(two, a100))
		}},
		{name: "a NAK from when it was on offer to another", tell: func(b *history) {
			b.offer(b.discover(two), a100, 60)
			q := b.selecting(one, a100)
			b.say(two, dhcp4.Request, "sid", "198.18.0.9", "req", a100)
			b.offer(b.discover(one), a100, 60)
			b.nak(q)
		}},
		{name: "a NAK for what another has", tell: func(b *history) {
			b.grant(one, a100, 60)
			b.pass(65)
			b.nak(b.rebind(two, a100))
		}},
		{name: "a NAK to one who could renew", breaks: []string{"I3b"}, tell: func(b *history) { b.nak(b.renew(one, a100)) }},
		{name: "adopted", tell: func(b *history) { b.bound(b.renew(one, a100), a100, 60) }},
		{name: "an ACK without a record", breaks: []string{"I3b"}, tell: func(b *history) { b.bound(b.initReboot(one, a100), a100, 60) }},
		{name: "an ACK of a record", tell: func(b *history) {
			b.grant(one, a100, 60)
			b.bound(b.initReboot(one, a100), a100, 60)
		}},
		{name: "a NAK to one that has another address", tell: func(b *history) {
			b.grant(one, a100, 60)
			b.nak(b.initReboot(one, a101))
		}},
		{name: "a NAK of a free address that was chosen", breaks: []string{"I3b"}, tell: func(b *history) {
			b.offer(b.discover(one), a100, 60)
			b.nak(b.selecting(one, a100))
		}},
		{name: "a NAK of another network", tell: func(b *history) { b.nak(b.initReboot(one, "192.0.2.1")) }},
		{name: "a NAK that has no authority", conf: silentConf, breaks: []string{"I3b"}, tell: func(b *history) {
			b.nak(b.initReboot(one, "192.0.2.1"))
		}},
		{name: "a NAK to the chosen", conf: silentConf, tell: func(b *history) {
			b.grant(two, a100, 60)
			b.nak(b.selecting(one, a100))
		}},
		{name: "a NAK in careful mode", breaks: []string{"I3b"}, tell: func(b *history) {
			b.grant(two, a100, 600)
			b.reboot(true)
			b.nak(b.initReboot(one, a100))
		}},
		{name: "an extension for what is left", breaks: []string{"I3b"}, tell: func(b *history) {
			b.grant(one, a100, 60)
			b.pass(30)
			b.ack(b.renew(one, a100), a100, 29)
		}},
		{name: "what is left while more than three quarters are", tell: func(b *history) {
			b.grant(one, a100, 60)
			b.pass(14)
			b.ack(b.renew(one, a100), a100, 45)
		}},
		{name: "an extension for the whole time", tell: func(b *history) {
			b.grant(one, a100, 60)
			b.pass(30)
			b.bound(b.renew(one, a100), a100, 60)
		}},
	})
}

func TestI4(t *testing.T) {
	fill := func(b *history) {
		for i, a := range []string{a100, a101, a102, "198.18.0.103"} {
			b.grant(who{hw: byte(10 + i)}, a, 60)
		}
	}
	count := func(b *history, free uint64) {
		b.counts(func(c *trace.Counts) {
			p := core.PoolCount{Range: dhcp4.Range{First: addrOf(a100), Last: addrOf(a100) + 3}, Size: 4}
			p.Count[pool.Free], p.Count[pool.Bound] = free, 1
			c.Pools = []core.PoolCount{p}
		})
	}
	tell(t, []story{
		{name: "full with a free address", breaks: []string{"I4"}, tell: func(b *history) {
			fill(b)
			b.pass(67.5)
			b.drop(b.discover(one), core.PoolFull)
		}},
		{name: "full", tell: func(b *history) {
			fill(b)
			b.pass(66.9)
			b.drop(b.discover(one), core.PoolFull)
		}},
		{name: "full with a change under way", tell: func(b *history) {
			fill(b)
			b.pass(70)
			var all []lease.Change
			for i, a := range []string{a100, a101, a102, "198.18.0.103"} {
				all = append(all, b.bind(b.selecting(who{hw: byte(20 + i)}, a), a, 60))
			}
			b.drop(b.discover(one), core.PoolFull)
			b.commit(all...)
		}},
		{name: "a count too few", breaks: []string{"I4"}, tell: func(b *history) { count(b, 2) }},
		{name: "a count that fits", tell: func(b *history) { count(b, 3) }},
		{name: "an ended one before one that is new", breaks: []string{"I4"}, tell: func(b *history) {
			b.grant(one, a100, 60)
			b.pass(70)
			b.offer(b.discover(two), a100, 60)
		}},
		{name: "a new one", tell: func(b *history) {
			b.grant(one, a100, 60)
			b.pass(70)
			b.offer(b.discover(two), a102, 60)
		}},
		{name: "the one that was free last", breaks: []string{"I4"}, tell: func(b *history) {
			fill(b)
			b.pass(10)
			b.bound(b.renew(who{hw: 10}, a100), a100, 60)
			b.pass(80)
			b.offer(b.discover(two), a100, 60)
		}},
		{name: "the one that was free first", tell: func(b *history) {
			fill(b)
			b.pass(10)
			b.bound(b.renew(who{hw: 10}, a100), a100, 60)
			b.pass(80)
			b.offer(b.discover(two), a101, 60)
		}},
		{name: "kept too long", breaks: []string{"I4"}, tell: func(b *history) {
			q := b.selecting(one, a100)
			ch := b.bind(q, a100, 60)
			ch.After.Free += 2 * second
			b.commit(ch)
			b.ack(q, a100, 60)
		}},
	})
}
