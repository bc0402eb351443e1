package checker

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// Bounds of what is remembered of a client, and the times of I20.
const (
	mostExchanges  = 64
	mostOffersKept = 64
	offTime        = lease.Second      // after the end of a lease its address may stay on the interface
	afterDecline   = 10 * lease.Second // RFC 2131 3.1 ¶5
	justNow        = lease.Second / 20 // between an ACK and what the client says of it
)

// clients holds I20 against what Lessor's own clients did and what they were sent. It
// reads the messages and keeps its own books. What a client remembers of before the
// trace is not known to it: a trace begins before the first lease of its clients.
type clients struct {
	view  dhcp4.View
	hosts map[string]*station
}

// station is one client: all times are on its host's CLOCK_BOOTTIME.
type station struct {
	boot     lease.BootID
	booted   bool // boot is known
	ours     bool
	running  bool
	mac      wire.MAC
	clientID []byte
	state    string
	probes   int // how a new address is checked
	probeMin int64
	wait     int64

	asked  []exchange // the newest last
	asking bool       // the last message sent is a REQUEST that no ACK has answered
	offers []offerGot
	grants map[dhcp4.Addr]*granted
	others map[string]map[dhcp4.Addr]*granted // what programs with other client identifiers on the same host were given
	probed probed

	acked    dhcp4.Addr // by an ACK that came in just now and is not taken yet
	ackedAt  int64
	accepted dhcp4.Addr // by the last ACK
	onLink   dhcp4.Addr // on the interface, 0: nothing
	end      int64      // of that
	lifetime uint32
	resumed  int64 // the clock jumped at that time

	declined int64
	declines []int64 // the newest last
	conflict dhcp4.Addr
	since    int64 // of the conflict
	refused  dhcp4.Addr
	noSince  int64 // of the NAK
}

// exchange is the messages of one transaction id.
type exchange struct {
	xid          uint32
	discovers    int
	requests     int
	first        int64 // transmission of any
	firstRequest int64
	lastDiscover int64
	lastRequest  int64
	last         question
}

// question is what the last message of an exchange asked for.
type question struct {
	typ       dhcp4.MessageType
	ciaddr    dhcp4.Addr
	requested dhcp4.Addr
	server    dhcp4.Addr
	rapid     bool
}

type offerGot struct {
	xid          uint32
	addr, server dhcp4.Addr
}

// granted is until when an address is the client's at most.
type granted struct {
	until    int64
	lifetime uint32
	newest   dhcp4.Addr // the server whose ACK came last
	server   dhcp4.Addr // the server whose ACK the client took last
	proven   bool       // it was in use, or it was checked, since it was granted
}

// probed are the last ARP probes, all for one address.
type probed struct {
	addr  dhcp4.Addr
	times []int64
}

func newClients() *clients { return &clients{hosts: map[string]*station{}} }

func (r *clients) entry(c *Checker, e *trace.Entry) {
	s := r.hosts[e.Host]
	if s == nil {
		switch e.Body.(type) {
		case *trace.Client, *trace.Clock:
			s = &station{grants: map[dhcp4.Addr]*granted{}, others: map[string]map[dhcp4.Addr]*granted{}, declined: -1 << 60}
			r.hosts[e.Host] = s
		default:
			return
		}
	}
	if k, ok := e.Body.(*trace.Clock); ok {
		s.clockChanged(e, k)
		return
	}
	if !s.ours {
		if b, ok := e.Body.(*trace.Client); !ok || !b.Ours {
			return
		}
	}
	now := c.ledger.m
	if awake(e) {
		s.overdue(c, now)
	}
	switch b := e.Body.(type) {
	case *trace.Client:
		s.step(c, now, b)
	case *trace.Interface:
		s.conflict = 0 // a cable that is pulled ends the check
	case *trace.Frame:
		r.frame(c, s, now, b)
	}
}

func (r *clients) end(*Checker) {}

// clockChanged takes note of a step, a suspend or a boot. What a client remembers of an
// earlier boot ends by a wall clock that can be wrong, but never has more left than the
// whole lease.
func (s *station) clockChanged(e *trace.Entry, k *trace.Clock) {
	booted := s.booted && s.boot != k.Boot
	s.boot, s.booted = k.Boot, true
	s.resumed = e.Now.M
	if !booted {
		return
	}
	s.others[string(s.clientID)] = s.grants
	for _, grants := range s.others {
		for _, g := range grants {
			if g.lifetime != lease.Infinite {
				g.until = lease.After(e.Now.M, g.lifetime)
			}
		}
	}
	s.asked, s.asking, s.onLink, s.refused, s.conflict = nil, false, 0, 0, 0
	s.declined, s.declines = -1<<60, nil
	s.acked, s.probed.times = 0, nil // their times are of another boot
}

// overdue holds what must have happened by now.
func (s *station) overdue(c *Checker, now int64) {
	if !s.running {
		return
	}
	if s.onLink != 0 && s.end != lease.Never && now > max(s.end, s.resumed)+offTime+slack {
		c.breach("I20", "%s is still on the interface, %d ms after its end", s.onLink, (now-s.end)/1e6)
		s.end = lease.Never // once
	}
	if s.refused != 0 && now > max(s.noSince, s.resumed)+offTime+slack {
		if s.refused == s.onLink {
			c.breach("I20", "%s is still on the interface, %d ms after a NAK", s.onLink, (now-s.noSince)/1e6)
		}
		s.refused = 0
	}
	if s.conflict != 0 && now > max(s.since, s.resumed)+offTime+slack {
		c.breach("I20", "another host has %s, and there was no DECLINE", s.conflict)
		s.conflict = 0
	}
}

// step is a Client entry.
func (s *station) step(c *Checker, now int64, b *trace.Client) {
	s.ours, s.mac = b.Ours, b.MAC
	switch b.What {
	case trace.ClientStart:
		s.becomes(b.ClientID)
		s.running, s.state = true, "INIT"
		s.probes, s.probeMin, s.wait = b.Probes, b.ProbeMin, b.ProbeWait
		s.declined, s.declines = -1<<60, nil // who starts it again may do so at once
	case trace.ClientState:
		s.state = b.State
	case trace.ClientAccept:
		s.accept(c, now, b)
	case trace.ClientConfigure:
		s.configure(c, now, b)
	case trace.ClientDeconfigure:
		s.onLink = 0
	case trace.ClientKilled, trace.ClientOff:
		s.running, s.asking, s.conflict, s.refused = false, false, 0, 0
		if b.What == trace.ClientOff {
			s.onLink = 0
		}
		for _, g := range s.grants { // what it had shown to be free stays so
			g.proven = true
		}
	}
}

// becomes is called when a program starts: one with another client identifier than the last,
// such as a network boot ROM, knows nothing of that one's leases.
func (s *station) becomes(id []byte) {
	if string(id) != string(s.clientID) {
		s.others[string(s.clientID)] = s.grants
		if s.grants = s.others[string(id)]; s.grants == nil {
			s.grants = map[dhcp4.Addr]*granted{}
		}
	}
	s.clientID = id
}

// accept is an ACK that the client took.
func (s *station) accept(c *Checker, now int64, b *trace.Client) {
	switch g := s.grants[b.Addr]; {
	case g == nil:
		c.breach("I20", "takes %s, which no answer to a question of its own gave it", b.Addr)
	case b.End-slack > g.until: // which may be lease.Never
		c.breach("I20", "takes %s until %d, it was given until %d", b.Addr, b.End, g.until)
	default:
		s.taken(now, b.Addr, g)
	}
	s.accepted, s.asking, s.conflict, s.refused = b.Addr, false, 0, 0
	s.lifetime = b.Lifetime
}

// taken notes which server's lease it is now, unless the client takes up what it remembers.
// A new address is checked, also one that the client had before.
func (s *station) taken(now int64, a dhcp4.Addr, g *granted) {
	if s.acked != a || now-s.ackedAt > justNow {
		return
	}
	s.acked, g.server = 0, g.newest
	if n := len(s.asked); n > 0 && (s.asked[n-1].last.server != 0 || s.asked[n-1].last.typ == dhcp4.Discover) {
		g.proven = false
	}
}

// configure is an address that goes onto the interface, or one that stays there longer.
func (s *station) configure(c *Checker, now int64, b *trace.Client) {
	a := b.Addr
	g := s.grants[a]
	switch {
	case g == nil:
		c.breach("I20", "uses %s, which it was not given, or not any more", a)
	case b.End-slack > g.until: // which may be lease.Never
		c.breach("I20", "uses %s until %d, it was given until %d", a, b.End, g.until)
	case b.End != lease.Never && now-slack >= b.End:
		c.breach("I20", "puts %s on the interface after its end", a)
	case s.conflict == a:
		c.breach("I20", "uses %s although another host has it", a)
		s.conflict = 0
	case s.probes > 0 && !g.proven:
		s.checked(c, now, a)
	}
	if g != nil {
		g.proven = true
		s.lifetime = g.lifetime
	}
	s.onLink, s.end = a, b.End
}

// checked holds that a new address was probed as RFC 5227 2.1.1 says.
func (s *station) checked(c *Checker, now int64, a dhcp4.Addr) {
	p := s.probed.times
	if s.probed.addr != a || len(p) < s.probes {
		n := len(p)
		if s.probed.addr != a {
			n = 0
		}
		c.breach("I20", "uses %s after %d probes of %d", a, n, s.probes)
		return
	}
	p = p[len(p)-s.probes:]
	for i := 1; i < len(p); i++ {
		if gap := p[i] - p[i-1]; gap < s.probeMin-slack {
			c.breach("I20", "two probes for %s are %d ms apart", a, gap/1e6)
		}
	}
	if wait := now - p[len(p)-1]; wait < s.wait-slack {
		c.breach("I20", "uses %s %d ms after the last probe", a, wait/1e6)
	}
}
