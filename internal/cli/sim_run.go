package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"lessor/internal/sim"
)

const simRunLong = `Run many seeds, on all cores, until one of them breaks a promise. Without --scenario every
other seed runs "everything", and the others run the rest of the library in turn.

A failing run is shrunk: what its failure does not need is taken out of it, and what is left
is printed as a timeline, with the command that runs the seed again. Exit code 3 says that a
promise was broken. Ctrl-C prints what was reached so far.`

// simRunFlags are the flags of sim run.
type simRunFlags struct {
	seeds     uint64
	from      uint64
	scenarios []string
	limit     time.Duration
	jobs      int
	keepGoing bool
	noShrink  bool
}

const defaultSeeds = 1000

func newSimRun(g *globals) *cobra.Command {
	var f simRunFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run many seeds until a promise is broken",
		Long:  simRunLong,
		Example: "  lessor sim run --seeds 2000\n  lessor sim run --scenario power --scenario disk-errors --seeds 500\n" +
			"  lessor sim run --for 8h --from 1000000 -o json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.limit < 0, f.limit == 0 && cmd.Flags().Changed("for"):
				return exitf(ExitUsage, "--for must be more than zero, not %v", f.limit)
			case f.jobs < 0:
				return exitf(ExitUsage, "--jobs must not be negative")
			case f.seeds == 0:
				return exitf(ExitUsage, "--seeds must be more than zero")
			}
			if f.limit > 0 && !cmd.Flags().Changed("seeds") {
				f.seeds = 0
			}
			return g.simRun(cmd.Context(), &f)
		},
	}
	fl := cmd.Flags()
	fl.Uint64Var(&f.seeds, "seeds", defaultSeeds, "how `many` seeds to run; with --for there is no limit unless it is given")
	fl.Uint64Var(&f.from, "from", 1, "the first `seed`")
	fl.StringArrayVar(&f.scenarios, "scenario", nil, "`name` or file of a scenario; may be repeated, and seeds take turns")
	fl.DurationVar(&f.limit, "for", 0, "how `long` to go on, such as 8h")
	fl.IntVar(&f.jobs, "jobs", 0, "`how many` seeds run at the same time (default: one for each core)")
	fl.BoolVar(&f.keepGoing, "keep-going", false, "go on after a broken promise, and count")
	fl.BoolVar(&f.noShrink, "no-shrink", false, "print the failing run as it was")
	_ = cmd.RegisterFlagCompletionFunc("scenario", completeScenarios)
	return cmd
}

func completeScenarios(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return scenarioNames(), cobra.ShellCompDirectiveDefault
}

// simSummary is what came of many seeds.
type simSummary struct {
	Seeds     int               `json:"seeds"`
	From      uint64            `json:"from"`
	Scenarios []string          `json:"scenarios"`
	Simulated float64           `json:"simulated-seconds"`
	Seconds   float64           `json:"seconds"`
	Faults    int64             `json:"faults"`
	Messages  int64             `json:"messages"`
	Frames    int64             `json:"frames"`
	Acks      int64             `json:"acks"`
	Commits   int64             `json:"commits"`
	Crashes   int64             `json:"crashes"`
	Breaches  int               `json:"breaches"`
	Rules     map[string]uint64 `json:"rules"`
	Failure   *simFailure       `json:"failure,omitempty"`
	Whole     bool              `json:"complete"` // all seeds that were asked for were run, or one failed
}

func (g *globals) simRun(parent context.Context, f *simRunFlags) error {
	w, err := loadScenarios(f.scenarios)
	if err != nil {
		return err
	}
	g.lessGarbage()
	ctx, cancel := context.WithCancel(parent)
	if f.limit > 0 {
		ctx, cancel = context.WithTimeout(parent, f.limit)
	}
	defer cancel()
	p := newSimProgress(g)
	m := sim.Many{From: f.from, Seeds: f.seeds, Jobs: f.jobs, On: f.keepGoing, Run: g.simulate, Each: p.each,
		Draw: func(seed uint64) *sim.Plan { return sim.Draw(seed, w.pick(seed)) }}
	t := m.Do(ctx)
	took := p.close()

	s := summarizeSim(&t, f.from, w, took)
	interrupted := parent.Err() != nil && t.First == nil
	s.Whole = t.First != nil || ctx.Err() == nil
	if t.First != nil {
		seed := t.First.Seed
		s.Failure = g.explainFailure(w, seed, sim.Draw(seed, w.pick(seed)), &t.First.Result, f.noShrink)
	}
	if err := g.writeSim(s, func() { g.simText(s) }); err != nil {
		return err
	}
	switch {
	case t.First != nil:
		return &ExitError{Code: ExitBad}
	case interrupted:
		return context.Canceled
	case s.Seeds == 0:
		return &ExitError{Code: ExitFailed, Err: errors.New("no seed was run to its end in that time"), Hint: "Give it longer with --for."}
	}
	return nil
}

func summarizeSim(t *sim.Tally, from uint64, w *simWorld, took time.Duration) *simSummary {
	st := &t.Stats
	return &simSummary{Seeds: st.Seeds, From: from, Scenarios: w.names, Simulated: float64(st.Virtual) / 1e9, Seconds: took.Seconds(),
		Faults: st.Faults, Messages: st.Messages, Frames: st.Frames, Acks: st.Acks, Commits: st.Commits, Crashes: st.Crashes,
		Breaches: t.Breaches, Rules: t.Rules}
}

// simText is the summary for a person.
func (g *globals) simText(s *simSummary) {
	verdict := paint(g.colored, good, "no promise was broken")
	if s.Breaches > 0 {
		n := uint64(0)
		for _, c := range s.Rules {
			n += c
		}
		verdict = paint(g.colored, bad, plural(int(n), "run")+" broke a promise")
	}
	fmt.Fprintf(g.stdout, "%s from %d: %s simulated in %s, %s, %s (%s a second), %s, %s: %s\n",
		count(int64(s.Seeds), "seed"), s.From, hours(s.Simulated), sim.SpanText(int64(s.Seconds*1e9)),
		count(s.Faults, "fault"), count(s.Messages, "message"), grouped(int64(float64(s.Messages)/max(s.Seconds, 0.001))),
		count(s.Commits, "commit"), count(s.Crashes, "crash"), verdict)
	if s.Failure != nil {
		g.failureText(s.Failure)
	}
}

// writeSim writes v in the format of --output, or calls text for a person.
func (g *globals) writeSim(v any, text func()) error {
	switch g.output {
	case "json", "jsonl", "yaml":
		return g.writeObject(v)
	}
	var b bytes.Buffer
	out := g.stdout
	g.stdout = &b
	text()
	g.stdout = out
	_, err := out.Write(b.Bytes())
	return err
}

// hours is simulated time.
func hours(seconds float64) string {
	if seconds < 2*3600 {
		return sim.SpanText(int64(seconds * 1e9))
	}
	return grouped(int64(seconds/3600)) + " h"
}

// count is a number with its noun.
func count(n int64, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case what == "crash":
		return grouped(n) + " crashes"
	}
	return grouped(n) + " " + what + "s"
}

// grouped writes a number with a comma before every three digits.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
