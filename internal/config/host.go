package config

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"lessor/dhcp4"
	"lessor/internal/spell"
	"lessor/internal/wire"
)

// ErrNoInterface is wrapped by the error for an interface that does not exist.
var ErrNoInterface = errors.New("there is no such interface")

// ReadLink asks the kernel for the interface called name as it is now, whether it
// is ready or not.
func ReadLink(name string) (wire.Link, error) {
	nl, err := netlink.LinkByName(name)
	if err != nil {
		if _, gone := errors.AsType[netlink.LinkNotFoundError](err); gone {
			return wire.Link{}, fmt.Errorf("interface %s: %w%s", quotable(name), ErrNoInterface, otherInterface(name))
		}
		return wire.Link{}, fmt.Errorf("cannot look at interface %s: %w", quotable(name), err)
	}
	attrs := nl.Attrs()
	if attrs.Flags&net.FlagLoopback != 0 {
		return wire.Link{}, fmt.Errorf("interface %s is the loopback interface, which has no other hosts", quotable(name))
	}
	l := wire.Link{ID: wire.LinkID(attrs.Index), Name: attrs.Name, MTU: attrs.MTU}
	copy(l.MAC[:], attrs.HardwareAddr)
	addrs, err := netlink.AddrList(nl, netlink.FAMILY_V4)
	if err != nil {
		return l, fmt.Errorf("cannot read the addresses of %s: %w", name, err)
	}
	for _, a := range addrs { // the kernel lists the primary first
		if ip, ok := addrOf(a.IP); ok {
			bits, _ := a.Mask.Size()
			l.Addrs = append(l.Addrs, dhcp4.Prefix{Addr: ip, Bits: bits})
		}
	}
	return l, nil
}

func otherInterface(name string) string {
	ifs, err := net.Interfaces()
	if err != nil {
		return ""
	}
	var names []string
	for _, i := range ifs {
		if i.Flags&net.FlagLoopback == 0 {
			names = append(names, i.Name)
		}
	}
	if near := spell.Nearest(name, names); near != "" {
		return fmt.Sprintf("; did you mean %s?", near)
	}
	if len(names) > 0 && len(names) <= 8 {
		return "; there are " + strings.Join(names, ", ")
	}
	return ""
}

// ReadFacts gathers from the kernel and from files what ForLink decides by. What
// cannot be found out counts as not there; only a kernel that does not answer is
// an error.
func ReadFacts(l wire.Link) (Facts, error) {
	var f Facts
	nl, err := netlink.LinkByIndex(int(l.ID))
	if err != nil {
		return f, fmt.Errorf("cannot look at interface %s: %w", l.Name, err)
	}
	routes, err := netlink.RouteList(nl, netlink.FAMILY_V4)
	if err != nil {
		return f, fmt.Errorf("cannot read the routes of %s: %w", l.Name, err)
	}
	best := -1
	for _, r := range routes {
		gw, ok := addrOf(r.Gw)
		if ok && isDefault(r.Dst) && (best < 0 || r.Priority < best) {
			f.Gateway, best = gw, r.Priority
		}
	}
	neighbours, err := netlink.NeighList(int(l.ID), netlink.FAMILY_V4)
	if err != nil {
		return f, fmt.Errorf("cannot read the neighbours of %s: %w", l.Name, err)
	}
	const present = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE | netlink.NUD_PERMANENT
	for _, n := range neighbours {
		if a, ok := addrOf(n.IP); ok && n.State&present != 0 {
			f.Neighbours = append(f.Neighbours, a)
		}
	}
	slices.Sort(f.Neighbours)
	forward, _ := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	f.Forwarding = strings.TrimSpace(string(forward)) == "1"
	f.Resolvers = readResolvers("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
	return f, nil
}

func addrOf(ip net.IP) (dhcp4.Addr, bool) {
	ip4 := ip.To4()
	if ip4 == nil {
		return 0, false
	}
	return dhcp4.AddrFromBytes(ip4), true
}

// isDefault reports whether a route's destination is everything.
func isDefault(dst *net.IPNet) bool {
	if dst == nil {
		return true
	}
	ones, _ := dst.Mask.Size()
	return ones == 0
}

// readResolvers returns the name servers of the first file that names any that
// other hosts could use. A local stub hides the real ones in a file of its own.
func readResolvers(files ...string) []dhcp4.Addr {
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		var found []dhcp4.Addr
		for lines := bufio.NewScanner(f); lines.Scan(); {
			words := strings.Fields(lines.Text())
			if len(words) < 2 || words[0] != "nameserver" {
				continue
			}
			if a, err := dhcp4.ParseAddr(words[1]); err == nil && a.IsUnicastHost() && !slices.Contains(found, a) {
				found = append(found, a)
			}
		}
		f.Close()
		if len(found) > 0 {
			return found
		}
	}
	return nil
}
