package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	runner "lessor/internal/client/run"
)

const clientStatusLong = `Tell how running clients are: the state and why, the address, until when, and what the
server told. With an interface it shows all of one client, without one a line for
each that runs.

--watch goes on and shows what happens: a screen on a terminal, one JSON object a line
elsewhere or with -o jsonl. Exit code 4 says that no client runs.`

func newClientStatus(g *globals, control *string) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:               "status [IFACE]",
		Short:             "Tell how running clients are",
		Long:              clientStatusLong,
		Example:           "  lessor client status\n  lessor client status eth0 -o json\n  lessor client status eth0 --watch",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeClients(g),
		RunE: func(cmd *cobra.Command, args []string) error {
			ifname := ""
			if len(args) > 0 {
				ifname = args[0]
			}
			if watch {
				return g.watchClient(cmd.Context(), ifname, *control)
			}
			return g.clientStatus(cmd.Context(), ifname, *control)
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on and show what happens")
	return cmd
}

// clientCommand is what a running client can be told.
type clientCommand struct {
	name, short, long string
	done              string // what became of it
}

var clientCommands = []clientCommand{
	{"renew", "Extend the lease now", `Ask the server to extend the lease now, without waiting for half of its time; after a
"client release", begin anew. It does not wait for the answer: "client status --watch" shows it.`, "renewing"},
	{"rebind", "Extend the lease now, by any server", `Ask all servers to extend the lease now, without waiting for seven eighths of its time.
It does not wait for the answer: "client status --watch" shows it.`, "rebinding"},
	{"release", "Give the address back", `Take the address off the interface and give it back to the server. The client stays and
waits for "client renew".`, "released"},
	{"stop", "End the client", `End the client: the interface is as it was before. The lease is not given back; the next
start asks for the same address. "client release" before it gives the address back.`, "stopped"},
}

func newClientCommand(g *globals, c clientCommand, control *string) *cobra.Command {
	return &cobra.Command{
		Use:               c.name + " [IFACE]",
		Short:             c.short,
		Long:              c.long + "\n\nIFACE may be left out where one client runs.",
		Example:           "  sudo lessor client " + c.name + " eth0",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeClients(g),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), g.timeout)
			defer cancel()
			ifname := ""
			if len(args) > 0 {
				ifname = args[0]
			}
			path, err := g.oneClient(ctx, ifname, *control)
			if err != nil {
				return err
			}
			s, err := runner.Command(ctx, path, c.name)
			if err != nil {
				return askClientError(err, ifname)
			}
			fmt.Fprintf(g.stdout, "client/%s %s\n", printable(s.Interface), c.done)
			return nil
		},
	}
}

// askClientError gives an error of asking a client its exit code.
func askClientError(err error, ifname string) error {
	on, start := "", "Start one: sudo lessor client eth0"
	if ifname != "" {
		on, start = " on "+ifname, "Start one: sudo lessor client "+ifname
	}
	switch {
	case errors.Is(err, runner.ErrNoClient):
		return &ExitError{Code: ExitNoAccess, Err: fmt.Errorf("no client is running%s", on), Hint: start + "; or name its socket with --control."}
	case errors.Is(err, runner.ErrNoAccess):
		return &ExitError{Code: ExitNoAccess, Err: err, Hint: "Try it with sudo."}
	case errors.Is(err, runner.ErrRefused):
		return &ExitError{Code: ExitConflict, Err: err, Hint: "How it is: lessor client status" + strings.TrimPrefix(on, " on")}
	case errors.Is(err, context.DeadlineExceeded):
		return &ExitError{Code: ExitNoAccess, Err: errors.New("the client did not answer in time"), Hint: "Give it longer with --timeout."}
	}
	return err
}

// clientPaths are the sockets to ask: the one of --control, that of an interface, or all
// that are there, of this user and of the system. --connect names a server's.
func (g *globals) clientPaths(ifname, control string) ([]string, error) {
	if control != "" {
		return []string{control}, nil
	}
	var paths []string
	dirs := slices.Compact([]string{g.clientSockets(), systemClients})
	if ifname != "" {
		if err := interfaceName(ifname); err != nil {
			return nil, err
		}
		for _, dir := range dirs {
			path := filepath.Join(dir, ifname+".sock")
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				return []string{path}, nil
			}
		}
		return nil, askClientError(runner.ErrNoClient, ifname)
	}
	for _, dir := range dirs {
		found, err := filepath.Glob(filepath.Join(dir, "*.sock"))
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	return paths, nil
}

// askClients asks all clients on these sockets; dead sockets are left out. It is an
// error when nobody answers.
func (g *globals) askClients(ctx context.Context, paths []string, ifname string) (all []*runner.Status, alive []string, err error) {
	var first error
	for _, path := range paths {
		s, err := runner.Ask(ctx, path)
		if err == nil {
			all, alive = append(all, s), append(alive, path)
		} else if first == nil || errors.Is(first, runner.ErrNoClient) {
			first = err
		}
	}
	switch {
	case len(all) > 0:
		return all, alive, nil
	case first == nil:
		first = runner.ErrNoClient
	}
	return nil, nil, askClientError(first, ifname)
}

// oneClient is the socket of the client that is meant.
func (g *globals) oneClient(ctx context.Context, ifname, control string) (string, error) {
	paths, err := g.clientPaths(ifname, control)
	if err != nil || len(paths) == 1 {
		return strings.Join(paths, ""), err
	}
	all, alive, err := g.askClients(ctx, paths, ifname)
	if err != nil {
		return "", err
	}
	if len(alive) > 1 {
		var names []string
		for _, s := range all {
			names = append(names, printable(s.Interface))
		}
		return "", &ExitError{Code: ExitUsage, Err: errors.New("which client?"), Hint: "There are clients on " + strings.Join(names, ", ") + "; name one of them."}
	}
	return alive[0], nil
}

// clientStatus is lessor client status.
func (g *globals) clientStatus(ctx context.Context, ifname, control string) error {
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	paths, err := g.clientPaths(ifname, control)
	if err != nil {
		return err
	}
	all, _, err := g.askClients(ctx, paths, ifname)
	if err != nil {
		return err
	}
	if ifname != "" || control != "" {
		switch g.output {
		case "json", "jsonl", "yaml":
			return g.writeObject(all[0])
		case "table", "wide":
			return g.writeClient(all[0], time.Now())
		}
	}
	out := newLister(g, clientColumns(g, time.Now()))
	for _, s := range all {
		if err := out.add(s); err != nil {
			return err
		}
	}
	return out.close()
}

// clientColumns are the columns of a list of clients.
func clientColumns(g *globals, now time.Time) []column[*runner.Status] {
	text := func(f func(*runner.Status) string) func(*runner.Status) cell {
		return func(s *runner.Status) cell { return cell{text: f(s)} }
	}
	at := func(f func(*runner.Status) *time.Time) func(*runner.Status) cell {
		return func(s *runner.Status) cell {
			if t := f(s); t != nil {
				return cell{text: g.when(*t, now)}
			}
			return cell{}
		}
	}
	return []column[*runner.Status]{
		{name: "INTERFACE", cell: text(func(s *runner.Status) string { return s.Interface })},
		{name: "STATE", cell: func(s *runner.Status) cell { return cell{s.State, clientStyle(s.State)} }},
		{name: "ADDRESS", cell: text(func(s *runner.Status) string { return s.Address })},
		{name: "SERVER", cell: text(func(s *runner.Status) string { return s.Server })},
		{name: "RENEWS", cell: at(func(s *runner.Status) *time.Time { return s.Renews })},
		{name: "EXPIRES", cell: func(s *runner.Status) cell {
			if s.Address != "" && s.Expires == nil {
				return cell{text: "never"}
			}
			return at(func(s *runner.Status) *time.Time { return s.Expires })(s)
		}},
		{name: "REASON", wide: true, cell: text(func(s *runner.Status) string { return s.Reason })},
		{name: "OBTAINED", wide: true, cell: at(func(s *runner.Status) *time.Time { return s.Obtained })},
		{name: "REBINDS", wide: true, cell: at(func(s *runner.Status) *time.Time { return s.Rebinds })},
	}
}

func clientStyle(state string) style {
	switch state {
	case "bound":
		return good
	case "renewing":
		return plain
	case "rebinding":
		return bad
	}
	return warn
}

// writeObject writes one object as JSON or YAML.
func (g *globals) writeObject(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if g.output != "yaml" {
		_, err = fmt.Fprintf(g.stdout, "%s\n", text)
		return err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return err
	}
	blockStyle(&node)
	out, err := yaml.Marshal(node.Content[0])
	if err != nil {
		return err
	}
	_, err = g.stdout.Write(out)
	return err
}

// writeClient writes all of one client for people.
func (g *globals) writeClient(s *runner.Status, now time.Time) error {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	at := func(name string, t *time.Time) {
		if t != nil {
			row(name, "%s", g.when(*t, now))
		}
	}
	row("interface", "%s", s.Interface)
	fmt.Fprintf(&b, "%-14s %s%s\n", "state", paint(g.colored, clientStyle(s.State), printable(s.State)), printable(because(s.Reason)))
	if s.Address != "" {
		row("address", "%s from %s", s.Address, s.Server)
		at("obtained", s.Obtained)
		at("renews", s.Renews)
		at("rebinds", s.Rebinds)
		at("expires", s.Expires)
		if s.Expires == nil {
			row("expires", "never")
		}
	}
	name := "options"
	for _, key := range sortedKeys(s.Options) {
		text, err := json.Marshal(s.Options[key])
		if err != nil {
			return err
		}
		row(name, "%s %s", key, shorten(strings.Trim(string(text), `"`), 200))
		name = ""
	}
	name = "changes"
	for _, c := range s.Changes[max(0, len(s.Changes)-8):] {
		row(name, "%s %s → %s%s", g.clock(c.At.Local()), stateText(c.From), stateText(c.To), because(c.Reason))
		name = ""
	}
	name = "ignored"
	for _, key := range sortedKeys(s.Ignored) {
		row(name, "%d%s", s.Ignored[key], because(key))
		name = ""
	}
	_, err := fmt.Fprint(g.stdout, b.String())
	return err
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// watchClient is lessor client status --watch.
func (g *globals) watchClient(ctx context.Context, ifname, control string) error {
	path, err := g.oneClient(ctx, ifname, control)
	if err != nil {
		return err
	}
	s, err := runner.Ask(ctx, path)
	if err != nil {
		return askClientError(err, ifname)
	}
	if !g.terminal && g.output == "table" {
		g.output = "jsonl"
	}
	if g.output != "table" && g.output != "jsonl" {
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("--watch cannot write -o %s", g.output), Hint: "-o jsonl writes what happens, one JSON object a line."}
	}
	watched, cancel := context.WithCancel(ctx) // ends too when nobody reads any more
	defer cancel()
	out := newClientOutput(g, s.Interface, cancel)
	out.last = s
	out.start()
	defer out.close()
	err = runner.Watch(watched, path, func(l *runner.Line) error {
		var now *runner.Status
		if l.Event == "state" && g.output == "table" {
			now, _ = runner.Ask(watched, path) // if it has just ended, Watch says so
		}
		out.show(shown{l, now})
		return nil
	})
	if err != nil && watched.Err() == nil {
		return askClientError(err, ifname)
	}
	return ctx.Err() // interrupted; else the client has ended
}
