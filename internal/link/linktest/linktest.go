// Package linktest is the contract of package link as tests: whatever makes ports
// passes them unchanged.
package linktest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// Bed is a server's host under test, whose every interface is joined by a cable to
// a peer of the test. Its methods fail the test that made it when they cannot do
// what they are asked.
type Bed interface {
	Net() link.Net

	// Add makes an interface that is up, with carrier and without address, and
	// returns what is at the other end of its cable.
	Add(name string) Peer
	SetUp(name string, up bool)
	SetCarrier(name string, on bool)
	SetAddrs(name string, addrs ...dhcp4.Prefix)
	Rename(from, to string)
	Remove(name string)

	// AddRoute sends what is for to by the neighbour via.
	AddRoute(to dhcp4.Prefix, via dhcp4.Addr)
	// Neighbours counts the host's entries for other machines.
	Neighbours() int
	// Overflow is a number of messages that no receive queue holds.
	Overflow() int
}

// Peer is a network card at the other end of a cable.
type Peer interface {
	MAC() wire.MAC
	// SetAddrs makes the peer answer ARP requests for these addresses.
	SetAddrs(addrs ...dhcp4.Prefix)
	Send(frame []byte)
	// Receive returns the next frame; ok is false when none came in time.
	Receive(timeout time.Duration) (frame []byte, ok bool)
}

// Addresses of the tests.
var (
	subnet     = dhcp4.Prefix{Addr: dhcp4.MustParseAddr("198.18.0.1"), Bits: 24}
	peerNet    = dhcp4.Prefix{Addr: dhcp4.MustParseAddr("198.18.0.2"), Bits: 24}
	clientIP   = dhcp4.MustParseAddr("198.18.0.100")
	strangerIP = dhcp4.MustParseAddr("198.51.100.7")
	clientMAC  = wire.MAC{2, 0, 0x5e, 0x10, 0, 9}
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Second

// Run runs the suite; each test has a bed of its own, which newBed makes and ends
// with the test.
func Run(t *testing.T, newBed func(t *testing.T) Bed) {
	for _, c := range []struct {
		name string
		f    func(*testing.T, Bed)
	}{
		{"Receive", testReceive},
		{"Refused", testRefused},
		{"Left in the kernel", testLeft},
		{"VLAN", testVLAN},
		{"ARP", testARP},
		{"Raw", testRaw},
		{"Routed", testRouted},
		{"No route", testNoRoute},
		{"Many", testMany},
		{"Too long", testTooLong},
		{"Close", testClose},
		{"Down and up", testDown},
		{"Gone", testGone},
		{"Port taken", testTaken},
		{"Drops", testDrops},
		{"Neighbours", testNeighbours},
		{"Watch", testWatch},
		{"Watch follows names", testNames},
		{"Watch ends", testWatchEnds},
	} {
		t.Run(c.name, func(t *testing.T) { c.f(t, newBed(t)) })
	}
}

// setup is one interface that is ready, its port and its peer.
func setup(t *testing.T, bed Bed) (link.Port, wire.Link, Peer) {
	t.Helper()
	peer := bed.Add("eth0")
	bed.SetAddrs("eth0", subnet)
	w := watch(t, bed, "eth0")
	ready := w.until(func(r report) bool { return len(r.ready) == 1 })
	return open(t, bed, ready.ready[0]), ready.ready[0], peer
}

func open(t *testing.T, bed Bed, l wire.Link) link.Port {
	t.Helper()
	p, err := bed.Net().Open(l)
	if err != nil {
		t.Fatalf("open %s: %v", l.Name, err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

// request is a message from the client to all, or to one.
func request(dst wire.MAC, ip dhcp4.Addr, data string) *wire.Send {
	return &wire.Send{MAC: dst, Dst: ip, Data: []byte(data), SrcPort: 68, DstPort: 67}
}

func frame(s *wire.Send) []byte { return link.AppendFrame(nil, clientMAC, 1, s) }

// received is what one message, and all that was refused before it, amounted to.
type received struct {
	packets []wire.Packet
	arps    []wire.ARP
	bad     [link.NumBadReasons]uint64
	dropped uint64
	batches int
}

// collect receives until done says that it is enough, at most for a while.
func collect(t *testing.T, p link.Port, done func(*received) bool) *received {
	t.Helper()
	r := &received{}
	var b link.Batch
	late := time.AfterFunc(10*time.Second, func() { p.Close() })
	defer late.Stop()
	for !done(r) {
		if err := p.Receive(&b); err != nil {
			t.Fatalf("receive: %v, after %d messages and %d ARP messages", err, len(r.packets), len(r.arps))
		}
		r.batches++
		r.dropped += b.Dropped
		for _, q := range b.Packets {
			q.Data = bytes.Clone(q.Data)
			r.packets = append(r.packets, q)
		}
		r.arps = append(r.arps, b.ARPs...)
		for i, n := range b.Bad {
			r.bad[i] += n
		}
		if len(b.Packets) > link.BatchSize || len(b.ARPs) > link.BatchSize {
			t.Fatalf("a batch of %d messages and %d ARP messages", len(b.Packets), len(b.ARPs))
		}
	}
	return r
}

// upTo receives up to and including the message with this payload, which the peer
// sends now.
func upTo(t *testing.T, p link.Port, peer Peer, mark string) *received {
	t.Helper()
	peer.Send(frame(request(wire.BroadcastMAC, dhcp4.Broadcast, mark)))
	return collect(t, p, func(r *received) bool {
		return len(r.packets) > 0 && string(r.packets[len(r.packets)-1].Data) == mark
	})
}

// next is the peer's next DHCP message or ARP message that fits; other frames, which
// a real host sends too, are stepped over.
func next(t *testing.T, peer Peer, fits func(link.Frame) bool) link.Frame {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		b, ok := peer.Receive(time.Until(end))
		if !ok {
			t.Fatal("the peer did not receive what was sent")
		}
		if f := link.Decode(b); f.Bad == link.BadNone && fits(f) {
			return f
		}
	}
}

func withData(data string) func(link.Frame) bool {
	return func(f link.Frame) bool { return string(f.Data) == data }
}

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

func testClose(t *testing.T, bed Bed) {
	p, l, _ := setup(t, bed)
	pending := make(chan error)
	go func() {
		var b link.Batch
		for {
			if err := p.Receive(&b); err != nil {
				pending <- err
				return
			}
		}
	}()
	time.Sleep(50 * time.Millisecond)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-pending:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("pending receive: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("a pending receive does not end")
	}
	var b link.Batch
	raw := []wire.Send{{Link: l.ID, Raw: true, Src: subnet.Addr, Dst: clientIP, SrcPort: 67, DstPort: 68}}
	_, sendErr := p.Send(raw)
	raw[0].Raw = false
	_, routedErr := p.Send(raw)
	for i, err := range []error{p.Receive(&b), sendErr, routedErr, p.SendARP([]wire.ARP{{}}), p.Close()} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("call %d after close: %v", i, err)
		}
	}
	again, err := bed.Net().Open(l)
	if err != nil {
		t.Fatalf("the port is not free after close: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// expectDown receives until the error, which must be that the interface is down.
func expectDown(t *testing.T, p link.Port) {
	t.Helper()
	late := time.AfterFunc(patience, func() { p.Close() })
	defer late.Stop()
	var b link.Batch
	for {
		err := p.Receive(&b)
		if errors.Is(err, link.ErrDown) {
			return
		}
		if err != nil {
			t.Fatalf("receive on an interface that went down: %v", err)
		}
	}
}

func testDown(t *testing.T, bed Bed) {
	p, l, peer := setup(t, bed)
	w := watch(t, bed, "eth0")
	w.until(func(r report) bool { return len(r.ready) == 1 })
	bed.SetUp("eth0", false)
	expectDown(t, p)
	w.until(func(r report) bool { return len(r.ready) == 0 })
	out := []wire.Send{{Link: l.ID, Raw: true, MAC: peer.MAC(), Src: subnet.Addr, Dst: clientIP, SrcPort: 67, DstPort: 68}}
	if failed, err := p.Send(append(out, out...)); failed != 2 || !errors.Is(err, link.ErrDown) {
		t.Errorf("send: failed %d, %v", failed, err)
	}
	if err := p.SendARP([]wire.ARP{{Op: 1}}); !errors.Is(err, link.ErrDown) {
		t.Errorf("send ARP: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := bed.Net().Open(l); !errors.Is(err, link.ErrDown) {
		t.Errorf("open while down: %v", err)
	}
	bed.SetUp("eth0", true)
	ready := w.until(func(r report) bool { return len(r.ready) == 1 })
	upTo(t, open(t, bed, ready.ready[0]), peer, "up again")

	// So short an absence that the next look would not show it must be seen too.
	for range 3 {
		bed.SetUp("eth0", false)
		bed.SetUp("eth0", true)
		w.until(func(r report) bool { return len(r.ready) == 0 })
		w.until(func(r report) bool { return len(r.ready) == 1 })
	}
}

func testGone(t *testing.T, bed Bed) {
	p, l, _ := setup(t, bed)
	bed.Remove("eth0")
	expectDown(t, p)
	if err := p.SendARP([]wire.ARP{{Op: 1}}); !errors.Is(err, link.ErrDown) {
		t.Errorf("send ARP: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := bed.Net().Open(l); !errors.Is(err, link.ErrDown) {
		t.Errorf("open: %v", err)
	}
}

func testTaken(t *testing.T, bed Bed) {
	_, l, _ := setup(t, bed)
	_, err := bed.Net().Open(l)
	var taken *link.PortTakenError
	if !errors.As(err, &taken) || taken.Link != "eth0" || taken.PID == 0 || taken.Holder == "" {
		t.Errorf("second open: %v", err)
	}
	bed.Add("eth1")
	bed.SetAddrs("eth1", dhcp4.Prefix{Addr: clientIP | 0x100, Bits: 24})
	ready := watch(t, bed, "eth1").until(func(r report) bool { return len(r.ready) == 1 })
	open(t, bed, ready.ready[0]) // one port on each interface is no conflict
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

// report is one call of changed.
type report struct {
	ready   []wire.Link
	missing []link.Missing
}

// watcher keeps what Watch reported.
type watcher struct {
	t       *testing.T
	reports chan report
	last    report
}

func watch(t *testing.T, bed Bed, names ...string) *watcher {
	t.Helper()
	w := &watcher{t: t, reports: make(chan report, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	nt := bed.Net()
	go func() {
		done <- nt.Watch(ctx, names, func(ready []wire.Link, missing []link.Missing) { w.reports <- report{ready, missing} })
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("watch: %v", err)
			}
		case <-time.After(patience):
			t.Error("watch does not end with its context")
		}
	})
	return w
}

// until waits for a report that fits, at most patience.
func (w *watcher) until(fits func(report) bool) report {
	w.t.Helper()
	late := time.After(patience)
	for {
		select {
		case w.last = <-w.reports:
			if fits(w.last) {
				return w.last
			}
		case <-late:
			w.t.Fatalf("not reported within %v; last: ready %+v, missing %+v", patience, w.last.ready, w.last.missing)
		}
	}
}
