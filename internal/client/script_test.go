package client_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// player plays a machine by octets, each of which is an input.
type player struct {
	t        testing.TB
	m        *client.Machine
	now      lease.Instant
	e        client.Effects
	out      bytes.Buffer
	asked    dhcp4.View
	question []byte // what asked reads
}

// script returns everything that a machine does with the inputs of octets, as text.
func script(t testing.TB, c client.Config, secret [16]byte, octets []byte) string {
	p := &player{t: t, m: client.New(c, secret, nil), now: lease.Instant{M: 1e12, W: 1.8e18}}
	for i, b := range octets {
		if in, ok := p.input(b, octets[min(i+1, len(octets)-1)]); ok {
			p.play(i, &in)
		}
	}
	return p.out.String()
}

// input is the input that two octets stand for; ok is false when it would be a reply to
// nothing.
func (p *player) input(b, arg byte) (in client.Input, ok bool) {
	in.Link = wire.Link{ID: 7, MAC: ownMAC, MTU: 1500}
	switch b % 16 {
	case 0:
		in.Kind = client.InputLinkUp
	case 1:
		in.Kind = client.InputLinkDown
	case 2:
		in.Kind = client.InputNetworkChanged
	case 3:
		kinds := []client.InputKind{client.InputResume, client.InputRenew, client.InputRebind, client.InputRelease}
		in.Kind = kinds[int(arg)%len(kinds)]
	case 4:
		in.Kind, in.ARP = client.InputARP, &wire.ARP{Link: 7, Op: uint16(arg % 4), SenderIP: 0xc0000264, TargetIP: 0xc0000264,
			SenderMAC: wire.MAC{2, 0, 0, 0, 0, arg}}
	case 5:
		in.Kind, in.ARP = client.InputARP, &wire.ARP{Link: 7, Op: 2, SenderIP: 0xc0000201, SenderMAC: wire.MAC{2, 1}}
	case 6:
		p.pass(int64(arg) * lease.Second)
	case 7:
		p.pass(int64(arg) * 100 * lease.Second)
	case 8:
		p.now.W += (int64(arg) - 128) * 10 * lease.Second
	case 9, 10:
		if at := p.m.NextTick(); at < lease.Never {
			p.pass(max(at-p.now.M, 0))
		}
	default:
		if p.question == nil {
			return in, false
		}
		in.Kind, in.Packet = client.InputPacket, &wire.Packet{Data: scripted(&p.asked, b, arg), SrcMAC: wire.MAC{2, 1}, Src: 0xc0000201}
	}
	return in, true
}

func (p *player) pass(d int64) {
	p.now.M += d
	p.now.W += d
}

// play gives the machine one input, writes down what it does, and checks what must hold
// whatever the inputs are.
func (p *player) play(i int, in *client.Input) {
	p.m.Handle(p.now, in, &p.e)
	fmt.Fprintf(&p.out, "%d %v %d\n", i, p.m.State(), p.m.NextTick())
	for j := range p.e.List {
		f := &p.e.List[j]
		fmt.Fprintf(&p.out, "  %d %x %v %v %v %v\n", f.Kind, f.Send.Data, f.Send.Dst, f.ARP, f.Reason, f.Event)
		if f.Kind == client.EffectSend {
			p.question = bytes.Clone(f.Send.Data)
			if err := p.asked.Parse(p.question); err != nil {
				p.t.Fatalf("sends what does not parse: %v", err)
			}
		}
	}
	if p.m.NextTick() <= p.now.M && in.Kind == client.InputTick {
		p.t.Fatalf("input %d: a tick is due after a tick", i)
	}
	if l := p.m.Lease(); p.m.Configured() && (l == nil || l.End <= p.now.M || p.m.NextTick() > l.End) {
		p.t.Fatalf("input %d: on the interface without a lease, or past its end", i)
	}
	if len(p.m.Memory()) > client.MaxMemory || len(p.e.List) > 80 {
		p.t.Fatalf("input %d: %d networks, %d effects", i, len(p.m.Memory()), len(p.e.List))
	}
	p.e.Reset()
}

// scripted is a reply to the last question, honest for most octets, with the octet at a
// place that they choose spoilt for the others.
func scripted(asked *dhcp4.View, b, arg byte) []byte {
	h := dhcp4.Header{Op: 2, HType: 1, HLen: 6, XID: asked.XID()}
	copy(h.CHAddr[:], ownMAC[:])
	typ := dhcp4.Offer
	h.YIAddr = 0xc0000264
	if asked.MessageType() == dhcp4.Request {
		typ = dhcp4.Ack
	}
	if b%16 == 11 {
		typ = dhcp4.Nak
	}
	opts := []dhcp4.Option{{Code: 53, Data: []byte{byte(typ)}}, {Code: 54, Data: []byte{192, 0, 2, 1}},
		{Code: 51, Data: binary.BigEndian.AppendUint32(nil, uint32(arg)*uint32(arg)*uint32(arg))},
		{Code: 1, Data: []byte{255, 255, 255, 0}}, {Code: 3, Data: []byte{192, 0, 2, 1}}}
	data, _ := dhcp4.AppendMessage(nil, &h, opts, nil, 1500)
	if b%16 == 12 {
		data[int(arg)+int(b)/16] ^= b
	}
	return data
}

// scriptConfig makes a configuration of one octet.
func scriptConfig(b byte) client.Config {
	c := client.Config{Fast: b&1 != 0, Detection: client.Detection(b >> 1 & 3 % 3), RapidCommit: b&8 != 0, IPv6Only: b&16 != 0}
	if b&32 != 0 {
		c.SelectTimeout = lease.Second
	}
	return c
}

// FuzzMachine looks for octets of script that panic, never end, or leave an address on
// the interface that is not ours.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{1, 0, 13, 13, 9, 9, 9, 9, 6, 200, 13, 2, 5, 13})
	f.Add([]byte{0, 0, 9, 14, 14, 9, 9, 9, 9, 4, 4, 4, 4, 3, 7, 9})
	f.Add([]byte{7, 0, 13, 13, 7, 20, 9, 9, 9, 3, 0, 5, 11, 13, 11, 13, 9})
	f.Add([]byte{29, 0, 12, 12, 13, 140, 12, 9, 3, 1, 3, 2, 3, 3, 8, 1, 0})
	f.Fuzz(func(t *testing.T, octets []byte) {
		if len(octets) < 2 || len(octets) > 400 {
			return
		}
		script(t, scriptConfig(octets[0]), secret, octets[1:])
	})
}

// TestDeterminism holds that the same inputs give the same effects, and that another
// secret gives other random numbers.
func TestDeterminism(t *testing.T) {
	octets := make([]byte, 4000)
	x := uint32(1)
	for i := range octets {
		x = x*1664525 + 1013904223
		octets[i] = byte(x >> 24)
	}
	var all bytes.Buffer
	for _, c := range []byte{0, 1, 3, 9, 33} {
		a, b := script(t, scriptConfig(c), secret, octets), script(t, scriptConfig(c), secret, octets)
		if a != b {
			t.Fatalf("configuration %d: two runs differ", c)
		}
		if a == script(t, scriptConfig(c), [16]byte{9}, octets) {
			t.Errorf("configuration %d: the secret makes no difference", c)
		}
		all.WriteString(a)
	}
	for s := client.Init; s <= client.Rebooting; s++ {
		if !bytes.Contains(all.Bytes(), []byte(" "+s.String()+" ")) {
			t.Errorf("no run comes to %s", s)
		}
	}
}
