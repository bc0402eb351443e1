package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"lessor/internal/policy"
)

// TestMessages runs the transcripts of testdata: a configuration, and what is said
// about it. "check" prints what a pipe gets, "terminal" what a person gets.
func TestMessages(t *testing.T) {
	datadriven.Walk(t, "testdata/messages", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			input := strings.NewReplacer("<TAB>", "\t", "<ESC>", "\x1b", "<RLO>", "\u202e", "<BAD>", "\xff").Replace(d.Input + "\n")
			cfg, problems := Parse("lessor.yaml", []byte(input))
			var b strings.Builder
			if d.Cmd == "terminal" {
				problems.WriteTerminal(&b, false)
			} else {
				problems.WriteLines(&b)
			}
			if (cfg == nil) != (len(problems.Errors()) > 0) {
				t.Errorf("%s: configuration and errors contradict each other", d.Pos)
			}
			if cfg != nil {
				b.WriteString("ok, " + cfg.Summary() + "\n")
			}
			return b.String()
		})
	})
}

// TestExamples holds that the examples load without a warning.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("examples are missing: %v %v", files, err)
	}
	for _, name := range files {
		if _, err := os.Stat(name); err != nil {
			t.Fatal(err)
		}
		if filepath.Base(name) == "relay.yaml" {
			if c, problems := LoadRelay(name); c == nil || len(problems) > 0 {
				t.Errorf("%s: %v", name, problems)
			}
			continue
		}
		if cfg, problems := Load(name); cfg == nil || len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

func equalSettings(a, b policy.Settings) bool { return reflect.DeepEqual(a, b) }
