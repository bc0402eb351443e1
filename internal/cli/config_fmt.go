package cli

import (
	"bytes"
	"errors"

	"github.com/spf13/cobra"

	"lessor/internal/config"
)

func newConfigFmt(g *globals) *cobra.Command {
	write := false
	c := &cobra.Command{
		Use:   "fmt [FILE]",
		Short: "Lay a configuration out in the usual way",
		Long: `Print a configuration in its usual layout: two spaces for each level, lists indented
below their key, no tabs, at most one blank line. Keys keep their order, and comments,
quotes and flow style stay as they are: the file means what it did. A file that is
refused only because it is indented with tabs is repaired.

"-" reads standard input; without FILE it is the file of --config. With -w the file is
written, all of it or nothing, and only if something changes.

Exit codes: 0 done, 3 the file is not YAML, 4 it may not be written, 5 there is no file.`,
		Example: "  lessor config fmt\n  lessor config fmt -w /etc/lessor/lessor.yaml\n  lessor config fmt - < new.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return formatConfig(g, args, write)
		},
	}
	c.Flags().BoolVarP(&write, "write", "w", false, "write the file instead of standard output")
	return c
}

func formatConfig(g *globals, args []string, write bool) error {
	t, err := g.readConfig(args)
	if err != nil {
		return err
	}
	if write && t.path == "-" {
		return &ExitError{Code: ExitUsage, Err: errors.New("standard input cannot be written with -w"), Hint: "Leave out -w: the result goes to standard output."}
	}
	out, problems := config.Format(t.name, t.data)
	switch {
	case problems != nil:
		return g.refuseConfig(problems, ExitBad)
	case !write:
		_, err := g.stdout.Write(out)
		return err
	case bytes.Equal(out, t.data):
		g.say("%s is in its usual layout already", t.path)
		return nil
	}
	if err := t.replace(out); err != nil {
		return err
	}
	g.say("%s written", t.path)
	return nil
}
