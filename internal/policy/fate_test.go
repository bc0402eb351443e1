package policy

import (
	"testing"

	"lessor/dhcp4"
)

func TestFateOf(t *testing.T) {
	mac := func(last byte) []byte { return []byte{2, 0, 0x5e, 0x10, 0, last} }
	keys := func(hw []byte) []Key { return []Key{{Kind: KeyHWAddress, HType: 1, Value: hw}} }
	guard := ClassSet{}
	guard.Add(ClassKnown)
	s := Spec{Settings: Defaults(), Options: NewOptionSet(opt(3, "192.0.2.60")), Networks: []NetworkSpec{
		{Subnets: []SubnetSpec{{Prefix: prefix("192.0.2.0/24"),
			Pools: []PoolSpec{{Range: span("192.0.2.50", "192.0.2.99"), Exclude: []dhcp4.Range{span("192.0.2.70", "192.0.2.71")}},
				{Range: span("192.0.2.100", "192.0.2.109"), Guard: guard}},
			Reservations: []Reservation{{Keys: keys(mac(1)), Addr: addr("192.0.2.10")}, {Keys: keys(mac(2)), Hostname: "guest"}}}}},
		{Subnets: []SubnetSpec{{Prefix: prefix("198.51.100.0/24")}}},
	}}
	p := mustBuild(t, s)
	for _, c := range []struct {
		a    string
		hw   byte
		gi   string
		want Fate
	}{
		{"192.0.2.50", 9, "0.0.0.0", FateKeeps},
		{"192.0.2.50", 2, "0.0.0.0", FateKeeps},
		{"192.0.2.50", 1, "0.0.0.0", FateMoves},
		{"192.0.2.10", 1, "0.0.0.0", FateKeeps},
		{"192.0.2.10", 9, "0.0.0.0", FateReserved},
		{"192.0.2.70", 9, "0.0.0.0", FateExcluded},
		{"192.0.2.40", 9, "0.0.0.0", FateNoPool},
		{"192.0.2.60", 9, "0.0.0.0", FateNeverOffer},
		{"192.0.2.100", 9, "0.0.0.0", FateGuarded},
		{"192.0.2.100", 2, "0.0.0.0", FateKeeps},
		{"203.0.113.7", 9, "0.0.0.0", FateNoSubnet},
		{"192.0.2.50", 9, "198.51.100.1", FateOtherNetwork},
		{"192.0.2.50", 9, "192.0.2.1", FateKeeps},
		{"192.0.2.50", 9, "203.0.113.1", FateKeeps},
	} {
		f := &Facts{HType: 1, HW: mac(c.hw), GIAddr: addr(c.gi)}
		if got, _ := p.FateOf(f, addr(c.a)); got != c.want {
			t.Errorf("%s of ...%d through %s: %v, want %v", c.a, c.hw, c.gi, got, c.want)
		}
	}
}
