package expr

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

var update = flag.Bool("update", false, "write the table of variables in docs/classes.md anew")

const manual = "../../docs/classes.md"

func readManual(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestManualVariables: the table of docs/classes.md is the one of the code.
func TestManualVariables(t *testing.T) {
	var rows strings.Builder
	for _, v := range variables {
		fmt.Fprintf(&rows, "| `%s` | %s | %s |\n", v.name, v.leaf.kind(), v.doc)
	}
	const head, tail = "| name | is | what it says |\n|---|---|---|\n", "| `option[\"NAME\"]`"
	text := readManual(t)
	before, rest, ok1 := strings.Cut(text, head)
	_, after, ok2 := strings.Cut(rest, tail)
	if !ok1 || !ok2 {
		t.Fatal("docs/classes.md has no table of variables")
	}
	want := before + head + rows.String() + tail + after
	if *update {
		if err := os.WriteFile(manual, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if text != want {
		t.Errorf("the table of docs/classes.md is not\n%s%s\ngo test ./internal/expr -run Manual -update writes it", head, rows.String())
	}
}

// TestManualFunctions: the manual names every function, and every limit as it is.
func TestManualFunctions(t *testing.T) {
	text := readManual(t)
	for _, name := range methods {
		if !strings.Contains(text, "`"+name+"(") && !strings.Contains(text, "."+name+"(") {
			t.Errorf("docs/classes.md does not name %s", name)
		}
	}
	for _, s := range []string{fmt.Sprintf("more than %d octets", maxValue), fmt.Sprintf("looks at %d at most", maxItems), fmt.Sprintf("text of up to %d octets", maxMatched)} {
		if !strings.Contains(text, s) {
			t.Errorf("docs/classes.md does not say %q", s)
		}
	}
}

// manualEnv is what the manual's examples may name outside of whole configurations.
var manualEnv = Env{Classes: []Class{{policy.NameKnown, policy.ClassKnown}, {policy.NameUnknown, policy.ClassUnknown}, {"phones", 2}, {"printers", 3}}}

// TestManualExamples compiles every expression of the manual.
func TestManualExamples(t *testing.T) {
	text := readManual(t)
	n := 0
	for _, m := range regexp.MustCompile("(?ms)^```cel(-value)?\n(.*?)^```").FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(m[2]) {
			line = strings.TrimSpace(line)
			var err *Error
			if n++; m[1] == "" {
				_, _, err = CompileTest(line, manualEnv)
			} else {
				_, err = CompileValue(line, manualEnv)
			}
			if err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	if n < 30 {
		t.Errorf("only %d examples", n)
	}
	// In tables: the last cell, or the one under "an example".
	n = 0
	for _, m := range regexp.MustCompile("(?m)^\\|[^\n]*\\| `([^`\n]*)` \\|$").FindAllStringSubmatch(text, -1) {
		n++
		if _, _, err := CompileTest(m[1], manualEnv); err != nil {
			t.Errorf("%s: %v", m[1], err)
		}
	}
	if n < 20 {
		t.Errorf("only %d examples in tables", n)
	}
}

// TestManualConfigurations compiles the tests of the whole configurations in the manual,
// with the classes and options that each of them has.
func TestManualConfigurations(t *testing.T) {
	types := map[string]dhcp4.Type{"string": dhcp4.TypeString, "uint8": dhcp4.TypeUint8}
	n := 0
	for _, m := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllStringSubmatch(readManual(t), -1) {
		var file struct {
			Definitions []struct {
				Name, Type, Space string
				Code              dhcp4.Code
				Array             bool
			} `yaml:"option-definitions"`
			Classes []struct{ Name, Test string } `yaml:"client-classes"`
		}
		if err := yaml.Unmarshal([]byte(m[1]), &file); err != nil {
			t.Fatal(err)
		}
		env := Env{Classes: manualEnv.Classes[:2:2]}
		for _, d := range file.Definitions {
			o := Option{Def: &dhcp4.Def{Name: d.Name, Code: d.Code, Type: types[d.Type], List: d.Array}}
			if _, err := fmt.Sscanf(d.Space, "vendor-%d", &o.Enterprise); d.Space != "" && err != nil {
				t.Fatal(err)
			}
			env.Options = append(env.Options, o)
		}
		for i, c := range file.Classes {
			n++
			if _, _, err := CompileTest(c.Test, env); err != nil {
				t.Errorf("%s: %v", c.Test, err)
			}
			env.Classes = append(env.Classes, Class{c.Name, policy.FirstClass + i})
		}
	}
	if n < 8 {
		t.Errorf("only %d classes", n)
	}
}
