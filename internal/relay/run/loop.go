package run

import (
	"context"
	"log/slog"
	"net"
	"time"

	"lessor/internal/event"
	"lessor/internal/lease"
	"lessor/internal/relay"
	"lessor/internal/wire"
)

// loop is the goroutine that owns the agent.
type loop struct {
	r     *Runner
	agent *relay.Agent
	conf  relay.Config
	fx    relay.Effects
	ports []*served

	sent       uint64
	sendFailed uint64
	said       [relay.NumReasons]time.Time // when a line about it was last written
	saidSend   time.Time
}

// quiet is the time in which one kind of line about packets is written at most once.
const quiet = 10 * time.Second

func newLoop(r *Runner, c relay.Config) *loop {
	return &loop{r: r, agent: relay.New(c), conf: c}
}

// run relays until ctx ends. Replies go first: an honest client's must not wait behind a
// flood of requests.
func (l *loop) run(ctx context.Context) {
	defer close(l.r.ended)
	for {
		select {
		case in := <-l.r.replies:
			l.handle(in)
			continue
		default:
		}
		select {
		case in := <-l.r.replies:
			l.handle(in)
		case in := <-l.r.requests:
			l.handle(in)
		case fn := <-l.r.calls:
			fn(l)
		case <-ctx.Done():
			return
		}
	}
}

func (l *loop) configure(c relay.Config) {
	l.conf = c
	l.agent.Configure(c)
}

// setPorts tells the loop which interfaces have open sockets.
func (l *loop) setPorts(ports []*served, links []wire.Link) {
	l.ports = ports
	l.agent.SetLinks(lease.Instant{}, links) // nothing it knows ages, so it needs no time
}

// handle relays one batch and gives it back.
func (l *loop) handle(in input) {
	for i := range in.packets {
		l.handleOne(&in.packets[i])
	}
	for i := range l.fx.Sends {
		s := &l.fx.Sends[i]
		for _, p := range l.ports {
			if p.link.ID == s.Link {
				p.out = append(p.out, *s)
				break
			}
		}
	}
	for _, p := range l.ports {
		if len(p.out) > 0 {
			l.send(p)
		}
	}
	for i := range l.fx.Events {
		l.say(&l.fx.Events[i])
	}
	l.fx.Reset()
	in.free <- in.batch
}

func (l *loop) handleOne(p *wire.Packet) {
	sends := len(l.fx.Sends)
	defer l.r.guard("handle")
	ok := false
	defer func() {
		if !ok {
			l.fx.Sends = l.fx.Sends[:sends] // of a panic
		}
	}()
	l.agent.Handle(lease.Instant{}, p, &l.fx)
	ok = true
}

func (l *loop) send(p *served) {
	failed, err := p.port.Send(p.out)
	l.sent += uint64(len(p.out) - failed)
	l.sendFailed += uint64(failed)
	p.out = p.out[:0]
	if now := time.Now(); err != nil && err != net.ErrClosed && now.Sub(l.saidSend) >= quiet {
		l.saidSend = now
		l.r.log.Say(event.SendFailed, slog.String("interface", p.link.Name), slog.Any("error", err), slog.Uint64("count", l.sendFailed))
	}
}

// say writes the line for what the agent reported, at most one for each reason in a
// while; the counters hold all.
func (l *loop) say(e *relay.Event) {
	now := time.Now()
	if now.Sub(l.said[e.Reason]) < quiet {
		return
	}
	l.said[e.Reason] = now
	id := event.RelayDrop
	if e.Kind == relay.EventOmitted {
		id = event.AgentInfoOmitted
	}
	attrs := []slog.Attr{slog.String("reason", e.Reason.String()), slog.String("text", e.Reason.Text())}
	if e.Type != 0 {
		attrs = append(attrs, slog.String("message", e.Type.String()))
	}
	for _, p := range l.ports {
		if p.link.ID == e.Link {
			attrs = append(attrs, slog.String("interface", p.link.Name))
		}
	}
	if len(e.HW) > 0 {
		attrs = append(attrs, slog.String("hw-address", net.HardwareAddr(e.HW).String()))
	}
	if e.Src != 0 {
		attrs = append(attrs, slog.String("source", e.Src.String()))
	}
	if e.GIAddr != 0 {
		attrs = append(attrs, slog.String("giaddr", e.GIAddr.String()))
	}
	l.r.log.Say(id, attrs...)
}
