package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkResult parses a file and holds what is true of every result. It returns the
// number of errors.
func checkResult(t testing.TB, what string, data []byte) int {
	cfg, problems := Parse("f.yaml", data)
	errs := len(problems.Errors())
	if (cfg == nil) != (errs > 0) {
		t.Fatalf("%s: configuration %v with %d errors\n%s", what, cfg != nil, errs, data)
	}
	lines := bytes.Count(data, []byte("\n")) + 1
	for i, p := range problems {
		if Messages[p.ID] == "" || p.Text == "" || p.File != "f.yaml" || p.ID == "config/build" {
			t.Fatalf("%s: incomplete or internal problem %+v\n%s", what, p, data)
		}
		if p.ID != "config/too-large" && (p.Line < 1 || p.Line > lines || p.Col < 1 || p.Len < 1) {
			t.Fatalf("%s: problem %s without a position in the file\n%s", what, p, data)
		}
		for _, r := range p.Related {
			if r.Line < 1 || r.Line > lines || r.Label == "" {
				t.Fatalf("%s: problem %s has a related place %+v\n%s", what, p, r, data)
			}
		}
		if i > 0 && (p.Line < problems[i-1].Line) {
			t.Fatalf("%s: problems are not in order", what)
		}
	}
	var terminal, pipe strings.Builder
	problems.WriteTerminal(&terminal, false)
	problems.WriteLines(&pipe)
	for _, out := range []string{terminal.String(), pipe.String()} {
		for _, r := range out {
			if r < ' ' && r != '\n' || r == 0x7f || r == 0x9b || r == 0x202e {
				t.Fatalf("%s: the character %U reaches the terminal\n%q", what, r, out)
			}
		}
	}
	if n := strings.Count(pipe.String(), "\n"); n > MaxShown+1 {
		t.Fatalf("%s: %d lines of problems", what, n)
	}
	if cfg != nil && (cfg.Policy() == nil || cfg.Summary() == "" || len(cfg.Interfaces()) == 0) {
		t.Fatalf("%s: incomplete configuration", what)
	}
	return errs
}

// FuzzParse holds the same for any bytes.
func FuzzParse(f *testing.F) {
	f.Add([]byte(Reference()))
	for _, pattern := range []string{"../../examples/*.yaml", "testdata/messages/*"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			f.Fatal(pattern, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			// Each transcript's input is a seed of its own.
			for _, part := range strings.Split(string(text), "\n\n") {
				_, input, ok := strings.Cut(part, "\n")
				if input, _, _ = strings.Cut(input, "----\n"); !ok || pattern != "testdata/messages/*" {
					input = string(text)
				}
				f.Add([]byte(input))
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		checkResult(t, "fuzz", data)
	})
}
