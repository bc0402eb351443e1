package checker

import (
	"strings"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/lease"
	core "lessor/internal/server"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// checked is plainConf with conflict checks and a probation of ten minutes.
var checked = strings.Replace(plainConf, "conflict-check: off", "conflict-check: arp\ndecline-probation-period: 10m", 1)

func TestI5(t *testing.T) {
	probation := strings.Replace(checked, "conflict-check: arp", "conflict-check: off", 1)
	declined := func(b *history) {
		b.grant(one, a100, 60)
		b.decline(one, a100)
		b.commit(b.out(a100))
	}
	stranger := wire.MAC{2, 0, 0, 0, 0xdd, 1}
	tell(t, []story{
		{name: "given out again", conf: checked, breaks: []string{"I5"}, tell: func(b *history) {
			declined(b)
			b.pass(599.9)
			b.offer(b.discover(two, "req", a100), a100, 60)
		}},
		{name: "given out after it", conf: checked, tell: func(b *history) {
			declined(b)
			b.pass(600)
			b.offer(b.discover(two, "req", a100), a100, 60)
		}},
		{name: "given out after a restart", conf: checked, breaks: []string{"I5"}, tell: func(b *history) {
			declined(b)
			b.restart()
			b.pass(590)
			b.offer(b.discover(two, "req", a100), a100, 60)
		}},
		{name: "given out after a reboot", conf: checked, breaks: []string{"I5"}, tell: func(b *history) {
			declined(b)
			b.reboot(false)
			b.pass(590)
			b.offer(b.discover(two, "req", a100), a100, 60)
		}},
		{name: "a reboot with a clock far ahead", conf: checked, tell: func(b *history) {
			declined(b)
			b.step(7200)
			b.reboot(false)
			b.offer(b.discover(two, "req", a100), a100, 60)
		}},
		{name: "too short", conf: checked, breaks: []string{"I5"}, tell: func(b *history) {
			b.grant(one, a100, 60)
			b.decline(one, a100)
			ch := b.out(a100)
			ch.After.Free -= 100 * second
			b.commit(ch)
			b.pass(550)
			b.offer(b.discover(two, "req", a100), a100, 60)
		}},
		{name: "declined by a stranger", conf: checked, breaks: []string{"I5"}, tell: func(b *history) {
			b.pass(100)
			b.grant(one, a100, 60)
			b.decline(two, a100)
			b.commit(b.out(a100))
		}},
		{name: "declined by whom it was offered", conf: checked, tell: func(b *history) {
			b.pass(100)
			b.offer(b.discover(two), a100, 60)
			b.pass(299)
			b.decline(two, a100)
			b.commit(b.out(a100))
		}},
		{name: "declined too late", conf: checked, breaks: []string{"I5"}, tell: func(b *history) {
			b.pass(100)
			b.offer(b.discover(two), a100, 60)
			b.pass(303)
			b.decline(two, a100)
			b.commit(b.out(a100))
		}},
		{name: "a conflict", conf: checked, tell: func(b *history) {
			b.pass(100)
			b.arp(a100, stranger)
			b.commit(b.out(a100))
		}},
		{name: "it comes back unasked", conf: checked, breaks: []string{"I5"}, tell: func(b *history) {
			b.asked(a101)
			declined(b)
			b.pass(100)
			b.commit(b.free(a100))
		}},
		{name: "it comes back and was asked", conf: checked, tell: func(b *history) {
			declined(b)
			b.pass(100)
			b.asked(a100)
			b.pass(0.5)
			b.commit(b.free(a100))
		}},
		{name: "it comes back without checks", conf: probation, breaks: []string{"I5"}, tell: func(b *history) {
			declined(b)
			b.commit(b.free(a100))
		}},
		{name: "the operator frees it", conf: probation, tell: func(b *history) {
			declined(b)
			b.add(&trace.Override{Addr: addrOf(a100), Immediate: true})
			b.commit(b.free(a100))
		}},
		{name: "five of a small pool", conf: strings.Replace(checked, "103", "109", 1), breaks: []string{"I5"}, tell: func(b *history) { conflicts(b, 5) }},
		{name: "four of a small pool", conf: strings.Replace(checked, "103", "109", 1), tell: func(b *history) { conflicts(b, 4) }},
	})
}

// conflicts lets n addresses answer.
func conflicts(b *history, n int) {
	b.pass(100)
	for i := range n {
		a := (addrOf(a100) + dhcp4.Addr(i)).String()
		b.arp(a, wire.MAC{2, 0, 0, 0, 0xdd, byte(i)})
		b.commit(b.out(a))
	}
}

func TestI6(t *testing.T) {
	chosen := func(b *history) *said {
		b.offer(b.discover(one), a100, 60)
		b.offer(b.discover(two), a101, 60)
		return b.say(one, dhcp4.Request, "sid", "198.18.0.77", "req", a100)
	}
	offers := func(n int) func(c *trace.Counts) { return func(c *trace.Counts) { c.Offers = n } }
	tell(t, []story{
		{name: "an ACK", breaks: []string{"I6"}, tell: func(b *history) { b.bound(chosen(b), a100, 60) }},
		{name: "a NAK", breaks: []string{"I6"}, tell: func(b *history) { b.nak(chosen(b)) }},
		{name: "silence", tell: func(b *history) { b.drop(chosen(b), core.ForeignServer) }},
		{name: "the offer stays", breaks: []string{"I6"}, tell: func(b *history) {
			b.drop(chosen(b), core.ForeignServer)
			b.pass(1.1)
			b.counts(offers(2))
		}},
		{name: "the offer goes", tell: func(b *history) {
			b.drop(chosen(b), core.ForeignServer)
			b.counts(offers(2))
			b.pass(1.1)
			b.counts(offers(1))
		}},
	})
}

func TestI7(t *testing.T) {
	twice := func(b *history) {
		b.counts(nil)
		b.offer(b.discover(one), a100, 60)
		b.offer(b.discover(two), a100, 60)
	}
	tell(t, []story{
		{name: "offered to two", breaks: []string{"I7"}, tell: twice},
		{name: "recalled", tell: func(b *history) {
			twice(b)
			b.counts(func(c *trace.Counts) { c.Counters.Recalled = 1 })
		}},
		{name: "the first has run out", tell: func(b *history) {
			b.offer(b.discover(one), a100, 60)
			b.pass(60)
			b.offer(b.discover(two), a100, 60)
		}},
		{name: "after a restart", tell: func(b *history) {
			b.offer(b.discover(one), a100, 60)
			b.restart()
			b.offer(b.discover(two), a100, 60)
		}},
		{name: "one client has two", breaks: []string{"I7"}, tell: func(b *history) {
			b.offer(b.discover(one), a100, 60)
			b.discover(one)
			b.counts(func(c *trace.Counts) { c.Offers = 2 })
		}},
	})
}

// reserving is plainConf with an address reserved for client one.
var reserving = plainConf + `    reservations:
      - {hw-address: "02:00:5e:10:00:01", ip-address: 198.18.0.102}
`

func TestI8(t *testing.T) {
	tell(t, []story{
		{name: "what another has", breaks: []string{"I8"}, tell: func(b *history) {
			b.grant(one, a100, 60)
			b.pass(65)
			b.offer(b.discover(two), a100, 60)
		}},
		{name: "what another had", tell: func(b *history) {
			b.grant(one, a100, 60)
			for i, a := range []string{a101, a102, "198.18.0.103"} {
				b.grant(who{hw: byte(10 + i)}, a, 60)
			}
			b.pass(66)
			b.offer(b.discover(two), a100, 60)
		}},
		{name: "another than it has", breaks: []string{"I8"}, tell: func(b *history) {
			b.grant(one, a100, 60)
			b.pass(10)
			b.offer(b.discover(one), a101, 60)
		}},
		{name: "what it has", tell: func(b *history) {
			b.grant(one, a100, 60)
			b.pass(10)
			b.offer(b.discover(one, "req", a101), a100, 60)
		}},
		{name: "it gives up what it has", tell: func(b *history) {
			b.grant(one, a100, 60)
			b.pass(10)
			b.release(one, a100)
			b.offer(b.discover(one), a101, 60)
			b.commit(b.free(a100))
		}},
		{name: "another than it had last", breaks: []string{"I8"}, tell: func(b *history) {
			b.grant(three, a100, 60)
			b.pass(100)
			b.offer(b.discover(three), a101, 60)
		}},
		{name: "its last", tell: func(b *history) {
			b.grant(three, a100, 60)
			b.pass(100)
			b.offer(b.discover(three), a100, 60)
		}},
		{name: "another than it asks for", breaks: []string{"I8"}, tell: func(b *history) { b.offer(b.discover(one, "req", a101), a100, 60) }},
		{name: "it asks for what another has", tell: func(b *history) {
			b.grant(two, a101, 60)
			b.offer(b.discover(one, "req", a101), a100, 60)
		}},
		{name: "not its reservation", conf: reserving, breaks: []string{"I8"}, tell: func(b *history) {
			b.pass(2)
			b.offer(b.discover(one), a100, 60)
		}},
		{name: "another has its reservation", tell: func(b *history) {
			b.grant(two, a102, 60)
			b.configure(reserving)
			b.pass(2)
			b.offer(b.discover(one), a100, 60)
		}},
	})
}

func TestI9(t *testing.T) {
	tell(t, []story{
		{name: "offered to a stranger", conf: reserving, breaks: []string{"I9"}, tell: func(b *history) { b.offer(b.discover(two), a102, 60) }},
		{name: "acknowledged to a stranger", conf: reserving, breaks: []string{"I9"}, tell: func(b *history) {
			b.bound(b.selecting(two, a102), a102, 60)
		}},
		{name: "its owner", conf: reserving, tell: func(b *history) { b.grant(one, a102, 60) }},
		{name: "decided before it was reserved", tell: func(b *history) {
			q := b.selecting(two, a102)
			b.configure(reserving)
			b.bound(q, a102, 60)
		}},
	})
}

func TestI10(t *testing.T) {
	excluding := strings.Replace(plainConf, "[198.18.0.100-198.18.0.103]", "[{pool: 198.18.0.1-198.18.0.103, exclude: [198.18.0.101]}]", 1) +
		"    options: {routers: [198.18.0.103]}\n"
	give := func(a string) func(b *history) {
		return func(b *history) { b.bound(b.selecting(one, a), a, 60) }
	}
	tell(t, []story{
		{name: "excluded", conf: excluding, breaks: []string{"I10"}, tell: give(a101)},
		{name: "a router", conf: excluding, breaks: []string{"I10"}, tell: give("198.18.0.103")},
		{name: "its own", conf: excluding, breaks: []string{"I10"}, tell: give("198.18.0.1")},
		{name: "the relay agent's", conf: excluding, breaks: []string{"I10"}, tell: func(b *history) {
			b.offer(b.discover(one, "giaddr", a102), a102, 60)
		}},
		{name: "a neighbour of all these", conf: excluding, tell: give(a102)},
	})
}

func TestI11(t *testing.T) {
	networks := plainConf + `  - subnet: 192.0.2.0/24
    pools: [192.0.2.100-192.0.2.103]
`
	tell(t, []story{
		{name: "of another link", conf: networks, breaks: []string{"I11"}, tell: func(b *history) { b.offer(b.discover(one), "192.0.2.100", 60) }},
		{name: "of the relay agent's link", conf: networks, tell: func(b *history) {
			b.offer(b.discover(one, "giaddr", "192.0.2.1"), "192.0.2.100", 60)
		}},
		{name: "of no pool", breaks: []string{"I11"}, tell: func(b *history) { b.bound(b.selecting(one, "198.18.0.50"), "198.18.0.50", 60) }},
		{name: "of a pool", tell: func(b *history) { b.bound(b.selecting(one, a100), a100, 60) }},
	})
}

// TestIdentity: who is the holder when keys change.
func TestIdentity(t *testing.T) {
	rom, system := who{1, "00aa"}, who{1, "ffbb"}
	tell(t, []story{
		{name: "two names of one machine", breaks: []string{"I1"}, tell: func(b *history) {
			b.grant(rom, a102, 600)
			b.bound(b.selecting(system, a102), a102, 60)
		}},
		{name: "two names of one reservation", conf: reserving, tell: func(b *history) {
			b.grant(rom, a102, 600)
			b.bound(b.selecting(system, a102), a102, 60)
		}},
		{name: "two names that do not count", conf: strings.Replace(plainConf, "interfaces:", "match-client-id: false\ninterfaces:", 1), tell: func(b *history) {
			b.grant(rom, a102, 600)
			b.bound(b.selecting(system, a102), a102, 60)
		}},
		{name: "without its name it is the holder", tell: func(b *history) {
			b.grant(rom, a102, 600)
			b.bound(b.renew(who{hw: 1}, a102), a102, 60)
		}},
		{name: "an infinite lease that was shortened is over", tell: func(b *history) {
			b.grant(one, a100, lease.Infinite)
			q := b.renew(one, a100)
			b.commit(b.bind(q, a100, 60))
			b.ack(q, a100, 60)
			b.pass(67)
			b.bound(b.selecting(two, a100), a100, 60)
		}},
	})
}
