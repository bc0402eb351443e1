package memnet

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// headers is what IP and UDP add to a payload.
const headers = 28

// port is a socket set of one interface, a server's or a client's. All of it is guarded by the network's
// lock.
type port struct {
	net     *Network
	host    *Host
	iface   *Interface
	link    wire.Link
	id      link.Identity
	rule    *link.Rule
	arrived *sync.Cond
	queue   [][]byte
	dropped uint64
	down    bool // to be reported once
	closed  bool
	ipID    uint16
}

// push queues a copy of the frame or counts its loss.
func (p *port) push(frame []byte) {
	if len(p.queue) >= QueueLimit {
		p.dropped++
		return
	}
	p.queue = append(p.queue, slices.Clone(frame))
	p.arrived.Signal()
}

// Receive implements link.Port. The packets' Data is the caller's for good.
func (p *port) Receive(b *link.Batch) error {
	b.Reset()
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	for {
		switch {
		case p.closed:
			return net.ErrClosed
		case p.down:
			p.down = false
			return fmt.Errorf("receive on %s: %w", p.link.Name, link.ErrDown)
		case len(p.queue) == 0:
			p.arrived.Wait()
			continue
		}
		n := min(len(p.queue), link.BatchSize)
		for _, f := range p.queue[:n] {
			b.Add(&p.id, f, link.Aux{})
		}
		p.queue = p.queue[n:]
		b.Dropped, p.dropped = p.dropped, 0
		return nil
	}
}

// Send implements link.Port.
func (p *port) Send(out []wire.Send) (failed int, err error) {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if p.closed {
		return len(out), net.ErrClosed
	}
	for i := range out {
		s := &out[i]
		send := p.route
		if s.Raw {
			send = p.raw
		}
		if e := send(s); e != nil {
			if failed++; err == nil {
				err = fmt.Errorf("send %d octets to %s on %s: %w", len(s.Data), s.Dst, p.link.Name, e)
			}
		}
	}
	return failed, err
}

func (p *port) raw(s *wire.Send) error {
	switch {
	case len(s.Data)+headers > p.link.MTU:
		return link.ErrTooLong
	case !p.iface.up:
		return link.ErrDown
	}
	p.ipID++
	p.transmit(p.iface, link.AppendFrame(nil, p.link.MAC, p.ipID, s))
	return nil
}

// bound is the interface that routed messages must leave by: a client's is its own.
func (p *port) bound() *Interface {
	if p.rule.AnyARP {
		return nil
	}
	return p.iface
}

// route sends by the host's routes; a next hop that nobody answers for is no error,
// as in the kernel.
func (p *port) route(s *wire.Send) error {
	out, hop, ok := p.host.nextHop(s.Dst, p.bound())
	switch {
	case !ok:
		return syscall.ENETUNREACH
	case len(s.Data)+headers > out.mtu:
		return link.ErrTooLong
	}
	mac, ok := out.sw.owner(uint32(hop))
	if !ok {
		return nil
	}
	p.ipID++
	m := *s
	m.MAC = mac
	p.transmit(out, link.AppendFrame(nil, out.mac, p.ipID, &m))
	return nil
}

func (p *port) transmit(i *Interface, frame []byte) {
	if i.carrier {
		i.sw.transmit(i, frame)
	}
}

// SendARP implements link.Port.
func (p *port) SendARP(as []wire.ARP) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	switch {
	case p.closed:
		return net.ErrClosed
	case !p.iface.up:
		return fmt.Errorf("send ARP on %s: %w", p.link.Name, link.ErrDown)
	}
	for i := range as {
		p.transmit(p.iface, link.AppendARP(nil, p.link.MAC, &as[i]))
	}
	return nil
}

// SendEcho implements link.Port.
func (p *port) SendEcho(es []wire.Echo) (failed int, err error) {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if p.closed {
		return len(es), net.ErrClosed
	}
	for i := range es {
		out, hop, ok := p.host.nextHop(es[i].Dst, p.bound())
		if !ok {
			if failed++; err == nil {
				err = fmt.Errorf("send an echo request to %s: %w", es[i].Dst, syscall.ENETUNREACH)
			}
			continue
		}
		if mac, ok := out.sw.owner(uint32(hop)); ok {
			p.ipID++
			p.transmit(out, link.AppendEchoFrame(nil, out.mac, mac, p.ipID, &es[i]))
		}
	}
	return failed, err
}

// Close implements link.Port.
func (p *port) Close() error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	p.closed = true
	p.iface.ports = slices.DeleteFunc(p.iface.ports, func(x *port) bool { return x == p })
	p.arrived.Broadcast()
	return nil
}

// clientPort is a port of a client.
type clientPort struct{ *port }

// WatchARP implements link.ClientPort.
func (p clientPort) WatchARP(addrs []dhcp4.Addr) error {
	r, err := link.WatchRule(addrs)
	if err != nil {
		return err
	}
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	p.rule = r
	return nil
}
