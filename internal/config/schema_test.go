package config

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource(SchemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instance is a YAML node as an editor's validator sees it (YAML 1.2, core schema).
func instance(n *yaml.Node) any {
	switch n.Kind {
	case yaml.DocumentNode:
		return instance(n.Content[0])
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			list[i] = instance(c)
		}
		return list
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = instance(n.Content[i+1])
		}
		return m
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		var v any
		if err := n.Decode(&v); err == nil {
			if b, err := json.Marshal(v); err == nil {
				return json.Number(b)
			}
		}
	}
	return n.Value
}

func validate(t testing.TB, s *jsonschema.Schema, text string) error {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Load([]byte(text), &doc); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s.Validate(instance(&doc))
}

// examples are the configurations of the tree by where they stand: example files, the
// reference, and the whole ones in the documentation.
func examples(t testing.TB) map[string]string {
	t.Helper()
	out := map[string]string{"reference.yaml": Reference()}
	for _, pattern := range []string{"../../examples/*.yaml", "../../docs/*.md", "../../README.md", "testdata/derive", "testdata/derive/*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			switch {
			case err != nil:
				continue // a directory
			case filepath.Base(name) == "relay.yaml":
				continue // the file of a relay agent
			case strings.HasSuffix(name, ".yaml"):
				out[name] = string(text)
				continue
			}
			for _, m := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllStringSubmatch(string(text), -1) {
				if strings.HasPrefix(m[1], "interfaces:") || strings.Contains(m[1], "\ninterfaces:") {
					out[name+": "+strings.SplitN(m[1], "\n", 2)[0]] = m[1]
				}
			}
		}
	}
	return out
}

// TestSchemaExamples holds the schema against every example.
func TestSchemaExamples(t *testing.T) {
	s, n := compileSchema(t), 0
	for name, text := range examples(t) {
		n++
		if err := validate(t, s, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n < 5 {
		t.Errorf("only %d examples were found", n)
	}
}

// TestSchemaRefuses holds that wrong keys and types are refused at each place.
func TestSchemaRefuses(t *testing.T) {
	s := compileSchema(t)
	const good = "interfaces: [eth0]\nsubnets: [{subnet: 192.0.2.0/24, pools: [192.0.2.100-192.0.2.199]}]\n"
	if err := validate(t, s, good); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"subnets: []", // interfaces are missing
		good + "colour: blue",
		good + "valid-lifetime: 12hours",
		good + "valid-lifetime: [12h]",
		good + "authoritative: maybe",
		good + "server-identifier: gateway",
		good + "nak-delivery: sometimes",
		good + "lease-database: {path: db}",
		good + "lease-database: /var/lib/lessor/db",
		good + "options: 5",
		good + "options: {routers: {address: 192.0.2.1}}",
		good + "options: {routers: 7}",
		good + "options: {dhcp-lease-time: 7}",
		good + "options: {interface-mtu: true}",
		good + "option-data: {name: routers}",
		good + "option-data: [{name: routers, value: 192.0.2.1}]",
		"interfaces: [eth0]\nsubnets: 192.0.2.0/24",
		"interfaces: [eth0]\nsubnets: [{pools: []}]",
		"interfaces: [eth0]\nsubnets: [{subnet: 192.0.2.0/24, pool: x}]",
		"interfaces: [eth0]\nsubnets: [{subnet: 192.0.2.0}]",
		"interfaces: [eth0]\nsubnets: [{subnet: 192.0.2.0/24, pools: [192.0.2.50-]}]",
		"interfaces: [eth0]\nsubnets: [{subnet: 192.0.2.0/24, pools: [{exclude: 192.0.2.7}]}]",
		"interfaces: [eth0]\nsubnets: [{subnet: 192.0.2.0/24, reservations: [{hwaddr: x}]}]",
		"interfaces: [eth0]\nsubnets: [{subnet: 192.0.2.0/24, reservations: [{ip-address: 192.0.2.300}]}]",
	} {
		if err := validate(t, s, bad); err == nil {
			t.Errorf("the schema takes\n%s", bad)
		}
	}
}

// TestSchemaComplete holds that the schema has a type for each key of each table, and
// that no entry of the vocabulary is for nothing.
func TestSchemaComplete(t *testing.T) {
	var root struct {
		Properties map[string]map[string]any
		Defs       map[string]struct {
			Properties map[string]any
		} `json:"$defs"`
	}
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	v, used := vocabulary(), map[string]bool{}
	look := func(kind, key string) {
		switch {
		case v[kind+"/"+key] != nil:
			used[kind+"/"+key] = true
		case v[key] != nil:
			used[key] = true
		default:
			t.Errorf("the vocabulary in schema_keys.go does not say what %q of a %s takes", key, kind)
		}
	}
	for key, s := range root.Properties {
		look("configuration", key)
		if s["description"] == nil {
			t.Errorf("the reference file has no comment right above %q", key)
		}
	}
	for kind, d := range root.Defs {
		for key := range d.Properties {
			look(kind, key)
		}
	}
	for key := range v {
		if !used[key] {
			t.Errorf("the vocabulary has %q, which is no key", key)
		}
	}
	for context, names := range contexts {
		got := root.Defs[context].Properties
		if context == "configuration" {
			continue
		}
		for _, name := range names {
			if _, ok := got[name]; !ok {
				t.Errorf("the schema has no %q in a %s", name, context)
			}
		}
	}
}
