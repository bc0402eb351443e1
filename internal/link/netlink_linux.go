package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// interfaces asks the kernel for all interfaces and their IPv4 addresses. A dump that
// a change interrupted is asked for again.
func interfaces() (ifs []Interface, err error) {
	for range 10 {
		var addrs []netlink.Addr
		if ifs, err = links(); err == nil {
			if addrs, err = netlink.AddrList(nil, netlink.FAMILY_V4); err == nil {
				addressed(ifs, addrs)
				return ifs, nil
			}
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	return nil, fmt.Errorf("list interfaces: %w", err)
}

// links asks for all interfaces, without addresses.
func links() (ifs []Interface, err error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return nil, err
	}
	for _, m := range msgs {
		if i, ok := parseLink(m); ok {
			ifs = append(ifs, i)
		}
	}
	return ifs, nil
}

// addressed gives the interfaces their addresses.
func addressed(ifs []Interface, addrs []netlink.Addr) {
	at := make(map[wire.LinkID]int, len(ifs))
	for n := range ifs {
		at[ifs[n].Index] = n
	}
	for _, a := range addrs {
		n, ok := at[wire.LinkID(a.LinkIndex)]
		if !ok || a.IPNet == nil || a.IP.To4() == nil {
			continue // an interface that appeared between the two questions
		}
		bits, _ := a.Mask.Size()
		ifs[n].Addrs = append(ifs[n].Addrs, dhcp4.Prefix{Addr: dhcp4.AddrFrom4([4]byte(a.IP.To4())), Bits: bits})
	}
}

// parseLink reads the body of an RTM_NEWLINK or RTM_DELLINK message. Messages of
// bridges about their ports, and events of wireless cards, which tell only a part of
// what an interface is, are not ok.
func parseLink(b []byte) (i Interface, ok bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return i, false
	}
	i.Index = wire.LinkID(binary.NativeEndian.Uint32(b[4:]))
	flags := binary.NativeEndian.Uint32(b[8:])
	i.Loopback = flags&unix.IFF_LOOPBACK != 0
	i.Up = flags&unix.IFF_UP != 0
	state := byte(netlink.OperUnknown)
	whole := false
	attributes(b[unix.SizeofIfInfomsg:], func(typ uint16, v []byte) {
		switch {
		case typ == unix.IFLA_IFNAME:
			i.Name = unix.ByteSliceToString(v)
		case typ == unix.IFLA_ADDRESS && len(v) == len(i.MAC):
			i.Ethernet = binary.NativeEndian.Uint16(b[2:]) == unix.ARPHRD_ETHER
			i.MAC = wire.MAC(v)
		case typ == unix.IFLA_MTU && len(v) == 4:
			whole, i.MTU = true, int(binary.NativeEndian.Uint32(v))
		case typ == unix.IFLA_OPERSTATE && len(v) == 1:
			state = v[0]
		case typ == unix.IFLA_CARRIER_CHANGES && len(v) == 4:
			i.CarrierChanges = binary.NativeEndian.Uint32(v)
		}
	})
	i.Carrier = flags&unix.IFF_RUNNING != 0 && flags&unix.IFF_LOWER_UP != 0 &&
		(state == byte(netlink.OperUp) || state == byte(netlink.OperUnknown))
	return i, whole
}

// attributes calls f with each netlink attribute in b.
func attributes(b []byte, f func(typ uint16, v []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&0x3fff, b[unix.SizeofRtAttr:size])
		b = b[min(len(b), aligned(size)):]
	}
}

// aligned is where the next message or attribute begins.
func aligned(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

// monitor is a netlink socket that hears of changes of links and addresses.
type monitor struct {
	*sock
	buf  []byte
	seen func(i *Interface, gone bool)
}

func newMonitor(seen func(i *Interface, gone bool)) (*monitor, error) {
	s, err := openSock("netlink", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE, func(fd int) error {
		groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR)
		return os.NewSyscallError("bind netlink socket", unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}))
	})
	if err != nil {
		return nil, err
	}
	return &monitor{sock: s, buf: make([]byte, 64<<10), seen: seen}, nil
}

// next takes all messages that wait, and calls seen with the interfaces that they tell
// of; with block it waits for the first message.
func (m *monitor) next(block bool) error {
	var failed error
	for more := true; more; {
		n := 0
		err := m.raw.Read(func(fd uintptr) bool {
			n, more, failed = m.read(int(fd))
			wait := !more && failed == nil && block
			return !wait
		})
		if err != nil {
			return net.ErrClosed
		}
		block = false
		m.scan(m.buf[:n])
	}
	return failed
}

// read takes one datagram from the kernel. more is false when none waits.
func (m *monitor) read(fd int) (n int, more bool, err error) {
	n, from, err := unix.Recvfrom(fd, m.buf, 0)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return 0, false, nil
	case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOBUFS): // messages were lost: all is looked at anyway
		return 0, true, nil
	case err != nil:
		return 0, false, os.NewSyscallError("recvfrom netlink", err)
	}
	if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
		return 0, true, nil // not from the kernel
	}
	return n, true, nil
}

// scan calls seen for the interfaces in a datagram of netlink messages.
func (m *monitor) scan(b []byte) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		typ := binary.NativeEndian.Uint16(b[4:])
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return
		}
		if typ == unix.RTM_NEWLINK || typ == unix.RTM_DELLINK {
			if i, ok := parseLink(b[unix.SizeofNlMsghdr:size]); ok {
				m.seen(&i, typ == unix.RTM_DELLINK)
			}
		}
		b = b[min(len(b), aligned(size)):]
	}
}
