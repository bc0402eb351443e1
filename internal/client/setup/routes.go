package setup

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lessor/dhcp4"
	"lessor/internal/client"
)

// metric is that of our routes: with the interface's index in it, so that the clients
// of two interfaces do not overwrite each other's default route.
func (h *Host) metric(l netlink.Link) int { return h.o.Metric + l.Attrs().Index }

// table is where our routes go.
func (h *Host) table() int {
	if h.o.Table != 0 {
		return h.o.Table
	}
	return unix.RT_TABLE_MAIN
}

func (h *Host) routes(filter *netlink.Route, mask uint64) ([]netlink.Route, error) {
	rs, err := listed(func() ([]netlink.Route, error) { return h.nl.RouteListFiltered(unix.AF_INET, filter, mask) })
	if err != nil && !errors.Is(err, unix.ENOENT) { // ENOENT: the table was never used
		return nil, explain("list the routes of "+h.name, err)
	}
	return rs, nil
}

// ownRoutes are the routes that we added: of protocol dhcp, with our metric and our
// address as their source, on our interface.
func (h *Host) ownRoutes(own *ownAddr) ([]netlink.Route, error) {
	rs, err := h.routes(&netlink.Route{LinkIndex: own.Index, Table: own.Table, Protocol: unix.RTPROT_DHCP},
		netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
	ours := rs[:0]
	for _, r := range rs {
		if r.Priority == own.Metric && addrOf(r.Src) == own.Addr.Addr {
			ours = append(ours, r)
		}
	}
	return ours, err
}

// wanted are the routes of c in an order in which the kernel takes them: first what is
// on the link, then what needs a gateway.
func wanted(c *Config) []client.Route {
	var onLink, via []client.Route
	seen := map[client.Route]bool{}
	add := func(list *[]client.Route, r client.Route) {
		if !seen[r] {
			seen[r] = true
			*list = append(*list, r)
		}
	}
	if c.Addr.Bits < 32 { // else the address has no link of its own
		add(&onLink, client.Route{Dst: c.Addr.Masked()})
	}
	for _, r := range c.Routes {
		if r.Via == 0 || r.Via == c.Addr.Addr { // a host that is its own router: all is on the link
			add(&onLink, client.Route{Dst: r.Dst})
		}
	}
	reachable := len(onLink)
	for _, r := range c.Routes {
		if r.Via == 0 || r.Via == c.Addr.Addr {
			continue
		}
		near := false
		for _, o := range onLink[:reachable] {
			near = near || o.Dst.Contains(r.Via)
		}
		if !near {
			add(&onLink, client.Route{Dst: dhcp4.Prefix{Addr: r.Via, Bits: 32}})
		}
		add(&via, r)
	}
	return append(onLink, via...)
}

// netlinkRoute is r as the kernel lists it.
func (a *ownAddr) netlinkRoute(r client.Route, mtu uint16) netlink.Route {
	n := netlink.Route{LinkIndex: a.Index, Dst: ipNet(r.Dst), Src: ip(a.Addr.Addr), Protocol: unix.RTPROT_DHCP,
		Priority: a.Metric, Table: a.Table, MTU: int(mtu), Type: unix.RTN_UNICAST}
	if r.Via == 0 {
		n.Scope = netlink.SCOPE_LINK
	} else {
		n.Gw = ip(r.Via)
	}
	return n
}

func sameRoute(a, b *netlink.Route) bool {
	return prefixOf(a.Dst) == prefixOf(b.Dst) && addrOf(a.Gw) == addrOf(b.Gw) && a.MTU == b.MTU && a.Scope == b.Scope
}

// applyRoutes makes our routes those of c. Each is added beside what is there, also
// beside a route of somebody else with the same destination and metric, which is never
// replaced; then our old ones go. So no packet is without a route.
func (h *Host) applyRoutes(l netlink.Link, c *Config) error {
	own := h.done.Addr
	have, err := h.ownRoutes(own)
	if err != nil {
		return err
	}
	var errs []error
	keep := make([]bool, len(have))
next:
	for _, r := range wanted(c) {
		n := own.netlinkRoute(r, c.MTU)
		for i := range have {
			if !keep[i] && sameRoute(&have[i], &n) {
				keep[i] = true
				continue next
			}
		}
		if err := h.nl.RouteAppend(&n); err != nil && !errors.Is(err, unix.EEXIST) {
			errs = append(errs, explain(fmt.Sprintf("add the route to %s to %s", routeText(r), h.name), err))
		}
	}
	for i := len(have) - 1; i >= 0; i-- {
		if !keep[i] {
			errs = append(errs, h.removeRoute(&have[i]))
		}
	}
	return errors.Join(errs...)
}

func routeText(r client.Route) string {
	if r.Via == 0 {
		return r.Dst.String()
	}
	return fmt.Sprintf("%s via %s", r.Dst, r.Via)
}

func (h *Host) removeRoute(r *netlink.Route) error {
	r.Flags = 0 // the kernel's report on the next hop, nothing to ask for
	if err := h.nl.RouteDel(r); err != nil && !errors.Is(err, unix.ESRCH) {
		return explain(fmt.Sprintf("remove the route to %s from %s", prefixOf(r.Dst), h.name), err)
	}
	return nil
}

// clearRoutes removes our routes. The kernel would do it with the address, but not in
// tables other than the main one, and not where the address stays.
func (h *Host) clearRoutes(own *ownAddr) error {
	have, err := h.ownRoutes(own)
	if err != nil {
		return err
	}
	var errs []error
	for i := len(have) - 1; i >= 0; i-- {
		errs = append(errs, h.removeRoute(&have[i]))
	}
	return errors.Join(errs...)
}
