package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"lessor/internal/control"
)

const historyLong = `Tell who had an address, or which addresses a client had, newest first. The client is
named by its hardware address, by its client identifier (id/01:02:...), or by the name
of a client that the server still remembers.

A time is 2026-11-24, "2026-11-24 08:11", 08:11 (today), a full RFC 3339 time, or a
distance into the past such as 2h or 7d.`

func newHistory(g *globals) *cobra.Command {
	var at, from, to, state string
	cmd := &cobra.Command{
		Use:     "history ADDRESS|HW-ADDRESS|NAME",
		Short:   "Tell who had an address at which time",
		Long:    historyLong,
		Example: "  lessor history 192.0.2.52\n  lessor history 192.0.2.52 --at \"2026-11-24 08:11\"\n  lessor history 02:00:5e:10:00:01 --from 7d",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			span, err := historySpan(at, from, to, time.Now())
			if err != nil {
				return err
			}
			return showHistory(cmd.Context(), g, args[0], state, span)
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "only who had it at this `time`")
	cmd.Flags().StringVar(&from, "from", "", "only what ended after this `time`")
	cmd.Flags().StringVar(&to, "to", "", "only what began before this `time`")
	cmd.Flags().StringVar(&state, "store", "", "read the store in this state `directory` instead of asking a server")
	return cmd
}

func showHistory(ctx context.Context, g *globals, who, state string, s control.Span) error {
	a, err := g.ask(ctx, state)
	if err != nil {
		return err
	}
	defer a.close()
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	list, err := a.history(ctx, who, s)
	if err != nil {
		return askError(err)
	}
	out := newLister(g, historyColumns(g))
	for i := range list {
		if err := out.add(&list[i]); err != nil {
			return err
		}
	}
	if err := out.close(); err != nil {
		return err
	}
	if len(list) == 0 {
		return exitf(ExitNotFound, "nothing is recorded of %q", who)
	}
	return nil
}

func historyColumns(g *globals) []column[*control.Possession] {
	text := func(f func(*control.Possession) string) func(*control.Possession) cell {
		return func(p *control.Possession) cell { return cell{text: f(p)} }
	}
	return []column[*control.Possession]{
		{name: "FROM", cell: text(func(p *control.Possession) string { return g.stamp(p.From) })},
		{name: "UNTIL", cell: text(func(p *control.Possession) string {
			switch {
			case p.Running && g.terminal:
				return "now"
			case p.Until == nil:
				return "never"
			}
			return g.stamp(*p.Until)
		})},
		{name: "ADDRESS", cell: text(func(p *control.Possession) string { return p.Address.String() })},
		{name: "CLIENT", cell: text((*control.Possession).Client)},
		{name: "HOST", cell: text(func(p *control.Possession) string { return p.Hostname })},
		{name: "RELAY", cell: text(func(p *control.Possession) string {
			if p.Relay == nil {
				return ""
			}
			return p.Relay.GIAddr.String()
		})},
		{name: "PORT", cell: text(func(p *control.Possession) string {
			if p.Relay == nil {
				return ""
			}
			return p.Relay.CircuitID
		})},
	}
}

// historySpan reads --at, --from and --to.
func historySpan(at, from, to string, now time.Time) (s control.Span, err error) {
	if at != "" {
		if from != "" || to != "" {
			return s, &ExitError{Code: ExitUsage, Err: fmt.Errorf("--at excludes --from and --to")}
		}
		from, to = at, at
	}
	for _, f := range []struct {
		text string
		t    *time.Time
	}{{from, &s.From}, {to, &s.To}} {
		if f.text == "" {
			continue
		}
		if *f.t, err = parseWhen(f.text, now); err != nil {
			return s, err
		}
	}
	if !s.From.IsZero() && !s.To.IsZero() && s.To.Before(s.From) {
		return s, exitf(ExitUsage, "--to lies before --from")
	}
	return s, nil
}

// parseWhen reads a time as people write it, in local time.
func parseWhen(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	if t, err := time.ParseInLocation("15:04", text, now.Location()); err == nil {
		return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, now.Location()), nil
	}
	var days int
	if n, err := fmt.Sscanf(text, "%dd", &days); err == nil && n == 1 && fmt.Sprintf("%dd", days) == text && days >= 0 {
		return now.AddDate(0, 0, -days), nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, &ExitError{Code: ExitUsage, Err: fmt.Errorf("cannot read %q as a time", text),
		Hint: `Write 2026-11-24, "2026-11-24 08:11", 08:11, or a distance into the past such as 2h or 7d.`}
}
