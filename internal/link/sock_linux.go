package link

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendPatience is how long Send waits for a full transmit queue, in all.
const sendPatience = 100 * time.Millisecond

// sock is a non-blocking socket in the runtime's poller, so that Close ends what
// waits on it.
type sock struct {
	file *os.File
	raw  syscall.RawConn
}

// newSock takes the socket fd over; fd is closed when that fails.
func newSock(fd int, name string) (*sock, error) {
	f := os.NewFile(uintptr(fd), name)
	if f == nil {
		return nil, os.ErrInvalid
	}
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &sock{f, raw}, nil
}

// openSock makes a socket and lets set prepare it before it is in the poller.
func openSock(name string, domain, typ, proto int, set func(fd int) error) (*sock, error) {
	fd, err := unix.Socket(domain, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return nil, os.NewSyscallError("socket "+name, err)
	}
	if err := set(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return newSock(fd, name)
}

// receiver reads batches from a packet socket. Its function values are made once, so
// that a call allocates nothing.
type receiver struct {
	*sock
	ring  *rxRing // of the batch being filled
	n     int
	errno unix.Errno
	step  func(fd uintptr) bool
	stats unix.TpacketStats
	count func(fd uintptr)
}

func newReceiver(s *sock) *receiver {
	r := &receiver{sock: s}
	r.step = func(fd uintptr) bool {
		r.n, r.errno = r.ring.recv(fd)
		return r.errno != unix.EAGAIN
	}
	r.count = func(fd uintptr) {
		size := uint32(unsafe.Sizeof(r.stats))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_PACKET, unix.PACKET_STATISTICS,
			uintptr(unsafe.Pointer(&r.stats)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			r.stats.Drops = 0
		}
	}
	return r
}

// wait blocks until frames or an error are there.
func (r *receiver) wait(ring *rxRing) (int, error) {
	r.ring = ring
	err := r.raw.Read(r.step)
	r.ring = nil
	if err != nil {
		return 0, net.ErrClosed
	}
	if r.errno != 0 {
		return 0, r.errno
	}
	return r.n, nil
}

// drops reads and clears the kernel's count of frames lost. It is asked only after a
// full batch: a queue that overflowed holds many of them.
func (r *receiver) drops() uint64 {
	if r.raw.Control(r.count) != nil {
		return 0 // closed: the next wait says so
	}
	return uint64(r.stats.Drops)
}

// sender writes batches to a socket. Like the receiver it makes its function value
// once.
type sender struct {
	*sock
	tx    *txRing
	at    int // first message not yet dealt with
	errno unix.Errno
	block bool // wait for room
	never bool // a full queue is never waited for
	step  func(fd uintptr) bool
}

func newSender(s *sock, tx *txRing) *sender {
	w := &sender{sock: s, tx: tx}
	w.step = func(fd uintptr) bool {
		for w.at < w.tx.n {
			n, errno := w.tx.send(fd, w.at)
			switch {
			case errno == 0:
				w.at += n
			case errno == unix.EAGAIN && w.block:
				return false
			default:
				w.errno = errno
				return true
			}
		}
		return true
	}
	return w
}

// outcome gathers what became of the messages of one Send.
type outcome struct {
	failed int
	first  error // why the first that failed did
	origin int   // which one that was, by the caller's index
	until  time.Time
}

// refuse counts a message that was not sent.
func (o *outcome) refuse(origin int, err error) {
	if o.failed == 0 {
		o.first, o.origin = err, origin
	}
	o.failed++
}

// flush sends what the ring holds and empties it. Messages that the kernel does not
// take are counted in o; the error is net.ErrClosed or nil.
func (w *sender) flush(o *outcome) error {
	w.at = 0
	w.tx.seal()
	for w.at < w.tx.n {
		w.errno, w.block = 0, false
		if w.raw.Write(w.step) != nil {
			return net.ErrClosed
		}
		if w.errno == unix.EAGAIN && !w.never {
			if err := w.patient(o); err != nil {
				return err
			}
		}
		switch w.errno {
		case 0:
		case unix.EAGAIN:
			w.refuseRest(o, ErrFull)
		case unix.ENETDOWN, unix.ENXIO, unix.ENODEV:
			w.refuseRest(o, downError(w.errno))
		default: // ENOBUFS, EMSGSIZE, EPERM of a firewall, no route: this message only
			o.refuse(w.tx.origin[w.at], w.errno)
			w.at++
		}
	}
	w.tx.reset()
	return nil
}

// patient tries again until there is room or the patience of this Send is over.
func (w *sender) patient(o *outcome) error {
	if o.until.IsZero() {
		o.until = time.Now().Add(sendPatience)
	}
	if err := w.file.SetWriteDeadline(o.until); err != nil {
		return net.ErrClosed
	}
	w.errno, w.block = 0, true
	err := w.raw.Write(w.step)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.errno, err = unix.EAGAIN, nil
	}
	if err != nil {
		return net.ErrClosed
	}
	if err := w.file.SetWriteDeadline(time.Time{}); err != nil {
		return net.ErrClosed
	}
	return nil
}

// refuseRest gives up all messages not yet sent.
func (w *sender) refuseRest(o *outcome, err error) {
	for ; w.at < w.tx.n; w.at++ {
		o.refuse(w.tx.origin[w.at], err)
	}
}

// downError is ErrDown with what the kernel said.
func downError(errno unix.Errno) error { return fmt.Errorf("%w (%w)", ErrDown, errno) }
