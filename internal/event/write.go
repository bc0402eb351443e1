package event

import (
	"context"
	"log/slog"
	"time"

	"lessor/internal/lease"
	"lessor/internal/server"
)

// write is the log's own goroutine: it takes line after line out of the ring. A
// line is handled in place; the ring counts it as used until it is written.
func (l *Log) write() {
	defer close(l.done)
	for range l.more {
		l.drain()
	}
	l.drain()
}

func (l *Log) drain() {
	for {
		l.mu.Lock()
		if l.count == 0 {
			full := l.full
			l.full = 0
			l.mu.Unlock()
			if full > 0 {
				r := slog.NewRecord(time.Now(), Suppressed.Message().Level, Suppressed.Message().Text, 0)
				r.AddAttrs(slog.String("id", Suppressed.String()), slog.Uint64("count", full), slog.String("reason", "log-full"))
				l.handler.Handle(context.Background(), r)
			}
			return
		}
		n := &l.ring[l.head]
		l.mu.Unlock()

		m := n.id.Message()
		r := slog.NewRecord(n.at, m.Level, m.Text, 0)
		r.AddAttrs(slog.String("id", m.Name))
		if n.isEv {
			l.addEvent(&r, n)
		} else {
			r.AddAttrs(n.attrs...)
		}
		l.handler.Handle(context.Background(), r) // a log that cannot be written has nowhere to say so

		l.mu.Lock()
		l.head = (l.head + 1) % ringSize
		l.count--
		l.mu.Unlock()
	}
}

// addEvent adds the fields that an event has.
func (l *Log) addEvent(r *slog.Record, n *line) {
	e := &n.ev
	if e.Addr != 0 {
		r.AddAttrs(slog.String("address", e.Addr.String()))
	}
	if len(e.HW)+len(e.ClientID) > 0 {
		r.AddAttrs(slog.String("client", Client(e.HType, e.HW, e.ClientID)), slog.String("hw-address", HW(e.HType, e.HW)))
	}
	if len(e.ClientID) > 0 {
		r.AddAttrs(slog.String("client-id", Hex(e.ClientID)))
	}
	if len(e.Hostname) > 0 {
		r.AddAttrs(slog.String("hostname", Text(e.Hostname)))
	}
	switch {
	case e.Kind == server.EventBound:
		r.AddAttrs(slog.String("reason", "bound"))
	case e.Kind == server.EventRenewed:
		r.AddAttrs(slog.String("reason", "renewed"))
	case e.Reason != server.None:
		r.AddAttrs(slog.String("reason", e.Reason.String()))
	}
	if e.Kind == server.EventBound || e.Kind == server.EventRenewed {
		r.AddAttrs(slog.String("lifetime", lifetime(e.Lifetime)))
	}
	if e.Type != 0 {
		r.AddAttrs(slog.String("message", TypeName(e.Type)))
	}
	if e.XID != 0 {
		r.AddAttrs(slog.String("xid", Hex([]byte{byte(e.XID >> 24), byte(e.XID >> 16), byte(e.XID >> 8), byte(e.XID)})))
	}
	if e.Link != 0 && l.names.Link != nil {
		if name := l.names.Link(int32(e.Link)); name != "" {
			r.AddAttrs(slog.String("interface", name))
		}
	}
	if e.GIAddr != 0 {
		r.AddAttrs(slog.String("giaddr", e.GIAddr.String()))
	}
	if e.Addr != 0 && l.names.Subnet != nil {
		if name := l.names.Subnet(e.Addr); name != "" {
			r.AddAttrs(slog.String("subnet", name))
		}
	}
	if n.took > 0 {
		r.AddAttrs(slog.String("took", time.Duration(n.took).Round(time.Microsecond).String()))
	}
}

func lifetime(s uint32) string {
	if s == lease.Infinite {
		return "infinite"
	}
	return (time.Duration(s) * time.Second).String()
}
