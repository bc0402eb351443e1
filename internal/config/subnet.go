package config

import (
	"strings"

	"go.yaml.in/yaml/v4"

	"lessor/internal/policy"
)

var subnetKeys = &keys[subnetNode]{
	what:    "a subnet",
	options: true,
	known: withLevel(func(s *subnetNode) *level { return &s.level }, map[string]func(*parser, *subnetNode, *yaml.Node){
		"subnet":       (*parser).prefix,
		"name":         (*parser).nameOfSubnet,
		"pools":        (*parser).pools,
		"reservations": (*parser).reservations,

		"relay":          func(p *parser, s *subnetNode, n *yaml.Node) { p.relay(&s.ingress, n) },
		"interface":      func(p *parser, s *subnetNode, n *yaml.Node) { p.ingressInterface(&s.ingress, n) },
		"client-classes": func(p *parser, s *subnetNode, n *yaml.Node) { p.classNames(&s.guard, n) },
		"rate-limit":     func(p *parser, s *subnetNode, n *yaml.Node) { p.rateLimit(&s.limits, n) },
		"address-limit":  func(p *parser, s *subnetNode, n *yaml.Node) { p.addressLimit(&s.limits, n) },
	}),
	later: []string{"ddns"},
	words: map[string]string{
		"range": "pools", "ranges": "pools", "pool": "pools", "network": "subnet", "prefix": "subnet",
		"relays": "relay", "client-class": "client-classes", "hosts": "reservations", "host": "reservations", "option": "options",
		"id":                 "give the subnet a name instead; its prefix identifies it",
		"default-lease-time": "valid-lifetime", "lease-time": "valid-lifetime",
		"max-lease-time": "max-valid-lifetime", "min-lease-time": "min-valid-lifetime",
		"gateway":      "write options: {routers: …}",
		"router":       "write options: {routers: …}",
		"dns":          "write options: {domain-name-servers: …}",
		"renew-timer":  "leave it out; T1 is always half of the lease",
		"rebind-timer": "leave it out; T2 is always 7/8 of the lease",
	},
}

var poolKeys = &keys[poolNode]{
	what:    "a pool",
	options: true,
	known: withLevel(func(s *poolNode) *level { return &s.level }, map[string]func(*parser, *poolNode, *yaml.Node){
		"pool":    (*parser).poolRange,
		"exclude": (*parser).exclude,

		"client-classes": func(p *parser, s *poolNode, n *yaml.Node) { p.classNames(&s.guard, n) },
	}),
	later: []string{"share", "pool-id"},
	words: map[string]string{"client-class": "client-classes", "range": "pool", "excluded": "exclude", "option": "options", "lease-time": "valid-lifetime"},
}

var reservationKeys = &keys[reservationNode]{
	what:    "a reservation",
	options: true,
	known: withLevel(func(s *reservationNode) *level { return &s.level }, map[string]func(*parser, *reservationNode, *yaml.Node){
		"hw-address": (*parser).reservedHW,
		"client-id":  (*parser).reservedClientID,
		"duid":       (*parser).reservedDUID,
		"circuit-id": func(p *parser, r *reservationNode, n *yaml.Node) { p.reservedOctets(r, policy.KeyCircuitID, n) },
		"remote-id":  func(p *parser, r *reservationNode, n *yaml.Node) { p.reservedOctets(r, policy.KeyRemoteID, n) },
		"flex-id":    func(p *parser, r *reservationNode, n *yaml.Node) { p.reservedOctets(r, policy.KeyFlexID, n) },
		"ip-address": (*parser).reservedAddr,
		"hostname":   (*parser).reservedHostname,

		"client-classes": func(p *parser, r *reservationNode, n *yaml.Node) { p.classNames(&r.classes, n) },
	}),
	words: map[string]string{
		"client-class": "client-classes", "port": "circuit-id", "agent-circuit-id": "circuit-id", "agent-remote-id": "remote-id",
		"mac": "hw-address", "hwaddr": "hw-address", "hardware": "hw-address", "mac-address": "hw-address",
		"chaddr": "hw-address", "hardware-ethernet": "hw-address", "address": "ip-address", "ip": "ip-address",
		"fixed-address": "ip-address", "name": "hostname", "host-name": "hostname", "host": "hostname",
		"clientid": "client-id", "uid": "client-id", "option": "options", "lease-time": "valid-lifetime",
	},
}

func (p *parser) subnet(n *yaml.Node) *subnetNode {
	s := &subnetNode{at: p.place(n)}
	seen := walk(p, subnetKeys, n, s)
	if !p.need(n, seen, "subnet", "a subnet", "write subnet: 192.0.2.0/24") {
		return s
	}
	if seen["pools"] == nil && seen["reservations"] == nil && s.ok {
		p.warnf(s.at, "no-pool", "add pools or reservations", "the subnet has neither pools nor reservations, so it gives out no address")
	}
	return s
}

func (p *parser) prefix(s *subnetNode, n *yaml.Node) {
	const what = "a subnet such as 192.0.2.0/24"
	text, ok := p.text(n, what)
	if !ok {
		return
	}
	s.at = p.place(n)
	pre, ok := p.parsePrefix(n, "subnet", text, what)
	if !ok {
		return
	}
	if bad := subnetProblem(pre); bad != "" {
		p.errorf(n, "subnet", "write "+what, "%s", bad)
		return
	}
	s.prefix, s.ok = pre, true
}

func (p *parser) nameOfSubnet(s *subnetNode, n *yaml.Node) {
	if name, ok := p.subnetName(n); ok {
		s.name, s.nameAt = name, p.place(n)
	}
}

func (p *parser) pools(s *subnetNode, n *yaml.Node) {
	for _, item := range list(n) {
		pool := &poolNode{at: p.place(item)}
		s.pools = append(s.pools, pool)
		if item.Kind == yaml.MappingNode {
			p.need(item, walk(p, poolKeys, item, pool), "pool", "a pool", "write pool: 192.0.2.50-192.0.2.200")
		} else {
			p.poolRange(pool, item)
		}
	}
}

func (p *parser) poolRange(pool *poolNode, n *yaml.Node) {
	pool.at = p.place(n)
	pool.r, pool.ok = p.addrRange(n, "pool")
}

func (p *parser) exclude(pool *poolNode, n *yaml.Node) {
	for _, item := range list(n) {
		if r, ok := p.addrRange(item, "exclude"); ok {
			pool.exclude = append(pool.exclude, rangeNode{r, p.place(item)})
		}
	}
}

func (p *parser) reservations(s *subnetNode, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		p.errorf(n, "type", "begin each reservation with \"- \"", "reservations is a list, but this is %s", shape(n))
		return
	}
	for _, item := range n.Content {
		r := &reservationNode{at: p.place(item)}
		s.reservations = append(s.reservations, r)
		seen := walk(p, reservationKeys, item, r)
		item.Content = nil // of 100,000 reservations the nodes are most of the memory
		if seen == nil {
			continue
		}
		if !hasAny(seen, "hw-address", "client-id", "duid", "circuit-id", "remote-id", "flex-id") {
			p.errorf(item, "missing-key", "add hw-address or client-id", "the reservation does not say whose it is").
				note("the keys are hw-address, client-id, duid, circuit-id, remote-id and flex-id")
		}
		gives := []string{"ip-address", "hostname", "options", "option-data", "valid-lifetime", "min-valid-lifetime", "max-valid-lifetime",
			"client-classes", "boot", "next-server", "server-hostname", "boot-file-name"}
		if !hasAny(seen, gives...) {
			p.warnf(r.at, "empty-reservation", "add ip-address, hostname or options", "the reservation gives its client nothing")
		}
	}
}

// keyList is the values of one kind of key of a reservation.
func (p *parser) keyList(n *yaml.Node) []*yaml.Node {
	items := list(n)
	if len(items) == 0 {
		p.errorf(n, "missing-key", "name a client, or leave the key out", "the list is empty")
	}
	return items
}

func hasAny(seen map[string]*yaml.Node, keys ...string) bool {
	for _, k := range keys {
		if seen[k] != nil {
			return true
		}
	}
	return false
}

func (p *parser) reservedHW(r *reservationNode, n *yaml.Node) {
	for _, item := range p.keyList(n) {
		if hw, ok := p.hwAddress(item); ok {
			r.keys = append(r.keys, keyNode{policy.Key{Kind: policy.KeyHWAddress, HType: 1, Value: hw}, p.place(item)})
		}
	}
}

func (p *parser) reservedClientID(r *reservationNode, n *yaml.Node) {
	for _, item := range p.keyList(n) {
		if id, ok := p.clientID(item); ok {
			r.keys = append(r.keys, keyNode{policy.Key{Kind: policy.KeyClientID, Value: id}, p.place(item)})
		}
	}
}

// reservedDUID reads a DUID (RFC 4361 6.1): at least a type and an octet.
func (p *parser) reservedDUID(r *reservationNode, n *yaml.Node) {
	const what = "a DUID such as 00:01:00:01:2c:d1:02:00:5e:10:00:01"
	for _, item := range p.keyList(n) {
		s, ok := p.text(item, what)
		if !ok {
			continue
		}
		if b, ok := parseOctets(s); !ok || len(b) < 3 || len(b) > 130 {
			p.errorf(item, "duid", "write "+what, "%s is not a DUID", quotable(s))
		} else {
			r.keys = append(r.keys, keyNode{policy.Key{Kind: policy.KeyDUID, Value: b}, p.place(item)})
		}
	}
}

// reservedOctets reads a key that is text to most people: what looks like octets with
// 0x before it is octets, all else is text.
func (p *parser) reservedOctets(r *reservationNode, kind policy.KeyKind, n *yaml.Node) {
	for _, item := range p.keyList(n) {
		s, ok := p.text(item, "text, or octets such as 0x0004000a")
		if !ok {
			continue
		}
		b := []byte(s)
		if strings.HasPrefix(s, "0x") {
			if b, ok = parseOctets(s); !ok {
				p.errorf(item, "octets", "write 0x and two digits for each octet", "%s is not a number of octets", quotable(s))
				continue
			}
		}
		if len(b) == 0 || len(b) > 255 {
			p.errorf(item, "octets", "", "%s has 1 to 255 octets, this has %d", kind, len(b))
			continue
		}
		r.keys = append(r.keys, keyNode{policy.Key{Kind: kind, Value: b}, p.place(item)})
	}
}

func (p *parser) reservedAddr(r *reservationNode, n *yaml.Node) {
	r.addrAt = p.place(n)
	r.addr, _ = p.addr(n, "an IPv4 address such as 192.0.2.10")
}

func (p *parser) reservedHostname(r *reservationNode, n *yaml.Node) {
	r.hostname, _ = p.hostname(n)
}
