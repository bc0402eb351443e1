package cli

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"lessor/internal/control"
)

const releaseLong = `End the lease of an address. The client does not know of it and goes on using the
address until it renews; the address is held back from others until the lease would
have ended. With --now it is given to others at once, after an ARP check where that is
possible: only for a client that is known to be gone.`

func newLeasesRelease(g *globals) *cobra.Command {
	var now, yes, dryRun bool
	cmd := &cobra.Command{
		Use:     "release ADDRESS",
		Short:   "End the lease of an address",
		Long:    releaseLong,
		Example: "  lessor leases release 192.0.2.77\n  lessor leases release 192.0.2.77 --now --yes",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return releaseLease(cmd.Context(), g, args[0], now, yes, dryRun)
		},
	}
	cmd.Flags().BoolVar(&now, "now", false, "give the address to others at once")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	return cmd
}

func releaseLease(ctx context.Context, g *globals, text string, now, yes, dryRun bool) error {
	addr, err := addressArg(text)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	c := control.NewClient(g.socket())
	defer c.Close()
	l, err := c.Lease(ctx, addr)
	if err != nil {
		return askError(err)
	}
	who := l.Client()
	if l.Hostname != "" {
		who += " (" + l.Hostname + ")"
	}
	if l.State != "active" && !(now && l.State == "held") {
		return exitf(ExitConflict, "%s is %s: there is no running lease to end", addr, l.State)
	}
	effect := "held back until " + expires(g, &l, time.Now())
	if g.terminal && l.Expires != nil {
		effect = "held back from others until the lease would have ended, " + g.when(*l.Expires, time.Now())
	}
	if now {
		effect = "free for others at once"
	}
	g.say("%s belongs to %s. The client goes on using it until it renews; the address is then %s.", addr, who, effect)
	if dryRun {
		_, err := fmt.Fprintf(g.stdout, "lease/%s released (dry run)\n", addr)
		return err
	}
	if !yes {
		if err := g.confirm("End this lease?"); err != nil {
			return err
		}
	}
	if _, err := c.Release(ctx, addr, now); err != nil {
		return askError(err)
	}
	_, err = fmt.Fprintf(g.stdout, "lease/%s released\n", addr)
	return err
}

// confirm asks a question whose answer is No unless the person says otherwise. A
// script cannot be asked: it must say --yes.
func (g *globals) confirm(question string) error {
	f, ok := g.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("this has to be confirmed, and there is no terminal to ask on"), Hint: "Add --yes if it is meant."}
	}
	fmt.Fprintf(g.stderr, "%s [y/N] ", question)
	line, _ := bufio.NewReader(f).ReadString('\n') // no line is a No
	if a := strings.ToLower(strings.TrimSpace(line)); a != "y" && a != "yes" {
		return exitf(ExitFailed, "not done")
	}
	return nil
}
