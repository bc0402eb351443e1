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
}

// level is what can be set at each level of inheritance.
type level struct {
	valid, min, max timeNode
	options         []optionNode
}

// timeNode is a lifetime in seconds; with seconds 0 it is not set.
type timeNode struct {
	seconds uint32
	at      Place
}

func (l *level) lifetimes() policy.Lifetimes {
	return policy.Lifetimes{Valid: l.valid.seconds, Min: l.min.seconds, Max: l.max.seconds}
}

// optionSet is the options of the level, or nil.
func (l *level) optionSet() *policy.OptionSet {
	if len(l.options) == 0 {
		return nil
	}
	opts := make([]dhcp4.Option, len(l.options))
	for i, o := range l.options {
		opts[i] = dhcp4.Option{Code: o.code, Data: o.data}
	}
	return policy.NewOptionSet(opts...)
}

// optionNode is one option with its wire form.
type optionNode struct {
	code dhcp4.Code
	name string
	data []byte
	at   Place // its key, or its entry of option-data
	val  Place
}

type subnetNode struct {
	level
	at           Place // of the prefix, else of the mapping
	prefix       dhcp4.Prefix
	ok           bool // prefix is good
	name         string
	nameAt       Place
	pools        []*poolNode
	reservations []*reservationNode
}

type poolNode struct {
	level
	at      Place
	r       dhcp4.Range
	ok      bool // r is good
	exclude []rangeNode
}

type rangeNode struct {
	dhcp4.Range
	at Place
}

type reservationNode struct {
	level
	at         Place // of the mapping
	hw         []byte
	hwAt       Place
	clientID   []byte
	clientIDAt Place
	addr       dhcp4.Addr
	addrAt     Place
	hostname   string
}

// client names the reservation's client as the file does.
func (r *reservationNode) client() string {
	if r.hw != nil {
		return formatOctets(r.hw)
	}
	return "client-id " + formatOctets(r.clientID)
}

// withLevel adds the keys that every level has to a table.
func withLevel[T any](of func(*T) *level, known map[string]func(*parser, *T, *yaml.Node)) map[string]func(*parser, *T, *yaml.Node) {
	lifetime := func(key string, field func(*level) *timeNode) {
		known[key] = func(p *parser, t *T, n *yaml.Node) { p.lifetime(key, field(of(t)), n) }
	}
	lifetime("valid-lifetime", func(l *level) *timeNode { return &l.valid })
	lifetime("min-valid-lifetime", func(l *level) *timeNode { return &l.min })
	lifetime("max-valid-lifetime", func(l *level) *timeNode { return &l.max })
	known["options"] = func(p *parser, t *T, n *yaml.Node) { p.options(of(t), n) }
	known["option-data"] = func(p *parser, t *T, n *yaml.Node) { p.optionData(of(t), n) }
	return known
}
