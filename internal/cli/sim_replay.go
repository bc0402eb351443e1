package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"lessor/internal/sim"
)

const simReplayLong = `Run one seed again: the same seed of the same version of Lessor gives the same history, and
this command the same output. A run that breaks a promise is shrunk and printed as a timeline
(exit code 3). The last line is a hash of all that happened in the run as it was before.

Name the scenario as "sim run" did; without --scenario the seed runs what it runs there.`

// simTimelineLines is how long a timeline is at most, unless all of it is asked for.
const simTimelineLines = 80

func newSimReplay(g *globals) *cobra.Command {
	var scenarios []string
	var full, noShrink bool
	cmd := &cobra.Command{
		Use:     "replay SEED",
		Short:   "Run one seed again, and tell what happened",
		Long:    simReplayLong,
		Example: "  lessor sim replay 4711\n  lessor sim replay 4711 --scenario power --full | less",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			seed, err := parseSeed(args[0])
			if err != nil {
				return err
			}
			w, err := loadScenarios(scenarios)
			if err != nil {
				return err
			}
			return g.simReplay(w, seed, full || g.verbose, noShrink)
		},
	}
	cmd.Flags().StringArrayVar(&scenarios, "scenario", nil, "`name` or file of a scenario, as for \"sim run\"")
	cmd.Flags().BoolVar(&full, "full", false, "print the whole timeline, also of a run in which nothing failed")
	cmd.Flags().BoolVar(&noShrink, "no-shrink", false, "print a failing run as it was")
	_ = cmd.RegisterFlagCompletionFunc("scenario", completeScenarios)
	return cmd
}

// simReplayed is what a replayed seed did.
type simReplayed struct {
	Seed      uint64      `json:"seed"`
	Scenario  string      `json:"scenario"`
	Simulated float64     `json:"simulated-seconds"`
	Faults    int64       `json:"faults"`
	Messages  int64       `json:"messages"`
	Acks      int64       `json:"acks"`
	Commits   int64       `json:"commits"`
	Crashes   int64       `json:"crashes"`
	Failure   *simFailure `json:"failure,omitempty"`
	Timeline  []string    `json:"timeline,omitempty"`
	Hash      string      `json:"hash"`
}

func (g *globals) simReplay(w *simWorld, seed uint64, full, noShrink bool) error {
	g.lessGarbage()
	plan := sim.Draw(seed, w.pick(seed))
	tl := sim.NewTimeline()
	r := sim.Guarded(g.simulate, plan, tl.Entry)
	st := &r.Stats
	out := &simReplayed{Seed: seed, Scenario: w.called(seed), Simulated: float64(st.Virtual) / 1e9, Faults: st.Faults,
		Messages: st.Messages, Acks: st.Acks, Commits: st.Commits, Crashes: st.Crashes, Hash: fmt.Sprintf("%x", r.Hash)}
	var lines []sim.Line
	if r.Rule != "" {
		out.Failure = g.explainFailure(w, seed, plan, &r, noShrink)
		if full {
			out.Failure.most = 0
		}
	} else if full {
		tl.End(&r)
		lines = tl.Lines(0)
		out.Timeline = plainLines(lines)
	}
	err := g.writeSim(out, func() {
		g.printLines(lines)
		fmt.Fprintf(g.stdout, "seed %d, scenario %s: %s simulated, %s, %s, %s, %s\n", seed, printable(out.Scenario), hours(out.Simulated),
			count(st.Faults, "fault"), count(st.Messages, "message"), count(st.Commits, "commit"), count(st.Crashes, "crash"))
		if out.Failure != nil {
			g.failureText(out.Failure)
		} else {
			fmt.Fprintln(g.stdout, paint(g.colored, good, "no promise was broken"))
		}
		fmt.Fprintf(g.stdout, "hash %s\n", out.Hash)
	})
	if err == nil && r.Rule != "" {
		return &ExitError{Code: ExitBad}
	}
	return err
}

// simFailure is a broken promise and the smallest run that breaks it.
type simFailure struct {
	Seed     uint64   `json:"seed"`
	Scenario string   `json:"scenario"`
	Rule     string   `json:"rule"`
	Breaches []string `json:"breaches"`
	Shrunk   string   `json:"shrunk,omitempty"`
	Timeline []string `json:"timeline"`
	Replay   string   `json:"replay"`

	timeline *sim.Timeline
	most     int // lines
}

// explainFailure makes the failing run small, and tells it.
func (g *globals) explainFailure(w *simWorld, seed uint64, plan *sim.Plan, r *sim.Result, noShrink bool) *simFailure {
	f := &simFailure{Seed: seed, Scenario: w.called(seed), Rule: r.Rule, Breaches: r.Breaches, Replay: w.replayCommand(seed), most: simTimelineLines}
	if !noShrink {
		if isTerminal(g.stderr) && !g.quiet {
			fmt.Fprintf(g.stderr, "seed %d breaks %s; shrinking it …\x1b[K\r", seed, r.Rule)
			defer fmt.Fprint(g.stderr, "\x1b[K")
		}
		s := sim.Shrink(g.simulate, plan, sim.MaxShrinkRuns)
		if s.Result.Rule == r.Rule {
			plan, f.Shrunk = s.Plan, s.String()
		} else {
			f.Shrunk = "not possible: the same seed did something else the second time, which is a fault of the simulator"
		}
	}
	f.timeline = sim.NewTimeline()
	again := sim.Guarded(g.simulate, plan, f.timeline.Entry)
	f.timeline.End(&again)
	f.Timeline = plainLines(f.timeline.Lines(0))
	return f
}

// failureText is the failure for a person.
func (g *globals) failureText(f *simFailure) {
	fmt.Fprintf(g.stdout, "\n%s\n", paint(g.colored, bad, fmt.Sprintf("seed %d, scenario %s breaks %s", f.Seed, printable(f.Scenario), f.Rule)))
	for _, b := range f.Breaches {
		fmt.Fprintf(g.stdout, "  %s\n", printable(b))
	}
	if f.Shrunk != "" {
		fmt.Fprintf(g.stdout, "shrunk: %s\n", f.Shrunk)
	}
	fmt.Fprintln(g.stdout)
	g.printLines(f.timeline.Lines(f.most))
	fmt.Fprintf(g.stdout, "\nagain: %s\n", f.Replay)
}

func (g *globals) printLines(lines []sim.Line) {
	_ = sim.Print(g.stdout, lines, g.width, func(t sim.Tone, s string) string { return paint(g.colored, toneStyle[t], s) })
}

var toneStyle = [...]style{sim.ToneTalk: plain, sim.ToneFaint: dim, sim.ToneGood: good, sim.ToneFault: warn, sim.ToneBreach: bad, sim.ToneGap: dim}

// plainLines are lines as text, each as long as it is.
func plainLines(lines []sim.Line) []string {
	var b strings.Builder
	_ = sim.Print(&b, lines, 0, nil)
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}
