package planted

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Where the table of the bugs stands.
const (
	tableFile  = "docs/simulation.md"
	tableBegin = "<!-- planted bugs: begin -->\n"
	tableEnd   = "<!-- planted bugs: end -->\n"
)

// table is the bugs as they stand in docs/simulation.md.
func table(all []bug) string {
	var b strings.Builder
	b.WriteString("| bug | what is wrong | found broken | scenario | seed |\n|---|---|---|---|---|\n")
	for i := range all {
		g := &all[i]
		scenario := "`" + g.scenario + "`"
		if own, is := strings.CutPrefix(g.scenario, "testdata/"); is {
			scenario = "`" + strings.TrimSuffix(own, ".txt") + "` (own)"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d |\n", g.name, g.what, strings.Join(g.rules, " or "), scenario, g.seed)
	}
	return b.String()
}

// TestTable: docs/simulation.md lists the bugs as testdata has them. With -write it does
// so afterwards.
func TestTable(t *testing.T) {
	if *search > 0 {
		return // TestBugsAreFound writes it when it has found them
	}
	if *write {
		writeTable(t)
		return
	}
	text, err := os.ReadFile(filepath.Join(root, tableFile))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), tableBegin)
	is, _, ok := strings.Cut(rest, tableEnd)
	if want := table(allBugs(t)); !ok || is != want {
		t.Errorf("%s does not list the planted bugs as testdata has them; `go test ./test/planted -run TestTable -write` writes them", tableFile)
	}
}

func writeTable(t *testing.T) {
	name := filepath.Join(root, tableFile)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), tableBegin)
	_, after, ok := strings.Cut(rest, tableEnd)
	if !found || !ok {
		t.Fatalf("%s has no place for the table", tableFile)
	}
	text = []byte(before + tableBegin + table(allBugs(t)) + tableEnd + after)
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
}
