package run

import (
	"errors"
	"fmt"
	"net"

	"lessor/internal/client"
	"lessor/internal/lease"
	"lessor/internal/link"
)

// perform does what the machine asked for, in its order.
func (l *loop) perform(now lease.Instant) {
	for i := range l.fx.List {
		e := &l.fx.List[i]
		switch e.Kind {
		case client.EffectSend:
			l.send(now, e)
		case client.EffectARP:
			l.sendARP(now, e)
		case client.EffectConfigure:
			l.host.configure(l, now, e.Lease, e.Reason)
		case client.EffectDeconfigure:
			l.host.deconfigure(l, now, e.Reason)
		case client.EffectSave:
			l.host.save(l, now)
		case client.EffectEvent:
			l.status.event(l, now, &e.Event)
			l.report.event(l, now, &e.Event)
		}
	}
	l.enough()
}

// send sends one message. What cannot be sent now is lost, as it may be on the way: the
// machine sends it again.
func (l *loop) send(now lease.Instant, e *client.Effect) {
	if l.carrier.port == nil {
		return
	}
	l.oneSend[0] = e.Send
	_, err := l.carrier.port.port.Send(l.oneSend[:])
	l.sent(now, "send", err)
}

func (l *loop) sendARP(now lease.Instant, e *client.Effect) {
	if l.carrier.port == nil {
		return
	}
	l.oneARP[0] = e.ARP
	l.sent(now, "send-arp", l.carrier.port.port.SendARP(l.oneARP[:]))
}

func (l *loop) sent(now lease.Instant, key string, err error) {
	switch {
	case err == nil:
		l.report.clear(key)
	case errors.Is(err, link.ErrDown), errors.Is(err, net.ErrClosed): // the watch says so
	default:
		l.report.note(l, now, key, fmt.Sprintf("%v", err))
	}
}
