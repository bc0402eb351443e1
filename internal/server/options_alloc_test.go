//go:build !race

package server_test

import (
	"testing"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// TestOptionsAllocateNothing holds P12 for a reply with all that options can do: classes, a
// reservation, templates, what is sent always, and the client's name.
func TestOptionsAllocateNothing(t *testing.T) {
	cfg, problems := config.Parse("f", []byte(`
interfaces: [eth0]
conflict-check: off
options: {domain-name: example.net, time-servers: 192.0.2.1}
option-data: [{name: default-ip-ttl, data: 64, always-send: true}]
client-classes:
  - {name: a, test: 'option["vendor-class-identifier"].startsWith("a")', options: {root-path: '/srv/${hw-address}/${hostname}', boot-file-name: 'b-${address}'}}
  - {name: b, test: 'option["vendor-class-identifier"] == "x"', options: {log-servers: 192.0.2.1}}
subnets:
  - subnet: 198.18.0.0/24
    pools: [198.18.0.100-198.18.0.200]
    options: {routers: 198.18.0.1, host-name: 'h-${address}', classless-static-route: default via 198.18.0.1}
    reservations: [{hw-address: "02:00:5e:10:00:05", ip-address: 198.18.0.60, options: {ntp-servers: 192.0.2.1}}]
`))
	if cfg == nil {
		t.Fatal(problems)
	}
	now := lease.Instant{M: 1e15, W: 1_790_000_000e9}
	c := server.New(secret, lease.BootID{1})
	var e server.Effects
	c.SetPolicy(now, cfg.Policy(), &e)
	c.SetLinks(now, []wire.Link{benchLink}, &e)
	mac := wire.MAC{2, 0, 0x5e, 0x10, 0, 5}
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6}
	copy(h.CHAddr[:], mac[:])
	packet := func(params ...byte) wire.Packet {
		opts := []dhcp4.Option{
			{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(dhcp4.Discover)}},
			{Code: dhcp4.OptVendorClassIdentifier, Data: []byte("abc")},
			{Code: dhcp4.OptHostName, Data: []byte("laptop")},
			{Code: dhcp4.OptFQDN, Data: []byte{5, 0, 0, 6, 'l', 'a', 'p', 't', 'o', 'p'}},
		}
		if params != nil {
			opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPParameterRequestList, Data: params})
		}
		data, _ := dhcp4.AppendMessage(nil, &h, opts, nil, 1472)
		return wire.Packet{Link: 1, Data: data, SrcMAC: mac, DstMAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, SrcPort: 68}
	}
	some, all := packet(1, 3, 121, 33, 6, 12, 15, 17, 42, 4, 7, 66, 67), packet()
	one := func() {
		for range 8 {
			c.Handle(now, &some, &e)
			c.Handle(now, &all, &e)
			now.M += 1000
		}
		e.Reset()
	}
	c.Handle(now, &some, &e)
	var v dhcp4.View
	if len(e.Replies) != 1 || v.Parse(e.Replies[0].Data) != nil {
		t.Fatalf("%+v", e.Replies)
	}
	for _, code := range []dhcp4.Code{1, 121, 12, 15, 17, 42, 4, 67, 23, 81} {
		if !v.Has(code) {
			t.Errorf("the reply has no option %d", code)
		}
	}
	one()
	one()
	if n := testing.AllocsPerRun(50, one); n != 0 {
		t.Errorf("%v allocations for 16 offers, want none", n)
	}
}
