package server_test

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/lease"
	"lessor/internal/server"
)

// Tests of this file are named after the faults of other programs that they keep away.

// put puts a configuration in force.
func put(t *testing.T, h *harness, text string) {
	t.Helper()
	c, problems := config.Parse("lessor.yaml", []byte(text))
	if c == nil {
		t.Fatal(problems)
	}
	h.core.SetPolicy(h.now, c.Policy(), &h.e)
}

// exchange sends one packet, commits, and returns the reply, nil for none.
func exchange(t *testing.T, h *harness, p *packet) *dhcp4.View {
	t.Helper()
	pkt := p.packet()
	one(t, h, &pkt)
	if len(h.e.Replies) == 0 {
		return nil
	}
	v := new(dhcp4.View)
	if err := v.Parse(bytes.Clone(h.e.Replies[0].Data)); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestCVE2012_3955ShorterLeases: the configured lease goes from a day to a minute and
// back while clients come and renew; what was promised stands, what is asked for next is
// the new time.
func TestCVE2012_3955ShorterLeases(t *testing.T) {
	h, core := hostileCore(t)
	day, minute := "valid-lifetime: 24h", "valid-lifetime: 60s"
	text := "interfaces: [eth0]\nconflict-check: off\n" + day +
		"\nsubnets:\n  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.199]}\n"
	for round := range 20 {
		want, conf := uint32(24*3600), text
		if round%2 == 1 {
			want, conf = 60, strings.Replace(text, day, minute, 1)
		}
		put(t, h, conf)
		for n := range 50 {
			before := core.Table().Len()
			p := newPacket(t, dhcp4.Request)
			p.h.XID = uint32(0x1000*round + n)
			p.h.CHAddr[5] = byte(n)
			a := dhcp4.MustParseAddr("198.18.0.100") + dhcp4.Addr(n)
			p.set("from", a.String())
			p.set("ciaddr", a.String())
			p.set("to", "198.18.0.1")
			copy(p.meta.SrcMAC[:], p.h.CHAddr[:])
			v := exchange(t, h, p)
			if v == nil || v.MessageType() != dhcp4.Ack {
				t.Fatalf("round %d, client %d: no ACK", round, n)
			}
			if got, _ := v.Uint32(dhcp4.OptDHCPLeaseTime); got != want {
				t.Fatalf("round %d, client %d: a lease of %d s, want %d", round, n, got, want)
			}
			if core.Table().Len() < before {
				t.Fatal("a record is gone")
			}
			// An ACK that promised a day may be the one that arrived: the address is the client's for so long.
			var b lease.Binding
			core.Table().Binding(core.Table().ByAddr(a), &b)
			if round > 0 && b.Free-h.now.M < 23*3600*1e9 {
				t.Fatalf("round %d, client %d: what was promised is taken back: free in %d s", round, n, (b.Free-h.now.M)/1e9)
			}
		}
		h.now.M, h.now.W = h.now.M+20e9, h.now.W+20e9
		core.Tick(h.now, &h.e)
	}
}

// TestCVE2009_1892TwoReservations: a client that matches two reservations, one by its
// identifier and one by its hardware address, gets the first; the other stays reserved.
func TestCVE2009_1892TwoReservations(t *testing.T) {
	for _, c := range []struct{ id, want string }{{"01aabbcc", "198.18.0.11"}, {"01aabbcd", "198.18.0.10"}, {"", "198.18.0.10"}} {
		h, _ := hostileCore(t)
		put(t, h, `
interfaces: [eth0]
conflict-check: off
subnets:
  - subnet: 198.18.0.0/24
    pools: [198.18.0.100-198.18.0.199]
    reservations:
      - {hw-address: "02:00:5e:10:00:01", ip-address: 198.18.0.10}
      - {client-id: "01:aa:bb:cc", ip-address: 198.18.0.11}
`)
		p := newPacket(t, dhcp4.Discover)
		if c.id != "" {
			p.set("id", c.id)
		}
		v := exchange(t, h, p)
		if v == nil || v.YIAddr().String() != c.want {
			t.Errorf("identifier %q: offered %v, want %s", c.id, v.YIAddr(), c.want)
		}
	}
}

// TestCVE2025_11232HostNames and CVE-2019-6473: names that are empty, all dots, zeros, too
// long or no text at all change nothing about the lease.
func TestCVE2025_11232HostNames(t *testing.T) {
	h, core := hostileCore(t)
	for i, name := range []string{"", ".", "...", "\x00", "\x00\x00\x00", "!!!", "\xff\xfe", "\u202egnp", strings.Repeat("a", 255), "a..b", "-", "näme"} {
		p := newPacket(t, dhcp4.Request)
		p.h.CHAddr[5], p.meta.SrcMAC[5] = byte(i), byte(i)
		a := dhcp4.MustParseAddr("198.18.0.100") + dhcp4.Addr(i)
		p.set("req", a.String())
		p.set("sid", "198.18.0.1")
		p.set("host", name)
		p.opt(dhcp4.Code(81), append([]byte{0, 0, 0}, name[:min(len(name), 200)]...))
		if v := exchange(t, h, p); v == nil || v.MessageType() != dhcp4.Ack {
			t.Errorf("%q: no ACK", name)
			continue
		}
		var b lease.Binding
		core.Table().Binding(core.Table().ByAddr(a), &b)
		if string(b.Hostname) != name {
			t.Errorf("%q is kept as %q", name, b.Hostname)
		}
	}
}

// TestCVE2012_3954NothingIsLeft: 10,000 times each of the messages that a server can get,
// accepted and refused, leave neither memory nor counts behind (also CVE-2018-5733,
// CVE-2018-5739).
func TestCVE2012_3954NothingIsLeft(t *testing.T) {
	h, core := hostileCore(t)
	messages := mixedMessages(t)
	round := func(n int) {
		for _, m := range messages {
			pkt := m(n).packet()
			one(t, h, &pkt)
		}
		h.now.M, h.now.W = h.now.M+50e6, h.now.W+50e6
		core.Tick(h.now, &h.e)
	}
	for n := range 1000 {
		round(n)
	}
	before, records := heapInUse(), core.Table().Len()
	for n := range 10_000 {
		round(n)
	}
	h.e = server.Effects{}
	if after := heapInUse(); after > before+1<<20 {
		t.Errorf("the heap grew by %d octets", after-before)
	}
	if n := core.Table().Len(); n != records {
		t.Errorf("%d records, before there were %d", n, records)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// mixedMessages makes each of the messages that a server can get, those that it accepts
// and those that it refuses, by the number of the turn.
func mixedMessages(t *testing.T) []func(n int) *packet {
	return []func(n int) *packet{
		func(int) *packet { return newPacket(t, 0) },                                          // BOOTP
		func(int) *packet { p := newPacket(t, dhcp4.Discover); p.set("hlen", "0"); return p }, // nobody
		func(int) *packet { p := newPacket(t, dhcp4.Discover); p.set("giaddr", "203.0.113.1"); return p },
		func(int) *packet { return newPacket(t, dhcp4.Discover) },
		func(int) *packet { p := newPacket(t, dhcp4.Request); p.set("sid", "203.0.113.1"); return p },
		func(int) *packet { p := newPacket(t, dhcp4.Request); p.set("req", "10.0.0.1"); return p },
		func(n int) *packet {
			p := newPacket(t, dhcp4.Request)
			p.h.XID = uint32(n)
			p.set("req", "198.18.0.150")
			p.set("sid", "198.18.0.1")
			p.set("host", strings.Repeat("h", n%200))
			return p
		},
		func(int) *packet {
			p := newPacket(t, dhcp4.Release)
			p.set("ciaddr", "198.18.0.150")
			p.set("from", "198.18.0.150")
			p.set("to", "198.18.0.1")
			p.set("sid", "198.18.0.1")
			return p
		},
		func(int) *packet {
			p := newPacket(t, dhcp4.Decline)
			p.set("req", "198.18.0.151")
			p.set("sid", "198.18.0.1")
			return p
		},
		func(int) *packet { p := newPacket(t, dhcp4.Inform); p.set("ciaddr", "198.18.0.9"); return p },
		func(int) *packet { p := newPacket(t, dhcp4.Inform); return p },
	}
}
