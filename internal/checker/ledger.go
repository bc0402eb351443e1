package checker

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/trace"
)

// ledger is what all rules share: for each server its configuration, links, clocks, the
// records that are durable, the promises (S-intervals) and offers that are out, and
// which REQUEST each reply answers.
//
// It takes an entry in before the rules see it. What the rules need of the state before
// is in reply and request, which are valid during the entry alone.
type ledger struct {
	hosts    map[string]*host
	last     *host // of the entry before: most come in runs
	promises map[dhcp4.Addr][]*promise
	gaveUp   map[dhcp4.Addr]int64 // true time at which a promise last ended before its time

	index   int      // of the entry under way
	t       int64    // its true time, nanoseconds
	host    *host    // its host
	booted  bool     // it is the clock of another boot of it
	m       int64    // the CLOCK_BOOTTIME of that host, nanoseconds
	msg     *message // its DHCP message, when it is a request to a server or a reply of one; else nil
	request *request // that a server received by this entry, or nil
	reply   *reply   // that a server sends by this entry, or nil

	// dropped are the requests that an EventDrop of this entry can be about.
	dropped []*request

	view    message
	replyIs reply
}

// host is a machine of the trace: a server, a client, or both.
type host struct {
	name    string
	clock   clock
	server  *server // nil until an entry shows one
	segment string  // where its last frame was
}

func newLedger() *ledger {
	return &ledger{hosts: map[string]*host{}, promises: map[dhcp4.Addr][]*promise{}, gaveUp: map[dhcp4.Addr]int64{}}
}

// hostOf is the host with that name; it is made when it is new.
func (l *ledger) hostOf(name string) *host {
	if l.last != nil && l.last.name == name {
		return l.last
	}
	h := l.hosts[name]
	if h == nil {
		h = &host{name: name}
		l.hosts[name] = h
	}
	l.last = h
	return h
}

// serving is the server of a host; it is made when it is new.
func (l *ledger) serving(h *host) *server {
	if h.server == nil {
		h.server = newServer(l, h)
	}
	return h.server
}

// entry takes e into the account.
func (l *ledger) entry(c *Checker, e *trace.Entry) {
	l.msg, l.request, l.reply, l.dropped = nil, nil, nil, l.dropped[:0]
	l.index, l.t, l.booted = c.index, e.T, false
	h := l.hostOf(e.Host)
	l.host = h
	if k, ok := e.Body.(*trace.Clock); ok {
		l.setClock(h, e, k)
	} else if e.Now != (lease.Instant{}) && !h.clock.known {
		h.clock.set(e.T, e.Now, 0, lease.BootID{})
	}
	l.m = h.clock.at(e.T)
	if e.Now != (lease.Instant{}) {
		l.m = e.Now.M
	}
	switch b := e.Body.(type) {
	case *trace.Loaded:
		l.serving(h).loaded(b)
	case *trace.Started:
		l.serving(h).begun(e, b)
	case *trace.Ended:
		l.serving(h).ended()
	case *trace.Config:
		if !b.Refused && b.Policy != nil {
			l.serving(h).configured(e.T, b.Policy)
		}
	case *trace.Served:
		l.serving(h).served(e.T, b.Links)
	case *trace.Commit:
		l.serving(h).committed(c, e, b)
	case *trace.StoreState:
		l.serving(h).storeState(e.T, b)
	case *trace.Frame:
		l.frame(e, b)
	case *trace.Happened:
		l.serving(h).happened(&b.Event)
	case *trace.Override:
		l.serving(h).override(b)
	}
}

// frame takes a frame that concerns a server: a request that is delivered to it, or a
// reply that it sends.
func (l *ledger) frame(e *trace.Entry, f *trace.Frame) {
	h := l.host
	if f.Link != "" {
		h.segment = f.Link
	}
	s := h.server
	if s == nil {
		return
	}
	if f.ARP != nil && !f.Sent {
		s.heardARP(f.ARP)
	}
	if f.ARP != nil && f.Sent {
		s.asked(f.ARP)
	}
	if f.Payload == nil {
		return
	}
	switch {
	case !f.Sent && f.DstPort == dhcp4.ServerPort:
		if l.view.read(f) && l.view.op == opRequest {
			l.msg = &l.view
			l.request = s.received(e, l.msg)
		}
	case f.Sent && f.SrcPort == dhcp4.ServerPort:
		if l.view.read(f) && l.view.op == opReply {
			l.msg = &l.view
			l.reply = s.sent(e, l.msg)
		}
	}
}

// Values of the op field (RFC 2131 2, figure 1).
const opRequest, opReply = 1, 2
