package control

import (
	"testing"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/wire"
)

// TestLinkOfQuestion: a message comes in by the interface by which an honest client's or
// agent's would, so that the answer names the address that the server would answer from.
func TestLinkOfQuestion(t *testing.T) {
	c, problems := config.Parse("lessor.yaml", []byte(`
interfaces: [eth0, eth1, eth2]
subnets:
  - {subnet: 198.18.1.0/24, interface: eth1, pools: [198.18.1.50-198.18.1.60]}
  - {subnet: 198.18.2.0/24, pools: [198.18.2.50-198.18.2.60]}
  - {subnet: 198.18.8.0/22, pools: [198.18.8.50-198.18.8.60]}
`))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	addr := func(s string) dhcp4.Addr {
		a, err := dhcp4.ParseAddr(s)
		if s != "" && err != nil {
			t.Fatal(err)
		}
		return a
	}
	var links []wire.Link
	for i, a := range []string{"203.0.113.2", "198.18.1.1", "198.18.2.1"} {
		links = append(links, wire.Link{ID: wire.LinkID(i + 1), Name: "eth" + string(rune('0'+i)), Addrs: []dhcp4.Prefix{{Addr: addr(a), Bits: 24}}})
	}
	for _, q := range []struct {
		giaddr, ciaddr string
		unicast        bool
		want           string
	}{
		{"", "", false, "eth1"},                      // the first with clients
		{"198.18.8.1", "", false, "eth0"},            // an agent behind a router
		{"203.0.113.9", "", false, "eth0"},           // an agent on a link of ours
		{"198.18.2.9", "", false, "eth2"},            //
		{"", "198.18.8.50", true, "eth0"},            // a renewal through a router
		{"", "198.18.2.50", true, "eth2"},            // and one on the link
		{"", "198.18.2.50", false, "eth2"},           // a rebinding
		{"", "198.18.8.50", false, "eth1"},           // and one on a wrong link
		{"198.18.8.1", "198.18.1.50", false, "eth0"}, // the agent counts, not the client
	} {
		m := make([]byte, 240, 260)
		copy(m, []byte{1, 1, 6})
		addr(q.ciaddr).Append(m[:12])
		addr(q.giaddr).Append(m[:24])
		copy(m[236:], []byte{99, 130, 83, 99})
		m = append(m, 53, 1, 3, 255)
		_, l, err := (&Question{Message: m, Unicast: q.unicast}).Packet(links, c.Policy())
		if err != nil || l.Name != q.want {
			t.Errorf("giaddr %q, ciaddr %q, unicast %t: %v, %v, want %s", q.giaddr, q.ciaddr, q.unicast, l, err, q.want)
		}
	}
	if _, _, err := (&Question{Interface: "eth7"}).Packet(links, c.Policy()); err == nil {
		t.Error("an interface that is not there is accepted")
	}
}
