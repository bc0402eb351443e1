package link

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/net/bpf"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// path is the way of a received frame: the filter's part that looks at bytes, as the
// kernel would run it, and the checks.
type path struct {
	rule *Rule
	id   *Identity
	vm   *bpf.VM
}

func newPath(t testing.TB, r *Rule, id *Identity) *path {
	v, err := bpf.NewVM(r.byteFilter())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bpf.Assemble(r.kernelFilter()); err != nil {
		t.Fatal(err)
	}
	return &path{rule: r, id: id, vm: v}
}

// take feeds a frame to the path. No frame may do harm; what is accepted must be read
// the same way by another implementation, must come out of the filter, and must survive
// being built again.
func (p *path) take(t testing.TB, frame []byte, aux Aux) {
	t.Helper()
	passed, err := p.vm.Run(frame)
	if err != nil {
		t.Fatal(err)
	}
	if (passed != 0) != p.rule.Wanted(frame) {
		t.Fatalf("filter program says %d, Wanted %v", passed, p.rule.Wanted(frame))
	}
	var b Batch
	b.Add(p.id, frame, aux)
	bad := uint64(0)
	for _, n := range b.Bad {
		bad += n
	}
	if n := len(b.Packets) + len(b.ARPs) + len(b.Echoes) + int(bad); n != 1 || b.Bad[BadNone] != 0 {
		t.Fatalf("one frame came to %d results", n)
	}
	if len(b.Packets) == 1 {
		p.accepted(t, frame, &b.Packets[0])
	}
	if len(b.Echoes) == 1 {
		p.acceptedEcho(t, frame, &b.Echoes[0])
	}
}

func (p *path) accepted(t testing.TB, frame []byte, r *wire.Packet) {
	if !p.rule.Wanted(frame) {
		t.Fatal("accepted, but the filter would have dropped it")
	}
	if p.id.Locals == nil && r.DstMAC != p.id.MAC && r.DstMAC != wire.BroadcastMAC {
		t.Fatalf("accepted a frame to %x", r.DstMAC)
	}
	again := AppendFrame(nil, r.SrcMAC, 1, &wire.Send{MAC: r.DstMAC, Src: r.Src, Dst: r.Dst, SrcPort: r.SrcPort, DstPort: p.id.Port, Data: r.Data})
	var q wire.Packet
	if bad := ParseFrame(again, Aux{}, p.id.Port, &q); bad != BadNone || q.Src != r.Src || q.SrcMAC != r.SrcMAC || !bytes.Equal(q.Data, r.Data) {
		t.Fatalf("built again: %v, %+v", bad, q)
	}
	o := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	ip, _ := o.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	udp, _ := o.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if ip == nil || udp == nil {
		return // it refuses some IP options that we step over
	}
	if ip.SrcIP.String() != r.Src.String() || ip.DstIP.String() != r.Dst.String() || uint16(udp.SrcPort) != r.SrcPort ||
		uint16(udp.DstPort) != p.id.Port || !bytes.Equal(udp.Payload, r.Data) {
		t.Fatalf("read as %+v, by another as %v", r, o)
	}
}

// acceptedEcho holds that an answer must be one for this host, and what another reads.
func (p *path) acceptedEcho(t testing.TB, frame []byte, e *wire.Echo) {
	if p.id.Locals == nil || !p.id.Locals.Ours(e.Dst) || !e.Reply {
		t.Fatalf("accepted %+v", e)
	}
	if frame[14] == 0x45 && binary.BigEndian.Uint16(frame[16:]) == 36 && !p.rule.Wanted(frame) {
		t.Fatal("accepted, but the filter would have dropped it")
	}
	again := wire.Echo{Link: e.Link}
	if bad := ParseEcho(AppendEchoFrame(nil, clientMAC, ownMAC, 1, e), &again); bad != BadNone || again != *e {
		t.Fatalf("built again: %v, %+v", bad, again)
	}
	o := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	m, _ := o.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if m == nil {
		return // it refuses some IP options that we step over
	}
	if m.TypeCode != layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoReply, 0) || m.Id != e.ID || m.Seq != e.Seq ||
		binary.BigEndian.Uint64(m.Payload) != e.Token {
		t.Fatalf("read as %+v, by another as %v", e, o)
	}
}

// seed adds good and bad frames to a port.
func seed(f *testing.F, port uint16, add func(frame []byte, flags byte, vlan uint16)) {
	good := func(change func(f []byte)) []byte { return goodTo(port, change) }
	add(good(nil), 0, 0)
	add(withOptionsTo(port, 10), 1, 0)
	add(good(func(f []byte) { f[38], f[39] = 0, 7 }), 1, 0)
	add(good(func(f []byte) { f[17] = 4; resum(f) }), 0, 10)
	add(good(func(f []byte) { f[20] = 0x20; resum(f) }), 0, 0)
	add(good(func(f []byte) { copy(f, wire.BroadcastMAC[:]) }), 2, 0)
	add(AppendARP(nil, clientMAC, &wire.ARP{Op: 2, SenderMAC: clientMAC, SenderIP: clientIP}), 0, 0)
	echo := wire.Echo{Reply: true, Src: clientIP, Dst: ownIP, ID: 1, Seq: 2, Token: 3}
	add(AppendEchoFrame(nil, clientMAC, ownMAC, 1, &echo), 0, 0)
	echo.Reply = false
	add(AppendEchoFrame(nil, clientMAC, ownMAC, 1, &echo), 0, 0)
	add(AppendARP(nil, clientMAC, &wire.ARP{Op: 1, SenderMAC: clientMAC, SenderIP: clientIP, TargetIP: clientIP}), 0, 0)
	add(AppendARP(nil, clientMAC, &wire.ARP{Op: 1, SenderMAC: clientMAC, TargetIP: clientIP}), 0, 0)
}

func auxOf(flags byte, vlan uint16) Aux {
	return Aux{SumPending: flags&1 != 0, SumChecked: flags&2 != 0, Cut: flags&4 != 0, VLAN: vlan}
}

// FuzzFrame feeds whole frames to the receive path of a server.
func FuzzFrame(f *testing.F) {
	seed(f, 67, func(frame []byte, flags byte, vlan uint16) { f.Add(frame, flags, vlan) })
	p := newPath(f, ServerRule, identity())
	f.Fuzz(func(t *testing.T, frame []byte, flags byte, vlan uint16) { p.take(t, frame, auxOf(flags, vlan)) })
}

// FuzzClientFrame feeds whole frames to the receive path of a client that watches some
// addresses; the filter program for them is as much under test as the checks.
func FuzzClientFrame(f *testing.F) {
	ip := binary.BigEndian.AppendUint32(nil, uint32(clientIP))
	seed(f, 68, func(frame []byte, flags byte, vlan uint16) {
		f.Add(frame, flags, vlan, []byte{})
		f.Add(frame, flags, vlan, slices.Concat([]byte{192, 0, 2, 1, 0, 0, 0, 0}, ip, ip))
	})
	f.Fuzz(func(t *testing.T, frame []byte, flags byte, vlan uint16, watched []byte) {
		var as []dhcp4.Addr
		for ; len(watched) >= 4; watched = watched[4:] {
			as = append(as, dhcp4.AddrFromBytes(watched))
		}
		r, err := WatchRule(as)
		if err != nil {
			if len(as) <= MaxWatched {
				t.Fatal(err)
			}
			return
		}
		newPath(t, r, clientIdentity()).take(t, frame, auxOf(flags, vlan))
	})
}

// TestWatchRules: the filter program agrees with Wanted for every number of watched
// addresses and every kind of ARP message, whole and cut.
func TestWatchRules(t *testing.T) {
	addr := func(i int) dhcp4.Addr { return clientIP + dhcp4.Addr(i) }
	var as []dhcp4.Addr
	for n := range MaxWatched + 1 {
		r, err := WatchRule(as)
		if err != nil {
			t.Fatal(err)
		}
		p := newPath(t, r, clientIdentity())
		for i := range MaxWatched + 1 {
			for _, c := range []struct {
				a    wire.ARP
				want bool
			}{
				{wire.ARP{Op: 1, SenderMAC: clientMAC, SenderIP: addr(i), TargetIP: ownIP}, i < n},
				{wire.ARP{Op: 2, SenderMAC: clientMAC, SenderIP: addr(i), TargetIP: ownIP}, i < n},
				{wire.ARP{Op: 1, SenderMAC: clientMAC, TargetIP: addr(i)}, i < n},
				{wire.ARP{Op: 1, SenderMAC: clientMAC, SenderIP: ownIP, TargetIP: addr(i)}, false},
				{wire.ARP{Op: 1, SenderMAC: clientMAC}, false},
			} {
				f := AppendARP(nil, clientMAC, &c.a)
				p.take(t, f, Aux{})
				if got := r.Wanted(f); got != c.want {
					t.Fatalf("%d watched, %+v: wanted %v", n, c.a, got)
				}
			}
		}
		whole := AppendARP(nil, clientMAC, &wire.ARP{Op: 1, SenderMAC: clientMAC, TargetIP: clientIP})
		for cut := range len(whole) {
			p.take(t, whole[:cut], Aux{})
		}
		as = append(as, addr(n))
	}
	if _, err := WatchRule(as); err == nil {
		t.Errorf("%d addresses are watched", len(as))
	}
}
