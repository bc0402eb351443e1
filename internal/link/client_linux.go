package link

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// clientBuffer is the receive buffer of a client: answers to one exchange come from a few
// servers. A flood fills it and is then left in the kernel, which counts it.
const clientBuffer = 256 << 10

// clientFrame is the room for a frame: a message of 4096 octets, more than any client
// takes, with all headers and IP options. It does not depend on the MTU, which the lease itself
// may change (option 26) while an answer is on its way.
const clientFrame = etherLen + 60 + udpLen + 4096

var _ ClientNet = (*Kernel)(nil)

// clientPort is a ClientPort of the kernel. Whether the machine runs with capabilities
// matters only while the sockets are opened.
type clientPort struct{ *port }

var _ ClientPort = clientPort{}

// OpenClient implements ClientNet: OpenClientFiles and ClientPort in one process.
func (k *Kernel) OpenClient(l wire.Link) (ClientPort, error) {
	files, err := k.OpenClientFiles(l)
	if err != nil {
		return nil, err
	}
	return k.ClientPort(l, files)
}

// OpenClientFiles opens the sockets of a client's port on l, for ClientPort of this process
// or, sent over a Unix socket, of another one. The order matters. It needs CAP_NET_RAW and
// CAP_NET_BIND_SERVICE; errors are those of Net.Open. The caller closes the files when it
// has sent them; the UDP port is free again when nobody has them any more.
func (k *Kernel) OpenClientFiles(l wire.Link) ([]*os.File, error) {
	o := opener{link: l, rule: ClientRule, receive: clientBuffer, bound: true}
	made, err := o.open()
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, s := range made {
		files = append(files, s.file)
	}
	return files, nil
}

// ClientPort makes a port of what OpenClientFiles opened for the same link. It needs no
// capability. It takes the files over, also when it fails.
func (k *Kernel) ClientPort(l wire.Link, files []*os.File) (ClientPort, error) {
	var made sockets
	err := func() error {
		if len(files) != len(made) {
			return fmt.Errorf("%d sockets were passed, want %d", len(files), len(made))
		}
		for i, f := range files {
			var err error
			if made[i], err = takeOver(f); err != nil {
				return err
			}
		}
		return nil
	}()
	for _, f := range files {
		f.Close()
	}
	if err != nil {
		made.close()
		return nil, fmt.Errorf("open %s: take the sockets over: %w", l.Name, err)
	}
	p, err := newPort(l, Identity{Link: l.ID, MAC: l.MAC, Port: udpClient}, clientFrame, made)
	if err != nil {
		return nil, err
	}
	return clientPort{p}, nil
}

// takeOver makes a non-blocking socket in the poller of f, whatever became of f's mode on
// its way, and leaves f to be closed.
func takeOver(f *os.File) (*sock, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	if cerr := raw.Control(func(old uintptr) {
		if fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			err = unix.SetNonblock(fd, true)
		}
	}); cerr != nil {
		return nil, cerr
	}
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, os.NewSyscallError("duplicate a socket", err)
	}
	return newSock(fd, f.Name())
}

// WatchARP implements ClientPort. The kernel puts the new filter in place of the old one
// at once; messages that the old one let in and that still wait are received.
func (p clientPort) WatchARP(addrs []dhcp4.Addr) error {
	r, err := WatchRule(addrs)
	if err != nil {
		return err
	}
	if p.rx.raw.Control(func(fd uintptr) { err = attach(int(fd), r.kernelFilter()) }) != nil {
		return net.ErrClosed
	}
	if err != nil {
		return fmt.Errorf("watch ARP on %s: %w", p.link.Name, err)
	}
	return nil
}
