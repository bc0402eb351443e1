package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/colorprofile"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"lessor/internal/sim"
)

// Defaults of paths, shared by the commands that serve and the commands that ask.
const (
	DefaultConfig = "/etc/lessor/lessor.yaml"
)

// outputs are the values of --output.
var outputs = []string{"table", "wide", "json", "jsonl", "yaml", "csv"}

// globals are the flags that every command has, and the streams it talks to. The
// fields are settled before a command's RunE is called.
type globals struct {
	config    string
	connect   string
	output    string
	noHeaders bool
	utc       bool
	color     string
	quiet     bool
	verbose   bool
	timeout   time.Duration

	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string   // KEY=value, as os.Environ
	simulate       sim.Runner // what "lessor sim" runs plans with

	configSet bool // --config or LESSOR_CONFIG was given
	terminal  bool // stdout is a terminal
	colored   bool // stdout takes colour
	errColor  bool // stderr takes colour
	width     int  // columns of the terminal; 0: unknown, do not truncate
}

// register defines the global flags on the root command.
func (g *globals) register(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVarP(&g.config, "config", "c", DefaultConfig, "configuration `file`")
	f.StringVar(&g.connect, "connect", "", "control `socket` of the server to ask (default: the local server's)")
	f.StringVarP(&g.output, "output", "o", "table", "`format` of lists: "+strings.Join(outputs, "|"))
	f.BoolVar(&g.noHeaders, "no-headers", false, "print tables and CSV without the header line")
	f.BoolVar(&g.utc, "utc", false, "print times in UTC instead of local time")
	f.StringVar(&g.color, "color", "auto", "`when` to use colour: auto|always|never")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "print only data and errors")
	f.BoolVarP(&g.verbose, "verbose", "v", false, "say more about what is done")
	f.DurationVar(&g.timeout, "timeout", 10*time.Second, "how long to wait for a server's answer")
}

// settle fills flags from the environment, checks the values that all commands
// share, and looks at the terminal.
func (g *globals) settle(cmd *cobra.Command) error {
	if err := applyEnvironment(cmd, g.environ); err != nil {
		return err
	}
	g.configSet = cmd.Flags().Changed("config")
	if !slices.Contains(outputs, g.output) {
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("no output format is called %q", g.output),
			Hint: "Formats: " + strings.Join(outputs, ", ") + "."}
	}
	if !slices.Contains([]string{"auto", "always", "never"}, g.color) {
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("--color cannot be %q", g.color),
			Hint: "Write auto, always or never."}
	}
	if g.timeout <= 0 {
		return exitf(ExitUsage, "--timeout must be more than zero, not %v", g.timeout)
	}
	if f, ok := g.stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		g.terminal = true
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			g.width = w
		}
	}
	g.colored = g.wantsColor(g.stdout)
	g.errColor = g.wantsColor(g.stderr)
	return nil
}

// wantsColor reports whether w is to be written to in colour. Without a word on
// the command line NO_COLOR, CLICOLOR, CLICOLOR_FORCE and TERM decide.
func (g *globals) wantsColor(w io.Writer) bool {
	switch g.color {
	case "always":
		return true
	case "never":
		return false
	}
	if slices.ContainsFunc(g.environ, func(kv string) bool {
		return strings.HasPrefix(kv, "NO_COLOR=") && kv != "NO_COLOR="
	}) {
		return false // also against CLICOLOR_FORCE
	}
	return colorprofile.Detect(w, g.environ) >= colorprofile.ANSI
}

// say writes a line for the person at the terminal, unless --quiet.
func (g *globals) say(format string, args ...any) {
	if !g.quiet {
		fmt.Fprintf(g.stderr, format+"\n", args...)
	}
}

// allFlags lists the flags that cmd accepts, its own and the global ones.
func allFlags(cmd *cobra.Command) []*pflag.Flag {
	var all []*pflag.Flag
	cmd.Flags().VisitAll(func(f *pflag.Flag) { all = append(all, f) })
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(all, f) {
			all = append(all, f)
		}
	})
	return all
}

// environmentName is the variable that stands for a flag: LESSOR_NO_HEADERS for
// --no-headers.
func environmentName(flag string) string {
	return "LESSOR_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// applyEnvironment sets every flag of cmd that the command line did not set and
// the environment does. An empty variable counts as not set.
func applyEnvironment(cmd *cobra.Command, environ []string) error {
	vars := make(map[string]string)
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(k, "LESSOR_") && v != "" {
			vars[k] = v
		}
	}
	for _, f := range allFlags(cmd) {
		name := environmentName(f.Name)
		value, ok := vars[name]
		if !ok || f.Changed || f.Name == "help" {
			continue
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			return &ExitError{Code: ExitUsage, Err: fmt.Errorf("%s=%q: %w", name, value, err),
				Hint: fmt.Sprintf("Unset %s, or give it a value that --%s takes.", name, f.Name)}
		}
	}
	return nil
}
