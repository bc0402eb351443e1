package server_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// benchPolicy is one /8 whose pool has room for everybody.
func benchPolicy(b testing.TB, check bool) *policy.Policy {
	spec := policy.Spec{Settings: policy.Defaults(), Lifetimes: policy.Lifetimes{Valid: 3600}}
	spec.ConflictCheck = check
	first := dhcp4.MustParseAddr("198.18.0.0")
	prefix := dhcp4.Prefix{Addr: first, Bits: 15}
	spec.Networks = []policy.NetworkSpec{{Subnets: []policy.SubnetSpec{{
		Prefix: prefix,
		Pools:  []policy.PoolSpec{{Range: dhcp4.Range{First: first + 1024, Last: prefix.Range().Last - 1}}},
		Options: policy.NewOptionSet(
			dhcp4.Option{Code: dhcp4.OptRouters, Data: (first + 1).Append(nil)},
			dhcp4.Option{Code: dhcp4.OptDomainNameServers, Data: (first + 2).Append(nil)},
			dhcp4.Option{Code: dhcp4.OptDomainName, Data: []byte("example.net")}),
	}}}}
	p, err := policy.Build(spec)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

var benchLink = wire.Link{ID: 1, Name: "eth0", MAC: wire.MAC{2, 0, 0, 0, 0xff, 1}, MTU: 1500,
	Addrs: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("198.18.0.1"), Bits: 15}}}

func benchCore(b testing.TB, records int) (*server.Core, *lease.Instant) {
	c := server.New(secret, lease.BootID{1})
	now := &lease.Instant{M: 1e15, W: 1_790_000_000e9}
	first := dhcp4.MustParseAddr("198.18.4.0")
	for i := range records {
		// Beyond the subnet the records are of networks that are not configured: they
		// fill the table all the same.
		r := lease.Binding{Addr: first + dhcp4.Addr(i), State: lease.Bound, HType: 1, HW: benchHW(i), ClientID: append([]byte{1}, benchHW(i)...),
			Lifetime: 3600, Grace: 67, Start: 1, Boot: lease.BootID{1}, End: now.M + 1800e9, Free: now.M + 1867e9, Rev: uint64(i + 1)}
		c.Restore(&r)
	}
	var e server.Effects
	c.SetPolicy(*now, benchPolicy(b, false), &e)
	c.SetLinks(*now, []wire.Link{benchLink}, &e)
	return c, now
}

func benchHW(i int) []byte {
	return binary.BigEndian.AppendUint32([]byte{2, 0x5e}, uint32(i))
}

// renewal is a unicast REQUEST of client i for its address.
func renewal(i int, xid uint32) wire.Packet {
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: xid, CIAddr: dhcp4.MustParseAddr("198.18.4.0") + dhcp4.Addr(i)}
	copy(h.CHAddr[:], benchHW(i))
	data, _ := dhcp4.AppendMessage(nil, &h, []dhcp4.Option{
		{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(dhcp4.Request)}},
		{Code: dhcp4.OptDHCPClientIdentifier, Data: append([]byte{1}, benchHW(i)...)},
		{Code: dhcp4.OptDHCPParameterRequestList, Data: []byte{1, 3, 6, 15, 51, 58, 59}},
	}, nil, 1472)
	return wire.Packet{Link: 1, Data: data, SrcMAC: wire.MAC(benchHW(i)), DstMAC: benchLink.MAC,
		Src: h.CIAddr, Dst: benchLink.Addrs[0].Addr, SrcPort: 68}
}

// discover is a broadcast DISCOVER of client i.
func discover(i int) wire.Packet {
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: uint32(i)}
	copy(h.CHAddr[:], benchHW(i))
	data, _ := dhcp4.AppendMessage(nil, &h, []dhcp4.Option{
		{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(dhcp4.Discover)}},
		{Code: dhcp4.OptDHCPParameterRequestList, Data: []byte{1, 3, 6, 15, 51, 58, 59}},
	}, nil, 1472)
	return wire.Packet{Link: 1, Data: data, SrcMAC: wire.MAC(benchHW(i)), DstMAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, SrcPort: 68}
}

// BenchmarkRenewal is Handle of a durable renewal with so many records (P16: at
// most 1 µs and no allocation).
func BenchmarkRenewal(b *testing.B) {
	for _, records := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(records), func(b *testing.B) {
			c, now := benchCore(b, records)
			var e server.Effects
			const clients = 1000
			var packets [clients]wire.Packet
			stride := min(records, 129_000) / clients
			for i := range packets {
				packets[i] = renewal(i*stride, 1)
			}
			c.Handle(*now, &packets[0], &e) // the first look-up builds the indexes
			e.Reset()
			*c.Counters() = server.Counters{}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				p := &packets[i%clients]
				binary.BigEndian.PutUint32(p.Data[4:], uint32(i+2)) // a new transaction, so that it is written
				c.Handle(*now, p, &e)
				now.M += 1000
				if len(e.Replies) >= 64 {
					c.Durable(e.Changes[len(e.Changes)-1].After.Rev)
					e.Reset()
				}
			}
			b.StopTimer()
			if n := c.Counters().Sent[dhcp4.Ack]; n != uint64(b.N) {
				b.Fatalf("%d of %d renewals were acknowledged", n, b.N)
			}
		})
	}
}

// BenchmarkOffer is Handle of a DISCOVER of an unknown client.
func BenchmarkOffer(b *testing.B) {
	c, now := benchCore(b, 0)
	var e server.Effects
	var packets [1000]wire.Packet
	for i := range packets {
		packets[i] = discover(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		p := &packets[i%1000]
		binary.BigEndian.PutUint32(p.Data[30:], uint32(i)) // another client
		c.Handle(*now, p, &e)
		now.M += 1000
		if len(e.Replies) >= 64 {
			e.Reset()
		}
	}
	if n := c.Counters().Sent[dhcp4.Offer]; n != uint64(b.N) {
		b.Fatalf("%d of %d DISCOVERs got an OFFER: %v", n, b.N, c.Counters().Dropped)
	}
}
