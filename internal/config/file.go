package config

import (
	"fmt"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
)

// minLifetime is the shortest lease in seconds: below it no T1 and T2 fit between
// start and end in whole seconds.
const minLifetime = 4

var fileKeys = &keys[file]{
	what:    "the configuration",
	options: true,
	known: withLevel(func(f *file) *level { return &f.level }, map[string]func(*parser, *file, *yaml.Node){
		"interfaces":               (*parser).interfaces,
		"subnets":                  func(p *parser, f *file, n *yaml.Node) { f.subnets = p.subnetList(n) },
		"shared-networks":          (*parser).networks,
		"client-classes":           (*parser).classes,
		"relays":                   (*parser).knownRelays,
		"subnet-selection":         (*parser).subnetSelection,
		"flex-id":                  func(_ *parser, f *file, n *yaml.Node) { f.flexID = n },
		"ingress-limits":           func(p *parser, f *file, n *yaml.Node) { walk(p, ingressKeys, n, &f.settings.Ingress) },
		"authoritative":            (*parser).authoritative,
		"nak-delivery":             (*parser).nakDelivery,
		"server-identifier":        (*parser).serverIdentifier,
		"offer-lifetime":           (*parser).offerLifetime,
		"lease-grace":              (*parser).leaseGrace,
		"decline-probation-period": (*parser).probation,
		"conflict-check":           (*parser).conflictCheck,
		"match-client-id":          (*parser).matchClientID,
		"rapid-commit":             (*parser).rapidCommit,
		"lease-database":           (*parser).leaseDatabase,
		"option-definitions":       func(*parser, *file, *yaml.Node) {}, // read already
	}),
	later: []string{"api", "share", "reservations",
		"hooks", "webhooks", "ddns", "cluster", "metrics", "logging", "loggers", "control-socket", "users"},
	words: map[string]string{
		"dhcp4":              "take what is inside it one level up; Lessor's keys stand at the top of the file",
		"subnet4":            "subnets",
		"relay":              "write it under a subnet or a shared network; the file of a relay agent is for \"lessor relay -c FILE\"",
		"interface":          "interfaces",
		"interfaces-config":  "write interfaces: [eth0]",
		"default-lease-time": "valid-lifetime",
		"lease-time":         "valid-lifetime",
		"max-lease-time":     "max-valid-lifetime",
		"min-lease-time":     "min-valid-lifetime",
		"renew-timer":        "leave it out; T1 is always half of the lease",
		"rebind-timer":       "leave it out; T2 is always 7/8 of the lease",
		"option":             "options",
		"option-def":         "write option-definitions: [{name: acme-color, code: 224, type: uint8, array: true}]; its keys are name, code, type, array, record and space",
		"ping-check":         "conflict-check",
		"dhcp-authoritative": "authoritative",
		"dhcp-range":         "write the range under pools of a subnet",
		"dhcp-host":          "write the host under reservations of a subnet",
		"dhcp-option":        "options",
	},
}

var databaseKeys = &keys[file]{
	what: "lease-database",
	known: map[string]func(*parser, *file, *yaml.Node){
		"path": (*parser).databasePath,
	},
	later: []string{"type", "endpoints", "persist", "name", "host", "user", "password", "lfc-interval", "retention"},
}

func (p *parser) interfaces(f *file, n *yaml.Node) {
	items := list(n)
	if len(items) == 0 {
		p.errorf(n, "interfaces", "write interfaces: [eth0]", "the list of interfaces is empty")
	}
	seen := map[string]Place{}
	for _, item := range items {
		in := interfaceNode{}
		if item.Kind == yaml.MappingNode {
			if !p.need(item, walk(p, interfaceKeys, item, &in), "name", "an interface", "write {name: eth0, trusted: true}") {
				continue
			}
		} else {
			in.name, _ = p.interfaceName(item)
		}
		name := in.name
		if name == "" {
			continue
		}
		if in.trusted {
			f.settings.Trusted = append(f.settings.Trusted, name)
		}
		if first, dup := seen[name]; dup {
			p.errorf(item, "interfaces", "remove one", "%s is there twice; the other one is at %s", quotable(name), first).relate(first, "the first one")
			continue
		}
		seen[name] = p.place(item)
		f.settings.Interfaces = append(f.settings.Interfaces, name)
	}
}

func (p *parser) subnetList(n *yaml.Node) (out []*subnetNode) {
	if n.Kind != yaml.SequenceNode {
		p.errorf(n, "type", "begin each subnet with \"- subnet: \"", "subnets is a list, but this is %s", shape(n))
		return nil
	}
	if len(n.Content) == 0 {
		p.errorf(n, "no-subnet", "add one, such as {subnet: 192.0.2.0/24, pools: [192.0.2.50-192.0.2.200]}", "the list of subnets is empty, so no client could be served")
	}
	for _, item := range n.Content {
		out = append(out, p.subnet(item))
	}
	return out
}

// interfaceNode is an interface in its long form.
type interfaceNode struct {
	name    string
	trusted bool
}

var interfaceKeys = &keys[interfaceNode]{
	what: "an interface",
	known: map[string]func(*parser, *interfaceNode, *yaml.Node){
		"name":    func(p *parser, i *interfaceNode, n *yaml.Node) { i.name, _ = p.interfaceName(n) },
		"trusted": func(p *parser, i *interfaceNode, n *yaml.Node) { i.trusted, _ = p.boolean(n) },
	},
	words: map[string]string{"interface": "name", "trust": "trusted"},
}

func (p *parser) interfaceName(n *yaml.Node) (string, bool) {
	name, ok := p.text(n, "the name of an interface")
	switch {
	case !ok:
		return "", false
	case name == "*":
		p.errorf(n, "interfaces", "name each of them", "interfaces cannot be given by a pattern")
		return "", false
	case name == "" || len(name) > 15 || strings.ContainsAny(name, "/ \t:%\"\\"):
		p.errorf(n, "interfaces", "write one to 15 characters without spaces, as \"ip link\" shows it", "%s cannot be the name of an interface", quotable(name))
		return "", false
	}
	return name, true
}

func (p *parser) subnetSelection(f *file, n *yaml.Node) {
	w, _ := p.word(n, "relays", "allow")
	f.settings.SubnetSelection = w == "allow"
}

func (p *parser) authoritative(f *file, n *yaml.Node) {
	if v, ok := p.boolean(n); ok {
		f.settings.Authoritative = v
	}
}

func (p *parser) nakDelivery(f *file, n *yaml.Node) {
	if w, ok := p.word(n, "auto", "broadcast"); ok {
		f.settings.NakDelivery = policy.NakAuto
		if w == "broadcast" {
			f.settings.NakDelivery = policy.NakBroadcast
		}
	}
}

func (p *parser) serverIdentifier(f *file, n *yaml.Node) {
	if a, ok := p.addr(n, "an address of this server, such as 192.0.2.1"); ok {
		f.settings.ServerIdentifier = a
	}
}

func (p *parser) offerLifetime(f *file, n *yaml.Node) {
	if s, ok := p.duration(n, "offer-lifetime", 1, 3600); ok {
		f.settings.OfferLifetime = int64(s) * 1e9
	}
}

func (p *parser) leaseGrace(f *file, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Value == "auto" {
		f.settings.Grace = -1
		return
	}
	if s, ok := p.duration(n, "lease-grace", 1, 30*86400); ok {
		f.settings.Grace = int64(s)
		f.graceAt = p.place(n)
	}
}

func (p *parser) probation(f *file, n *yaml.Node) {
	if s, ok := p.duration(n, "decline-probation-period", 1, 365*86400); ok {
		f.settings.Probation = int64(s) * 1e9
	}
}

func (p *parser) conflictCheck(f *file, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		if w, ok := p.word(n, "arp", "icmp", "off"); ok {
			f.settings.ConflictCheck, f.settings.EchoCheck = w == "arp", w == "icmp"
		}
		return
	}
	if len(n.Content) == 0 {
		p.errorf(n, "choice", "write off, arp or [arp, icmp]", "the list is empty")
		return
	}
	f.settings.ConflictCheck, f.settings.EchoCheck = false, false
	for _, item := range n.Content {
		switch w, _ := p.word(item, "arp", "icmp"); w {
		case "arp":
			f.settings.ConflictCheck = true
		case "icmp":
			f.settings.EchoCheck = true
		}
	}
}

func (p *parser) matchClientID(f *file, n *yaml.Node) {
	if v, ok := p.boolean(n); ok {
		f.settings.MatchClientID = v
	}
}

func (p *parser) rapidCommit(f *file, n *yaml.Node) {
	if v, ok := p.boolean(n); ok {
		f.settings.RapidCommit = v
	}
}

func (p *parser) leaseDatabase(f *file, n *yaml.Node) {
	walk(p, databaseKeys, n, f)
}

func (p *parser) databasePath(f *file, n *yaml.Node) {
	s, ok := p.text(n, "a directory such as /var/lib/lessor/db")
	if !ok {
		return
	}
	if !filepath.IsAbs(s) {
		p.errorf(n, "path", "write a directory such as /var/lib/lessor/db", "%s is not an absolute path", quotable(s))
		return
	}
	f.leaseDatabase = filepath.Clean(s)
}

func (p *parser) lifetime(key string, t *timeNode, n *yaml.Node) {
	s, ok := p.duration(n, key, 0, lease.Infinite)
	switch {
	case !ok:
	case s < minLifetime:
		p.errorf(n, "duration-range", "use at least 4s", "%s of %s is too short: renewing needs whole seconds at 1/2 and 7/8 of a lease", key, formatDuration(s))
	default:
		*t = timeNode{s, p.place(n)}
	}
}

// parse reads the root mapping.
func (p *parser) parse(root *yaml.Node) *file {
	f := &file{settings: policy.Defaults()}
	p.definitions(root) // before the options that use them
	seen := walk(p, fileKeys, root, f)
	f.eachLevel(func(_ []*level, l *level) { p.join(l) })
	if seen != nil {
		p.need(root, seen, "interfaces", "the configuration", "write interfaces: [eth0]")
		if seen["shared-networks"] == nil {
			p.need(root, seen, "subnets", "the configuration", "add subnets: [{subnet: 192.0.2.0/24, pools: [192.0.2.50-192.0.2.200]}]")
		}
	}
	return f
}

// subnetProblem says why no client can have an address in pre, or nothing.
func subnetProblem(pre dhcp4.Prefix) string {
	r := pre.Range()
	switch {
	case pre.Bits == 0:
		return "0.0.0.0/0 is the whole of IPv4, not a subnet"
	case !r.First.IsUnicastHost() || !r.Last.IsUnicastHost():
		return fmt.Sprintf("%s holds addresses that no host can have", pre)
	}
	return ""
}
