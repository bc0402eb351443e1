package linktest

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// testClientReceive: the frame says whose a reply is; the IP destination is an address
// that the client does not have yet, or anything else.
func testClientReceive(t *testing.T, bed ClientBed) {
	p, l, peer := clientSetup(t, bed)
	for _, c := range []struct {
		name string
		mac  wire.MAC
		src  dhcp4.Addr
		dst  dhcp4.Addr
		port uint16
	}{
		{"broadcast", wire.BroadcastMAC, serverIP, dhcp4.Broadcast, 67},
		{"unicast to the offered address", l.MAC, serverIP, clientIP, 67},
		{"unicast frame, broadcast IP", l.MAC, serverIP, dhcp4.Broadcast, 67},
		{"broadcast frame, unicast IP", wire.BroadcastMAC, serverIP, clientIP, 67},
		{"from far away", l.MAC, strangerIP, clientIP, 67},
		{"another source port", l.MAC, serverIP, clientIP, 1067},
		{"directed broadcast", wire.BroadcastMAC, serverIP, clientIP | 255, 67},
	} {
		peer.Send(link.AppendFrame(nil, serverMAC, 1, &wire.Send{MAC: c.mac, Src: c.src, Dst: c.dst, SrcPort: c.port, DstPort: 68, Data: []byte(c.name)}))
		r := collect(t, p, func(r *received) bool { return len(r.packets) > 0 })
		q := r.packets[0]
		if q.Link != l.ID || q.SrcMAC != serverMAC || q.DstMAC != c.mac || q.Src != c.src || q.Dst != c.dst ||
			q.SrcPort != c.port || string(q.Data) != c.name || r.bad != [link.NumBadReasons]uint64{} {
			t.Errorf("%s: received %+v, refused %v", c.name, q, r.bad)
		}
	}
}

func testClientRefused(t *testing.T, bed ClientBed) {
	p, l, peer := clientSetup(t, bed)
	if err := p.WatchARP([]dhcp4.Addr{clientIP}); err != nil {
		t.Fatal(err)
	}
	bad := func(change func(f []byte)) []byte {
		return reply(l.MAC, clientIP, string(bytes.Repeat([]byte("x"), 300)), change)
	}
	for i, c := range []struct {
		name  string
		frame []byte
		want  link.BadReason
	}{
		{"IP header of 16 octets", bad(func(f []byte) { // the filter finds port 68 where this header says
			copy(f[32:], []byte{0, 68, 0, 68})
			f[14] = 0x44
			resum(f)
		}), link.BadIPHeader},
		{"IP header beyond its datagram", bad(func(f []byte) {
			f[14] = 0x4f
			f[76], f[77] = 0, 68
			f[16], f[17] = 0, 40
			resum(f)
		}), link.BadIPLength},
		{"IP version 6", bad(func(f []byte) { f[14] = 0x65; resum(f) }), link.BadIPHeader},
		{"IP checksum", bad(func(f []byte) { f[24]++ }), link.BadIPSum},
		{"IP total length beyond the frame", bad(func(f []byte) { f[16], f[17] = 0x10, 0; resum(f) }), link.BadIPLength},
		{"IP total length below the header", bad(func(f []byte) { f[16], f[17] = 0, 19; resum(f) }), link.BadIPLength},
		{"IP total length cuts the UDP header", bad(func(f []byte) { f[16], f[17] = 0, 27; resum(f) }), link.BadUDPLength},
		{"UDP length 0", bad(func(f []byte) { f[38], f[39] = 0, 0 }), link.BadUDPLength},
		{"UDP length 7", bad(func(f []byte) { f[38], f[39] = 0, 7 }), link.BadUDPLength},
		{"UDP length beyond the datagram", bad(func(f []byte) { f[38] = 2 }), link.BadUDPLength},
		{"UDP length below the datagram", bad(func(f []byte) { f[38], f[39] = 0, 100 }), link.BadUDPLength},
		{"UDP checksum", bad(func(f []byte) { f[60]++ }), link.BadUDPSum},
		{"our own frame", bad(func(f []byte) { copy(f[6:], l.MAC[:]) }), link.BadOwn},
		{"ARP of another hardware", about(wire.ARP{Op: 2, SenderMAC: serverMAC, SenderIP: clientIP}, func(f []byte) { f[15] = 6 }), link.BadARP},
		{"ARP neither request nor reply", about(wire.ARP{Op: 8, SenderMAC: serverMAC, SenderIP: clientIP}, nil), link.BadARP},
	} {
		peer.Send(c.frame)
		r := replied(t, p, peer, string(rune('a'+i)))
		var want [link.NumBadReasons]uint64
		want[c.want] = 1
		if len(r.packets) != 1 || len(r.arps) != 0 || r.bad != want {
			t.Errorf("%s: %d packets, %d ARP, refused %v; want one refused as %v", c.name, len(r.packets), len(r.arps), r.bad, c.want)
		}
	}
}

// about is an ARP message as a frame to all, changed.
func about(a wire.ARP, change func(f []byte)) []byte {
	f := link.AppendARP(nil, serverMAC, &a)
	if change != nil {
		change(f)
	}
	return f
}

// tag gives a frame a VLAN tag.
func tag(id byte, f []byte) []byte { return slices.Concat(f[:12], []byte{0x81, 0, 0xe0, id}, f[12:]) }

// testClientLeft: what is not for a client here does not wake it: no ARP either, while
// no address is watched.
func testClientLeft(t *testing.T, bed ClientBed) {
	p, l, peer := clientSetup(t, bed)
	toUs := func(change func(f []byte)) []byte { return reply(l.MAC, clientIP, "x", change) }
	for i, c := range []struct {
		name  string
		frame []byte
	}{
		{"to another host", reply(otherMAC, clientIP, "x", nil)},
		{"to a group", reply(groupMAC, clientIP, "x", nil)},
		{"to the server's port", frame(request(wire.BroadcastMAC, dhcp4.Broadcast, "x"))},
		{"more fragments", toUs(func(f []byte) { f[20] = 0x20; resum(f) })},
		{"fragment offset", toUs(func(f []byte) { f[21] = 1; resum(f) })},
		{"TCP", toUs(func(f []byte) { f[23] = 6; resum(f) })},
		{"IPv6", toUs(func(f []byte) { f[12], f[13] = 0x86, 0xdd })},
		{"VLAN", tag(10, toUs(nil))},
		{"ARP reply", about(wire.ARP{Op: 2, SenderMAC: serverMAC, SenderIP: clientIP}, nil)},
		{"ARP probe", about(wire.ARP{Op: 1, SenderMAC: serverMAC, TargetIP: clientIP}, nil)},
		{"ARP announcement", about(wire.ARP{Op: 1, SenderMAC: serverMAC, SenderIP: clientIP, TargetIP: clientIP}, nil)},
		{"ARP from nobody about nothing", about(wire.ARP{Op: 1, SenderMAC: serverMAC}, nil)},
	} {
		peer.Send(c.frame)
		r := replied(t, p, peer, string(rune('a'+i)))
		if len(r.packets) != 1 || len(r.arps) != 0 || r.bad != [link.NumBadReasons]uint64{} {
			t.Errorf("%s: came through: %d packets, %d ARP, refused %v", c.name, len(r.packets)-1, len(r.arps), r.bad)
		}
	}
	peer.Send(tag(0, reply(l.MAC, clientIP, "with a priority", nil)))
	if r := replied(t, p, peer, "plain"); len(r.packets) != 2 || string(r.packets[0].Data) != "with a priority" {
		t.Errorf("received %d packets, the first %q; want the one with a priority tag too", len(r.packets), r.packets[0].Data)
	}
}

// heard reports whether the port brings this ARP message, and that it brings no other.
func heard(t *testing.T, p link.Port, l wire.Link, peer Peer, a wire.ARP) bool {
	t.Helper()
	f := about(a, nil)
	if a.To != (wire.MAC{}) {
		copy(f, a.To[:])
	}
	peer.Send(f)
	r := replied(t, p, peer, "mark")
	a.Link, a.To = l.ID, wire.MAC{}
	if len(r.arps) > 1 || len(r.arps) == 1 && r.arps[0] != a || r.bad != [link.NumBadReasons]uint64{} {
		t.Errorf("received %+v, refused %v; sent %+v", r.arps, r.bad, a)
	}
	return len(r.arps) == 1
}

// testClientARP: of all ARP messages those come in that say who has, or wants, a watched
// address.
func testClientARP(t *testing.T, bed ClientBed) {
	p, l, peer := clientSetup(t, bed)
	other := clientIP + 50
	if err := p.WatchARP([]dhcp4.Addr{strangerIP, clientIP}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		arp  wire.ARP
		want bool
	}{
		{"reply to all", wire.ARP{Op: 2, SenderMAC: serverMAC, SenderIP: clientIP, TargetIP: clientIP}, true},
		{"reply to us", wire.ARP{Op: 2, SenderMAC: serverMAC, SenderIP: clientIP, TargetMAC: l.MAC, To: l.MAC}, true},
		{"reply to another host", wire.ARP{Op: 2, SenderMAC: serverMAC, SenderIP: clientIP, To: otherMAC}, false},
		{"reply to a group", wire.ARP{Op: 2, SenderMAC: serverMAC, SenderIP: clientIP, To: groupMAC}, false},
		{"the holder asks for another", wire.ARP{Op: 1, SenderMAC: serverMAC, SenderIP: clientIP, TargetIP: other}, true},
		{"announcement", wire.ARP{Op: 1, SenderMAC: serverMAC, SenderIP: clientIP, TargetIP: clientIP}, true},
		{"about the other watched address", wire.ARP{Op: 2, SenderMAC: serverMAC, SenderIP: strangerIP, TargetIP: other}, true},
		{"probe", wire.ARP{Op: 1, SenderMAC: serverMAC, TargetIP: clientIP}, true},
		{"probe for another address", wire.ARP{Op: 1, SenderMAC: serverMAC, TargetIP: other}, false},
		{"probe for no address", wire.ARP{Op: 1, SenderMAC: serverMAC}, false},
		{"reply about another address", wire.ARP{Op: 2, SenderMAC: serverMAC, SenderIP: other, TargetIP: clientIP}, false},
		{"somebody asks for the watched address", wire.ARP{Op: 1, SenderMAC: serverMAC, SenderIP: other, TargetIP: clientIP}, false},
		{"announcement of another address", wire.ARP{Op: 1, SenderMAC: serverMAC, SenderIP: other, TargetIP: other}, false},
	} {
		if got := heard(t, p, l, peer, c.arp); got != c.want {
			t.Errorf("%s: heard %v, want %v", c.name, got, c.want)
		}
	}
	peer.Send(tag(10, about(wire.ARP{Op: 2, SenderMAC: serverMAC, SenderIP: clientIP}, nil)))
	if r := replied(t, p, peer, "after the VLAN"); len(r.arps) != 0 {
		t.Errorf("heard of another VLAN: %+v", r.arps)
	}
}

// testClientWatchARP: the watched addresses are replaced as a whole, up to MaxWatched.
func testClientWatchARP(t *testing.T, bed ClientBed) {
	p, l, peer := clientSetup(t, bed)
	all := make([]dhcp4.Addr, link.MaxWatched)
	for i := range all {
		all[i] = clientIP + dhcp4.Addr(i)
	}
	watch := func(as ...dhcp4.Addr) {
		t.Helper()
		if err := p.WatchARP(as); err != nil {
			t.Fatal(err)
		}
	}
	says := func(a dhcp4.Addr) wire.ARP { return wire.ARP{Op: 2, SenderMAC: serverMAC, SenderIP: a} }
	probes := func(a dhcp4.Addr) wire.ARP { return wire.ARP{Op: 1, SenderMAC: serverMAC, TargetIP: a} }
	watch(all...)
	for _, a := range all {
		if !heard(t, p, l, peer, says(a)) || !heard(t, p, l, peer, probes(a)) {
			t.Errorf("%s of %d is not watched", a, len(all))
		}
	}
	kept := slices.Clone(all)
	clear(all) // the slice is not kept
	if !heard(t, p, l, peer, says(kept[3])) || heard(t, p, l, peer, probes(0)) {
		t.Error("the caller's slice was kept")
	}
	if err := p.WatchARP(append(kept, strangerIP)); err == nil {
		t.Errorf("%d addresses are watched", len(kept)+1)
	}
	if !heard(t, p, l, peer, says(kept[3])) {
		t.Error("after a refused change the earlier addresses are watched no more")
	}
	watch(strangerIP, 0, strangerIP)
	if heard(t, p, l, peer, says(kept[3])) || heard(t, p, l, peer, probes(kept[3])) || !heard(t, p, l, peer, probes(strangerIP)) {
		t.Error("the addresses were not replaced")
	}
	if heard(t, p, l, peer, probes(kept[4])) {
		t.Error("watching zero lets all probes in")
	}
	watch()
	if heard(t, p, l, peer, says(strangerIP)) || heard(t, p, l, peer, probes(strangerIP)) {
		t.Error("what is watched no more is heard")
	}
}

// testClientAskOne: an ARP request to one host (RFC 4436), and its answer.
func testClientAskOne(t *testing.T, bed ClientBed) {
	p, l, peer := clientSetup(t, bed)
	peer.SetAddrs(peerNet)
	if err := p.WatchARP([]dhcp4.Addr{peerNet.Addr}); err != nil {
		t.Fatal(err)
	}
	ask := wire.ARP{Link: l.ID, Op: 1, SenderMAC: l.MAC, TargetIP: peerNet.Addr, To: otherMAC}
	here := ask
	here.To = peer.MAC()
	if err := p.SendARP([]wire.ARP{ask, here}); err != nil {
		t.Fatal(err)
	}
	f := next(t, peer, func(f link.Frame) bool { return f.IsARP && f.ARP.SenderMAC == l.MAC && f.DstMAC != otherMAC })
	if f.DstMAC != peer.MAC() || f.SrcMAC != l.MAC || f.ARP.TargetIP != peerNet.Addr || f.ARP.SenderIP != 0 || f.ARP.Op != 1 {
		t.Errorf("the peer received %+v", f)
	}
	r := collect(t, p, func(r *received) bool { return len(r.arps) > 0 })
	if a := r.arps[0]; a.Op != 2 || a.SenderMAC != peer.MAC() || a.SenderIP != peerNet.Addr || a.TargetMAC != l.MAC {
		t.Errorf("answer %+v", a)
	}
	if r := replied(t, p, peer, "no more"); len(r.arps) != 0 {
		t.Errorf("the question to another host was answered: %+v", r.arps)
	}
}

// testClientSend: a client without an address sends to all and to one.
func testClientSend(t *testing.T, bed ClientBed) {
	p, l, peer := clientSetup(t, bed)
	for _, s := range []wire.Send{
		{MAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, Data: []byte("to all")},
		{MAC: wire.BroadcastMAC, Src: clientIP, Dst: dhcp4.Broadcast, Data: []byte("from an address of ours or not")},
		{MAC: peer.MAC(), Src: clientIP, Dst: serverIP, Data: bytes.Repeat([]byte{7}, 301)},
	} {
		s.Raw, s.Link, s.SrcPort, s.DstPort = true, l.ID, 68, 67
		if failed, err := p.Send([]wire.Send{s}); failed != 0 || err != nil {
			t.Fatal(failed, err)
		}
		f := next(t, peer, withData(string(s.Data)))
		if f.SrcMAC != l.MAC || f.DstMAC != s.MAC || f.Src != s.Src || f.Dst != s.Dst || f.SrcPort != 68 || f.DstPort != 67 || f.TTL != 64 {
			t.Errorf("sent %+v, arrived %+v", s, f)
		}
	}
	s := wire.Send{Raw: true, Link: l.ID, MAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, SrcPort: 68, DstPort: 67, Data: make([]byte, l.MTU-27)}
	if failed, err := p.Send([]wire.Send{s}); failed != 1 || !errors.Is(err, link.ErrTooLong) {
		t.Errorf("too long: failed %d, %v", failed, err)
	}
	r := replied(t, p, peer, "mark")
	if len(r.packets) != 1 || r.bad != [link.NumBadReasons]uint64{} {
		t.Errorf("a port hears itself: %d packets, refused %v", len(r.packets)-1, r.bad)
	}
}

// testClientRouted: a renewal goes by the routes of the client's own interface, also
// where another interface has a better one.
func testClientRouted(t *testing.T, bed ClientBed) {
	p, l, peer := clientSetup(t, bed)
	bed.SetAddrs("eth0", subnet)
	peer.SetAddrs(peerNet)
	far := dhcp4.Prefix{Addr: dhcp4.MustParseAddr("203.0.113.0"), Bits: 24}
	bed.AddRoute(far, peerNet.Addr)
	other := bed.Add("eth1")
	router := dhcp4.Prefix{Addr: dhcp4.MustParseAddr("198.18.1.2"), Bits: 24}
	bed.SetAddrs("eth1", dhcp4.Prefix{Addr: router.Addr - 1, Bits: 24})
	other.SetAddrs(router)
	bed.AddRoute(dhcp4.Prefix{Addr: far.Addr + 9, Bits: 32}, router.Addr)
	for _, dst := range []dhcp4.Addr{peerNet.Addr, far.Addr + 8, far.Addr + 9} {
		s := wire.Send{Link: l.ID, Src: subnet.Addr, Dst: dst, SrcPort: 68, DstPort: 67, Data: []byte("to " + dst.String())}
		if failed, err := p.Send([]wire.Send{s}); failed != 0 || err != nil {
			t.Fatal(dst, failed, err)
		}
		f := next(t, peer, withData(string(s.Data)))
		if f.DstMAC != peer.MAC() || f.SrcMAC != l.MAC || f.Src != s.Src || f.Dst != dst || f.SrcPort != 68 || f.DstPort != 67 {
			t.Errorf("%s: arrived %+v", dst, f)
		}
	}
}
