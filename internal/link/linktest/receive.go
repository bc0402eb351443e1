package linktest

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/wire"
)

func testReceive(t *testing.T, bed Bed) {
	p, l, peer := setup(t, bed)
	for _, c := range []struct {
		name string
		mac  wire.MAC
		src  dhcp4.Addr
		dst  dhcp4.Addr
		port uint16
	}{
		{"broadcast", wire.BroadcastMAC, 0, dhcp4.Broadcast, 68},
		{"unicast frame, broadcast IP", l.MAC, 0, dhcp4.Broadcast, 68},
		{"unicast", l.MAC, clientIP, subnet.Addr, 68},
		{"relayed", l.MAC, strangerIP, subnet.Addr, 67},
		{"another source port", l.MAC, clientIP, subnet.Addr, 40000},
		{"directed broadcast", wire.BroadcastMAC, clientIP, subnet.Addr | 255, 68},
	} {
		s := wire.Send{MAC: c.mac, Src: c.src, Dst: c.dst, SrcPort: c.port, DstPort: 67, Data: []byte(c.name)}
		peer.Send(frame(&s))
		r := collect(t, p, func(r *received) bool { return len(r.packets) > 0 })
		q := r.packets[0]
		if q.Link != l.ID || q.SrcMAC != clientMAC || q.DstMAC != c.mac || q.Src != c.src || q.Dst != c.dst ||
			q.SrcPort != c.port || string(q.Data) != c.name || r.bad != [link.NumBadReasons]uint64{} {
			t.Errorf("%s: received %+v, refused %v", c.name, q, r.bad)
		}
	}
}

// edit returns a good request's frame, changed.
func edit(data string, change func(f []byte)) []byte {
	f := frame(request(wire.BroadcastMAC, dhcp4.Broadcast, data))
	change(f)
	return f
}

// resum writes the IP header checksum anew.
func resum(f []byte) {
	h := f[14:34]
	h[10], h[11] = 0, 0
	var s uint32
	for i := 0; i < len(h); i += 2 {
		s += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	binary.BigEndian.PutUint16(h[10:], ^uint16(s))
}

func testRefused(t *testing.T, bed Bed) {
	p, l, peer := setup(t, bed)
	payload := string(bytes.Repeat([]byte("x"), 300))
	for i, c := range []struct {
		name  string
		frame []byte
		want  link.BadReason
	}{
		{"IP checksum", edit(payload, func(f []byte) { f[24]++ }), link.BadIPSum},
		{"IP total length beyond the frame", edit(payload, func(f []byte) { f[16], f[17] = 0x10, 0; resum(f) }), link.BadIPLength},
		{"IP total length below the header", edit(payload, func(f []byte) { f[16], f[17] = 0, 19; resum(f) }), link.BadIPLength},
		{"IP total length cuts the UDP header", edit(payload, func(f []byte) { f[16], f[17] = 0, 27; resum(f) }), link.BadUDPLength},
		{"UDP length 0", edit(payload, func(f []byte) { f[38], f[39] = 0, 0 }), link.BadUDPLength},
		{"UDP length 7", edit(payload, func(f []byte) { f[38], f[39] = 0, 7 }), link.BadUDPLength},
		{"UDP length beyond the datagram", edit(payload, func(f []byte) { f[38] = 2 }), link.BadUDPLength},
		{"UDP length below the datagram", edit(payload, func(f []byte) { f[38], f[39] = 0, 100 }), link.BadUDPLength},
		{"UDP checksum", edit(payload, func(f []byte) { f[60]++ }), link.BadUDPSum},
		{"our own frame", edit(payload, func(f []byte) { copy(f[6:], l.MAC[:]) }), link.BadOwn},
		{"forwarded", frame(&wire.Send{MAC: l.MAC, Src: clientIP, Dst: strangerIP, SrcPort: 67, DstPort: 67, Data: []byte("x")}), link.BadNotOurs},
		{"ARP cut", arpFrame(wire.ARP{Op: 2})[:40], link.BadARP},
	} {
		peer.Send(c.frame)
		mark := string(rune('a' + i))
		r := upTo(t, p, peer, mark)
		var want [link.NumBadReasons]uint64
		want[c.want] = 1
		if len(r.packets) != 1 || len(r.arps) != 0 || r.bad != want {
			t.Errorf("%s: %d packets, %d ARP, refused %v; want one refused as %v", c.name, len(r.packets), len(r.arps), r.bad, c.want)
		}
	}
}

func arpFrame(a wire.ARP) []byte { return link.AppendARP(nil, clientMAC, &a) }

// testLeft: what is not ours by its bytes alone does not wake us.
func testLeft(t *testing.T, bed Bed) {
	p, _, peer := setup(t, bed)
	for i, c := range []struct {
		name  string
		frame []byte
	}{
		{"more fragments", edit("x", func(f []byte) { f[20] = 0x20; resum(f) })},
		{"fragment offset", edit("x", func(f []byte) { f[21] = 1; resum(f) })},
		{"to the client port", frame(&wire.Send{MAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, SrcPort: 67, DstPort: 68})},
		{"TCP", edit("x", func(f []byte) { f[23] = 6; resum(f) })},
		{"IPv6", edit("x", func(f []byte) { f[12], f[13] = 0x86, 0xdd })},
		{"to another host", frame(request(wire.MAC{2, 9, 9, 9, 9, 9}, subnet.Addr, "x"))},
		{"ordinary ARP request", arpFrame(wire.ARP{Op: 1, SenderMAC: clientMAC, SenderIP: clientIP, TargetIP: strangerIP})},
	} {
		peer.Send(c.frame)
		r := upTo(t, p, peer, string(rune('a'+i)))
		if len(r.packets) != 1 || len(r.arps) != 0 || r.bad != [link.NumBadReasons]uint64{} {
			t.Errorf("%s: came through: %d packets, %d ARP, refused %v", c.name, len(r.packets)-1, len(r.arps), r.bad)
		}
	}
}

func testVLAN(t *testing.T, bed Bed) {
	p, _, peer := setup(t, bed)
	tagged := func(id byte, data string) []byte {
		f := frame(request(wire.BroadcastMAC, dhcp4.Broadcast, data))
		return append(append(bytes.Clone(f[:12]), 0x81, 0, 0xe0, id), f[12:]...)
	}
	peer.Send(tagged(10, "of a VLAN"))
	peer.Send(tagged(0, "with a priority"))
	r := upTo(t, p, peer, "plain")
	if len(r.packets) != 2 || string(r.packets[0].Data) != "with a priority" {
		t.Errorf("received %d packets, the first %q; want the one with a priority tag and the plain one",
			len(r.packets), r.packets[0].Data)
	}
}

func testARP(t *testing.T, bed Bed) {
	p, l, peer := setup(t, bed)
	peer.SetAddrs(peerNet)
	ask := wire.ARP{Link: l.ID, Op: 1, SenderMAC: l.MAC, SenderIP: subnet.Addr, TargetIP: peerNet.Addr}
	if err := p.SendARP([]wire.ARP{ask}); err != nil {
		t.Fatal(err)
	}
	f := next(t, peer, func(f link.Frame) bool { return f.IsARP && f.ARP.SenderMAC == l.MAC && f.ARP.TargetIP == peerNet.Addr })
	ask.Link = 0
	if f.ARP != ask || f.DstMAC != wire.BroadcastMAC || f.SrcMAC != l.MAC {
		t.Errorf("the peer received %+v", f)
	}
	r := collect(t, p, func(r *received) bool { return len(r.arps) > 0 })
	want := wire.ARP{Link: l.ID, Op: 2, SenderMAC: peer.MAC(), SenderIP: peerNet.Addr, TargetMAC: l.MAC, TargetIP: subnet.Addr}
	if r.arps[0] != want {
		t.Errorf("answer %+v, want %+v", r.arps[0], want)
	}
	for _, a := range []wire.ARP{
		{Op: 1, SenderMAC: clientMAC, TargetIP: clientIP},                     // probe
		{Op: 1, SenderMAC: clientMAC, SenderIP: clientIP, TargetIP: clientIP}, // announcement
		{Op: 2, SenderMAC: clientMAC, SenderIP: clientIP, TargetIP: clientIP},
	} {
		peer.Send(arpFrame(a))
		r := collect(t, p, func(r *received) bool { return len(r.arps) > 0 })
		a.Link = l.ID
		if r.arps[0] != a {
			t.Errorf("received %+v, want %+v", r.arps[0], a)
		}
	}
}

func testDrops(t *testing.T, bed Bed) {
	p, l, peer := setup(t, bed)
	sent := bed.Overflow()
	f := frame(request(l.MAC, subnet.Addr, string(bytes.Repeat([]byte("x"), 300))))
	for range sent {
		peer.Send(f)
	}
	held := 0
	var b link.Batch
	var lost uint64
	late := time.AfterFunc(20*time.Second, func() { p.Close() })
	defer late.Stop()
	for uint64(held)+lost < uint64(sent) {
		if err := p.Receive(&b); err != nil {
			t.Fatalf("%v: %d received and %d counted as lost of %d", err, held, lost, sent)
		}
		held += len(b.Packets)
		lost += b.Dropped
	}
	if lost == 0 || held < 2000 || uint64(held)+lost != uint64(sent) {
		t.Errorf("%d sent, %d received, %d counted as lost", sent, held, lost)
	}
}
