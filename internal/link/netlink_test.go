package link

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"lessor/internal/wire"
)

// netlinkMessage is a message about an interface of index 5 that is up and running, with
// these attributes.
func netlinkMessage(typ uint16, family byte, attrs map[uint16][]byte) []byte {
	ne := binary.NativeEndian
	body := []byte{family, 0}
	body = ne.AppendUint16(body, unix.ARPHRD_ETHER)
	body = ne.AppendUint32(body, 5)
	body = ne.AppendUint32(body, unix.IFF_UP|unix.IFF_RUNNING|unix.IFF_LOWER_UP)
	body = ne.AppendUint32(body, 0)
	for code := range uint16(unix.IFLA_CARRIER_CHANGES + 1) {
		v, ok := attrs[code]
		if !ok {
			continue
		}
		body = ne.AppendUint16(body, uint16(unix.SizeofRtAttr+len(v)))
		body = ne.AppendUint16(body, code)
		body = append(body, v...)
		body = append(body, make([]byte, aligned(len(v))-len(v))...)
	}
	m := ne.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	m = ne.AppendUint16(m, typ)
	m = append(m, make([]byte, unix.SizeofNlMsghdr-len(m))...)
	return append(m, body...)
}

// TestNetlinkMessages: what the kernel tells of an interface, whole, in part and cut.
func TestNetlinkMessages(t *testing.T) {
	number := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	whole := map[uint16][]byte{
		unix.IFLA_IFNAME: []byte("eth0\x00"), unix.IFLA_ADDRESS: {2, 0, 0, 0, 0, 9}, unix.IFLA_MTU: number(1400),
		unix.IFLA_OPERSTATE: {6}, unix.IFLA_CARRIER_CHANGES: number(77),
	}
	type told struct {
		i    Interface
		gone bool
	}
	var got []told
	m := &monitor{seen: func(i *Interface, gone bool) { got = append(got, told{*i, gone}) }}
	scan := func(b []byte) []told { got = nil; m.scan(b); return got }

	want := Interface{Index: 5, Name: "eth0", MAC: wire.MAC{2, 0, 0, 0, 0, 9}, MTU: 1400, Ethernet: true, Up: true, Carrier: true, CarrierChanges: 77}
	news := netlinkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, whole)
	two := append(news, netlinkMessage(unix.RTM_DELLINK, unix.AF_UNSPEC, whole)...)
	if r := scan(two); len(r) != 2 || !sameInterface(r[0].i, want) || r[0].gone || !sameInterface(r[1].i, want) || !r[1].gone {
		t.Errorf("told of %+v", r)
	}
	dormant := map[uint16][]byte{unix.IFLA_OPERSTATE: {5}, unix.IFLA_MTU: number(1400)}
	if r := scan(netlinkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, dormant)); len(r) != 1 || r[0].i.Carrier || r[0].i.Ethernet {
		t.Errorf("dormant, without an address: %+v", r)
	}
	for what, b := range map[string][]byte{
		"a bridge's port":          netlinkMessage(unix.RTM_DELLINK, unix.AF_BRIDGE, whole),
		"an event of the wireless": netlinkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, map[uint16][]byte{unix.IFLA_IFNAME: []byte("eth0\x00")}),
		"an address":               netlinkMessage(unix.RTM_NEWADDR, unix.AF_UNSPEC, whole),
	} {
		if r := scan(b); len(r) != 0 {
			t.Errorf("%s: told of %+v", what, r)
		}
	}
	for n := range len(news) {
		if r := scan(news[:n:n]); len(r) != 0 {
			t.Errorf("%d of %d octets: told of %+v", n, len(news), r)
		}
	}
	for at := unix.SizeofNlMsghdr + unix.SizeofIfInfomsg; at+1 < len(news); at++ {
		for _, v := range []uint16{0, 1, 3, 4, 5, 0xffff} { // lengths of attributes, where there is one
			b := append([]byte(nil), news...)
			binary.NativeEndian.PutUint16(b[at:], v)
			scan(b)
		}
	}
}

func sameInterface(a, b Interface) bool {
	return a.Index == b.Index && a.Name == b.Name && a.MAC == b.MAC && a.MTU == b.MTU && a.Ethernet == b.Ethernet &&
		a.Loopback == b.Loopback && a.Up == b.Up && a.Carrier == b.Carrier && a.CarrierChanges == b.CarrierChanges
}
