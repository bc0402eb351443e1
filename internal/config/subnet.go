package config

import (
	"go.yaml.in/yaml/v4"
)

var subnetKeys = &keys[subnetNode]{
	what:    "a subnet",
	options: true,
	known: withLevel(func(s *subnetNode) *level { return &s.level }, map[string]func(*parser, *subnetNode, *yaml.Node){
		"subnet":       (*parser).prefix,
		"name":         (*parser).nameOfSubnet,
		"pools":        (*parser).pools,
		"reservations": (*parser).reservations,
	}),
	later: []string{"boot", "client-classes", "client-class", "interface", "relay", "relays", "ddns", "next-server", "boot-file-name"},
	words: map[string]string{
		"range": "pools", "ranges": "pools", "pool": "pools", "network": "subnet", "prefix": "subnet",
		"hosts": "reservations", "host": "reservations", "option": "options",
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
	}),
	later: []string{"client-classes", "client-class", "share", "pool-id"},
	words: map[string]string{"range": "pool", "excluded": "exclude", "option": "options", "lease-time": "valid-lifetime"},
}

var reservationKeys = &keys[reservationNode]{
	what:    "a reservation",
	options: true,
	known: withLevel(func(s *reservationNode) *level { return &s.level }, map[string]func(*parser, *reservationNode, *yaml.Node){
		"hw-address": (*parser).reservedHW,
		"client-id":  (*parser).reservedClientID,
		"ip-address": (*parser).reservedAddr,
		"hostname":   (*parser).reservedHostname,
	}),
	later: []string{"client-classes", "boot", "duid", "circuit-id", "remote-id", "flex-id", "next-server", "boot-file-name", "server-hostname"},
	words: map[string]string{
		"mac": "hw-address", "hwaddr": "hw-address", "hardware": "hw-address", "mac-address": "hw-address",
		"chaddr": "hw-address", "hardware-ethernet": "hw-address", "address": "ip-address", "ip": "ip-address",
		"fixed-address": "ip-address", "name": "hostname", "host-name": "hostname", "host": "hostname",
		"clientid": "client-id", "uid": "client-id", "option": "options", "lease-time": "valid-lifetime",
	},
}

func (p *parser) subnet(f *file, n *yaml.Node) {
	s := &subnetNode{at: p.place(n)}
	f.subnets = append(f.subnets, s)
	seen := walk(p, subnetKeys, n, s)
	if !p.need(n, seen, "subnet", "a subnet", "write subnet: 192.0.2.0/24") {
		return
	}
	if seen["pools"] == nil && seen["reservations"] == nil && s.ok {
		p.warnf(s.at, "no-pool", "add pools or reservations", "the subnet has neither pools nor reservations, so it gives out no address")
	}
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
		if seen == nil {
			continue
		}
		if seen["hw-address"] == nil && seen["client-id"] == nil {
			p.errorf(item, "missing-key", "add hw-address or client-id", "the reservation does not say whose it is")
		}
		gives := []string{"ip-address", "hostname", "options", "option-data", "valid-lifetime", "min-valid-lifetime", "max-valid-lifetime"}
		useful := false
		for _, key := range gives {
			useful = useful || seen[key] != nil
		}
		if !useful {
			p.warnf(r.at, "empty-reservation", "add ip-address, hostname or options", "the reservation gives its client nothing")
		}
	}
}

func (p *parser) reservedHW(r *reservationNode, n *yaml.Node) {
	r.hwAt = p.place(n)
	r.hw, _ = p.hwAddress(n)
}

func (p *parser) reservedClientID(r *reservationNode, n *yaml.Node) {
	r.clientIDAt = p.place(n)
	r.clientID, _ = p.clientID(n)
}

func (p *parser) reservedAddr(r *reservationNode, n *yaml.Node) {
	r.addrAt = p.place(n)
	r.addr, _ = p.addr(n, "an IPv4 address such as 192.0.2.10")
}

func (p *parser) reservedHostname(r *reservationNode, n *yaml.Node) {
	r.hostname, _ = p.hostname(n)
}
