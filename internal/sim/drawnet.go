package sim

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"lessor/dhcp4"
	"lessor/internal/client"
)

// Networks is what a scenario says of relay agents, shared networks, classes and keys of
// reservations.
type Networks struct {
	Relays                  Span // how many routers with a relay agent
	Selection, Named, Wrong Span // of their interfaces: parts per million
	SourcePort              Span // of the agents
	Shared                  Span // of the networks that have two subnets
	Snoop, Classes          Span // of the seeds
	ROM                     Span // of the clients
	Keys                    []string
}

// usualNetworks have no relay agents, classes or ROMs.
func usualNetworks() Networks { return Networks{Keys: []string{"client"}} }

// keyWords are by what reservations know their clients.
var keyWords = []string{"client", "circuit", "remote"}

// canonical is the scenario's content: its name and comment change no plan, nor does what it does
// not use.
func (s *Scenario) canonical() string {
	c := *s
	c.Name, c.Idea, c.Nets = "", "", Networks{}
	c.Faults = slices.DeleteFunc(slices.Clone(c.Faults), func(f Fault) bool { return f.Count == Span{} && slices.Contains(networkFaults, f.Key) })
	text := strings.Replace(fmt.Sprintf("%v", c), fmt.Sprintf(" %v", c.Nets), "", 1)
	if !reflect.DeepEqual(s.Nets, usualNetworks()) {
		text += fmt.Sprintf("%v", s.Nets)
	}
	return text
}

// networkFaults are the kinds of steps that only some worlds have.
var networkFaults = []string{"relay-stop", "relay-power", "boot"}

// What stands for relay agents outside of all subnets: agents that are known, and agents
// that are not.
var (
	knownAgent   = dhcp4.AddrFrom4([4]byte{198, 18, 255, 0})
	unknownAgent = dhcp4.AddrFrom4([4]byte{198, 18, 254, 0})
)

// secondOf is where the second subnet of a shared network lies, behind the first.
const secondOf = 50

// network draws the routers and which segments lie behind them.
func (d *drawer) networks() {
	n := &d.s.Nets
	if n.Relays.Most == 0 && n.Snoop.Most == 0 && n.Shared.Most == 0 {
		d.shared = make([]bool, d.p.Segments)
		return
	}
	for i := range d.in(n.Relays) {
		up := int(d.n(int64(d.p.Segments)))
		r := RelayPlan{Name: fmt.Sprintf("r%d", i+1), Up: up, Addr: dhcp4.Prefix{Addr: addrIn(up, 5+int(i)), Bits: 24}}
		if d.share(n.SourcePort) {
			r.SourcePort = 6767
		}
		for range d.between(1, 2) {
			r.Ports = append(r.Ports, d.relayPort())
			d.p.Far++
		}
		d.p.Relays = append(d.p.Relays, r)
	}
	for seg := range d.segments() {
		d.shared = append(d.shared, d.share(n.Shared))
		if seg < d.p.Segments && d.share(n.Snoop) {
			d.p.Snoops = append(d.p.Snoops, seg)
		}
	}
	for i := range d.p.Relays {
		for j := range d.p.Relays[i].Ports {
			if q := &d.p.Relays[i].Ports[j]; d.shared[q.Segment] {
				q.Addrs = append(q.Addrs, dhcp4.Prefix{Addr: addrIn(secondOf+q.Segment, 1), Bits: 24})
			}
		}
	}
}

// share throws the dice for a share of which there may be none.
func (d *drawer) share(s Span) bool { return s.Most > 0 && d.hit(d.in(s)) }

// segments is how many there are.
func (d *drawer) segments() int { return d.p.Segments + d.p.Far }

// relayPort draws an interface of a router on a segment of its own.
func (d *drawer) relayPort() RelayPort {
	seg := d.segments()
	q := RelayPort{Segment: seg, Addrs: []dhcp4.Prefix{{Addr: addrIn(seg, 1), Bits: 24}}}
	switch n := &d.s.Nets; {
	case d.share(n.Wrong):
		q.GIAddr, q.Selection = unknownAgent+dhcp4.Addr(seg), d.half()
	case d.share(n.Selection):
		q.Selection = true
		if d.half() {
			q.GIAddr = knownAgent + dhcp4.Addr(d.n(2)) // interfaces may share one
		}
	case d.share(n.Named):
		q.GIAddr = knownAgent + dhcp4.Addr(16+seg)
	}
	q.CircuitID = d.word([]string{"", "${interface}", clientCircuit, clientCircuit})
	q.RemoteID = d.word([]string{"", clientRemote})
	if q.Selection && q.CircuitID == "" {
		q.CircuitID = "${interface}"
	}
	return q
}

// Templates of identifiers that each client has for itself, as on a switch with a port for
// each.
const (
	clientCircuit = "${interface}/${hw-address}"
	clientRemote  = "${hw-address}"
)

// attach tells the agents of their servers, and the configuration of its agents.
func (d *drawer) attach() {
	for i := range d.p.Relays {
		r := &d.p.Relays[i]
		for k := range d.p.Servers {
			r.Servers = append(r.Servers, d.p.Servers[k].Addrs[r.Up].Addr)
		}
		for _, q := range r.Ports {
			for _, c := range d.confs {
				switch {
				case q.GIAddr == 0 || q.GIAddr&^0xff == unknownAgent:
				case q.Selection:
					if !slices.Contains(c.relays, q.GIAddr) {
						c.relays = append(c.relays, q.GIAddr)
					}
				default:
					c.subnets[q.Segment].relay = q.GIAddr
				}
			}
		}
	}
}

// portOf is the interface of a router that segment seg lies behind, or nil; name is that of
// the interface.
func (d *drawer) portOf(seg int) (q *RelayPort, name string) {
	for i := range d.p.Relays {
		for j := range d.p.Relays[i].Ports {
			if q := &d.p.Relays[i].Ports[j]; q.Segment == seg {
				return q, fmt.Sprintf("eth%d", j+1)
			}
		}
	}
	return nil, ""
}

// circuitOf is the circuit-id that client k has on its segment, alone or with its neighbours; "" for none.
func (d *drawer) circuitOf(k int) string {
	seg := d.perClient[k]
	if slices.Contains(d.p.Snoops, seg) {
		return snoopedPort(d.p.Clients[k].Name)
	}
	switch q, name := d.portOf(seg); {
	case q == nil:
	case q.CircuitID == clientCircuit:
		return name + "/" + colons(d.p.Clients[k].MAC[:])
	case q.CircuitID != "":
		return name
	}
	return ""
}

// remoteOf is the remote-id that client k alone has.
func (d *drawer) remoteOf(k int) string {
	if q, _ := d.portOf(d.perClient[k]); q != nil && q.RemoteID == clientRemote {
		return colons(d.p.Clients[k].MAC[:])
	}
	return ""
}

// keysFor adds keys of the relay agent to a reservation of client k, beside the client's own or in
// their place.
func (d *drawer) keysFor(s *subnetConf, r *reservationConf, k int) {
	w := d.word(d.s.Nets.Keys)
	circuit, remote := d.circuitOf(k), d.remoteOf(k)
	if slices.ContainsFunc(s.reservations, func(o reservationConf) bool { return o.circuit == circuit }) {
		circuit = ""
	}
	switch {
	case w == "circuit" && circuit != "":
		r.circuit = circuit
	case w == "remote" && remote != "":
		r.remote = remote
	default:
		return
	}
	if d.half() {
		r.hw, r.id = false, false
	}
}

// Classes of the configurations, in their order.
const classText = `client-classes:
  - name: phones
    test: 'option["vendor-class-identifier"].startsWith("phone")'
  - name: port
    test: 'relay["circuit-id"].startsWith("eth1")'
  - name: ours
    test: 'hw_address.startsWith("02:00:5e:10")'
`

// dropText drops what hostile stations send in the name of strangers.
const dropText = `  - name: DROP
    test: 'hw_address.startsWith("02:66")'
`

var guardWords = []string{"phones", "port", "ours", "KNOWN", "UNKNOWN"}

// guards draws which classes the pools of a configuration are for.
func (d *drawer) guards(c *conf) {
	c.drop = d.n(4) == 0
	for i := range c.subnets {
		for j := range c.subnets[i].pools {
			if d.n(3) == 0 {
				c.subnets[i].pools[j].guard = d.word(guardWords)
			}
		}
	}
}

// network changes something of the networks of c, in segment seg.
func (d *drawer) changedNetwork(c *conf, seg int) {
	s := &c.subnets[seg]
	p := &s.pools[d.n(int64(len(s.pools)))]
	switch d.n(4) {
	case 0, 1:
		if !c.classes {
			return
		}
		if p.guard = ""; d.half() {
			p.guard = d.word(guardWords)
		}
	case 2:
		c.trusted = !c.trusted
	case 3:
		if n := len(s.reservations); n > 0 { // known by something else
			r := &s.reservations[d.n(int64(n))]
			r.hw, r.id, r.circuit, r.remote = true, false, "", ""
			d.keysFor(s, r, r.client)
		}
	}
}

// rom draws the identity of a client's network boot, which has the same card.
func (d *drawer) rom(i int) *client.Config {
	id := append([]byte{0, 0x70, 0x78, byte(i + 1)}, make([]byte, 12)...)
	return &client.Config{Identifier: client.IdentifierFixed, ClientID: id, Fast: true, Detection: client.DetectOff, VendorClass: "PXEClient"}
}
