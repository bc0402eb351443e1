package server_test

import (
	"testing"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// campusClients is how many clients renew in turn.
const campusClients = 50_000

// campusPolicy is 10,000 subnets of 8 addresses with 10 reservations each, half of them with
// an address, or one subnet
// without any. The renewals of BenchmarkCampus fit both.
func campusPolicy(b *testing.B, many, reserved bool) *policy.Policy {
	spec := policy.Spec{Settings: policy.Defaults(), Lifetimes: policy.Lifetimes{Valid: 3600}}
	spec.ConflictCheck = false
	first := dhcp4.MustParseAddr("198.18.0.0")
	options := policy.NewOptionSet(
		dhcp4.Option{Code: dhcp4.OptRouters, Data: dhcp4.MustParseAddr("198.51.100.1").Append(nil)},
		dhcp4.Option{Code: dhcp4.OptDomainNameServers, Data: dhcp4.MustParseAddr("198.51.100.2").Append(nil)},
		dhcp4.Option{Code: dhcp4.OptDomainName, Data: []byte("example.net")})
	one := []policy.SubnetSpec{{Prefix: dhcp4.Prefix{Addr: first, Bits: 15}, Options: options,
		Pools: []policy.PoolSpec{{Range: dhcp4.Range{First: first + 2, Last: first + 1<<17 - 2}}}}}
	for i := range 10_000 {
		at := first + dhcp4.Addr(i*8)
		ss := &one[0]
		if many {
			ss = &policy.SubnetSpec{Prefix: dhcp4.Prefix{Addr: at, Bits: 29}, Options: options,
				Pools: []policy.PoolSpec{{Range: dhcp4.Range{First: at + 1, Last: at + 6}}}}
		}
		if many || reserved {
			for r := range 10 {
				res := policy.Reservation{Hostname: "host", Keys: []policy.Key{{Kind: policy.KeyHWAddress, HType: 1, Value: benchHW(1<<24 + i*10 + r)}}}
				if r < 5 {
					res.Addr, res.Keys[0].Value = at+2+dhcp4.Addr(r), benchHW(i*5+r)
				}
				ss.Reservations = append(ss.Reservations, res)
			}
		}
		if many {
			spec.Networks = append(spec.Networks, policy.NetworkSpec{Subnets: []policy.SubnetSpec{*ss}})
		}
	}
	if !many {
		spec.Networks = []policy.NetworkSpec{{Subnets: one}}
	}
	p, err := policy.Build(spec)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// BenchmarkCampus is a renewal by one of 50,000 clients: in one subnet without and with
// 100,000 reservations, and in 10,000 subnets with them.
func BenchmarkCampus(b *testing.B) {
	for _, v := range []struct {
		name           string
		many, reserved bool
	}{{"one-subnet", false, false}, {"one-subnet-reserved", false, true}, {"10000-subnets", true, true}} {
		b.Run(v.name, func(b *testing.B) {
			c := server.New(secret, lease.BootID{1})
			now := lease.Instant{M: 1e15, W: 1_790_000_000e9}
			first := dhcp4.MustParseAddr("198.18.0.0")
			packets := make([]wire.Packet, campusClients)
			for i := range packets {
				a := first + dhcp4.Addr(i/5*8+2+i%5)
				c.Restore(&lease.Binding{Addr: a, State: lease.Bound, HType: 1, HW: benchHW(i), ClientID: append([]byte{1}, benchHW(i)...), GIAddr: first + 1,
					Lifetime: 3600, Grace: 67, Start: 1, Boot: lease.BootID{1}, End: now.M + 1800e9, Free: now.M + 1867e9, Rev: uint64(i + 1)})
				packets[i] = renewal(i, uint32(i))
				dhcp4Set(packets[i].Data, a)
				packets[i].Src = a
			}
			var e server.Effects
			c.SetPolicy(now, campusPolicy(b, v.many, v.reserved), &e)
			c.SetLinks(now, []wire.Link{benchLink}, &e)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				e.Reset()
				now.M += 1e6
				c.Handle(now, &packets[i*7919%campusClients], &e)
				if len(e.Replies) != 1 || e.Replies[0].Type != dhcp4.Ack {
					b.Fatalf("packet %d: %+v", i, e)
				}
				c.Durable(e.Changes[0].After.Rev)
			}
		})
	}
}

// dhcp4Set puts ciaddr into a message.
func dhcp4Set(msg []byte, ciaddr dhcp4.Addr) { copy(msg[12:16], ciaddr.Append(nil)) }
