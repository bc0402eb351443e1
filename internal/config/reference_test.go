package config

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// contexts is every table of keys.
var contexts = map[string][]string{
	"configuration":  fileKeys.names(),
	"subnet":         subnetKeys.names(),
	"pool":           poolKeys.names(),
	"reservation":    reservationKeys.names(),
	"lease-database": databaseKeys.names(),
	"shared network": networkKeys.names(),
	"client class":   classKeys.names(),
	"boot":           bootKeys.names(),
	"ingress-limits": ingressKeys.names(),
	"relay":          relayKeys.names(),
	"interface":      interfaceKeys.names(),
	"option":         optionKeys.names(),

	"option definition": definitionKeys.names(),
}

// TestReference holds that the reference file loads without errors and has every
// key of every table at its place.
func TestReference(t *testing.T) {
	cfg, problems := Parse("reference.yaml", []byte(Reference()))
	if cfg == nil || len(problems) > 0 {
		t.Fatalf("the reference file is refused or doubted:\n%v", problems)
	}
	var root yaml.Node
	if err := yaml.Load([]byte(Reference()), &root); err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	collect(root.Content[0], "configuration", found)
	for context, names := range contexts {
		for _, name := range names {
			if !slices.Contains(found[context], name) {
				t.Errorf("the reference file has no %s in a %s", name, context)
			}
		}
	}
}

// collect files the keys of n under its context.
func collect(n *yaml.Node, context string, found map[string][]string) {
	inner := map[string]string{"subnets": "subnet", "pools": "pool", "reservations": "reservation", "lease-database": "lease-database", "option-data": "option",
		"shared-networks": "shared network", "boot": "boot", "ingress-limits": "ingress-limits", "relay": "relay", "interfaces": "interface",
		"option-definitions": "option definition"}
	switch n.Kind {
	case yaml.SequenceNode:
		for _, c := range n.Content {
			collect(c, context, found)
		}
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			name := n.Content[i].Value
			found[context] = append(found[context], name)
			next := inner[name]
			if name == "client-classes" && context == "configuration" {
				next = "client class"
			}
			if next != "" {
				collect(n.Content[i+1], next, found)
			}
		}
	}
}

// TestReferenceDefaults holds that the values that the reference file calls
// defaults are the defaults.
func TestReferenceDefaults(t *testing.T) {
	ref, _ := Parse("reference.yaml", []byte(Reference()))
	bare, problems := Parse("bare.yaml", []byte("interfaces: [eth0]\nsubnets: [{subnet: 192.0.2.0/24, pools: [192.0.2.100-192.0.2.199]}]\n"))
	if ref == nil || bare == nil {
		t.Fatal(problems)
	}
	a, b := ref.Policy().Settings, bare.Policy().Settings
	a.ServerIdentifier = b.ServerIdentifier // an example
	a.Interfaces, a.Trusted, a.Relays, a.FlexID, a.Ingress = b.Interfaces, nil, nil, nil, policy.Limits{}
	if !equalSettings(a, b) {
		t.Errorf("reference %+v\ndefaults  %+v", a, b)
	}
	if l, m := ref.Policy().SubnetOf(dhcp4.MustParseAddr("192.0.2.1")).Lifetimes, bare.Policy().Networks[0].Subnets[0].Lifetimes; l != m {
		t.Errorf("reference lifetimes %v, defaults %v", l, m)
	}
}

// TestDocumentation holds that docs/configuration.md has a row for every key and
// names no key that does not exist.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		rows[m[1]] = true
	}
	known := map[string]bool{}
	for _, names := range contexts {
		for _, name := range names {
			known[name] = true
			if !rows[name] {
				t.Errorf("docs/configuration.md has no row for %s", name)
			}
		}
	}
	for name := range rows {
		if !known[name] {
			t.Errorf("docs/configuration.md describes %s, which is no key", name)
		}
	}
}

// TestDocumentedIDs holds that the table of message ids in the document is the one
// in the code.
func TestDocumentedIDs(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (config/[a-z-]+) \| (.*) \|$`).FindAllStringSubmatch(string(text), -1) {
		rows[m[1]] = m[2]
	}
	if diff := cmp.Diff(Messages, rows); diff != "" {
		t.Errorf("docs/configuration.md (+) and the code (-) differ:\n%s", diff)
	}
}

// TestEveryMessage holds that the transcripts provoke every message there is, and
// none without an entry in the table.
func TestEveryMessage(t *testing.T) {
	seen := map[string]bool{
		"config/build":     true, // a guard for faults of check.go
		"config/file":      true, // TestLoadErrors
		"config/too-large": true, // TestLoadErrors

		"config/relay-giaddr": true, "config/relay-servers": true, "config/relay-text": true, // TestRelayFileFaults
	}
	files, err := filepath.Glob("testdata/messages/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\[(config/[a-z-]+)\]`).FindAllStringSubmatch(string(text), -1) {
			seen[m[1]] = true
			if Messages[m[1]] == "" {
				t.Errorf("%s is not in the table of messages", m[1])
			}
		}
	}
	for id := range Messages {
		if !seen[id] {
			t.Errorf("no transcript in testdata/messages provokes %s", id)
		}
	}
}
