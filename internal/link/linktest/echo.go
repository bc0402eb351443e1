package linktest

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// testEcho asks hosts behind a router, whose answers come back, and what is no answer to us
// does not.
func testEcho(t *testing.T, bed Bed) {
	p, l, peer := setup(t, bed)
	peer.SetAddrs(peerNet)
	far := dhcp4.Prefix{Addr: dhcp4.MustParseAddr("203.0.113.0"), Bits: 24}
	bed.AddRoute(far, peerNet.Addr)

	const n = link.BatchSize + 9
	var asked []wire.Echo
	for i := range uint16(n) {
		asked = append(asked, wire.Echo{Src: subnet.Addr, Dst: far.Addr + 9 + dhcp4.Addr(i), ID: 0xabcd, Seq: i, Token: 0x0123456789abcdef + uint64(i)})
	}
	nowhere := asked[0]
	nowhere.Dst = strangerIP
	failed, err := p.SendEcho(slices.Concat(asked[:3], []wire.Echo{nowhere}, asked[3:]))
	if failed != 1 || err == nil || !bytes.Contains([]byte(err.Error()), []byte(strangerIP.String())) {
		t.Errorf("failed %d, %v; want 1 and an error that names %s", failed, err, strangerIP)
	}
	answer := func(e wire.Echo, change func(f []byte)) {
		f := link.AppendEchoFrame(nil, peer.MAC(), l.MAC, 3, &e)
		if change != nil {
			change(f)
		}
		peer.Send(f)
	}
	var want []wire.Echo
	for _, a := range asked {
		f := next(t, peer, func(f link.Frame) bool { return f.IsEcho })
		if f.Echo != a || f.DstMAC != peer.MAC() || f.SrcMAC != l.MAC {
			t.Fatalf("asked %+v, arrived %+v", a, f)
		}
		back := wire.Echo{Link: l.ID, Reply: true, Src: a.Dst, Dst: a.Src, ID: a.ID, Seq: a.Seq, Token: a.Token}
		answer(back, nil)
		want = append(want, back)
	}
	question, forwarded := want[0], want[0]
	question.Reply, forwarded.Dst = false, clientIP
	answer(question, nil)                          // the kernel's to answer
	answer(forwarded, nil)                         // to another host, by way of us: refused
	answer(want[0], func(f []byte) { f[36] ^= 1 }) // ICMP checksum: refused
	answer(want[0], func(f []byte) { f[24] ^= 1 }) // IP checksum: refused
	peer.Send(frame(&wire.Send{MAC: l.MAC, Src: clientIP, Dst: subnet.Addr, SrcPort: 68, DstPort: 67, Data: []byte("end")}))
	r := collect(t, p, func(r *received) bool { return len(r.packets) == 1 })
	if !slices.Equal(r.echoes, want) {
		t.Errorf("%d answers came in, want %d: %+v", len(r.echoes), len(want), r.echoes)
	}
	if r.bad[link.BadNotOurs] != 1 || r.bad[link.BadICMP] != 1 || r.bad[link.BadIPSum] != 1 {
		t.Errorf("refused: %v", r.bad)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if failed, err := p.SendEcho(asked); failed != n || !errors.Is(err, net.ErrClosed) {
		t.Errorf("after close: failed %d, %v", failed, err)
	}
}
