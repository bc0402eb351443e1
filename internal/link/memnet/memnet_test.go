package memnet

import (
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/link/linktest"
	"lessor/internal/wire"
)

// bed is a host in memory.
type bed struct {
	t    *testing.T
	net  *Network
	host *Host
	ifs  map[string]*Interface
	n    byte
}

func newBed(t *testing.T) *bed {
	n := New()
	return &bed{t: t, net: n, host: n.Host(), ifs: map[string]*Interface{}}
}

func (b *bed) Net() link.Net { return b.host }

func (b *bed) Add(name string) linktest.Peer {
	b.n++
	sw := b.net.Switch(name)
	b.ifs[name] = b.host.Add(name, sw, wire.MAC{2, 0, 0x5e, 0, 0, b.n})
	return &peer{sw.Endpoint(wire.MAC{2, 0, 0x5e, 0, 1, b.n})}
}

func (b *bed) ClientNet() link.ClientNet        { return b.host }
func (b *bed) SetMAC(name string, mac wire.MAC) { b.get(name).SetMAC(mac) }

func (b *bed) get(name string) *Interface {
	i := b.ifs[name]
	if i == nil {
		b.t.Fatalf("no interface %s", name)
	}
	return i
}

func (b *bed) SetUp(name string, up bool)                  { b.get(name).SetUp(up) }
func (b *bed) SetCarrier(name string, on bool)             { b.get(name).SetCarrier(on) }
func (b *bed) SetAddrs(name string, addrs ...dhcp4.Prefix) { b.get(name).SetAddrs(addrs...) }
func (b *bed) Remove(name string)                          { b.get(name).Remove() }
func (b *bed) AddRoute(to dhcp4.Prefix, via dhcp4.Addr)    { b.host.AddRoute(to, via) }
func (b *bed) Neighbours() int                             { return 0 } // a host here has no such table
func (b *bed) Overflow() int                               { return QueueLimit + 1000 }

func (b *bed) Rename(from, to string) {
	b.get(from).Rename(to)
	b.ifs[to] = b.ifs[from]
	delete(b.ifs, from)
}

type peer struct{ *Endpoint }

func (p *peer) SetAddrs(addrs ...dhcp4.Prefix) {
	var as []dhcp4.Addr
	for _, a := range addrs {
		as = append(as, a.Addr)
	}
	p.Endpoint.SetAddrs(as...)
}

func (p *peer) Receive(time.Duration) ([]byte, bool) {
	f, ok := p.Endpoint.Receive() // what was sent is there already
	return f.Bytes, ok
}

func TestConformance(t *testing.T) {
	linktest.Run(t, func(t *testing.T) linktest.Bed { return newBed(t) })
}

func TestClientConformance(t *testing.T) {
	linktest.RunClient(t, func(t *testing.T) linktest.ClientBed { return newBed(t) })
}
