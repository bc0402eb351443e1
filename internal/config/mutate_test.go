//go:build !race

package config

// There is no goroutine in this package: the race detector would make the
// thousands of files only slower.

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v4"
)

// replacements are values of every wrong type that a key may get.
var replacements = []string{"null", "~", "[]", "{}", "[null]", "{a: b}", "[[x]]", "0", "-1", "99999999999999999999", "1.5", "true",
	"\"\"", "''", "x", "\"\\u0007\"", "2001-01-01", "12:30:45", "0x10", "192.0.2.0/33", "192.0.2.1-", "-", "infinite", "'*'"}

// TestMutations deletes each key of files that have every key, and gives each
// value every wrong form. Whatever comes of it is text with a position, never a
// panic, and never a configuration beside errors.
func TestMutations(t *testing.T) {
	files := map[string]string{"reference.yaml": Reference()}
	names, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal(err, names)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = string(text)
	}
	refused := 0
	for name, text := range files {
		var root yaml.Node
		if err := yaml.Load([]byte(text), &root); err != nil {
			t.Fatal(err)
		}
		tried := 0
		mutate(&root, func(what string) {
			// The reference file has tens of thousands of changes: one in five of them, and
			// as five is no factor of their number at a value, each form comes up.
			if tried++; name == "reference.yaml" && tried%5 != 0 {
				return
			}
			out, err := yaml.Dump(&root)
			if err != nil {
				t.Fatal(err)
			}
			if checkResult(t, name+", "+what, out) > 0 {
				refused++
			}
		})
	}
	if refused < 500 {
		t.Errorf("only %d changes were refused: the mutation does nothing", refused)
	}
}

// mutate makes each single change to the tree below n in turn, calls try, and
// takes the change back.
func mutate(n *yaml.Node, try func(what string)) {
	for i := range n.Content {
		kept := n.Content
		key := n.Kind == yaml.MappingNode && i%2 == 0
		step := 1
		if n.Kind == yaml.MappingNode {
			step = 2
		}
		if key || n.Kind == yaml.SequenceNode {
			n.Content = append(append([]*yaml.Node{}, kept[:i]...), kept[i+step:]...)
			try(fmt.Sprintf("without %q at %d", kept[i].Value, kept[i].Line))
			n.Content = append(append(append([]*yaml.Node{}, kept...), kept[i]), kept[i+step-1])
			try(fmt.Sprintf("%q at %d twice", kept[i].Value, kept[i].Line))
			n.Content = kept
		}
		old := kept[i]
		for _, r := range replacements {
			var doc yaml.Node
			if err := yaml.Load([]byte(r), &doc); err != nil {
				panic(err)
			}
			n.Content[i] = doc.Content[0]
			try(fmt.Sprintf("%s in place of %q at %d", r, old.Value, old.Line))
		}
		n.Content[i] = old
		mutate(old, try)
	}
}
