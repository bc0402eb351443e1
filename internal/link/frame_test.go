package link

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

var (
	ownMAC    = wire.MAC{2, 0, 0x5e, 0, 0, 1}
	clientMAC = wire.MAC{2, 0, 0x5e, 0x10, 0, 9}
	ownIP     = dhcp4.MustParseAddr("198.18.0.1")
	clientIP  = dhcp4.MustParseAddr("198.18.0.100")
)

// identity is a port's, of a host with one address.
func identity() *Identity {
	l := &Locals{}
	l.Set([]Interface{{Index: 4, Addrs: []dhcp4.Prefix{{Addr: ownIP, Bits: 24}}}})
	return &Identity{Link: 4, MAC: ownMAC, Port: 67, Locals: l}
}

// clientIdentity is a client's, whose address the host does not have.
func clientIdentity() *Identity { return &Identity{Link: 4, MAC: ownMAC, Port: 68} }

// good is a renewal as a frame; change makes it worse.
func good(change func(f []byte)) []byte { return goodTo(67, change) }

// goodTo is a message from the one port of DHCP to the other.
func goodTo(port uint16, change func(f []byte)) []byte {
	s := wire.Send{MAC: ownMAC, Src: clientIP, Dst: ownIP, SrcPort: 67 + 68 - port, DstPort: port, Data: bytes.Repeat([]byte("lessor"), 50)}
	f := AppendFrame(nil, clientMAC, 7, &s)
	if change != nil {
		change(f)
	}
	return f
}

// resum writes the IP header checksum of a frame anew.
func resum(f []byte) {
	ihl := min(int(f[14]&15)*4, len(f)-14)
	f[24], f[25] = 0, 0
	binary.BigEndian.PutUint16(f[24:], ^fold(sum(0, f[14:14+ihl])))
}

// withOptions is a frame whose IP header has n words of options.
func withOptions(n int) []byte { return withOptionsTo(67, n) }

func withOptionsTo(port uint16, n int) []byte {
	f := goodTo(port, nil)
	f = slices.Insert(f, 34, make([]byte, 4*n)...)
	for i := 34; i < 34+4*n; i++ {
		f[i] = 1 // no operation
	}
	f[14] = 0x45 + byte(n)
	binary.BigEndian.PutUint16(f[16:], binary.BigEndian.Uint16(f[16:])+uint16(4*n))
	resum(f)
	return f
}

// check is a frame and why it is refused.
type check struct {
	name  string
	frame []byte
	aux   Aux
	want  BadReason
}

// TestChecks gives each field every wrong value that has a name.
func TestChecks(t *testing.T) {
	verify(t, identity(), []check{
		{"good", good(nil), Aux{}, BadNone},
		{"priority tag", good(nil), Aux{VLAN: 0}, BadNone},
		{"VLAN", good(nil), Aux{VLAN: 10}, BadVLAN},
		{"cut by the buffer", good(nil), Aux{Cut: true}, BadTruncated},
		{"no UDP checksum", good(func(f []byte) { f[40], f[41] = 0, 0 }), Aux{}, BadNone},
		{"unfinished UDP checksum", good(func(f []byte) { f[40]++ }), Aux{SumPending: true}, BadNone},
		{"checked UDP checksum", good(func(f []byte) { f[40]++ }), Aux{SumChecked: true}, BadNone},
		{"UDP checksum", good(func(f []byte) { f[40]++ }), Aux{}, BadUDPSum},
		{"data", good(func(f []byte) { f[100]++ }), Aux{}, BadUDPSum},
		{"padding is no data", append(good(nil), 1, 2, 3), Aux{}, BadNone},
		{"IPv6", good(func(f []byte) { f[14] = 0x65; resum(f) }), Aux{}, BadIPHeader},
		{"other Ethernet type", good(func(f []byte) { f[12] = 0x86 }), Aux{}, BadEtherType},
		{"own frame", good(func(f []byte) { copy(f[6:], ownMAC[:]) }), Aux{}, BadOwn},
		{"IP checksum with an unfinished UDP checksum", good(func(f []byte) { f[24]++ }), Aux{SumPending: true}, BadIPSum},
		{"TCP", good(func(f []byte) { f[23] = 6; resum(f) }), Aux{}, BadProtocol},
		{"another port", good(func(f []byte) { f[37] = 68 }), Aux{SumPending: true}, BadPort},
		{"to another host", good(func(f []byte) { f[33] = 99; resum(f) }), Aux{SumPending: true}, BadNotOurs},
		{"to 0.0.0.0", good(func(f []byte) { clear(f[30:34]); resum(f) }), Aux{SumPending: true}, BadNone},
		{"to the subnet's broadcast address", good(func(f []byte) { f[33] = 255; resum(f) }), Aux{SumPending: true}, BadNone},
		{"do not fragment", good(func(f []byte) { f[20] = 0x40; resum(f) }), Aux{}, BadNone},
		{"first fragment", good(func(f []byte) { f[20] = 0x20; resum(f) }), Aux{}, BadFragment},
		{"last fragment", good(func(f []byte) { f[21] = 1; resum(f) }), Aux{}, BadFragment},
		{"largest offset", good(func(f []byte) { f[20], f[21] = 0x1f, 0xff; resum(f) }), Aux{}, BadFragment},
	})
}

// TestClientChecks: the frame alone says whether it is for a client.
func TestClientChecks(t *testing.T) {
	to68 := func(change func(f []byte)) []byte { return goodTo(68, change) }
	mac := func(m wire.MAC) []byte { return to68(func(f []byte) { copy(f, m[:]) }) }
	verify(t, clientIdentity(), []check{
		{"good", to68(nil), Aux{}, BadNone},
		{"to all", mac(wire.BroadcastMAC), Aux{}, BadNone},
		{"to another host", mac(clientMAC), Aux{}, BadNotOurs},
		{"to a group", mac(wire.MAC{1, 0, 0x5e, 0, 0, 1}), Aux{}, BadNotOurs},
		{"to an address that nobody has", to68(func(f []byte) { f[30] = 7; resum(f) }), Aux{SumPending: true}, BadNone},
		{"to a group's IP address", to68(func(f []byte) { f[30] = 224; resum(f) }), Aux{SumPending: true}, BadNone},
		{"to the server's port", good(nil), Aux{}, BadPort},
		{"own frame", to68(func(f []byte) { copy(f[6:], ownMAC[:]) }), Aux{}, BadOwn},
		{"VLAN", to68(nil), Aux{VLAN: 10}, BadVLAN},
		{"UDP checksum", to68(func(f []byte) { f[40]++ }), Aux{}, BadUDPSum},
		{"unfinished UDP checksum", to68(func(f []byte) { f[40]++ }), Aux{SumPending: true}, BadNone},
		{"fragment", to68(func(f []byte) { f[20] = 0x20; resum(f) }), Aux{}, BadFragment},
	})
	var b Batch
	for _, to := range []wire.MAC{ownMAC, wire.BroadcastMAC, clientMAC, {1, 0, 0x5e, 0, 0, 1}} {
		f := AppendARP(nil, clientMAC, &wire.ARP{Op: 2, SenderMAC: clientMAC, SenderIP: clientIP})
		copy(f, to[:])
		b.Reset()
		b.Add(clientIdentity(), f, Aux{})
		if want := to == ownMAC || to == wire.BroadcastMAC; (len(b.ARPs) == 1) != want || (b.Bad[BadNotOurs] == 1) == want {
			t.Errorf("ARP to %x: %d messages, refused %v", to, len(b.ARPs), b.Bad)
		}
	}
}

func TestLengths(t *testing.T) {
	t.Run("server", func(t *testing.T) { testLengths(t, identity()) })
	t.Run("client", func(t *testing.T) { testLengths(t, clientIdentity()) })
}

// testLengths gives the three length fields every value they can have.
func testLengths(t *testing.T, id *Identity) {
	good := func(change func(f []byte)) []byte { return goodTo(id.Port, change) }
	withOptions := func(n int) []byte { return withOptionsTo(id.Port, n) }
	var tests []check
	for ihl := range 5 {
		tests = append(tests, check{"short IP header", good(func(f []byte) { f[14] = 0x40 | byte(ihl); resum(f) }), Aux{}, BadIPHeader})
	}
	for n := range 11 {
		tests = append(tests, check{"IP options", withOptions(n), Aux{}, BadNone})
	}
	total := 20 + 8 + 300
	for l := range total {
		want := BadUDPLength
		if l < 20 {
			want = BadIPLength
		}
		tests = append(tests, check{"IP total length", good(func(f []byte) {
			binary.BigEndian.PutUint16(f[16:], uint16(l))
			resum(f)
		}), Aux{}, want})
	}
	for l := range 0x10000 {
		if l != 308 {
			tests = append(tests, check{"UDP length", good(func(f []byte) { binary.BigEndian.PutUint16(f[38:], uint16(l)) }), Aux{SumPending: true}, BadUDPLength})
		}
		if l > total {
			tests = append(tests, check{"IP total length", good(func(f []byte) {
				binary.BigEndian.PutUint16(f[16:], uint16(l))
				resum(f)
			}), Aux{}, BadIPLength})
		}
	}
	verify(t, id, tests)
}

func verify(t *testing.T, id *Identity, tests []check) {
	t.Helper()
	var b Batch
	for _, c := range tests {
		b.Reset()
		b.Add(id, c.frame, c.aux)
		var want [NumBadReasons]uint64
		if c.want != BadNone {
			want[c.want] = 1
		}
		if b.Bad != want || (len(b.Packets) == 1) != (c.want == BadNone) {
			t.Fatalf("%s: IP %x: refused %v, want %v", c.name, c.frame[14:42], b.Bad, c.want)
		}
		if c.want == BadNone && !bytes.Equal(b.Packets[0].Data, bytes.Repeat([]byte("lessor"), 50)) {
			t.Fatalf("%s: data %q", c.name, b.Packets[0].Data)
		}
	}
}

// TestCut cuts good frames at every length: none but the whole one is a message.
func TestCut(t *testing.T) {
	id := identity()
	arp := AppendARP(nil, clientMAC, &wire.ARP{Op: 2, SenderMAC: clientMAC, SenderIP: clientIP})[:etherLen+arpLen]
	for _, whole := range [][]byte{good(nil), withOptions(10), arp} {
		for n := range len(whole) + 1 {
			var b Batch
			b.Add(id, slices.Clip(whole[:n]), Aux{})
			if got := len(b.Packets) + len(b.ARPs); (got == 1) != (n == len(whole)) {
				t.Errorf("%d of %d octets: %d messages, refused %v", n, len(whole), got, b.Bad)
			}
		}
	}
}

// TestBuild reads what is built with another implementation, at all short lengths.
func TestBuild(t *testing.T) {
	for n := range 600 {
		s := wire.Send{MAC: clientMAC, Src: ownIP, Dst: clientIP, SrcPort: 67, DstPort: 68, Data: make([]byte, n)}
		for i := range s.Data {
			s.Data[i] = byte(rand.IntN(256))
		}
		f := AppendFrame([]byte("before"), ownMAC, uint16(n), &s)[6:]
		if len(f) != max(60, 42+n) {
			t.Fatalf("%d octets of data make a frame of %d", n, len(f))
		}
		p := gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default)
		eth, _ := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
		ip, _ := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		udp, _ := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
		if eth == nil || ip == nil || udp == nil {
			t.Fatalf("%d octets: layers %v", n, p.Layers())
		}
		if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		err, wrong := p.VerifyChecksums()
		if err != nil || len(wrong) != 0 {
			t.Fatalf("%d octets: checksums: %v %v", n, err, wrong)
		}
		if !bytes.Equal(eth.SrcMAC, ownMAC[:]) || !bytes.Equal(eth.DstMAC, clientMAC[:]) || ip.TTL != 64 || ip.Flags != 0 || ip.TOS != 0x10 ||
			ip.Id != uint16(n) || ip.SrcIP.String() != ownIP.String() || ip.DstIP.String() != clientIP.String() ||
			udp.SrcPort != 67 || udp.DstPort != 68 || !bytes.Equal(udp.Payload, s.Data) {
			t.Fatalf("%d octets: %v", n, p)
		}
	}
}

// TestZeroSum: a checksum that comes out as zero is sent as all ones (RFC 768).
func TestZeroSum(t *testing.T) {
	s := wire.Send{MAC: clientMAC, Src: ownIP, Dst: clientIP, SrcPort: 67, DstPort: 68, Data: make([]byte, 2)}
	f := AppendFrame(nil, ownMAC, 1, &s)
	copy(s.Data, f[40:42])
	f = AppendFrame(nil, ownMAC, 1, &s)
	if f[40] != 0xff || f[41] != 0xff {
		t.Errorf("checksum %x", f[40:42])
	}
	var p wire.Packet
	if _, bad := ParseUDP(f, Aux{}, &p); bad != BadNone {
		t.Error(bad)
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range BadReason(NumBadReasons) {
		if r.String() == "" || r.Text() == "" || seen[r.String()] {
			t.Errorf("reason %d: name %q, text %q", r, r.String(), r.Text())
		}
		seen[r.String()] = true
	}
}

func TestNoAllocations(t *testing.T) {
	id, frame := identity(), good(nil)
	client, reply := clientIdentity(), goodTo(68, nil)
	s := wire.Send{MAC: clientMAC, Src: ownIP, Dst: clientIP, SrcPort: 67, DstPort: 68, Data: frame[42:]}
	b := Batch{Packets: make([]wire.Packet, 0, BatchSize)}
	out := make([]byte, 0, 2048)
	if n := testing.AllocsPerRun(100, func() {
		b.Reset()
		b.Add(id, frame, Aux{})
		b.Add(client, reply, Aux{})
		out = AppendFrame(out[:0], ownMAC, 1, &s)
	}); n != 0 || len(b.Packets) != 2 {
		t.Errorf("%v allocations for two messages", n)
	}
}

func BenchmarkParseFrame(b *testing.B) {
	frame := good(nil)
	for name, aux := range map[string]Aux{"checksum": {}, "checked": {SumChecked: true}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var p wire.Packet
			for b.Loop() {
				if bad := ParseFrame(frame, aux, 67, &p); bad != BadNone {
					b.Fatal(bad)
				}
			}
		})
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	s := wire.Send{MAC: clientMAC, Src: ownIP, Dst: clientIP, SrcPort: 67, DstPort: 68, Data: make([]byte, 300)}
	out := make([]byte, 0, 2048)
	b.ReportAllocs()
	for b.Loop() {
		out = AppendFrame(out[:0], ownMAC, 1, &s)
	}
}
