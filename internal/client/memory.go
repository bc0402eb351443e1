package client

import (
	"slices"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// usable is what of an earlier run's memory can be used.
func usable(memory []Remembered) []Remembered {
	memory = slices.DeleteFunc(memory, func(r Remembered) bool {
		a := r.Lease.Addr
		return !a.Addr.IsUnicastHost() || a.Bits < 0 || a.Bits > 32 || !a.IsHost(a.Addr)
	})
	return memory[:min(len(memory), MaxMemory)]
}

// remember notes the current lease with its network, as the newest.
func (m *Machine) remember() {
	r := Remembered{Router: m.gateway.addr, RouterMAC: m.gateway.mac, OwnMAC: m.link.MAC, Lease: m.lease}
	if r.RouterMAC == (wire.MAC{}) && m.lease.Addr.IsHost(m.lease.Server) {
		// Until the router has answered, the server stands for the network.
		r.Router, r.RouterMAC = m.lease.Server, m.lease.ServerMAC
	}
	if m.listed {
		m.memory = slices.Delete(m.memory, 0, 1)
	}
	m.memory = slices.DeleteFunc(m.memory, func(o Remembered) bool {
		return o.OwnMAC == r.OwnMAC && o.RouterMAC == r.RouterMAC && o.Router == r.Router
	})
	m.memory = slices.Insert(m.memory, 0, r)
	if len(m.memory) > MaxMemory {
		clear(m.memory[MaxMemory:])
		m.memory = m.memory[:MaxMemory]
	}
	m.listed = true
	m.save()
}

// recall moves memory i to the front.
func (m *Machine) recall(i int) {
	r := m.memory[i]
	copy(m.memory[1:i+1], m.memory[:i])
	m.memory[0] = r
}

// forget takes the leases of an address out of memory: it must not come back, neither
// as the current lease nor when the router of its network answers late.
func (m *Machine) forget(a dhcp4.Addr) {
	before := len(m.memory)
	m.memory = slices.DeleteFunc(m.memory, func(r Remembered) bool { return r.Lease.Addr.Addr == a })
	if len(m.memory) < before {
		m.save()
	}
}

// endRemembered notes that the current lease has ended before its time; its address
// may be asked for again.
func (m *Machine) endRemembered() {
	if m.listed {
		r := &m.memory[0].Lease
		r.T1, r.T2, r.End = m.now, m.now, m.now
		m.save()
	}
}

// findGateway finds out by whom the network of the lease is known: its router, else
// its server.
func (m *Machine) findGateway() {
	addr := m.lease.router()
	if g := &m.gateway; addr == g.addr && g.mac != (wire.MAC{}) {
		return
	}
	m.gateway = gateway{addr: addr}
	if addr == m.lease.Server && addr != 0 {
		m.gateway.mac = m.lease.ServerMAC
		return
	}
	m.askOn()
}

// router is the neighbour by which the lease's network is known: the gateway of the
// default route, else of another route, else the server when it is on the link; 0
// for none.
func (l *Lease) router() dhcp4.Addr {
	var via dhcp4.Addr
	for _, r := range l.Settings.Routes {
		if r.Via != 0 && (via == 0 || r.Dst.Bits == 0) {
			via = r.Via
		}
	}
	if via == 0 && len(l.Settings.Routers) > 0 {
		via = l.Settings.Routers[0]
	}
	if via == 0 && l.Addr.IsHost(l.Server) {
		via = l.Server
	}
	return via
}
