package linktest

import (
	"errors"
	"net"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// ClientBed is a Bed whose host runs a DHCP client.
type ClientBed interface {
	Bed
	ClientNet() link.ClientNet
	SetMAC(name string, mac wire.MAC)
}

// serverMAC and serverIP send the replies.
var (
	serverMAC = wire.MAC{2, 0, 0x5e, 0x20, 0, 7}
	serverIP  = dhcp4.MustParseAddr("198.18.0.5")
	otherMAC  = wire.MAC{2, 9, 9, 9, 9, 9}
	groupMAC  = wire.MAC{1, 0, 0x5e, 0, 0, 1}
)

// RunClient runs the suite for clients; each test has a bed of its own, which newBed
// makes and ends with the test.
func RunClient(t *testing.T, newBed func(t *testing.T) ClientBed) {
	for _, c := range []struct {
		name string
		f    func(*testing.T, ClientBed)
	}{
		{"Receive", testClientReceive},
		{"Refused", testClientRefused},
		{"Left in the kernel", testClientLeft},
		{"ARP watched", testClientARP},
		{"ARP watched anew", testClientWatchARP},
		{"ARP to one host", testClientAskOne},
		{"Send", testClientSend},
		{"Routed", testClientRouted},
		{"Close", testClientClose},
		{"Down and gone", testClientDown},
		{"Port taken", testClientTaken},
		{"Drops", testClientDrops},
		{"Watch", testWatchClient},
		{"Watch sees short losses", testWatchFlaps},
		{"Watch follows the name", testWatchClientName},
		{"Watch and another MAC", testWatchMAC},
		{"Watch ends", testWatchClientEnds},
	} {
		t.Run(c.name, func(t *testing.T) { c.f(t, newBed(t)) })
	}
}

// clientSetup is one interface without an address, its client's port and its peer.
func clientSetup(t *testing.T, bed ClientBed) (link.ClientPort, wire.Link, Peer) {
	t.Helper()
	peer := bed.Add("eth0")
	w := watchClient(t, bed, "eth0")
	l := *w.until(func(r clientReport) bool { return r.link != nil }).link
	return openClient(t, bed, l), l, peer
}

func openClient(t *testing.T, bed ClientBed, l wire.Link) link.ClientPort {
	t.Helper()
	p, err := bed.ClientNet().OpenClient(l)
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

// reply is a message of the server to a client, as a frame; change makes it worse.
func reply(mac wire.MAC, ip dhcp4.Addr, data string, change func(f []byte)) []byte {
	f := link.AppendFrame(nil, serverMAC, 1, &wire.Send{MAC: mac, Src: serverIP, Dst: ip, SrcPort: 67, DstPort: 68, Data: []byte(data)})
	if change != nil {
		change(f)
	}
	return f
}

// replied receives up to and including the reply with this payload, which the peer sends
// now to all.
func replied(t *testing.T, p link.Port, peer Peer, mark string) *received {
	t.Helper()
	peer.Send(reply(wire.BroadcastMAC, dhcp4.Broadcast, mark, nil))
	return collect(t, p, func(r *received) bool {
		return len(r.packets) > 0 && string(r.packets[len(r.packets)-1].Data) == mark
	})
}

func testClientClose(t *testing.T, bed ClientBed) {
	p, l, _ := clientSetup(t, bed)
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
	_, sendErr := p.Send([]wire.Send{{Raw: true, Dst: dhcp4.Broadcast, SrcPort: 68, DstPort: 67}})
	for i, err := range []error{p.Receive(&b), sendErr, p.SendARP([]wire.ARP{{}}), p.WatchARP(nil), p.WatchARP([]dhcp4.Addr{clientIP}), p.Close()} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("call %d after close: %v", i, err)
		}
	}
	if err := openClient(t, bed, l).WatchARP([]dhcp4.Addr{clientIP}); err != nil {
		t.Errorf("the port is not free after close: %v", err)
	}
}

func testClientDown(t *testing.T, bed ClientBed) {
	p, l, peer := clientSetup(t, bed)
	w := watchClient(t, bed, "eth0")
	w.until(present)
	bed.SetUp("eth0", false)
	expectDown(t, p)
	w.until(absent)
	if failed, err := p.Send([]wire.Send{{Raw: true, Dst: dhcp4.Broadcast, SrcPort: 68, DstPort: 67}}); failed != 1 || !errors.Is(err, link.ErrDown) {
		t.Errorf("send: failed %d, %v", failed, err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := bed.ClientNet().OpenClient(l); !errors.Is(err, link.ErrDown) {
		t.Errorf("open while down: %v", err)
	}
	bed.SetUp("eth0", true)
	p = openClient(t, bed, *w.until(present).link)
	replied(t, p, peer, "up again")
	bed.Remove("eth0")
	expectDown(t, p)
	w.until(func(r clientReport) bool { return r.link == nil && r.missing != nil })
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := bed.ClientNet().OpenClient(l); !errors.Is(err, link.ErrDown) {
		t.Errorf("open what is gone: %v", err)
	}
}

// testClientTaken: one client on each interface; a server beside it is no conflict.
func testClientTaken(t *testing.T, bed ClientBed) {
	p, l, peer := clientSetup(t, bed)
	_, err := bed.ClientNet().OpenClient(l)
	var taken *link.PortTakenError
	if !errors.As(err, &taken) || taken.Port != 68 || taken.Link != "eth0" || taken.PID == 0 || taken.Holder == "" {
		t.Errorf("second open: %v", err)
	}
	bed.Add("eth1")
	openClient(t, bed, *watchClient(t, bed, "eth1").until(present).link)
	server := open(t, bed, l)
	replied(t, p, peer, "to the client")
	upTo(t, server, peer, "to the server")
	replied(t, p, peer, "to the client again")
}

// testClientDrops: a flood is lost and counted, and what comes after it is received.
func testClientDrops(t *testing.T, bed ClientBed) {
	p, l, peer := clientSetup(t, bed)
	sent := bed.Overflow()
	f := reply(l.MAC, clientIP, string(make([]byte, 300)), nil)
	for range sent {
		peer.Send(f)
	}
	got := collect(t, p, func(r *received) bool { return len(r.packets)+int(r.dropped) >= sent })
	if got.dropped == 0 || len(got.packets) == 0 || len(got.packets)+int(got.dropped) != sent {
		t.Errorf("%d sent: %d received and %d lost", sent, len(got.packets), got.dropped)
	}
	if r := replied(t, p, peer, "after the flood"); len(r.packets) != 1 {
		t.Errorf("%d messages after the flood", len(r.packets))
	}
}
