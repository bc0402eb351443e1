package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"lessor/internal/wire"
)

const (
	// receiveBuffer is asked for: 100 ms of stall at 20,000 packets a second is
	// 2,000 packets, each of which the kernel counts as more than 1 KiB.
	receiveBuffer = 8 << 20
	sendBuffer    = 1 << 20
	// smallBuffer is a receive buffer that may overflow without ever holding a
	// full batch.
	smallBuffer = 512 << 10
	// leastFrame is the room for a frame whatever the MTU says.
	leastFrame = 2048
)

// Kernel is the Net of this host, in the network namespace of the thread that calls
// its methods. It must not be copied. Its methods may be called by any goroutine.
type Kernel struct {
	locals Locals // written by Watch and Open, read by all ports
}

var _ Net = (*Kernel)(nil)

// NewKernel returns the host's Net.
func NewKernel() *Kernel { return new(Kernel) }

// Open implements Net. It needs CAP_NET_RAW and CAP_NET_BIND_SERVICE, and is
// content with the receive buffer that net.core.rmem_max gives when it does not
// have CAP_NET_ADMIN.
func (k *Kernel) Open(l wire.Link) (Port, error) { return k.open(l, false) }

// OpenShared is Open without the socket that holds port 67 on the interface, for a caller
// that holds it on all of them (OpenUpstream).
func (k *Kernel) OpenShared(l wire.Link) (Port, error) { return k.open(l, true) }

func (k *Kernel) open(l wire.Link, shared bool) (Port, error) {
	if err := k.refresh(); err != nil {
		return nil, fmt.Errorf("open %s: %w", l.Name, err)
	}
	o := opener{link: l, rule: ServerRule, receive: receiveBuffer, send: sendBuffer, shared: shared}
	made, err := o.open()
	if err != nil {
		return nil, err
	}
	id := Identity{Link: l.ID, MAC: l.MAC, Port: udpServer, Locals: &k.locals}
	return newPort(l, id, max(leastFrame, etherLen+l.MTU), made)
}

// sockets are the parts of a port, in this order: the holder of the UDP port, the packet
// socket that receives, the one that sends, the raw IP socket for what is routed.
type sockets [4]*sock

func (s *sockets) close() {
	for _, k := range s {
		if k != nil {
			k.file.Close()
		}
	}
}

// newPort makes a port of its sockets, which it takes over, for frames of up to frame
// octets. It needs no capability.
func newPort(l wire.Link, id Identity, frame int, made sockets) (*port, error) {
	p := &port{link: l, id: id, frame: frame, hold: made[0]}
	var got int
	var err error
	if cerr := made[1].raw.Control(func(fd uintptr) {
		got, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
	}); cerr != nil || err != nil {
		made.close()
		return nil, fmt.Errorf("open %s: read the receive buffer's size: %w", l.Name, errors.Join(cerr, err))
	}
	p.small = got < smallBuffer
	p.rx = newReceiver(made[1])
	p.tx = newSender(made[2], newTxRing(leastFrame, false))
	p.routed = newSender(made[3], newTxRing(leastFrame, true))
	// What is routed may wait in the kernel for an ARP answer that never comes, from a
	// relay agent that somebody made up. Nobody else is to wait with it.
	p.routed.never = true
	return p, nil
}

// opener opens the sockets of a port.
type opener struct {
	link    wire.Link
	rule    *Rule
	receive int  // octets of the receive buffer
	send    int  // octets of the send buffers; 0: what the host gives
	bound   bool // routed datagrams leave by the interface whatever the routes of others say
	shared  bool // the UDP port is held by another socket, and the one of this port holds nothing
}

// open opens all sockets, or none.
func (o *opener) open() (made sockets, err error) {
	for i, open := range []func() (*sock, error){o.openHold, o.openReceive, o.openSend, o.openRouted} {
		if made[i], err = open(); err != nil {
			made.close()
			return sockets{}, o.openError(err)
		}
	}
	return made, nil
}

// openError says what to do about err.
func (o *opener) openError(err error) error {
	var taken *PortTakenError
	switch {
	case errors.As(err, &taken):
		return err
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return privilege(o.rule.Port, fmt.Errorf("open %s: %w", o.link.Name, err))
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENETDOWN):
		return fmt.Errorf("open %s: %w (%w)", o.link.Name, ErrDown, err)
	}
	return fmt.Errorf("open %s: %w", o.link.Name, err)
}

// openHold opens the UDP socket that owns the port on the interface: another DHCP
// server or client is noticed, and the kernel answers nobody with "port unreachable". Its
// filter lets nothing in, since the packet socket receives.
func (o *opener) openHold() (*sock, error) {
	return openSock("udp", unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDP, func(fd int) error {
		if err := attach(fd, []bpf.Instruction{bpf.RetConstant{Val: 0}}); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
			return os.NewSyscallError("SO_BROADCAST", err)
		}
		if err := bindToLink(fd, o.link); err != nil {
			return os.NewSyscallError("SO_BINDTODEVICE", err)
		}
		if o.shared {
			return nil
		}
		return bindPort(fd, o.rule.Port, o.link.Name)
	})
}

// bindPort binds a UDP socket to the port, of the interface ifname or, when that is "", of
// all.
func bindPort(fd int, port uint16, ifname string) error {
	err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(port)})
	if errors.Is(err, unix.EADDRINUSE) {
		name, pid := holder(int(port))
		return &PortTakenError{Port: port, Link: ifname, Holder: name, PID: pid, Err: os.NewSyscallError("bind", err)}
	}
	return os.NewSyscallError(fmt.Sprintf("bind port %d", port), err)
}

// bindToLink binds by index, which a rename does not change; kernels before 5.0 know
// the name only.
func bindToLink(fd int, l wire.Link) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, int(l.ID))
	if errors.Is(err, unix.ENOPROTOOPT) {
		err = unix.BindToDevice(fd, l.Name)
	}
	return err
}

// openReceive opens the packet socket that receives. It has no protocol until it is
// bound, so that no frame comes in before filter and options are in force.
func (o *opener) openReceive() (*sock, error) {
	return openSock("packet", unix.AF_PACKET, unix.SOCK_RAW, 0, func(fd int) error {
		if err := attach(fd, o.rule.kernelFilter()); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
			return os.NewSyscallError("PACKET_AUXDATA", err)
		}
		// The filter drops outgoing frames too; the option, since Linux 4.20, spares
		// the work for each.
		err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
		if err != nil && !errors.Is(err, unix.ENOPROTOOPT) {
			return os.NewSyscallError("PACKET_IGNORE_OUTGOING", err)
		}
		if err := enlarge(fd, unix.SO_RCVBUF, unix.SO_RCVBUFFORCE, o.receive); err != nil {
			return err
		}
		return bindPacket(fd, o.link, unix.ETH_P_ALL)
	})
}

// openSend opens the packet socket that sends: without a protocol it receives
// nothing.
func (o *opener) openSend() (*sock, error) {
	return openSock("packet", unix.AF_PACKET, unix.SOCK_RAW, 0, func(fd int) error {
		if err := enlarge(fd, unix.SO_SNDBUF, unix.SO_SNDBUFFORCE, o.send); err != nil {
			return err
		}
		return bindPacket(fd, o.link, 0)
	})
}

// bindPacket binds a packet socket to the interface. Binding to one that is down
// succeeds and leaves an error behind, which is taken here.
func bindPacket(fd int, l wire.Link, proto uint16) error {
	err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(proto), Ifindex: int(l.ID)})
	if err == nil {
		var pending int
		if pending, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && pending != 0 {
			err = unix.Errno(pending)
		}
	}
	return os.NewSyscallError("bind packet socket", err)
}

// htons is v in network byte order, as the kernel wants it in an integer.
func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16([]byte{byte(v >> 8), byte(v)})
}

// openRouted opens the raw IP socket for routed datagrams. It carries whole
// datagrams, headers and all, so that it needs no port of its own; as a socket of
// protocol 255 it would hardly receive anything, and the filter sees to the rest.
func (o *opener) openRouted() (*sock, error) {
	return openSock("ip", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW, func(fd int) error {
		if err := attach(fd, []bpf.Instruction{bpf.RetConstant{Val: 0}}); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_HDRINCL, 1); err != nil {
			return os.NewSyscallError("IP_HDRINCL", err)
		}
		if o.bound {
			if err := bindToLink(fd, o.link); err != nil {
				return os.NewSyscallError("SO_BINDTODEVICE", err)
			}
		}
		return enlarge(fd, unix.SO_SNDBUF, unix.SO_SNDBUFFORCE, o.send)
	})
}

// enlarge asks for a socket buffer of n octets, by right of CAP_NET_ADMIN or else as
// much as the host's limit allows; 0 leaves what the host gives.
func enlarge(fd, opt, force, n int) error {
	if n == 0 || unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, n) == nil {
		return nil
	}
	return os.NewSyscallError("set the socket's buffer size", unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, n))
}

// attach gives the socket a filter program.
func attach(fd int, prog []bpf.Instruction) error {
	raw, err := bpf.Assemble(prog)
	if err != nil {
		return fmt.Errorf("assemble the socket filter: %w", err)
	}
	f := unix.SockFprog{Len: uint16(len(raw)), Filter: (*unix.SockFilter)(unsafe.Pointer(&raw[0]))}
	return os.NewSyscallError("SO_ATTACH_FILTER", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &f))
}
