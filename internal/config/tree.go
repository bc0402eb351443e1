package config

import (
	"go.yaml.in/yaml/v4"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// The tree is the file's content with positions, before inheritance.

// file is the whole configuration.
type file struct {
	level
	settings      policy.Settings
	leaseDatabase string
	graceAt       Place // of lease-grace, when it is a duration
	subnets       []*subnetNode
	networks      []*networkNode
	all           []*networkNode // see allNetworks, which is called once all are read
	classes       []*classNode
	flexID        *yaml.Node  // nil: none
	relays        []rangeNode // settings.Relays
}

// level is what can be set at each level of inheritance.
type level struct {
	valid, min, max timeNode
	boot            *policy.Boot
	options         []optionNode
	subs            []subNode // sub-options of spaces, until they are joined to options
}

// timeNode is a lifetime in seconds; with seconds 0 it is not set.
type timeNode struct {
	seconds uint32
	at      Place
}

func (l *level) lifetimes() policy.Lifetimes {
	return policy.Lifetimes{Valid: l.valid.seconds, Min: l.min.seconds, Max: l.max.seconds}
}

type subnetNode struct {
	level
	at           Place // of the prefix, else of the mapping
	prefix       dhcp4.Prefix
	ok           bool // prefix is good
	name         string
	nameAt       Place
	ingress      ingressNode
	guard        []nameNode
	limits       policy.Limits
	pools        []*poolNode
	reservations []*reservationNode
}

type poolNode struct {
	level
	at      Place
	r       dhcp4.Range
	ok      bool // r is good
	exclude []rangeNode
	guard   []nameNode
}

type rangeNode struct {
	dhcp4.Range
	at Place
}

type reservationNode struct {
	level
	at       Place // of the mapping
	keys     []keyNode
	addr     dhcp4.Addr
	addrAt   Place
	hostname string
	classes  []nameNode
}

// keyNode is one key of a reservation.
type keyNode struct {
	policy.Key
	at Place
}

// String names the key's client as the file does.
func (k *keyNode) String() string {
	switch k.Kind {
	case policy.KeyHWAddress:
		return formatOctets(k.Value)
	case policy.KeyClientID, policy.KeyDUID:
		return k.Kind.String() + " " + formatOctets(k.Value)
	}
	return k.Kind.String() + " " + quotable(string(k.Value))
}

// client names the reservation's client as the file does.
func (r *reservationNode) client() string {
	if len(r.keys) == 0 {
		return ""
	}
	return r.keys[0].String()
}

// withLevel adds the keys that every level has to a table.
func withLevel[T any](of func(*T) *level, known map[string]func(*parser, *T, *yaml.Node)) map[string]func(*parser, *T, *yaml.Node) {
	lifetime := func(key string, field func(*level) *timeNode) {
		known[key] = func(p *parser, t *T, n *yaml.Node) { p.lifetime(key, field(of(t)), n) }
	}
	lifetime("valid-lifetime", func(l *level) *timeNode { return &l.valid })
	lifetime("min-valid-lifetime", func(l *level) *timeNode { return &l.min })
	lifetime("max-valid-lifetime", func(l *level) *timeNode { return &l.max })
	withBoot(of, known)
	known["options"] = func(p *parser, t *T, n *yaml.Node) { p.options(of(t), n) }
	known["option-data"] = func(p *parser, t *T, n *yaml.Node) { p.optionData(of(t), n) }
	return known
}
