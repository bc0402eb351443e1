package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// run runs one command line with a tree of its own, extra commands and
// environment included.
func run(t *testing.T, environ []string, extra []func(*globals) *cobra.Command, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	root, g := newRoot()
	var out, errOut bytes.Buffer
	g.stdin, g.stdout, g.stderr, g.environ = strings.NewReader(""), &out, &errOut, environ
	for _, c := range extra {
		root.AddCommand(c(g))
	}
	finish(root)
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&errOut)
	code = report(&errOut, root.Execute(), false)
	return code, out.String(), errOut.String()
}

func TestWrongUseEndsWithTwoAndAHint(t *testing.T) {
	for _, c := range []struct {
		args string
		want []string
	}{
		{"versoin", []string{`no command "versoin"`, `Did you mean "lessor version"?`}},
		{"--no-header version", []string{"unknown flag: --no-header", "Did you mean --no-headers?"}},
		{"version --utcc", []string{"unknown flag: --utcc", "Did you mean --utc?", `"lessor version --help"`}},
		{"version now", []string{`"lessor version" takes no argument, but got "now"`, "usage: lessor version"}},
		{"-o xml version", []string{`"xml"`, "jsonl"}},
		{"--color blue version", []string{`"blue"`, "auto, always or never"}},
		{"--timeout 0s version", []string{"--timeout must be more than zero"}},
		{"--timeout soon version", []string{"invalid argument", "--timeout"}},
		{"group wrong", []string{`"lessor group" has no command "wrong"`, `"lessor group --help"`}},
	} {
		code, stdout, stderr := run(t, nil, []func(*globals) *cobra.Command{testGroup}, strings.Fields(c.args)...)
		if code != ExitUsage {
			t.Errorf("lessor %s: exit code %d, want %d", c.args, code, ExitUsage)
		}
		if stdout != "" {
			t.Errorf("lessor %s: wrote to standard output: %q", c.args, stdout)
		}
		for _, want := range c.want {
			if !strings.Contains(stderr, want) {
				t.Errorf("lessor %s: standard error lacks %q:\n%s", c.args, want, stderr)
			}
		}
	}
}

func testGroup(*globals) *cobra.Command {
	c := &cobra.Command{Use: "group", Short: "A command of commands"}
	c.AddCommand(&cobra.Command{Use: "member", RunE: func(*cobra.Command, []string) error { return nil }})
	return c
}

func TestHelpGoesToStandardOutput(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"help"}, {"version", "--help"}, {"group"}} {
		code, stdout, stderr := run(t, nil, []func(*globals) *cobra.Command{testGroup}, args...)
		if code != ExitOK || stderr != "" || !strings.Contains(stdout, "Usage:") {
			t.Errorf("lessor %q: code %d, stderr %q, stdout %q", args, code, stderr, stdout)
		}
	}
}

// TestEveryCommandExplainsItself walks the real tree.
func TestEveryCommandExplainsItself(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() != "help" && c.Name() != "completion" {
			if c.Short == "" || strings.HasSuffix(c.Short, ".") {
				t.Errorf("%s: the short text is %q; it is to be one phrase without a full stop", c.CommandPath(), c.Short)
			}
			if c.Long == "" {
				t.Errorf("%s has no long help text", c.CommandPath())
			}
			if c.HasParent() && !c.HasSubCommands() && c.Example == "" {
				t.Errorf("%s has no example", c.CommandPath())
			}
			for _, f := range allFlags(c) {
				if f.Usage == "" {
					t.Errorf("%s --%s has no description", c.CommandPath(), f.Name)
				}
			}
			for _, sub := range c.Commands() {
				walk(sub)
			}
		}
	}
	walk(NewRoot())
}

func TestFlagBeatsEnvironment(t *testing.T) {
	environ := []string{"LESSOR_OUTPUT=json", "LESSOR_QUIET=", "OTHER=1"}
	code, stdout, stderr := run(t, environ, nil, "version")
	if code != ExitOK || !json.Valid([]byte(stdout)) {
		t.Errorf("LESSOR_OUTPUT=json: code %d, %q %q", code, stdout, stderr)
	}
	if _, stdout, _ = run(t, environ, nil, "version", "-o", "table"); json.Valid([]byte(stdout)) {
		t.Errorf("-o table did not beat LESSOR_OUTPUT=json: %q", stdout)
	}
	code, _, stderr = run(t, []string{"LESSOR_UTC=maybe"}, nil, "version")
	if code != ExitUsage || !strings.Contains(stderr, `LESSOR_UTC="maybe"`) {
		t.Errorf("LESSOR_UTC=maybe: code %d, stderr %q", code, stderr)
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err         error
		interrupted bool
		code        int
		text        string
	}{
		{nil, false, 0, ""},
		{nil, true, 0, ""},
		{errors.New("no luck"), false, 1, "lessor: no luck\n"},
		{&ExitError{Code: 3}, false, 3, ""},
		{&ExitError{Code: 4, Err: errors.New("no socket"), Hint: "Start one:\nlessor serve"}, false, 4,
			"lessor: no socket\n  Start one:\n  lessor serve\n"},
		{fmt.Errorf("asking: %w", exitf(5, "no lease")), false, 5, "lessor: asking: no lease\n"},
		{fmt.Errorf("asking: %w", context.Canceled), true, 130, ""},
		{fmt.Errorf("asking: %w", context.Canceled), false, 1, "lessor: asking: context canceled\n"},
	} {
		var out bytes.Buffer
		if code := report(&out, c.err, c.interrupted); code != c.code || out.String() != c.text {
			t.Errorf("%v: code %d, text %q; want %d, %q", c.err, code, out.String(), c.code, c.text)
		}
	}
}

func TestColor(t *testing.T) {
	for _, c := range []struct {
		environ string
		flag    string
		want    bool
	}{
		{"TERM=xterm", "auto", false}, // a buffer is no terminal
		{"TERM=xterm CLICOLOR_FORCE=1", "auto", true},
		{"TERM=xterm CLICOLOR_FORCE=1 NO_COLOR=1", "auto", false},
		{"TERM=dumb", "always", true},
		{"TERM=xterm CLICOLOR_FORCE=1", "never", false},
	} {
		g := &globals{color: c.flag, environ: strings.Fields(c.environ)}
		if got := g.wantsColor(&bytes.Buffer{}); got != c.want {
			t.Errorf("%s --color %s: colour is %v, want %v", c.environ, c.flag, got, c.want)
		}
	}
}
