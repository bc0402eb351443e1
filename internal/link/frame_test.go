package link

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/net/bpf"

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

// good is a renewal as a frame; change makes it worse.
func good(change func(f []byte)) []byte {
	s := wire.Send{MAC: ownMAC, Src: clientIP, Dst: ownIP, SrcPort: 68, DstPort: 67, Data: bytes.Repeat([]byte("lessor"), 50)}
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
func withOptions(n int) []byte {
	f := good(nil)
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
	verify(t, []check{
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

// TestLengths gives the three length fields every value they can have.
func TestLengths(t *testing.T) {
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
	verify(t, tests)
}

func verify(t *testing.T, tests []check) {
	t.Helper()
	id := identity()
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

// vm is the filter's part that looks at bytes, as the kernel would run it.
func vm(t testing.TB) *bpf.VM {
	v, err := bpf.NewVM(ServerRule.byteFilter())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bpf.Assemble(ServerRule.kernelFilter()); err != nil {
		t.Fatal(err)
	}
	return v
}

// FuzzFrame feeds whole frames to the receive path. No frame may do harm; what is
// accepted must be read the same way by another implementation, must come out of
// the filter, and must survive being built again.
func FuzzFrame(f *testing.F) {
	f.Add(good(nil), byte(0), uint16(0))
	f.Add(withOptions(10), byte(1), uint16(0))
	f.Add(good(func(f []byte) { f[38], f[39] = 0, 7 }), byte(1), uint16(0))
	f.Add(good(func(f []byte) { f[17] = 4; resum(f) }), byte(0), uint16(10))
	f.Add(good(func(f []byte) { f[20] = 0x20; resum(f) }), byte(0), uint16(0))
	f.Add(AppendARP(nil, clientMAC, &wire.ARP{Op: 2, SenderMAC: clientMAC, SenderIP: clientIP}), byte(0), uint16(0))
	f.Add(AppendARP(nil, clientMAC, &wire.ARP{Op: 1, SenderMAC: clientMAC, SenderIP: clientIP, TargetIP: clientIP}), byte(0), uint16(0))
	v, id := vm(f), identity()
	f.Fuzz(func(t *testing.T, frame []byte, flags byte, vlan uint16) {
		aux := Aux{SumPending: flags&1 != 0, SumChecked: flags&2 != 0, VLAN: vlan}
		passed, err := v.Run(frame)
		if err != nil {
			t.Fatal(err)
		}
		if (passed != 0) != ServerRule.Wanted(frame) {
			t.Fatalf("filter program says %d, Wanted %v", passed, ServerRule.Wanted(frame))
		}
		var b Batch
		b.Add(id, frame, aux)
		bad := uint64(0)
		for _, n := range b.Bad {
			bad += n
		}
		if n := len(b.Packets) + len(b.ARPs) + int(bad); n != 1 || b.Bad[BadNone] != 0 {
			t.Fatalf("one frame came to %d results", n)
		}
		if len(b.Packets) == 1 {
			checkAccepted(t, frame, &b.Packets[0])
		}
	})
}

func checkAccepted(t *testing.T, frame []byte, p *wire.Packet) {
	if !ServerRule.Wanted(frame) {
		t.Fatal("accepted, but the filter would have dropped it")
	}
	q := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	ip, _ := q.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	udp, _ := q.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if ip == nil || udp == nil {
		return // it refuses some IP options that we step over
	}
	if ip.SrcIP.String() != p.Src.String() || ip.DstIP.String() != p.Dst.String() || uint16(udp.SrcPort) != p.SrcPort ||
		udp.DstPort != 67 || !bytes.Equal(udp.Payload, p.Data) {
		t.Fatalf("read as %+v, by another as %v", p, q)
	}
	again := AppendFrame(nil, p.SrcMAC, 1, &wire.Send{MAC: p.DstMAC, Src: p.Src, Dst: p.Dst, SrcPort: p.SrcPort, DstPort: 67, Data: p.Data})
	var r wire.Packet
	if bad := ParseFrame(again, Aux{}, 67, &r); bad != BadNone || r.Src != p.Src || r.SrcMAC != p.SrcMAC || !bytes.Equal(r.Data, p.Data) {
		t.Fatalf("built again: %v, %+v", bad, r)
	}
}

func TestNoAllocations(t *testing.T) {
	id, frame := identity(), good(nil)
	s := wire.Send{MAC: clientMAC, Src: ownIP, Dst: clientIP, SrcPort: 67, DstPort: 68, Data: frame[42:]}
	b := Batch{Packets: make([]wire.Packet, 0, BatchSize)}
	out := make([]byte, 0, 2048)
	if n := testing.AllocsPerRun(100, func() {
		b.Reset()
		b.Add(id, frame, Aux{})
		out = AppendFrame(out[:0], ownMAC, 1, &s)
	}); n != 0 || len(b.Packets) != 1 {
		t.Errorf("%v allocations for a message", n)
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
