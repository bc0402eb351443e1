package config

import (
	"go.yaml.in/yaml/v4"

	"lessor/dhcp4"
)

// networkNode is a shared network.
type networkNode struct {
	level
	at       Place
	name     string
	nameAt   Place
	ingress  ingressNode
	guard    []nameNode
	subnets  []*subnetNode
	implicit bool // of one subnet, which stands at the top level
}

// ingressNode is what stands for a network besides the addresses of its subnets.
type ingressNode struct {
	relays     []rangeNode // of one address each
	interfaces []nameNode
}

var networkKeys = &keys[networkNode]{
	what:    "a shared network",
	options: true,
	known: withLevel(func(n *networkNode) *level { return &n.level }, map[string]func(*parser, *networkNode, *yaml.Node){
		"name":           (*parser).nameOfNetwork,
		"subnets":        (*parser).subnetsOfNetwork,
		"relay":          func(p *parser, w *networkNode, n *yaml.Node) { p.relay(&w.ingress, n) },
		"interface":      func(p *parser, w *networkNode, n *yaml.Node) { p.ingressInterface(&w.ingress, n) },
		"client-classes": func(p *parser, w *networkNode, n *yaml.Node) { p.classNames(&w.guard, n) },
	}),
	words: map[string]string{"subnet4": "subnets", "subnet": "subnets", "client-class": "client-classes",
		"pools": "write pools under a subnet", "reservations": "write reservations under a subnet"},
}

var relayKeys = &keys[ingressNode]{
	what: "relay",
	known: map[string]func(*parser, *ingressNode, *yaml.Node){
		"ip-addresses": (*parser).relayAddrs,
	},
	words: map[string]string{"ip-address": "ip-addresses"},
}

func (p *parser) networks(f *file, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		p.errorf(n, "type", "begin each shared network with \"- name: \"", "shared-networks is a list, but this is %s", shape(n))
		return
	}
	for _, item := range n.Content {
		w := &networkNode{at: p.place(item)}
		f.networks = append(f.networks, w)
		seen := walk(p, networkKeys, item, w)
		p.need(item, seen, "name", "a shared network", "write name: building-a")
		p.need(item, seen, "subnets", "a shared network", "write subnets: [{subnet: 192.0.2.0/24, pools: [192.0.2.50-192.0.2.200]}]")
	}
}

func (p *parser) nameOfNetwork(w *networkNode, n *yaml.Node) {
	if name, ok := p.subnetName(n); ok {
		w.name, w.nameAt = name, p.place(n)
	}
}

func (p *parser) subnetsOfNetwork(w *networkNode, n *yaml.Node) { w.subnets = p.subnetList(n) }

// relay reads the addresses of agents: one, a list, or Kea's {ip-addresses: [...]}.
func (p *parser) relay(in *ingressNode, n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		walk(p, relayKeys, n, in)
		return
	}
	p.relayAddrs(in, n)
}

func (p *parser) relayAddrs(in *ingressNode, n *yaml.Node) {
	for _, item := range list(n) {
		if a, ok := p.addr(item, "the giaddr of a relay agent, such as 192.0.2.1"); ok {
			in.relays = append(in.relays, rangeNode{dhcp4.Range{First: a, Last: a}, p.place(item)})
		}
	}
}

func (p *parser) ingressInterface(in *ingressNode, n *yaml.Node) {
	if name, ok := p.interfaceName(n); ok {
		in.interfaces = append(in.interfaces, nameNode{name, p.place(n)})
	}
}

// knownRelays reads the agents outside of the subnets: addresses and prefixes.
func (p *parser) knownRelays(f *file, n *yaml.Node) {
	const what = "the giaddr of a relay agent such as 198.18.255.1, or a prefix or range of them"
	for _, item := range list(n) {
		if r, ok := p.addrRange(item, "relays"); ok {
			f.settings.Relays = append(f.settings.Relays, r)
			f.relays = append(f.relays, rangeNode{r, p.place(item)})
		}
	}
	if len(list(n)) == 0 {
		p.errorf(n, "relays", "write "+what, "the list of relays is empty")
	}
}

// allNetworks are the shared networks and, each as a network of its own, the subnets
// of the top level.
func (f *file) allNetworks() []*networkNode {
	if f.all == nil {
		f.all = append(f.all, f.networks...)
		for i, s := range f.subnets {
			f.all = append(f.all, &networkNode{at: s.at, subnets: f.subnets[i : i+1 : i+1], implicit: true})
		}
	}
	return f.all
}

// allSubnets are the subnets of all networks.
func (f *file) allSubnets() []*subnetNode {
	var all []*subnetNode
	for _, n := range f.networks {
		all = append(all, n.subnets...)
	}
	return append(all, f.subnets...)
}

// checkNetworks reports names, agents and interfaces that stand for two networks.
func (p *parser) checkNetworks(f *file) {
	names := map[string]Place{}
	relays := map[dhcp4.Addr]Place{}
	interfaces := map[string]Place{}
	for _, w := range f.allNetworks() {
		if w.name != "" {
			if first, dup := names[w.name]; dup {
				p.add(Error, w.nameAt, "duplicate-name", "give each shared network a name of its own", "two shared networks are called %s; the other one is at %s", quotable(w.name), first).relate(first, "the first one")
			}
			names[w.name] = w.nameAt
		}
		for _, in := range w.ingresses() {
			for _, r := range in.relays {
				if first, dup := relays[r.First]; dup {
					p.add(Error, r.at, "duplicate-relay", "an agent stands for one network", "the relay agent %s is named at %s already", r.First, first).relate(first, "the first one")
					continue
				}
				relays[r.First] = r.at
			}
			for _, i := range in.interfaces {
				if first, dup := interfaces[i.name]; dup {
					p.add(Error, i.at, "duplicate-interface", "put the subnets into one shared network", "the clients of %s are given a network at %s already", quotable(i.name), first).relate(first, "the first one")
					continue
				}
				interfaces[i.name] = i.at
				p.served(f, i)
			}
		}
	}
}

// ingresses are those of the network and of its subnets.
func (w *networkNode) ingresses() []*ingressNode {
	all := []*ingressNode{&w.ingress}
	for _, s := range w.subnets {
		all = append(all, &s.ingress)
	}
	return all
}

// served reports an interface that is not among those that are served.
func (p *parser) served(f *file, i nameNode) {
	for _, name := range f.settings.Interfaces {
		if name == i.name {
			return
		}
	}
	p.add(Error, i.at, "interfaces", "add it to interfaces", "the interface %s is not served", quotable(i.name))
}
