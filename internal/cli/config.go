package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"lessor/internal/config"
)

func newConfig(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Check, explain and write configurations",
		Long: `Check a configuration before it is used, print every key there is, or write a first
file. A running server reads its file again on SIGHUP: all of it, or, if there is an
error, nothing.`,
	}
	c.AddCommand(newConfigCheck(g), newConfigReference(g), newConfigInit(g), newConfigSchema(g), newConfigFmt(g), newConfigShow(g), newConfigDiff(g))
	return c
}

func newConfigCheck(g *globals) *cobra.Command {
	lint := false
	c := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say all that is wrong with a configuration",
		Long: `Read a configuration as the server would, and say all that is wrong with it: where,
what, and what to do. "-" reads standard input; without FILE it is the file of --config.

On a terminal each fault is shown with its line; in a pipe it is one line of the form
file:line:column: error: text [id]. With -o json all faults are one JSON array on
standard output.

Exit codes: 0 the server would use it, 3 it would not, or, with --lint, there are warnings.`,
		Example: "  lessor config check\n  lessor config check /tmp/new.yaml --lint\n  lessor config check -o json - < new.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name := g.config
			if len(args) == 1 {
				name = args[0]
			}
			return checkConfig(g, name, lint)
		},
	}
	c.Flags().BoolVar(&lint, "lint", false, "warnings make the answer bad too (exit code 3)")
	return c
}

func checkConfig(g *globals, name string, lint bool) error {
	var cfg *config.Config
	var problems config.Problems
	if name == "-" {
		data, err := io.ReadAll(io.LimitReader(g.stdin, config.MaxFile+1))
		if err != nil {
			return fmt.Errorf("cannot read standard input: %w", err)
		}
		cfg, problems = config.Parse("(standard input)", data)
	} else {
		cfg, problems = config.Load(name)
	}
	bad := cfg == nil || lint && len(problems) > 0
	switch {
	case g.output == "json" || g.output == "jsonl":
		if err := writeProblemsJSON(g, problems); err != nil {
			return err
		}
	default:
		writeProblems(g, problems)
		if err := summarize(g, name, cfg, problems); err != nil {
			return err
		}
	}
	if bad {
		return &ExitError{Code: ExitBad}
	}
	return nil
}

func writeProblemsJSON(g *globals, problems config.Problems) error {
	enc := json.NewEncoder(g.stdout)
	enc.SetEscapeHTML(false)
	if g.output == "json" {
		if problems == nil {
			problems = config.Problems{}
		}
		enc.SetIndent("", "  ")
		return enc.Encode(problems)
	}
	for _, p := range problems {
		if err := enc.Encode(p); err != nil {
			return err
		}
	}
	return nil
}

// summarize prints the last line of a check: "ok, 2 subnets, 351 addresses, 1
// warning", or how many errors there are.
func summarize(g *globals, name string, cfg *config.Config, problems config.Problems) error {
	if cfg == nil {
		g.say("%s: %s", name, plural(len(problems.Errors()), "error"))
		return nil
	}
	if g.quiet {
		return nil
	}
	line := "ok, " + cfg.Summary()
	if n := len(problems.Warnings()); n > 0 {
		line += ", " + plural(n, "warning")
	}
	_, err := fmt.Fprintln(g.stdout, line)
	return err
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func newConfigReference(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "reference",
		Short: "Print a file with every key, its default and what it does",
		Long: `Print a configuration file that has every key there is, each with a comment and, where
there is one, its default. The file is a working one, to copy from.`,
		Example: "  lessor config reference | less\n  lessor config reference | lessor config check -",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(g.stdout, config.Reference())
			return err
		},
	}
}

func newConfigInit(g *globals) *cobra.Command {
	var name, file string
	force := false
	c := &cobra.Command{
		Use:   "init --interface IF",
		Short: "Write a first configuration from an interface",
		Long: `Print the configuration that does what "lessor serve --interface IF" does without a
file: it serves the interface's own subnet, with the upper half of it as pool, the
default gateway as router and this machine's name servers. What was decided, and why,
goes to standard error.`,
		Example: "  lessor config init --interface eth0\n  sudo lessor config init --interface eth0 --file /etc/lessor/lessor.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if name == "" {
				return &ExitError{Code: ExitUsage, Err: errors.New("which interface?"), Hint: "lessor config init --interface eth0"}
			}
			return initConfig(g, name, file, force)
		},
	}
	c.Flags().StringVar(&name, "interface", "", "`name` of the interface to serve")
	c.Flags().StringVar(&file, "file", "", "write to `file` instead of standard output")
	c.Flags().BoolVar(&force, "force", false, "overwrite the file if it exists")
	return c
}

func initConfig(g *globals, name, file string, force bool) error {
	l, err := config.ReadLink(name)
	if errors.Is(err, config.ErrNoInterface) {
		return &ExitError{Code: ExitNotFound, Err: err, Hint: "\"ip link\" lists the interfaces."}
	}
	if err != nil {
		return err
	}
	facts, err := config.ReadFacts(l)
	if err != nil {
		return err
	}
	d, err := config.ForLink(l, facts)
	if err != nil {
		return err
	}
	for _, s := range d.Said {
		g.say("%s", s)
	}
	for _, w := range d.Warnings {
		g.say("warning  %s", w)
	}
	if file == "" {
		_, err = io.WriteString(g.stdout, d.YAML)
		return err
	}
	if err := writeNew(file, d.YAML, force); err != nil {
		return err
	}
	g.say("written  %s; \"sudo lessor serve --config %s\" serves it", file, file)
	return nil
}

// writeNew writes a whole file or none: first beside its place, then onto it.
func writeNew(file, text string, force bool) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	defer os.Remove(tmp.Name()) // gone already when all went well
	_, err = tmp.WriteString(text)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close())
	if err == nil {
		if force {
			err = os.Rename(tmp.Name(), file)
		} else {
			err = os.Link(tmp.Name(), file) // fails if the file exists
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return &ExitError{Code: ExitConflict, Err: fmt.Errorf("%s exists already", file), Hint: "Choose another name, or overwrite it with --force."}
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	return nil
}
