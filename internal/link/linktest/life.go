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
