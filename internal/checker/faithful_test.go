package checker

import (
	"bytes"
	"strings"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// frame is the frame of the last entry, to be changed.
func (b *history) frame() *trace.Frame {
	return b.entries[len(b.entries)-1].Body.(*trace.Frame)
}

// option is the value of an option of the last entry's message, to be changed.
func (b *history) option(c dhcp4.Code) []byte {
	var v dhcp4.View
	if err := v.Parse(b.frame().Payload); err != nil {
		b.t.Fatal(err)
	}
	val, _ := v.Get(c, nil)
	if len(val) == 0 {
		b.t.Fatalf("no option %d", c)
	}
	return val
}

// agent gives the message of the last entry option 82 in its place.
func (b *history) agent(val []byte) {
	f := b.frame()
	end := bytes.LastIndexByte(f.Payload, byte(dhcp4.OptEnd))
	f.Payload = append(append(append(f.Payload[:end:end], 82, byte(len(val))), val...), 255)
	f.Payload = append(f.Payload, make([]byte, max(0, 300-len(f.Payload)))...)
}

// TestI12FaithfulReply: each edit of a good OFFER is told, and the good one is not.
func TestI12FaithfulReply(t *testing.T) {
	k := who{1, "ff0102"}
	for _, c := range []struct {
		name string
		edit func(b *history, f *trace.Frame)
	}{
		{"flags", func(_ *history, f *trace.Frame) { f.Payload[11] ^= 1 }},
		{"chaddr padding", func(_ *history, f *trace.Frame) { f.Payload[40] = 7 }},
		{"giaddr", func(_ *history, f *trace.Frame) { f.Payload[27] = 9 }},
		{"secs", func(_ *history, f *trace.Frame) { f.Payload[9] = 1 }},
		{"ciaddr", func(_ *history, f *trace.Frame) { f.Payload[15] = 1 }},
		{"memory behind END", func(_ *history, f *trace.Frame) { f.Payload[len(f.Payload)-1] = 0xaa }},
		{"memory in sname", func(_ *history, f *trace.Frame) { f.Payload[60] = 0xaa }},
		{"memory behind sname", func(_ *history, f *trace.Frame) { copy(f.Payload[44:], "boot\x00\xaa") }},
		{"sname without an end", func(_ *history, f *trace.Frame) { copy(f.Payload[44:108], bytes.Repeat([]byte("x"), 64)) }},
		{"client identifier", func(b *history, _ *trace.Frame) { b.option(61)[1] ^= 1 }},
		{"T2 after the end", func(b *history, _ *trace.Frame) { b.option(59)[3] = 61 }},
		{"T1 is T2", func(b *history, _ *trace.Frame) { copy(b.option(58), b.option(59)) }},
		{"too long", func(_ *history, f *trace.Frame) { f.Payload = append(f.Payload, make([]byte, 549-len(f.Payload))...) }},
		{"another's frame", func(_ *history, f *trace.Frame) { f.DstMAC[5]++ }},
		{"another's address", func(_ *history, f *trace.Frame) { f.Dst++ }},
		{"port", func(_ *history, f *trace.Frame) { f.DstPort = 67 }},
		{"interface", func(_ *history, f *trace.Frame) { f.LinkID = 2 }},
		{"option 82 that nobody sent", func(b *history, _ *trace.Frame) { b.agent([]byte{1, 1, 7}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHistory(t, "")
			b.offer(b.discover(k), "198.18.0.100", 60)
			c.edit(b, b.frame())
			b.breaks("I12")
		})
	}
	b := newHistory(t, "")
	b.offer(b.discover(k), "198.18.0.100", 60)
	f := b.frame()
	copy(f.Payload[44:], "boot.example")
	copy(f.Payload[108:], "ipxe.efi")
	f.Payload = append(f.Payload, make([]byte, 548-len(f.Payload))...) // the longest that may be
	b.holds()
}

// TestI12RelayedReply: option 82 comes back as it came, last, and a NAK has the broadcast
// bit set.
func TestI12RelayedReply(t *testing.T) {
	circuit := []byte{1, 4, 'e', 't', 'h', '7', 2, 0}
	ask := func(t *testing.T) (*history, *said) {
		b := newHistory(t, "")
		q := b.discover(who{hw: 1}, "giaddr", "198.18.0.9")
		b.agent(circuit)
		return b, q
	}
	b, q := ask(t)
	b.offer(q, "198.18.0.100", 60)
	b.agent(circuit)
	b.holds()

	b, q = ask(t)
	b.offer(q, "198.18.0.100", 60)
	b.breaks("I12") // none

	b, q = ask(t)
	b.offer(q, "198.18.0.100", 60)
	b.agent([]byte{1, 4, 'e', 't', 'h', '8', 2, 0})
	b.breaks("I12")

	b, q = ask(t)
	b.offer(q, "198.18.0.100", 60)
	b.agent(circuit)
	f := b.frame() // another option behind it
	end := bytes.LastIndexByte(f.Payload, 255)
	f.Payload = append(f.Payload[:end:end], 12, 1, 'x', 255)
	b.breaks("I12")

	for _, bit := range []byte{0, 0x80} {
		b := newHistory(t, "")
		b.nak(b.say(who{hw: 1}, dhcp4.Request, "req", "203.0.113.5", "giaddr", "198.18.0.9"))
		if b.frame().Payload[10] = bit; bit == 0 {
			b.breaks("I12")
		} else {
			b.holds()
		}
	}
}

// TestI12NakDelivery: a NAK goes where docs/rules.md says.
func TestI12NakDelivery(t *testing.T) {
	for _, broadcast := range []bool{false, true} {
		conf := plainConf
		if broadcast {
			conf += "nak-delivery: broadcast\n"
		}
		b := newHistory(t, conf)
		b.nak(b.initReboot(who{hw: 1}, "203.0.113.5"))
		if broadcast {
			b.breaks("I12")
		} else {
			b.holds()
		}
		b = newHistory(t, conf)
		b.nak(b.initReboot(who{hw: 1}, "203.0.113.5"))
		if b.frame().DstMAC = wire.BroadcastMAC; broadcast {
			b.holds()
		} else {
			b.breaks("I12")
		}
	}
}

// TestI13Copies: a copy of a REQUEST costs no second sync, and shortens nothing.
func TestI13Copies(t *testing.T) {
	k, a := who{hw: 1}, "198.18.0.100"
	for _, c := range []struct {
		name  string
		after float64
		sync  bool
		ack   uint32
		rules []string
	}{
		{"synced again after 9.5 s", 9.5, true, 60, []string{"I13"}},
		{"synced again after 10.5 s", 10.5, true, 60, nil},
		{"what is left, rounded down", 3, false, 56, nil},
		{"less than what is left", 3, false, 54, []string{"I13"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHistory(t, "")
			b.offer(b.discover(k), a, 60)
			q := b.bound(b.selecting(k, a), a, 60)
			b.pass(c.after)
			b.again(q)
			if c.sync {
				b.commit(b.bind(q, a, c.ack))
			}
			b.ack(q, a, c.ack)
			b.breaks(c.rules...)
		})
	}
}

// TestI13AfterAReload: the second ACK repeats what an earlier configuration gave, the third is
// of the new one, whose leases are shorter.
func TestI13AfterAReload(t *testing.T) {
	k, a := who{hw: 1}, "198.18.0.100"
	b := newHistory(t, "")
	b.offer(b.discover(k), a, 60)
	q := b.bound(b.selecting(k, a), a, 60)
	b.configure(strings.Replace(plainConf, "valid-lifetime: 1m", "valid-lifetime: 20s", 1))
	b.pass(3)
	b.again(q)
	b.ack(q, a, 56)
	b.pass(8)
	b.again(q)
	b.commit(b.bind(q, a, 20))
	b.ack(q, a, 20)
	b.holds()
}

// TestI13AfterAReboot: a lease that was stretched by a clock that went back counts as asked
// for just now by its end, and is not.
func TestI13AfterAReboot(t *testing.T) {
	k, a := who{hw: 1}, "198.18.0.100"
	b := newHistory(t, "")
	b.grant(k, a, 60)
	b.step(-30)
	b.reboot(false)
	b.pass(2)
	q := b.selecting(k, a)
	b.again(q)
	b.commit(b.bind(q, a, 60))
	b.ack(q, a, 60)
	b.ack(q, a, 60)
	b.holds()
}
