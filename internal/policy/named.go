package policy

import "lessor/dhcp4"

// namesHosts holds the codes of options whose value is a list of addresses of
// hosts that a client is to talk to: routers and servers of every kind.
var namesHosts = func() (set [256]bool) {
	for _, c := range []dhcp4.Code{
		3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 32, 41, 42, 44, 45, 48, 49, 65, 68, 69, 70, 71, 72,
		73, 74, 75, 76, 85, 89, 112, 136, 138, 142, 150,
	} {
		set[c] = true
	}
	return set
}()

// Options with routes (RFC 2132 5.8, RFC 3442).
const (
	optStaticRoutes     = 33
	optClasslessRoutes  = 121
	optMSClasslessRoute = 249
)

// EachHost calls fn with each address of a router or server that o names.
func EachHost(o dhcp4.Option, fn func(dhcp4.Addr)) {
	b := o.Data
	switch {
	case namesHosts[o.Code]:
		for ; len(b) >= 4; b = b[4:] {
			fn(dhcp4.AddrFromBytes(b))
		}
	case o.Code == optStaticRoutes: // pairs of destination and router
		for ; len(b) >= 8; b = b[8:] {
			fn(dhcp4.AddrFromBytes(b[4:]))
		}
	case o.Code == optClasslessRoutes || o.Code == optMSClasslessRoute:
		for len(b) > 0 {
			n := 1 + (int(b[0])+7)/8 // width octet, significant octets
			if b[0] > 32 || len(b) < n+4 {
				return
			}
			fn(dhcp4.AddrFromBytes(b[n:]))
			b = b[n+4:]
		}
	}
}

// markNamed puts each router and server that any option of s names among the
// addresses that its subnet never offers. Options of one subnet may name a server
// in another, so all are looked at.
func (p *Policy) markNamed(s *Spec) {
	mark := func(a dhcp4.Addr) {
		if sn := p.SubnetOf(a); sn != nil && sn.Network.ReservedBy(a) == nil {
			sn.NeverOffer.add(a)
		}
	}
	each := func(set *OptionSet) {
		for _, v := range set.All() {
			EachHost(dhcp4.Option{Code: v.Code, Data: v.Data}, mark)
		}
	}
	each(s.Options)
	for i := range s.Classes {
		each(s.Classes[i].Options)
	}
	for i := range s.Networks {
		each(s.Networks[i].Options)
		for j := range s.Networks[i].Subnets {
			ss := &s.Networks[i].Subnets[j]
			each(ss.Options)
			for k := range ss.Pools {
				each(ss.Pools[k].Options)
			}
			for k := range ss.Reservations {
				each(ss.Reservations[k].Options)
			}
		}
	}
}
