package memnet

import (
	"encoding/binary"
	"fmt"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// Interface is an interface of a host. Its settings are what an operator or a cable
// would change.
type Interface struct {
	host    *Host
	sw      *Switch
	index   wire.LinkID
	name    string
	mac     wire.MAC
	mtu     int
	up      bool
	carrier bool
	gone    bool
	addrs   []dhcp4.Prefix
	ports   []*port
	flaps   uint32 // changes of the carrier
}

// Add gives the host an interface that is plugged into sw, up and with carrier. Its
// index is the next one, as in the kernel, and its hardware address is made from
// mac. It needs an address to be ready.
func (h *Host) Add(name string, sw *Switch, mac wire.MAC, addrs ...dhcp4.Prefix) *Interface {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.last++
	i := &Interface{host: h, sw: sw, index: h.last, name: name, mac: mac, mtu: 1500, up: true, carrier: true, addrs: addrs}
	h.ifs = append(h.ifs, i)
	sw.plug(i)
	h.moved(i)
	return i
}

// ID is the interface's index.
func (i *Interface) ID() wire.LinkID { return i.index }

// MAC is the interface's hardware address.
func (i *Interface) MAC() wire.MAC {
	i.host.net.mu.Lock()
	defer i.host.net.mu.Unlock()
	return i.mac
}

// SetMAC gives the interface another hardware address. Ports go on sending from the
// one that they were opened with, as packet sockets do.
func (i *Interface) SetMAC(mac wire.MAC) { i.change(false, func() { i.mac = mac }) }

// change locks the network, lets f change the interface, and tells who watches.
// A port on an interface that was lost hears of it once.
func (i *Interface) change(lost bool, f func()) {
	i.host.net.mu.Lock()
	defer i.host.net.mu.Unlock()
	if i.gone {
		return
	}
	f()
	if lost {
		for _, p := range i.ports {
			p.down = true
			p.arrived.Broadcast()
		}
	}
	i.host.moved(i)
}

// SetUp sets the interface administratively up or down.
func (i *Interface) SetUp(up bool) { i.change(!up, func() { i.up = up }) }

// SetCarrier plugs the cable in or pulls it. A port stays usable without carrier;
// what it sends is lost.
func (i *Interface) SetCarrier(on bool) {
	i.change(false, func() {
		if i.carrier != on {
			i.carrier = on
			i.flaps++
		}
	})
}

// SetAddrs replaces the interface's addresses.
func (i *Interface) SetAddrs(addrs ...dhcp4.Prefix) {
	i.change(false, func() { i.addrs = slices.Clone(addrs) })
}

// SetMTU sets the largest IP packet in octets.
func (i *Interface) SetMTU(mtu int) { i.change(false, func() { i.mtu = mtu }) }

// Rename gives the interface another name; its index stays.
func (i *Interface) Rename(name string) { i.change(false, func() { i.name = name }) }

// Remove takes the interface away for good.
func (i *Interface) Remove() {
	i.change(true, func() {
		i.gone, i.up = true, false
		i.sw.unplug(i)
		i.host.ifs = slices.DeleteFunc(i.host.ifs, func(x *Interface) bool { return x == i })
	})
}

// facts are the interface as the kernel would list it.
func (i *Interface) facts() link.Interface {
	return link.Interface{Index: i.index, Name: i.name, MAC: i.mac, MTU: i.mtu, Ethernet: true,
		Up: i.up, Carrier: i.up && i.carrier, Addrs: slices.Clone(i.addrs), CarrierChanges: i.flaps}
}

func (i *Interface) hardware() wire.MAC { return i.mac }
func (i *Interface) promiscuous() bool  { return false }

func (i *Interface) owns(a uint32) bool {
	return i.up && slices.ContainsFunc(i.addrs, func(p dhcp4.Prefix) bool { return p.Addr == dhcp4.Addr(a) })
}

func (i *Interface) reaches(a dhcp4.Addr) bool { return i.owns(uint32(a)) }

// deliver is the card and the kernel's filter: a VLAN tag leaves the bytes, and what
// nobody wants goes no further.
func (i *Interface) deliver(frame []byte) []byte {
	if !i.up || !i.carrier {
		return nil
	}
	if len(frame) >= 18 && binary.BigEndian.Uint16(frame[12:]) == 0x8100 {
		if binary.BigEndian.Uint16(frame[14:])&0x0fff != 0 {
			return nil
		}
		frame = slices.Concat(frame[:12], frame[16:])
	}
	mine := wire.MAC(frame[:6]) == i.mac || wire.MAC(frame[:6]) == wire.BroadcastMAC
	for _, p := range i.ports {
		if (mine || p.rule.AnyARP) && p.rule.Wanted(frame) {
			p.push(frame)
		}
	}
	return answer(i, frame)
}

// String names the interface in failure messages.
func (i *Interface) String() string { return fmt.Sprintf("%s (index %d)", i.name, i.index) }
