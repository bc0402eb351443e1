package setup

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

func TestCheck(t *testing.T) {
	many := func(n int) (as []dhcp4.Addr) {
		for i := range n {
			as = append(as, addr("192.0.2.1")+dhcp4.Addr(i))
		}
		return as
	}
	for _, tc := range []struct {
		f    func(c *Config)
		want string // "": it is good
	}{
		{func(c *Config) {}, ""},
		{func(c *Config) { *c = *everything() }, ""},
		{func(c *Config) { c.Addr, c.Broadcast = prefix("198.18.0.52/32"), 0 }, ""},
		{func(c *Config) { c.Addr, c.Broadcast = prefix("198.18.0.52/31"), 0 }, ""},
		{func(c *Config) { c.Addr, c.Broadcast = prefix("10.0.0.52/8"), 0 }, ""},
		{func(c *Config) { c.Broadcast = addr("255.255.255.255") }, ""},
		{func(c *Config) { c.Broadcast = 0 }, ""},
		{func(c *Config) { c.Valid, c.Preferred = lease.Infinite, lease.Infinite }, ""},
		{func(c *Config) { c.Valid, c.Preferred = 1, 0 }, ""},
		{func(c *Config) { c.MTU = 576 }, ""},
		{func(c *Config) { c.MTU = 65535 }, ""},
		{func(c *Config) { c.Routes = nil }, ""},
		{func(c *Config) { c.DNS = many(client.MaxServers) }, ""},
		{func(c *Config) { c.Domain = strings.Repeat("a.", 126) + "a" }, ""},

		{func(c *Config) { c.Addr = prefix("0.0.0.0/0") }, "no address that a host can have"},
		{func(c *Config) { c.Addr.Bits = 33 }, "no address that a host can have"},
		{func(c *Config) { c.Addr.Bits = -1 }, "no address that a host can have"},
		{func(c *Config) { c.Addr.Bits = 7 }, "no address that a host can have"},
		{func(c *Config) { c.Addr = prefix("127.0.0.1/8") }, "no address that a host can have"},
		{func(c *Config) { c.Addr = prefix("0.1.2.3/8") }, "no address that a host can have"},
		{func(c *Config) { c.Addr = prefix("224.0.0.5/24") }, "no address that a host can have"},
		{func(c *Config) { c.Addr = prefix("240.0.0.5/24") }, "no address that a host can have"},
		{func(c *Config) { c.Addr = prefix("255.255.255.255/32") }, "no address that a host can have"},
		{func(c *Config) { c.Addr = prefix("198.18.0.0/24") }, "no address that a host can have"},
		{func(c *Config) { c.Addr = prefix("198.18.0.255/24") }, "no address that a host can have"},
		{func(c *Config) { c.Broadcast = addr("198.18.0.1") }, "no broadcast address"},
		{func(c *Config) { c.Addr, c.Broadcast = prefix("198.18.0.52/31"), addr("198.18.0.53") }, "no broadcast address"},
		{func(c *Config) { c.Valid, c.Preferred = 0, 0 }, "cannot be used"},
		{func(c *Config) { c.Preferred = c.Valid + 1 }, "cannot be used"},
		{func(c *Config) { c.Server = 0 }, "no address of a server"},
		{func(c *Config) { c.Server = addr("255.255.255.255") }, "no address of a server"},
		{func(c *Config) { c.Server = c.Addr.Addr }, "no address of a server"},
		{func(c *Config) { c.MTU = 575 }, "less than 576"},
		{func(c *Config) { c.MTU = 1 }, "less than 576"},
		{func(c *Config) { c.Routes = make([]client.Route, client.MaxRoutes+1) }, "65 routes are more than 64"},
		{func(c *Config) { c.Routes[0].Dst = dhcp4.Prefix{Addr: addr("203.0.113.1"), Bits: 24} }, "is none"},
		{func(c *Config) { c.Routes[0].Dst = dhcp4.Prefix{Addr: addr("203.0.113.0"), Bits: 33} }, "is none"},
		{func(c *Config) { c.Routes[0].Dst = dhcp4.Prefix{Addr: 0, Bits: -1} }, "is none"},
		{func(c *Config) { c.Routes[0].Dst = prefix("127.0.0.0/8") }, "leads to no hosts"},
		{func(c *Config) { c.Routes[0].Dst = prefix("224.0.0.0/24") }, "leads to no hosts"},
		{func(c *Config) { c.Routes[0].Via = addr("224.0.0.1") }, "has no gateway"},
		{func(c *Config) { c.Routes[0].Via = addr("127.0.0.1") }, "has no gateway"},
		{func(c *Config) { c.Routes[0].Via = c.Addr.Addr }, "has no gateway"},
		{func(c *Config) { c.Routes = append(c.Routes, route("0.0.0.0/0", "198.18.0.2")) }, "two routes"},
		{func(c *Config) { c.DNS = many(client.MaxServers + 1) }, "17 servers of one kind are more than 16"},
		{func(c *Config) { c.NTP = many(client.MaxServers + 1) }, "17 servers of one kind are more than 16"},
		{func(c *Config) { c.DNS = []dhcp4.Addr{addr("127.0.0.53")} }, "no address of a server"},
		{func(c *Config) { c.NTP = []dhcp4.Addr{0} }, "no address of a server"},
		{func(c *Config) { c.Search = make([]string, client.MaxServers+1) }, "17 domains to search are more than 16"},
		{func(c *Config) { c.Search = []string{""} }, "no domain to search"},
		{func(c *Config) { c.Domain = "-a.example" }, "no domain name"},
		{func(c *Config) { c.Domain = "a..example" }, "no domain name"},
		{func(c *Config) { c.Domain = "a." }, "no domain name"},
		{func(c *Config) { c.Domain = "192.0.2.1" }, "no domain name"},
		{func(c *Config) { c.Domain = strings.Repeat("a", 64) }, "no domain name"},
		{func(c *Config) { c.Domain = strings.Repeat("a.", 127) + "a" }, "no domain name"},
		{func(c *Config) { c.Domain = "a_b" }, "no domain name"},
		{func(c *Config) { c.HostName = "[b" }, "no host name"}, // 0x20 makes other characters of some
		{func(c *Config) { c.HostName = "A@Z" }, "no host name"},
		{func(c *Config) { c.CaptivePortal = "file:///etc/passwd" }, "no URL"},
		{func(c *Config) { c.CaptivePortal = "https://" }, "no URL"},
		{func(c *Config) { c.CaptivePortal = "https:///x" }, "no URL"},
		{func(c *Config) { c.CaptivePortal = "https://a/" + strings.Repeat("a", 255) }, "no URL"},
		{func(c *Config) { c.TimeZone = "../../etc/passwd" }, "no time zone"},
		{func(c *Config) { c.TimeZone = "/etc/passwd" }, "no time zone"},
		{func(c *Config) { c.TimeZone = "Europe/.hidden" }, "no time zone"},
	} {
		c := example()
		tc.f(c)
		said(t, c.Check(), tc.want)
	}
	said(t, (*Config)(nil).Check(), "no configuration")
	for _, text := range shellTexts {
		for i, c := range spoiled(text) {
			if inPath := text == "%n%s" && i == 5; c.Check() == nil && !inPath { // harmless in a URL, and hexadecimal for the hook
				t.Errorf("%q passes in %+v", text, c)
			}
		}
	}
}

func TestHookEventCheck(t *testing.T) {
	for _, tc := range []struct {
		f    func(e *HookEvent)
		want string
	}{
		{func(e *HookEvent) {}, ""},
		{func(e *HookEvent) { e.Config = nil }, ""},
		{func(e *HookEvent) { e.State, e.Reason, e.Options = "init-reboot", "", nil }, ""},
		{func(e *HookEvent) { e.Options = map[string]string{"host-name": strings.Repeat("ff", client.MaxACK)} }, ""},
		{func(e *HookEvent) { e.Event = "rm -rf" }, "is no event"},
		{func(e *HookEvent) { e.Event = "" }, "is no event"},
		{func(e *HookEvent) { e.State = "a b" }, "is no state"},
		{func(e *HookEvent) { e.Reason = strings.Repeat("a", 65) }, "is no state"},
		{func(e *HookEvent) { e.Reason = "$(x)" }, "is no state"},
		{func(e *HookEvent) { e.Options["x"] = "0" }, "is none of an ACK"},
		{func(e *HookEvent) { e.Options["x y"] = "00" }, "is none of an ACK"},
		{func(e *HookEvent) { e.Options["x"] = "zz" }, "not in hexadecimal"},
		{func(e *HookEvent) { e.Options["x"] = strings.Repeat("ff", client.MaxACK) }, "is none of an ACK"},
		{func(e *HookEvent) { e.Config.MTU = 5 }, "less than 576"},
	} {
		e := event(everything())
		tc.f(e)
		said(t, e.Check(), tc.want)
	}
	said(t, (*HookEvent)(nil).Check(), "no event")
}

func TestOptionsCheck(t *testing.T) {
	for _, tc := range []struct {
		ifname string
		o      Options
		want   string
	}{
		{"eth0", Options{NoConfigure: true}, ""},
		{"", Options{}, "no name of an interface"},
		{"a/b", Options{}, "no name of an interface"},
		{"..", Options{}, "no name of an interface"},
		{"sixteen-letters-", Options{}, "no name of an interface"},
		{"eth0", Options{Metric: -1}, "metric -1"},
		{"eth0", Options{Table: -1}, "routing table -1"},
		{"eth0", Options{Table: 255}, "routing table 255"},
		{"eth0", Options{LeaseFile: "lease"}, "the lease file \"lease\" must be named by its full path, for example /lease"},
		{"eth0", Options{ResolvConf: "/etc/../etc/resolv.conf"}, "full path, for example /etc/resolv.conf"},
		{"eth0", Options{Hook: "hook"}, "full path"},
	} {
		h, err := Open(tc.ifname, tc.o, func(string) {})
		said(t, err, tc.want)
		if err == nil {
			h.Close(false)
		}
	}
}

func TestFromLease(t *testing.T) {
	l := &client.Lease{Addr: prefix("198.18.0.52/24"), Server: addr("198.18.0.1"), T2: 3150 * lease.Second, End: 3600 * lease.Second}
	l.Settings = client.Settings{Broadcast: addr("198.18.0.255"), Routes: []client.Route{route("0.0.0.0/0", "198.18.0.1")}, MTU: 1400,
		DNS: []dhcp4.Addr{addr("192.0.2.53")}, Domain: "example.org", Search: []string{"a.example"}, HostName: "host", NTP: []dhcp4.Addr{addr("192.0.2.123")},
		CaptivePortal: "https://a.example", TimeZone: "Europe/Zurich"}
	c := FromLease(l, lease.Instant{})
	for v, i := reflect.ValueOf(*c), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("%s is not taken over", v.Type().Field(i).Name)
		}
	}
}

// sane holds what every configuration that passes Check must be, said in another way.
func sane(c *Config) bool {
	for _, s := range append([]string{c.Domain, c.HostName, c.TimeZone, c.CaptivePortal}, c.Search...) {
		if len(s) > 255 || strings.ContainsAny(s, " \t\r\n'\"`$;|<>(){}[]\\^*!") {
			return false
		}
		for _, r := range s {
			if r < 0x21 || r > 0x7e {
				return false
			}
		}
	}
	host := func(a dhcp4.Addr) bool { return a >= 1<<24 && a>>24 != 127 && a < 224<<24 }
	for _, a := range append(append([]dhcp4.Addr{c.Addr.Addr, c.Server}, c.DNS...), c.NTP...) {
		if !host(a) {
			return false
		}
	}
	for _, r := range c.Routes {
		if uint64(r.Dst.Addr)&(1<<(32-r.Dst.Bits)-1) != 0 || r.Via != 0 && !host(r.Via) {
			return false
		}
	}
	return c.Addr.Bits >= 8 && c.Addr.Bits <= 32 && c.Valid > 0 && c.Preferred <= c.Valid && (c.MTU == 0 || c.MTU >= 576) &&
		len(c.Routes) <= 64 && len(c.DNS) <= 16 && len(c.NTP) <= 16 && len(c.Search) <= 16
}

// FuzzConfig: whatever the other process sends, only what is sane passes; and its routes are
// such that each gateway is on the link before it is needed.
func FuzzConfig(f *testing.F) {
	for _, c := range append(spoiled("a.example"), example(), everything()) {
		b, err := json.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c *Config
		if json.Unmarshal(b, &c) != nil || c.Check() != nil {
			return
		}
		if !sane(c) {
			t.Fatalf("passes: %+v", c)
		}
		text := resolvConf(c, "# x")
		if n := strings.Count(string(text), "\n"); n > 2+len(c.DNS) || strings.Count(string(text), "nameserver ") != len(c.DNS) {
			t.Fatalf("resolv.conf is\n%s", text)
		}
		e := &HookEvent{Event: "bound", Config: c}
		if n := len(e.env()); n != 19 {
			t.Fatalf("%d variables", n)
		}
		if !json.Valid(e.json()) {
			t.Fatalf("no JSON: %s", e.json())
		}
		rs := wanted(c)
		for i, r := range rs {
			ok := r.Via == 0
			for _, o := range rs[:i] {
				ok = ok || o.Via == 0 && o.Dst.Contains(r.Via)
			}
			if !ok {
				t.Fatalf("route %v of %v is not reachable", r, rs)
			}
		}
	})
}

// ack is an ACK with every option that a Config is made of.
func ack() []byte {
	b := make([]byte, 240)
	b[0], b[1], b[2] = 2, 1, 6
	copy(b[16:], []byte{198, 18, 0, 52})
	copy(b[236:], []byte{99, 130, 83, 99})
	for _, o := range []struct {
		code byte
		val  string
	}{{53, "\x05"}, {54, "\xc6\x12\x00\x01"}, {51, "\x00\x00\x0e\x10"}, {1, "\xff\xff\xff\x00"}, {3, "\xc6\x12\x00\x01"}, {6, "\xc0\x00\x02\x35"},
		{28, "\xc6\x12\x00\xff"}, {26, "\x05\x78"}, {15, "example.org"}, {12, "host"}, {42, "\xc0\x00\x02\x7b"}, {101, "Europe/Zurich"},
		{114, "https://portal.example/?a=1&b=2"}, {119, "\x01a\x07example\x00\x01b\xc0\x02"}, {121, "\x18\xcb\x00\x71\x00\x00\x00\x00\x00\xcb\x00\x71\x01"},
		{33, "\xcb\x00\x71\x07\xc6\x12\x00\x02"}} {
		b = append(append(b, o.code, byte(len(o.val))), o.val...)
	}
	return append(b, 255)
}

// FuzzLease: every lease that is read from a message passes Check.
func FuzzLease(f *testing.F) {
	f.Add(ack())
	f.Fuzz(func(t *testing.T, b []byte) {
		var v dhcp4.View
		if v.Parse(b) != nil {
			return
		}
		l, _, reason := client.ReadLease(&client.Config{}, &v, wire.MAC{}, nil)
		if reason != client.None {
			return
		}
		l.End = lease.After(0, l.Lifetime)
		l.T1, l.T2 = l.T1*lease.Second, l.T2*lease.Second
		if c := FromLease(&l, lease.Instant{}); c.Check() != nil {
			t.Fatalf("%v: %+v", c.Check(), c)
		}
	})
}
