package planted

import (
	"context"
	"flag"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	search = flag.Uint64("search", 0, "look for the first seed of each bug among so `many`")
	only   = flag.String("bug", "", "look at the bugs whose names begin with this `prefix` alone")
	where  = flag.String("scenario", "", "look in these `scenarios`, with commas between them, in place of the bug's own")
	write  = flag.Bool("write", false, "write what was found into testdata and docs/simulation.md")
)

// TestBugsApply: each bug can still be planted: every edit finds its lines exactly once,
// changes something, and leaves a file that is formatted Go.
func TestBugsApply(t *testing.T) {
	for _, b := range allBugs(t) {
		files, err := b.changed()
		if err != nil {
			t.Errorf("%s: %v", b.name, err)
			continue
		}
		for path, text := range files {
			out, err := format.Source([]byte(text))
			if err != nil {
				t.Errorf("%s: %s: %v", b.name, path, err)
			} else if string(out) != text {
				t.Errorf("%s: %s is not formatted", b.name, path)
			}
		}
	}
}

func allBugs(t *testing.T) []bug {
	all, err := bugs()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestBugsAreFound: with each bug planted, the simulator finds a breach of its rule at
// its seed; without it, the same seed keeps all promises. With -search it looks for the
// seeds.
func TestBugsAreFound(t *testing.T) {
	all := allBugs(t)
	program, err := build(t.Context(), t.TempDir(), all)
	if err != nil {
		t.Fatal(err)
	}
	if *search > 0 && *write {
		defer writeTable(t)
	}
	for i := range all {
		b := &all[i]
		if !strings.HasPrefix(b.name, *only) {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			if *search > 0 {
				look(t, program, i+1, b)
				return
			}
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			if v, err := simulate(ctx, program, i+1, b.scenario, b.seed, 1, 1); err != nil {
				t.Errorf("with the bug: %v", err)
			} else if !v.expected(b) {
				t.Errorf("%s: want a breach of %s at seed %d of %s, got: %v", b.what, strings.Join(b.rules, " or "), b.seed, b.scenario, &v)
			}
			if v, err := simulate(ctx, program, 0, b.scenario, b.seed, 1, 1); err != nil {
				t.Errorf("without the bug: %v", err)
			} else if v.Rule != "" {
				t.Errorf("without the bug: %v", &v)
			}
		})
	}
}

// look looks for the first seed of a bug; it is for whoever adds one, or whom a change of
// the simulator has left with other histories at the recorded seeds.
func look(t *testing.T, program string, number int, b *bug) {
	names := []string{b.scenario}
	if *where != "" {
		names = strings.Split(*where, ",")
	}
	for _, scenario := range names {
		if scenario != "" && first(t, program, scenario, number, b) {
			return
		}
	}
	t.Errorf("%s: not found", b.what)
}

// first looks for the first seed of a scenario that shows the bug, and notes it.
func first(t *testing.T, program, scenario string, number int, b *bug) bool {
	began, other := time.Now(), verdict{}
	for from := uint64(1); from <= *search; {
		v, err := simulate(t.Context(), program, number, scenario, from, *search-from+1, 2)
		if err != nil {
			t.Logf("%s: from seed %d: %v", scenario, from, err)
			return false
		}
		if v.Rule == "" {
			break
		}
		sound := false // the same seed without the bug keeps all promises
		if v.expected(b) {
			was, err := simulate(t.Context(), program, 0, scenario, v.Seed, 1, 1)
			if err != nil {
				t.Fatal(err)
			}
			sound = was.Rule == ""
		}
		if sound {
			t.Logf("FOUND %s in %s after %.0f s: %v", b.name, scenario, time.Since(began).Seconds(), &v)
			b.scenario, b.seed = scenario, v.Seed
			if *write {
				if err := b.note(); err != nil {
					t.Fatal(err)
				}
			}
			return true
		}
		other, from = v, v.Seed+1
	}
	t.Logf("%s: not in %d seeds (%.0f s); other: %v", scenario, *search, time.Since(began).Seconds(), &other)
	return false
}

// note writes scenario and seed into the bug's file.
func (b *bug) note() error {
	name := filepath.Join("testdata", b.name+".bug")
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	head, body, _ := strings.Cut(string(text), "\n\n--- ")
	var lines []string
	for _, line := range strings.Split(head, "\n") {
		if !strings.HasPrefix(line, "scenario: ") && !strings.HasPrefix(line, "seed: ") {
			lines = append(lines, line)
		}
	}
	lines = append(lines, "scenario: "+b.scenario, fmt.Sprintf("seed: %d", b.seed))
	return os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n\n--- "+body), 0o644)
}
