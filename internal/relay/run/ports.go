package run

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"lessor/dhcp4"
	"lessor/internal/event"
	"lessor/internal/link"
	"lessor/internal/relay"
	"lessor/internal/wire"
)

const (
	reopenAfter = 500 * time.Millisecond
	surveyEvery = 10 * time.Second // of the way to the servers
)

// linkReport is what link.Net.Watch says.
type linkReport struct {
	ready   []wire.Link
	missing []link.Missing
}

// failedPort is a port whose receiver ended.
type failedPort struct {
	s   *served
	err error
}

// ports opens and closes the sockets of the interfaces that are ready, in a goroutine of
// its own, so that a slow socket call never delays a packet. An interface that fails is closed and
// tried again.
type ports struct {
	r       *Runner
	conf    relay.Config
	reports chan linkReport
	failed  chan failedPort
	configs chan relay.Config
	started chan error // gets one value: the outcome of the first report

	wanted  []wire.Link
	open    []*served
	said    map[string]string // what was last logged about a name
	first   bool
	stop    context.CancelFunc // ends the watch under way
	watches sync.WaitGroup
	readers sync.WaitGroup
}

func newPorts(r *Runner, c relay.Config) *ports {
	return &ports{r: r, conf: c, reports: make(chan linkReport), failed: make(chan failedPort), configs: make(chan relay.Config),
		started: make(chan error, 1), said: map[string]string{}, first: true}
}

// run follows the interfaces until ctx ends, then closes every port.
func (p *ports) run(ctx context.Context) {
	p.watch(ctx)
	retry, survey := time.NewTicker(reopenAfter), time.NewTicker(surveyEvery)
	defer retry.Stop()
	defer survey.Stop()
	for {
		select {
		case <-ctx.Done():
			p.stop()
			p.watches.Wait()
			for _, s := range p.open {
				p.close(s)
			}
			p.readers.Wait()
			return
		case p.conf = <-p.configs:
			p.stop()
			p.watches.Wait()
			p.watch(ctx)
		case r := <-p.reports:
			p.wanted = r.ready
			p.sayMissing(r.missing)
			p.update(ctx)
		case f := <-p.failed:
			p.drop(ctx, f)
		case <-retry.C:
			if len(p.open) < len(p.wanted) {
				p.update(ctx)
			}
		case <-survey.C:
			p.survey(ctx)
		}
	}
}

// watch starts following the interfaces of the configuration.
func (p *ports) watch(ctx context.Context) {
	ctx, p.stop = context.WithCancel(ctx)
	list := names(&p.conf)
	p.watches.Go(func() {
		for {
			err := p.r.net.Watch(ctx, list, func(ready []wire.Link, missing []link.Missing) {
				select {
				case p.reports <- linkReport{ready, missing}:
				case <-ctx.Done():
				}
			})
			if ctx.Err() != nil {
				return
			}
			p.r.log.Say(event.LinkFailed, slog.Any("error", err))
			select {
			case <-ctx.Done():
				return
			case <-time.After(reopenAfter):
			}
		}
	})
}

// update makes what is open follow what is wanted.
func (p *ports) update(ctx context.Context) {
	ids := make([]wire.LinkID, len(p.wanted))
	for i := range p.wanted {
		ids[i] = p.wanted[i].ID
	}
	// First of all: no client may pass for a server, not even for a moment.
	if err := p.r.upstream.Refuse(ids); err != nil && !errors.Is(err, net.ErrClosed) {
		p.sayOnce("refuse", event.LinkFailed, err.Error(), slog.Any("error", err))
		return
	}
	for _, s := range slices.Clone(p.open) {
		w := slices.IndexFunc(p.wanted, func(l wire.Link) bool { return l.ID == s.link.ID })
		switch {
		case w < 0:
			p.remove(s)
			p.r.log.Say(event.LinkLost, slog.String("interface", s.link.Name))
		case !sameSocket(&p.wanted[w], &s.link):
			p.remove(s)
		default: // a new value, since the loop reads the old one
			p.open[slices.Index(p.open, s)] = &served{link: p.wanted[w], port: s.port, free: s.free, gone: s.gone}
		}
	}
	var first error
	for i := range p.wanted {
		if err := p.openOne(ctx, &p.wanted[i]); first == nil {
			first = err
		}
	}
	p.publish(ctx)
	p.survey(ctx)
	if p.first {
		p.first = false
		p.started <- first
	}
}

// openOne opens the sockets of an interface that has none. Its error is one that a person
// has to do something about.
func (p *ports) openOne(ctx context.Context, l *wire.Link) error {
	if slices.ContainsFunc(p.open, func(s *served) bool { return s.link.ID == l.ID }) {
		return nil
	}
	open := p.r.net.OpenShared
	if p.r.port != dhcp4.ServerPort {
		open = p.r.net.Open // nobody holds port 67 otherwise
	}
	port, err := open(*l)
	if err == nil {
		p.start(ctx, l, port)
		return nil
	}
	if !p.first && !errors.Is(err, link.ErrDown) {
		p.sayOnce(l.Name, event.LinkFailed, err.Error(), slog.String("interface", l.Name), slog.Any("error", err))
	}
	_, taken := errors.AsType[*link.PortTakenError](err)
	_, rights := errors.AsType[*link.PrivilegeError](err)
	if taken || rights {
		return err
	}
	return nil
}

// sameSocket reports whether the sockets opened for b serve a: other addresses are no
// reason to open them again.
func sameSocket(a, b *wire.Link) bool {
	return a.ID == b.ID && a.Name == b.Name && a.MAC == b.MAC && a.MTU == b.MTU
}

func (p *ports) start(ctx context.Context, l *wire.Link, port link.Port) {
	s := &served{link: *l, port: port, free: newFree(), gone: make(chan struct{})}
	p.open = append(p.open, s)
	delete(p.said, l.Name)
	p.readers.Go(func() {
		if err := p.r.receive(s); err != nil {
			select {
			case p.failed <- failedPort{s, err}:
			case <-s.gone:
			case <-ctx.Done():
			}
		}
	})
	p.r.log.Say(event.LinkReady, slog.String("interface", l.Name), slog.String("address", l.Addrs[0].String()))
}

// drop takes a port whose receiver failed out of service; the ticker opens it again.
func (p *ports) drop(ctx context.Context, f failedPort) {
	i := slices.IndexFunc(p.open, func(s *served) bool { return s.port == f.s.port })
	if i < 0 {
		return
	}
	p.remove(p.open[i])
	p.publish(ctx)
	if errors.Is(f.err, link.ErrDown) {
		p.r.log.Say(event.LinkLost, slog.String("interface", f.s.link.Name))
		return
	}
	p.sayOnce(f.s.link.Name, event.LinkFailed, f.err.Error(), slog.String("interface", f.s.link.Name), slog.Any("error", f.err))
}

func (p *ports) remove(s *served) {
	p.open = slices.DeleteFunc(p.open, func(o *served) bool { return o == s })
	p.close(s)
}

func (p *ports) close(s *served) {
	close(s.gone)
	if err := s.port.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		p.r.log.Say(event.LinkFailed, slog.String("interface", s.link.Name), slog.Any("error", err))
	}
}

// publish tells the loop which interfaces have open sockets now.
func (p *ports) publish(ctx context.Context) {
	now := slices.Clone(p.open)
	links := make([]wire.Link, len(now))
	for i, s := range now {
		links[i] = s.link
	}
	_ = p.r.do(ctx, func(l *loop) { l.setPorts(now, links) }) // or all ends
}

// survey looks at the way to the servers: how large a packet it takes, and whether the addresses
// that answers go to are this host's.
func (p *ports) survey(ctx context.Context) {
	mtu := 0
	for _, server := range p.conf.Servers {
		n, err := p.r.net.PathMTU(server)
		key := "server " + server.String()
		if err != nil {
			p.sayOnce(key, event.ServerUnreachable, err.Error(), slog.String("server", server.String()), slog.Any("error", err))
			continue
		}
		delete(p.said, key)
		if mtu == 0 || n < mtu {
			mtu = n
		}
		p.checkServer(server)
	}
	if mtu != 0 {
		_ = p.r.do(ctx, func(l *loop) { l.agent.SetMTU(mtu) }) // or all ends
	}
	p.checkGIAddrs()
}

// checkServer warns of a server whose answers would come by an interface of clients.
func (p *ports) checkServer(server dhcp4.Addr) {
	for i := range p.wanted {
		l := &p.wanted[i]
		if slices.ContainsFunc(l.Addrs, func(a dhcp4.Prefix) bool { return a.Contains(server) }) {
			p.sayOnce("downstream "+server.String(), event.ServerDownstream, l.Name, slog.String("server", server.String()), slog.String("interface", l.Name))
		}
	}
}

// checkGIAddrs warns of an address of the configuration that this host does not have.
func (p *ports) checkGIAddrs() {
	var own []link.Interface
	for i := range p.conf.Downstream {
		g := p.conf.Downstream[i].GIAddr
		if g == 0 {
			continue
		}
		if own == nil {
			var err error
			if own, err = p.r.net.Interfaces(); err != nil {
				return
			}
		}
		key := "giaddr " + g.String()
		if slices.ContainsFunc(own, func(i link.Interface) bool {
			return slices.ContainsFunc(i.Addrs, func(a dhcp4.Prefix) bool { return a.Addr == g })
		}) {
			delete(p.said, key)
			continue
		}
		p.sayOnce(key, event.GIAddrMissing, key, slog.String("giaddr", g.String()))
	}
}

func (p *ports) sayMissing(missing []link.Missing) {
	for _, m := range missing {
		attrs := []slog.Attr{slog.String("interface", m.Name), slog.String("reason", m.String())}
		p.sayOnce("missing "+m.Name, event.LinkMissing, m.String(), attrs...)
	}
	for _, name := range names(&p.conf) {
		if !slices.ContainsFunc(missing, func(m link.Missing) bool { return m.Name == name }) {
			delete(p.said, "missing "+name)
		}
	}
	p.r.missing.Store(&missing)
}

// sayOnce logs a message about key unless the same was logged last.
func (p *ports) sayOnce(key string, id event.ID, text string, attrs ...slog.Attr) {
	if p.said[key] == text {
		return
	}
	p.said[key] = text
	p.r.log.Say(id, attrs...)
}
