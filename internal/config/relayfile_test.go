package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lessor/dhcp4"
	agent "lessor/internal/relay"
)

func TestRelayFile(t *testing.T) {
	c, ps := ParseRelay("relay.yaml", []byte(`
relay:
  downstream:
    - eth1
    - {name: eth2, giaddr: 192.0.2.9, trusted: true, circuit-id: 'port ${interface}', link-selection: false}
    - {name: eth3}
  servers: [198.51.100.1, 198.51.100.2]
  option-82: append
  max-hops: 16
  source-port: 6767
  giaddr: 203.0.113.7
  link-selection: true
  circuit-id: ${interface}
  remote-id: ${hw-address}
`))
	if c == nil {
		t.Fatal(ps)
	}
	text := func(s string) agent.Downstream {
		var d agent.Downstream
		d.CircuitID, _ = agent.Template(s)
		d.RemoteID, _ = agent.Template("${hw-address}")
		return d
	}
	want := []agent.Downstream{text("${interface}"), text("port ${interface}"), text("${interface}")}
	for i, name := range []string{"eth1", "eth2", "eth3"} {
		want[i].Name, want[i].GIAddr, want[i].LinkSelection = name, dhcp4.MustParseAddr("203.0.113.7"), true
	}
	want[1].GIAddr, want[1].Trusted, want[1].LinkSelection = dhcp4.MustParseAddr("192.0.2.9"), true, false
	if len(c.Downstream) != 3 || len(c.Servers) != 2 || c.Policy != agent.Append || c.MaxHops != 16 || c.SourcePort != 6767 {
		t.Fatalf("%+v", c)
	}
	for i, d := range c.Downstream {
		if !equalDownstream(d, want[i]) {
			t.Errorf("%d: %+v\nwant %+v", i, d, want[i])
		}
	}
}

func equalDownstream(a, b agent.Downstream) bool {
	show := func(d agent.Downstream) string {
		name := func(n string, dst []byte) []byte { return append(dst, "<"+n+">"...) }
		out := d.CircuitID.Append(nil, name)
		out = d.RemoteID.Append(append(out, '|'), name)
		return string(d.SubscriberID.Append(append(out, '|'), name))
	}
	return a.Name == b.Name && a.GIAddr == b.GIAddr && a.Trusted == b.Trusted && a.LinkSelection == b.LinkSelection && show(a) == show(b)
}

func TestRelayFileFaults(t *testing.T) {
	for text, want := range map[string]string{
		"{}":          `f:1:1: error: the file of a relay agent needs the key "relay". Write relay: {downstream: [eth1], servers: [192.0.2.1]} [config/missing-key]`,
		"relay: {}":   `f:1:8: error: relay needs the key "downstream". Write downstream: [eth1], the interfaces with clients [config/missing-key]` + "\n" + `f:1:8: error: relay needs the key "servers". Write servers: [192.0.2.1], the DHCP servers [config/missing-key]`,
		"relay: eth1": `f:1:8: error: relay is a mapping of keys, but this is "eth1". Write its keys with their values, such as "circuit-id: …" [config/type]`,
		"relays: {}": `f:1:1: error: "relays" is not a key of the file of a relay agent. Did you mean "relay"? [config/unknown-key]` + "\n" +
			`f:1:1: error: the file of a relay agent needs the key "relay". Write relay: {downstream: [eth1], servers: [192.0.2.1]} [config/missing-key]`,
		"relay: {downstream: [], servers: []}": `f:1:21: error: the list of interfaces is empty. Write downstream: [eth1] [config/interfaces]` + "\n" +
			`f:1:34: error: the list of servers is empty, so nobody could answer. Write servers: [192.0.2.1] [config/relay-servers]`,
		"relay: {downstream: [eth1, eth1, {trusted: true}], servers: [192.0.2.1, 192.0.2.1, 224.0.0.1, x]}": `f:1:28: error: "eth1" is there twice; the other one is at 1:22. Remove one [config/interfaces]` + "\n" +
			`f:1:34: error: an interface of downstream needs the key "name". Write {name: eth1, trusted: true} [config/missing-key]` + "\n" +
			`f:1:73: error: 192.0.2.1 is there twice; the other one is at 1:62. Remove one [config/relay-servers]` + "\n" +
			`f:1:84: error: 224.0.0.1 cannot be the address of a host [config/address]` + "\n" +
			`f:1:95: error: "x" is not an IPv4 address. Write the address of a DHCP server, such as 192.0.2.1 [config/address]`,
		"relay:\n  downstream: eth1\n  servers: 192.0.2.1\n  option-82: keep\n  max-hops: 17\n  source-port: 0\n  trust: eth1\n": `f:4:14: error: "keep" is not a value of this key. Write forward or append or replace or drop [config/choice]` + "\n" +
			`f:5:13: error: "17" is not a number that can stand here. Write a number from 1 to 16 [config/number]` + "\n" +
			`f:6:16: error: "0" is not a number that can stand here. Write a number from 1 to 65535 [config/number]` + "\n" +
			`f:7:3: error: "trust" is not a key of relay. Write trusted: true at the interface under downstream [config/unknown-key]`,
		"relay:\n  downstream: eth1\n  servers: 192.0.2.1\n  circuit-id: 'a ${interfac}'\n":                 `f:4:20: error: "interfac" is no placeholder here. Did you mean ${interface}? [config/relay-text]`,
		"relay:\n  downstream: eth1\n  servers: 192.0.2.1\n  remote-id: " + strings.Repeat("x", 254) + "\n": `f:4:14: error: the text has 254 octets, 253 are the most that option 82 has room for. Shorten it [config/relay-text]`,
		"relay:\n  downstream: eth1\n  servers: 192.0.2.1\n  link-selection: true\n":                        `f:4:19: error: link selection of eth1 needs giaddr: an address of this host that the servers reach [config/relay-giaddr]`,
		"relay:\n  downstream: [eth1, eth2]\n  servers: 192.0.2.1\n  giaddr: 192.0.2.2\n":                   `f:4:11: error: eth1 and eth2 have the same giaddr 192.0.2.2, which needs link-selection at both [config/relay-giaddr]`,
	} {
		c, ps := ParseRelay("f", []byte(text))
		if got := ps.Error(); c != nil || got != want {
			t.Errorf("%s\n%s\nwant\n%s", text, got, want)
		}
		for _, p := range ps {
			if Messages[p.ID] == "" {
				t.Errorf("%s has no meaning", p.ID)
			}
		}
	}
	_, ps := LoadRelay(filepath.Join(t.TempDir(), "none.yaml"))
	if len(ps) != 1 || !strings.Contains(ps[0].Fix, "relay: {downstream") {
		t.Errorf("a file that is not there: %v", ps)
	}
}

// TestRelayDocument holds that every file of a relay agent in its document loads.
func TestRelayDocument(t *testing.T) {
	src, err := os.ReadFile("../../docs/relay.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllStringSubmatch(string(src), -1)
	for _, b := range blocks {
		if c, ps := ParseRelay("relay.md", []byte(b[1])); c == nil || len(ps) != 0 {
			t.Errorf("%s\n%v", b[1], ps)
		}
	}
	if len(blocks) < 2 {
		t.Errorf("only %d files in docs/relay.md", len(blocks))
	}
	for _, known := range [][]string{agentKeys.names(), downstreamKeys.names()} {
		for _, key := range known {
			if !strings.Contains(string(src), "`"+key+"`") {
				t.Errorf("docs/relay.md does not explain the key %s", key)
			}
		}
	}
}
