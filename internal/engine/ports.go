package engine

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"lessor/internal/event"
	"lessor/internal/link"
	"lessor/internal/wire"
)

const (
	batchesPerPort = 16
	reopenAfter    = 500 * time.Millisecond
)

// served is one interface that is served: its port, the batches that go round
// between its receiver and the loop, and what the loop is about to send on it.
type served struct {
	id   wire.LinkID
	link wire.Link // as it is now; belongs to the goroutine of ports
	port link.Port
	free chan *link.Batch
	gone chan struct{} // closed when the port is

	out []wire.Send // belongs to the loop
}

// input is one batch on its way from a receiver to the loop.
type input struct {
	from    *served
	batch   *link.Batch
	packets []wire.Packet
}

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

// ports opens and closes the ports of the interfaces that are ready, in a
// goroutine of its own, so that a slow socket call never delays a packet. An
// interface that fails is closed and tried again; nothing here ends the program
// once it has started.
type ports struct {
	e       *Engine
	reports chan linkReport
	failed  chan failedPort
	names   chan []string
	started chan error // gets one value: the outcome of the first report

	wanted  []wire.Link
	open    []*served
	said    map[string]string // what was last logged about a name, so that it is logged once
	first   bool
	stop    context.CancelFunc // ends the watch under way
	watches sync.WaitGroup
	readers sync.WaitGroup
}

func newPorts(e *Engine) *ports {
	return &ports{
		e:       e,
		reports: make(chan linkReport),
		failed:  make(chan failedPort),
		names:   make(chan []string),
		started: make(chan error, 1),
		said:    map[string]string{},
		first:   true,
	}
}

// run follows the links of names until ctx ends, then closes every port.
func (p *ports) run(ctx context.Context, names []string) {
	p.watch(ctx, names)
	retry := time.NewTicker(reopenAfter)
	defer retry.Stop()
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
		case names := <-p.names:
			p.stop()
			p.watches.Wait()
			p.watch(ctx, names)
		case r := <-p.reports:
			p.wanted = r.ready
			p.sayMissing(r.missing)
			p.update(ctx)
		case f := <-p.failed:
			p.drop(f)
			p.publish()
		case <-retry.C:
			if len(p.open) < len(p.wanted) {
				p.update(ctx)
			}
		}
	}
}

// watch starts following names.
func (p *ports) watch(ctx context.Context, names []string) {
	ctx, p.stop = context.WithCancel(ctx)
	p.watches.Go(func() {
		for {
			err := p.e.net.Watch(ctx, names, func(ready []wire.Link, missing []link.Missing) {
				select {
				case p.reports <- linkReport{ready, missing}:
				case <-ctx.Done():
				}
			})
			if ctx.Err() != nil {
				return
			}
			p.e.log.Say(event.LinkFailed, slog.Any("error", err))
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
	for _, s := range slices.Clone(p.open) {
		i := slices.IndexFunc(p.wanted, func(l wire.Link) bool { return l.ID == s.link.ID })
		switch {
		case i < 0:
			p.remove(s)
			p.e.log.Say(event.LinkLost, slog.String("interface", s.link.Name))
		case !sameSocket(p.wanted[i], s.link):
			p.remove(s)
		default:
			s.link = p.wanted[i]
		}
	}
	var first error
	for _, l := range p.wanted {
		if slices.ContainsFunc(p.open, func(s *served) bool { return s.link.ID == l.ID }) {
			continue
		}
		port, err := p.e.net.Open(l)
		if err != nil {
			if first == nil && fatalAtStart(err) {
				first = err
			}
			if !p.first && !errors.Is(err, link.ErrDown) {
				p.sayOnce(l.Name, event.LinkFailed, err.Error(), slog.String("interface", l.Name), slog.Any("error", err))
			}
			continue
		}
		p.start(ctx, l, port)
	}
	p.publish()
	if p.first {
		p.first = false
		p.started <- first
	}
}

// fatalAtStart reports whether a person has to do something before err goes away.
// Later such an error is waited out instead.
func fatalAtStart(err error) bool {
	_, taken := errors.AsType[*link.PortTakenError](err)
	_, rights := errors.AsType[*link.PrivilegeError](err)
	return taken || rights
}

// sameSocket reports whether the sockets opened for b serve a: other addresses are
// no reason to open them again.
func sameSocket(a, b wire.Link) bool {
	return a.ID == b.ID && a.Name == b.Name && a.MAC == b.MAC && a.MTU == b.MTU
}

func (p *ports) start(ctx context.Context, l wire.Link, port link.Port) {
	s := &served{id: l.ID, link: l, port: port, free: make(chan *link.Batch, batchesPerPort), gone: make(chan struct{})}
	for range batchesPerPort {
		s.free <- new(link.Batch)
	}
	p.open = append(p.open, s)
	delete(p.said, l.Name)
	p.readers.Go(func() {
		if err := p.e.receive(s); err != nil {
			select {
			case p.failed <- failedPort{s, err}:
			case <-s.gone:
			case <-ctx.Done():
			}
		}
	})
	p.e.log.Say(event.LinkReady, slog.String("interface", l.Name), slog.String("address", l.Addrs[0].String()))
}

// drop takes a port whose receiver failed out of service; the ticker opens it again.
func (p *ports) drop(f failedPort) {
	if !slices.Contains(p.open, f.s) {
		return
	}
	p.remove(f.s)
	if errors.Is(f.err, link.ErrDown) {
		p.e.log.Say(event.LinkLost, slog.String("interface", f.s.link.Name))
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
		p.e.log.Say(event.LinkFailed, slog.String("interface", s.link.Name), slog.Any("error", err))
	}
}

// publish tells the loop which interfaces are served now.
func (p *ports) publish() {
	now := make([]*served, len(p.open))
	links := make([]wire.Link, len(p.open))
	for i, s := range p.open {
		now[i], links[i] = s, s.link
	}
	p.e.linkNames.Store(&links)
	p.e.do(func() { p.e.setLinks(now, links) })
}

func (p *ports) sayMissing(missing []link.Missing) {
	for name := range p.said {
		if n, ok := cutMissing(name); ok && !slices.ContainsFunc(missing, func(m link.Missing) bool { return m.Name == n }) {
			delete(p.said, name)
		}
	}
	for _, m := range missing {
		attrs := []slog.Attr{slog.String("interface", m.Name), slog.String("reason", m.String())}
		if m.DidYouMean != "" {
			attrs = append(attrs, slog.String("did-you-mean", m.DidYouMean))
		}
		p.sayOnce(missingKey+m.Name, event.LinkMissing, m.String(), attrs...)
	}
	p.e.missing.Store(&missing)
}

// missingKey marks what was said of a name without an interface.
const missingKey = "missing "

func cutMissing(key string) (name string, ok bool) {
	if len(key) > len(missingKey) && key[:len(missingKey)] == missingKey {
		return key[len(missingKey):], true
	}
	return "", false
}

// sayOnce logs a message about key unless the same was logged last.
func (p *ports) sayOnce(key string, id event.ID, text string, attrs ...slog.Attr) {
	if p.said[key] == text {
		return
	}
	p.said[key] = text
	p.e.log.Say(id, attrs...)
}
