package config

import (
	"fmt"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// doubtRoutes warns of classless routes without a default route beside routers: a client
// that takes option 121 ignores option 3 (RFC 3442), and would have no way out.
func (p *parser) doubtRoutes(f *file) {
	warned := map[Place]bool{}
	f.eachLevel(func(outer []*level, l *level) {
		routers := effective(outer, l, dhcp4.OptRouters)
		routes := effective(outer, l, dhcp4.OptClasslessStaticRoute)
		if routers == nil || routes == nil || len(routers.data) < 4 || hasDefault(routes.data) || warned[routes.val] {
			return
		}
		warned[routes.val] = true
		p.warnf(routes.val, "no-default-route", fmt.Sprintf("add \"default via %s\"", dhcp4.AddrFromBytes(routers.data)),
			"a client that takes %s ignores routers (%s), and these routes have no default route", routes.name, routers.at).relate(routers.at, "the routers")
	})
}

// effective returns the option that counts at l, or nil.
func effective(outer []*level, l *level, code dhcp4.Code) *optionNode {
	find := func(l *level) *optionNode {
		if i := slices.IndexFunc(l.options, func(o optionNode) bool { return o.code == code }); i >= 0 {
			return &l.options[i]
		}
		return nil
	}
	o := find(l)
	for i := len(outer) - 1; i >= 0 && o == nil; i-- {
		o = find(outer[i])
	}
	if o == nil || o.flags&policy.NeverSend != 0 {
		return nil
	}
	return o
}

// hasDefault reports whether routes, the value of an option 121, have one to everywhere.
func hasDefault(routes []byte) bool {
	for len(routes) > 0 {
		if routes[0] == 0 {
			return true
		}
		n := 1 + (int(routes[0])+7)/8 + 4
		if len(routes) < n {
			return false
		}
		routes = routes[n:]
	}
	return false
}
