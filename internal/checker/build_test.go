package checker

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/lease"
	"lessor/internal/policy"
	core "lessor/internal/server"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// history makes a trace by hand. It is a server that keeps its promises, of which a test
// leaves something out. Every step takes a millisecond.
//
//	b := newHistory(t, "")
//	b.grant(who{hw: 1}, "198.18.0.100", 60)
//	b.pass(30)
//	b.ack(b.renew(who{hw: 1}, "198.18.0.100"), "198.18.0.100", 60) // not durable
//	b.breaks("I2")
type history struct {
	t       *testing.T
	entries []trace.Entry
	T       int64
	host    string // that the next entries are about
	hosts   map[string]*madeHost
	xid     uint32
}

// madeHost is the state of one host of a history.
type madeHost struct {
	clock    clock
	pol      *policy.Policy
	conf     string
	links    []wire.Link
	records  map[dhcp4.Addr]lease.Binding // durable
	rev      uint64
	mark     lease.Mark
	counters core.Counters
	failing  bool
}

// plainConf is a pool of four addresses on one link, without conflict checks.
const plainConf = `
interfaces: [eth0]
valid-lifetime: 1m
min-valid-lifetime: 10s
max-valid-lifetime: 1d
conflict-check: off
subnets:
  - subnet: 198.18.0.0/24
    pools: [198.18.0.100-198.18.0.103]
`

// newHistory begins with a server "s1" that has started for the first time, with conf, or
// plainConf when that is empty, on one link.
func newHistory(t *testing.T, conf string) *history {
	t.Helper()
	b := &history{t: t, hosts: map[string]*madeHost{}}
	b.server("s1", "198.18.0.1", conf)
	return b
}

// server starts another server, with an address of its own, and turns to it.
func (b *history) server(name, addr, conf string) {
	b.t.Helper()
	h := b.turn(name)
	mac := wire.MAC{2, 0, 0, 0, 0xff, byte(len(b.hosts))}
	h.links = []wire.Link{{ID: 1, Name: "eth0", MAC: mac, MTU: 1500, Addrs: []dhcp4.Prefix{{Addr: addrOf(addr), Bits: 24}}}}
	h.conf = conf
	if conf == "" {
		h.conf = plainConf
	}
	b.start(&trace.Started{Boot: h.clock.boot, Fresh: true})
}

// turn makes the next entries about host name, which is made when it is new.
func (b *history) turn(name string) *madeHost {
	b.host = name
	h := b.hosts[name]
	if h == nil {
		h = &madeHost{records: map[dhcp4.Addr]lease.Binding{}}
		b.hosts[name] = h
		n := int64(len(b.hosts))
		h.clock.set(b.T, lease.Instant{M: 1000 * n * second, W: 1_780_000_000*second + b.T}, 0, lease.BootID{byte(n)})
		b.clockEntry()
	}
	return h
}

func (b *history) clockEntry() {
	h := b.hosts[b.host]
	b.add(&trace.Clock{Boot: h.clock.boot, Drift: h.clock.drift})
}

// drift changes the rate of the host's clock to ppm parts per million; step moves its
// wall clock by s seconds.
func (b *history) drift(ppm int32) {
	h := b.hosts[b.host]
	h.clock.set(b.T, b.now(), ppm, h.clock.boot)
	b.clockEntry()
}

func (b *history) step(s float64) {
	h := b.hosts[b.host]
	now := b.now()
	now.W += int64(s * float64(second))
	h.clock.set(b.T, now, h.clock.drift, h.clock.boot)
	b.clockEntry()
}

// now are the host's clocks.
func (b *history) now() lease.Instant {
	k := &b.hosts[b.host].clock
	return lease.Instant{M: k.at(b.T), W: k.wall(b.T)}
}

// add makes an entry of body.
func (b *history) add(body trace.Body) {
	b.entries = append(b.entries, trace.Entry{T: b.T, Host: b.host, Now: b.now(), Body: body})
	b.T += second / 1000
}

// pass lets s seconds go by.
func (b *history) pass(s float64) { b.T += int64(s * float64(second)) }

// start starts the server over what is durable.
func (b *history) start(s *trace.Started) {
	h := b.hosts[b.host]
	all := make([]lease.Binding, 0, len(h.records))
	for _, r := range h.records {
		lease.Resume(&r, h.mark, b.now(), h.clock.boot)
		all = append(all, r)
		h.records[r.Addr] = r
	}
	slices.SortFunc(all, func(x, y lease.Binding) int { return int(int64(x.Addr) - int64(y.Addr)) })
	h.mark = lease.StartMark(h.mark, b.now(), h.clock.boot)
	h.counters = core.Counters{}
	if len(all) > 0 {
		b.add(&trace.Loaded{Records: all})
	}
	s.Records = len(all)
	b.add(s)
	b.configure(h.conf)
	b.add(&trace.Served{Links: h.links})
}

// restart ends the server and starts it again; reboot does it in another boot.
func (b *history) restart() {
	b.add(&trace.Ended{})
	b.start(&trace.Started{Boot: b.hosts[b.host].clock.boot})
}

func (b *history) reboot(careful bool) {
	h := b.hosts[b.host]
	b.add(&trace.Ended{Power: true})
	b.pass(5)
	boot := h.clock.boot
	boot[15]++
	h.clock.set(b.T, lease.Instant{M: 7 * second, W: h.clock.wall(b.T)}, h.clock.drift, boot)
	b.clockEntry()
	b.start(&trace.Started{Boot: boot, Careful: careful})
}

// configure puts a configuration in force.
func (b *history) configure(conf string) {
	b.t.Helper()
	c, problems := config.Parse("test.yaml", []byte(conf))
	if c == nil {
		b.t.Fatal(problems)
	}
	h := b.hosts[b.host]
	h.conf, h.pol = conf, c.Policy()
	b.add(&trace.Config{Text: conf, Policy: h.pol})
}

func addrOf(s string) dhcp4.Addr {
	if s == "" {
		return 0
	}
	return dhcp4.MustParseAddr(s)
}

// who is a client: the last octet of its hardware address, its client identifier in
// hexadecimal.
type who struct {
	hw byte
	id string
}

func (k who) mac() wire.MAC { return wire.MAC{2, 0, 0x5e, 0x10, 0, k.hw} }

func (k who) rawID() []byte {
	id, err := hex.DecodeString(k.id)
	if err != nil {
		panic(err)
	}
	return id
}

// said is a message that a server received.
type said struct {
	k     who
	typ   dhcp4.MessageType
	h     dhcp4.Header
	frame trace.Frame
	m, w  int64 // clocks of the server that received it
	sid   string
	agent []byte // option 82
}

// say has client k say something to the server of the host: a message with the options
// and fields of args, as name and value.
func (b *history) say(k who, typ dhcp4.MessageType, args ...string) *said {
	b.xid++
	q := &said{k: k, typ: typ, sid: "198.18.0.1"}
	q.h = dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: b.xid}
	mac := k.mac()
	copy(q.h.CHAddr[:], mac[:])
	h := b.hosts[b.host]
	q.frame = trace.Frame{Link: "lan", LinkID: 1, SrcMAC: mac, DstMAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, SrcPort: 68, DstPort: 67}
	opts := []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(typ)}}}
	if k.id != "" {
		opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPClientIdentifier, Data: k.rawID()})
	}
	for i := 0; i < len(args); i += 2 {
		switch val := args[i+1]; args[i] {
		case "req":
			opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPRequestedAddress, Data: addrOf(val).Append(nil)})
		case "sid":
			q.sid = val
			opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPServerIdentifier, Data: addrOf(val).Append(nil)})
		case "rapid":
			opts = append(opts, dhcp4.Option{Code: dhcp4.OptRapidCommit})
		case "ciaddr":
			q.h.CIAddr = addrOf(val)
		case "from":
			q.frame.Src = addrOf(val)
		case "to":
			q.frame.Dst, q.frame.DstMAC = addrOf(val), h.links[0].MAC
		case "giaddr":
			q.h.GIAddr = addrOf(val)
			q.frame.Src, q.frame.SrcPort, q.frame.SrcMAC = addrOf(val), 67, wire.MAC{2, 0, 0, 0, 0xee, 1}
			q.frame.Dst, q.frame.DstMAC = h.links[0].Addrs[0].Addr, h.links[0].MAC
		case "agent":
			q.agent, _ = hex.DecodeString(val)
		case "sport":
			port, _ := strconv.Atoi(val)
			q.frame.SrcPort = uint16(port)
		case "routed":
			q.frame.SrcMAC = wire.MAC{2, 0, 0, 0, 0xee, 1}
		case "subnet":
			opts = append(opts, dhcp4.Option{Code: dhcp4.OptSubnetSelection, Data: addrOf(val).Append(nil)})
		default:
			b.t.Fatalf("%s: no such field", args[i])
		}
	}
	q.frame.Payload, _ = dhcp4.AppendMessage(nil, &q.h, opts, q.agent, 1472)
	b.again(q)
	return q
}

// again delivers a message once more.
func (b *history) again(q *said) *said {
	now := b.now()
	q.m, q.w = now.M, now.W
	f := q.frame
	b.hosts[b.host].counters.Received[q.typ]++
	b.add(&f)
	return q
}

// The messages of a client.

func (b *history) discover(k who, args ...string) *said { return b.say(k, dhcp4.Discover, args...) }

func (b *history) selecting(k who, a string) *said {
	return b.say(k, dhcp4.Request, "sid", b.hosts[b.host].links[0].Addrs[0].Addr.String(), "req", a)
}

func (b *history) renew(k who, a string) *said {
	return b.say(k, dhcp4.Request, "ciaddr", a, "from", a, "to", b.hosts[b.host].links[0].Addrs[0].Addr.String())
}

func (b *history) rebind(k who, a string) *said {
	return b.say(k, dhcp4.Request, "ciaddr", a, "from", a)
}

func (b *history) initReboot(k who, a string) *said { return b.say(k, dhcp4.Request, "req", a) }

func (b *history) release(k who, a string) *said {
	return b.say(k, dhcp4.Release, "sid", "198.18.0.1", "ciaddr", a, "from", a, "to", "198.18.0.1")
}

func (b *history) decline(k who, a string) *said {
	return b.say(k, dhcp4.Decline, "sid", "198.18.0.1", "req", a)
}

// reply has the server answer q.
func (b *history) reply(q *said, typ dhcp4.MessageType, a string, lifetime uint32) {
	h := b.hosts[b.host]
	hd := q.h
	hd.Op, hd.YIAddr, hd.CIAddr = 2, addrOf(a), 0
	if typ == dhcp4.Ack {
		hd.CIAddr = q.h.CIAddr
	}
	opts := []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(typ)}},
		{Code: dhcp4.OptDHCPServerIdentifier, Data: h.links[0].Addrs[0].Addr.Append(nil)}}
	if lifetime != 0 {
		opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPLeaseTime, Data: binary.BigEndian.AppendUint32(nil, lifetime)})
		if t1, t2, ok := lease.Timers(lifetime); ok {
			opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPRenewalTime, Data: binary.BigEndian.AppendUint32(nil, t1)},
				dhcp4.Option{Code: dhcp4.OptDHCPRebindingTime, Data: binary.BigEndian.AppendUint32(nil, t2)})
		}
	}
	if q.k.id != "" {
		opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPClientIdentifier, Data: q.k.rawID()})
	}
	f := &trace.Frame{Link: "lan", Sent: true, LinkID: 1, SrcMAC: h.links[0].MAC, DstMAC: q.k.mac(), Src: h.links[0].Addrs[0].Addr,
		Dst: hd.YIAddr, SrcPort: 67, DstPort: 68}
	switch {
	case q.h.GIAddr != 0:
		f.Dst, f.DstPort, f.DstMAC = q.h.GIAddr, 67, q.frame.SrcMAC
		if typ == dhcp4.Nak {
			hd.Flags |= dhcp4.FlagBroadcast
		}
	case q.h.CIAddr != 0:
		f.Dst, f.DstMAC = q.h.CIAddr, q.frame.SrcMAC
	case typ == dhcp4.Nak:
		f.Dst = dhcp4.Broadcast
	}
	f.Payload, _ = dhcp4.AppendMessage(nil, &hd, opts, q.agent, 548)
	h.counters.Sent[typ]++
	b.add(f)
}

func (b *history) offer(q *said, a string, lifetime uint32) { b.reply(q, dhcp4.Offer, a, lifetime) }
func (b *history) ack(q *said, a string, lifetime uint32)   { b.reply(q, dhcp4.Ack, a, lifetime) }
func (b *history) nak(q *said)                              { b.reply(q, dhcp4.Nak, "", 0) }

// grant is the whole way of a new client to an address.
func (b *history) grant(k who, a string, lifetime uint32) {
	b.offer(b.discover(k), a, lifetime)
	b.bound(b.selecting(k, a), a, lifetime)
}

// drop is the event that q ended without an answer.
func (b *history) drop(q *said, why core.Reason) {
	mac := q.k.mac()
	b.hosts[b.host].counters.Dropped[why]++
	b.add(&trace.Happened{Event: core.Event{Kind: core.EventDrop, Type: q.typ, Reason: why, Link: 1, XID: q.h.XID,
		HType: 1, HW: mac[:], ClientID: q.k.rawID(), GIAddr: q.h.GIAddr}})
}

// counts is a look at the server, of which edit makes what the test needs.
func (b *history) counts(edit func(c *trace.Counts)) {
	c := &trace.Counts{Counters: b.hosts[b.host].counters}
	if edit != nil {
		edit(c)
	}
	b.hosts[b.host].counters = c.Counters
	b.add(c)
}

// arp is an ARP message from address a that the server received; asked is its own
// question for a.
func (b *history) arp(a string, mac wire.MAC) {
	b.add(&trace.Frame{Link: "lan", LinkID: 1, SrcMAC: mac, ARP: &wire.ARP{Link: 1, Op: 2, SenderMAC: mac, SenderIP: addrOf(a)}})
}

func (b *history) asked(a string) {
	b.add(&trace.Frame{Link: "lan", LinkID: 1, Sent: true, ARP: &wire.ARP{Link: 1, Op: 1, TargetIP: addrOf(a)}})
}

// settled lets what is in doubt be decided: time passes, and a commit comes.
func (b *history) settled() {
	if h := b.hosts[b.host]; h.failing {
		h.failing = false
		b.add(&trace.StoreState{})
	}
	b.pass(2)
	b.counts(nil)
	b.commit()
	b.counts(nil)
}

// breaks judges the trace and demands breaches of these rules and of no other.
func (b *history) breaks(rules ...string) []Breach {
	b.t.Helper()
	b.settled()
	found := Check(b.entries)
	var got []string
	for _, x := range found {
		if !slices.Contains(got, x.Rule) {
			got = append(got, x.Rule)
		}
	}
	slices.Sort(got)
	slices.Sort(rules)
	if !slices.Equal(got, rules) {
		var lines []string
		for _, x := range found {
			lines = append(lines, fmt.Sprintf("  entry %d: %s", x.Entry, x))
		}
		b.t.Errorf("broken: %v, want %v\n%s", got, rules, strings.Join(lines, "\n"))
	}
	return found
}

// holds demands that nothing is broken.
func (b *history) holds() { b.t.Helper(); b.breaks() }

// TestHistoryHolds is a day of a server and two clients on which nothing is wrong.
func TestHistoryHolds(t *testing.T) {
	b := newHistory(t, "")
	one, two := who{hw: 1}, who{2, "ff0102"}
	b.grant(one, "198.18.0.100", 60)
	b.grant(two, "198.18.0.101", 60)
	b.pass(30)
	b.bound(b.renew(one, "198.18.0.100"), "198.18.0.100", 60)
	b.restart()
	b.pass(10)
	b.bound(b.rebind(two, "198.18.0.101"), "198.18.0.101", 60)
	b.bound(b.initReboot(one, "198.18.0.100"), "198.18.0.100", 60)
	b.release(two, "198.18.0.101")
	b.commit(b.free("198.18.0.101"))
	b.reboot(false)
	b.bound(b.renew(one, "198.18.0.100"), "198.18.0.100", 60)
	b.drop(b.initReboot(two, "198.18.0.101"), core.NoRecord)
	b.holds()
}
