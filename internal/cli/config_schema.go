package cli

import (
	"github.com/spf13/cobra"

	"lessor/internal/config"
)

func newConfigSchema(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of a configuration, for editors",
		Long: `Print the JSON Schema (draft 2020-12) of a configuration. Editors complete and check
keys with it while you type. Name it in the first line of the file:

  # yaml-language-server: $schema=/etc/lessor/lessor.schema.json

The schema knows each key and what it takes. Whether the parts of a file fit together
only "lessor config check" says.`,
		Example: "  lessor config schema > /etc/lessor/lessor.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := g.stdout.Write(config.Schema())
			return err
		},
	}
}
