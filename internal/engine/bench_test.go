package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/engine"
	"lessor/internal/lease"
	"lessor/internal/link"
	"lessor/internal/store"
	"lessor/internal/store/memory"
	"lessor/internal/store/pebble"
	"lessor/internal/wire"
)

const benchClients = 20_000

var benchFirst = dhcp4.MustParseAddr("198.18.1.0")

const benchConfig = `
interfaces: [eth0]
valid-lifetime: 600
conflict-check: off
subnets:
  - subnet: 198.18.0.0/16
    pools: [198.18.1.0-198.18.250.255]
`

// generator is a port whose clients renew in a closed loop: as many requests are
// outstanding as it was made with, and each reply brings the next request. It
// allocates nothing, so that what is counted is the server's.
type generator struct {
	link  wire.Link
	clock *clock
	ready chan int // requests that may be made
	done  chan struct{}
	left  int // requests still to be made
	next  int
	sent  int                      // replies
	mem   map[*link.Batch][][]byte // the packets of each batch; several are on their way at once
	base  []byte
	over  chan struct{}
	total int

	fresh     bool // new clients come, in place of renewals
	ask, take []byte
	offers    chan offered // to be taken
}

// offered is an OFFER that came back.
type offered struct {
	client int
	addr   dhcp4.Addr
}

func newGenerator(c *clock) *generator {
	g := &generator{clock: c, ready: make(chan int, 4096), done: make(chan struct{}), over: make(chan struct{}, 1)}
	g.link = wire.Link{ID: 1, Name: "eth0", MAC: wire.MAC{2, 0, 0, 0, 0, 1}, MTU: 1500,
		Addrs: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("198.18.0.1"), Bits: 16}}}
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, CIAddr: benchFirst}
	g.base, _ = dhcp4.AppendMessage(nil, &h, []dhcp4.Option{
		{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(dhcp4.Request)}},
		{Code: dhcp4.OptDHCPParameterRequestList, Data: []byte{1, 3, 6, 15, 51, 58, 59}},
		{Code: dhcp4.OptHostName, Data: []byte("client-of-a-benchmark")}}, nil, 576)
	h.CIAddr = 0
	g.ask, _ = dhcp4.AppendMessage(nil, &h, []dhcp4.Option{
		{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(dhcp4.Discover)}},
		{Code: dhcp4.OptHostName, Data: []byte("client-of-a-benchmark")}}, nil, 576)
	g.take, _ = dhcp4.AppendMessage(nil, &h, []dhcp4.Option{
		{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(dhcp4.Request)}},
		{Code: dhcp4.OptDHCPServerIdentifier, Data: g.link.Addrs[0].Addr.Append(nil)},
		{Code: dhcp4.OptDHCPRequestedAddress, Data: []byte{0, 0, 0, 0}},
		{Code: dhcp4.OptHostName, Data: []byte("client-of-a-benchmark")}}, nil, 576)
	g.offers = make(chan offered, 4096)
	g.mem = map[*link.Batch][][]byte{}
	return g
}

func (g *generator) Watch(ctx context.Context, _ []string, changed func([]wire.Link, []link.Missing)) error {
	changed([]wire.Link{g.link}, nil)
	<-ctx.Done()
	return nil
}

func (g *generator) Open(wire.Link) (link.Port, error) { return g, nil }

func (g *generator) Receive(b *link.Batch) error {
	b.Reset()
	var n int
	select {
	case n = <-g.ready:
	case <-g.done:
		return net.ErrClosed
	}
	for n < link.BatchSize {
		select {
		case more := <-g.ready:
			n += more
			continue
		default:
		}
		break
	}
	if n > link.BatchSize {
		g.ready <- n - link.BatchSize
		n = link.BatchSize
	}
	mem := g.mem[b]
	if mem == nil {
		for range link.BatchSize {
			mem = append(mem, make([]byte, 0, 576))
		}
		g.mem[b] = mem
	}
	for _, m := range mem[:n] {
		if g.fresh {
			g.newcomer(m, b)
		} else {
			g.packet(append(m, g.base...), b)
		}
	}
	return nil
}

// newcomer makes m the REQUEST that takes an offer, or the next client's DISCOVER.
func (g *generator) newcomer(m []byte, b *link.Batch) {
	const offRequested = 240 + 3 + 6 + 2
	var c int
	select {
	case o := <-g.offers:
		c = o.client
		m = append(m, g.take...)
		binary.BigEndian.PutUint32(m[offRequested:], uint32(o.addr))
	default:
		c = g.next + 1<<20
		g.next++
		m = append(m, g.ask...)
	}
	binary.BigEndian.PutUint32(m[4:], uint32(c))
	copy(m[28:], benchHW(c))
	b.Packets = append(b.Packets, wire.Packet{Link: 1, Data: m, SrcMAC: wire.MAC(benchHW(c)), DstMAC: wire.BroadcastMAC,
		Dst: dhcp4.Broadcast, SrcPort: 68})
}

// packet makes m the next client's renewal.
func (g *generator) packet(m []byte, b *link.Batch) {
	c := g.next % benchClients
	if g.next++; c == benchClients-1 {
		g.clock.advance(20 * time.Second) // the next round is not of copies
	}
	a := benchFirst + dhcp4.Addr(c)
	binary.BigEndian.PutUint32(m[4:], uint32(g.next))
	binary.BigEndian.PutUint32(m[12:], uint32(a))
	copy(m[28:], benchHW(c))
	b.Packets = append(b.Packets, wire.Packet{Link: 1, Data: m, SrcMAC: wire.MAC(benchHW(c)), DstMAC: g.link.MAC,
		Src: a, Dst: g.link.Addrs[0].Addr, SrcPort: 68})
}

func benchHW(c int) []byte {
	return []byte{6, 0, 0, byte(c >> 16), byte(c >> 8), byte(c)}
}

func (g *generator) Send(out []wire.Send) (int, error) {
	over := len(out)
	for i := range out {
		if m := out[i].Data; dhcp4.MessageType(m[242]) == dhcp4.Offer {
			over--
			g.offers <- offered{int(m[31])<<16 | int(m[32])<<8 | int(m[33]), dhcp4.AddrFromBytes(m[16:])}
		}
	}
	if n := len(out) - over; n > 0 {
		g.ready <- n
	}
	g.sent += over
	if n := min(over, g.left); n > 0 {
		g.left -= n
		g.ready <- n
	}
	if over > 0 && g.sent == g.total {
		g.over <- struct{}{}
	}
	return 0, nil
}

func (g *generator) SendARP([]wire.ARP) error { return nil }

func (g *generator) SendEcho([]wire.Echo) (int, error) { return 0, nil }

func (g *generator) Close() error { close(g.done); return nil }

// run lets n requests be acknowledged, with the given number outstanding.
func (g *generator) run(n, outstanding int) {
	outstanding = min(n, outstanding)
	g.sent, g.total, g.left = 0, n, n-outstanding
	g.ready <- outstanding
	<-g.over
}

// bound fills a store with the generator's clients.
func bound(t testing.TB, st store.Store, now lease.Instant) {
	cs := make([]lease.Change, 0, 1000)
	res := make([]store.Result, 1000)
	for c := range benchClients {
		w := now.W / lease.Second
		b := lease.Binding{Addr: benchFirst + dhcp4.Addr(c), State: lease.Bound, HType: 1, HW: benchHW(c), Lifetime: 600, Grace: 10,
			Start: w, Renewed: w, Until: w + 600, Boot: lease.BootID{1}, Rev: uint64(c + 1)}
		b.End, b.Free = lease.Deadlines(now.M, 600, 10)
		cs = append(cs, lease.Change{After: b})
		if len(cs) == cap(cs) {
			if err := st.Commit(t.Context(), lease.Mark{W: now.W, M: now.M, Boot: b.Boot}, cs, res); err != nil {
				t.Fatal(err)
			}
			cs = cs[:0]
		}
	}
}

// startGenerator starts a server over st whose only client is a generator.
func startGenerator(t testing.TB, st store.Store) *generator {
	w := prepare(t)
	bound(t, st, w.clock.Now())
	w.clock.advance(20 * time.Second)
	g := newGenerator(w.clock)
	w.start(st, func(c *engine.Config) { c.Net, c.Policy = g, mustPolicy(t, benchConfig) })
	return g
}

// BenchmarkRenewal is one durable renewal through receiver, loop, committer and
// back, at several numbers of outstanding requests.
func BenchmarkRenewal(b *testing.B) {
	for _, kind := range []string{"pebble", "memory"} {
		for _, outstanding := range []int{1, 16, 64, 256} {
			b.Run(fmt.Sprintf("%s/%d", kind, outstanding), func(b *testing.B) {
				var st store.Store = memory.New()
				if kind == "pebble" {
					var err error
					if st, err = pebble.Open(b.TempDir()+"/db", pebble.Options{}); err != nil {
						b.Fatal(err)
					}
				}
				g := startGenerator(b, st)
				g.run(5000, outstanding)
				b.ReportAllocs()
				b.ResetTimer()
				g.run(b.N, outstanding)
			})
		}
	}
}
