package config

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"go.yaml.in/yaml/v4"

	"lessor/dhcp4"
)

var updateDocs = flag.Bool("update", false, "write docs/options.md anew")

// optionExamples are the values of testdata/options.yaml as they are written.
func optionExamples(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/options.yaml")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if name, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, "#") {
			out[name] = value
		}
	}
	return out
}

// encoded is the wire form of a value that the file of a configuration gives an option.
func encoded(t *testing.T, d *dhcp4.Def, value string) []byte {
	t.Helper()
	cfg, problems := Parse("f", fmt.Appendf(nil, "interfaces: [eth0]\nsubnets:\n  - subnet: 192.0.2.0/24\n    pools: [192.0.2.240-192.0.2.250]\n    options:\n      %s: %s\n", d.Name, value))
	if cfg == nil {
		t.Fatalf("%s: %v", d.Name, problems)
	}
	data, ok := cfg.Policy().Networks[0].Subnets[0].Options.Get(d.Code)
	if !ok {
		t.Fatalf("%s is not in the policy", d.Name)
	}
	return data
}

// TestEveryOption sets every option of the registry by its name, sends it and reads it with
// our own view and with another library. Those that the protocol owns are refused with a reason.
func TestEveryOption(t *testing.T) {
	examples := optionExamples(t)
	for _, d := range dhcp4.All() {
		value, there := examples[d.Name]
		delete(examples, d.Name)
		if why := owned[d.Code]; why != "" {
			_, problems := Parse("f", fmt.Appendf(nil, "interfaces: [eth0]\noptions: {%s: 1}\nsubnets: [{subnet: 192.0.2.0/24, pools: [192.0.2.9]}]\n", d.Name))
			if there || len(problems) != 1 || problems[0].ID != "config/option-owned" || problems[0].Fix != why {
				t.Errorf("%s: %v", d.Name, problems)
			}
			continue
		}
		if !there {
			t.Errorf("testdata/options.yaml has no %s", d.Name)
			continue
		}
		data := encoded(t, &d, value)
		if !d.Valid(data) {
			t.Errorf("%s: %x is not valid", d.Name, data)
		}
		packet, _ := dhcp4.AppendMessage(nil, &dhcp4.Header{Op: 2, HType: 1, HLen: 6}, []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{2}}, {Code: d.Code, Data: data}}, nil, 1472)
		var v dhcp4.View
		if err := v.Parse(packet); err != nil {
			t.Fatalf("%s: %v", d.Name, err)
		}
		if got, _ := v.Get(d.Code, nil); !bytes.Equal(got, data) {
			t.Errorf("%s: sent %x, read %x", d.Name, data, got)
		}
		theirs, err := dhcpv4.FromBytes(packet)
		if err != nil {
			t.Fatalf("%s: %v", d.Name, err)
		}
		if got := theirs.Options.Get(dhcpv4.GenericOptionCode(d.Code)); !bytes.Equal(got, data) {
			t.Errorf("%s: sent %x, another library reads %x", d.Name, data, got)
		}
		if read := oracle[d.Code]; read != nil {
			if got, want := read(theirs), string(plainText(t, value)); got != want {
				t.Errorf("%s: another library reads %q, the file says %q", d.Name, got, want)
			}
		}
	}
	for name := range examples {
		t.Errorf("testdata/options.yaml has %s, which is no option", name)
	}
	if len(oracle) < 20 {
		t.Errorf("only %d options are compared", len(oracle))
	}
}

// plainText is a value of the file, its items with commas between them.
func plainText(t *testing.T, value string) []byte {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Load([]byte(value), &doc); err != nil {
		t.Fatal(err)
	}
	n := doc.Content[0]
	var items []string
	for _, c := range list(n) {
		items = append(items, c.Value)
	}
	return []byte(strings.Join(items, ","))
}

func addrs(code dhcp4.Code) func(*dhcpv4.DHCPv4) string {
	return func(m *dhcpv4.DHCPv4) string {
		var out []string
		for _, ip := range dhcpv4.GetIPs(dhcpv4.GenericOptionCode(code), m.Options) {
			out = append(out, ip.String())
		}
		return strings.Join(out, ",")
	}
}

func text(code dhcp4.Code) func(*dhcpv4.DHCPv4) string {
	return func(m *dhcpv4.DHCPv4) string { return dhcpv4.GetString(dhcpv4.GenericOptionCode(code), m.Options) }
}

// oracle reads options with another library, as the file writes them.
var oracle = map[dhcp4.Code]func(*dhcpv4.DHCPv4) string{
	dhcp4.OptSubnetMask:            func(m *dhcpv4.DHCPv4) string { return net.IP(m.SubnetMask()).String() },
	dhcp4.OptRouters:               addrs(dhcp4.OptRouters),
	dhcp4.OptDomainNameServers:     addrs(dhcp4.OptDomainNameServers),
	dhcp4.OptNTPServers:            addrs(dhcp4.OptNTPServers),
	dhcp4.OptNetBIOSNameServers:    addrs(dhcp4.OptNetBIOSNameServers),
	dhcp4.OptCAPWAPACV4:            addrs(dhcp4.OptCAPWAPACV4),
	dhcp4.OptTFTPServerAddress:     addrs(dhcp4.OptTFTPServerAddress),
	dhcp4.OptBroadcastAddress:      func(m *dhcpv4.DHCPv4) string { return m.BroadcastAddress().String() },
	dhcp4.OptHostName:              func(m *dhcpv4.DHCPv4) string { return m.HostName() },
	dhcp4.OptDomainName:            func(m *dhcpv4.DHCPv4) string { return m.DomainName() },
	dhcp4.OptRootPath:              func(m *dhcpv4.DHCPv4) string { return m.RootPath() },
	dhcp4.OptTFTPServerName:        func(m *dhcpv4.DHCPv4) string { return m.TFTPServerName() },
	dhcp4.OptBootFileName:          func(m *dhcpv4.DHCPv4) string { return m.BootFileNameOption() },
	dhcp4.OptVendorClassIdentifier: func(m *dhcpv4.DHCPv4) string { return m.ClassIdentifier() },
	dhcp4.OptTCode:                 text(dhcp4.OptTCode),
	dhcp4.OptPCode:                 text(dhcp4.OptPCode),
	dhcp4.OptV4CaptivePortal:       text(dhcp4.OptV4CaptivePortal),
	dhcp4.OptWPAD:                  text(dhcp4.OptWPAD),
	dhcp4.OptV6OnlyPreferred: func(m *dhcpv4.DHCPv4) string {
		d, _ := m.IPv6OnlyPreferred()
		return fmt.Sprint(int(d.Seconds()))
	},
	dhcp4.OptDomainSearch: func(m *dhcpv4.DHCPv4) string { return strings.Join(m.DomainSearch().Labels, ",") },
	dhcp4.OptAutoConfig: func(m *dhcpv4.DHCPv4) string {
		a, ok := m.AutoConfigure()
		return fmt.Sprint(map[bool]int{true: int(a), false: -1}[ok])
	},
	dhcp4.OptClientSystem: func(m *dhcpv4.DHCPv4) string { return fmt.Sprint(int(m.ClientArch()[0])) },
	dhcp4.OptUserClass: func(m *dhcpv4.DHCPv4) string {
		c := m.UserClass()[0]
		return fmt.Sprintf("%02x:%s", len(c), strings.ReplaceAll(fmt.Sprintf("% x", c), " ", ":"))
	},
	dhcp4.OptClasslessStaticRoute: func(m *dhcpv4.DHCPv4) string {
		var out []string
		for _, r := range m.ClasslessStaticRoute() {
			out = append(out, strings.Replace(r.Dest.String(), "0.0.0.0/0", "default", 1)+" via "+r.Router.String())
		}
		return strings.Join(out, ",")
	},
	dhcp4.OptVIVCOSuboptions: func(m *dhcpv4.DHCPv4) string {
		v := m.VIVC()[0]
		return fmt.Sprintf("%d %s", v.EntID, strings.ReplaceAll(fmt.Sprintf("% x", v.Data[1:]), " ", ":"))
	},
}

// TestLongSearchList: compressed names beyond one option's 255 octets are read by another
// library (RFC 3397 2, RFC 3396).
func TestLongSearchList(t *testing.T) {
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprintf("department-%d.campus.example.net", i))
	}
	data := encoded(t, dhcp4.Lookup(dhcp4.OptDomainSearch), "["+strings.Join(names, ", ")+"]")
	if len(data) < 256 || len(data) > 1100 {
		t.Errorf("%d octets", len(data))
	}
	packet, _ := dhcp4.AppendMessage(nil, &dhcp4.Header{Op: 2, HType: 1, HLen: 6}, []dhcp4.Option{{Code: dhcp4.OptDomainSearch, Data: data}}, nil, 1472)
	theirs, err := dhcpv4.FromBytes(packet)
	if err != nil {
		t.Fatal(err)
	}
	if got := theirs.DomainSearch(); got == nil || strings.Join(got.Labels, ",") != strings.Join(names, ",") {
		t.Errorf("another library reads %v", got)
	}
}

// TestOptionsDocument: docs/options.md is the table and the examples; -update writes it anew.
func TestOptionsDocument(t *testing.T) {
	const path = "../../docs/options.md"
	want := optionsDocument(optionExamples(t))
	if *updateDocs {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the table says (%v): run go test ./internal/config -run TestOptionsDocument -update", path, err)
	}
}

func optionsDocument(examples map[string]string) []byte {
	var b bytes.Buffer
	b.WriteString(`# DHCP options

Lessor knows these options by name. The table is made from the one in
dhcp4/options.go, which also drives parsing, display and configuration, and from the
examples that the tests set, send and read:
` + "`go test ./internal/config -run TestOptionsDocument -update`" + ` writes this file anew.

A value in the configuration is one word, or a list of words for a list or a record.
An option without an example is not set there; the table says why. Names that ISC dhcpd
and dnsmasq have of their own stand beside ours; an error about an unknown option suggests
ours. [configuration.md](configuration.md) says where options are set, who gets them, how options of
your own are defined, and which text may have placeholders.

| code | name | type | RFC | in dhcpd | in dnsmasq | example of a value |
|---:|---|---|---|---|---|---|
`)
	for _, d := range dhcp4.All() {
		rfc := "none"
		if d.RFC != 0 {
			rfc = fmt.Sprint(d.RFC)
		}
		example := "`" + examples[d.Name] + "`"
		if why := owned[d.Code]; why != "" {
			example = "not set: " + why
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s | %s | %s |\n", d.Code, d.Name, d.Layout(), rfc, d.DhcpdName, d.DnsmasqName, example)
	}
	b.WriteString(`
## Forms of values

| type | a configuration gives |
|---|---|
`)
	seen := map[string]bool{}
	for _, d := range dhcp4.All() {
		if layout := d.Layout(); owned[d.Code] == "" && d.Type != dhcp4.TypeRecord && !seen[layout] {
			seen[layout] = true
			fmt.Fprintf(&b, "| %s | %s |\n", layout, d.Takes())
		}
	}
	b.WriteString(`
## Sub-options of option 82 (dhcp-agent-options)

Relay agents add them; a server sends them back as they came (RFC 3046).

| code | name | type | RFC |
|---:|---|---|---|
`)
	for _, d := range dhcp4.AgentSubOptions() {
		fmt.Fprintf(&b, "| %d | %s | %s | %d |\n", d.Code, d.Name, d.Layout(), d.RFC)
	}
	return b.Bytes()
}
