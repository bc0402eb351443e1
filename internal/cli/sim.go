package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lessor/internal/sim"
	"lessor/internal/spell"
)

const simLong = `Run servers, clients, disks, clocks and a network in memory, with everything that can go
wrong, and judge what happens by the promises of docs/invariants.md. The programs in it are
those that are shipped; only time, wires and disks are not real. A seed decides all of it:
the same seed is the same history, bit for bit.`

func newSim(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Break servers and clients in a simulated world, and judge what they did",
		Long:  simLong,
	}
	cmd.AddCommand(newSimRun(g), newSimReplay(g), newSimScenarios(g))
	return cmd
}

// simWorld is which scenarios seeds run over.
type simWorld struct {
	names []string // as given
	of    []*sim.Scenario
	all   bool // none was named: the whole library
}

// loadScenarios reads the scenarios that the user named, or the library.
func loadScenarios(names []string) (*simWorld, error) {
	w := &simWorld{names: names, all: len(names) == 0}
	if w.all {
		w.of = sim.Scenarios()
		for _, s := range w.of {
			w.names = append(w.names, s.Name)
		}
		return w, nil
	}
	for _, name := range names {
		if err := knownScenario(name); err != nil {
			return nil, err
		}
		s, err := sim.LoadScenario(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, &ExitError{Code: ExitNotFound, Err: err, Hint: `"lessor sim scenarios" lists those that have a name.`}
		case err != nil:
			return nil, &ExitError{Code: ExitUsage, Err: err}
		}
		w.of = append(w.of, s)
	}
	return w, nil
}

// knownScenario is an error if name is neither one of the library nor a file's.
func knownScenario(name string) error {
	if strings.ContainsAny(name, "/.") {
		return nil
	}
	best, bestDist := "", 4
	for _, s := range sim.Scenarios() {
		d := spell.Distance(strings.ToLower(name), s.Name)
		if d == 0 && s.Name == name {
			return nil
		}
		if d < bestDist {
			best, bestDist = s.Name, d
		}
	}
	hint := `"lessor sim scenarios" lists them; a file is named with its path, such as ./` + name + "."
	if best != "" {
		hint = fmt.Sprintf("Did you mean %s? ", best) + hint
	}
	return &ExitError{Code: ExitNotFound, Err: fmt.Errorf("no scenario is called %q", name), Hint: hint}
}

// pick is the scenario of a seed.
func (w *simWorld) pick(seed uint64) *sim.Scenario { return sim.Pick(seed, w.of, w.all) }

// called is how the user names the scenario of a seed.
func (w *simWorld) called(seed uint64) string {
	s := w.pick(seed)
	for i, o := range w.of {
		if o == s {
			return w.names[i]
		}
	}
	return s.Name
}

// replayCommand is the command that runs a seed again.
func (w *simWorld) replayCommand(seed uint64) string {
	name := w.called(seed)
	if strings.ContainsAny(name, " '\"$\\`&;|<>()*?~#!") {
		name = "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	}
	return fmt.Sprintf("lessor sim replay %d --scenario %s", seed, name)
}

// parseSeed reads a seed.
func parseSeed(text string) (uint64, error) {
	seed, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		return 0, &ExitError{Code: ExitUsage, Err: fmt.Errorf("%q is no seed", text),
			Hint: "A seed is a whole number from 0 to 18446744073709551615."}
	}
	return seed, nil
}

// lessGarbage lets memory grow instead of being collected every few milliseconds: a run makes
// much of it and keeps little. GOGC in the environment counts more.
func (g *globals) lessGarbage() {
	if g.env("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

const simScenariosLong = `List the scenarios that are part of this program: each is about one idea. With a name, print
that one; written to a file and changed, it can be run with --scenario ./FILE.`

func newSimScenarios(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "scenarios [NAME]",
		Short:   "List the scenarios, or print one",
		Long:    simScenariosLong,
		Example: "  lessor sim scenarios\n  lessor sim scenarios power\n  lessor sim scenarios power > mine.txt",
		Args:    cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return scenarioNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return g.showScenario(args[0])
			}
			out := newLister(g, scenarioColumns)
			for _, s := range sim.Scenarios() {
				if err := out.add(scenarioRow{s.Name, s.Idea}); err != nil {
					return err
				}
			}
			return out.close()
		},
	}
}

func scenarioNames() (names []string) {
	for _, s := range sim.Scenarios() {
		names = append(names, s.Name)
	}
	return names
}

// scenarioRow is one scenario of the list.
type scenarioRow struct {
	Name string `json:"name"`
	Idea string `json:"idea"`
}

var scenarioColumns = []column[scenarioRow]{
	{name: "SCENARIO", cell: func(s scenarioRow) cell { return cell{text: s.Name, style: bold} }},
	{name: "IDEA", cell: func(s scenarioRow) cell { return cell{text: s.Idea} }},
}

func (g *globals) showScenario(name string) error {
	name = strings.TrimSuffix(name, ".txt")
	if err := knownScenario(name); err != nil {
		return err
	}
	text, err := sim.ScenarioText(name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(g.stdout, text)
	return err
}
