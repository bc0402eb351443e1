package linktest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/wire"
)

func testRaw(t *testing.T, bed Bed) {
	p, l, peer := setup(t, bed)
	for _, s := range []wire.Send{
		{MAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, Data: []byte("to all")},
		{MAC: peer.MAC(), Dst: dhcp4.Broadcast, Data: []byte("to one, broadcast IP")},
		{MAC: peer.MAC(), Dst: clientIP, Data: []byte("to one")},
		{MAC: peer.MAC(), Dst: clientIP, Data: bytes.Repeat([]byte{7}, 1472)},
		{MAC: peer.MAC(), Dst: clientIP, Data: bytes.Repeat([]byte{7}, 301)},
	} {
		s.Raw, s.Link, s.Src, s.SrcPort, s.DstPort = true, l.ID, subnet.Addr, 67, 68
		if failed, err := p.Send([]wire.Send{s}); failed != 0 || err != nil {
			t.Fatal(failed, err)
		}
		f := next(t, peer, withData(string(s.Data)))
		if f.SrcMAC != l.MAC || f.DstMAC != s.MAC || f.Src != s.Src || f.Dst != s.Dst || f.SrcPort != 67 || f.DstPort != 68 || f.TTL != 64 {
			t.Errorf("sent %+v, arrived %+v", s, f)
		}
	}
	if n := bed.Neighbours(); n != 0 {
		t.Errorf("%d neighbour entries", n)
	}
}

func testRouted(t *testing.T, bed Bed) {
	p, _, peer := setup(t, bed)
	peer.SetAddrs(peerNet)
	far := dhcp4.Prefix{Addr: dhcp4.MustParseAddr("203.0.113.0"), Bits: 24}
	bed.AddRoute(far, peerNet.Addr)

	// A second interface, by which the way to another network leads: routes decide,
	// not the interface that the port is of.
	other := bed.Add("eth1")
	side := dhcp4.Prefix{Addr: dhcp4.MustParseAddr("198.18.1.1"), Bits: 24}
	router := dhcp4.Prefix{Addr: dhcp4.MustParseAddr("198.18.1.2"), Bits: 24}
	bed.SetAddrs("eth1", side)
	other.SetAddrs(router)
	bed.AddRoute(dhcp4.Prefix{Addr: strangerIP, Bits: 32}, router.Addr)

	for _, c := range []struct {
		name string
		src  dhcp4.Addr
		dst  dhcp4.Addr
		port uint16
		at   Peer
	}{
		{"neighbour", subnet.Addr, peerNet.Addr, 67, peer},
		{"by a router", subnet.Addr, far.Addr + 9, 68, peer},
		{"by another interface", subnet.Addr, strangerIP, 67, other},
		{"by another interface, from its address", side.Addr, strangerIP, 67, other},
	} {
		s := wire.Send{Src: c.src, Dst: c.dst, SrcPort: 67, DstPort: c.port, Data: []byte(c.name)}
		if failed, err := p.Send([]wire.Send{s}); failed != 0 || err != nil {
			t.Fatal(c.name, failed, err)
		}
		f := next(t, c.at, withData(c.name))
		if f.DstMAC != c.at.MAC() || f.Src != c.src || f.Dst != c.dst || f.SrcPort != 67 || f.DstPort != c.port {
			t.Errorf("%s: arrived %+v", c.name, f)
		}
	}
}

func testNoRoute(t *testing.T, bed Bed) {
	p, l, peer := setup(t, bed)
	peer.SetAddrs(peerNet)
	good := wire.Send{Src: subnet.Addr, Dst: peerNet.Addr, SrcPort: 67, DstPort: 67, Data: []byte("good")}
	nowhere := good
	nowhere.Dst = strangerIP
	raw := wire.Send{Raw: true, MAC: peer.MAC(), Src: subnet.Addr, Dst: clientIP, SrcPort: 67, DstPort: 68, Data: []byte("raw"), Link: l.ID}
	failed, err := p.Send([]wire.Send{nowhere, raw, nowhere, good})
	if failed != 2 || err == nil || !bytes.Contains([]byte(err.Error()), []byte(strangerIP.String())) {
		t.Errorf("failed %d, %v; want 2 and an error that names %s", failed, err, strangerIP)
	}
	next(t, peer, withData("raw"))
	next(t, peer, withData("good"))
}

func testMany(t *testing.T, bed Bed) {
	p, l, peer := setup(t, bed)
	const n = 5*link.BatchSize/2 + 7
	var out []wire.Send
	for i := range n {
		out = append(out, wire.Send{Link: l.ID, Raw: true, MAC: peer.MAC(), Src: subnet.Addr, Dst: clientIP,
			SrcPort: 67, DstPort: 68, Data: binary.BigEndian.AppendUint32([]byte("many"), uint32(i))})
	}
	if failed, err := p.Send(out); failed != 0 || err != nil {
		t.Fatal(failed, err)
	}
	for i := range out {
		f := next(t, peer, func(f link.Frame) bool { return bytes.HasPrefix(f.Data, []byte("many")) })
		if !bytes.Equal(f.Data, out[i].Data) {
			t.Fatalf("message %d arrived as %x", i, f.Data)
		}
		peer.Send(frame(&wire.Send{MAC: l.MAC, Src: clientIP, Dst: subnet.Addr, SrcPort: 68, DstPort: 67, Data: f.Data}))
	}
	r := collect(t, p, func(r *received) bool { return len(r.packets) >= n })
	for i := range r.packets {
		if !bytes.Equal(r.packets[i].Data, out[i].Data) {
			t.Fatalf("message %d came back as %x", i, r.packets[i].Data)
		}
	}
	if least := (n + link.BatchSize - 1) / link.BatchSize; r.batches < least || r.batches > n/4 {
		t.Errorf("%d messages came in %d batches; want %d or a few more", n, r.batches, least)
	}
	arps := make([]wire.ARP, n)
	for i := range arps {
		arps[i] = wire.ARP{Link: l.ID, Op: 1, SenderMAC: l.MAC, SenderIP: subnet.Addr, TargetIP: clientIP + dhcp4.Addr(i)}
	}
	if err := p.SendARP(arps); err != nil {
		t.Fatal(err)
	}
	for i := range arps {
		want := clientIP + dhcp4.Addr(i)
		if f := next(t, peer, func(f link.Frame) bool { return f.IsARP }); f.ARP.TargetIP != want {
			t.Fatalf("ARP %d asks for %s", i, f.ARP.TargetIP)
		}
	}
}

func testTooLong(t *testing.T, bed Bed) {
	p, l, peer := setup(t, bed)
	s := wire.Send{Link: l.ID, Raw: true, MAC: peer.MAC(), Src: subnet.Addr, Dst: clientIP, SrcPort: 67, DstPort: 68}
	long, huge, routed := s, s, s
	s.Data, long.Data, huge.Data = []byte("fits"), make([]byte, l.MTU-27), make([]byte, 70000)
	routed.Raw, routed.Data = false, make([]byte, l.MTU-27)
	failed, err := p.Send([]wire.Send{long, s, huge, routed})
	if failed != 3 || !errors.Is(err, link.ErrTooLong) {
		t.Errorf("failed %d, %v", failed, err)
	}
	next(t, peer, withData("fits"))
	if failed, err := p.Send([]wire.Send{routed}); failed != 1 || !errors.Is(err, link.ErrTooLong) {
		t.Errorf("routed: failed %d, %v", failed, err)
	}
}

func testNeighbours(t *testing.T, bed Bed) {
	p, l, peer := setup(t, bed)
	const n = 20000
	out := make([]wire.Send, link.BatchSize)
	for i := 0; i < n; i += len(out) {
		for j := range out {
			out[j] = wire.Send{Link: l.ID, Raw: true, MAC: wire.MAC{2, 1, 0, byte(i >> 16), byte(i >> 8), byte(i + j)},
				Src: subnet.Addr, Dst: subnet.Addr + dhcp4.Addr(i+j), SrcPort: 67, DstPort: 68, Data: []byte("x")}
		}
		if failed, err := p.Send(out); failed != 0 || err != nil {
			t.Fatal(failed, err)
		}
	}
	if entries := bed.Neighbours(); entries != 0 {
		t.Errorf("%d neighbour entries after %d answers", entries, n)
	}
	upTo(t, p, peer, "still here")
}
