package cli

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the Makefile through the linker; empty in a plain go build.
var version string

// Version returns the version of this binary: what the Makefile recorded, else
// what the Go tool recorded, else "dev".
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

func newVersion(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Long:    "Print the version of this program, and what it was built with.",
		Example: "  lessor version\n  lessor version -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			platform := runtime.GOOS + "/" + runtime.GOARCH
			if g.output == "json" || g.output == "jsonl" {
				return json.NewEncoder(g.stdout).Encode(map[string]string{
					"version": Version(), "go": runtime.Version(), "platform": platform,
				})
			}
			_, err := fmt.Fprintf(g.stdout, "lessor %s (%s, %s)\n", Version(), runtime.Version(), platform)
			return err
		},
	}
}
