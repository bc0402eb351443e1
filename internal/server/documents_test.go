package server_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// documented are the configurations that the documentation and the examples show, by where
// they stand.
func documented(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"../../docs/*.md", "../../README.md", "../../examples/*.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			blocks := []string{string(text)}
			if strings.HasSuffix(name, ".md") {
				blocks = nil
				for _, m := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllStringSubmatch(string(text), -1) {
					blocks = append(blocks, m[1])
				}
			}
			for i, b := range blocks {
				if strings.HasPrefix(b, "interfaces:") || strings.Contains(b, "\ninterfaces:") {
					out[name+"#"+string(rune('1'+i))] = b
				}
			}
		}
	}
	return out
}

// TestDocumentedConfigurationsAreServed: each of them loads, and a client behind a relay
// agent is offered an address of each of its networks or told why not; one whose network
// is open to everybody gets an address.
func TestDocumentedConfigurationsAreServed(t *testing.T) {
	all := documented(t)
	if len(all) < 12 {
		t.Errorf("only %d configurations were found", len(all))
	}
	for name, text := range all {
		conf, problems := config.Parse(name, []byte(text))
		if conf == nil {
			t.Errorf("%s: %v", name, problems)
			continue
		}
		for _, n := range conf.Policy().Networks {
			askNetwork(t, name, conf.Policy(), n)
		}
	}
}

func askNetwork(t *testing.T, name string, p *policy.Policy, n *policy.Network) {
	t.Helper()
	now := lease.Instant{M: 1e15, W: 1_790_000_000e9}
	c := server.New(secret, lease.BootID{1})
	var e server.Effects
	c.SetPolicy(now, p, &e)
	c.SetLinks(now, []wire.Link{{ID: 1, Name: "eth0", MTU: 1500, Addrs: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("203.0.113.1"), Bits: 24}}}}, &e)
	pools, open := 0, false
	for _, sn := range n.Subnets {
		pools += len(sn.Pools)
		for _, pool := range sn.Pools {
			open = open || len(pool.Guards) == 0
		}
	}
	pkt := newPacket(t, dhcp4.Discover)
	pkt.set("giaddr", (n.Subnets[0].Prefix.Range().First + 1).String())
	packet := pkt.packet()
	c.Handle(now, &packet, &e)
	if len(e.Replies) == 1 {
		var v dhcp4.View
		if err := v.Parse(e.Replies[0].Data); err != nil || n.Contains(v.YIAddr()) == nil {
			t.Errorf("%s: network %s: %v, offered %s", name, n.Name, err, v.YIAddr())
		}
		return
	}
	why := server.None
	for i := range e.Events {
		why = e.Events[i].Reason
	}
	switch {
	case why == server.NoPoolForClient && !open, why == server.ClassDrop:
	case len(e.Echoes) > 0: // asked for by a ping first
	default:
		t.Errorf("%s: network %s with %d pools: no offer: %s", name, n.Name, pools, why.Text())
	}
}
