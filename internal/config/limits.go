package config

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"lessor/internal/policy"
)

// rateUnits are the units of time of a rate, in seconds.
var rateUnits = map[string]float64{"s": 1, "m": 60, "h": 3600, "d": 86400}

// rateLimit reads "50/s". As many as come in ten seconds may come at once, and one at
// least.
func (p *parser) rateLimit(l *policy.Limits, n *yaml.Node) {
	const what = "a rate such as 50/s, 10/m or 100/h"
	s, ok := p.text(n, what)
	if !ok {
		return
	}
	number, unit, _ := strings.Cut(strings.ReplaceAll(s, " ", ""), "/")
	count, err := strconv.ParseUint(number, 10, 32)
	per := rateUnits[unit]
	if err != nil || per == 0 || count == 0 {
		p.errorf(n, "rate", "write "+what, "cannot read %s as a rate", quotable(s))
		return
	}
	l.Rate = float64(count) / per
	l.Burst = max(1, 10*l.Rate)
	l.Pos = p.place(n).pos()
}

func (p *parser) addressLimit(l *policy.Limits, n *yaml.Node) {
	s, ok := p.text(n, "a number of addresses")
	if !ok {
		return
	}
	v, err := strconv.ParseUint(s, 10, 32)
	if err != nil || v == 0 {
		p.errorf(n, "number", "write a number from 1 on, or leave the key out", "%s is not a number of addresses", quotable(s))
		return
	}
	l.Count, l.Pos = uint32(v), p.place(n).pos()
}

var ingressKeys = &keys[policy.Limits]{
	what: "ingress-limits",
	known: map[string]func(*parser, *policy.Limits, *yaml.Node){
		"rate-limit":    (*parser).rateLimit,
		"address-limit": (*parser).addressLimit,
	},
}
