package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/relay"
	"lessor/internal/template"
)

const relayLong = `Relay DHCP between the clients of interfaces and servers elsewhere. Each request
goes to every server; giaddr, the address of the client's interface, says which subnet it is
in. Answers go to their client without an ARP entry, by broadcast where it asks for that.

With --circuit-id, --remote-id or --subscriber-id requests get an option 82, which is taken off
the answers. The texts may have ${interface}, ${interface-hw-address}, ${interface-address},
${subnet}, ${giaddr}, ${hw-address} (the client's) and ${hostname} (this host's). A request
that brings an option 82 is dropped, unless its interface is named with --trust; then --option-82
says what becomes of it. With --link-selection option 82 names the subnet, so that --giaddr may be
any address of this host.

An interface that is missing, down or without an address is waited for. With a file (docs/relay.md)
SIGHUP reads it again; one with errors is refused and the one before stays in force. On a terminal
the counters are written every ten seconds.

It needs CAP_NET_RAW and CAP_NET_BIND_SERVICE, or root.`

// relayFlags are the flags of lessor relay.
type relayFlags struct {
	downstream, servers, trust        []string
	circuitID, remoteID, subscriberID string
	giaddr, policy                    string
	selection, check                  bool
	maxHops, sourcePort               int
	control, logFormat, logLevel      string
}

// relayOwn are the flags that a file says.
var relayOwn = []string{"downstream", "server", "trust", "circuit-id", "remote-id", "subscriber-id", "giaddr", "link-selection", "option-82", "max-hops", "source-port"}

func newRelay(g *globals) *cobra.Command {
	var f relayFlags
	cmd := &cobra.Command{
		Use:   "relay",
		Short: "Relay between clients and servers elsewhere",
		Long:  relayLong,
		Example: "  sudo lessor relay --downstream eth1 --server 192.0.2.1\n" +
			"  sudo lessor relay --downstream eth1 --downstream eth2 --server 192.0.2.1 --circuit-id '${interface}'\n" +
			"  sudo lessor relay -c /etc/lessor/relay.yaml\n  lessor relay status",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, g) },
	}
	fs := cmd.Flags()
	fs.StringArrayVar(&f.downstream, "downstream", nil, "`interface` with clients (may be repeated)")
	fs.StringArrayVar(&f.servers, "server", nil, "`address` of a DHCP server (may be repeated: each gets every request)")
	fs.StringArrayVar(&f.trust, "trust", nil, "`interface` whose requests may bring an option 82 (may be repeated)")
	fs.StringVar(&f.circuitID, "circuit-id", "", "`text` of sub-option 1 of option 82, such as '${interface}'")
	fs.StringVar(&f.remoteID, "remote-id", "", "`text` of sub-option 2 of option 82")
	fs.StringVar(&f.subscriberID, "subscriber-id", "", "`text` of sub-option 6 of option 82")
	fs.StringVar(&f.giaddr, "giaddr", "", "`address` of this host to write into giaddr (default: the first of the interface)")
	fs.BoolVar(&f.selection, "link-selection", false, "let option 82 name the client's subnet, and clients renew through this agent (RFC 3527, RFC 5107)")
	fs.StringVar(&f.policy, "option-82", "forward", "`policy` for an option 82 that is there: "+strings.Join(relay.PolicyNames(), "|"))
	fs.IntVar(&f.maxHops, "max-hops", relay.DefaultMaxHops, "drop requests that passed more than this `number` of relay agents")
	fs.IntVar(&f.sourcePort, "source-port", dhcp4.ServerPort, "UDP `port` towards the servers (RFC 8357)")
	fs.BoolVar(&f.check, "check", false, "check the configuration, print what would be relayed, and end")
	fs.StringVar(&f.logFormat, "log-format", "auto", "`format` of the log: auto|text|json (auto: text on a terminal)")
	fs.StringVar(&f.logLevel, "log-level", "info", "least `level` of the log: debug|info|warn|error")
	cmd.PersistentFlags().StringVar(&f.control, "control", "", "control `socket` of the relay agent (default /run/lessor-relay/control.sock, or the user's own)")
	for _, name := range []string{"downstream", "trust"} {
		if err := cmd.RegisterFlagCompletionFunc(name, completeInterfaceFlag); err != nil {
			panic(err) // it is defined above
		}
	}
	cmd.AddCommand(newRelayStatus(g, &f.control))
	return cmd
}

// run is lessor relay.
func (f *relayFlags) run(cmd *cobra.Command, g *globals) error {
	syscall.Umask(0o077)
	handler, err := (&serveFlags{logFormat: f.logFormat, logLevel: f.logLevel}).logHandler(g)
	if err != nil {
		return err
	}
	d := &relayDaemon{g: g, f: f, handler: handler}
	given := slices.DeleteFunc(slices.Clone(relayOwn), func(name string) bool { return !cmd.Flags().Changed(name) })
	switch {
	case !g.configSet && len(given) == 0:
		return &ExitError{Code: ExitUsage, Err: errors.New("which interfaces, and which servers?"),
			Hint: "Write lessor relay --downstream eth1 --server 192.0.2.1, or name a file with -c."}
	case g.configSet && len(given) > 0:
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("--%s and --config exclude each other", given[0]),
			Hint: "Write it into the file, or leave the file out."}
	case g.configSet:
		d.file = g.config
		c, problems := config.LoadRelay(g.config)
		writeProblems(g, problems)
		if c == nil {
			return &ExitError{Code: ExitUsage} // everything has been said
		}
		d.conf = *c
	default:
		if d.conf, err = f.config(); err != nil {
			return err
		}
	}
	if d.conf.HostName, err = os.Hostname(); err != nil {
		return err
	}
	if f.check {
		return d.summary(g.stdout)
	}
	return d.run(cmd.Context())
}

// config is what the flags say.
func (f *relayFlags) config() (c relay.Config, err error) {
	usage := func(flag string, err error) error {
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("--%s: %w", flag, err), Hint: `"lessor relay --help" explains the flags.`}
	}
	switch {
	case len(f.downstream) == 0:
		return c, usage("downstream", errors.New("which interfaces have clients?"))
	case len(f.servers) == 0:
		return c, usage("server", errors.New("which servers are there?"))
	case f.maxHops < 1 || f.maxHops > relay.MaxMaxHops:
		return c, usage("max-hops", fmt.Errorf("write a number from 1 to %d, not %d", relay.MaxMaxHops, f.maxHops))
	case f.sourcePort < 1 || f.sourcePort > 0xffff:
		return c, usage("source-port", fmt.Errorf("write a number from 1 to 65535, not %d", f.sourcePort))
	}
	c.MaxHops, c.SourcePort = uint8(f.maxHops), uint16(f.sourcePort)
	var ok bool
	if c.Policy, ok = relay.ParsePolicy(f.policy); !ok {
		return c, usage("option-82", fmt.Errorf("%q is none of %s", f.policy, strings.Join(relay.PolicyNames(), ", ")))
	}
	for _, s := range f.servers {
		a, err := hostAddress(s)
		if err == nil && slices.Contains(c.Servers, a) {
			err = fmt.Errorf("%s is there twice", a)
		}
		if err != nil {
			return c, usage("server", err)
		}
		c.Servers = append(c.Servers, a)
	}
	var d relay.Downstream
	d.LinkSelection = f.selection
	if f.giaddr != "" {
		if d.GIAddr, err = hostAddress(f.giaddr); err != nil {
			return c, usage("giaddr", err)
		}
	}
	for _, t := range []struct {
		flag, text string
		into       *template.Template
	}{{"circuit-id", f.circuitID, &d.CircuitID}, {"remote-id", f.remoteID, &d.RemoteID}, {"subscriber-id", f.subscriberID, &d.SubscriberID}} {
		if *t.into, err = relay.Template(t.text); err == nil && len(t.text) > relay.MaxText {
			err = fmt.Errorf("the text has %d octets, %d are the most", len(t.text), relay.MaxText)
		}
		if err != nil {
			return c, usage(t.flag, err)
		}
	}
	return c, f.interfaces(&c, d, usage)
}

// interfaces adds the interfaces, each like d.
func (f *relayFlags) interfaces(c *relay.Config, d relay.Downstream, usage func(string, error) error) error {
	for _, name := range f.downstream {
		if err := interfaceName(name); err != nil {
			return err
		}
		if slices.ContainsFunc(c.Downstream, func(o relay.Downstream) bool { return o.Name == name }) {
			return usage("downstream", fmt.Errorf("%q is there twice", name))
		}
		d.Name, d.Trusted = name, slices.Contains(f.trust, name)
		c.Downstream = append(c.Downstream, d)
	}
	for _, name := range f.trust {
		if !slices.Contains(f.downstream, name) {
			return usage("trust", fmt.Errorf("%q is not one of --downstream", name))
		}
	}
	for _, fault := range relay.Faults(c) {
		if fault != "" {
			return usage("giaddr", errors.New(fault))
		}
	}
	return nil
}

// hostAddress reads the address of a host.
func hostAddress(text string) (dhcp4.Addr, error) {
	a, err := dhcp4.ParseAddr(text)
	if err == nil && !a.IsUnicastHost() {
		err = fmt.Errorf("%s cannot be the address of a host", a)
	}
	return a, err
}
