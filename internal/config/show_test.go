package config

import (
	"strings"
	"testing"

	"lessor/dhcp4"
)

const showText = `interfaces: [eth0]   # one
valid-lifetime: 8h
options: {domain-name: example.net, ntp-servers: [192.0.2.123]}
subnets:
  - subnet: 192.0.2.0/24
    reservations:
      - {hw-address: "02:00:5e:10:00:01", ip-address: 192.0.2.60, options: {root-path: /srv}}
    pools:
      - 192.0.2.50-192.0.2.59
      - {pool: 192.0.2.60-192.0.2.69, valid-lifetime: 1h, option-data: [{name: domain-name, data: pool.example.net}]}
`

// TestShow: the file as it is read.
func TestShow(t *testing.T) {
	values, problems := Show("f.yaml", []byte(showText), false)
	if problems != nil {
		t.Fatal(problems)
	}
	want := `interfaces: [eth0]
valid-lifetime: 8h
options: {domain-name: example.net, ntp-servers: [192.0.2.123]}
subnets:
  - subnet: 192.0.2.0/24
    pools:
      - pool: 192.0.2.50-192.0.2.59
      - pool: 192.0.2.60-192.0.2.69
        valid-lifetime: 1h
        option-data: [{name: domain-name, data: pool.example.net}]
    reservations:
      - hw-address: 02:00:5e:10:00:01
        ip-address: 192.0.2.60
        options: {root-path: /srv}
`
	if got := Text(values, false); got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	if got := Text(values, true); !strings.Contains(got, "        valid-lifetime: 1h                     # f.yaml:10\n") {
		t.Errorf("\n%s", got)
	}
}

// TestShowEffective: what is in force, with its origin.
func TestShowEffective(t *testing.T) {
	values, problems := Show("f.yaml", []byte(showText), true)
	if problems != nil {
		t.Fatal(problems)
	}
	got := map[string]string{}
	for _, v := range values {
		got[v.Path] = v.Value + " # " + v.Origin
	}
	for path, want := range map[string]string{
		"interfaces":                                "[eth0] # f.yaml:1",
		"valid-lifetime":                            "8h # f.yaml:2",
		"authoritative":                             "true # default",
		"subnets[192.0.2.0/24].name":                "192.0.2.0/24 # default",
		"subnets[192.0.2.0/24].valid-lifetime":      "8h # f.yaml:2",
		"subnets[192.0.2.0/24].options.subnet-mask": "255.255.255.0 # default",
		"subnets[192.0.2.0/24].options.domain-name": "example.net # f.yaml:3",
		"subnets[192.0.2.0/24].pools[192.0.2.50-192.0.2.59].max-valid-lifetime":  "8h # f.yaml:2",
		"subnets[192.0.2.0/24].pools[192.0.2.60-192.0.2.69].min-valid-lifetime":  "1h # f.yaml:10",
		"subnets[192.0.2.0/24].pools[192.0.2.60-192.0.2.69].options.domain-name": "pool.example.net # f.yaml:10",
		"subnets[192.0.2.0/24].reservations[192.0.2.60].valid-lifetime":          "1h # f.yaml:10",
		"subnets[192.0.2.0/24].reservations[192.0.2.60].options.domain-name":     "pool.example.net # f.yaml:10",
		"subnets[192.0.2.0/24].reservations[192.0.2.60].options.root-path":       "/srv # f.yaml:7",
		"subnets[192.0.2.0/24].reservations[192.0.2.60].options.ntp-servers":     "[192.0.2.123] # f.yaml:3",
	} {
		if got[path] != want {
			t.Errorf("%s is %q, want %q", path, got[path], want)
		}
	}
}

// TestShowIsTrue: what is shown as in force is a configuration that gives the same to
// every address of it.
func TestShowIsTrue(t *testing.T) {
	for name, text := range examples(t) {
		if strings.Contains(text, "client-classes") { // they come between levels
			continue
		}
		was, problems := Parse("f.yaml", []byte(text))
		if was == nil {
			continue // a relay agent's
		}
		for _, effective := range []bool{false, true} {
			values, problems2 := Show("f.yaml", []byte(text), effective)
			is, problems3 := Parse("f.yaml", []byte(Text(values, true)))
			if is == nil {
				t.Errorf("%s: %v %v %v\n%s", name, problems, problems2, problems3, Text(values, true))
				continue
			}
			sameDecisions(t, name, was, is, !effective)
		}
	}
}

// TestSettledDefaults: the defaults that are shown are the defaults.
func TestSettledDefaults(t *testing.T) {
	const bare = "interfaces: [eth0]\nsubnets: [{subnet: 192.0.2.0/24, pools: [192.0.2.7]}]\n"
	text := bare
	for _, d := range settled {
		text += d.Key + ": " + d.Value + "\n"
	}
	a, _ := Parse("f.yaml", []byte(bare))
	b, problems := Parse("f.yaml", []byte(text))
	if a == nil || b == nil {
		t.Fatal(problems)
	}
	if !equalSettings(a.Policy().Settings, b.Policy().Settings) {
		t.Errorf("%+v\n%+v", a.Policy().Settings, b.Policy().Settings)
	}
}

// sameDecisions holds that two configurations decide alike about the addresses at and
// beside the edges of all that the first one names, and about all its clients.
func sameDecisions(t *testing.T, name string, a, b *Config, own bool) {
	t.Helper()
	p, q := a.Policy(), b.Policy()
	var addrs []dhcp4.Addr
	near := func(x dhcp4.Addr) { addrs = append(addrs, x-1, x, x+1) }
	for _, n := range p.Networks {
		for _, sn := range n.Subnets {
			near(sn.Prefix.Range().First)
			near(sn.Prefix.Range().Last)
			for _, pool := range sn.Pools {
				near(pool.Range.First)
				near(pool.Range.Last)
				for _, e := range pool.Exclude {
					near(e.First)
					near(e.Last)
				}
			}
			for _, r := range n.Reservations() {
				near(r.Addr)
			}
		}
	}
	for _, x := range addrs {
		s, u := p.SubnetOf(x), q.SubnetOf(x)
		if (s == nil) != (u == nil) {
			t.Fatalf("%s: %s is in a subnet of one only", name, x)
		}
		if s == nil {
			continue
		}
		never, neverToo := s.NeverOffer.Has(x), u.NeverOffer.Has(x)
		if s.Prefix != u.Prefix || s.Name != u.Name || s.Lifetimes != u.Lifetimes || never != neverToo || len(otherOptions(s.Options, u.Options)) > 0 {
			t.Fatalf("%s: the subnet of %s is %+v and %+v", name, x, s, u)
		}
		v, w := s.PoolOf(x), u.PoolOf(x)
		if (v == nil) != (w == nil) || v != nil && (v.Range != w.Range || v.Lifetimes != w.Lifetimes || len(otherOptions(v.Options, w.Options)) > 0) {
			t.Fatalf("%s: the pool of %s is %+v and %+v", name, x, v, w)
		}
		r, o := s.Network.ReservedBy(x), u.Network.ReservedBy(x)
		if (r == nil) != (o == nil) || r != nil && (r.Hostname != o.Hostname || keyText(r.Keys[0]) != keyText(o.Keys[0]) || own && len(otherOptions(r.Options, o.Options)) > 0) {
			t.Fatalf("%s: the reservation of %s is %+v and %+v", name, x, r, o)
		}
	}
}
