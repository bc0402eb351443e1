package control

import (
	"encoding/json"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/lease"
)

// TestMovesTo: a lease whose client's reservation names another address says so, and
// what a lease says of its client survives JSON.
func TestMovesTo(t *testing.T) {
	c, problems := config.Parse("lessor.yaml", []byte(`interfaces: [eth0]
subnets:
  - subnet: 198.18.0.0/24
    pools: [198.18.0.100-198.18.0.199]
    reservations:
      - {hw-address: 02:00:5e:10:00:01, ip-address: 198.18.0.10}
      - {client-id: 01:02:00:5e:10:00:02, ip-address: 198.18.0.11}
`))
	if c == nil {
		t.Fatal(problems)
	}
	now := lease.Instant{M: 100 * lease.Second, W: 1e18}
	b := lease.Binding{Addr: dhcp4.MustParseAddr("198.18.0.100"), State: lease.Bound, HType: 1, HW: []byte{2, 0, 0x5e, 0x10, 0, 1},
		End: 200 * lease.Second, Free: 300 * lease.Second, GIAddr: dhcp4.MustParseAddr("198.18.0.1"), Agent: []byte{1, 2, 'a', 'b'}}
	check := func(want string) {
		t.Helper()
		l := FromBinding(&b, now, c.Policy())
		text, err := json.Marshal(&l)
		if err != nil {
			t.Fatal(err)
		}
		var back Lease
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if got := back.MovesTo; got != l.MovesTo || (want == "") != (got == 0) || want != "" && got.String() != want {
			t.Errorf("moves to %v, %v as JSON; want %q", l.MovesTo, got, want)
		}
		f, g := l.Facts(), back.Facts()
		if f.HType != g.HType || string(f.HW) != string(g.HW) || string(f.ClientID) != string(g.ClientID) || string(f.Agent) != string(g.Agent) || f.GIAddr != g.GIAddr {
			t.Errorf("%+v becomes %+v as JSON", f, g)
		}
	}
	check("198.18.0.10")
	b.HW, b.ClientID = []byte{2, 0, 0x5e, 0x10, 0, 9}, []byte{1, 2, 0, 0x5e, 0x10, 0, 2}
	check("198.18.0.11")
	b.HType, b.ClientID = 6, nil
	check("")
	b.HType, b.HW, b.Addr = 1, []byte{2, 0, 0x5e, 0x10, 0, 1}, dhcp4.MustParseAddr("198.18.0.10")
	check("")
	b.Addr, b.End = dhcp4.MustParseAddr("198.18.0.100"), 50*lease.Second
	check("") // a lease that has ended moves nowhere
}
