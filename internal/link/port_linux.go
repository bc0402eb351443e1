package link

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"lessor/internal/wire"
)

// port is a Port of the kernel, a server's or a client's. Frames come in by rx and leave by tx, two packet
// sockets: on one socket the error that reports an interface down would go to
// whichever of receiver and sender asks first. One packet socket receives IP and ARP
// together, so that there is one queue to wait for. Routed datagrams leave by
// routed, a raw IP socket: a server's is bound to no interface, so that the kernel's routes
// alone decide the way. hold is a UDP socket that owns port 67 or 68 and receives nothing.
type port struct {
	link   wire.Link
	id     Identity
	frame  int // octets of the largest frame
	rx     *receiver
	tx     *sender
	routed *sender
	hold   *sock
	ipID   uint16 // IP identification of raw frames
	small  bool   // the receive buffer holds less than a few batches
	closed atomic.Bool
}

var _ Port = (*port)(nil)

// Receive implements Port.
func (p *port) Receive(b *Batch) error {
	b.Reset()
	if b.rx == nil || b.rx.frame < p.frame {
		b.rx = newRxRing(p.frame)
	}
	for !b.something() {
		if p.closed.Load() {
			return net.ErrClosed
		}
		n, err := p.rx.wait(b.rx)
		if err != nil {
			return p.receiveError(err)
		}
		for i := range n {
			frame, aux := b.rx.take(i)
			b.Add(&p.id, frame, aux)
		}
		if n == BatchSize || p.small {
			b.Dropped += p.rx.drops()
		}
	}
	return nil
}

func (p *port) receiveError(err error) error {
	errno, ok := err.(unix.Errno)
	switch {
	case p.closed.Load() || !ok:
		return net.ErrClosed
	case errno == unix.ENETDOWN || errno == unix.ENXIO || errno == unix.ENODEV:
		err = downError(errno)
	}
	return fmt.Errorf("receive on %s: %w", p.link.Name, err)
}

// Send implements Port. Messages of one kind that follow each other leave by one
// system call for each BatchSize of them.
func (p *port) Send(out []wire.Send) (failed int, err error) {
	if p.closed.Load() {
		return len(out), net.ErrClosed
	}
	var o outcome
	last := p.tx
	for i := range out {
		s := &out[i]
		w := p.tx
		if !s.Raw {
			w = p.routed
		}
		if last != w || w.tx.n == BatchSize {
			if last.flush(&o) != nil {
				return len(out), net.ErrClosed
			}
		}
		last = w
		if len(s.Data)+ipLen+udpLen > p.mtu(s) {
			o.refuse(i, ErrTooLong)
			continue
		}
		if s.Raw {
			p.ipID++
			w.tx.data = AppendFrame(w.tx.data, p.link.MAC, p.ipID, s)
		} else {
			w.tx.route(s.Dst.As4(), s.Src.As4())
			w.tx.data = AppendDatagram(w.tx.data, 0, s) // the kernel fills the identification in
		}
		w.tx.added(i)
	}
	if last.flush(&o) != nil {
		return len(out), net.ErrClosed
	}
	if o.failed != 0 {
		return o.failed, p.sendError(&out[o.origin], o.first)
	}
	return 0, nil
}

// mtu is the largest IP packet for s; for a routed one the kernel knows better, but
// it must be a datagram at all.
func (p *port) mtu(s *wire.Send) int {
	if s.Raw {
		return p.link.MTU
	}
	return 0xffff
}

func (p *port) sendError(s *wire.Send, err error) error {
	if s.Raw {
		return fmt.Errorf("send %d octets to %s (%s) on %s: %w",
			len(s.Data), s.Dst, net.HardwareAddr(s.MAC[:]), p.link.Name, err)
	}
	if errors.Is(err, unix.EMSGSIZE) {
		err = fmt.Errorf("%w (%w)", ErrTooLong, err)
	}
	return fmt.Errorf("send %d octets from %s to %s by the host's routes: %w", len(s.Data), s.Src, s.Dst, err)
}

// SendARP implements Port.
func (p *port) SendARP(as []wire.ARP) error {
	if p.closed.Load() {
		return net.ErrClosed
	}
	var o outcome
	for i := range as {
		if p.tx.tx.n == BatchSize {
			if p.tx.flush(&o) != nil {
				return net.ErrClosed
			}
		}
		p.tx.tx.data = AppendARP(p.tx.tx.data, p.link.MAC, &as[i])
		p.tx.tx.added(i)
	}
	if p.tx.flush(&o) != nil {
		return net.ErrClosed
	}
	if o.failed != 0 {
		return fmt.Errorf("send ARP about %s on %s: %w", as[o.origin].TargetIP, p.link.Name, o.first)
	}
	return nil
}

// SendEcho implements Port.
func (p *port) SendEcho(es []wire.Echo) (failed int, err error) {
	if p.closed.Load() {
		return len(es), net.ErrClosed
	}
	var o outcome
	w := p.routed
	for i := range es {
		if w.tx.n == BatchSize && w.flush(&o) != nil {
			return len(es), net.ErrClosed
		}
		w.tx.route(es[i].Dst.As4(), es[i].Src.As4())
		w.tx.data = AppendEcho(w.tx.data, 0, &es[i]) // the kernel fills the identification in
		w.tx.added(i)
	}
	if w.flush(&o) != nil {
		return len(es), net.ErrClosed
	}
	if o.failed != 0 {
		return o.failed, fmt.Errorf("send an echo request from %s to %s by the host's routes: %w", es[o.origin].Src, es[o.origin].Dst, o.first)
	}
	return 0, nil
}

// Close implements Port. When it returns, the UDP port is free again.
func (p *port) Close() error {
	if p.closed.Swap(true) {
		return net.ErrClosed
	}
	return errors.Join(p.rx.file.Close(), p.tx.file.Close(), p.routed.file.Close(), p.hold.file.Close())
}
