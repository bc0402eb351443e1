package client

import (
	"slices"

	"lessor/dhcp4"
)

// routes reads the routes of a lease. Option 121 stands in place of 33 and 3, whatever
// they say (RFC 3442); option 249, the same under another number, is read where
// there is no 121. One that cannot be read counts as not sent.
func (r *reader) routes() {
	classless := []dhcp4.Code{dhcp4.OptClasslessStaticRoute, dhcp4.OptMSClasslessStaticRoute}
	if r.c.NoRoutes {
		for _, code := range append(classless, dhcp4.OptStaticRoutes) {
			if r.v.Has(code) {
				r.refuse(code, RouteForbidden)
			}
		}
		r.routers()
		return
	}
	for _, code := range classless {
		if !r.classless(code) {
			continue
		}
		if !r.routed(dhcp4.Prefix{}) && r.v.Has(dhcp4.OptRouters) {
			r.refuse(dhcp4.OptRouters, RouteReplaced)
		}
		return
	}
	r.routers() // first: there must be room for the default route
	r.static()
}

// classless reads option 121 or 249; false when there is none that can be read.
func (r *reader) classless(code dhcp4.Code) bool {
	val, ok := r.get(code)
	if !ok {
		return false
	}
	if !dhcp4.Lookup(code).Valid(val) {
		r.refuse(code, OptionMalformed)
		return false
	}
	// What is on the link comes first: the gateways of the others may lie there.
	each := func(onLink bool) {
		for rest := val; len(rest) > 0; {
			bits, octets := int(rest[0]), (int(rest[0])+7)/8
			var net [4]byte
			copy(net[:], rest[1:1+octets])
			via := dhcp4.AddrFromBytes(rest[1+octets:])
			rest = rest[1+octets+4:]
			if onLink == (via == 0) && !r.full(code) {
				r.add(code, Route{dhcp4.Prefix{Addr: dhcp4.AddrFrom4(net), Bits: bits}.Masked(), via})
			}
		}
	}
	each(true)
	each(false)
	for _, route := range r.l.Settings.Routes {
		if route.Dst.Bits == 0 && route.Via != 0 {
			r.l.Settings.Routers = []dhcp4.Addr{route.Via}
		}
	}
	return true
}

// static reads option 33, pairs of a destination and a router (RFC 2132 5.8). The
// destination is a network of its class, or a host when it has bits behind that; there
// is no default route by this option.
func (r *reader) static() {
	const code = dhcp4.OptStaticRoutes
	val, ok := r.get(code)
	if !ok {
		return
	}
	if !dhcp4.Lookup(code).Valid(val) {
		r.refuse(code, OptionMalformed)
		return
	}
	for ; len(val) > 0 && !r.full(code); val = val[8:] {
		dst := dhcp4.Prefix{Addr: dhcp4.AddrFromBytes(val), Bits: 32}
		class := dhcp4.Prefix{Addr: dst.Addr, Bits: classBits(dst.Addr)}
		if class == class.Masked() {
			dst = class
		}
		via := dhcp4.AddrFromBytes(val[4:])
		if via == 0 {
			r.refuse(code, OptionBadAddress) // that means the link only in option 121
			continue
		}
		r.add(code, Route{dst, via})
	}
}

// routers reads option 3. The first router that can be reached has the default route.
func (r *reader) routers() {
	const code = dhcp4.OptRouters
	s := &r.l.Settings
	for _, via := range r.hosts(code) {
		if len(s.Routers) == 0 && !r.add(code, Route{Via: via}) {
			continue
		}
		if !r.reachable(via) {
			r.refuse(code, RouteNoGateway)
			continue
		}
		s.Routers = append(s.Routers, via)
	}
}

// add takes one route, masked, or says why not.
func (r *reader) add(code dhcp4.Code, route Route) bool {
	s := &r.l.Settings
	dst := route.Dst
	switch {
	case !leadsSomewhere(dst):
		r.refuse(code, RouteBadDestination)
	case dst.Bits > 0 && dst.Bits < r.c.MinRouteBits:
		r.refuse(code, RouteTooWide)
	case route.Via != 0 && !route.Via.IsUnicastHost():
		r.refuse(code, OptionBadAddress)
	case r.routed(dst):
		r.refuse(code, RouteTwice)
	case route.Via != 0 && (dst == dhcp4.Prefix{Addr: route.Via, Bits: 32} || !r.reachable(route.Via) && !r.pave(route.Via)):
		r.refuse(code, RouteNoGateway)
	default:
		s.Routes = append(s.Routes, route)
		return true
	}
	return false
}

// leadsSomewhere reports whether dst has addresses of hosts in it: it is not in 0/8
// or 127/8, and not in the classes D and E.
func leadsSomewhere(dst dhcp4.Prefix) bool {
	return dst.Addr.IsUnicastHost() || dst.Bits < 8 && dst.Addr>>28 < 0xe
}

// routed reports whether there is a route to exactly dst.
func (r *reader) routed(dst dhcp4.Prefix) bool {
	return slices.ContainsFunc(r.l.Settings.Routes, func(o Route) bool { return o.Dst == dst })
}

// reachable reports whether via is a neighbour: a host of the lease's own prefix, or
// of a route that is on the link.
func (r *reader) reachable(via dhcp4.Addr) bool {
	own := r.l.Addr
	if via == own.Addr {
		return false
	}
	return own.IsHost(via) || slices.ContainsFunc(r.l.Settings.Routes, func(o Route) bool {
		return o.Via == 0 && o.Dst.IsHost(via)
	})
}

// pave puts a gateway on the link when the mask is /32: such a host has no neighbours
// by its mask, so that a router can only be meant to be one.
func (r *reader) pave(via dhcp4.Addr) bool {
	dst := dhcp4.Prefix{Addr: via, Bits: 32}
	if r.l.Addr.Bits < 32 || via == r.l.Addr.Addr || r.routed(dst) {
		return false
	}
	r.l.Settings.Routes = append(r.l.Settings.Routes, Route{Dst: dst})
	return true
}

// full says that there is no room for a route and the one to its gateway.
func (r *reader) full(code dhcp4.Code) bool {
	if len(r.l.Settings.Routes)+2 <= MaxRoutes {
		return false
	}
	r.refuse(code, OptionTooMany)
	return true
}
