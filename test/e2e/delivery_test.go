package e2e

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/wire"
)

const deliveryConfig = `
interfaces: [eth0]
valid-lifetime: 1h
conflict-check: off
nak-delivery: %s
subnets:
  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.149]}
  - {subnet: 198.18.1.0/24, pools: [198.18.1.100-198.18.1.149]}
`

// Addresses of the delivery tests.
var (
	relayAddr  = dhcp4.MustParseAddr("198.18.1.254")
	noPool     = dhcp4.MustParseAddr("198.18.0.250") // in the subnet, in no pool
	elsewhere  = dhcp4.MustParseAddr("198.18.7.7")   // in no subnet
	farNoPool  = dhcp4.MustParseAddr("198.18.1.250")
	farOther   = dhcp4.MustParseAddr("198.18.1.251")
	ownAddress = wire.MAC{} // stands for the client's own hardware address in a row
)

// delivery is one message and how the server's answer must leave. Type 0 stands for silence.
type delivery struct {
	name  string
	msg   Msg
	from  *Station
	typ   dhcp4.MessageType
	mac   wire.MAC
	ip    dhcp4.Addr
	port  uint16
	flags uint16
}

// deliveryStage is a server on a LAN with test clients, and a router to a far
// network, which is also a relay agent.
type deliveryStage struct {
	t              *testing.T
	rec            *netlab.Capture
	srv            *server
	near, far      *Station
	relay          *Station // on the router's LAN interface
	serverMAC      wire.MAC
	routerMAC      wire.MAC // on the LAN
	routerFarMAC   wire.MAC
	router, farEnd *netlab.Host
	sent           int
	rows           []delivery
}

func newDeliveryStage(t *testing.T, config string) *deliveryStage {
	t.Helper()
	l := newLab(t)
	lan, farLAN := try(l.Switch("lan"))(t), try(l.Switch("far"))(t)
	sh, ch := try(l.Host("server"))(t), try(l.Host("clients"))(t)
	d := &deliveryStage{t: t, router: try(l.Host("router"))(t), farEnd: try(l.Host("far-clients"))(t)}
	check(t, lan.Join(sh, "eth0", "198.18.0.1/24"))
	check(t, lan.Join(ch, "eth0"))
	check(t, lan.Join(d.router, "eth0", "198.18.0.254/24"))
	check(t, farLAN.Join(d.router, "eth1", relayAddr.String()+"/24"))
	check(t, farLAN.Join(d.farEnd, "eth0", farNoPool.String()+"/24"))
	check(t, d.router.Forward())
	check(t, sh.AddRoute("198.18.1.0/24", "198.18.0.254"))
	// What is sent to the relay agent's port must not be answered by ICMP.
	check(t, d.router.Do(func() error {
		c, err := net.ListenPacket("udp4", "198.18.1.254:67")
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return err
	}))
	d.rec = record(t, lan)
	d.srv = serve(t, sh, config)
	d.near, d.far = try(NewStation(ch, "eth0"))(t), try(NewStation(d.farEnd, "eth0"))(t)
	d.relay = try(NewStation(d.router, "eth0"))(t)
	t.Cleanup(func() { _ = errors.Join(d.near.Close(), d.far.Close(), d.relay.Close()) })
	d.serverMAC, d.routerMAC, d.routerFarMAC = sh.MAC("eth0"), d.router.MAC("eth0"), d.router.MAC("eth1")
	return d
}

// send sends the row's message and waits for the answer or, where silence is
// expected, for long enough. Each row's transaction id is its own.
func (d *deliveryStage) send(row delivery) *netlab.Frame {
	d.t.Helper()
	d.sent++
	row.msg.XID = 0x0e2e0000 | uint32(d.sent)
	if row.mac == ownAddress {
		copy(row.mac[:], row.msg.CHAddr[:])
	}
	if row.port == 0 {
		row.port = dhcp4.ClientPort
	}
	d.rows = append(d.rows, row)
	wait := 2 * time.Second
	if row.typ == 0 {
		wait = 300 * time.Millisecond
	}
	f, err := row.from.Exchange(row.msg, wait)
	if err != nil && !errors.Is(err, ErrSilence) {
		d.t.Fatal(err)
	}
	return f
}

// verify writes what was recorded to a pcap file, reads it again and compares every
// row with the frames the server sent.
func (d *deliveryStage) verify() {
	d.t.Helper()
	check(d.t, d.rec.Stop())
	file := filepath.Join(d.t.TempDir(), "delivery.pcap")
	check(d.t, d.rec.WritePcap(file))
	frames := try(netlab.ReadPcap(file))(d.t)
	replies := map[uint32]netlab.Frame{}
	for _, f := range frames {
		if v, ok := f.View(); ok && v.Op() == 2 && f.SrcMAC == d.serverMAC {
			replies[v.XID()] = f
		}
		if f.ARP != nil && f.ARP.Op == 1 && f.SrcMAC == d.serverMAC && f.ARP.TargetIP != dhcp4.MustParseAddr("198.18.0.254") {
			d.t.Errorf("the server asked by ARP for %s", f.ARP.TargetIP)
		}
	}
	for _, r := range d.rows {
		f, answered := replies[r.msg.XID]
		switch v, _ := f.View(); {
		case r.typ == 0 && answered:
			d.t.Errorf("%s: want no answer, got %s", r.name, &f)
		case r.typ == 0:
		case !answered:
			d.t.Errorf("%s: no answer", r.name)
		case f.Type() != r.typ || f.DstMAC != r.mac || f.Dst != r.ip || f.DstPort != r.port || v.Flags() != r.flags:
			d.t.Errorf("%s: got  %s\nwant type %d to %x, %s:%d, flags %04x", r.name, &f, r.typ, r.mac, r.ip, r.port, r.flags)
		}
	}
}

// with returns m with the flags.
func (m Msg) with(flags uint16) Msg { m.Flags = flags; return m }

const bcast = dhcp4.FlagBroadcast

// OFFER and ACK leave as RFC 2131 4.1 says: by broadcast if the client's bit asks
// for it and it has no address, else to the hardware address and the given address.
func TestOfferAndAckDelivery(t *testing.T) {
	d := newDeliveryStage(t, fmt.Sprintf(deliveryConfig, "auto"))
	for i, flags := range []uint16{0, bcast} {
		mac, word := TestMAC(1+i), map[uint16]string{0: " (bit clear)", bcast: " (bit set)"}[flags]
		offer := d.send(delivery{name: "OFFER" + word, msg: Discover(mac, 0).with(flags), from: d.near, typ: dhcp4.Offer, flags: flags, ip: dhcp4.Broadcast, mac: wire.BroadcastMAC})
		if offer == nil {
			t.Fatal("no OFFER")
		}
		v, _ := offer.View()
		addr := v.YIAddr()
		dest := delivery{flags: flags, from: d.near, typ: dhcp4.Ack, ip: dhcp4.Broadcast, mac: wire.BroadcastMAC}
		if flags == 0 {
			dest.ip, dest.mac = addr, mac
			d.rows[len(d.rows)-1].ip, d.rows[len(d.rows)-1].mac = addr, mac
		}
		dest.name, dest.msg = "ACK in SELECTING"+word, Select(mac, 0, addr, serverAddr).with(flags)
		d.send(dest)
		dest.name, dest.msg = "ACK in INIT-REBOOT"+word, Reboot(mac, 0, addr).with(flags)
		d.send(dest)
		dest.ip, dest.mac = addr, mac // ciaddr is set: the bit does not matter
		dest.name, dest.msg = "ACK in RENEWING"+word, Renew(mac, 0, addr, serverAddr, d.serverMAC).with(flags)
		d.send(dest)
		dest.name, dest.msg = "ACK in REBINDING"+word, Rebind(mac, 0, addr).with(flags)
		d.send(dest)
	}
	d.relayed()
	d.odd(dhcp4.Offer, func(m Msg) Msg { m.Type = dhcp4.Discover; return m })
	d.verify()
}

// toRelay makes m a message that the router forwards as a relay agent.
func (d *deliveryStage) toRelay(m Msg) Msg {
	m.GIAddr, m.Src, m.Dst = relayAddr, dhcp4.MustParseAddr("198.18.0.254"), serverAddr
	m.SrcMAC, m.DstMAC, m.SrcPort = d.routerMAC, d.serverMAC, dhcp4.ServerPort
	return m
}

// throughRouter makes m come from the far network, routed, with an IP source.
func (d *deliveryStage) throughRouter(m Msg, src dhcp4.Addr) Msg {
	m.Src, m.DstMAC, m.Dst = src, d.routerFarMAC, serverAddr
	return m
}

// relayed: the answers go to the relay agent's address and port; a lease got
// there is then renewed by unicast through the router.
func (d *deliveryStage) relayed() {
	mac := TestMAC(10)
	row := delivery{from: d.relay, typ: dhcp4.Offer, mac: d.routerMAC, ip: relayAddr, port: dhcp4.ServerPort}
	row.name, row.msg = "OFFER to a relay agent", d.toRelay(Discover(mac, 0))
	offer := d.send(row)
	if offer == nil {
		d.t.Fatal("no OFFER to the relay agent")
	}
	v, _ := offer.View()
	addr := v.YIAddr()
	row.name, row.msg, row.typ = "ACK to a relay agent", d.toRelay(Select(mac, 0, addr, serverAddr)), dhcp4.Ack
	d.send(row)
	check(d.t, d.farEnd.AddAddr("eth0", addr.String()+"/24")) // its ARP must be answered now
	d.send(delivery{name: "ACK through a router", from: d.far, typ: dhcp4.Ack, mac: d.routerMAC, ip: addr,
		msg: d.throughRouter(Renew(mac, 0, addr, serverAddr, d.serverMAC), addr)})
}

// odd: hardware that is not Ethernet is answered by broadcast; a hardware address
// that no client can have is not answered.
func (d *deliveryStage) odd(typ dhcp4.MessageType, form func(Msg) Msg) {
	arcnet := form(Reboot(TestMAC(20), 0, elsewhere))
	arcnet.HType, arcnet.HLen, arcnet.CHAddr = 7, 1, [16]byte{0x42}
	f := d.send(delivery{name: "not Ethernet", msg: arcnet, from: d.near, typ: typ, mac: wire.BroadcastMAC, ip: dhcp4.Broadcast})
	if f != nil && typ == dhcp4.Offer { // the address is the offered one, as 4.1 wants it
		v, _ := f.View()
		d.rows[len(d.rows)-1].ip = v.YIAddr()
	}
	multicast := form(Reboot(TestMAC(21), 0, elsewhere))
	multicast.CHAddr[0] |= 1
	d.send(delivery{name: "chaddr is a multicast address", msg: multicast, from: d.near})
	own := form(Reboot(TestMAC(22), 0, elsewhere))
	copy(own.CHAddr[:], d.serverMAC[:])
	d.send(delivery{name: "chaddr is the server's own", msg: own, from: d.near})
}

// The four cases of a NAK's way (docs/rules.md, How a NAK travels).
func TestNakDelivery(t *testing.T) {
	d := newDeliveryStage(t, fmt.Sprintf(deliveryConfig, "auto"))
	n := 30
	mac := func() wire.MAC { n++; return TestMAC(n) }
	renewing := func() Msg { return Renew(mac(), 0, noPool, serverAddr, d.serverMAC) }

	// 1: to the relay agent, and the broadcast bit is set for it to see.
	d.send(delivery{name: "1 relayed", msg: d.toRelay(Reboot(mac(), 0, noPool)), from: d.relay, typ: dhcp4.Nak,
		mac: d.routerMAC, ip: relayAddr, port: dhcp4.ServerPort, flags: bcast})

	// 2: on the link.
	near := delivery{from: d.near, typ: dhcp4.Nak, ip: dhcp4.Broadcast}
	far := func(name string, m Msg, flags uint16, mac wire.MAC, ip dhcp4.Addr) {
		near.name, near.msg, near.flags, near.mac, near.ip = name, m.with(flags), flags, mac, ip
		d.send(near)
	}
	far("2 SELECTING", Select(mac(), 0, noPool, serverAddr), 0, ownAddress, dhcp4.Broadcast)
	far("2 SELECTING, bit set", Select(mac(), 0, noPool, serverAddr), bcast, wire.BroadcastMAC, dhcp4.Broadcast)
	far("2 INIT-REBOOT", Reboot(mac(), 0, elsewhere), 0, ownAddress, dhcp4.Broadcast)
	far("2 INIT-REBOOT, bit set", Reboot(mac(), 0, elsewhere), bcast, wire.BroadcastMAC, dhcp4.Broadcast)
	far("2 RENEWING", renewing(), 0, ownAddress, noPool)
	far("2 RENEWING, bit set", renewing(), bcast, ownAddress, noPool)
	far("2 REBINDING", Rebind(mac(), 0, elsewhere), 0, ownAddress, elsewhere)
	far("2 REBINDING, bit set", Rebind(mac(), 0, elsewhere), bcast, ownAddress, elsewhere)

	// 3: through a router, only to who can have sent it; the bit does not matter.
	routed := d.throughRouter(Renew(mac(), 0, farNoPool, serverAddr, d.serverMAC), farNoPool)
	d.send(delivery{name: "3 routed", msg: routed, from: d.far, typ: dhcp4.Nak, mac: d.routerMAC, ip: farNoPool})
	d.send(delivery{name: "3 routed, bit set", msg: routed.with(bcast), from: d.far, typ: dhcp4.Nak, mac: d.routerMAC, ip: farNoPool, flags: bcast})
	d.send(delivery{name: "3 routed, another IP source", msg: d.throughRouter(routed, farOther), from: d.far})

	// 4: other hardware.
	d.odd(dhcp4.Nak, func(m Msg) Msg { return m })
	d.verify()
}

// nak-delivery: broadcast is RFC 2131's way for clients on the link.
func TestNakDeliveryByBroadcast(t *testing.T) {
	d := newDeliveryStage(t, fmt.Sprintf(deliveryConfig, "broadcast"))
	for i, m := range []Msg{
		Select(TestMAC(1), 0, noPool, serverAddr),
		Reboot(TestMAC(2), 0, elsewhere),
		Renew(TestMAC(3), 0, noPool, serverAddr, d.serverMAC),
		Rebind(TestMAC(4), 0, elsewhere),
	} {
		name := []string{"SELECTING", "INIT-REBOOT", "RENEWING", "REBINDING"}[i]
		d.send(delivery{name: name, msg: m, from: d.near, typ: dhcp4.Nak, mac: wire.BroadcastMAC, ip: dhcp4.Broadcast})
	}
	d.verify()
}
