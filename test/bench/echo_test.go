package bench

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sys/unix"

	"lessor/dhcp4"
)

const (
	echoBatch = 64
	echoFrame = 1500
)

// echoes is a batch of messages in memory of its own, in the form that recvmmsg(2) and
// sendmmsg(2) take. The headers point into the value, which must not be copied.
type echoes struct {
	n     int
	data  [echoBatch][echoFrame]byte
	names [echoBatch]unix.RawSockaddrInet4
	iovs  [echoBatch]unix.Iovec
	msgs  [echoBatch]mmsghdr
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

func newEchoes() *echoes {
	e := new(echoes)
	for i := range e.msgs {
		e.iovs[i].Base = &e.data[i][0]
		h := &e.msgs[i].hdr
		h.Iov, h.Iovlen = &e.iovs[i], 1
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&e.names[i])), unix.SizeofSockaddrInet4
	}
	return e
}

// receive waits for messages and takes up to a batch.
func (e *echoes) receive(conn *echoConn) error {
	for i := range e.iovs {
		e.iovs[i].SetLen(echoFrame)
		e.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet4
	}
	return conn.call(conn.read, unix.SYS_RECVMMSG, &e.msgs[0], echoBatch, &e.n)
}

// turn makes each message a reply to the relay agent, or to where it came from.
func (e *echoes) turn() {
	for i := range e.n {
		m := &e.data[i]
		m[0] = 2
		port := dhcp4.ClientPort
		if gi := [4]byte(m[24:28]); gi != [4]byte{} {
			port = dhcp4.ServerPort
			e.names[i].Addr = gi
		}
		e.names[i].Port = uint16(port<<8 | port>>8)
		e.iovs[i].SetLen(int(e.msgs[i].n))
	}
}

// send sends all messages.
func (e *echoes) send(conn *echoConn) error {
	for at := 0; at < e.n; {
		n := 0
		if err := conn.call(conn.write, unix.SYS_SENDMMSG, &e.msgs[at], e.n-at, &n); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// echoConn is the socket of an echo server.
type echoConn struct {
	read, write func(func(fd uintptr) bool) error
}

func listenEcho() (*echoConn, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{Port: dhcp4.ServerPort})
	if err != nil {
		return nil, err
	}
	if err := conn.SetReadBuffer(8 << 20); err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &echoConn{raw.Read, raw.Write}, nil
}

// call makes one system call once the socket is ready for it.
func (c *echoConn) call(ready func(func(fd uintptr) bool) error, trap uintptr, first *mmsghdr, most int, n *int) error {
	var errno unix.Errno
	err := ready(func(fd uintptr) bool {
		var got uintptr
		got, _, errno = unix.Syscall6(trap, fd, uintptr(unsafe.Pointer(first)), uintptr(most), unix.MSG_DONTWAIT, 0, 0)
		*n = int(got)
		return errno != unix.EAGAIN
	})
	if err == nil && errno != 0 {
		err = fmt.Errorf("system call %d: %w", trap, errno)
	}
	return err
}

// serveEcho is a server that turns each request into a reply, as many at a time as are
// waiting. With a directory it sends them when a record of 160 octets for each is durable
// there: one goroutine receives, another one commits what has gathered and sends. It is
// the least that a server written with the same means must do.
func serveEcho(dir string) error {
	conn, err := listenEcho()
	if err != nil {
		return err
	}
	if dir == noStore {
		for e := newEchoes(); ; {
			if err := e.receive(conn); err != nil {
				return err
			}
			e.turn()
			if err := e.send(conn); err != nil {
				return err
			}
		}
	}
	db, err := pebble.Open(dir, &pebble.Options{})
	if err != nil {
		return err
	}
	g := &gathering{more: make(chan struct{}, 1)}
	failed := make(chan error, 2)
	go func() { failed <- g.fill(conn) }()
	go func() { failed <- g.commit(conn, db) }()
	return <-failed
}

// noStore in the place of a directory stands for an echo server without a store.
const noStore = "none"

// gathering is what waits for the next commit.
type gathering struct {
	mu   sync.Mutex
	full []*echoes
	free []*echoes
	more chan struct{}
}

// fill receives.
func (g *gathering) fill(conn *echoConn) error {
	for {
		var e *echoes
		g.mu.Lock()
		if n := len(g.free); n > 0 {
			e, g.free = g.free[n-1], g.free[:n-1]
		}
		g.mu.Unlock()
		if e == nil {
			e = newEchoes()
		}
		if err := e.receive(conn); err != nil {
			return err
		}
		e.turn()
		g.mu.Lock()
		g.full = append(g.full, e)
		g.mu.Unlock()
		select {
		case g.more <- struct{}{}:
		default:
		}
	}
}

// commit commits group after group and sends what waited for it.
func (g *gathering) commit(conn *echoConn, db *pebble.DB) error {
	var group []*echoes
	batch := db.NewBatch()
	var key [5]byte
	var value [155]byte
	for range g.more {
		g.mu.Lock()
		group, g.full = g.full, group[:0]
		g.mu.Unlock()
		for _, e := range group {
			for i := range e.n {
				// Clients come in order; their addresses, by which records are kept, do not.
				client := binary.BigEndian.Uint32(e.data[i][30:])
				binary.BigEndian.PutUint32(key[1:], client*2654435761>>12)
				copy(value[:], e.data[i][:44])
				if err := batch.Set(key[:], value[:], nil); err != nil {
					return err
				}
			}
		}
		if err := db.Apply(batch, pebble.Sync); err != nil {
			return err
		}
		batch.Reset()
		for _, e := range group {
			if err := e.send(conn); err != nil {
				return err
			}
		}
		g.mu.Lock()
		g.free = append(g.free, group...)
		g.mu.Unlock()
	}
	return nil
}
