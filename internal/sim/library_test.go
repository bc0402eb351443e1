package sim

import (
	flags "flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flags.Bool("update", false, "write the tables of docs/simulation.md anew")

// TestSimulationDocument: docs/simulation.md lists the faults, scenarios and keys that there
// are; -update writes them.
func TestSimulationDocument(t *testing.T) {
	const name = "../../docs/simulation.md"
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(src)
	for part, table := range map[string]string{"faults": faultTable(), "scenarios": scenarioTable(), "keys": keyTable()} {
		begin, end := fmt.Sprintf("<!-- %s: begin -->\n", part), fmt.Sprintf("<!-- %s: end -->", part)
		before, rest, ok := strings.Cut(text, begin)
		is, after, also := strings.Cut(rest, end)
		if !ok || !also {
			t.Fatalf("%s has no place for %s", name, part)
		}
		if is != table {
			text = before + begin + table + end + after
			if !*update {
				t.Errorf("%s: the table of %s is not that of the code; go test ./internal/sim -run TestSimulationDocument -update writes it. It should be:\n%s", name, part, table)
			}
		}
	}
	_, example, ok := strings.Cut(text, "```\n# Our kiosk")
	example, _, _ = strings.Cut(example, "```")
	if s, err := ParseScenario("example.txt", "# Our kiosk"+example); !ok || err != nil || s.Count("power").Most == 0 {
		t.Errorf("the scenario that %s shows: %v", name, err)
	}
	if *update && text != string(src) {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// isFault are the keys that are no steps and say how much goes wrong all the same.
var isFault = map[string]bool{"loss": true, "copies": true, "late": true, "damage": true, "hostile": true}

func faultKey(k *scenarioKey) bool {
	if isFault[k.key] {
		return true
	}
	for _, f := range faultKeys {
		if f.key == k.key {
			return true
		}
	}
	return false
}

// spanText writes a span as a scenario has it.
func (k *scenarioKey) spanText(s *Scenario) string {
	if k.span == nil {
		return ""
	}
	v := *k.span(s)
	if v.Least == v.Most {
		return k.show(v.Least)
	}
	return k.show(v.Least) + " to " + k.show(v.Most)
}

func faultTable() string {
	var b strings.Builder
	b.WriteString("| key | what goes wrong | in `everything` |\n|---|---|---|\n")
	all := Scenarios()[0]
	for i := range scenarioKeys {
		if k := &scenarioKeys[i]; faultKey(k) {
			what := strings.TrimPrefix(k.doc, "in a run: ")
			if *k.span(all) == (Span{}) {
				fmt.Fprintf(&b, "| `%s` | %s | none |\n", k.key, what)
				continue
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.key, what, k.spanText(all))
		}
	}
	return b.String()
}

func scenarioTable() string {
	var b strings.Builder
	b.WriteString("| scenario | idea |\n|---|---|\n")
	for _, s := range Scenarios() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", s.Name, s.Idea)
	}
	return b.String()
}

func keyTable() string {
	var b strings.Builder
	usual := usualScenario()
	b.WriteString("| key | meaning | usual |\n|---|---|---|\n")
	for i := range scenarioKeys {
		k := &scenarioKeys[i]
		switch {
		case faultKey(k):
		case k.pick != nil:
			fmt.Fprintf(&b, "| `%s` | %s; one or some of %s | %s |\n", k.key, k.doc, strings.Join(k.words, ", "), strings.Join(*k.pick(usual), ", "))
		case k.span == nil:
			fmt.Fprintf(&b, "| `%s` | %s | %d |\n", k.key, k.doc, usual.Exchanges)
		default:
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.key, k.doc, k.spanText(usual))
		}
	}
	return b.String()
}

// TestScenarioTextIsTheScenario: what is printed of the library is what runs.
func TestScenarioTextIsTheScenario(t *testing.T) {
	for _, s := range Scenarios() {
		text, err := ScenarioText(s.Name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParseScenario(s.Name+".txt", text)
		if err != nil || fmt.Sprint(*p) != fmt.Sprint(*s) {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	if _, err := ScenarioText("nothing"); err == nil {
		t.Error("there is a text of a scenario that does not exist")
	}
}
