package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"lessor/dhcp4"
	agent "lessor/internal/relay"
	"lessor/internal/template"
)

// The file of a relay agent has one key, relay, and in it what lessor relay is told.

// agentNode is that file.
type agentNode struct {
	conf agent.Config
	way  agentWay // of the interfaces that say nothing else
	down []*downstreamNode
}

// downstreamNode is one interface with clients.
type downstreamNode struct {
	at      Place
	name    string
	trusted bool
	way     agentWay
}

// agentWay is what can be set for all interfaces and for each.
type agentWay struct {
	giaddr     dhcp4.Addr
	giaddrAt   Place
	selection  *bool
	selectAt   Place
	circuit    *template.Template
	remote     *template.Template
	subscriber *template.Template
}

// withAgentWay adds the keys of an agentWay to a table.
func withAgentWay[T any](of func(*T) *agentWay, known map[string]func(*parser, *T, *yaml.Node)) map[string]func(*parser, *T, *yaml.Node) {
	known["giaddr"] = func(p *parser, t *T, n *yaml.Node) {
		w := of(t)
		w.giaddr, _ = p.addr(n, "an address of this host, such as 192.0.2.1")
		w.giaddrAt = p.place(n)
	}
	known["link-selection"] = func(p *parser, t *T, n *yaml.Node) {
		if v, ok := p.boolean(n); ok {
			of(t).selection, of(t).selectAt = &v, p.place(n)
		}
	}
	text := func(key string, field func(*agentWay) **template.Template) {
		known[key] = func(p *parser, t *T, n *yaml.Node) { *field(of(t)) = p.agentText(n) }
	}
	text("circuit-id", func(w *agentWay) **template.Template { return &w.circuit })
	text("remote-id", func(w *agentWay) **template.Template { return &w.remote })
	text("subscriber-id", func(w *agentWay) **template.Template { return &w.subscriber })
	return known
}

var agentFileKeys = &keys[agentNode]{
	what: "the file of a relay agent",
	known: map[string]func(*parser, *agentNode, *yaml.Node){
		"relay": func(p *parser, a *agentNode, n *yaml.Node) { p.agent(a, n) },
	},
}

var agentKeys = &keys[agentNode]{
	what: "relay",
	known: withAgentWay(func(a *agentNode) *agentWay { return &a.way }, map[string]func(*parser, *agentNode, *yaml.Node){
		"downstream": (*parser).downstream,
		"servers":    (*parser).agentServers,
		"option-82":  (*parser).agentPolicy,
		"max-hops": func(p *parser, a *agentNode, n *yaml.Node) {
			a.conf.MaxHops = uint8(p.numberIn(n, 1, agent.MaxMaxHops))
		},
		"source-port": func(p *parser, a *agentNode, n *yaml.Node) { a.conf.SourcePort = uint16(p.numberIn(n, 1, 0xffff)) },
	}),
	words: map[string]string{"interfaces": "downstream", "interface": "downstream", "server": "servers", "upstream": "servers", "hops": "max-hops",
		"policy": "option-82", "trust": "write trusted: true at the interface under downstream", "trusted": "write trusted: true at the interface under downstream"},
}

var downstreamKeys = &keys[downstreamNode]{
	what: "an interface of downstream",
	known: withAgentWay(func(d *downstreamNode) *agentWay { return &d.way }, map[string]func(*parser, *downstreamNode, *yaml.Node){
		"name":    func(p *parser, d *downstreamNode, n *yaml.Node) { d.name, _ = p.interfaceName(n) },
		"trusted": func(p *parser, d *downstreamNode, n *yaml.Node) { d.trusted, _ = p.boolean(n) },
	}),
	words: map[string]string{"interface": "name", "trust": "trusted"},
}

// LoadRelay reads and parses the file of a relay agent at path; "-" is standard input. The
// configuration is nil when there are errors.
func LoadRelay(path string) (*agent.Config, Problems) {
	data, problems := Read(path)
	if problems != nil {
		problems[0].Fix = strings.Replace(problems[0].Fix, `"lessor config init --interface eth0" prints a file to start from`,
			`write "relay: {downstream: [eth1], servers: [192.0.2.1]}" into it, or use --downstream and --server without a file`, 1)
		return nil, problems
	}
	return ParseRelay(path, data)
}

// ParseRelay parses the file of a relay agent; name is for messages.
func ParseRelay(name string, data []byte) (*agent.Config, Problems) {
	p := newParser(name, data)
	a := &agentNode{}
	if root := p.read(); root != nil {
		seen := walk(p, agentFileKeys, root, a)
		p.need(root, seen, "relay", "the file of a relay agent", "write relay: {downstream: [eth1], servers: [192.0.2.1]}")
	}
	p.agentRelations(a)
	if p.errors > 0 {
		return nil, p.result()
	}
	return &a.conf, p.result()
}

func (p *parser) agent(a *agentNode, n *yaml.Node) {
	seen := walk(p, agentKeys, n, a)
	p.need(n, seen, "downstream", "relay", "write downstream: [eth1], the interfaces with clients")
	p.need(n, seen, "servers", "relay", "write servers: [192.0.2.1], the DHCP servers")
}

func (p *parser) downstream(a *agentNode, n *yaml.Node) {
	items := list(n)
	if len(items) == 0 {
		p.errorf(n, "interfaces", "write downstream: [eth1]", "the list of interfaces is empty")
	}
	seen := map[string]Place{}
	for _, item := range items {
		d := &downstreamNode{at: p.place(item)}
		if item.Kind == yaml.MappingNode {
			if !p.need(item, walk(p, downstreamKeys, item, d), "name", "an interface of downstream", "write {name: eth1, trusted: true}") {
				continue
			}
		} else {
			d.name, _ = p.interfaceName(item)
		}
		if d.name == "" {
			continue
		}
		if first, dup := seen[d.name]; dup {
			p.errorf(item, "interfaces", "remove one", "%s is there twice; the other one is at %s", quotable(d.name), first).relate(first, "the first one")
			continue
		}
		seen[d.name] = d.at
		a.down = append(a.down, d)
	}
}

func (p *parser) agentServers(a *agentNode, n *yaml.Node) {
	items := list(n)
	if len(items) == 0 {
		p.errorf(n, "relay-servers", "write servers: [192.0.2.1]", "the list of servers is empty, so nobody could answer")
	}
	seen := map[dhcp4.Addr]Place{}
	for _, item := range items {
		s, ok := p.addr(item, "the address of a DHCP server, such as 192.0.2.1")
		if !ok {
			continue
		}
		if first, dup := seen[s]; dup {
			p.errorf(item, "relay-servers", "remove one", "%s is there twice; the other one is at %s", s, first).relate(first, "the first one")
			continue
		}
		seen[s] = p.place(item)
		a.conf.Servers = append(a.conf.Servers, s)
	}
}

func (p *parser) agentPolicy(a *agentNode, n *yaml.Node) {
	if w, ok := p.word(n, agent.PolicyNames()...); ok {
		a.conf.Policy, _ = agent.ParsePolicy(w)
	}
}

// numberIn reads a whole number from lo to hi; 0 when there is none.
func (p *parser) numberIn(n *yaml.Node, lo, hi uint64) uint64 {
	s, ok := p.text(n, "a number")
	if !ok {
		return 0
	}
	v, err := strconv.ParseUint(s, 10, 32)
	if err != nil || v < lo || v > hi {
		p.errorf(n, "number", fmt.Sprintf("write a number from %d to %d", lo, hi), "%s is not a number that can stand here", quotable(s))
		return 0
	}
	return v
}

// agentText reads the text of a sub-option.
func (p *parser) agentText(n *yaml.Node) *template.Template {
	text, ok := p.text(n, `a text such as "${interface}"`)
	if !ok {
		return nil
	}
	t, err := agent.Template(text)
	if te, ok := errors.AsType[*template.Error](err); ok {
		at := p.place(n)
		if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			at.Col++
		}
		if strings.Contains(at.Text, text) { // it is written as it is meant
			at.Col += utf8.RuneCountInString(text[:te.Offset])
			at.Len = utf8.RuneCountInString(text[te.Offset : te.Offset+te.Length])
		}
		p.add(Error, at, "relay-text", te.Fix, "%s", te.Message)
		return nil
	}
	if len(text) > agent.MaxText {
		p.errorf(n, "relay-text", "shorten it", "the text has %d octets, %d are the most that option 82 has room for", len(text), agent.MaxText)
		return nil
	}
	return &t
}

// agentRelations holds the parts against each other and fills in the interfaces.
func (p *parser) agentRelations(a *agentNode) {
	for _, d := range a.down {
		d.way.inherit(&a.way)
		w := &d.way
		o := agent.Downstream{Name: d.name, GIAddr: w.giaddr, Trusted: d.trusted, LinkSelection: w.selection != nil && *w.selection}
		for _, t := range []struct{ from, to *template.Template }{{w.circuit, &o.CircuitID}, {w.remote, &o.RemoteID}, {w.subscriber, &o.SubscriberID}} {
			if t.from != nil {
				*t.to = *t.from
			}
		}
		a.conf.Downstream = append(a.conf.Downstream, o)
	}
	for i, fault := range agent.Faults(&a.conf) {
		if fault == "" {
			continue
		}
		at := a.down[i].way.giaddrAt
		if at == (Place{}) {
			at = a.down[i].way.selectAt
		}
		p.add(Error, at, "relay-giaddr", "", "%s", fault)
	}
}

// inherit takes from all what w does not say.
func (w *agentWay) inherit(all *agentWay) {
	if w.giaddr == 0 {
		w.giaddr, w.giaddrAt = all.giaddr, all.giaddrAt
	}
	if w.selection == nil {
		w.selection, w.selectAt = all.selection, all.selectAt
	}
	for _, t := range []struct{ own, all **template.Template }{{&w.circuit, &all.circuit}, {&w.remote, &all.remote}, {&w.subscriber, &all.subscriber}} {
		if *t.own == nil {
			*t.own = *t.all
		}
	}
}
