package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"lessor/internal/config"
)

func newConfigShow(g *globals) *cobra.Command {
	var effective, origin bool
	c := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Print a configuration as it is read, or what is in force",
		Long: `Print a configuration as it is read. With --effective, print for each subnet, pool and
reservation what is in force there: what it sets, what it has from the levels around it,
and defaults. With --origin each value has its place behind it, "# lessor.yaml:7", or
"# default".

What a client class sets goes between a reservation and its pool, and shows under the
class. "-" reads standard input; without FILE it is the file of --config.

Exit codes: 0 done, 3 the file has errors, 4 it may not be read, 5 there is no file.`,
		Example: "  lessor config show --effective --origin\n  lessor config show --effective -o json new.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return showConfig(g, args, effective, origin)
		},
	}
	c.Flags().BoolVar(&effective, "effective", false, "what is in force at each place, inherited values and defaults too")
	c.Flags().BoolVar(&origin, "origin", false, "where each value comes from")
	return c
}

func showConfig(g *globals, args []string, effective, origin bool) error {
	t, err := g.readConfig(args)
	if err != nil {
		return err
	}
	values, problems := config.Show(t.name, t.data, effective)
	if problems != nil {
		return g.refuseConfig(problems, ExitBad)
	}
	enc := json.NewEncoder(g.stdout)
	enc.SetEscapeHTML(false)
	switch g.output {
	case "json":
		enc.SetIndent("", "  ")
		return enc.Encode(leavesOf(values))
	case "jsonl":
		for _, v := range leavesOf(values) {
			if err := enc.Encode(v); err != nil {
				return err
			}
		}
		return nil
	case "table", "yaml", "wide":
		_, err := fmt.Fprint(g.stdout, config.Text(values, origin))
		return err
	}
	return &ExitError{Code: ExitUsage, Err: fmt.Errorf("config show has no output format %q", g.output), Hint: "Formats: table, yaml, json, jsonl."}
}

// leavesOf leaves out the keys above lists and mappings.
func leavesOf(values []config.Shown) []config.Shown {
	out := []config.Shown{}
	for _, v := range values {
		if v.Value != "" {
			out = append(out, v)
		}
	}
	return out
}
