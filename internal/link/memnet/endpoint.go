package memnet

import (
	"context"
	"slices"
	"sync"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// Frame is a frame that an endpoint received: what it holds and its bytes.
type Frame struct {
	link.Frame
	Bytes []byte
}

// Endpoint is a network card on a switch, driven by a test: it sends what it is
// given and keeps what it receives. It answers ARP and ICMP echo requests for its addresses.
type Endpoint struct {
	net      *Network
	sw       *Switch
	mac      wire.MAC
	addrs    []dhcp4.Addr
	behind   []dhcp4.Addr
	promisc  bool
	queue    [][]byte
	dropped  uint64
	arrived  *sync.Cond
	id       uint16
	plugged  bool
	receives bool
}

// Endpoint plugs a network card into the switch.
func (s *Switch) Endpoint(mac wire.MAC, addrs ...dhcp4.Addr) *Endpoint {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	e := &Endpoint{net: s.net, sw: s, mac: mac, addrs: addrs, plugged: true, receives: true, arrived: sync.NewCond(&s.net.mu)}
	s.plug(e)
	return e
}

// MAC is the card's hardware address.
func (e *Endpoint) MAC() wire.MAC { return e.mac }

// SetAddrs sets the addresses that the endpoint answers ARP requests for, and at
// which routed messages find it.
func (e *Endpoint) SetAddrs(addrs ...dhcp4.Addr) {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	e.addrs = slices.Clone(addrs)
}

// SetBehind makes the endpoint a router to hosts that have the given addresses: echo requests
// for them that come to it are answered.
func (e *Endpoint) SetBehind(addrs ...dhcp4.Addr) {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	e.behind = slices.Clone(addrs)
}

// SetPromiscuous lets the endpoint see all frames of its switch.
func (e *Endpoint) SetPromiscuous(on bool) {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	e.promisc = on
}

// SetListening says whether received frames are kept; an endpoint that only answers
// ARP or only sends needs no queue.
func (e *Endpoint) SetListening(on bool) {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	e.receives = on
}

// Unplug takes the endpoint off its switch. What it has received stays.
func (e *Endpoint) Unplug() {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	e.sw.unplug(e)
	e.plugged = false
}

// Send puts an Ethernet frame, which is copied, on the switch.
func (e *Endpoint) Send(frame []byte) {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	if e.plugged {
		e.sw.transmit(e, slices.Clone(frame))
	}
}

// SendDHCP sends a message as a frame to m.MAC; Link and Raw are not looked at.
func (e *Endpoint) SendDHCP(m wire.Send) {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	if e.plugged {
		e.id++
		e.sw.transmit(e, link.AppendFrame(nil, e.mac, e.id, &m))
	}
}

// SendARP sends an ARP message to all.
func (e *Endpoint) SendARP(a wire.ARP) {
	e.Send(link.AppendARP(nil, e.mac, &a))
}

// Receive returns the oldest frame received, if there is one.
func (e *Endpoint) Receive() (Frame, bool) {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	if len(e.queue) == 0 {
		return Frame{}, false
	}
	return e.pop(), true
}

// Wait returns the oldest frame received, waiting for one until ctx ends.
func (e *Endpoint) Wait(ctx context.Context) (Frame, error) {
	defer context.AfterFunc(ctx, func() {
		e.net.mu.Lock()
		defer e.net.mu.Unlock()
		e.arrived.Broadcast()
	})()
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	for len(e.queue) == 0 {
		if err := ctx.Err(); err != nil {
			return Frame{}, err
		}
		e.arrived.Wait()
	}
	return e.pop(), nil
}

// Dropped counts the frames lost because nobody took them in time.
func (e *Endpoint) Dropped() uint64 {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	return e.dropped
}

func (e *Endpoint) pop() Frame {
	b := e.queue[0]
	e.queue = e.queue[1:]
	return Frame{Frame: link.Decode(b), Bytes: b}
}

func (e *Endpoint) hardware() wire.MAC { return e.mac }
func (e *Endpoint) owns(a uint32) bool { return slices.Contains(e.addrs, dhcp4.Addr(a)) }
func (e *Endpoint) promiscuous() bool  { return e.promisc }

func (e *Endpoint) deliver(frame []byte) []byte {
	switch {
	case !e.receives:
	case len(e.queue) >= QueueLimit:
		e.dropped++
	default:
		e.queue = append(e.queue, slices.Clone(frame))
		e.arrived.Signal()
	}
	return answer(e, frame)
}

// reaches reports whether an echo request for a is answered.
func (e *Endpoint) reaches(a dhcp4.Addr) bool {
	return slices.Contains(e.addrs, a) || slices.Contains(e.behind, a)
}

// answer is the reply of r to an ARP or echo request, nil when frame is no request for r.
func answer(r receiver, frame []byte) []byte {
	f := link.Decode(frame)
	switch {
	case f.Bad != link.BadNone || f.SrcMAC == r.hardware():
		return nil
	case f.IsEcho && !f.Echo.Reply && f.DstMAC == r.hardware() && r.reaches(f.Echo.Dst):
		back := f.Echo
		back.Reply, back.Src, back.Dst = true, f.Echo.Dst, f.Echo.Src
		return link.AppendEchoFrame(nil, r.hardware(), f.SrcMAC, 1, &back)
	case !f.IsARP || f.ARP.Op != 1 || !r.owns(uint32(f.ARP.TargetIP)):
		return nil
	}
	reply := link.AppendARP(nil, r.hardware(), &wire.ARP{Op: 2, SenderMAC: r.hardware(), SenderIP: f.ARP.TargetIP,
		TargetMAC: f.ARP.SenderMAC, TargetIP: f.ARP.SenderIP})
	copy(reply, f.ARP.SenderMAC[:])
	return reply
}
