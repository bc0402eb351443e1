// Package relay is the DHCP relay agent as a function: messages of clients and servers go
// in, messages to send and events come out. It does no I/O, reads no clock, starts no
// goroutine and takes no lock.
//
// # Why there is no table of requests
//
// A reply finds its way by what it says itself: giaddr names the interface, and where
// interfaces share one giaddr (link selection), the echoed option 82 does, for the agent
// writes the same one again for each interface and compares. So a flood of made-up clients
// fills nothing and pushes nobody out, memory is the same with one client and with a
// million, a restart forgets nothing, and every forwarded reply matches a configured
// interface (I21, F9 of docs/invariants.md).
package relay

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/template"
	"lessor/internal/wire"
)

// Config is what the agent is told. It is not changed once the agent has it.
type Config struct {
	Downstream []Downstream // interfaces with clients, by distinct names
	Servers    []dhcp4.Addr // each gets a copy of each request
	Policy     Policy       // for requests that bring an option 82

	// MaxHops is the largest value of hops that is still relayed; 0 stands for
	// DefaultMaxHops, and more than MaxMaxHops is taken as that.
	MaxHops uint8

	// SourcePort is the UDP port that requests leave from and answers come back to (RFC
	// 8357); 0 stands for 67.
	SourcePort uint16

	HostName string // of this host, for templates
}

// Downstream is one interface with clients.
type Downstream struct {
	Name string

	// GIAddr is the address of this host that stands in giaddr; 0: the first of the
	// interface.
	GIAddr dhcp4.Addr

	// Trusted: an option 82 in a request is believed, since whoever could set it is known.
	Trusted bool

	// LinkSelection: option 82 says which subnet the client is in (sub-option 5, RFC 3527), so that
	// GIAddr may be any address of this host; clients renew through the agent (sub-option
	// 11, RFC 5107), which says how each request came (sub-option 10, RFC 5010).
	LinkSelection bool

	// Sub-options 1, 2 and 6 (RFC 3046 3.1, 3.2, RFC 3993), made by Template. An empty
	// text is no sub-option.
	CircuitID, RemoteID, SubscriberID template.Template
}

// Policy says what becomes of an option 82 that a request from a trusted interface
// brings. Without one the agent adds its own where giaddr was 0 and otherwise adds
// nothing (RFC 3046 2.1, 2.1.1).
type Policy uint8

// The policies. Forward is that of RFC 3046; the others are those of dhcrelay.
const (
	Forward Policy = iota // leave it as it is
	Append                // add the identifiers of this agent to it
	Replace               // put those of this agent in its place
	Drop                  // drop the request
)

// Limits of hops (RFC 1542 4.1.1).
const (
	DefaultMaxHops = 4
	MaxMaxHops     = 16
)

// Placeholders of the templates of a Downstream. They are what a reply says as well as a
// request: the agent makes the same text from both.
const (
	NameInterface   = "interface"            // its name now
	NameInterfaceHW = "interface-hw-address" // 02:00:5e:10:00:01
	NameAddress     = "interface-address"    // the first of the interface
	NameSubnet      = "subnet"               // of that address, 198.18.0.0/24
	NameGIAddr      = "giaddr"               // as the agent sets it
	NameHW          = "hw-address"           // of the client
	NameHost        = "hostname"             // of this host
)

// Template reads the text of an identifier.
func Template(text string) (template.Template, error) {
	return template.Parse(text, NameInterface, NameInterfaceHW, NameAddress, NameSubnet, NameGIAddr, NameHW, NameHost)
}

// Agent is a relay agent. It belongs to one goroutine.
type Agent struct {
	c     Config
	mtu   int
	links []port
	count Counters

	view dhcp4.View
	kind dhcp4.MessageType

	// Scratch, and the interface and client that fill is asked about.
	own, other, rest [2 * maxAgent]byte
	at               *port
	hw               []byte
	fill             func(name string, dst []byte) []byte
}

// port is an interface that is ready and configured.
type port struct {
	wire.Link
	d      *Downstream
	addr   dhcp4.Addr // its own
	subnet dhcp4.Prefix
	giaddr dhcp4.Addr
}

// maxAgent is the most that option 82 can hold.
const maxAgent = 255

// New returns an agent without interfaces.
func New(c Config) *Agent {
	a := &Agent{mtu: 1500}
	a.fill = a.placeholder
	a.Configure(c)
	return a
}

// Configure puts c in the place of what the agent was told. Counters go on.
func (a *Agent) Configure(c Config) {
	if c.MaxHops == 0 {
		c.MaxHops = DefaultMaxHops
	}
	c.MaxHops = min(c.MaxHops, MaxMaxHops)
	if c.SourcePort == 0 {
		c.SourcePort = dhcp4.ServerPort
	}
	old := a.links
	a.c, a.links = c, nil
	for i := range old {
		a.attach(&old[i].Link, old)
	}
}

// SetLinks tells the agent which interfaces are ready. Links that are not in the configuration
// are ignored; one that was renamed keeps its place. The slice is not kept, what
// is in it must not change.
func (a *Agent) SetLinks(_ lease.Instant, links []wire.Link) {
	old := a.links
	a.links = nil
	for i := range links {
		a.attach(&links[i], old)
	}
}

// attach adds l to the interfaces when it is one of the configuration, by its name, or by
// its number in old.
func (a *Agent) attach(l *wire.Link, old []port) {
	if len(l.Addrs) == 0 {
		return
	}
	d := a.downstream(l.Name)
	for i := range old {
		if d == nil && old[i].ID == l.ID {
			d = a.downstream(old[i].d.Name)
		}
	}
	if d == nil {
		return
	}
	first := l.Addrs[0]
	p := port{Link: *l, d: d, addr: first.Addr, subnet: first.Masked(), giaddr: d.GIAddr}
	if p.giaddr == 0 {
		p.giaddr = p.addr
	}
	a.links = append(a.links, p)
}

func (a *Agent) downstream(name string) *Downstream {
	for i := range a.c.Downstream {
		if a.c.Downstream[i].Name == name {
			return &a.c.Downstream[i]
		}
	}
	return nil
}

// SetMTU tells the agent the largest IP packet, in octets, that reaches all servers. It
// is 1500 until then.
func (a *Agent) SetMTU(octets int) { a.mtu = octets }

// Interface returns what the configuration says of an interface that is ready, nil when it is
// none of them, and the giaddr of its requests.
func (a *Agent) Interface(id wire.LinkID) (d *Downstream, giaddr dhcp4.Addr) {
	if l := a.linkOf(id); l != nil {
		return l.d, l.giaddr
	}
	return nil, 0
}

// Counters are the agent's. They are not to be changed.
func (a *Agent) Counters() *Counters { return &a.count }

// Handle is one message's way: a request of a client goes to every server, a reply of a server to
// its client, or the message is dropped for a reason. p.Data is not kept. Nothing
// that the agent knows ages, so the instant does not matter. It allocates nothing in the
// steady state.
func (a *Agent) Handle(_ lease.Instant, p *wire.Packet, e *Effects) {
	a.kind = 0
	reason := a.handle(p, e)
	if reason != None {
		a.drop(p, e, reason)
	}
}

func (a *Agent) handle(p *wire.Packet, e *Effects) Reason {
	v := &a.view
	if err := v.Parse(p.Data); err != nil {
		return parseReason(err)
	}
	a.kind = v.MessageType()
	l := a.linkOf(p.Link)
	switch v.Op() {
	case bootRequest:
		a.count.Requests++
		if l == nil {
			return NotDownstream
		}
		return a.request(p, l, e)
	case bootReply:
		a.count.Replies++
		if l != nil {
			return ReplyFromClients
		}
		return a.reply(e)
	}
	return BadOp
}

const bootRequest, bootReply = 1, 2

func parseReason(err error) Reason {
	if pe, ok := err.(*dhcp4.ParseError); ok {
		switch pe.Problem {
		case dhcp4.TooShort:
			return TooShort
		case dhcp4.NoCookie:
			return BadCookie
		}
	}
	return Malformed
}

// drop counts and reports a message that was not relayed.
func (a *Agent) drop(p *wire.Packet, e *Effects, reason Reason) {
	a.count.Dropped[reason]++
	e.Events = append(e.Events, a.event(EventDrop, reason, p, e))
}

func (a *Agent) event(kind EventKind, why Reason, p *wire.Packet, e *Effects) Event {
	ev := Event{Kind: kind, Type: a.kind, Reason: why, Link: p.Link, Src: p.Src}
	if why > Malformed {
		v := &a.view
		ev.XID, ev.GIAddr, ev.Hops, ev.HW = v.XID(), v.GIAddr(), v.Hops(), e.copy(v.CHAddr())
	}
	return ev
}

func (a *Agent) linkOf(id wire.LinkID) *port {
	for i := range a.links {
		if a.links[i].ID == id {
			return &a.links[i]
		}
	}
	return nil
}

// isOwn reports whether x is an address that this agent stands for.
func (a *Agent) isOwn(x dhcp4.Addr) bool {
	for i := range a.links {
		if a.links[i].giaddr == x {
			return true
		}
		for _, p := range a.links[i].Addrs {
			if p.Addr == x {
				return true
			}
		}
	}
	return false
}

// badHW reports whether the client's hardware address cannot be one.
func (a *Agent) badHW() bool {
	hw := a.view.CHAddr()
	if !isEthernet(a.view.HType(), hw) {
		return false
	}
	m := wire.MAC(hw)
	for i := range a.links {
		if a.links[i].MAC == m {
			return true
		}
	}
	return m.IsMulticast()
}

func isEthernet(htype uint8, hw []byte) bool { return (htype == 1 || htype == 6) && len(hw) == 6 }
