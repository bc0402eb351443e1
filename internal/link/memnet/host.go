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

// Host is a computer with interfaces, and the Net or ClientNet of the program that runs
// on it.
type Host struct {
	net      *Network
	ifs      []*Interface
	last     wire.LinkID
	routes   []route
	locals   link.Locals
	watchers []*watcher
}

var (
	_ link.Net       = (*Host)(nil)
	_ link.ClientNet = (*Host)(nil)
)

type route struct {
	to  dhcp4.Prefix
	via dhcp4.Addr
}

// watcher is one running Watch or WatchClient.
type watcher struct {
	dirty bool
	news  []news
	wake  *sync.Cond
}

// news is an interface as it was after a change.
type news struct {
	iface link.Interface
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
	t := link.NewTracker(names)
	h.follow(ctx, func(ifs []link.Interface) {
		if ready, missing, news := t.Update(ifs); news {
			changed(ready, missing)
		}
	}, func(i *link.Interface, gone bool) {
		if !gone && i.Up {
			return
		}
		if ready, missing, news := t.Lost(i.Index, gone); news {
			changed(ready, missing)
		}
	})
	return nil
}

// WatchClient implements link.ClientNet.
func (h *Host) WatchClient(ctx context.Context, name string, changed func(l *wire.Link, m *link.Missing)) error {
	t := link.NewClientTracker(name, changed)
	h.follow(ctx, t.Update, t.Seen)
	return nil
}

// follow calls seen with each interface that changed, as it was then, and update with all,
// until ctx ends. The network is not locked while they run.
func (h *Host) follow(ctx context.Context, update func([]link.Interface), seen func(*link.Interface, bool)) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	w := &watcher{dirty: true, wake: sync.NewCond(&h.net.mu)}
	h.watchers = append(h.watchers, w)
	defer func() {
		h.watchers = slices.DeleteFunc(h.watchers, func(x *watcher) bool { return x == w })
	}()
	defer context.AfterFunc(ctx, func() {
		h.net.mu.Lock()
		defer h.net.mu.Unlock()
		w.wake.Broadcast()
	})()
	unlocked := func(f func()) {
		h.net.mu.Unlock()
		defer h.net.mu.Lock()
		f()
	}
	for ctx.Err() == nil {
		switch {
		case len(w.news) > 0:
			n := w.news[0]
			w.news = w.news[1:]
			unlocked(func() { seen(&n.iface, n.gone) })
		case w.dirty:
			w.dirty = false
			ifs := h.facts()
			unlocked(func() { update(ifs) })
		default:
			w.wake.Wait()
		}
	}
}

// Open implements link.Net.
func (h *Host) Open(l wire.Link) (link.Port, error) {
	p, err := h.open(l, link.ServerRule, &h.locals)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// OpenClient implements link.ClientNet.
func (h *Host) OpenClient(l wire.Link) (link.ClientPort, error) {
	p, err := h.open(l, link.ClientRule, nil)
	if err != nil {
		return nil, err
	}
	return clientPort{p}, nil
}

// open gives an interface a port unless it has one with that UDP port.
func (h *Host) open(l wire.Link, r *link.Rule, locals *link.Locals) (*port, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	i := h.find(l.ID)
	switch {
	case i == nil || !i.up:
		return nil, fmt.Errorf("open %s: %w", l.Name, link.ErrDown)
	case slices.ContainsFunc(i.ports, func(p *port) bool { return p.rule.Port == r.Port }):
		return nil, &link.PortTakenError{Port: r.Port, Link: l.Name, Holder: "memnet", PID: 1}
	}
	p := &port{net: h.net, host: h, iface: i, link: l, rule: r, arrived: sync.NewCond(&h.net.mu)}
	p.id = link.Identity{Link: l.ID, MAC: l.MAC, Port: r.Port, Locals: locals}
	i.ports = append(i.ports, p)
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
		fs = append(fs, i.facts())
	}
	return fs
}

// moved tells all watchers that interface i changed or is gone.
func (h *Host) moved(i *Interface) {
	h.locals.Set(h.facts())
	for _, w := range h.watchers {
		w.dirty = true
		w.news = append(w.news, news{i.facts(), i.gone})
		w.wake.Broadcast()
	}
}

// nextHop finds the interface and the neighbour for a routed message. With only set the
// other interfaces' ways do not count, and what has no way is taken for a neighbour, as in
// the kernel.
func (h *Host) nextHop(dst dhcp4.Addr, only *Interface) (*Interface, dhcp4.Addr, bool) {
	best, out, hop := -1, (*Interface)(nil), dst
	usable := func(i *Interface) bool { return i.up && (only == nil || i == only) }
	for _, i := range h.ifs {
		for _, a := range i.addrs {
			if usable(i) && a.Contains(dst) && a.Bits > best {
				best, out, hop = a.Bits, i, dst
			}
		}
	}
	for _, r := range h.routes {
		if !r.to.Contains(dst) || r.to.Bits <= best {
			continue
		}
		for _, i := range h.ifs {
			if usable(i) && slices.ContainsFunc(i.addrs, func(a dhcp4.Prefix) bool { return a.Contains(r.via) }) {
				best, out, hop = r.to.Bits, i, r.via
				break
			}
		}
	}
	if out == nil && only != nil && only.up {
		out = only
	}
	return out, hop, out != nil
}
