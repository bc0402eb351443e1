// Package linktest is the contract of package link as tests: whatever makes ports
// passes them unchanged.
package linktest

import (
	"bytes"
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
		{"Echo", testEcho},
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
	echoes  []wire.Echo
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
		r.echoes = append(r.echoes, b.Echoes...)
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
