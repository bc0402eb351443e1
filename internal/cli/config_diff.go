package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lessor/internal/config"
)

const configDiffLong = `Compare two configurations and list every subnet, pool, reservation and running lease that
the change affects. What happens to a lease is decided by the functions that the server
decides with: its client moves to a reservation, or is refused at its next renewal because
its address is outside of the pools, excluded, reserved for another, or in no subnet.

NEW is compared with OLD; with one FILE that is compared with the file of --config. "-" is
standard input. The leases are those of the running server, or of the store in --store.

What only a packet tells, such as a class test on an option, cannot be told from a lease:
a client counts as outside of such a class.

Exit codes: 0 done, or, with --exit-code, 3 if something changes for a lease; 3 also when
one of the files has errors; 4 nobody can be asked for the leases; 5 there is no file.`

func newConfigDiff(g *globals) *cobra.Command {
	var state string
	var exitCode, noLeases bool
	c := &cobra.Command{
		Use:     "diff [OLD] NEW",
		Short:   "Say whom a change of the configuration hits",
		Long:    configDiffLong,
		Example: "  lessor config diff new.yaml\n  lessor config diff old.yaml new.yaml --store /var/lib/lessor --exit-code",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				args = []string{g.config, args[0]}
			}
			return diffConfigs(cmd.Context(), g, args[0], args[1], state, noLeases, exitCode)
		},
	}
	c.Flags().StringVar(&state, "store", "", "read the leases in this state `directory` instead of asking a server")
	c.Flags().BoolVar(&noLeases, "no-leases", false, "compare the files only")
	c.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 3 if something changes for a lease")
	return c
}

// configDiff is the whole answer.
type configDiff struct {
	Changes []config.Change `json:"changes"`
	Leases  []*leaseChange  `json:"leases"`
	Summary string          `json:"summary"`
}

func diffConfigs(ctx context.Context, g *globals, from, to, state string, noLeases, exitCode bool) error {
	before, err := g.configOf(from)
	if err != nil {
		return err
	}
	after, err := g.configOf(to)
	if err != nil {
		return err
	}
	d := configDiff{Changes: config.Diff(before, after), Leases: []*leaseChange{}}
	if d.Changes == nil {
		d.Changes = []config.Change{}
	}
	if !noLeases {
		a, err := g.ask(ctx, state)
		if err != nil {
			return err
		}
		defer a.close()
		if d.Leases, err = leaseChanges(ctx, a, before.Policy(), after.Policy()); err != nil {
			return askError(err)
		}
	}
	d.summarize(noLeases)
	if err := d.write(g); err != nil {
		return err
	}
	if exitCode && len(d.Leases) > 0 {
		return &ExitError{Code: ExitBad}
	}
	return nil
}

func (g *globals) configOf(path string) (*config.Config, error) {
	t, err := g.readConfig([]string{path})
	if err != nil {
		return nil, err
	}
	return g.loadConfig(t)
}

// summarize says the most important on one line: "3 leases move, 1 reservation leaves its
// subnet".
func (d *configDiff) summarize(noLeases bool) {
	var moves, ends, stays, leaves, less int
	for _, l := range d.Leases {
		switch {
		case l.MovesTo != 0:
			moves++
		case l.loses():
			ends++
		default:
			stays++
		}
	}
	for _, c := range d.Changes {
		if c.Leaves {
			leaves++
		}
		if c.Less > 0 {
			less++
		}
	}
	var parts []string
	part := func(n int, one, many string) {
		if n == 1 {
			parts = append(parts, "1 "+one)
		} else if n > 1 {
			parts = append(parts, fmt.Sprintf("%d %s", n, many))
		}
	}
	part(moves, "lease moves", "leases move")
	part(ends, "lease ends at its renewal", "leases end at their renewals")
	part(stays, "lease stays that was to end", "leases stay that were to end")
	part(leaves, "reservation leaves its subnet", "reservations leave their subnets")
	part(less, "pool has fewer addresses", "pools have fewer addresses")
	switch {
	case len(parts) > 0:
	case len(d.Changes) == 0:
		parts = append(parts, "no subnet, pool or reservation changes")
	case noLeases:
		parts = append(parts, plural(len(d.Changes), "change"))
	default:
		parts = append(parts, plural(len(d.Changes), "change")+", none for a lease")
	}
	d.Summary = strings.Join(parts, ", ")
}

func (d *configDiff) write(g *globals) error {
	switch g.output {
	case "json", "jsonl":
		enc := json.NewEncoder(g.stdout)
		enc.SetEscapeHTML(false)
		if g.output == "json" {
			enc.SetIndent("", "  ")
		}
		if d.Leases == nil {
			d.Leases = []*leaseChange{}
		}
		return enc.Encode(d)
	case "table", "wide":
	default:
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("config diff has no output format %q", g.output), Hint: "Formats: table, json, jsonl."}
	}
	var b strings.Builder
	marks := map[string]string{"added": paint(g.colored, good, "+"), "removed": paint(g.colored, bad, "-"), "changed": "~", "moved": paint(g.colored, warn, ">")}
	for _, c := range d.Changes {
		fmt.Fprintf(&b, "%s %s %s: %s%s\n", marks[c.Change], c.Kind, c.Name, c.Text, places(c.Before, c.After))
	}
	now := time.Now()
	for _, l := range d.Leases {
		where := ""
		if l.Where != "" {
			where = " (" + l.Where + ")"
		}
		mark := paint(g.colored, bad, "!")
		if !l.loses() {
			mark = paint(g.colored, good, "=")
		}
		fmt.Fprintf(&b, "%s lease %s%s\n", mark, l.text(g, now), where)
	}
	fmt.Fprintln(&b, d.Summary)
	_, err := g.stdout.Write([]byte(b.String()))
	return err
}

// places says where something stood and stands.
func places(before, after string) string {
	switch {
	case before != "" && after != "" && before != after:
		return " (" + before + " -> " + after + ")"
	case before+after != "":
		return " (" + max(before, after) + ")"
	}
	return ""
}
