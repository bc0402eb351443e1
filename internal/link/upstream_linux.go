package link

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// Upstream is how replies of servers come to a relay agent: UDP datagrams to one port of this
// host, on whatever interface of whatever kind but those of its clients. It holds the port, so that
// the kernel answers no server with "port unreachable". Receive is called by one goroutine,
// the other methods by any.
type Upstream struct {
	sock   *sock
	rx     *receiver
	closed atomic.Bool
}

const (
	// upstreamFrame is the room for a datagram.
	upstreamFrame = 9216

	upstreamBuffer = 4 << 20
	opReply        = 2
)

// OpenUpstream opens the socket on the port. It needs CAP_NET_BIND_SERVICE for a port under
// 1024; errors are those of Net.Open.
func (k *Kernel) OpenUpstream(port uint16) (*Upstream, error) {
	s, err := openSock("udp", unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDP, func(fd int) error {
		if err := attach(fd, upstreamFilter(nil)); err != nil {
			return err
		}
		if err := enlarge(fd, unix.SO_RCVBUF, unix.SO_RCVBUFFORCE, upstreamBuffer); err != nil {
			return err
		}
		return bindPort(fd, port, "")
	})
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return nil, privilege(port, fmt.Errorf("open port %d: %w", port, err))
	case err != nil:
		return nil, err
	}
	return &Upstream{sock: s, rx: newReceiver(s)}, nil
}

// upstreamFilter lets replies in, unless they came by an interface of clients. The kernel
// shows it the datagram from its UDP header on.
func upstreamFilter(clients []wire.LinkID) []bpf.Instruction {
	prog := []bpf.Instruction{
		bpf.LoadAbsolute{Off: udpLen, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: opReply, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadExtension{Num: bpf.ExtInterfaceIndex},
	}
	for _, id := range clients {
		prog = append(prog, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(id), SkipTrue: 1}, bpf.RetConstant{Val: 0})
	}
	return append(prog, bpf.RetConstant{Val: 0xffff})
}

// MaxClientLinks is how many interfaces Upstream.Refuse takes: as many as fit a filter.
const MaxClientLinks = 2000

// Refuse replaces the interfaces whose datagrams are left in the kernel. What was let in before
// and still waits is received.
func (u *Upstream) Refuse(clients []wire.LinkID) error {
	if len(clients) > MaxClientLinks {
		return fmt.Errorf("%d interfaces with clients, but at most %d", len(clients), MaxClientLinks)
	}
	var err error
	if u.sock.raw.Control(func(fd uintptr) { err = attach(int(fd), upstreamFilter(clients)) }) != nil {
		return net.ErrClosed
	}
	return err
}

// Receive blocks until replies have come and returns all that wait, up to BatchSize. Packets
// say their source and what they hold; their Link is 0. After Close it returns
// net.ErrClosed.
func (u *Upstream) Receive(b *Batch) error {
	b.Reset()
	if b.rx == nil {
		b.rx = newRxRing(upstreamFrame)
		b.rx.from = make([]unix.RawSockaddrInet4, BatchSize)
		for i := range b.rx.msgs {
			b.rx.msgs[i].Hdr.Name = (*byte)(unsafe.Pointer(&b.rx.from[i]))
		}
	}
	for i := range b.rx.msgs {
		b.rx.msgs[i].Hdr.Namelen = unix.SizeofSockaddrInet4
	}
	for len(b.Packets) == 0 && b.Bad[BadTruncated] == 0 {
		n, err := u.rx.wait(b.rx)
		if err != nil {
			if errno, ok := err.(unix.Errno); ok && !u.closed.Load() {
				return os.NewSyscallError("receive from servers", errno)
			}
			return net.ErrClosed
		}
		for i := range n {
			data, aux := b.rx.take(i)
			if aux.Cut {
				b.Bad[BadTruncated]++
				continue
			}
			from := &b.rx.from[i]
			b.Packets = append(b.Packets, wire.Packet{Data: data, Src: dhcp4.AddrFrom4(from.Addr),
				SrcPort: htons(from.Port)})
		}
	}
	return nil
}

// Close ends all pending and later calls with net.ErrClosed.
func (u *Upstream) Close() error {
	if u.closed.Swap(true) {
		return net.ErrClosed
	}
	return u.sock.file.Close()
}

// PathMTU is the largest IP packet that the kernel takes to reach dst by its routes as they are now.
func (k *Kernel) PathMTU(dst dhcp4.Addr) (octets int, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return 0, os.NewSyscallError("socket udp", err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: udpServer, Addr: dst.As4()}); err != nil {
		return 0, os.NewSyscallError("connect", err)
	}
	octets, err = unix.GetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU)
	return octets, os.NewSyscallError("IP_MTU", err)
}
