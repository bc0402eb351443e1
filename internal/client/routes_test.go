package client_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/client"
)

// classless writes routes such as "198.18.0.0/15 192.0.2.1" as option 121 has them.
// Bits behind the mask are written as they are.
func classless(code dhcp4.Code, routes ...string) dhcp4.Option {
	o := opt(code)
	for _, r := range routes {
		dst, via, _ := strings.Cut(r, " ")
		addr, bits, _ := strings.Cut(dst, "/")
		n := 0
		fmt.Sscan(bits, &n)
		o.Data = append(o.Data, byte(n))
		o.Data = append(o.Data, dhcp4.MustParseAddr(addr).Append(nil)[:(n+7)/8]...)
		o.Data = dhcp4.MustParseAddr(via).Append(o.Data)
	}
	return o
}

func showRoutes(l *client.Lease) string {
	var out []string
	for _, r := range l.Settings.Routes {
		if r.Via == 0 {
			out = append(out, r.Dst.String()+" link")
		} else {
			out = append(out, r.Dst.String()+" "+r.Via.String())
		}
	}
	return strings.Join(out, ", ")
}

func showRefused(refused []client.Refusal) string {
	var out []string
	for _, f := range refused {
		out = append(out, fmt.Sprintf("%d %v", f.Code, f.Reason))
	}
	return strings.Join(out, ", ")
}

const (
	o3   = dhcp4.OptRouters
	o33  = dhcp4.OptStaticRoutes
	o121 = dhcp4.OptClasslessStaticRoute
	o249 = dhcp4.OptMSClasslessStaticRoute
)

// TestRoutes: which options make routes, and which routes are taken. The address is
// 192.0.2.52/24 unless there is another mask.
func TestRoutes(t *testing.T) {
	host := optAddrs(dhcp4.OptSubnetMask, "255.255.255.255")
	for _, tt := range []struct {
		name          string
		c             client.Config
		opts          []dhcp4.Option
		want, refused string
		routers       string
	}{
		{"none", client.Config{}, nil, "", "", "[]"},
		{"3", client.Config{}, []dhcp4.Option{optAddrs(o3, "192.0.2.1", "192.0.2.2")}, "0.0.0.0/0 192.0.2.1", "", "[192.0.2.1 192.0.2.2]"},
		{"routers that cannot be reached", client.Config{}, []dhcp4.Option{optAddrs(o3, "192.0.2.1", "198.51.100.1", "192.0.2.2")}, "0.0.0.0/0 192.0.2.1", "3 no-gateway", "[192.0.2.1 192.0.2.2]"},
		{"the first router that can be reached", client.Config{}, []dhcp4.Option{optAddrs(o3, "198.51.100.1", "192.0.2.52", "192.0.2.0", "192.0.2.2")},
			"0.0.0.0/0 192.0.2.2", "3 no-gateway", "[192.0.2.2]"},
		{"33 with 3, networks of their class and hosts", client.Config{},
			[]dhcp4.Option{optAddrs(o33, "10.0.0.0", "192.0.2.3", "172.16.0.0", "192.0.2.3", "198.51.100.0", "192.0.2.3", "198.51.100.7", "192.0.2.4", "10.1.0.0", "192.0.2.5"), optAddrs(o3, "192.0.2.1")},
			"0.0.0.0/0 192.0.2.1, 10.0.0.0/8 192.0.2.3, 172.16.0.0/16 192.0.2.3, 198.51.100.0/24 192.0.2.3, 198.51.100.7/32 192.0.2.4, 10.1.0.0/32 192.0.2.5", "", "[192.0.2.1]"},
		{"33 makes no default route and none on the link", client.Config{}, []dhcp4.Option{optAddrs(o33, "0.0.0.0", "192.0.2.3", "198.51.100.0", "0.0.0.0")},
			"", "33 bad-destination, 33 bad-value-address", "[]"},
		{"121 in place of 33 and 3", client.Config{}, []dhcp4.Option{optAddrs(o3, "192.0.2.1"), optAddrs(o33, "198.51.100.0", "192.0.2.3"), classless(o121, "0.0.0.0/0 192.0.2.9", "198.18.0.0/15 192.0.2.8")},
			"0.0.0.0/0 192.0.2.9, 198.18.0.0/15 192.0.2.8", "", "[192.0.2.9]"},
		{"121 without a default route: there is none", client.Config{}, []dhcp4.Option{optAddrs(o3, "192.0.2.1"), classless(o121, "198.18.0.0/15 192.0.2.8")},
			"198.18.0.0/15 192.0.2.8", "3 replaced", "[]"},
		{"121 before 249", client.Config{}, []dhcp4.Option{classless(o249, "0.0.0.0/0 192.0.2.1"), classless(o121, "0.0.0.0/0 192.0.2.2")}, "0.0.0.0/0 192.0.2.2", "", "[192.0.2.2]"},
		{"249 alone", client.Config{}, []dhcp4.Option{classless(o249, "0.0.0.0/0 192.0.2.1"), optAddrs(o3, "192.0.2.2")}, "0.0.0.0/0 192.0.2.1", "", "[192.0.2.1]"},
		{"121 that cannot be read counts as not sent", client.Config{}, []dhcp4.Option{opt(o121, 33, 1, 2, 3, 4, 5, 6, 7, 8), optAddrs(o3, "192.0.2.1")}, "0.0.0.0/0 192.0.2.1", "121 bad-form", "[192.0.2.1]"},
		{"bits behind the mask are cleared", client.Config{}, []dhcp4.Option{classless(o121, "129.210.177.132/25 192.0.2.1", "198.18.255.255/15 192.0.2.1")},
			"129.210.177.128/25 192.0.2.1, 198.18.0.0/15 192.0.2.1", "", "[]"},
		{"on the link, and gateways behind that", client.Config{}, []dhcp4.Option{classless(o121, "0.0.0.0/0 198.51.100.1", "198.51.100.0/24 0.0.0.0")},
			"198.51.100.0/24 link, 0.0.0.0/0 198.51.100.1", "", "[198.51.100.1]"},
		{"gateways that nobody is", client.Config{}, []dhcp4.Option{classless(o121, "198.18.1.0/24 127.0.0.1", "198.18.2.0/24 255.255.255.255", "198.18.3.0/24 198.51.100.1", "198.18.4.0/24 192.0.2.52", "198.18.5.0/24 192.0.2.255", "198.18.6.0/24 192.0.2.1")},
			"198.18.6.0/24 192.0.2.1", "121 bad-value-address, 121 no-gateway", "[]"},
		{"destinations that lead nowhere", client.Config{}, []dhcp4.Option{classless(o121, "127.0.0.0/8 192.0.2.1", "127.0.0.1/32 192.0.2.1", "0.0.0.0/8 192.0.2.1", "0.1.2.3/32 192.0.2.1", "224.0.0.0/4 192.0.2.1", "224.0.0.0/3 192.0.2.1", "240.0.0.0/4 192.0.2.1", "255.255.255.255/32 192.0.2.1", "128.0.0.0/1 192.0.2.1")},
			"128.0.0.0/1 192.0.2.1", "121 bad-destination", "[]"},
		{"one route to one destination", client.Config{}, []dhcp4.Option{classless(o121, "198.18.0.0/15 192.0.2.1", "198.19.1.1/15 192.0.2.2")}, "198.18.0.0/15 192.0.2.1", "121 route-twice", "[]"},
		{"a gateway behind itself", client.Config{}, []dhcp4.Option{classless(o121, "192.0.2.1/32 192.0.2.1")}, "", "121 no-gateway", "[]"},
		{"/32: the router is on the link", client.Config{}, []dhcp4.Option{host, optAddrs(o3, "198.51.100.1")}, "198.51.100.1/32 link, 0.0.0.0/0 198.51.100.1", "", "[198.51.100.1]"},
		{"/32: as cloud servers say it", client.Config{}, []dhcp4.Option{host, classless(o121, "198.51.100.1/32 0.0.0.0", "0.0.0.0/0 198.51.100.1")}, "198.51.100.1/32 link, 0.0.0.0/0 198.51.100.1", "", "[198.51.100.1]"},
		{"/32: not the address itself", client.Config{}, []dhcp4.Option{host, optAddrs(o3, "192.0.2.52")}, "", "3 no-gateway", "[]"},
		{"/32: a gateway with another way to it stays there", client.Config{}, []dhcp4.Option{host, classless(o121, "198.51.100.1/32 198.51.100.2", "0.0.0.0/0 198.51.100.1")},
			"198.51.100.2/32 link, 198.51.100.1/32 198.51.100.2", "121 no-gateway", "[]"},
		{"/32: a gateway behind itself", client.Config{}, []dhcp4.Option{host, classless(o121, "198.51.100.1/32 198.51.100.1")}, "", "121 no-gateway", "[]"},
		{"NoRoutes", client.Config{NoRoutes: true}, []dhcp4.Option{classless(o121, "0.0.0.0/1 192.0.2.66"), classless(o249, "128.0.0.0/1 192.0.2.66"), optAddrs(o33, "198.51.100.0", "192.0.2.66"), optAddrs(o3, "192.0.2.1")},
			"0.0.0.0/0 192.0.2.1", "121 routes-refused, 249 routes-refused, 33 routes-refused", "[192.0.2.1]"},
		{"MinRouteBits", client.Config{MinRouteBits: 16}, []dhcp4.Option{classless(o121, "0.0.0.0/1 192.0.2.66", "128.0.0.0/1 192.0.2.66", "10.0.0.0/8 192.0.2.66", "198.18.0.0/15 0.0.0.0", "198.18.0.0/16 192.0.2.1", "0.0.0.0/0 192.0.2.1")},
			"198.18.0.0/16 192.0.2.1, 0.0.0.0/0 192.0.2.1", "121 route-too-wide", "[192.0.2.1]"},
		{"MinRouteBits and 33", client.Config{MinRouteBits: 16}, []dhcp4.Option{optAddrs(o33, "10.0.0.0", "192.0.2.66", "172.16.0.0", "192.0.2.3"), optAddrs(o3, "192.0.2.1")},
			"0.0.0.0/0 192.0.2.1, 172.16.0.0/16 192.0.2.3", "33 route-too-wide", "[192.0.2.1]"},
	} {
		l, refused, reason := readWith(t, &tt.c, ackOf(tt.opts...))
		if got := showRoutes(&l); reason != client.None || got != tt.want || showRefused(refused) != tt.refused || fmt.Sprint(l.Settings.Routers) != tt.routers {
			t.Errorf("%s: %v\n got %s; refused %s; routers %v\nwant %s; refused %s; routers %s", tt.name, reason, got, showRefused(refused), l.Settings.Routers, tt.want, tt.refused, tt.routers)
		}
	}
}

// TestManyRoutes: the list ends at MaxRoutes, however many there are and wherever
// their gateways are.
func TestManyRoutes(t *testing.T) {
	for _, mask := range []string{"255.255.255.0", "255.255.255.255"} {
		var link, via []string
		for i := range 200 {
			link = append(link, fmt.Sprintf("198.18.%d.0/24 0.0.0.0", i))
			via = append(via, fmt.Sprintf("198.19.%d.0/24 192.0.2.%d", i, i%50+100))
		}
		for _, routes := range [][]string{link, via, append(via[:100:100], link...), append(link[:40:40], via...), append(link[:63:63], via...)} {
			l, refused := good(t, ackOf(optAddrs(dhcp4.OptSubnetMask, mask), classless(o121, routes...)))
			if n := len(l.Settings.Routes); n > client.MaxRoutes || n < client.MaxRoutes-1 || !slices.Contains(refused, client.Refusal{Code: 121, Reason: client.OptionTooMany}) {
				t.Errorf("%s: %d routes, refused %v", mask, n, refused)
			}
		}
	}
	// However many routes option 33 has, there is the default route.
	var pairs []byte
	for i := range 100 {
		pairs = append(pairs, 198, 18, 1, byte(i+1), 192, 0, 2, 1)
	}
	l, refused := good(t, ackOf(opt(o33, pairs...), optAddrs(o3, "192.0.2.1")))
	if !strings.HasPrefix(showRoutes(&l), "0.0.0.0/0 192.0.2.1, ") || len(l.Settings.Routes) > client.MaxRoutes || !slices.Contains(refused, client.Refusal{Code: 33, Reason: client.OptionTooMany}) {
		t.Errorf("%d routes, refused %v", len(l.Settings.Routes), refused)
	}
}
