package link_test

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

// TestUpstream: replies of servers come in, by every interface but those of clients.
func TestUpstream(t *testing.T) {
	b := newBed(t)
	l, clients := ready(t, b)
	servers := b.Add("eth1")
	up := dhcp4.Prefix{Addr: dhcp4.MustParseAddr("198.18.1.1"), Bits: 24}
	b.SetAddrs("eth1", up)
	var u *link.Upstream
	b.server.do(t, func() (err error) { u, err = b.kernel.OpenUpstream(67); return err })
	if err := u.Refuse([]wire.LinkID{l.ID}); err != nil {
		t.Fatal(err)
	}
	var p link.Port
	b.server.do(t, func() (err error) { p, err = b.kernel.OpenShared(l); return err })
	defer p.Close()
	_, err := b.Net().Open(l)
	if taken, ok := errors.AsType[*link.PortTakenError](err); !ok || taken.Port != 67 {
		t.Fatalf("a second holder of port 67: %v", err)
	}

	var mac [2]wire.MAC // of the host's two interfaces
	mac[0] = l.MAC
	b.server.do(t, func() error {
		i, err := net.InterfaceByName("eth1")
		if err == nil {
			mac[1] = wire.MAC(i.HardwareAddr)
		}
		return err
	})
	send := func(at int, op byte, to dhcp4.Addr, text string) {
		peer := []interface{ Send([]byte) }{clients, servers}[at]
		src := dhcp4.MustParseAddr("198.18.1.9")
		peer.Send(link.AppendFrame(nil, wire.MAC{2, 0, 0x5e, 0x10, 9, 9}, 1, &wire.Send{
			MAC: mac[at], Src: src, Dst: to, SrcPort: 1067, DstPort: 67, Data: append([]byte{op}, text...)}))
	}
	send(0, 2, subnet.Addr, "by an interface of clients")
	send(1, 1, up.Addr, "a request")
	send(1, 2, subnet.Addr, "to the address of the other interface") // giaddr
	send(1, 2, up.Addr, "to its own address")
	var batch link.Batch
	got := map[string]bool{}
	deadline := time.AfterFunc(5*time.Second, func() { u.Close() })
	defer deadline.Stop()
	for len(got) < 2 {
		if err := u.Receive(&batch); err != nil {
			t.Fatalf("%v after %v", err, got)
		}
		for _, p := range batch.Packets {
			if p.Src != dhcp4.MustParseAddr("198.18.1.9") || p.SrcPort != 1067 || p.Link != 0 {
				t.Errorf("%+v", p)
			}
			got[string(p.Data[1:])] = true
		}
	}
	if !got["to the address of the other interface"] || !got["to its own address"] {
		t.Errorf("received %v", got)
	}
	var in link.Batch // the frame of the client comes in on the client's port alone
	if err := p.Receive(&in); err != nil || len(in.Packets) != 1 || !bytes.Contains(in.Packets[0].Data, []byte("clients")) {
		t.Errorf("the port brought %+v, %v", in.Packets, err)
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	if err := u.Receive(&batch); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive after Close: %v", err)
	}
	b.server.do(t, func() error {
		n, err := b.kernel.PathMTU(up.Addr + 1)
		if n != 1500 {
			t.Errorf("MTU %d", n)
		}
		return err
	})
}

// TestUpstreamPortTaken: port 67 belongs to somebody else on one interface.
func TestUpstreamPortTaken(t *testing.T) {
	b := newBed(t)
	l, _ := ready(t, b)
	p := open(t, b, l)
	err := b.server.run(func() error { _, err := b.kernel.OpenUpstream(67); return err })
	if taken, ok := errors.AsType[*link.PortTakenError](err); !ok || taken.PID == 0 {
		t.Fatalf("%v", err)
	}
	p.Close()
	b.server.do(t, func() error {
		u, err := b.kernel.OpenUpstream(67)
		if err != nil {
			return err
		}
		return u.Refuse(make([]wire.LinkID, link.MaxClientLinks))
	})
}
