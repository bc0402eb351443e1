package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"lessor/internal/control"
)

const statusLong = `Tell how the running server is: what keeps it from serving well, its interfaces, its
pools, and what was dropped. Exit code 3 says that something is wrong.`

func newStatus(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Tell how the running server is",
		Long:    statusLong,
		Example: "  lessor status\n  lessor status -o json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return showStatus(cmd.Context(), g) },
	}
}

func showStatus(ctx context.Context, g *globals) error {
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	c := control.NewClient(g.socket())
	defer c.Close()
	s, err := c.Status(ctx)
	if err != nil {
		return askError(err)
	}
	if err := writeStatus(g, &s); err != nil {
		return err
	}
	if !s.Healthy {
		return &ExitError{Code: ExitBad}
	}
	return nil
}

func writeStatus(g *globals, s *control.Status) error {
	switch g.output {
	case "json", "jsonl":
		return json.NewEncoder(g.stdout).Encode(s)
	case "yaml":
		text, err := json.Marshal(s)
		if err != nil {
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
	case "csv":
		return writePools(g, s)
	}
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	if s.Healthy {
		row("health", "%s", paint(g.colored, good, "well"))
	}
	for _, p := range s.Problems {
		row("problem", "%s", paint(g.colored, bad, printable(p)))
	}
	row("server", "lessor %s, pid %d", s.Version, s.PID)
	row("configuration", "%s", printable(s.Config))
	row("store", "%s, %d bindings", printable(s.Store), s.Bindings)
	if s.Careful > 0 {
		row("careful", "for another %.0f s: the store was damaged, unknown clients are adopted", s.Careful)
	}
	for _, l := range s.Links {
		row("interface", "%s %s %s", l.Name, l.State, strings.Join(l.Addresses, " "))
	}
	for _, kind := range []struct {
		name string
		cs   []control.Counter
	}{{"received", s.Received}, {"sent", s.Sent}, {"refused", s.Refused}, {"dropped", s.Dropped}, {"alarms", s.Alarms}, {"bad frames", s.Frames}} {
		if len(kind.cs) > 0 {
			row(kind.name, "%s", counterText(kind.cs))
		}
	}
	q := s.Queue
	row("waiting", "%d packets, %d replies; lost: %d in sockets, %d in overload, %d at sending, %d log lines",
		q.Packets, q.Replies, q.SocketDropped, q.Shed, q.SendFailed, q.LogLost)
	if _, err := fmt.Fprint(g.stdout, b.String()); err != nil {
		return err
	}
	return writePools(g, s)
}

func counterText(cs []control.Counter) string {
	parts := make([]string, len(cs))
	for i, c := range cs {
		parts[i] = fmt.Sprintf("%s %d", c.Name, c.Count)
	}
	return strings.Join(parts, ", ")
}

func writePools(g *globals, s *control.Status) error {
	number := func(f func(*control.Pool) uint64) func(*control.Pool) cell {
		return func(p *control.Pool) cell { return cell{text: fmt.Sprint(f(p))} }
	}
	out := newLister(g, []column[*control.Pool]{
		{name: "SUBNET", cell: func(p *control.Pool) cell { return cell{text: p.Subnet} }},
		{name: "POOL", cell: func(p *control.Pool) cell { return cell{text: p.Range} }},
		{name: "SIZE", cell: number(func(p *control.Pool) uint64 { return p.Size })},
		{name: "FREE", cell: number(func(p *control.Pool) uint64 { return p.Free })},
		{name: "OFFERED", cell: number(func(p *control.Pool) uint64 { return p.Offered })},
		{name: "ACTIVE", cell: number(func(p *control.Pool) uint64 { return p.Active })},
		{name: "HELD", cell: number(func(p *control.Pool) uint64 { return p.Held })},
		{name: "DECLINED", cell: number(func(p *control.Pool) uint64 { return p.Declined })},
		{name: "RESERVED", wide: true, cell: number(func(p *control.Pool) uint64 { return p.Reserved })},
		{name: "EXCLUDED", wide: true, cell: number(func(p *control.Pool) uint64 { return p.Excluded })},
	})
	for i := range s.Pools {
		if err := out.add(&s.Pools[i]); err != nil {
			return err
		}
	}
	return out.close()
}
