package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/control"
	"lessor/internal/policy"
)

// editFlags are those of the commands that change reservations.
type editFlags struct {
	dryRun, reload bool
	state          string // directory
}

func (f *editFlags) register(c *cobra.Command) {
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the change of the file and what it means, and do nothing")
	c.Flags().BoolVar(&f.reload, "reload", false, "have the running server read its file again")
	c.Flags().StringVar(&f.state, "store", "", "read the leases in this state `directory` instead of asking a server")
}

const editExits = `
Exit codes: 0 done, 2 it would make the file a bad one, 3 the file has errors already or the
server refuses it, 4 it may not be written, 5 what is named is not there, 6 the address or
the client is taken.`

// keyFlags are the keys of a reservation, as flags.
var keyFlags = []struct{ name, usage string }{
	{"hw-address", "hardware `address` of the client"},
	{"client-id", "client identifier, in hexadecimal `octets` or as 'text' in single quotes"},
	{"duid", "DUID in the client identifier, in hexadecimal `octets`"},
	{"circuit-id", "port of the relay agent or switch: `text`, or octets as 0x0004"},
	{"remote-id", "relay agent or switch: `text`, or octets as 0x0004"},
	{"flex-id", "`value` of the configuration's flex-id"},
}

func newReservationsAdd(g *globals) *cobra.Command {
	var f editFlags
	keys := make([]string, len(keyFlags))
	var hostname, subnet string
	c := &cobra.Command{
		Use:   "add [ADDRESS]",
		Short: "Add a reservation to the configuration file",
		Long: `Add a reservation to the configuration file, behind those that its subnet has, in the form
that they have. Say whose it is with at least one of the flags for keys. Without ADDRESS the
client keeps an address of the pools, and --subnet says in which network it is known.
` + editExits,
		Example: "  lessor reservations add 192.0.2.10 --hw-address 02:00:5e:10:00:01 --hostname printer\n" +
			"  lessor reservations add --subnet office --client-id \"'scanner-7'\" --hostname scanner --dry-run",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var settings []config.Setting
			for i, k := range keyFlags {
				if keys[i] != "" {
					settings = append(settings, config.Setting{Key: k.name, Value: keys[i]})
				}
			}
			if len(settings) == 0 {
				return &ExitError{Code: ExitUsage, Err: errNoKey, Hint: "Add --hw-address or --client-id; \"lessor reservations add --help\" lists the keys."}
			}
			var addr dhcp4.Addr
			if len(args) > 0 {
				var err error
				if addr, err = addressArg(args[0]); err != nil {
					return err
				}
			}
			return addReservation(cmd.Context(), g, &f, settings, addr, hostname, subnet)
		},
	}
	for i, k := range keyFlags {
		c.Flags().StringVar(&keys[i], k.name, "", k.usage)
	}
	c.Flags().StringVar(&hostname, "hostname", "", "host `name` that the client is told (option 12)")
	c.Flags().StringVar(&subnet, "subnet", "", "`name` or prefix of the subnet, where there is no address")
	f.register(c)
	return c
}

func newReservationsRemove(g *globals) *cobra.Command {
	var f editFlags
	c := &cobra.Command{
		Use:   "rm NAME",
		Short: "Take a reservation out of the configuration file",
		Long: `Take a reservation out of the configuration file. NAME is its address, its host name or one
of its keys. Comments above it stay.
` + editExits,
		Example: "  lessor reservations rm printer\n  lessor reservations rm 192.0.2.10 --dry-run",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return removeReservation(cmd.Context(), g, &f, args[0])
		},
	}
	f.register(c)
	return c
}

func newReservationsFrom(g *globals) *cobra.Command {
	var f editFlags
	var by, hostname string
	c := &cobra.Command{
		Use:   "from ADDRESS",
		Short: "Make a reservation of a lease",
		Long: `Reserve an address for the client that has it now. It asks the running server who that is,
or reads the store of a stopped one. The reservation knows the client by its hardware
address unless --by names another key, and has the name that the client calls itself.
` + editExits,
		Example: "  lessor reservations from 192.0.2.77\n  lessor reservations from 192.0.2.77 --by client-id --hostname scanner --reload",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := addressArg(args[0])
			if err != nil {
				return err
			}
			return reserveLease(cmd.Context(), g, &f, addr, by, hostname)
		},
	}
	c.Flags().StringVar(&by, "by", "hw-address", "`key` by which the client is known: hw-address, client-id or circuit-id")
	c.Flags().StringVar(&hostname, "hostname", "", "host `name` instead of the one that the client calls itself")
	f.register(c)
	return c
}

func addReservation(ctx context.Context, g *globals, f *editFlags, settings []config.Setting, addr dhcp4.Addr, hostname, subnet string) error {
	t, cfg, err := g.openConfig()
	if err != nil {
		return err
	}
	sn, err := subnetFor(cfg.Policy(), addr, subnet)
	if err != nil {
		return err
	}
	if addr != 0 {
		settings = append(settings, config.Setting{Key: "ip-address", Value: addr.String()})
	}
	if hostname != "" {
		settings = append(settings, config.Setting{Key: "hostname", Value: hostname})
	}
	e, problems := config.NewEdit(t.name, t.data)
	if e == nil {
		return g.refuseConfig(problems, ExitBad)
	}
	out, line, err := e.Add(sn.Prefix, settings)
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	after, problems := config.Parse(t.name, out)
	if after == nil {
		return g.refuseEdit(t.name, problems.Errors())
	}
	var added *reservation
	for _, r := range reservationsOf(after.Policy()) {
		if r.Line == line && r.prefix == sn.Prefix && (addr == 0 || r.Address == addr) {
			added = r
		}
	}
	if added == nil {
		return fmt.Errorf("%s: the reservation is not where it was put, in line %d; nothing is written", t.name, line)
	}
	done := fmt.Sprintf("%s added (%s:%d)", added.label(), t.name, line)
	return finishEdit(ctx, g, f, t, out, cfg.Policy(), after.Policy(), done)
}

// refuseEdit says why the file would be a bad one with the change.
func (g *globals) refuseEdit(name string, problems config.Problems) error {
	for _, p := range problems {
		if p.ID == "config/duplicate-address" || p.ID == "config/duplicate-client" {
			return exitf(ExitConflict, "%s: %s", name, p.Text)
		}
	}
	g.say("With this reservation the file would be refused:")
	return g.refuseConfig(problems, ExitUsage)
}

// subnetFor is the subnet that a reservation goes to.
func subnetFor(p *policy.Policy, addr dhcp4.Addr, name string) (*policy.Subnet, error) {
	var named *policy.Subnet
	var names []string
	for _, n := range p.Networks {
		for _, sn := range n.Subnets {
			if names = append(names, sn.Name); sn.Name == name || sn.Prefix.String() == name {
				named = sn
			}
		}
	}
	known := "It has " + strings.Join(names[:min(len(names), 10)], ", ") + "."
	switch sn := p.SubnetOf(addr); {
	case name != "" && named == nil:
		return nil, &ExitError{Code: ExitNotFound, Err: fmt.Errorf("%s has no subnet %q", p.File, name), Hint: known}
	case addr == 0 && name == "" && len(names) == 1:
		return p.Networks[0].Subnets[0], nil
	case addr == 0 && name == "":
		return nil, &ExitError{Code: ExitUsage, Err: fmt.Errorf("a reservation without an address needs --subnet"), Hint: known}
	case addr == 0:
		return named, nil
	case sn == nil:
		return nil, &ExitError{Code: ExitNotFound, Err: fmt.Errorf("no subnet of %s has the address %s", p.File, addr), Hint: known}
	case named != nil && named != sn:
		return nil, exitf(ExitUsage, "%s is in the subnet %s, not in %s", addr, sn.Name, named.Name)
	default:
		return sn, nil
	}
}

func removeReservation(ctx context.Context, g *globals, f *editFlags, name string) error {
	t, cfg, err := g.openConfig()
	if err != nil {
		return err
	}
	r, err := findReservation(cfg.Policy(), name)
	if err != nil {
		return err
	}
	e, problems := config.NewEdit(t.name, t.data)
	if e == nil {
		return g.refuseConfig(problems, ExitBad)
	}
	out, err := e.Remove(r.Line, r.col)
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	after, problems := config.Parse(t.name, out)
	if after == nil {
		return g.refuseEdit(t.name, problems.Errors())
	}
	done := fmt.Sprintf("%s removed (it was at %s:%d)", r.label(), t.name, r.Line)
	return finishEdit(ctx, g, f, t, out, cfg.Policy(), after.Policy(), done)
}

func reserveLease(ctx context.Context, g *globals, f *editFlags, addr dhcp4.Addr, by, hostname string) error {
	a, err := g.ask(ctx, f.state)
	if err != nil {
		return err
	}
	defer a.close()
	l, err := a.lease(ctx, addr)
	if err != nil {
		return askError(err)
	}
	values := map[string]string{"hw-address": l.HWAddress, "client-id": l.ClientID}
	if l.Relay != nil {
		values["circuit-id"] = l.Relay.CircuitID
		if octets, ok := policy.AgentOption(l.Facts().Agent, 1); ok && l.Relay.CircuitID != string(octets) {
			values["circuit-id"] = fmt.Sprintf("0x%x", octets)
		}
	}
	value := values[by]
	if _, known := values[by]; !known && by != "circuit-id" {
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("a lease has no key %q", by), Hint: "Keys: hw-address, client-id, circuit-id."}
	}
	if value == "" || strings.Contains(value, "/") && by == "hw-address" {
		return &ExitError{Code: ExitNotFound, Err: fmt.Errorf("the lease of %s has no %s that a reservation can have", addr, by), Hint: "Name another key with --by."}
	}
	if hostname == "" && policy.ValidHostName([]byte(l.Hostname)) {
		hostname = l.Hostname
	}
	if l.State != "active" {
		g.say("The lease of %s is %s.", addr, l.State)
	}
	return addReservation(ctx, g, f, []config.Setting{{Key: by, Value: value}}, addr, hostname, "")
}

// finishEdit says what a change means, writes it, and tells the server or says how to.
func finishEdit(ctx context.Context, g *globals, f *editFlags, t *sourceFile, out []byte, before, after *policy.Policy, done string) error {
	if t.path == "-" && !f.dryRun {
		return &ExitError{Code: ExitUsage, Err: errors.New("standard input cannot be changed"), Hint: "Name the file with --config, or add --dry-run."}
	}
	moves := g.movesOf(ctx, f.state, before, after)
	if f.dryRun {
		if _, err := fmt.Fprint(g.stdout, unified(t.name, string(t.data), string(out))); err != nil {
			return err
		}
		done += " (dry run)"
	} else if err := t.replace(out); err != nil {
		return err
	}
	for _, c := range moves {
		done += "; " + c.text(g, time.Now())
	}
	if f.dryRun {
		g.say("%s", done)
		return nil
	}
	if _, err := fmt.Fprintln(g.stdout, done); err != nil {
		return err
	}
	return g.afterEdit(ctx, t, f.reload)
}

// movesOf are the leases that the change means something for, as far as anybody can be
// asked. That nobody can is no reason not to change the file.
func (g *globals) movesOf(ctx context.Context, state string, before, after *policy.Policy) []*leaseChange {
	a, err := g.ask(ctx, state)
	if err != nil {
		g.say("Which leases this means something for is not known: %v", err)
		return nil
	}
	defer a.close()
	moves, err := leaseChanges(ctx, a, before, after)
	if err != nil {
		g.say("Which leases this means something for is not known: %v", err)
		return nil
	}
	return moves
}

// afterEdit has the running server read the file, or says that it has not yet.
func (g *globals) afterEdit(ctx context.Context, t *sourceFile, reload bool) error {
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	c := control.NewClient(g.socket())
	defer c.Close()
	if reload {
		r, err := c.Reload(ctx)
		if err != nil {
			return &ExitError{Code: reloadExit(err), Err: fmt.Errorf("the file is written, but the server has not read it: %w", err), Hint: "Reload it with: systemctl reload lessor"}
		}
		if !sameFile(r.Config, t.path) {
			g.say("warning: the running server reads %s, not %s", r.Config, t.path)
			return nil
		}
		g.say("The running server has read it.")
		return nil
	}
	s, err := c.Status(ctx)
	switch {
	case err != nil:
		g.say("No running server could be asked; one that starts reads the file.")
	case !sameFile(s.Config, t.path):
		g.say("The running server (pid %d) reads %s, not this file.", s.PID, s.Config)
	default:
		g.say("The running server has not read it yet: systemctl reload lessor, or kill -HUP %d.", s.PID)
	}
	return nil
}

func reloadExit(err error) int {
	if exit, ok := askError(err).(*ExitError); ok {
		return exit.Code
	}
	return ExitFailed
}

// sameFile reports whether two names are those of one file.
func sameFile(a, b string) bool {
	resolve := func(p string) string {
		if abs, err := filepath.Abs(p); err == nil {
			p = abs
		}
		if real, err := filepath.EvalSymlinks(p); err == nil {
			p = real
		}
		return p
	}
	return resolve(a) == resolve(b)
}
