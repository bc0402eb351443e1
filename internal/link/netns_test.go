package link_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/link/linktest"
	"lessor/internal/wire"
)

// namespace is a network namespace with a thread of its own in it.
type namespace struct {
	work chan func()
	fd   int
}

func newNamespace(t testing.TB) *namespace {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test makes network namespaces and needs root: sudo go test ./internal/link")
	}
	ns := &namespace{work: make(chan func())}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			ns.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		started <- err
		for f := range ns.work {
			f()
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() {
		close(ns.work)
		unix.Close(ns.fd)
	})
	ns.do(t, func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0)
	})
	return ns
}

// run runs f on the namespace's thread.
func (ns *namespace) run(f func() error) error {
	done := make(chan error)
	ns.work <- func() { done <- f() }
	return <-done
}

func (ns *namespace) do(t testing.TB, f func() error) {
	t.Helper()
	if err := ns.run(f); err != nil {
		t.Fatal(err)
	}
}

// inNamespace is Kernel in a namespace.
type inNamespace struct {
	*link.Kernel
	ns *namespace
}

func (k *inNamespace) Open(l wire.Link) (p link.Port, err error) {
	err = k.ns.run(func() error {
		p, err = k.Kernel.Open(l)
		return err
	})
	return p, err
}

func (k *inNamespace) Watch(ctx context.Context, names []string, changed func([]wire.Link, []link.Missing)) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(k.ns.fd, unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- k.Kernel.Watch(ctx, names, changed)
	}()
	return <-done
}

func (k *inNamespace) OpenClient(l wire.Link) (p link.ClientPort, err error) {
	err = k.ns.run(func() error {
		p, err = k.Kernel.OpenClient(l)
		return err
	})
	return p, err
}

func (k *inNamespace) WatchClient(ctx context.Context, name string, changed func(*wire.Link, *link.Missing)) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(k.ns.fd, unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- k.Kernel.WatchClient(ctx, name, changed)
	}()
	return <-done
}

// bed is a server's namespace joined by veth pairs to a namespace for the peers.
type bed struct {
	t            testing.TB
	server, far  *namespace
	kernel       *inNamespace
	pairs        map[string]string // server's interface: the peer's
	pairsCreated int
}

func newBed(t testing.TB) *bed {
	t.Helper()
	b := &bed{t: t, server: newNamespace(t), far: newNamespace(t), pairs: map[string]string{}}
	b.kernel = &inNamespace{link.NewKernel(), b.server}
	return b
}

func (b *bed) Net() link.Net             { return b.kernel }
func (b *bed) ClientNet() link.ClientNet { return b.kernel }

func (b *bed) SetMAC(name string, mac wire.MAC) {
	b.server.do(b.t, func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.LinkSetHardwareAddr(l, mac[:])
	})
}

func (b *bed) Add(name string) linktest.Peer {
	b.t.Helper()
	b.pairsCreated++
	peer := fmt.Sprintf("peer%d", b.pairsCreated)
	b.server.do(b.t, func() error {
		a := netlink.NewLinkAttrs()
		a.Name = name
		err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: a, PeerName: peer, PeerNamespace: netlink.NsFd(b.far.fd)})
		if err != nil {
			return fmt.Errorf("add veth pair: %w", err)
		}
		return setUp(name, true)
	})
	b.pairs[name] = peer
	p := &kernelPeer{t: b.t, ns: b.far, name: peer}
	b.far.do(b.t, func() error {
		if err := setUp(peer, true); err != nil {
			return err
		}
		return p.open()
	})
	b.t.Cleanup(func() { p.file.Close() })
	return p
}

func setUp(name string, up bool) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if up {
		return netlink.LinkSetUp(l)
	}
	return netlink.LinkSetDown(l)
}

func (b *bed) SetUp(name string, up bool) {
	b.server.do(b.t, func() error { return setUp(name, up) })
}

func (b *bed) SetCarrier(name string, on bool) {
	b.far.do(b.t, func() error { return setUp(b.pairs[name], on) })
}

func (b *bed) SetAddrs(name string, addrs ...dhcp4.Prefix) {
	b.server.do(b.t, func() error { return setAddrs(name, addrs) })
}

// setAddrs gives the interface exactly these addresses; one that stays is not touched.
func setAddrs(name string, addrs []dhcp4.Prefix) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	have, err := netlink.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	kept := map[string]bool{}
	for _, a := range have {
		keep := false
		for _, p := range addrs {
			keep = keep || p.String() == a.IPNet.String()
		}
		if kept[a.IPNet.String()] = keep; !keep {
			if err := netlink.AddrDel(l, &a); err != nil {
				return err
			}
		}
	}
	for _, p := range addrs {
		if kept[p.String()] {
			continue
		}
		four := p.Addr.As4()
		n := &net.IPNet{IP: four[:], Mask: net.CIDRMask(p.Bits, 32)}
		if err := netlink.AddrAdd(l, &netlink.Addr{IPNet: n}); err != nil {
			return err
		}
	}
	return nil
}

func (b *bed) Rename(from, to string) {
	b.server.do(b.t, func() error {
		l, err := netlink.LinkByName(from)
		if err != nil {
			return err
		}
		return netlink.LinkSetName(l, to)
	})
	b.pairs[to] = b.pairs[from]
	delete(b.pairs, from)
}

func (b *bed) Remove(name string) {
	b.server.do(b.t, func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	})
}

func (b *bed) AddRoute(to dhcp4.Prefix, via dhcp4.Addr) {
	b.server.do(b.t, func() error {
		dst, gw := to.Addr.As4(), via.As4()
		return netlink.RouteAdd(&netlink.Route{Dst: &net.IPNet{IP: dst[:], Mask: net.CIDRMask(to.Bits, 32)}, Gw: gw[:]})
	})
}

func (b *bed) Neighbours() (n int) {
	b.server.do(b.t, func() error {
		list, err := netlink.NeighList(0, netlink.FAMILY_V4)
		for _, e := range list {
			if e.State&netlink.NUD_NOARP == 0 {
				n++
			}
		}
		return err
	})
	return n
}

func (b *bed) Overflow() int { return 40000 }

// kernelPeer is a packet socket on the far end of a veth pair; its kernel answers ARP.
type kernelPeer struct {
	t    testing.TB
	ns   *namespace
	name string
	mac  wire.MAC
	file *os.File
	raw  syscall.RawConn
	buf  [4096]byte
}

func (p *kernelPeer) open() error {
	l, err := netlink.LinkByName(p.name)
	if err != nil {
		return err
	}
	copy(p.mac[:], l.Attrs().HardwareAddr)
	all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	p.file = os.NewFile(uintptr(fd), "peer")
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return err
	}
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: l.Attrs().Index}))
}

func (p *kernelPeer) MAC() wire.MAC { return p.mac }

func (p *kernelPeer) SetAddrs(addrs ...dhcp4.Prefix) {
	p.ns.do(p.t, func() error { return setAddrs(p.name, addrs) })
}

func (p *kernelPeer) Send(frame []byte) {
	var serr error
	err := p.raw.Write(func(fd uintptr) bool {
		_, serr = unix.Write(int(fd), frame)
		return serr != unix.EAGAIN
	})
	if err = errors.Join(err, serr); err != nil {
		p.t.Fatalf("peer: send: %v", err)
	}
}

func (p *kernelPeer) Receive(timeout time.Duration) ([]byte, bool) {
	if err := p.file.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		p.t.Fatal(err)
	}
	n, rerr := 0, error(nil)
	err := p.raw.Read(func(fd uintptr) bool {
		n, rerr = unix.Read(int(fd), p.buf[:])
		return rerr != unix.EAGAIN
	})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, false
	case err != nil || rerr != nil:
		p.t.Fatalf("peer: receive: %v", errors.Join(err, rerr))
	}
	return append([]byte(nil), p.buf[:n]...), true
}

func TestConformance(t *testing.T) {
	linktest.Run(t, func(t *testing.T) linktest.Bed { return newBed(t) })
}

func TestClientConformance(t *testing.T) {
	linktest.RunClient(t, func(t *testing.T) linktest.ClientBed { return newBed(t) })
}
