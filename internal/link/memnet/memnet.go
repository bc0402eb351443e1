// Package memnet is a network in memory with the contract of package link: hosts
// whose interfaces are plugged into switches, and endpoints, which are plain network
// cards for a test to drive. Real Ethernet frames travel, built and checked by the
// code that the kernel's ports use.
//
// It starts no goroutine: a frame is in the receivers' queues when the call that sent
// it returns. Queues are bounded and count what they lose. All methods may be
// called by any goroutine.
package memnet

import (
	"sync"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// QueueLimit is how many frames wait for a receiver at most; further ones are lost
// and counted.
const QueueLimit = 8192

// Transit is a frame on its way to one receiver.
type Transit struct {
	Switch string
	Frame  []byte   // not to be changed
	To     wire.MAC // the receiver's own address
}

// Network is a set of hosts and switches.
type Network struct {
	mu   sync.Mutex
	hook func(Transit) int
}

// New returns an empty network.
func New() *Network { return &Network{} }

// SetHook lets f decide how many copies of each frame reach each receiver: 0 loses
// it, 1 is a good network, 2 doubles it. nil is a good network. f is called with the
// network locked: it must not use it, and calls do not overlap.
func (n *Network) SetHook(f func(Transit) int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hook = f
}

// Switch is an Ethernet segment.
type Switch struct {
	net   *Network
	name  string
	ports []receiver
}

// Switch adds a switch.
func (n *Network) Switch(name string) *Switch { return &Switch{net: n, name: name} }

// receiver is what is plugged into a switch. Its methods are called with the network
// locked.
type receiver interface {
	hardware() wire.MAC
	owns(a uint32) bool                  // answers ARP for this address
	reaches(a dhcp4.Addr) bool           // answers echo requests for this address
	promiscuous() bool                   // takes frames for others too
	deliver(frame []byte) (reply []byte) // reply is a frame to send at once, or nil
}

// transmit carries a frame, and the frames that receivers answer at once, from one
// receiver to the others.
func (s *Switch) transmit(from receiver, frame []byte) {
	type pending struct {
		from  receiver
		frame []byte
	}
	for queue := []pending{{from, frame}}; len(queue) > 0; queue = queue[1:] {
		p := queue[0]
		if len(p.frame) < 14 {
			continue // no Ethernet frame
		}
		dst := wire.MAC(p.frame[:6])
		for _, to := range s.ports {
			if to == p.from || !dst.IsMulticast() && to.hardware() != dst && !to.promiscuous() {
				continue
			}
			copies := 1
			if s.net.hook != nil {
				copies = s.net.hook(Transit{Switch: s.name, Frame: p.frame, To: to.hardware()})
			}
			for range copies {
				if reply := to.deliver(p.frame); reply != nil {
					queue = append(queue, pending{to, reply})
				}
			}
		}
	}
}

// owner is the hardware address that would answer an ARP request for a.
func (s *Switch) owner(a uint32) (wire.MAC, bool) {
	for _, r := range s.ports {
		if r.owns(a) {
			return r.hardware(), true
		}
	}
	return wire.MAC{}, false
}

// plug adds r; unplug takes it away.
func (s *Switch) plug(r receiver) { s.ports = append(s.ports, r) }

func (s *Switch) unplug(r receiver) {
	for i := range s.ports {
		if s.ports[i] == r {
			s.ports = append(s.ports[:i:i], s.ports[i+1:]...)
			return
		}
	}
}
