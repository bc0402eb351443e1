package config

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// formatCases are files and what Format makes of them.
var formatCases = []struct{ name, in, want string }{
	{"good as it is", Reference(), Reference()},
	{"indentation",
		"interfaces: [eth0]\nsubnets:\n- subnet: 192.0.2.0/24\n  options:\n      routers: 192.0.2.1\n      # about time\n      ntp-servers: [\n        192.0.2.1,\n      ]\n  pools:\n    -   192.0.2.50-192.0.2.60\n    -  pool: 192.0.2.70\n       exclude: []\n",
		"interfaces: [eth0]\nsubnets:\n  - subnet: 192.0.2.0/24\n    options:\n      routers: 192.0.2.1\n      # about time\n      ntp-servers: [\n        192.0.2.1,\n      ]\n    pools:\n      - 192.0.2.50-192.0.2.60\n      - pool: 192.0.2.70\n        exclude: []\n"},
	{"comments",
		"\n\n# first  \n\n\n\ninterfaces: [eth0] # here\n# list\nsubnets:\n# one\n- subnet: 192.0.2.0/24   # aligned\n  # at the end of it\n\n  # and another\n- # two\n  subnet: 198.51.100.0/24\n\n# last\n\n",
		"# first\n\ninterfaces: [eth0] # here\n# list\nsubnets:\n  # one\n  - subnet: 192.0.2.0/24   # aligned\n    # at the end of it\n\n    # and another\n  - # two\n    subnet: 198.51.100.0/24\n\n# last\n"},
	{"tabs of two", "interfaces:\n\t- eth0\nsubnets:\n\t- subnet: 192.0.2.0/24\n\t\tpools: [192.0.2.7]\n",
		"interfaces:\n  - eth0\nsubnets:\n  - subnet: 192.0.2.0/24\n    pools: [192.0.2.7]\n"},
	{"tab behind spaces", "interfaces: [eth0]\nsubnets:\n  - subnet: 192.0.2.0/24\n\tpools: [192.0.2.7]\n",
		"interfaces: [eth0]\nsubnets:\n  - subnet: 192.0.2.0/24\n    pools: [192.0.2.7]\n"},
	{"tab after a colon", "interfaces:\t[eth0]\n", "interfaces: [eth0]\n"},
	{"carriage returns", "interfaces: [eth0]\r\nvalid-lifetime: 12h\r\n", "interfaces: [eth0]\nvalid-lifetime: 12h\n"},
	{"no end", "interfaces: [eth0]", "interfaces: [eth0]\n"},
	{"texts keep their spaces",
		"options:\n        domain-name: |\n            two\n\n\n              # three\n        host-name: 'a\n\n           b'\n        root-path: x\n          y\n",
		"options:\n  domain-name: |\n      two\n\n\n        # three\n  host-name: 'a\n\n     b'\n  root-path: x\n    y\n"},
	{"flow", "subnets: [{subnet: 192.0.2.0/24,   # \"it's\"\n\tpools: [a'b, \"]\"]},\n   {subnet: x}]\n", "subnets: [{subnet: 192.0.2.0/24,   # \"it's\"\n pools: [a'b, \"]\"]},\n   {subnet: x}]\n"},
	{"not what it means now", "a:\n  - - b\n    -   c\n  -\n    d: 1\n", "a:\n  - - b\n    - c\n  -\n    d: 1\n"},
}

func TestFormat(t *testing.T) {
	for _, c := range formatCases {
		t.Run(c.name, func(t *testing.T) {
			got, problems := Format("f.yaml", []byte(c.in))
			if problems != nil || string(got) != c.want {
				t.Fatalf("%v\n%s\nwant\n%s", problems, got, c.want)
			}
			if again, _ := Format("f.yaml", got); string(again) != c.want {
				t.Errorf("the second time\n%s", again)
			}
		})
	}
}

// TestFormatExamples holds that the examples of the tree are in their usual layout.
func TestFormatExamples(t *testing.T) {
	for name, text := range examples(t) {
		got, problems := Format(name, []byte(text))
		if problems != nil || string(got) != text {
			t.Errorf("%s: %v\n%s", name, problems, got)
		}
	}
}

func TestFormatRefuses(t *testing.T) {
	for in, id := range map[string]string{
		"":                            "config/empty",
		"a: [":                        "config/syntax",
		"a: b: c\n":                   "config/syntax",
		"a: &x b\n":                   "config/anchor",
		"a:\n\tb: c\n d: [\n":         "config/tab",
		"interfaces:\n\t\x07- eth0\n": "config/encoding",
	} {
		got, problems := Format("f.yaml", []byte(in))
		if got != nil || len(problems) != 1 || problems[0].ID != id {
			t.Errorf("%q: %q, %v; want %s", in, got, problems, id)
		}
	}
}

// TestFormatIsOneLayout holds that the result does not depend on how deep a file was
// indented before.
func TestFormatIsOneLayout(t *testing.T) {
	var root yaml.Node
	if err := yaml.Load([]byte(Reference()), &root); err != nil {
		t.Fatal(err)
	}
	want := ""
	for indent := 2; indent < 9; indent++ {
		for _, compact := range []bool{false, true} {
			in, err := yaml.Dump(&root, yaml.WithIndent(indent), yaml.WithCompactSeqIndent(compact), yaml.WithLineWidth(1000))
			if err != nil {
				t.Fatal(err)
			}
			got, problems := Format("f.yaml", in)
			if want == "" {
				want = string(got)
			}
			if problems != nil || string(got) != want || want == "" {
				t.Fatalf("indented by %d, compact %v: %v\n%s\nbecomes\n%s", indent, compact, problems, in, got)
			}
		}
	}
}

// FuzzFormat holds that formatting twice changes nothing more, that no comment and no
// content is lost, and that what was YAML stays it.
func FuzzFormat(f *testing.F) {
	for _, c := range formatCases {
		f.Add([]byte(c.in))
	}
	for _, text := range examples(f) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			return
		}
		got, problems := Format("f.yaml", data)
		if (got == nil) == (problems == nil) {
			t.Fatalf("%q and %v", got, problems)
		}
		if got == nil {
			return
		}
		again, problems := Format("f.yaml", got)
		if problems != nil || string(again) != string(got) {
			t.Fatalf("%q\nbecomes %q\nand then %q, %v", data, got, again, problems)
		}
		was, is := newParser("f.yaml", data), newParser("f.yaml", got)
		if a, b := was.read(), is.read(); a != nil && !sameMeaning(a, b) {
			t.Fatalf("%q means something else than %q", got, data)
		}
		if n, m := strings.Count(string(data), "#"), strings.Count(string(got), "#"); n != m {
			t.Fatalf("%q has %d signs # and not %d as %q", got, m, n, data)
		}
	})
}

// TestSameMeaningSees: the guard of Format sees each kind of difference.
func TestSameMeaningSees(t *testing.T) {
	tree := func(text string) *yaml.Node {
		var n yaml.Node
		if err := yaml.Load([]byte(text), &n); err != nil {
			t.Fatal(err)
		}
		return &n
	}
	base := tree("a: [1, b]\n")
	for _, other := range []string{"a: [1, c]", "a: ['1', b]", "a: [1]", "a: {1: b}", "b: [1, b]", "a: [1, b]\nc: d"} {
		if sameMeaning(base, tree(other)) {
			t.Errorf("%q means the same", other)
		}
	}
	if !sameMeaning(base, tree("a:\n- 1\n- 'b'\n")) {
		t.Error("another style is another meaning")
	}
}
