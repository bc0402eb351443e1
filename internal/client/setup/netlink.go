package setup

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lessor/dhcp4"
)

// newHandle opens netlink in the calling thread's network namespace. The kernel is asked
// to filter what it lists: a host may have a million routes of others.
func newHandle() (*netlink.Handle, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	if err := nl.SetSocketTimeout(5 * time.Second); err != nil {
		nl.Close()
		return nil, fmt.Errorf("set up netlink: %w", err)
	}
	_ = nl.SetStrictCheck(true) // before Linux 4.20 the library filters
	return nl, nil
}

// listed calls list until what it brings is of one moment: the kernel says when
// something changed in between. The last answer counts if it always does.
func listed[T any](list func() ([]T, error)) (l []T, err error) {
	for range 10 {
		if l, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return l, err
		}
	}
	return l, nil
}

// explain says what was attempted and, where the kernel refused it for want of
// rights, what to do.
func explain(what string, err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		file, ferr := os.Executable()
		if ferr != nil {
			file = "FILE"
		}
		return fmt.Errorf("%s: needs CAP_NET_ADMIN: run it as root, use the unit, or sudo setcap cap_net_admin,cap_net_raw,cap_net_bind_service=+ep %s (%w)",
			what, file, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// link finds the interface: by its name, since a new one may have taken it, else by the index
// of the one that had it, since that may have been renamed.
func (h *Host) link() (netlink.Link, error) {
	l, err := h.nl.LinkByName(h.name)
	if err != nil && h.last != 0 && errors.As(err, new(netlink.LinkNotFoundError)) {
		l, err = h.nl.LinkByIndex(h.last)
	}
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, fmt.Errorf("there is no interface %s: %w", h.name, unix.ENODEV)
	}
	if err != nil {
		return nil, explain("find interface "+h.name, err)
	}
	h.last = l.Attrs().Index
	return l, nil
}

func ip(a dhcp4.Addr) net.IP {
	b := a.As4()
	return net.IP(b[:])
}

func ipNet(p dhcp4.Prefix) *net.IPNet {
	return &net.IPNet{IP: ip(p.Addr), Mask: net.CIDRMask(p.Bits, 32)}
}

// addrOf is a as an address of dhcp4, 0 for none.
func addrOf(a net.IP) dhcp4.Addr {
	if four := a.To4(); four != nil {
		return dhcp4.AddrFromBytes(four)
	}
	return 0
}

// prefixOf is n as a prefix of dhcp4; nil is 0.0.0.0/0.
func prefixOf(n *net.IPNet) dhcp4.Prefix {
	if n == nil {
		return dhcp4.Prefix{}
	}
	bits, _ := n.Mask.Size()
	return dhcp4.Prefix{Addr: addrOf(n.IP), Bits: bits}
}

// bootTime is CLOCK_BOOTTIME in nanoseconds.
func bootTime() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0 // not on a Linux that can run this program
	}
	return ts.Nano()
}
