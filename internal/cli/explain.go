package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"lessor/internal/control"
)

const explainLong = `Tell how the server would answer a client, step by step, and why: in which network the
client is, which classes it is in, which reservation is its own, which address it would
get and what was passed over, each option and where it comes from, where the answer would
go and what would be written. Each step names its place in the configuration file.

The server decides as it always does, but only as a trial: nothing changes, nothing is
sent. Without --config the running server is asked; with it the answer is that of a server
which has just begun with this file, and knows the leases of --store, if that is given. Its
interfaces are then taken to have an address in a subnet that fits, unless
--interface-address says which.

The message is made of the flags, or it is taken from a capture (--pcap) or given in
hexadecimal (--hex). By default it is a DISCOVER.

  --message discover     looking for an address; --request names one that it would like
  --message request      accepting the server's offer of --request
  --message init-reboot  back after a restart, with the address of --request
  --message renew        extending the lease of --ciaddr, by unicast
  --message rebind       the same, by broadcast
  --message inform       only asking for options, at --ciaddr
  --message decline      saying that --request is in use
  --message release      giving --ciaddr back

An option is given as --option NAME=VALUE; names and values are those of docs/options.md.
What a relay agent adds is given as --relay, --circuit-id, --remote-id and
--link-selection. A value that begins with 0x is in hexadecimal.

Signs: ✓ it holds, was taken, is sent; ✗ it does not, was passed over, is left out;
· it is only noted. docs/explain.md goes through the ten most common questions.`

// explainFlags are what the message is made of.
type explainFlags struct {
	hw, clientID                      string
	relay, circuit, remote, selection string
	iface                             string
	message, request, ciaddr          string
	options, ask                      []string
	pcap, hex                         string
	packet                            int
	store                             string
	addresses                         []string
	exitCode                          bool
}

// explainer answers a question: a running server, or one that is made for it.
type explainer func(context.Context, *control.Question) (*control.Explanation, error)

func newExplain(g *globals) *cobra.Command {
	f := &explainFlags{}
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Tell how the server would answer a client, and why",
		Long:  explainLong,
		Example: `  lessor explain --hw-address 02:00:5e:10:00:01
  lessor explain --hw-address 02:00:5e:10:00:01 --relay 198.18.8.1 --circuit-id eth1/0/3
  lessor explain --hw-address 02:00:5e:10:00:01 --message renew --ciaddr 192.0.2.77
  lessor explain --hw-address 02:00:5e:10:00:01 --option vendor-class-identifier=PXEClient
  lessor explain --pcap trouble.pcap --packet 3
  lessor explain --config new.yaml --hw-address 02:00:5e:10:00:01 --exit-code`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask, done, err := f.explainer(cmd.Context(), g)
			if err != nil {
				return err
			}
			defer done()
			return f.run(cmd.Context(), g, ask)
		},
	}
	f.register(cmd)
	return cmd
}

func (f *explainFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.hw, "hw-address", "", "hardware `address` of the client")
	fs.StringVar(&f.clientID, "client-id", "", "client identifier (option 61) in `HEX`, such as 01:02:00:5e:10:00:01")
	fs.StringVar(&f.relay, "relay", "", "`address` of the relay agent that passes the message on (giaddr)")
	fs.StringVar(&f.circuit, "circuit-id", "", "circuit identifier that the relay agent adds: `TEXT` or 0xHEX")
	fs.StringVar(&f.remote, "remote-id", "", "remote identifier that the relay agent adds: `TEXT` or 0xHEX")
	fs.StringVar(&f.selection, "link-selection", "", "`address` of the client's subnet that the relay agent names (RFC 3527)")
	fs.StringVar(&f.iface, "interface", "", "`interface` of the server that the message comes in by (default: the first that fits)")
	fs.StringVar(&f.message, "message", "discover", "`kind` of the message: "+messageKinds())
	fs.StringVar(&f.request, "request", "", "`address` that the client asks for (option 50)")
	fs.StringVar(&f.ciaddr, "ciaddr", "", "`address` that the client has")
	fs.StringArrayVar(&f.options, "option", nil, "the client sends this option: `NAME=VALUE` or CODE=VALUE (may be repeated)")
	fs.StringArrayVar(&f.ask, "request-option", nil, "the client asks for this option: `NAME or code` (may be repeated; default: for whatever there is)")
	fs.StringVar(&f.pcap, "pcap", "", "take the message from this capture `file`: the first of a client, or --packet")
	fs.IntVar(&f.packet, "packet", 0, "take packet number `N` of the capture, as lessor dissect counts them")
	fs.StringVar(&f.hex, "hex", "", "take the message from `HEX`: it alone, or its Ethernet frame or IP packet")
	fs.StringVar(&f.store, "store", "", "with --config: read the leases in this state `directory`")
	fs.StringArrayVar(&f.addresses, "interface-address", nil, "with --config: take an interface to have this address: `NAME=ADDRESS/BITS` (may be repeated)")
	fs.BoolVar(&f.exitCode, "exit-code", false, "end with exit code 3 if the client would not get what it asks for")
	if err := cmd.RegisterFlagCompletionFunc("message", cobra.FixedCompletions(kindNames(), cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // it is defined above
	}
}

// explainer finds who answers. done is to be called in the end.
func (f *explainFlags) explainer(ctx context.Context, g *globals) (ask explainer, done func(), err error) {
	if g.configSet {
		ask, err = f.fromFile(ctx, g)
		return ask, func() {}, err
	}
	if f.store != "" || len(f.addresses) > 0 {
		return nil, nil, &ExitError{Code: ExitUsage, Err: errors.New("--store and --interface-address go with --config"),
			Hint: "Without --config the running server is asked, which has its own leases and interfaces."}
	}
	c := control.NewClient(g.socket())
	return func(ctx context.Context, q *control.Question) (*control.Explanation, error) {
		x, err := c.Explain(ctx, q)
		if errors.Is(err, control.ErrNoServer) {
			return nil, &ExitError{Code: ExitNoAccess, Err: err, Hint: "Name a server with --connect SOCKET, or ask a file: --config lessor.yaml"}
		}
		return x, askError(err)
	}, c.Close, nil
}

func (f *explainFlags) run(ctx context.Context, g *globals, ask explainer) error {
	q, err := f.question(g)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	x, err := ask(ctx, q)
	if err != nil {
		return err
	}
	if err := writeExplanation(g, x); err != nil {
		return err
	}
	if f.exitCode && !x.Gets() {
		return &ExitError{Code: ExitBad}
	}
	return nil
}

func writeExplanation(g *globals, x *control.Explanation) error {
	switch g.output {
	case "json", "jsonl":
		enc := json.NewEncoder(g.stdout)
		enc.SetEscapeHTML(false)
		if g.output == "json" {
			enc.SetIndent("", "  ")
		}
		return enc.Encode(x)
	case "table", "wide":
		_, err := fmt.Fprint(g.stdout, explanationText(x, g.colored))
		return err
	}
	return &ExitError{Code: ExitUsage, Err: fmt.Errorf("explain has no output format %q", g.output), Hint: "Leave it out, or write json or jsonl."}
}
