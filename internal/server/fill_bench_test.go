package server_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// fillSteps are the shares of a /16 that are taken, at random, before new clients come.
var fillSteps = []float64{0, 50, 90, 99, 99.9}

const fillSize = 254 * 256

var fillFirst = dhcp4.MustParseAddr("198.18.1.0")

// filledPool is a server with one pool of which a share is taken, and new clients.
type filledPool struct {
	core  *server.Core
	now   lease.Instant
	e     server.Effects
	ask   wire.Packet // DISCOVER
	take  wire.Packet // REQUEST, for the offer of our server
	known wire.Packet // DISCOVER of a client that has a lease
	next  uint32      // number of the next client

	offers, bindings time.Duration
	offered, bound   int
}

func newFilledPool(b *testing.B, percent float64) *filledPool {
	spec := policy.Spec{Settings: policy.Defaults(), Lifetimes: policy.Lifetimes{Valid: 3600}}
	spec.ConflictCheck = false // its ready list hides what the search costs
	spec.Networks = []policy.NetworkSpec{{Subnets: []policy.SubnetSpec{{
		Prefix: dhcp4.Prefix{Addr: dhcp4.MustParseAddr("198.18.0.0"), Bits: 16},
		Pools:  []policy.PoolSpec{{Range: dhcp4.Range{First: fillFirst, Last: fillFirst + fillSize - 1}}},
	}}}}
	p, err := policy.Build(spec)
	if err != nil {
		b.Fatal(err)
	}
	f := &filledPool{core: server.New(secret, lease.BootID{1}), now: lease.Instant{M: 1e15, W: 1_790_000_000e9}, next: 1 << 20}
	taken := int(percent / 100 * fillSize)
	for i, at := range rand.New(rand.NewPCG(1, 2)).Perm(fillSize) {
		a := fillFirst + dhcp4.Addr(at)
		if i >= taken {
			a += 1 << 20 // of a network that is not configured: it only makes the table as large
		}
		f.core.Restore(&lease.Binding{Addr: a, State: lease.Bound, HType: 1, HW: benchHW(i),
			Lifetime: 36000, Grace: 67, Start: 1, Boot: lease.BootID{1}, End: f.now.M + 36000e9, Free: f.now.M + 36067e9, Rev: uint64(i + 1)})
	}
	f.core.SetPolicy(f.now, p, &f.e)
	f.core.SetLinks(f.now, []wire.Link{benchLink}, &f.e)
	f.ask, f.take, f.known = discover(0), selecting(), discover(0)
	f.core.Handle(f.now, &f.known, &f.e) // the first look-up builds the indexes
	f.e.Reset()
	return f
}

// selecting is the REQUEST of a client that takes an offer; client and address are filled in.
func selecting() wire.Packet {
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6}
	copy(h.CHAddr[:], benchHW(0))
	data, _ := dhcp4.AppendMessage(nil, &h, []dhcp4.Option{
		{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(dhcp4.Request)}},
		{Code: dhcp4.OptDHCPServerIdentifier, Data: benchLink.Addrs[0].Addr.Append(nil)},
		{Code: dhcp4.OptDHCPRequestedAddress, Data: []byte{0, 0, 0, 0}},
		{Code: dhcp4.OptDHCPParameterRequestList, Data: []byte{1, 3, 6, 15, 51, 58, 59}},
	}, nil, 1472)
	return wire.Packet{Link: 1, Data: data, SrcMAC: wire.MAC(benchHW(0)), DstMAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, SrcPort: 68}
}

// round lets 32 new clients ask, which is half of what is free in the fullest pool, then
// take what they were offered, and makes the pool what it was.
func (f *filledPool) round(b *testing.B) {
	const clients = 32
	const offRequested = 240 + 3 + 6 + 2
	first, refused := f.next, 0
	begun := time.Now()
	for i := range uint32(clients) {
		binary.BigEndian.PutUint32(f.ask.Data[4:], first+i)
		binary.BigEndian.PutUint32(f.ask.Data[30:], first+i)
		f.core.Handle(f.now, &f.ask, &f.e)
	}
	f.offers += time.Since(begun)
	if len(f.e.Replies) != clients {
		b.Fatalf("%d of %d DISCOVERs got an OFFER", len(f.e.Replies), clients)
	}
	begun = time.Now()
	for i := range uint32(clients) {
		binary.BigEndian.PutUint32(f.take.Data[4:], first+i)
		binary.BigEndian.PutUint32(f.take.Data[30:], first+i)
		copy(f.take.Data[offRequested:], f.e.Replies[i].Data[16:20])
		f.core.Handle(f.now, &f.take, &f.e)
	}
	f.bindings += time.Since(begun)
	for _, r := range f.e.Replies[clients:] {
		if r.Type != dhcp4.Ack {
			refused++
		}
	}
	if n := len(f.e.Changes); n != clients || refused > 0 {
		b.Fatalf("%d changes, %d refusals for %d REQUESTs: %v", n, refused, clients, f.core.Counters().Dropped)
	}
	f.core.Rollback(f.now, f.e.Changes)
	f.e.Reset()
	f.now.M += 1e6
	f.next += clients
	f.offered, f.bound = f.offered+clients, f.bound+clients
}

// BenchmarkNewClients is a new client's DISCOVER and REQUEST in a /16 that is taken to a
// share, at random. The table holds 65,024 records in each case, so that what differs is the
// pool. The shares are measured in turn, so that what else runs on the machine slows all
// of them: read the ratios of the rates to that of the empty pool (P8: at least 0.95).
func BenchmarkNewClients(b *testing.B) {
	pools := make([]*filledPool, len(fillSteps))
	for i, percent := range fillSteps {
		pools[i] = newFilledPool(b, percent)
	}
	for b.Loop() {
		for _, f := range pools {
			f.round(b)
		}
	}
	b.ReportMetric(0, "ns/op")
	per := func(d time.Duration, n int) float64 { return float64(d.Nanoseconds()) / float64(n) }
	empty := pools[0]
	for i, f := range pools {
		offer, both := per(f.offers, f.offered), per(f.offers+f.bindings, f.bound)
		b.ReportMetric(both, fmt.Sprintf("ns/binding-%g%%", fillSteps[i]))
		if i > 0 {
			b.ReportMetric(per(empty.offers, empty.offered)/offer, fmt.Sprintf("offer-rate-ratio-%g%%", fillSteps[i]))
			b.ReportMetric(per(empty.offers+empty.bindings, empty.bound)/both, fmt.Sprintf("binding-rate-ratio-%g%%", fillSteps[i]))
		}
	}
}
