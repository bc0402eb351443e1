package memnet

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// Host is a computer with interfaces, and the Net of the program that runs on it.
type Host struct {
	net      *Network
	ifs      []*Interface
	last     wire.LinkID
	routes   []route
	locals   link.Locals
	watchers []*watcher
}

var _ link.Net = (*Host)(nil)

type route struct {
	to  dhcp4.Prefix
	via dhcp4.Addr
}

// watcher is one running Watch.
type watcher struct {
	tracker *link.Tracker
	dirty   bool
	lost    []loss
	wake    *sync.Cond
}

type loss struct {
	index wire.LinkID
	gone  bool
}

// Host adds a host without interfaces.
func (n *Network) Host() *Host { return &Host{net: n} }

// AddRoute lets routed messages to an address of to go by the neighbour via, which
// must be on a link of the host. The longest prefix counts.
func (h *Host) AddRoute(to dhcp4.Prefix, via dhcp4.Addr) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.routes = append(h.routes, route{to, via})
}

// Watch implements link.Net.
func (h *Host) Watch(ctx context.Context, names []string, changed func([]wire.Link, []link.Missing)) error {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	w := &watcher{tracker: link.NewTracker(names), dirty: true, wake: sync.NewCond(&h.net.mu)}
	h.watchers = append(h.watchers, w)
	defer func() {
		h.watchers = slices.DeleteFunc(h.watchers, func(x *watcher) bool { return x == w })
	}()
	defer context.AfterFunc(ctx, func() {
		h.net.mu.Lock()
		defer h.net.mu.Unlock()
		w.wake.Broadcast()
	})()
	report := func(ready []wire.Link, missing []link.Missing, news bool) {
		if !news {
			return
		}
		h.net.mu.Unlock()
		defer h.net.mu.Lock()
		changed(ready, missing)
	}
	for ctx.Err() == nil {
		switch {
		case len(w.lost) > 0:
			l := w.lost[0]
			w.lost = w.lost[1:]
			report(w.tracker.Lost(l.index, l.gone))
		case w.dirty:
			w.dirty = false
			report(w.tracker.Update(h.facts()))
		default:
			w.wake.Wait()
		}
	}
	return nil
}

// Open implements link.Net.
func (h *Host) Open(l wire.Link) (link.Port, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	i := h.find(l.ID)
	switch {
	case i == nil || !i.up:
		return nil, fmt.Errorf("open %s: %w", l.Name, link.ErrDown)
	case i.port != nil:
		return nil, &link.PortTakenError{Port: 67, Link: l.Name, Holder: "memnet", PID: 1}
	}
	p := &port{net: h.net, host: h, iface: i, link: l, arrived: sync.NewCond(&h.net.mu)}
	p.id = link.Identity{Link: l.ID, MAC: l.MAC, Port: 67, Locals: &h.locals}
	i.port = p
	return p, nil
}

func (h *Host) find(id wire.LinkID) *Interface {
	for _, i := range h.ifs {
		if i.index == id {
			return i
		}
	}
	return nil
}

// facts are the interfaces as the kernel would list them.
func (h *Host) facts() []link.Interface {
	fs := make([]link.Interface, 0, len(h.ifs))
	for _, i := range h.ifs {
		fs = append(fs, link.Interface{Index: i.index, Name: i.name, MAC: i.mac, MTU: i.mtu, Ethernet: true,
			Up: i.up, Carrier: i.up && i.carrier, Addrs: slices.Clone(i.addrs)})
	}
	return fs
}

// moved tells all watchers that something changed, and that interface i was lost if
// lost is set.
func (h *Host) moved(i *Interface, lost, gone bool) {
	h.locals.Set(h.facts())
	for _, w := range h.watchers {
		w.dirty = true
		if lost {
			w.lost = append(w.lost, loss{i.index, gone})
		}
		w.wake.Broadcast()
	}
}

// nextHop finds the interface and the neighbour for a routed message.
func (h *Host) nextHop(dst dhcp4.Addr) (*Interface, dhcp4.Addr, bool) {
	best, out, hop := -1, (*Interface)(nil), dst
	for _, i := range h.ifs {
		for _, a := range i.addrs {
			if i.up && a.Contains(dst) && a.Bits > best {
				best, out, hop = a.Bits, i, dst
			}
		}
	}
	for _, r := range h.routes {
		if !r.to.Contains(dst) || r.to.Bits <= best {
			continue
		}
		for _, i := range h.ifs {
			if i.up && slices.ContainsFunc(i.addrs, func(a dhcp4.Prefix) bool { return a.Contains(r.via) }) {
				best, out, hop = r.to.Bits, i, r.via
				break
			}
		}
	}
	return out, hop, out != nil
}
