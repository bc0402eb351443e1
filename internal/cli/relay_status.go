package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"lessor/internal/local"
	runner "lessor/internal/relay/run"
)

func newRelayStatus(g *globals, control *string) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Tell how the relay agent is",
		Long:    "Tell which interfaces the running relay agent serves, and how much it relayed and dropped for which reason.",
		Example: "  lessor relay status\n  lessor relay status -o json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return relayStatus(cmd.Context(), g, *control) },
	}
}

func relayStatus(ctx context.Context, g *globals, control string) error {
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	path := g.relaySocket(control)
	if _, err := os.Stat(path); err != nil && control == "" {
		path = systemRelay
	}
	c := local.NewClient(path)
	defer c.Close()
	var s runner.Status
	if err := c.Get(ctx, "GET", "/v1/relay", nil, &s); err != nil {
		return relayAskError(err)
	}
	switch g.output {
	case "json", "jsonl", "yaml":
		return g.writeObject(&s)
	case "csv":
		return writeRelayInterfaces(g, &s)
	}
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	row("relay agent", "lessor %s, pid %d", s.Version, s.PID)
	row("configuration", "%s", s.Config)
	row("servers", "%s", strings.Join(s.Servers, " "))
	row("requests", "%d, to servers %d", s.Requests, s.ToServers)
	row("replies", "%d, to clients %d", s.Replies, s.ToClients)
	for _, kind := range []struct {
		name string
		cs   []runner.Counter
	}{{"dropped", s.Dropped}, {"no option 82", s.Omitted}, {"bad frames", s.Frames}} {
		if len(kind.cs) > 0 {
			row(kind.name, "%s", relayReasons(kind.cs))
		}
	}
	row("lost", "%d in sockets, %d at sending, %d log lines", s.SocketDropped, s.SendFailed, s.LogLost)
	if s.Panics > 0 {
		row("problem", "%d faults in Lessor; the log has the first", s.Panics)
	}
	if _, err := fmt.Fprint(g.stdout, b.String()); err != nil {
		return err
	}
	return writeRelayInterfaces(g, &s)
}

func writeRelayInterfaces(g *globals, s *runner.Status) error {
	text := func(f func(*runner.Interface) string) func(*runner.Interface) cell {
		return func(i *runner.Interface) cell { return cell{text: f(i)} }
	}
	out := newLister(g, []column[*runner.Interface]{
		{name: "INTERFACE", cell: text(func(i *runner.Interface) string { return i.Name })},
		{name: "STATE", cell: text(func(i *runner.Interface) string { return i.State })},
		{name: "ADDRESSES", cell: text(func(i *runner.Interface) string { return strings.Join(i.Addresses, " ") })},
		{name: "GIADDR", cell: text(func(i *runner.Interface) string { return i.GIAddr })},
		{name: "TRUSTED", cell: text(func(i *runner.Interface) string {
			if i.Trusted {
				return "yes"
			}
			return "no"
		})},
	})
	for i := range s.Interfaces {
		if err := out.add(&s.Interfaces[i]); err != nil {
			return err
		}
	}
	return out.close()
}

func relayAskError(err error) error {
	switch {
	case errors.Is(err, local.ErrNobody):
		return &ExitError{Code: ExitNoAccess, Err: err,
			Hint: "Start one: sudo lessor relay --downstream eth1 --server 192.0.2.1; or name its socket with --control."}
	case errors.Is(err, local.ErrNoAccess):
		return &ExitError{Code: ExitNoAccess, Err: err, Hint: "Try it with sudo."}
	case errors.Is(err, context.DeadlineExceeded):
		return &ExitError{Code: ExitNoAccess, Err: errors.New("the relay agent did not answer in time"), Hint: "Give it longer with --timeout."}
	}
	return err
}
