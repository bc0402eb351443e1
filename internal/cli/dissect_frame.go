package cli

import (
	"encoding/binary"
	"fmt"
	"net"

	"lessor/dhcp4"
)

// Link types of captures that dissect reads, by their pcap numbers.
const (
	linkNull     = 0   // BSD loopback: the address family in the host's order
	linkEthernet = 1   //
	linkRaw12    = 12  // raw IP, as some systems number it
	linkRaw14    = 14  // raw IP, as others do
	linkRaw      = 101 // raw IP
	linkLoop     = 108 // OpenBSD loopback
	linkSLL      = 113 // Linux "any" interface
	linkIPv4     = 228 // raw IPv4
	linkSLL2     = 276 // Linux "any" interface, newer form
)

// datagram is what dissect knows of one DHCP message beside its octets.
type datagram struct {
	payload        []byte
	src, dst       string // address:port; empty when there was no frame
	srcMAC, dstMAC string // empty when there was no link layer, or it does not say
	fault          string // what is wrong with the frame, at octet faultAt of it
	faultAt        int
	note           string // what is special without being wrong
}

// fromFrame finds the DHCP message in a captured frame. ok is false when the frame
// carries none: it is not IPv4, not UDP, or neither port is DHCP's. Lengths that
// contradict each other are a fault, and what can be read is the payload all the
// same: unlike a server, dissect is there to show what is wrong.
func fromFrame(link int, frame []byte) (d datagram, ok bool) {
	at := 0 // of the IP header
	typ := uint16(0x0800)
	switch link {
	case linkNull, linkLoop:
		at = 4
	case linkRaw, linkRaw12, linkRaw14, linkIPv4:
	case linkEthernet:
		if len(frame) < 14 {
			return d, false
		}
		d.dstMAC, d.srcMAC = net.HardwareAddr(frame[:6]).String(), net.HardwareAddr(frame[6:12]).String()
		typ, at = binary.BigEndian.Uint16(frame[12:]), 14
		for (typ == 0x8100 || typ == 0x88a8) && len(frame) >= at+4 {
			d.note += fmt.Sprintf("VLAN %d ", binary.BigEndian.Uint16(frame[at:])&0xfff)
			typ, at = binary.BigEndian.Uint16(frame[at+2:]), at+4
		}
	case linkSLL:
		if len(frame) < 16 {
			return d, false
		}
		d.srcMAC = sllAddress(frame[6:14], int(binary.BigEndian.Uint16(frame[4:])))
		typ, at = binary.BigEndian.Uint16(frame[14:]), 16
	case linkSLL2:
		if len(frame) < 20 {
			return d, false
		}
		d.srcMAC = sllAddress(frame[12:20], int(frame[11]))
		typ, at = binary.BigEndian.Uint16(frame), 20
	default:
		return d, false
	}
	if typ != 0x0800 || len(frame) < at {
		return d, false
	}
	return d, d.ip(frame, at)
}

func sllAddress(b []byte, n int) string {
	return net.HardwareAddr(b[:min(n, len(b))]).String()
}

// ip reads the IPv4 header at frame[at] and what follows.
func (d *datagram) ip(frame []byte, at int) bool {
	b := frame[at:]
	if len(b) < 20 || b[0]>>4 != 4 {
		return false
	}
	ihl, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	fragment := binary.BigEndian.Uint16(b[6:])
	if b[9] != 17 || fragment&0x1fff != 0 || ihl < 20 || len(b) < ihl+8 {
		return false
	}
	udp := b[ihl:]
	srcPort, dstPort := binary.BigEndian.Uint16(udp), binary.BigEndian.Uint16(udp[2:])
	if !dhcpPort(srcPort) && !dhcpPort(dstPort) {
		return false
	}
	d.src = fmt.Sprintf("%v:%d", dhcp4.AddrFromBytes(b[12:]), srcPort)
	d.dst = fmt.Sprintf("%v:%d", dhcp4.AddrFromBytes(b[16:]), dstPort)
	if fragment&0x2000 != 0 {
		d.note += "first fragment only "
	}
	size := int(binary.BigEndian.Uint16(udp[4:]))
	switch {
	case total < ihl+8:
		d.fault, d.faultAt = fmt.Sprintf("IP total length %d is less than its headers need", total), at+2
	case total > len(b):
		d.fault, d.faultAt = fmt.Sprintf("the frame holds %d octets of an IP packet of %d", len(b), total), at+2
	case size < 8:
		d.fault, d.faultAt = fmt.Sprintf("UDP length %d is less than its header", size), at+ihl+4
	case ihl+size > total && fragment&0x2000 == 0:
		d.fault, d.faultAt = fmt.Sprintf("UDP length %d is more than the IP packet has left, %d", size, total-ihl), at+ihl+4
	}
	end := len(udp)
	if total >= ihl+8 {
		end = min(end, total-ihl)
	}
	if size >= 8 {
		end = min(end, size)
	}
	d.payload = udp[8:end]
	return true
}

func dhcpPort(p uint16) bool { return p == dhcp4.ServerPort || p == dhcp4.ClientPort }

// fromBytes finds the DHCP message in octets of unknown kind: a message as it is,
// or an Ethernet frame or IP packet around one.
func fromBytes(b []byte) datagram {
	if len(b) >= dhcp4.MinSize && string(b[236:240]) == "\x63\x82\x53\x63" {
		return datagram{payload: b}
	}
	for _, link := range []int{linkEthernet, linkIPv4, linkSLL, linkSLL2} {
		if d, ok := fromFrame(link, b); ok {
			return d
		}
	}
	return datagram{payload: b}
}
