package run

import (
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"slices"

	"lessor/internal/client"
	"lessor/internal/lease"
	"lessor/internal/link"
	"lessor/internal/wire"
)

const (
	batchesPerPort = 4
	reopenAfter    = second / 2
	// sayWaiting is how long an interface may need to become ready before a person is told
	// that it is waited for.
	sayWaiting = 2 * second
	// A process that was just killed may hold its port for a moment longer, when /proc does not
	// tell any more whose it is.
	dyingFor   = 2 * second
	askDyingAt = second / 20
)

// openPort is a port and the batches that go round between its receiver and the loop.
type openPort struct {
	port     link.ClientPort
	received chan received
	free     chan *link.Batch
	gone     chan struct{} // closed when the loop has done with it
	done     chan struct{} // closed when the receiver has ended
}

// received is one batch on its way from the receiver to the loop, or why there is no more.
type received struct {
	from  *openPort
	batch *link.Batch
	err   error
}

// carrier is what the loop knows of its interface.
type carrier struct {
	link     *wire.Link // as last reported; nil: not ready
	seen     bool       // it has been ready
	told     bool       // the machine believes that it is up
	tell     bool       // the machine is to be told what it is now, once its sockets are open
	raised   bool       // Host.Up was asked for this appearance of the interface
	port     *openPort  // nil: none is open
	received chan received
	reopenAt int64
	sayAt    int64
	dying    int64 // until when the port may be that of a process that ends; 0: not seen yet
}

func (c *carrier) init() { c.reopenAt, c.sayAt = never, never }

func (c *carrier) at() int64 { return min(c.reopenAt, c.sayAt) }

// linkChanged takes in what WatchClient says.
func (l *loop) linkChanged(now lease.Instant, r linkReport) {
	c := &l.carrier
	if r.err != nil {
		l.report.note(l, now, "watch", fmt.Sprintf("the state of %s cannot be followed: %v; trying again", l.o.Interface, r.err))
		return
	}
	c.sayAt = never
	switch {
	case c.link == nil:
	case r.link == nil || !sameInterface(c.link, r.link):
		l.linkDown(now)
	case c.link.MTU != r.link.MTU:
		// The network is the same: what changed may be the lease's doing (option 26). The sockets
		// stay open: an answer may be on its way to them.
		c.tell = true
	}
	switch {
	case r.link != nil:
		c.link, c.raised = r.link, true
		l.openPort(now)
	case r.missing != nil:
		c.raised = false // what comes in its place is another one, and may have to be set up
		l.report.note(l, now, "link", r.missing.String())
	default:
		l.raise(now)
		c.sayAt = now.M + sayWaiting
	}
}

// sameInterface reports whether b is what a was, whatever its MTU.
func sameInterface(a, b *wire.Link) bool { return a.ID == b.ID && a.MAC == b.MAC }

// linkDown tells the machine that the interface is of no use now.
func (l *loop) linkDown(now lease.Instant) {
	c := &l.carrier
	c.link, c.reopenAt, c.tell = nil, never, false
	if c.told {
		c.told = false
		l.in = client.Input{Kind: client.InputLinkDown}
		l.handle(now)
	}
	l.closePort()
}

// raise sets an interface up that nobody has set up: when it is there for the first time,
// not when an administrator has set it down since.
func (l *loop) raise(now lease.Instant) {
	if l.carrier.raised {
		return
	}
	l.carrier.raised = true
	if err := l.o.Host.Up(); err != nil {
		l.report.note(l, now, "up", fmt.Sprintf("%s cannot be set up: %v", l.o.Interface, err))
	}
}

// due opens a port again and says what is waited for.
func (c *carrier) due(l *loop, now lease.Instant) {
	if c.sayAt <= now.M {
		c.sayAt = never
		l.report.note(l, now, "link", fmt.Sprintf("%s is down or has no carrier; waiting for it", l.o.Interface))
	}
	if c.reopenAt <= now.M {
		l.openPort(now)
	}
}

// openPort opens the sockets on the interface, if they are not open, and then tells the machine.
func (l *loop) openPort(now lease.Instant) {
	c := &l.carrier
	c.reopenAt = never
	switch {
	case c.link == nil:
		return
	case c.port != nil:
		l.tellUp(now)
		return
	}
	port, err := l.o.Net.OpenClient(*c.link)
	if err != nil {
		l.openFailed(now, err)
		return
	}
	l.report.clear("link")
	l.report.clear("port")
	p := &openPort{port: port, received: make(chan received), free: make(chan *link.Batch, batchesPerPort),
		gone: make(chan struct{}), done: make(chan struct{})}
	for range batchesPerPort {
		p.free <- new(link.Batch)
	}
	c.port, c.received, c.seen = p, p.received, true
	go p.receive()
	if l.m == nil {
		l.m = client.New(l.o.Client, l.o.Secret, l.readLeases(now))
	}
	l.watched = l.watched[:0]
	l.tellUp(now)
	l.watch(now)
}

// tellUp tells the machine what its interface is now, unless it knows.
func (l *loop) tellUp(now lease.Instant) {
	c := &l.carrier
	if c.told && !c.tell {
		return
	}
	c.told, c.tell = true, false
	l.in = client.Input{Kind: client.InputLinkUp, Link: *c.link}
	l.handle(now)
}

// openFailed ends the client when it is the first try and a person has to do something;
// later such an error is waited out.
func (l *loop) openFailed(now lease.Instant, err error) {
	c := &l.carrier
	holder, taken := errors.AsType[*link.PortTakenError](err)
	_, rights := errors.AsType[*link.PrivilegeError](err)
	if taken && holder.PID == 0 && !c.seen {
		if c.dying == 0 {
			c.dying = now.M + dyingFor
		}
		if now.M < c.dying {
			c.reopenAt = now.M + askDyingAt
			return
		}
	}
	if (taken || rights) && !c.seen {
		l.finished, l.result = true, err
		return
	}
	c.reopenAt = now.M + reopenAfter
	if !errors.Is(err, link.ErrDown) { // the watch will say so too
		l.report.note(l, now, "port", fmt.Sprintf("%v; trying again", err))
	}
}

// portFailed opens the port again after a pause.
func (l *loop) portFailed(now lease.Instant, err error) {
	l.closePort()
	l.carrier.reopenAt = now.M + reopenAfter
	if !errors.Is(err, link.ErrDown) {
		l.report.note(l, now, "port", fmt.Sprintf("receiving on %s: %v; opening it again", l.o.Interface, err))
	}
}

func (l *loop) closePort() {
	p := l.carrier.port
	if p == nil {
		return
	}
	l.carrier.port, l.carrier.received = nil, nil
	close(p.gone)
	p.port.Close() // it is closed, or was before
	<-p.done
}

// receive brings batch after batch to the loop until the port is closed or fails.
func (p *openPort) receive() {
	defer close(p.done)
	for {
		var b *link.Batch
		select {
		case b = <-p.free:
		case <-p.gone:
			return
		}
		r := received{from: p, batch: b, err: p.one(b)}
		switch {
		case errors.Is(r.err, net.ErrClosed):
			return
		case r.err == nil && len(b.Packets)+len(b.ARPs) == 0:
			p.free <- b
			continue
		}
		select {
		case p.received <- r:
		case <-p.gone:
			return
		}
		if r.err != nil {
			return
		}
	}
}

// one waits for one batch; a panic is an error like others.
func (p *openPort) one(b *link.Batch) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &recovered{value: v, stack: debug.Stack()}
		}
	}()
	return p.port.Receive(b)
}

// recovered is a panic of the receiver.
type recovered struct {
	value any
	stack []byte
}

func (r *recovered) Error() string { return fmt.Sprintf("a bug: %v\n%s", r.value, r.stack) }

// watch tells the port about whose addresses ARP messages are wanted, if that changed.
func (l *loop) watch(now lease.Instant) {
	if l.carrier.port == nil {
		return
	}
	l.scratch = l.m.AppendWatched(l.scratch[:0])
	if slices.Equal(l.scratch, l.watched) {
		return
	}
	l.watched = append(l.watched[:0], l.scratch...)
	if err := l.carrier.port.port.WatchARP(l.watched); err != nil && !errors.Is(err, net.ErrClosed) {
		l.report.note(l, now, "arp", fmt.Sprintf("conflicts cannot be noticed: %v", err))
	}
}
