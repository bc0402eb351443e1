package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"lessor/internal/spell"
)

// Exit codes, the same for every command.
const (
	ExitOK          = 0   // done
	ExitFailed      = 1   // it was tried and failed
	ExitUsage       = 2   // wrong use, or a configuration that is refused at start
	ExitBad         = 3   // it ran, and the answer is bad
	ExitNoAccess    = 4   // no right to do it, or no server to ask
	ExitNotFound    = 5   // what was asked for is not there
	ExitConflict    = 6   // somebody else has it: a port, a state directory, an address
	ExitInterrupted = 130 // ended by the user
)

// ExitError is an error that chooses the exit code. With Err nil the command has
// already said what there was to say, and nothing more is printed.
type ExitError struct {
	Code int
	Err  error
	Hint string // what to do, as a full sentence or a command to type; may be empty
}

// Error returns the text of the wrapped error.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns the wrapped error.
func (e *ExitError) Unwrap() error { return e.Err }

// exitf returns an ExitError with a formatted text.
func exitf(code int, format string, args ...any) *ExitError {
	return &ExitError{Code: code, Err: fmt.Errorf(format, args...)}
}

// report prints err, if there is something to print, and returns the exit code.
func report(stderr io.Writer, err error, interrupted bool) int {
	if err == nil {
		return ExitOK
	}
	if interrupted && errors.Is(err, context.Canceled) {
		return ExitInterrupted
	}
	code, hint := ExitFailed, ""
	var exit *ExitError
	if errors.As(err, &exit) {
		code, hint = exit.Code, exit.Hint
		if exit.Err == nil {
			return code
		}
	}
	fmt.Fprintf(stderr, "lessor: %v\n", err)
	if hint != "" {
		fmt.Fprintf(stderr, "  %s\n", strings.ReplaceAll(hint, "\n", "\n  "))
	}
	return code
}

// flagError says what is wrong with a flag and where the flags are listed.
func flagError(cmd *cobra.Command, err error) error {
	return &ExitError{
		Code: ExitUsage,
		Err:  err,
		Hint: flagHint(cmd, err) + fmt.Sprintf("%q lists the flags.", cmd.CommandPath()+" --help"),
	}
}

// flagHint names the flag that was probably meant, or nothing.
func flagHint(cmd *cobra.Command, err error) string {
	_, name, ok := strings.Cut(err.Error(), "unknown flag: --")
	if !ok {
		return ""
	}
	name, _, _ = strings.Cut(name, "=")
	best, bestDist := "", 3
	for _, f := range allFlags(cmd) {
		if f.Hidden {
			continue
		}
		if d := spell.Distance(name, f.Name); d < bestDist {
			best, bestDist = f.Name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("Did you mean --%s? ", best)
}

// finish goes over the whole tree and makes every misuse of a command end with
// exit code 2 and a hint.
func finish(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		finish(sub)
	}
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		}
		return
	}
	check := cmd.Args
	if check == nil {
		check = cobra.NoArgs
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err == nil {
			return nil
		}
		if _, ok := errors.AsType[*ExitError](err); ok {
			return err
		}
		if strings.HasPrefix(err.Error(), "unknown command") {
			err = fmt.Errorf("%q takes no argument, but got %q", cmd.CommandPath(), args[0])
		}
		return &ExitError{Code: ExitUsage, Err: err, Hint: "usage: " + cmd.UseLine()}
	}
}

// unknownCommand is the error for a subcommand that does not exist.
func unknownCommand(cmd *cobra.Command, name string) error {
	hint := fmt.Sprintf("%q lists the commands.", cmd.CommandPath()+" --help")
	best, bestDist := "", 3
	for _, sub := range cmd.Commands() {
		if !sub.IsAvailableCommand() {
			continue
		}
		for _, known := range append(sub.Aliases, sub.Name()) {
			d := spell.Distance(strings.ToLower(name), known)
			if len(name) >= 3 && strings.HasPrefix(known, strings.ToLower(name)) {
				d = min(d, 1)
			}
			if d < bestDist {
				best, bestDist = sub.Name(), d
			}
		}
	}
	if best != "" {
		hint = fmt.Sprintf("Did you mean %q? ", cmd.CommandPath()+" "+best) + hint
	}
	return &ExitError{
		Code: ExitUsage,
		Err:  fmt.Errorf("%q has no command %q", cmd.CommandPath(), name),
		Hint: hint,
	}
}
