package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"lessor/internal/wire"
)

// Host is one machine of a lab. Its methods may be called by any goroutine.
type Host struct {
	// Name is for people; it has no meaning to the kernel.
	Name string
	// Root holds the private directories: Root/etc is the host's /etc, and so on.
	Root string

	work  chan func()   // run by the one thread that lives in the namespaces
	quit  chan struct{} // asks that thread to end
	done  chan struct{} // closed when it has
	ns    netns.NsHandle
	nl    *netlink.Handle
	mu    sync.Mutex
	procs []*Proc
}

func newHost(name, root string) (*Host, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	h := &Host{Name: name, Root: root, work: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	ready := make(chan error, 1)
	go h.thread(ready)
	if err := <-ready; err != nil {
		return nil, err
	}
	nl, err := netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open netlink: %w", err), h.close())
	}
	h.nl = nl
	lo, err := nl.LinkByName("lo")
	if err == nil {
		err = nl.LinkSetUp(lo)
	}
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// thread enters new namespaces and runs what Do sends until the host is closed. It
// never gives its thread back: when it returns, the runtime ends the thread, and
// with it the kernel kills the programs that it started.
func (h *Host) thread(ready chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The main thread's namespaces are what /proc/self shows to the whole process, and
		// it never ends. Keep it here until another thread has been taken.
		started := make(chan error, 1)
		go h.thread(started)
		err := <-started
		runtime.UnlockOSThread()
		ready <- err
		return
	}
	defer close(h.done)
	if err := h.enter(); err != nil {
		ready <- err
		return
	}
	ready <- nil
	for {
		select {
		case f := <-h.work:
			f()
		case <-h.quit:
			return
		}
	}
}

func (h *Host) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make namespaces (this needs root or a user namespace): %w", err)
	}
	ns, err := netns.Get()
	if err != nil {
		return fmt.Errorf("open the network namespace: %w", err)
	}
	h.ns = ns
	// IPv6 would only add router solicitations to what is captured.
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0)
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	return makePrivate(h.Root, h.Name)
}

// Do runs f on the thread that lives in the host's namespaces and returns its
// error. Sockets opened and programs started by f belong to the host. f must not
// start goroutines that rely on the namespaces, and must not call Do of the same host.
func (h *Host) Do(f func() error) error {
	err := make(chan error, 1)
	select {
	case h.work <- func() { err <- f() }:
		return <-err
	case <-h.done:
		return fmt.Errorf("host %s is closed", h.Name)
	}
}

func (h *Host) close() error {
	h.mu.Lock()
	procs := h.procs
	h.procs = nil
	h.mu.Unlock()
	for _, p := range procs {
		p.Kill()
	}
	close(h.quit)
	<-h.done
	if h.nl != nil {
		h.nl.Close()
	}
	return h.ns.Close()
}

// Path is where a file of the host is seen from outside: /etc/resolv.conf of the
// host is Path("/etc/resolv.conf"). It is true for the private directories only.
func (h *Host) Path(file string) string { return filepath.Join(h.Root, file) }

func (h *Host) link(ifname string, what string, f func(netlink.Link) error) error {
	l, err := h.nl.LinkByName(ifname)
	if err == nil {
		err = f(l)
	}
	if err != nil {
		return fmt.Errorf("%s %s of %s: %w", what, ifname, h.Name, err)
	}
	return nil
}

// SetUp sets the interface up.
func (h *Host) SetUp(ifname string) error { return h.link(ifname, "set up", h.nl.LinkSetUp) }

// SetDown sets the interface down; its addresses stay, its routes go.
func (h *Host) SetDown(ifname string) error { return h.link(ifname, "set down", h.nl.LinkSetDown) }

// Delete removes the interface, and the other end of its wire with it.
func (h *Host) Delete(ifname string) error { return h.link(ifname, "delete", h.nl.LinkDel) }

// Rename gives the interface another name; the kernel keeps its index. An interface
// that is up can be renamed too.
func (h *Host) Rename(ifname, to string) error {
	return h.link(ifname, "rename", func(l netlink.Link) error { return h.nl.LinkSetName(l, to) })
}

// AddAddr gives the interface an address in CIDR notation.
func (h *Host) AddAddr(ifname, cidr string) error {
	return h.link(ifname, "add "+cidr+" to", func(l netlink.Link) error {
		a, err := netlink.ParseAddr(cidr)
		if err != nil {
			return err
		}
		return h.nl.AddrAdd(l, a)
	})
}

// DelAddr takes an address, in CIDR notation, from the interface.
func (h *Host) DelAddr(ifname, cidr string) error {
	return h.link(ifname, "delete "+cidr+" from", func(l netlink.Link) error {
		a, err := netlink.ParseAddr(cidr)
		if err != nil {
			return err
		}
		return h.nl.AddrDel(l, a)
	})
}

// AddRoute adds a route by a gateway; to is a prefix, or "default".
func (h *Host) AddRoute(to, gateway string) error {
	r := &netlink.Route{Gw: net.ParseIP(gateway)}
	if to != "default" {
		_, dst, err := net.ParseCIDR(to)
		if err != nil {
			return err
		}
		r.Dst = dst
	}
	if err := h.nl.RouteAdd(r); err != nil {
		return fmt.Errorf("add route to %s via %s on %s: %w", to, gateway, h.Name, err)
	}
	return nil
}

// Forward makes the host a router.
func (h *Host) Forward() error {
	return h.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
}

// Addrs are the interface's IPv4 addresses; none if it does not exist.
func (h *Host) Addrs(ifname string) []netip.Prefix {
	l, err := h.nl.LinkByName(ifname)
	if err != nil {
		return nil
	}
	as, err := h.nl.AddrList(l, unix.AF_INET)
	if err != nil {
		return nil
	}
	var ps []netip.Prefix
	for _, a := range as {
		ip, ok := netip.AddrFromSlice(a.IP.To4())
		if bits, _ := a.Mask.Size(); ok {
			ps = append(ps, netip.PrefixFrom(ip, bits))
		}
	}
	return ps
}

// Addr is the interface's first IPv4 address; the zero Addr if it has none.
func (h *Host) Addr(ifname string) netip.Addr {
	if as := h.Addrs(ifname); len(as) > 0 {
		return as[0].Addr()
	}
	return netip.Addr{}
}

// WaitAddr waits until ok says yes to the interface's first address (the zero Addr
// when it has none) and returns that address.
func (h *Host) WaitAddr(ifname string, timeout time.Duration, ok func(netip.Addr) bool) (netip.Addr, error) {
	for end := time.Now().Add(timeout); ; time.Sleep(20 * time.Millisecond) {
		a := h.Addr(ifname)
		if ok(a) {
			return a, nil
		}
		if time.Now().After(end) {
			return a, fmt.Errorf("after %s the address of %s on %s is %v, not what was waited for", timeout, ifname, h.Name, a)
		}
	}
}

// MAC is the interface's Ethernet address; all zero if it does not exist.
func (h *Host) MAC(ifname string) (m [6]byte) {
	if l, err := h.nl.LinkByName(ifname); err == nil {
		copy(m[:], l.Attrs().HardwareAddr)
	}
	return m
}

// SetMAC gives the interface another Ethernet address.
func (h *Host) SetMAC(ifname string, mac wire.MAC) error {
	return h.link(ifname, "set the Ethernet address of", func(l netlink.Link) error {
		return h.nl.LinkSetHardwareAddr(l, mac[:])
	})
}

// Index is the interface's index; 0 if it does not exist.
func (h *Host) Index(ifname string) int {
	if l, err := h.nl.LinkByName(ifname); err == nil {
		return l.Attrs().Index
	}
	return 0
}
