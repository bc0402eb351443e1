package control

import (
	"reflect"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/wire"
)

// TestQuestionTravels: a question is the same at the other end of the socket, and one that
// makes no sense is refused.
func TestQuestionTravels(t *testing.T) {
	for _, q := range []*Question{
		{Message: []byte{1, 1, 6, 0}},
		{Message: []byte{1}, Interface: "eth0 & more", Unicast: true, Src: 1, Dst: 2, SrcMAC: wire.MAC{2, 1}, DstMAC: wire.BroadcastMAC, SrcPort: 1067},
	} {
		if got, err := questionOf(q.values()); err != nil || !reflect.DeepEqual(got, q) {
			t.Errorf("%+v arrives as %+v, %v", q, got, err)
		}
	}
	for _, bad := range []string{"message", "source", "destination", "source-mac", "destination-mac", "source-port"} {
		v := (&Question{Message: []byte{1}}).values()
		v.Set(bad, "x")
		if q, err := questionOf(v); err == nil {
			t.Errorf("%s=x is taken as %+v", bad, q)
		}
	}
}

// TestQuestionComes: what a question leaves open is as an honest client and its relay
// agent would have it.
func TestQuestionComes(t *testing.T) {
	c, problems := config.Parse("lessor.yaml", []byte("interfaces: [eth0, eth1]\nsubnets:\n  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.199]}\n"))
	if c == nil {
		t.Fatal(problems)
	}
	other := wire.Link{ID: 1, Name: "eth0", MAC: wire.MAC{2, 1}, Addrs: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("203.0.113.1"), Bits: 24}}}
	ours := wire.Link{ID: 2, Name: "eth1", MAC: wire.MAC{2, 2}, Addrs: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("198.18.0.1"), Bits: 24}}}
	links := []wire.Link{other, ours}
	client, near, far := wire.MAC{2, 0, 0x5e, 0x10, 0, 1}, dhcp4.MustParseAddr("198.18.0.100"), dhcp4.MustParseAddr("198.18.9.100")
	message := func(ciaddr, giaddr dhcp4.Addr) []byte {
		h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, CIAddr: ciaddr, GIAddr: giaddr}
		copy(h.CHAddr[:], client[:])
		data, _ := dhcp4.AppendMessage(nil, &h, []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{3}}, {Code: dhcp4.OptDHCPServerIdentifier, Data: make([]byte, 4)}}, nil, 576)
		return data
	}
	us := ours.Addrs[0].Addr
	for name, x := range map[string]struct {
		q               Question
		src, dst        dhcp4.Addr
		client, unicast bool // the frame is the client's own, and to us alone
		port            uint16
	}{
		"broadcast": {Question{Message: message(0, 0)}, 0, dhcp4.Broadcast, true, false, 68},
		"renewal":   {Question{Message: message(near, 0), Unicast: true}, near, us, true, true, 68},
		"routed":    {Question{Message: message(far, 0), Unicast: true, Interface: "eth1"}, far, us, false, true, 68},
		"relayed":   {Question{Message: message(0, near)}, near, us, false, true, 67},
	} {
		pkt, l, err := x.q.Packet(links, c.Policy())
		if err != nil || l.Name != "eth1" {
			t.Errorf("%s: %v by %v", name, err, l)
			continue
		}
		if pkt.Src != x.src || pkt.Dst != x.dst || (pkt.SrcMAC == client) != x.client || (pkt.DstMAC == ours.MAC) != x.unicast || pkt.SrcPort != x.port {
			t.Errorf("%s comes as %+v", name, pkt)
		}
		var v dhcp4.View
		if v.Parse(pkt.Data) != nil {
			t.Fatal("the message was damaged")
		}
		if id, _ := v.Addr(dhcp4.OptDHCPServerIdentifier); id != us {
			t.Errorf("%s: the server identifier is %s, not ours", name, id)
		}
	}
	if _, _, err := (&Question{Interface: "eth7"}).Packet(links, c.Policy()); err == nil {
		t.Error("eth7 is an interface")
	}
	if _, _, err := (&Question{}).Packet(nil, c.Policy()); err != errNoLink {
		t.Errorf("without interfaces: %v", err)
	}
}
