package e2e

import (
	"errors"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"lessor/internal/netlab"
)

// Station is a packet socket on one interface of a host, from which any number of
// test clients send and hear. Send may be called by one goroutine, Receive by one other.
type Station struct {
	fd    int
	Index int // of the interface

	out []mmsghdr
	ov  []unix.Iovec
	in  []mmsghdr
	iv  []unix.Iovec
	buf [][]byte
}

// mmsghdr is struct mmsghdr of sendmmsg(2) and recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

const (
	batch    = 64
	maxFrame = 2048
)

// NewStation opens the socket. It hears every IPv4 frame of the interface, whatever
// its destination, and none that the host itself sends.
func NewStation(h *netlab.Host, ifname string) (*Station, error) {
	s := &Station{Index: h.Index(ifname)}
	err := h.Do(func() (err error) {
		proto := uint16(unix.ETH_P_IP)
		proto = proto<<8 | proto>>8
		if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20)
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 32<<20)
		if err = unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return err
		}
		// Addresses of many clients: the interface must not look at the destination.
		mreq := unix.PacketMreq{Ifindex: int32(s.Index), Type: unix.PACKET_MR_PROMISC}
		if err = unix.SetsockoptPacketMreq(s.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq); err != nil {
			return err
		}
		return unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: s.Index})
	})
	if err != nil {
		return nil, fmt.Errorf("packet socket on %s of %s: %w", ifname, h.Name, err)
	}
	s.out, s.ov = make([]mmsghdr, batch), make([]unix.Iovec, batch)
	s.in, s.iv = make([]mmsghdr, batch), make([]unix.Iovec, batch)
	for i := range batch {
		s.buf = append(s.buf, make([]byte, maxFrame))
		s.iv[i].Base = &s.buf[i][0]
		s.in[i].hdr.Iov, s.in[i].hdr.Iovlen = &s.iv[i], 1
		s.out[i].hdr.Iov, s.out[i].hdr.Iovlen = &s.ov[i], 1
	}
	return s, nil
}

// Close closes the socket. No other method may be running.
func (s *Station) Close() error { return unix.Close(s.fd) }

// Send sends the frames in order, 64 with one system call.
func (s *Station) Send(frames [][]byte) error {
	for len(frames) > 0 {
		n := min(len(frames), batch)
		for i, f := range frames[:n] {
			s.ov[i].Base = &f[0]
			s.ov[i].SetLen(len(f))
		}
		sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.out[0])), uintptr(n), 0, 0, 0)
		runtime.KeepAlive(frames)
		switch errno {
		case 0:
			frames = frames[sent:]
		case unix.EINTR:
		case unix.ENOBUFS:
			time.Sleep(100 * time.Microsecond)
		default:
			return fmt.Errorf("send frames: %w", errno)
		}
	}
	return nil
}

// Receive waits up to timeout for frames and calls fn for each that is there, at
// most 64. The frame is valid during the call only.
func (s *Station) Receive(timeout time.Duration, fn func(frame []byte)) error {
	ts := unix.NsecToTimespec(max(timeout.Nanoseconds(), 0))
	_, err := unix.Ppoll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}, &ts, nil)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for frames: %w", err)
	}
	for i := range s.iv {
		s.iv[i].SetLen(maxFrame)
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.in[0])), batch, unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
	case unix.EAGAIN, unix.EINTR, unix.ENETDOWN:
		return nil
	default:
		return fmt.Errorf("receive frames: %w", errno)
	}
	for i := range int(n) {
		fn(s.buf[i][:s.in[i].n])
	}
	return nil
}
