package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// settle is how long Watch lets changes gather before it looks at all interfaces
// again; it bounds the work on a host whose interfaces change all the time.
const settle = 20 * time.Millisecond

// dumpPause is the time between attempts to list interfaces while that fails, for
// example for want of memory.
const dumpPause = 500 * time.Millisecond

// Watch implements Net. It needs no capability. The kernel's messages only say that
// something changed; what is true is then asked for as a whole, so that a message
// lost (ENOBUFS) costs nothing.
func (k *Kernel) Watch(ctx context.Context, names []string, changed func([]wire.Link, []Missing)) error {
	m, err := newMonitor()
	if err != nil {
		return fmt.Errorf("watch interfaces: %w", err)
	}
	defer m.file.Close()
	defer context.AfterFunc(ctx, func() { m.file.Close() })()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("watch interfaces: %w", err)
	}
	defer h.Close()

	t := NewTracker(names)
	for known := false; ; known = true {
		ifs, err := interfaces(h)
		for ; err != nil; ifs, err = interfaces(h) {
			if !known {
				return fmt.Errorf("watch interfaces: %w", err)
			}
			// What was reported stays in force until the kernel answers again.
			if !sleep(ctx, dumpPause) {
				return nil
			}
		}
		k.locals.Set(ifs)
		if ready, missing, news := t.Update(ifs); news {
			changed(ready, missing)
		}
		for pause := false; ; pause = true {
			lost, err := m.next(!pause)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return fmt.Errorf("watch interfaces: %w", err)
			}
			for _, l := range lost {
				if ready, missing, news := t.Lost(l.index, l.gone); news {
					changed(ready, missing)
				}
			}
			if pause {
				break
			}
			if !sleep(ctx, settle) {
				return nil
			}
		}
	}
}

// Explain says why the interface called name is not ready, and what helps; "" when
// it is ready. It looks at the host as it is now.
func (k *Kernel) Explain(name string) (string, error) {
	ifs, err := k.look()
	if err != nil {
		return "", err
	}
	for i := range ifs {
		if ifs[i].Name == name {
			return ifs[i].Waiting(), nil
		}
	}
	return Missing{Name: name, DidYouMean: nearest(name, ifs)}.String(), nil
}

// Interfaces lists all interfaces of the host as they are now.
func (k *Kernel) Interfaces() ([]Interface, error) { return k.look() }

// refresh brings the host's own addresses up to date.
func (k *Kernel) refresh() error {
	ifs, err := k.look()
	if err == nil {
		k.locals.Set(ifs)
	}
	return err
}

func (k *Kernel) look() ([]Interface, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	defer h.Close()
	return interfaces(h)
}

// sleep waits for d and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// interfaces asks the kernel for all interfaces and their IPv4 addresses. A dump that
// a change interrupted is asked for again.
func interfaces(h *netlink.Handle) (ifs []Interface, err error) {
	for range 10 {
		var links []netlink.Link
		var addrs []netlink.Addr
		if links, err = h.LinkList(); err == nil {
			if addrs, err = h.AddrList(nil, netlink.FAMILY_V4); err == nil {
				return facts(links, addrs), nil
			}
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	return nil, fmt.Errorf("list interfaces: %w", err)
}

// facts turns netlink's terms into ours.
func facts(links []netlink.Link, addrs []netlink.Addr) []Interface {
	ifs := make([]Interface, 0, len(links))
	at := make(map[int]int, len(links))
	for _, l := range links {
		a := l.Attrs()
		i := Interface{
			Index:    wire.LinkID(a.Index),
			Name:     a.Name,
			MTU:      a.MTU,
			Ethernet: a.EncapType == "ether" && len(a.HardwareAddr) == 6,
			Loopback: a.RawFlags&unix.IFF_LOOPBACK != 0,
			Up:       a.RawFlags&unix.IFF_UP != 0,
			Carrier: a.RawFlags&unix.IFF_RUNNING != 0 && a.RawFlags&unix.IFF_LOWER_UP != 0 &&
				(a.OperState == netlink.OperUp || a.OperState == netlink.OperUnknown),
		}
		copy(i.MAC[:], a.HardwareAddr)
		at[a.Index] = len(ifs)
		ifs = append(ifs, i)
	}
	for _, a := range addrs {
		i, ok := at[a.LinkIndex]
		if !ok || a.IPNet == nil || a.IP.To4() == nil {
			continue // an interface that appeared between the two questions
		}
		bits, _ := a.Mask.Size()
		ifs[i].Addrs = append(ifs[i].Addrs, dhcp4.Prefix{Addr: dhcp4.AddrFrom4([4]byte(a.IP.To4())), Bits: bits})
	}
	return ifs
}

// monitor is a netlink socket that hears of changes of links and addresses.
type monitor struct {
	*sock
	buf  []byte
	lost []loss
}

// loss is an interface that went down or away.
type loss struct {
	index wire.LinkID
	gone  bool
}

func newMonitor() (*monitor, error) {
	s, err := openSock("netlink", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE, func(fd int) error {
		groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR)
		return os.NewSyscallError("bind netlink socket", unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}))
	})
	if err != nil {
		return nil, err
	}
	return &monitor{sock: s, buf: make([]byte, 64<<10)}, nil
}

// next takes all messages that wait, and returns the interfaces that they report
// down or gone; with block it waits for the first message.
func (m *monitor) next(block bool) ([]loss, error) {
	m.lost = m.lost[:0]
	var failed error
	err := m.raw.Read(func(fd uintptr) bool {
		for {
			n, from, err := unix.Recvfrom(int(fd), m.buf, 0)
			switch {
			case errors.Is(err, unix.EAGAIN):
				return !block
			case errors.Is(err, unix.EINTR):
				continue
			case errors.Is(err, unix.ENOBUFS): // messages were lost: all is looked at anyway
			case err != nil:
				failed = os.NewSyscallError("recvfrom netlink", err)
				return true
			default:
				if sa, ok := from.(*unix.SockaddrNetlink); ok && sa.Pid == 0 {
					m.scan(m.buf[:n])
				}
			}
			block = false
		}
	})
	if err != nil {
		return nil, net.ErrClosed
	}
	return m.lost, failed
}

// scan notes the losses that a datagram of netlink messages reports.
func (m *monitor) scan(b []byte) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		typ := binary.NativeEndian.Uint16(b[4:])
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return
		}
		body := b[unix.SizeofNlMsghdr:size]
		link := typ == unix.RTM_NEWLINK || typ == unix.RTM_DELLINK
		if link && len(body) >= unix.SizeofIfInfomsg && body[0] == unix.AF_UNSPEC {
			index := wire.LinkID(binary.NativeEndian.Uint32(body[4:]))
			up := binary.NativeEndian.Uint32(body[8:])&unix.IFF_UP != 0
			if gone := typ == unix.RTM_DELLINK; gone || !up {
				m.lost = append(m.lost, loss{index, gone})
			}
		}
		b = b[min(len(b), (size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
	}
}
