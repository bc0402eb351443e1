package policy

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

func addr(s string) dhcp4.Addr { return dhcp4.MustParseAddr(s) }

func prefix(s string) dhcp4.Prefix {
	p, err := dhcp4.ParsePrefix(s)
	if err != nil {
		panic(err)
	}
	return p
}

func span(first, last string) dhcp4.Range { return dhcp4.Range{First: addr(first), Last: addr(last)} }

func opt(code dhcp4.Code, addrs ...string) dhcp4.Option {
	o := dhcp4.Option{Code: code}
	for _, a := range addrs {
		o.Data = addr(a).Append(o.Data)
	}
	return o
}

func byHW(b []byte) Key { return Key{Kind: KeyHWAddress, HType: 1, Value: b} }

func byID(b []byte) Key { return Key{Kind: KeyClientID, Value: b} }

func mustBuild(t testing.TB, s Spec) *Policy {
	t.Helper()
	p, err := Build(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func one(ss SubnetSpec) Spec {
	return Spec{Settings: Defaults(), Networks: []NetworkSpec{{Subnets: []SubnetSpec{ss}}}}
}

func TestSubnetOfTakesTheLongestPrefix(t *testing.T) {
	var subnets []SubnetSpec
	for _, s := range []string{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.3.0/24", "10.1.2.128/25", "192.0.2.0/24", "255.255.255.0/24", "0.0.0.0/24"} {
		subnets = append(subnets, SubnetSpec{Prefix: prefix(s)})
	}
	p := mustBuild(t, Spec{Networks: []NetworkSpec{{Subnets: subnets[:4]}, {Subnets: subnets[4:]}}})
	for a, want := range map[string]string{
		"10.0.0.0": "10.0.0.0/8", "10.255.255.255": "10.0.0.0/8", "10.1.0.1": "10.1.0.0/16",
		"10.1.2.1": "10.1.2.0/24", "10.1.2.128": "10.1.2.128/25", "10.1.2.255": "10.1.2.128/25",
		"10.1.3.0": "10.1.3.0/24", "10.1.4.0": "10.1.0.0/16", "10.2.0.0": "10.0.0.0/8",
		"192.0.2.77": "192.0.2.0/24", "192.0.3.0": "", "9.255.255.255": "", "11.0.0.0": "",
		"0.0.0.0": "0.0.0.0/24", "0.0.1.0": "", "255.255.255.255": "255.255.255.0/24", "255.255.254.255": "",
	} {
		got := ""
		if s := p.SubnetOf(addr(a)); s != nil {
			got = s.Name
		}
		if got != want {
			t.Errorf("%s is in %q, want %q", a, got, want)
		}
	}
	if s := p.Networks[0].Contains(addr("10.1.2.200")); s == nil || s.Name != "10.1.2.0/24" {
		t.Errorf("a network looked into another one: %v", s)
	}
	if s := p.Networks[1].Contains(addr("10.9.9.9")); s != nil {
		t.Errorf("a network looked into another one: %v", s)
	}
}

// TestSegmentsAgainstSearch compares the tables with a search of all prefixes.
func TestSegmentsAgainstSearch(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var subnets []SubnetSpec
		seen := map[dhcp4.Prefix]bool{}
		for range rng.IntN(40) {
			pre := dhcp4.Prefix{Addr: dhcp4.Addr(rng.Uint32() & 0x0f00ffff), Bits: rng.IntN(33)}.Masked()
			if !seen[pre] {
				seen[pre] = true
				subnets = append(subnets, SubnetSpec{Prefix: pre})
			}
		}
		p := mustBuild(t, Spec{Networks: []NetworkSpec{{Subnets: subnets}}})
		check := func(a dhcp4.Addr) {
			var want *dhcp4.Prefix
			for i := range subnets {
				if pre := &subnets[i].Prefix; pre.Contains(a) && (want == nil || pre.Bits > want.Bits) {
					want = pre
				}
			}
			got := p.SubnetOf(a)
			if (got == nil) != (want == nil) || got != nil && got.Prefix != *want {
				t.Fatalf("%s: got %v, want %v of %v", a, got, want, subnets)
			}
		}
		for _, s := range subnets {
			r := s.Prefix.Range()
			for _, a := range []dhcp4.Addr{r.First - 1, r.First, r.Last, r.Last + 1} {
				check(a)
			}
		}
		for range 100 {
			check(dhcp4.Addr(rng.Uint32() & 0x0f00ffff))
		}
	}
}

func TestPoolsAndExclusions(t *testing.T) {
	p := mustBuild(t, one(SubnetSpec{
		Prefix: prefix("192.0.2.0/24"),
		Pools: []PoolSpec{
			{Range: span("192.0.2.100", "192.0.2.199"), Exclude: []dhcp4.Range{
				span("192.0.2.190", "192.0.2.220"), span("192.0.2.110", "192.0.2.112"), span("192.0.2.113", "192.0.2.113"), span("192.0.2.111", "192.0.2.112"),
				span("192.0.2.100", "192.0.2.100"), span("192.0.2.1", "192.0.2.2"),
			}},
			{Range: span("192.0.2.10", "192.0.2.19"), Options: NewOptionSet(opt(3, "192.0.2.254"))},
		},
		Options: NewOptionSet(opt(3, "192.0.2.1")),
	}))
	s := p.Networks[0].Subnets[0]
	if len(s.Pools) != 2 || s.Pools[0].Range.First != addr("192.0.2.10") {
		t.Fatalf("pools are not ascending: %v", s.Pools)
	}
	big := s.Pools[1]
	if want := []dhcp4.Range{span("192.0.2.100", "192.0.2.100"), span("192.0.2.110", "192.0.2.113"), span("192.0.2.190", "192.0.2.199")}; !slices.Equal(big.Exclude, want) || big.Size() != 85 {
		t.Errorf("excluded %v, size %d", big.Exclude, big.Size())
	}
	dynamic := 0
	for a := s.Prefix.Range().First; a <= s.Prefix.Range().Last; a++ {
		if p := s.PoolOf(a); p != nil {
			dynamic++
			if !p.Range.Contains(a) || slices.ContainsFunc(p.Exclude, func(r dhcp4.Range) bool { return r.Contains(a) }) {
				t.Errorf("%s is not of pool %v", a, p.Range)
			}
		}
	}
	if dynamic != 95 {
		t.Errorf("%d addresses are dynamic, want 95", dynamic)
	}
	if v, _ := s.Pools[0].Options.Get(3); dhcp4.AddrFromBytes(v) != addr("192.0.2.254") {
		t.Errorf("the pool's own router does not win: %v", v)
	}
	if v, ok := s.Pools[0].Options.Get(1); !ok || dhcp4.AddrFromBytes(v) != addr("255.255.255.0") {
		t.Errorf("the subnet mask is not filled in: %v", v)
	}
}

// TestNeverOffer holds I10: network and broadcast address, and each router and
// server that an option of any level names, in the subnet where it lies.
func TestNeverOffer(t *testing.T) {
	routes := dhcp4.Option{Code: 121, Data: append([]byte{24, 203, 0, 113}, addr("192.0.2.7").Append(nil)...)}
	p := mustBuild(t, Spec{
		Options: NewOptionSet(opt(6, "192.0.2.53", "198.51.100.53", "203.0.113.53"), opt(28, "192.0.2.254"), opt(33, "203.0.113.5", "192.0.2.6")),
		Networks: []NetworkSpec{
			{Subnets: []SubnetSpec{{
				Prefix:  prefix("192.0.2.0/24"),
				Options: NewOptionSet(opt(3, "192.0.2.1"), routes),
				Pools:   []PoolSpec{{Range: span("192.0.2.100", "192.0.2.199"), Options: NewOptionSet(opt(42, "192.0.2.42"))}},
				Reservations: []Reservation{
					{Keys: []Key{byHW([]byte{2, 0, 0, 0, 0, 1})}, Addr: addr("192.0.2.10"), Options: NewOptionSet(opt(69, "192.0.2.69"))},
					{Keys: []Key{byHW([]byte{2, 0, 0, 0, 0, 2})}, Addr: addr("192.0.2.53")},
				},
			}}},
			{Subnets: []SubnetSpec{{Prefix: prefix("198.51.100.0/31")}, {Prefix: prefix("198.51.100.52/30")}}},
		},
	})
	want := []string{"192.0.2.0", "192.0.2.255", "192.0.2.1", "192.0.2.6", "192.0.2.7", "192.0.2.42", "192.0.2.69"}
	got := p.Networks[0].Subnets[0].NeverOffer
	for _, a := range want {
		if !got.Has(addr(a)) {
			t.Errorf("%s may be offered", a)
		}
	}
	if len(got) != len(want) {
		t.Errorf("never offered: %v; 192.0.2.53 has a reservation and 192.0.2.254 is no host", got)
	}
	if n := len(p.Networks[1].Subnets[0].NeverOffer); n != 0 {
		t.Errorf("a /31 has no network and broadcast address (RFC 3021), but %d addresses are never offered", n)
	}
	if n := len(p.Networks[1].Subnets[1].NeverOffer); n != 3 { // .52, .53, .55
		t.Errorf("%d addresses of the /30 are never offered, want 3", n)
	}
}

func TestReservations(t *testing.T) {
	mac := []byte{2, 0, 0x5e, 0x10, 0, 1}
	id := append([]byte{1}, mac...)
	p := mustBuild(t, one(SubnetSpec{
		Prefix:    prefix("192.0.2.0/24"),
		Lifetimes: Lifetimes{Valid: 3600},
		Reservations: []Reservation{
			{Keys: []Key{byHW(mac)}, Addr: addr("192.0.2.10"), Hostname: "printer"},
			{Keys: []Key{byID(id)}, Addr: addr("192.0.2.11"), Lifetimes: Lifetimes{Valid: 60}, Options: NewOptionSet(dhcp4.Option{Code: 12, Data: []byte("own")})},
			{Keys: []Key{byHW([]byte{2, 0, 0, 0, 0, 9}), byID([]byte("both"))}},
		},
	}))
	n := p.Networks[0]
	for _, c := range []struct {
		id    []byte
		htype uint8
		hw    []byte
		want  int // index, -1 none
	}{
		{nil, 1, mac, 0},
		{[]byte{9, 9}, 1, mac, 0},
		{id, 1, mac, 1},
		{id, 1, nil, 1},
		{nil, 6, mac, -1},
		{nil, 1, mac[:5], -1},
		{nil, 1, append(slices.Clone(mac), 0), -1},
		{nil, 1, make([]byte, 17), -1},
		{nil, 0, nil, -1},
		{[]byte("both"), 1, []byte{3}, 2},
		{nil, 1, []byte{2, 0, 0, 0, 0, 9}, 2},
	} {
		var want *Reservation
		if c.want >= 0 {
			want = n.Reservations()[c.want]
		}
		if got := n.Reservation(&Keys{ClientID: c.id, HType: c.htype, HW: c.hw}); got != want {
			t.Errorf("client-id %x, hardware %d/%x: got %+v, want number %d", c.id, c.htype, c.hw, got, c.want)
		}
	}
	if n.ReservedBy(addr("192.0.2.11")) != n.Reservations()[1] || n.ReservedBy(0) != nil {
		t.Error("ReservedBy finds the wrong one")
	}
	if v, _ := n.Reservations()[0].Options.Get(12); string(v) != "printer" {
		t.Errorf("host name %q is not option 12", v)
	}
	if v, _ := n.Reservations()[1].Options.Get(12); string(v) != "own" {
		t.Errorf("option 12 is %q, want the one that was set", v)
	}
	if r := n.Reservations()[1]; !r.OwnLifetime || r.Lifetimes != (Lifetimes{60, 60, 60}) {
		t.Errorf("own lifetime: %+v", r.Lifetimes)
	}
	if r := n.Reservations()[0]; r.OwnLifetime || r.Lifetimes != (Lifetimes{3600, 3600, 3600}) || r.Subnet != n.Subnets[0] {
		t.Errorf("inherited lifetime: %+v", r.Lifetimes)
	}
}

func TestLifetimes(t *testing.T) {
	for _, c := range []struct{ outer, inner, want Lifetimes }{
		{Lifetimes{}, Lifetimes{}, Lifetimes{DefaultLifetime, DefaultLifetime, DefaultLifetime}},
		{Lifetimes{600, 0, 0}, Lifetimes{}, Lifetimes{600, 600, 600}},
		{Lifetimes{600, 300, 1200}, Lifetimes{}, Lifetimes{600, 300, 1200}},
		{Lifetimes{600, 300, 1200}, Lifetimes{900, 0, 0}, Lifetimes{900, 300, 1200}},
		{Lifetimes{600, 300, 1200}, Lifetimes{7200, 0, 0}, Lifetimes{7200, 300, 7200}},
		{Lifetimes{600, 300, 1200}, Lifetimes{60, 0, 0}, Lifetimes{60, 60, 1200}},
		{Lifetimes{600, 300, 1200}, Lifetimes{0xffffffff, 0, 0}, Lifetimes{0xffffffff, 300, 0xffffffff}},
		{Lifetimes{600, 0, 0}, Lifetimes{0, 60, 6000}, Lifetimes{600, 60, 6000}},
	} {
		s := one(SubnetSpec{Prefix: prefix("192.0.2.0/24"), Lifetimes: c.inner})
		s.Lifetimes = c.outer
		if got := mustBuild(t, s).Networks[0].Subnets[0].Lifetimes; got != c.want {
			t.Errorf("%v in %v gives %v, want %v", c.inner, c.outer, got, c.want)
		}
	}
}

func TestNetworkOfLink(t *testing.T) {
	p := mustBuild(t, Spec{Networks: []NetworkSpec{
		{Subnets: []SubnetSpec{{Prefix: prefix("192.0.2.0/24"), Name: "a"}}},
		{Name: "b", Subnets: []SubnetSpec{{Prefix: prefix("198.51.100.0/24")}}},
	}})
	link := func(as ...string) *wire.Link {
		l := &wire.Link{}
		for _, a := range as {
			l.Addrs = append(l.Addrs, dhcp4.Prefix{Addr: addr(a), Bits: 24})
		}
		return l
	}
	if n := p.NetworkOfLink(link("203.0.113.1", "198.51.100.1", "192.0.2.1")); n == nil || n.Name != "b" {
		t.Errorf("got %v, want the first address that has a subnet", n)
	}
	if n := p.NetworkOfLink(link("192.0.2.1")); n == nil || n.Name != "a" {
		t.Errorf("got %v", n)
	}
	if n := p.NetworkOfLink(link("203.0.113.1")); n != nil {
		t.Errorf("got %v for a link outside all subnets", n)
	}
}

func TestBuildRefuses(t *testing.T) {
	mac := []byte{2, 0, 0, 0, 0, 1}
	pre := prefix("192.0.2.0/24")
	for name, ss := range map[string]SubnetSpec{
		"pool outside":        {Prefix: pre, Pools: []PoolSpec{{Range: span("192.0.2.200", "192.0.3.1")}}},
		"empty pool":          {Prefix: pre, Pools: []PoolSpec{{Range: span("192.0.2.200", "192.0.2.100")}}},
		"overlap":             {Prefix: pre, Pools: []PoolSpec{{Range: span("192.0.2.1", "192.0.2.9")}, {Range: span("192.0.2.9", "192.0.2.20")}}},
		"reservation outside": {Prefix: pre, Reservations: []Reservation{{Keys: []Key{byHW(mac)}, Addr: addr("192.0.3.1")}}},
		"nobody":              {Prefix: pre, Reservations: []Reservation{{Addr: addr("192.0.2.1")}}},
		"address twice":       {Prefix: pre, Reservations: []Reservation{{Keys: []Key{byHW(mac)}, Addr: addr("192.0.2.1")}, {Keys: []Key{byID([]byte("ab"))}, Addr: addr("192.0.2.1")}}},
		"client twice":        {Prefix: pre, Reservations: []Reservation{{Keys: []Key{byHW(mac)}, Addr: addr("192.0.2.1")}, {Keys: []Key{byHW(mac)}, Addr: addr("192.0.2.2")}}},
		"client-id twice":     {Prefix: pre, Reservations: []Reservation{{Keys: []Key{byID([]byte("ab"))}, Addr: addr("192.0.2.1")}, {Keys: []Key{byID([]byte("ab"))}, Addr: addr("192.0.2.2")}}},
	} {
		if p, err := Build(one(ss)); err == nil || p != nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Build(Spec{Networks: []NetworkSpec{{Subnets: []SubnetSpec{{Prefix: pre}}}, {Subnets: []SubnetSpec{{Prefix: pre}}}}}); err == nil {
		t.Error("the same prefix in two networks: no error")
	}
}

func TestOptionSet(t *testing.T) {
	var none *OptionSet
	if _, ok := none.Get(1); ok || none.Len() != 0 || none.All() != nil || none.Has(0) {
		t.Error("a nil set is not empty")
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		model := map[dhcp4.Code]byte{}
		var opts []dhcp4.Option
		for range rng.IntN(60) {
			c, v := dhcp4.Code(rng.Uint32()), byte(rng.Uint32())
			model[c] = v
			opts = append(opts, dhcp4.Option{Code: c, Data: []byte{v}})
		}
		cut := 0
		if len(opts) > 0 {
			cut = rng.IntN(len(opts))
		}
		for _, s := range []*OptionSet{NewOptionSet(opts...), Merge(NewOptionSet(opts[:cut]...), NewOptionSet(opts[cut:]...))} {
			for c := range 256 {
				v, ok := s.Get(dhcp4.Code(c))
				if want, is := model[dhcp4.Code(c)]; ok != is || ok && v[0] != want {
					t.Fatalf("code %d: %v %v, want %v %v", c, v, ok, want, is)
				}
			}
			if !slices.IsSortedFunc(s.All(), func(a, b Value) int { return int(a.Code) - int(b.Code) }) || s.Len() != len(model) {
				t.Fatalf("not ascending or not unique: %v", s.All())
			}
		}
	}
}

// big is a policy with n subnets of a /24 each and a reservation in each.
func big(t testing.TB, n int) *Policy {
	s := Spec{Options: NewOptionSet(opt(6, "192.0.2.53"), opt(42, "192.0.2.54"))}
	for i := range n {
		base := addr("198.18.0.0") + dhcp4.Addr(i)<<8
		hw := binary.BigEndian.AppendUint32([]byte{2, 0}, uint32(i))
		s.Networks = append(s.Networks, NetworkSpec{Subnets: []SubnetSpec{{
			Prefix:       dhcp4.Prefix{Addr: base, Bits: 24},
			Pools:        []PoolSpec{{Range: dhcp4.Range{First: base + 50, Last: base + 200}, Exclude: []dhcp4.Range{{First: base + 60, Last: base + 69}}}},
			Reservations: []Reservation{{Keys: []Key{byHW(hw), byID(append([]byte{1}, hw...))}, Addr: base + 10}},
		}}})
	}
	return mustBuild(t, s)
}
