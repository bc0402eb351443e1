package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestScenarioErrors: each fault is said with its place and what was meant.
func TestScenarioErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"losss 3%", "x.txt:1:1: there is no key \"losss\"; did you mean loss?"},
		{"# idea\n\n  clients 1..99 # too many", "x.txt:3:11: clients must lie between 1 and 24"},
		{"clients", "x.txt:1:1: clients has no value"},
		{"clients 5..2", "x.txt:1:9: clients goes from 5 down to 2"},
		{"clients 1\nclients 2", "x.txt:2:1: clients is there twice; the other one is in line 1"},
		{"loss 30", `x.txt:1:6: loss is a share such as 30% or 0..30%, but not "30"`},
		{"loss 0..130%", `x.txt:1:6: loss is a share such as 30% or 0..30%, but not "130%"`},
		{"lease 1h..2", `x.txt:1:7: lease is a duration such as 90s, 20m, 2h or 3d, but not "2"`},
		{"lease 3s", "x.txt:1:7: lease must lie between 4s and 100d"},
		{"ratio x", `x.txt:1:7: ratio is a number such as 1.5 or 0.5..1.5, but not "x"`},
		{"exchanges 20..50", "x.txt:1:11: exchanges is one number"},
		{"store model, peble", `x.txt:1:13: store is one or some of model, pebble, but not "peble"; did you mean pebble?`},
		{"store model,model", "x.txt:1:13: model is there twice"},
		{"kill 1000000000000", `x.txt:1:6: kill is a number such as 3 or 0..3, but not "1000000000000"`},
		{"kill x\nloss y", "x.txt:1:6: kill is a number such as 3 or 0..3, but not \"x\"\nx.txt:2:6: loss is a share such as 30% or 0..30%, but not \"y\""},
	} {
		_, err := ParseScenario("x.txt", c.text)
		if err == nil || err.Error() != c.want {
			t.Errorf("%q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
	if _, err := ParseScenario("x.txt", strings.Repeat("x\n", 5000)); strings.Count(err.Error(), "\n") != 19 {
		t.Errorf("a file of errors: %v", err)
	}
}

// TestScenarioValues: what is written is what is meant.
func TestScenarioValues(t *testing.T) {
	s, err := ParseScenario("dir/mine.txt", "# One idea,\n# in two lines.\n#\n\nloss 0..30%  # of them\nlease 90s..2h\nratio 0.5..1.5\nkill 3\ninfinite 0.5%\nstore model, pebble\nexchanges 70\n")
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "mine" || s.Idea != "One idea, in two lines." {
		t.Errorf("it is called %q, its idea is %q", s.Name, s.Idea)
	}
	if s.Loss != (Span{0, 300_000}) || s.Lease != (Span{90 * second, 7200 * second}) || s.Ratio != (Span{500, 1500}) ||
		s.Count("kill") != (Span{3, 3}) || s.Infinite != (Span{5000, 5000}) || len(s.Store) != 2 || s.Exchanges != 70 {
		t.Errorf("%+v", s)
	}
}

// TestScenarioLibrary: the library is read, each file is about something, and a file of
// somebody's own is found by its path.
func TestScenarioLibrary(t *testing.T) {
	all := Scenarios()
	if len(all) < 20 || all[0].Name != DefaultScenario {
		t.Errorf("there are %d scenarios, the first is %s", len(all), all[0].Name)
	}
	for i, s := range all {
		if len(s.Idea) < 20 || !strings.HasSuffix(s.Idea, ".") {
			t.Errorf("%s does not say what it is about", s.Name)
		}
		if i > 1 && all[i-1].Name >= s.Name {
			t.Errorf("%s and %s are not in order", all[i-1].Name, s.Name)
		}
	}
	if _, err := LoadScenario("evrything"); err == nil || !strings.Contains(err.Error(), "did you mean everything?") {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "own.txt")
	if err := os.WriteFile(file, []byte("# Mine.\nkill 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := LoadScenario(file); err != nil || s.Name != "own" || s.Count("kill") != (Span{2, 2}) {
		t.Errorf("%+v %v", s, err)
	}
	if _, err := LoadScenario(filepath.Dir(file)); err == nil {
		t.Error("a directory is a scenario")
	}
}

// FuzzScenario: whatever the text, it is refused with a place, or plans can be drawn from it.
func FuzzScenario(f *testing.F) {
	for _, s := range Scenarios() {
		text, err := ScenarioText(s.Name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseScenario("fuzz.txt", text)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "fuzz.txt:") {
					t.Errorf("no place: %q", line)
				}
			}
			return
		}
		checkPlan(t, s, Draw(uint64(len(text)), s))
	})
}

// TestScenarioMutants: a library with lines swapped, changed and cut is refused with a
// place or drawn from, in no time.
func TestScenarioMutants(t *testing.T) {
	d, drawn := newDice(5), 0
	all := Scenarios()
	for range 3000 {
		text, err := ScenarioText(all[d.n(int64(len(all)))].Name)
		if err != nil {
			t.Fatal(err)
		}
		b := []byte(text)
		for range 1 + d.n(3) {
			b[d.n(int64(len(b)))] = "0123456789.%,dhms \n#"[d.n(20)]
		}
		s, err := ParseScenario("mutant.txt", string(b))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "mutant.txt:") {
				t.Errorf("no place: %v", err)
			}
			continue
		}
		drawn++
		if drawn%8 == 0 { // checking is slower than drawing
			checkPlan(t, s, Draw(uint64(drawn), s))
		} else {
			Draw(uint64(drawn), s)
		}
	}
	if drawn < 600 {
		t.Errorf("only %d of 3000 were drawn from", drawn)
	}
}
