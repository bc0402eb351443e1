package link

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// auxSpace holds one PACKET_AUXDATA control message, and no other is asked for.
var auxSpace = unix.CmsgSpace(int(unsafe.Sizeof(unix.TpacketAuxdata{})))

// rxRing is the memory that recvmmsg fills: BatchSize frames with their control
// messages. It belongs to a Batch; the headers point into it for its whole life.
type rxRing struct {
	frame   int // octets for each frame
	data    []byte
	control []byte
	iovs    [BatchSize]unix.Iovec
	msgs    [BatchSize]unix.Mmsghdr
	from    []unix.RawSockaddrInet4 // sources of datagrams; nil for frames
}

// newRxRing returns a ring for frames of up to frame octets.
func newRxRing(frame int) *rxRing {
	r := &rxRing{frame: frame, data: make([]byte, frame*BatchSize), control: make([]byte, auxSpace*BatchSize)}
	for i := range r.msgs {
		r.iovs[i].Base = &r.data[i*frame]
		r.iovs[i].SetLen(frame)
		h := &r.msgs[i].Hdr
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Control = &r.control[i*auxSpace]
		h.SetControllen(auxSpace)
	}
	return r
}

// recv takes what waits on the socket, without blocking. The headers that an earlier
// call filled must have been taken with take, which readies them again.
func (r *rxRing) recv(fd uintptr) (int, unix.Errno) {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.msgs[0])), BatchSize, unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// take returns frame i of the last recv and what the kernel said about it.
func (r *rxRing) take(i int) ([]byte, Aux) {
	m := &r.msgs[i]
	aux := parseAux(r.control[i*auxSpace:][:min(auxSpace, int(m.Hdr.Controllen))])
	aux.Cut = m.Hdr.Flags&unix.MSG_TRUNC != 0
	m.Hdr.SetControllen(auxSpace)
	return r.data[i*r.frame:][:min(r.frame, int(m.Len))], aux
}

// parseAux reads a PACKET_AUXDATA control message; anything else is no facts.
func parseAux(c []byte) (aux Aux) {
	const size = int(unsafe.Sizeof(unix.TpacketAuxdata{}))
	head := unix.CmsgLen(0)
	if len(c) < head+size {
		return aux
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&c[0]))
	if h.Level != unix.SOL_PACKET || h.Type != unix.PACKET_AUXDATA || int(h.Len) < head+size {
		return aux
	}
	d := c[head:]
	status := binary.NativeEndian.Uint32(d)
	aux.SumPending = status&unix.TP_STATUS_CSUMNOTREADY != 0
	aux.SumChecked = status&unix.TP_STATUS_CSUM_VALID != 0
	if status&unix.TP_STATUS_VLAN_VALID != 0 {
		aux.VLAN = binary.NativeEndian.Uint16(d[unsafe.Offsetof(unix.TpacketAuxdata{}.Vlan_tci):]) & maxVLANID
	}
	return aux
}

// routeSpace holds one IP_PKTINFO control message.
var routeSpace = unix.CmsgSpace(unix.SizeofInet4Pktinfo)

// txRing is the memory that sendmmsg reads: a batch of frames or datagrams, one
// after the other in data. For datagrams each header also names the destination
// and, for the choice of the route, the source address.
type txRing struct {
	n       int
	data    []byte
	ends    [BatchSize]int
	origin  [BatchSize]int // the caller's index of each message
	iovs    [BatchSize]unix.Iovec
	msgs    [BatchSize]unix.Mmsghdr
	names   [BatchSize]unix.RawSockaddrInet4
	control []byte // nil for frames
}

// newTxRing returns a ring with memory for messages of about size octets.
func newTxRing(size int, routed bool) *txRing {
	r := &txRing{data: make([]byte, 0, size*BatchSize)}
	if routed {
		r.control = make([]byte, routeSpace*BatchSize)
	}
	for i := range r.msgs {
		h := &r.msgs[i].Hdr
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		if !routed {
			continue
		}
		r.names[i].Family = unix.AF_INET
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Namelen = unix.SizeofSockaddrInet4
		c := r.control[i*routeSpace:][:routeSpace]
		h.Control = &c[0]
		h.SetControllen(routeSpace)
		ch := (*unix.Cmsghdr)(unsafe.Pointer(&c[0]))
		ch.Level, ch.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		ch.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	}
	return r
}

// reset empties the ring.
func (r *txRing) reset() { r.n, r.data = 0, r.data[:0] }

// added closes the message just appended to data; origin is the caller's index.
func (r *txRing) added(origin int) {
	r.ends[r.n], r.origin[r.n] = len(r.data), origin
	r.n++
}

// route sets destination and source address of the message that is to be added.
func (r *txRing) route(dst, src [4]byte) {
	r.names[r.n].Addr = dst
	info := r.control[r.n*routeSpace+unix.CmsgLen(0):]
	copy(info[unsafe.Offsetof(unix.Inet4Pktinfo{}.Spec_dst):], src[:])
}

// seal points the headers at the messages, once data does not move any more.
func (r *txRing) seal() {
	start := 0
	for i := range r.n {
		r.iovs[i].Base = &r.data[start]
		r.iovs[i].SetLen(r.ends[i] - start)
		start = r.ends[i]
	}
}

// send hands messages from number at on to the kernel, without blocking. A count of
// more than zero says that the first ones were taken; an error concerns message at.
func (r *txRing) send(fd uintptr, at int) (int, unix.Errno) {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&r.msgs[at])), uintptr(r.n-at), unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}
