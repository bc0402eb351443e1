package checker

import (
	"testing"

	"lessor/dhcp4"
	"lessor/internal/trace"
)

// phase begins a part of the run.
func (b *history) phase(name string) {
	b.turn("world")
	b.add(&trace.Phase{Name: name})
	b.turn("s1")
}

// delivered brings the client's last message to the server s1.
func (m *madeClient) delivered(typ dhcp4.MessageType) *said {
	f := *m.b.frame()
	var v dhcp4.View
	if err := v.Parse(f.Payload); err != nil {
		m.b.t.Fatal(err)
	}
	m.b.turn("s1")
	f.Sent, f.LinkID = false, 1
	q := &said{k: m.k, typ: typ, frame: f}
	q.h = dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: v.XID(), CHAddr: v.CHAddr16()}
	return m.b.again(q)
}

// TestL1Healed: ten seconds after the faults stopped everything is answered within ten
// seconds, as far as there is an address.
func TestL1Healed(t *testing.T) {
	late := func(wait, s float64) func(b *history, m *madeClient) {
		return func(b *history, m *madeClient) {
			b.pass(wait)
			m.ask(dhcp4.Discover, "")
			q := m.delivered(dhcp4.Discover)
			b.pass(s)
			b.offer(q, mine, 60)
		}
	}
	for _, c := range []struct {
		name  string
		do    func(b *history, m *madeClient)
		rules []string
	}{
		{"an OFFER after 9.9 s", late(11, 9.9), nil},
		{"an OFFER after 10.1 s", late(11, 10.1), []string{"L1"}},
		{"too soon after the healing", late(9, 30), nil},
		{"no address is free", func(b *history, m *madeClient) {
			for i := byte(0); i < 4; i++ {
				b.grant(who{hw: i + 1}, "198.18.0.10"+string('0'+rune(i)), 600)
			}
			b.pass(11)
			m.ask(dhcp4.Discover, "")
			m.delivered(dhcp4.Discover)
			b.pass(30)
		}, nil},
		{"no answer to the REQUEST of an OFFER", func(b *history, m *madeClient) {
			b.pass(11)
			m.ask(dhcp4.Discover, "")
			b.offer(m.delivered(dhcp4.Discover), mine, 60)
			m.get(dhcp4.Offer, mine, oneServer, 60)
			m.ask(dhcp4.Request, "", "sid", oneServer.String(), "req", mine)
			q := m.delivered(dhcp4.Request)
			b.pass(10.1)
			b.bound(q, mine, 60)
		}, []string{"L1"}},
		{"four OFFERs, and never bound", func(b *history, m *madeClient) {
			b.pass(11)
			for range 5 {
				m.xid++
				m.ask(dhcp4.Discover, "")
				m.get(dhcp4.Offer, mine, oneServer, 60)
			}
		}, []string{"L1"}},
		{"three OFFERs, and then bound", func(b *history, m *madeClient) {
			b.pass(11)
			for range 3 {
				m.xid++
				m.ask(dhcp4.Discover, "")
				m.get(dhcp4.Offer, mine, oneServer, 60)
			}
			m.bound(mine, 60)
			m.off(mine)
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHistory(t, "")
			b.clockEntry() // so that nothing is asked of its first answer (L2)
			m := b.client(who{hw: 7})
			m.xid = 0x7000
			b.phase(trace.PhaseHealed)
			c.do(b, m)
			b.turn("s1")
			b.breaks(c.rules...)
		})
	}
}

// TestL2FirstAnswer: 0.3 s from start to first answer, and what it has to wait for.
func TestL2FirstAnswer(t *testing.T) {
	for _, c := range []struct {
		name  string
		do    func(b *history)
		rules []string
	}{
		{"after 0.29 s", func(b *history) { q := b.discover(who{hw: 1}); b.pass(0.29); b.offer(q, mine, 60) }, nil},
		{"after 0.31 s", func(b *history) { q := b.discover(who{hw: 1}); b.pass(0.31); b.offer(q, mine, 60) }, []string{"L2"}},
		{"after a commit", func(b *history) {
			q := b.discover(who{hw: 1})
			b.pass(5)
			b.commit()
			b.pass(0.29)
			b.offer(q, mine, 60)
		}, nil},
		{"started in 0.29 s", func(b *history) {
			b.add(&trace.Ended{Clean: true})
			b.start(&trace.Started{Boot: b.hosts["s1"].clock.boot, Took: second * 29 / 100})
		}, nil},
		{"started in 0.31 s", func(b *history) {
			b.add(&trace.Ended{Clean: true})
			b.start(&trace.Started{Boot: b.hosts["s1"].clock.boot, Took: second * 31 / 100})
		}, []string{"L2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHistory(t, "")
			c.do(b)
			b.breaks(c.rules...)
		})
	}
}

// TestL3Usage: without load a process occupies what it did at its start.
func TestL3Usage(t *testing.T) {
	for _, c := range []struct {
		name  string
		u     trace.Usage
		rules []string
	}{
		{"the same and a little", trace.Usage{Goroutines: 12, FDs: 18, Heap: 1100, Idle: true}, nil},
		{"under load", trace.Usage{Goroutines: 99, FDs: 99, Heap: 9999}, nil},
		{"three goroutines more", trace.Usage{Goroutines: 13, FDs: 20, Heap: 1000, Idle: true}, []string{"L3"}},
		{"three descriptors more", trace.Usage{Goroutines: 10, FDs: 23, Heap: 1000, Idle: true}, []string{"L3"}},
		{"more heap", trace.Usage{Goroutines: 10, FDs: 20, Heap: 1101, Idle: true}, []string{"L3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHistory(t, "")
			b.add(&trace.Usage{Goroutines: 10, FDs: 20, Heap: 1000, Start: true})
			b.add(&c.u)
			b.breaks(c.rules...)
		})
	}
}

// TestL4Interfaces: an interface is served within two seconds, and given up within two.
func TestL4Interfaces(t *testing.T) {
	for _, c := range []struct {
		name  string
		do    func(b *history, iface *trace.Interface)
		rules []string
	}{
		{"gone, and given up after 1.9 s", func(b *history, i *trace.Interface) {
			b.add(i)
			b.pass(1.9)
			b.add(&trace.Served{})
		}, nil},
		{"gone, and given up after 2.1 s", func(b *history, i *trace.Interface) {
			b.add(i)
			b.pass(2.1)
			b.add(&trace.Served{})
		}, []string{"L4"}},
		{"back, and served after 1.9 s", func(b *history, i *trace.Interface) {
			b.add(&trace.Served{})
			b.add(i)
			back := *i
			back.Ready, back.Link.ID = true, 2
			b.pass(60)
			b.add(&back)
			b.pass(1.9)
			b.add(&trace.Served{Links: append(b.hosts["s1"].links[:0:0], back.Link)})
		}, nil},
		{"back, and served after 2.1 s", func(b *history, i *trace.Interface) {
			b.add(i)
			b.add(&trace.Served{})
			back := *i
			back.Ready = true
			b.pass(60)
			b.add(&back)
			b.pass(2.1)
			b.add(&trace.Served{Links: b.hosts["s1"].links})
		}, []string{"L4"}},
		{"another address, not followed", func(b *history, i *trace.Interface) {
			i.Ready = true
			i.Link.Addrs = []dhcp4.Prefix{{Addr: addrOf("198.18.0.3"), Bits: 24}}
			b.add(i)
			b.pass(2.1)
		}, []string{"L4"}},
		{"late, for the machine slept", func(b *history, i *trace.Interface) {
			b.add(i)
			b.pass(60)
			b.clockEntry()
			b.pass(1.9)
			b.add(&trace.Served{})
		}, nil},
		{"gone and back while it slept", func(b *history, i *trace.Interface) {
			b.add(i)
			b.pass(60)
			back := *i
			back.Ready = true
			b.add(&back)
			b.pass(60)
			b.clockEntry()
		}, nil},
		{"the process gave up", func(b *history, i *trace.Interface) { b.add(i); b.add(&trace.Ended{Crashed: true}) }, []string{"L4"}},
		{"the process was killed", func(b *history, i *trace.Interface) { b.add(i); b.add(&trace.Ended{}) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHistory(t, "")
			b.add(&trace.Interface{Link: b.hosts["s1"].links[0], Ready: true})
			c.do(b, &trace.Interface{Link: b.hosts["s1"].links[0]})
			b.breaks(c.rules...)
		})
	}
}
