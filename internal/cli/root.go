// Package cli is the command line: one file for each subcommand. Standard output
// carries data, standard error carries talk; a pipe gets no colour and no
// relative times; exit codes are those of exit.go.
package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"lessor/internal/sim"
)

// commands makes the subcommands of lessor. A file that brings one adds its
// constructor here.
var commands = []func(*globals) *cobra.Command{
	newClient,
	newConfig,
	newDissect,
	newErrorID,
	newExplain,
	newHistory,
	newLab,
	newLeases,
	newRelay,
	newReservations,
	newServe,
	newSim,
	newStatus,
	newVerify,
	newVersion,
}

const rootLong = `Lessor gives DHCPv4 addresses to the hosts of a network and never forgets a lease:
an acknowledgement leaves the machine only when the lease is on disk. Its client holds
such an address for as long as the lease lasts, and not longer.

  sudo lessor serve --interface eth0    serve that interface's own subnet, without a file
  lessor leases                         who has which address now
  sudo lessor client eth0               get an address for an interface, and keep it
  lessor lab                            see both work in a private network of their own

Every flag can also be given in the environment: --no-headers is LESSOR_NO_HEADERS,
--config is LESSOR_CONFIG. A flag beats the environment, the environment beats the
configuration file.`

// NewRoot returns the whole command tree, reading from standard input and
// writing to standard output and standard error unless told otherwise.
func NewRoot() *cobra.Command {
	root, _ := newRoot()
	return root
}

func newRoot() (*cobra.Command, *globals) {
	g := &globals{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), simulate: sim.Live}
	root := &cobra.Command{
		Use:           "lessor",
		Short:         "A DHCPv4 server that never forgets a lease, and a client",
		Long:          rootLong,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return g.settle(cmd)
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, err) })
	g.register(root)
	for _, newCommand := range commands {
		root.AddCommand(newCommand(g))
	}
	finish(root)
	return root, g
}

// Main runs the command line args (without the program's name) and returns the
// exit code. Interrupt and SIGTERM end the context of the command that runs; a
// second one ends the process at once.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
			signal.Stop(signals) // the next one has its usual effect
			cancel()
		case <-ctx.Done():
		}
	}()

	root, g := newRoot()
	g.stdin, g.stdout, g.stderr = stdin, stdout, stderr
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	return report(stderr, err, ctx.Err() != nil)
}
