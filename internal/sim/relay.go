package sim

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/link"
	"lessor/internal/relay"
	"lessor/internal/template"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// relayHost is a router with a relay agent: the process is there while agent is not nil, the
// router while it has power.
type relayHost struct {
	w       *world
	plan    *RelayPlan
	nics    []*nic // eth0 towards the servers, then those with clients
	locals  link.Locals
	conf    relay.Config
	replies *link.Rule // lets in what servers send

	agent *relay.Agent
	fx    relay.Effects
	batch link.Batch
}

func newRelayHost(w *world, p *RelayPlan) *relayHost {
	r := &relayHost{w: w, plan: p, replies: link.ServerRule}
	r.conf = relay.Config{Servers: p.Servers, SourcePort: p.SourcePort, HostName: p.Name}
	if p.SourcePort != 0 {
		r.replies = &link.Rule{Port: p.SourcePort}
	}
	r.plug(p.Up, []dhcp4.Prefix{p.Addr})
	for i := range p.Ports {
		q := &p.Ports[i]
		r.plug(q.Segment, q.Addrs)
		r.conf.Downstream = append(r.conf.Downstream, relay.Downstream{Name: fmt.Sprintf("eth%d", i+1), GIAddr: q.GIAddr,
			LinkSelection: q.Selection, CircuitID: identifierText(q.CircuitID), RemoteID: identifierText(q.RemoteID)})
	}
	var ifs []link.Interface
	for _, n := range r.nics {
		ifs = append(ifs, link.Interface{Index: n.id, MAC: n.mac, Addrs: n.addrs})
	}
	for _, q := range p.Ports {
		if q.GIAddr != 0 {
			ifs[0].Addrs = append(slices.Clone(ifs[0].Addrs), dhcp4.Prefix{Addr: q.GIAddr, Bits: 32})
		}
	}
	r.locals.Set(ifs)
	r.start()
	return r
}

// identifierText is a template of the plan, which has no errors.
func identifierText(text string) template.Template {
	t, err := relay.Template(text)
	if err != nil {
		panic(err)
	}
	return t
}

// plug adds a card.
func (r *relayHost) plug(seg int, addrs []dhcp4.Prefix) {
	i := len(r.nics)
	n := &nic{w: r.w, host: r.plan.Name, seg: r.w.segments[seg], id: wire.LinkID(i + 1), mac: wire.MAC{2, 0, 0x5e, 0xdd, byte(name(r.plan.Name)), byte(i)},
		carrier: true, addrs: addrs}
	n.take = func(frame []byte) { r.arrived(n, frame) }
	n.seg.nics = append(n.seg.nics, n)
	r.nics = append(r.nics, n)
}

// start starts the agent.
func (r *relayHost) start() {
	if r.agent != nil || r.nics[0].off {
		return
	}
	r.agent = relay.New(r.conf)
	r.linksChanged()
}

// stop ends the agent's process; the router goes on.
func (r *relayHost) stop() {
	if r.agent != nil {
		r.agent = nil
		r.w.emit(r.plan.Name, &trace.Relaying{})
	}
}

// linksChanged tells the agent which interfaces are ready.
func (r *relayHost) linksChanged() {
	if r.agent == nil {
		return
	}
	says := &trace.Relaying{MaxHops: relay.DefaultMaxHops}
	var links []wire.Link
	for i, n := range r.nics[1:] {
		if !n.up() {
			continue
		}
		links = append(links, wire.Link{ID: n.id, Name: fmt.Sprintf("eth%d", i+1), MAC: n.mac, MTU: mtu, Addrs: n.addrs})
		says.Ports = append(says.Ports, trace.RelayPort{Link: n.id, Addr: n.addrs[0].Addr, GIAddr: cmp.Or(r.plan.Ports[i].GIAddr, n.addrs[0].Addr)})
	}
	r.agent.SetLinks(lease.Instant{}, links)
	r.w.emit(r.plan.Name, says)
}

// arrived is called when a frame has reached a card: the kernel passes on what is for somebody else, the
// agent gets what is for it.
func (r *relayHost) arrived(n *nic, frame []byte) {
	if r.foreign(n, frame) {
		r.pass(n, frame)
		return
	}
	id, rule := link.Identity{Link: n.id, MAC: n.mac, Port: dhcp4.ServerPort, Locals: &r.locals}, link.ServerRule
	if n == r.nics[0] {
		id.Port, rule = r.replies.Port, r.replies
	}
	if r.agent == nil || !rule.Wanted(frame) {
		return
	}
	r.batch.Reset()
	r.batch.Add(&id, frame, link.Aux{})
	for i := range r.batch.Packets {
		p := &r.batch.Packets[i]
		r.w.emit(r.plan.Name, n.received(p, id.Port))
		r.agent.Handle(lease.Instant{}, p, &r.fx)
	}
	r.perform()
}

// perform sends what the agent wants to send.
func (r *relayHost) perform() {
	for i := range r.fx.Sends {
		s := r.fx.Sends[i]
		s.Data = bytes.Clone(s.Data)
		n := r.nics[0]
		if s.Raw {
			n = r.nics[s.Link-1]
		}
		n.send(s)
	}
	r.fx.Reset()
}

// power takes the router its power, and gives it back after d.
func (r *relayHost) power(d int64) {
	if r.nics[0].off {
		return
	}
	r.stop()
	for _, n := range r.nics {
		n.off = true
	}
	r.w.after(d, r.powerOn)
}

func (r *relayHost) powerOn() {
	for _, n := range r.nics {
		n.off = false
	}
	r.start()
}

func (r *relayHost) carrier(i int, on bool) {
	if i < len(r.nics) && r.nics[i].carrier != on {
		r.nics[i].carrier = on
		r.linksChanged()
	}
}

// mend ends every fault of the host.
func (r *relayHost) mend() {
	r.powerOn()
	for i := range r.nics {
		r.carrier(i, true)
	}
}

func (r *relayHost) step(p *Step) {
	switch p.Kind {
	case StepStop:
		r.stop()
		r.w.after(p.For, r.start)
	case StepPower:
		r.power(second + p.For)
	case StepLinkDown:
		r.carrier(p.N, false)
		r.w.after(p.For, func() { r.carrier(p.N, true) })
	}
}
