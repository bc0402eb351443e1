package setup

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lessor/dhcp4"
	"lessor/internal/lease"
)

// ownAddr is the address of ours on the interface, and what tells our routes from others'.
type ownAddr struct {
	Addr      dhcp4.Prefix
	Broadcast dhcp4.Addr
	Index     int   // of the interface
	End       int64 // of the lease, CLOCK_BOOTTIME
	Foreign   bool  // it was on the interface before us, without an end: it stays
	Metric    int   // of our routes
	Table     int
}

// ended says whether the lease's time is over at now on CLOCK_BOOTTIME.
func (a *ownAddr) ended(now int64) bool { return a.End <= now }

func (a *ownAddr) same(b *ownAddr) bool {
	return a.Addr == b.Addr && a.Broadcast == b.Broadcast && a.Index == b.Index
}

// addrs lists the IPv4 addresses of the interface with this index.
func (h *Host) addrs(l netlink.Link) ([]netlink.Addr, error) {
	as, err := listed(func() ([]netlink.Addr, error) { return h.nl.AddrList(l, unix.AF_INET) })
	if err != nil {
		return nil, explain("list the addresses of "+h.name, err)
	}
	return as, nil
}

func find(as []netlink.Addr, p dhcp4.Prefix) *netlink.Addr {
	for i := range as {
		if as[i].Peer == nil || as[i].Peer.IP.Equal(as[i].IP) {
			if prefixOf(as[i].IPNet) == p {
				return &as[i]
			}
		}
	}
	return nil
}

// applyAddress gives the interface c's address with its lifetimes. The kernel removes
// it at their end, also when this process does not live any more; in suspend its clock
// stands still, so it is the second line of defence only.
func (h *Host) applyAddress(l netlink.Link, c *Config) error {
	own := &ownAddr{Addr: c.Addr, Broadcast: c.Broadcast, Index: l.Attrs().Index, Metric: h.metric(l), Table: h.table()}
	own.End = lease.Never
	if c.Valid != lease.Infinite {
		own.End = lease.After(bootTime(), c.Valid)
	}
	if old := h.done.Addr; old != nil && !old.same(own) {
		// Another address: a host has the old one no more.
		if err := h.clearAddress(); err != nil {
			return err
		}
	}
	as, err := h.addrs(l)
	if err != nil {
		return err
	}
	there := find(as, c.Addr)
	switch old := h.done.Addr; {
	case old != nil:
		own.Foreign = old.Foreign && there != nil
	case there != nil && uint32(there.ValidLft) != lease.Infinite:
		// What another client left, a killed one for example: it would end in the middle of our lease.
		h.report("foreign", fmt.Errorf("%s was on %s before, until its lifetime ends: it is this client's from now on", c.Addr, h.name))
	case there != nil:
		own.Foreign = true
		h.report("foreign", fmt.Errorf("%s was on %s before and is not this client's: it stays when the lease ends", c.Addr, h.name))
	}
	h.done.Addr = own
	h.saveUndo()
	if own.Foreign {
		return nil
	}
	a := &netlink.Addr{IPNet: ipNet(c.Addr), Broadcast: ip(c.Broadcast), Flags: unix.IFA_F_NOPREFIXROUTE,
		ValidLft: int(c.Valid), PreferedLft: int(c.Preferred)}
	if err := h.nl.AddrReplace(l, a); err != nil {
		return explain(fmt.Sprintf("give %s the address %s", h.name, c.Addr), err)
	}
	return nil
}

// clearAddress takes our address and our routes off the interface.
func (h *Host) clearAddress() error {
	own := h.done.Addr
	if own == nil {
		return nil
	}
	l, err := h.nl.LinkByIndex(own.Index)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		h.done.Addr = nil // it went with the interface
		h.saveUndo()
		return nil
	}
	if err != nil {
		return explain("find interface "+h.name, err)
	}
	err = h.clearRoutes(own)
	if !own.Foreign {
		err = errors.Join(h.removeAddress(l, own.Addr), err)
	}
	if err == nil {
		h.done.Addr = nil
		h.saveUndo()
	}
	return err
}

// removeAddress removes p and sees to it that nothing else goes with it: where
// promote_secondaries is off, the kernel drops addresses of the same subnet that came after p,
// and with them the routes that use them.
func (h *Host) removeAddress(l netlink.Link, p dhcp4.Prefix) error {
	before, err := h.addrs(l)
	if err != nil {
		return err
	}
	a := find(before, p)
	if a == nil {
		return nil // the kernel or somebody else was first
	}
	routes, err := h.routes(&netlink.Route{LinkIndex: l.Attrs().Index}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	if err != nil {
		return err
	}
	if err := h.nl.AddrDel(l, a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return explain(fmt.Sprintf("take the address %s off %s", p, h.name), err)
	}
	after, err := h.addrs(l)
	if err != nil {
		return err
	}
	lost := slices.DeleteFunc(before, func(b netlink.Addr) bool {
		p1 := prefixOf(b.IPNet)
		return p1 == p || slices.ContainsFunc(after, func(c netlink.Addr) bool { return prefixOf(c.IPNet) == p1 })
	})
	if len(lost) == 0 {
		return nil
	}
	return h.restore(l, lost, routes)
}

// restore gives the interface the addresses lost and those of routes that need them.
func (h *Host) restore(l netlink.Link, lost []netlink.Addr, routes []netlink.Route) error {
	var errs []error
	for i := range lost {
		a := &lost[i]
		a.Flags &= unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_HOMEADDRESS | unix.IFA_F_NODAD
		if a.Broadcast == nil {
			a.Broadcast = net.IPv4zero
		}
		if err := h.nl.AddrReplace(l, a); err != nil {
			errs = append(errs, explain(fmt.Sprintf("put the address %s, which the kernel removed with ours, back on %s", a.IPNet, h.name), err))
		}
	}
	for i := range routes {
		r := &routes[i]
		uses := func(a netlink.Addr) bool { return a.IP.Equal(r.Src) }
		if r.Table == unix.RT_TABLE_LOCAL || !slices.ContainsFunc(lost, uses) {
			continue // the kernel's own, or not touched
		}
		if err := h.nl.RouteAppend(r); err != nil && !errors.Is(err, unix.EEXIST) {
			errs = append(errs, explain(fmt.Sprintf("put the route %s, which the kernel removed with our address, back", r.Dst), err))
		}
	}
	return errors.Join(errs...)
}
