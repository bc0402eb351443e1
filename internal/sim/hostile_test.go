package sim

import (
	"bytes"
	"slices"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/link"
	"lessor/internal/policy"
	"lessor/internal/wire"
)

// TestForgersAreNobody: no forged frame has a client's whole identity, most of them are what
// their kind says, and each is a frame that a link carries.
func TestForgersAreNobody(t *testing.T) {
	p := smallPlan()
	p.Hostiles = []wire.MAC{{2, 0, 0x66, 0x66, 0, 1}}
	p.Clients[1].Config.Identifier = client.IdentifierNone
	w := &world{plan: p}
	w.policies = map[string]*policy.Policy{}
	w.segments = []*segment{{name: "lan0"}}
	w.servers = []*serverHost{newServerHost(w, &p.Servers[0])}
	n := newHostile(w, 0, p.Hostiles[0]).nic
	f := forger{dice: newDice(1), mac: n.mac}
	f.aim(w, n)
	if len(f.servers) != 1 || len(f.pool) != 3 || len(f.victims) != 4 || f.victims[1].half || !f.victims[0].half || len(f.known) != 3 {
		t.Fatalf("the station sees %+v", f)
	}
	whole := wholeRequest(p)
	halves, kinds := 0, map[Forgery]int{}
	for kind := ForgeDiscover; kind <= ForgeMutant; kind++ {
		for range 3000 {
			f.seen = whole
			frame := f.frame(kind)
			if frame == nil {
				continue
			}
			kinds[kind]++
			var pkt wire.Packet
			if _, bad := link.ParseUDP(frame, link.Aux{}, &pkt); kind == ForgeARP {
				var a wire.ARP
				if link.ParseARP(frame, &a) != link.BadNone || a.SenderMAC != n.mac || !slices.Contains(f.pool, a.SenderIP) {
					t.Fatalf("no ARP message of the station: %x", frame)
				}
				continue
			} else if bad != link.BadNone || pkt.SrcMAC != n.mac {
				t.Fatalf("%v: no frame of the station: %x", kind, frame)
			}
			if isClient(t, p, pkt.Data) {
				halves++
			}
		}
	}
	for kind := ForgeDiscover; kind <= ForgeMutant; kind++ {
		if kinds[kind] < 300 {
			t.Errorf("only %d frames of kind %s", kinds[kind], forgeWords[kind])
		}
	}
	if halves == 0 {
		t.Error("nobody takes half of a client's identity")
	}
}

// wholeRequest is a REQUEST of the plan's first client.
func wholeRequest(p *Plan) []byte {
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: 7}
	copy(h.CHAddr[:], p.Clients[0].MAC[:])
	s := wire.Send{MAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, SrcPort: 68, DstPort: 67}
	s.Data, _ = dhcp4.AppendMessage(nil, &h, []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{3}},
		{Code: dhcp4.OptDHCPClientIdentifier, Data: p.Clients[0].identifier()}}, nil, 1472)
	return link.AppendFrame(nil, p.Clients[0].MAC, 1, &s)
}

// isClient fails when a request is as good as one of a client's, and reports whether its
// hardware address is one's.
func isClient(t *testing.T, p *Plan, data []byte) (half bool) {
	t.Helper()
	var v dhcp4.View
	if v.Parse(data) != nil || v.Op() != 1 {
		return false
	}
	id, _ := v.Get(dhcp4.OptDHCPClientIdentifier, make([]byte, 0, 512))
	for i := range p.Clients {
		c := &p.Clients[i]
		hw := bytes.Equal(v.CHAddr(), c.MAC[:])
		if len(id) >= 2 && bytes.Equal(id, c.identifier()) || hw && (len(id) < 2 || c.identifier() == nil) {
			t.Fatalf("a forged frame in the name of %s: %x", c.Name, data)
		}
		half = half || hw
	}
	return half
}

// TestHostileBurst: a burst reaches the server.
func TestHostileBurst(t *testing.T) {
	p := smallPlan()
	p.Hostiles = []wire.MAC{{2, 0, 0x66, 0x66, 0, 1}}
	p.Steps = []Step{{At: 100 * second, Kind: StepForge, Host: hostileName(0), Size: 50, For: second, Forge: ForgeRequest}}
	with := Run(p, nil)
	p.Steps = nil
	without := Run(p, nil)
	if with.Stats.Faults < without.Stats.Faults+50 || with.Stats.Frames < without.Stats.Frames+50 {
		t.Errorf("a burst of 50 frames: %+v, without it %+v", with.Stats, without.Stats)
	}
}
