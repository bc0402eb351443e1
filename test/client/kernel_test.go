package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"lessor/internal/netlab"
)

// kernel is all that a client changes on its machine, as text: links, addresses,
// routes of all tables, rules, how ARP is answered, the host's name and resolv.conf.
func (s *stage) kernel() string {
	s.t.Helper()
	const script = "ip -o link; ip addr; ip route show table all; ip rule; cd /proc/sys/net/ipv4/conf/eth0; grep . arp_* rp_filter promote_secondaries; hostname; cat " + resolvConf
	return try(s.host.Run(context.Background(), "sh", "-c", script))(s.t)
}

// ipJSON runs ip -j and reads what it writes.
func (s *stage) ipJSON(v any, args ...string) {
	s.t.Helper()
	out := try(s.host.Run(context.Background(), append([]string{"ip", "-j"}, args...)...))(s.t)
	check(s.t, json.Unmarshal([]byte(out), v))
}

// address is an address of ip -j addr; times in seconds.
type address struct {
	Local     string `json:"local"`
	Bits      int    `json:"prefixlen"`
	Broadcast string `json:"broadcast"`
	Dynamic   bool   `json:"dynamic"`
	Valid     uint32 `json:"valid_life_time"`
	Preferred uint32 `json:"preferred_life_time"`
}

// route is a route of ip -j route.
type route struct {
	To       string `json:"dst"`
	Via      string `json:"gateway"`
	Protocol string `json:"protocol"`
	Metric   int    `json:"metric"`
	Metrics  []struct {
		MTU int `json:"mtu"`
	} `json:"metrics"`
}

// configured expects on the interface exactly what the lease and the server's scope
// say, with the lifetime that is left.
func (s *stage) configured(h held, sc netlab.Scope) {
	s.t.Helper()
	var links []struct {
		MTU   int       `json:"mtu"`
		Addrs []address `json:"addr_info"`
	}
	s.ipJSON(&links, "-4", "addr", "show", "dev", "eth0")
	left := time.Until(h.end())
	if len(links) != 1 || len(links[0].Addrs) != 1 {
		s.t.Fatalf("want one address on eth0, got %+v", links)
	}
	a := links[0].Addrs[0]
	broadcast := "198.18.0.255"
	if a.Local != h.addr.String() || a.Bits != sc.Subnet.Bits() || a.Broadcast != broadcast || !a.Dynamic {
		s.t.Errorf("the address is %+v, want %s/%d, broadcast %s, dynamic", a, h.addr, sc.Subnet.Bits(), broadcast)
	}
	// Whole seconds, rounded up by us, so that the kernel is never earlier, and by the kernel, which
	// shows a second less only when it is over: together less than two.
	valid := time.Duration(a.Valid) * time.Second
	if valid > left+2100*time.Millisecond || valid < left-3*time.Second || a.Preferred > a.Valid || a.Preferred == 0 {
		s.t.Errorf("the address is valid for %d s and preferred for %d s, %s of the lease are left", a.Valid, a.Preferred, left)
	}
	if sc.MTU >= 1280 && links[0].MTU != sc.MTU {
		s.t.Errorf("the link's MTU is %d, want %d", links[0].MTU, sc.MTU)
	}
	s.routed(sc)
	s.resolves(sc)
}

// routed expects the routes of the scope, 121 in place of 3, and the subnet's own.
func (s *stage) routed(sc netlab.Scope) {
	s.t.Helper()
	var routes []route
	s.ipJSON(&routes, "-4", "route", "show", "dev", "eth0")
	want := map[string]string{sc.Subnet.Masked().String(): ""}
	for _, r := range sc.Routes {
		to := r.To.String()
		switch r.To.Bits() {
		case 0:
			to = "default"
		case 32:
			to = r.To.Addr().String()
		}
		want[to] = r.Gateway.String()
	}
	if sc.Routes == nil && sc.Routers != nil {
		want["default"] = sc.Routers[0].String()
	}
	for _, r := range routes {
		via, ok := want[r.To]
		if !ok || via != r.Via {
			s.t.Errorf("there is a route to %s via %q, want %q (%t)", r.To, r.Via, via, ok)
		}
		delete(want, r.To)
		if via == "" {
			continue
		}
		if r.Protocol != "dhcp" || r.Metric < 200 {
			s.t.Errorf("the route to %s has protocol %s and metric %d", r.To, r.Protocol, r.Metric)
		}
		if sc.MTU != 0 && (len(r.Metrics) != 1 || r.Metrics[0].MTU != sc.MTU) {
			s.t.Errorf("the route to %s has the MTU %v, want %d", r.To, r.Metrics, sc.MTU)
		}
	}
	if len(want) != 0 {
		s.t.Errorf("missing routes: %v; there are %+v", want, routes)
	}
}

// resolves expects the DNS servers and the domain of the scope in resolv.conf.
func (s *stage) resolves(sc netlab.Scope) {
	s.t.Helper()
	b := try(os.ReadFile(s.host.Path(resolvConf)))(s.t)
	var servers, search []string
	for line := range strings.Lines(string(b)) {
		switch f := strings.Fields(line); {
		case len(f) > 1 && f[0] == "nameserver":
			servers = append(servers, f[1])
		case len(f) > 1 && f[0] == "search":
			search = f[1:]
		}
	}
	want := fmt.Sprint(sc.DNS)
	if len(sc.DNS) > 3 {
		want = fmt.Sprint(sc.DNS[:3]) // a resolver reads no more
	}
	domains := sc.Search
	if domains == nil && sc.Domain != "" {
		domains = []string{sc.Domain}
	}
	if fmt.Sprint(servers) != want || fmt.Sprint(search) != fmt.Sprint(domains) {
		s.t.Errorf("resolv.conf names %v and searches %v, want %v and %v:\n%s", servers, search, want, domains, b)
	}
}

// via is a route of option 121.
func via(to, gateway string) netlab.Via {
	return netlab.Via{To: netip.MustParsePrefix(to), Gateway: netip.MustParseAddr(gateway)}
}
