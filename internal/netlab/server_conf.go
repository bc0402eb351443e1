package netlab

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"lessor/internal/wire"
)

func seconds(d time.Duration) int { return int(d / time.Second) }

func list[T fmt.Stringer](vs []T, sep string) string {
	var ss []string
	for _, v := range vs {
		ss = append(ss, v.String())
	}
	return strings.Join(ss, sep)
}

// reserved calls f for each reservation, in order.
func (s *Scope) reserved(f func(mac string, addr netip.Addr)) {
	less := func(a, b wire.MAC) int { return strings.Compare(hardware(a), hardware(b)) }
	for _, m := range slices.SortedFunc(maps.Keys(s.Reserved), less) {
		f(hardware(m), s.Reserved[m])
	}
}

// classless is the value of option 121 (RFC 3442).
func (s *Scope) classless() []byte {
	var b []byte
	for _, r := range s.Routes {
		to, via := r.To.Addr().As4(), r.Gateway.As4()
		b = append(b, byte(r.To.Bits()))
		b = append(b, to[:(r.To.Bits()+7)/8]...)
		b = append(b, via[:]...)
	}
	return b
}

// gone are the addresses of former pools, as long as the server's subnet has them.
func (s *Server) gone() (as []netip.Addr) {
	for _, f := range s.former {
		for a := f.First; s.Scope.Subnet.Contains(a) && a.Compare(f.Last) <= 0; a = a.Next() {
			if (a.Less(s.Scope.First) || s.Scope.Last.Less(a)) && !slices.Contains(as, a) {
				as = append(as, a)
			}
		}
	}
	return as
}

func (s *Server) keaConf() string {
	sc := &s.Scope
	type object map[string]any
	options, reservations := []object{}, []object{} // null is no list to Kea
	option := func(name, data string) {
		if data != "" {
			options = append(options, object{"name": name, "data": data})
		}
	}
	option("routers", list(sc.Routers, ", "))
	option("domain-name-servers", list(sc.DNS, ", "))
	option("domain-name", sc.Domain)
	option("domain-search", strings.Join(sc.Search, ", "))
	if sc.MTU != 0 {
		option("interface-mtu", fmt.Sprint(sc.MTU))
	}
	if sc.Routes != nil {
		options = append(options, object{"code": 121, "csv-format": false, "data": hex.EncodeToString(sc.classless())})
	}
	sc.reserved(func(mac string, a netip.Addr) {
		reservations = append(reservations, object{"hw-address": mac, "ip-address": a.String()})
	})
	// It stays silent about an address outside its pools, so the addresses of former pools
	// are kept for nobody.
	nobody := wire.MAC{0x02, 0, 0x5e, 0xff, 0, 0}
	for _, a := range s.gone() {
		nobody[4], nobody[5] = a.As4()[2], a.As4()[3]
		reservations = append(reservations, object{"hw-address": hardware(nobody), "ip-address": a.String()})
	}
	subnet := object{"id": 1, "subnet": sc.Subnet.Masked().String(), "pools": []object{{"pool": sc.First.String() + "-" + sc.Last.String()}},
		"option-data": options, "reservations": reservations}
	conf := object{
		"interfaces-config": object{"interfaces": []string{s.Ifname}},
		"lease-database":    object{"type": "memfile", "name": s.file("leases"), "lfc-interval": 0},
		"valid-lifetime":    seconds(sc.Lifetime), "authoritative": !sc.Reticent, "decline-probation-period": 600,
		"calculate-tee-times": true, "subnet4": []object{subnet},
		"expired-leases-processing": object{"reclaim-timer-wait-time": 1, "hold-reclaimed-time": 600},
		"loggers": []object{{"name": "kea-dhcp4", "severity": "DEBUG", "debuglevel": 40,
			"output_options": []object{{"output": "stdout"}}}},
	}
	if sc.T1 != 0 {
		conf["renew-timer"], conf["rebind-timer"] = seconds(sc.T1), seconds(sc.T2)
	}
	b, err := json.MarshalIndent(object{"Dhcp4": conf}, "", " ")
	if err != nil {
		panic(err) // strings and numbers only
	}
	return string(b)
}

func (s *Server) dhcpdConf() string {
	sc := &s.Scope
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+";\n", args...) }
	if !sc.Reticent {
		say("authoritative")
	}
	say("ddns-update-style none")
	say("ping-check false")
	say("dhcp-cache-threshold 0")
	say("default-lease-time %d", seconds(sc.Lifetime))
	say("max-lease-time %d", seconds(sc.Lifetime))
	say("min-lease-time %d", seconds(sc.Lifetime))
	if sc.T1 != 0 {
		say("option dhcp-renewal-time %d", seconds(sc.T1))
		say("option dhcp-rebinding-time %d", seconds(sc.T2))
	}
	if sc.Routes != nil {
		say("option classless code 121 = array of unsigned integer 8")
		say("option classless %s", strings.Trim(strings.ReplaceAll(fmt.Sprint(sc.classless()), " ", ", "), "[]"))
	}
	for name, value := range map[string]string{"routers": list(sc.Routers, ", "), "domain-name-servers": list(sc.DNS, ", ")} {
		if value != "" {
			say("option %s %s", name, value)
		}
	}
	if sc.Domain != "" {
		say("option domain-name %q", sc.Domain)
	}
	if sc.Search != nil {
		say("option domain-search \"%s\"", strings.Join(sc.Search, `", "`))
	}
	if sc.MTU != 0 {
		say("option interface-mtu %d", sc.MTU)
	}
	mask := net.CIDRMask(sc.Subnet.Bits(), 32)
	fmt.Fprintf(&b, "subnet %s netmask %s {\n", sc.Subnet.Masked().Addr(), net.IP(mask))
	fmt.Fprintf(&b, "pool { range %s %s; }\n", sc.First, sc.Last)
	// It stays silent about an address that it knows nothing of, so former pools are
	// kept, for nobody.
	for _, a := range s.gone() {
		fmt.Fprintf(&b, "pool { range %s; deny all clients; }\n", a)
	}
	b.WriteString("}\n")
	sc.reserved(func(mac string, a netip.Addr) {
		fmt.Fprintf(&b, "host h%s { hardware ethernet %s; fixed-address %s; }\n", strings.ReplaceAll(mac, ":", ""), mac, a)
	})
	return b.String()
}

func (s *Server) dnsmasqConf() string {
	sc := &s.Scope
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("port=0\nuser=root\nno-ping\nlog-facility=-\nlog-dhcp\npid-file=\nbind-interfaces\ninterface=%s", s.Ifname)
	say("dhcp-leasefile=%s", s.file("leases"))
	say("dhcp-range=%s,%s,%d", sc.First, sc.Last, seconds(sc.Lifetime))
	if !sc.Reticent {
		say("dhcp-authoritative")
	}
	if sc.T1 != 0 {
		say("dhcp-option-force=58,%d\ndhcp-option-force=59,%d", seconds(sc.T1), seconds(sc.T2))
	}
	option := func(name, value string) {
		if value != "" {
			say("dhcp-option=option:%s,%s", name, value)
		}
	}
	if sc.Routers == nil {
		say("dhcp-option=option:router")
	}
	if sc.DNS == nil {
		say("dhcp-option=option:dns-server")
	}
	option("router", list(sc.Routers, ","))
	option("dns-server", list(sc.DNS, ","))
	option("domain-name", sc.Domain)
	option("domain-search", strings.Join(sc.Search, ","))
	if sc.MTU != 0 {
		option("mtu", fmt.Sprint(sc.MTU))
	}
	var routes []string
	for _, r := range sc.Routes {
		routes = append(routes, r.To.String()+","+r.Gateway.String())
	}
	option("classless-static-route", strings.Join(routes, ","))
	sc.reserved(func(mac string, a netip.Addr) { say("dhcp-host=%s,%s", mac, a) })
	return b.String()
}

func (s *Server) networkdConf() string {
	sc := &s.Scope
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	base := sc.Subnet.Masked().Addr().As4()
	first, last := sc.First.As4(), sc.Last.As4()
	offset := binary.BigEndian.Uint32(first[:]) - binary.BigEndian.Uint32(base[:])
	say("[Match]\nName=%s\n[Network]\nAddress=%s\nDHCPServer=yes\nLinkLocalAddressing=no\nIPv6AcceptRA=no", s.Ifname, sc.Subnet)
	say("[DHCPServer]\nPoolOffset=%d\nPoolSize=%d", offset, binary.BigEndian.Uint32(last[:])-binary.BigEndian.Uint32(first[:])+1)
	say("DefaultLeaseTimeSec=%d\nMaxLeaseTimeSec=%d\nEmitTimezone=no\nEmitNTP=no", seconds(sc.Lifetime), seconds(sc.Lifetime))
	if sc.DNS == nil {
		say("EmitDNS=no")
	} else {
		say("EmitDNS=yes\nDNS=%s", list(sc.DNS, " "))
	}
	if sc.Routers == nil {
		say("EmitRouter=no")
	} else {
		say("EmitRouter=yes\nRouter=%s", sc.Routers[0])
	}
	if sc.T1 != 0 {
		say("SendOption=58:uint32:%d\nSendOption=59:uint32:%d", seconds(sc.T1), seconds(sc.T2))
	}
	if sc.Domain != "" {
		say("SendOption=15:string:%s", sc.Domain)
	}
	if sc.MTU != 0 {
		say("SendOption=26:uint16:%d", sc.MTU)
	}
	if sc.Routes != nil {
		var escaped strings.Builder
		for _, c := range sc.classless() {
			fmt.Fprintf(&escaped, `\x%02x`, c)
		}
		say("SendOption=121:string:%s", escaped.String())
	}
	sc.reserved(func(mac string, a netip.Addr) { say("[DHCPServerStaticLease]\nMACAddress=%s\nAddress=%s", mac, a) })
	return b.String()
}

func (s *Server) lessorConf() string {
	sc := &s.Scope
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("interfaces: [%s]\nvalid-lifetime: %ds\nconflict-check: off\nauthoritative: %t", s.Ifname, seconds(sc.Lifetime), !sc.Reticent)
	if sc.NakByBroadcast {
		say("nak-delivery: broadcast")
	}
	say("subnets:\n  - subnet: %s\n    pools: [%s-%s]\n    options:", sc.Subnet.Masked(), sc.First, sc.Last)
	option := func(name, value string) {
		if value != "" {
			say("      %s: %s", name, value)
		}
	}
	inBrackets := func(s string) string {
		if s == "" {
			return ""
		}
		return "[" + s + "]"
	}
	option("routers", inBrackets(list(sc.Routers, ", ")))
	option("domain-name-servers", inBrackets(list(sc.DNS, ", ")))
	option("domain-name", sc.Domain)
	option("domain-search", inBrackets(strings.Join(sc.Search, ", ")))
	if sc.MTU != 0 {
		option("interface-mtu", fmt.Sprint(sc.MTU))
	}
	if sc.Routes != nil {
		var routes []string
		for _, r := range sc.Routes {
			routes = append(routes, fmt.Sprintf("%s via %s", r.To, r.Gateway))
		}
		option("classless-static-route", inBrackets(strings.Join(routes, ", ")))
	}
	if len(sc.Reserved) > 0 {
		say("    reservations:")
		sc.reserved(func(mac string, a netip.Addr) { say("      - {hw-address: %q, ip-address: %s}", mac, a) })
	}
	return b.String()
}
