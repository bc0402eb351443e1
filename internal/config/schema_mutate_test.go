//go:build !race

package config

import (
	"fmt"
	"testing"

	"go.yaml.in/yaml/v4"
)

// TestSchemaSound holds that the schema takes whatever the parser takes: an editor
// never marks what is right. It changes the reference file in the ways of TestMutations,
// of which it takes each seventh: over the keys that is each of them.
func TestSchemaSound(t *testing.T) {
	s := compileSchema(t)
	var root yaml.Node
	if err := yaml.Load([]byte(Reference()), &root); err != nil {
		t.Fatal(err)
	}
	taken, tried, failed := 0, 0, map[string]bool{}
	mutate(&root, func(what string) {
		if tried++; tried%7 != 0 {
			return
		}
		out, err := yaml.Dump(&root)
		if err != nil {
			t.Fatal(err)
		}
		if cfg, _ := Parse("f.yaml", out); cfg == nil {
			return
		}
		taken++
		if err := validate(t, s, string(out)); err != nil && len(failed) < 20 && !failed[what] {
			failed[what] = true
			t.Errorf("%s: the parser takes it, the schema does not: %s", what, fmt.Sprint(err))
		}
	})
	if taken < 100 {
		t.Errorf("only %d changed files were good", taken)
	}
}
