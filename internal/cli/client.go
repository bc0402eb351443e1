package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	runner "lessor/internal/client/run"
	"lessor/internal/client/setup"
	"lessor/internal/clock"
	"lessor/internal/link"
	"lessor/internal/spell"
)

const clientLong = `Get an address for an interface by DHCP and hold it for as long as the lease lasts.
"lessor client IFACE" is short for "lessor client run IFACE".

The address is checked for conflicts before it is used (RFC 5227), renewed at half of
its time, rebound at seven eighths, and taken off the interface the moment it ends. When
the client stops, everything that it changed is as it was before; the lease is kept
for the next start. "client release" gives it back.

On a terminal one line shows where it is; -v shows each message with its reason. Elsewhere
each step is a line on standard error, and -o jsonl writes everything that happens
to standard output, one JSON object a line. The part that reads packets has no
privileges; a small other part changes the interface.

It needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE, or root.`

// waits of a client that is to end by itself, unless --timeout says otherwise: a random
// wait of up to 10 s and probes for up to 9 s are in the first.
const (
	onceTimeout   = 60 * time.Second
	dryRunTimeout = 3 * time.Second
)

func newClient(g *globals) *cobra.Command {
	var f clientFlags
	cmd := &cobra.Command{
		Use:   "client IFACE",
		Short: "Hold an address on an interface by DHCP",
		Long:  clientLong,
		Example: "  sudo lessor client eth0\n  sudo lessor client eth0 --once --fast\n" +
			"  sudo lessor client eth0 --dry-run     # which servers answer, and with what\n" +
			"  sudo lessor client status eth0",
		Args:              clientArgs,
		ValidArgsFunction: completeInterfaces,
		RunE:              func(cmd *cobra.Command, args []string) error { return f.run(cmd, g, args[0]) },
	}
	f.register(cmd)
	cmd.PersistentFlags().StringVar(&f.control, "control", "", "control `socket` of the client (default /run/lessor-client/IFACE.sock, or the user's own)")
	var r clientFlags
	sub := &cobra.Command{
		Use:               "run IFACE",
		Short:             "The same as lessor client IFACE",
		Long:              clientLong,
		Example:           "  sudo lessor client run eth0",
		Args:              clientArgs,
		ValidArgsFunction: completeInterfaces,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.control = f.control
			return r.run(cmd, g, args[0])
		},
	}
	r.register(sub)
	cmd.AddCommand(sub, newClientStatus(g, &f.control))
	for _, c := range clientCommands {
		cmd.AddCommand(newClientCommand(g, c, &f.control))
	}
	return cmd
}

// clientArgs wants one name of an interface, and finds mistyped commands.
func clientArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return &ExitError{Code: ExitUsage, Err: errors.New("which interface?"), Hint: interfacesHint()}
	case len(args) > 1:
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("one client holds one interface, but got %q", args), Hint: "usage: " + cmd.UseLine()}
	}
	if err := interfaceName(args[0]); err != nil {
		return err
	}
	return mistypedCommand(cmd, args[0])
}

// mistypedCommand is an error when name is no interface but nearly a command.
func mistypedCommand(cmd *cobra.Command, name string) error {
	if !cmd.HasSubCommands() {
		return nil
	}
	for _, known := range interfaceNames() {
		if known == name {
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		if spell.Distance(name, sub.Name()) <= 2 && len(name) > 3 {
			return &ExitError{Code: ExitUsage, Err: fmt.Errorf("there is no interface and no command %q", name),
				Hint: fmt.Sprintf("Did you mean %q? %s", cmd.CommandPath()+" "+sub.Name(), interfacesHint())}
		}
	}
	return nil
}

// run is lessor client IFACE, in both of its processes.
func (f *clientFlags) run(cmd *cobra.Command, g *globals, ifname string) error {
	f.once = f.once && !f.dryRun // which ends by itself, and gets no address
	f.timeout = g.timeout
	if !cmd.Flags().Changed("timeout") {
		f.timeout = onceTimeout
		if f.dryRun {
			f.timeout = dryRunTimeout
		}
	}
	if err := f.formats(g); err != nil {
		return err
	}
	conf, err := f.machine(ifname)
	if err != nil {
		return err
	}
	host, err := f.host(g, ifname)
	if err != nil {
		return err
	}
	if !runner.IsWorker() {
		if err := f.there(ifname); err != nil {
			return err
		}
		if !f.dryRun && !mayConfigure() { // a dry run says itself what it lacks
			return &ExitError{Code: ExitNoAccess, Err: errors.New("needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE"), Hint: rightsHint(ifname)}
		}
	}
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	stopOnHangUp(ctx, cancel)
	oneSignalIsEnough(ctx)
	out := newClientOutput(g, ifname, func() { cancel(errOutputGone) })
	p := &runner.Process{Interface: ifname, Setup: host, Control: f.control, Applied: tellSystemd, Client: conf, Once: f.once, Report: out.report}
	if p.Control == "" {
		p.Control = g.clientSocket(ifname)
	}
	if f.dryRun {
		times, err := clock.New() // reads a file, which the worker cannot do later
		if err != nil {
			return err
		}
		p.Control, p.Applied = "", nil
		p.Instead = func(ctx context.Context, n link.ClientNet) error {
			return f.listOffers(ctx, g, n, times, ifname, &conf)
		}
	}
	if !runner.IsWorker() {
		defer context.AfterFunc(ctx, func() { notify(sd.SdNotifyStopping) })()
		return f.exit(ctx, ifname, runner.Main(ctx, p))
	}
	if f.once { // here alone: the parent learns how it went from this process
		defer time.AfterFunc(f.timeout, func() { cancel(errNoLeaseYet) }).Stop()
	}
	out.start()
	err = runner.Main(ctx, p)
	last := out.close()
	if err == nil && f.once && !f.dryRun {
		return f.done(g, last)
	}
	return f.exit(ctx, ifname, err)
}

// formats says which formats a running client knows.
func (f *clientFlags) formats(g *globals) error {
	if f.dryRun {
		return nil // a list like others
	}
	switch g.output {
	case "table", "jsonl":
		return nil
	case "json", "yaml":
		if f.once {
			return nil
		}
	}
	return &ExitError{Code: ExitUsage, Err: fmt.Errorf("a running client cannot write -o %s", g.output),
		Hint: "-o jsonl writes what happens, one JSON object a line; with --once -o json writes how it ended."}
}

// there is an error when a client that is not to wait is given an interface that does
// not exist. Others wait for it, and say so.
func (f *clientFlags) there(ifname string) error {
	if !f.dryRun {
		return nil
	}
	names := interfaceNames()
	best, least := "", 3
	for _, n := range names {
		if n == ifname {
			return nil
		}
		if d := spell.Distance(ifname, n); d < least {
			best, least = n, d
		}
	}
	hint := interfacesHint()
	if best != "" {
		hint = fmt.Sprintf("Did you mean %s? ", best) + hint
	}
	return &ExitError{Code: ExitNotFound, Err: fmt.Errorf("there is no interface %q", ifname), Hint: hint}
}

// Causes of the end of a client's context.
var (
	errNoLeaseYet = errors.New("no lease within --timeout")
	errOutputGone = errors.New("nobody reads standard output any more")
)

// stopOnHangUp ends the client when its terminal goes away, so that it leaves nothing behind
// on the interface. A program started with nohup goes on.
func stopOnHangUp(ctx context.Context, cancel context.CancelCauseFunc) {
	if signal.Ignored(syscall.SIGHUP) {
		return
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	go func() {
		select {
		case <-c:
			cancel(context.Canceled)
		case <-ctx.Done():
			signal.Stop(c)
		}
	}()
}

// cleaningUp is how long a client may need at its end.
const cleaningUp = 5 * time.Second

// oneSignalIsEnough keeps a signal that follows the one that ends the client from having its
// usual effect until the interface is as it was: timeout(1) sends SIGTERM twice, a session that
// ends SIGHUP behind SIGTERM, and an impatient user ^C.
func oneSignalIsEnough(ctx context.Context) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	c := make(chan os.Signal, 1) // nobody reads it: that it is there is all
	signal.Notify(c, signals...)
	context.AfterFunc(ctx, func() { time.AfterFunc(cleaningUp, func() { signal.Stop(c) }) })
}

// tellSystemd tells it that the interface has an address, and which; c is nil when it has
// lost it. READY is said once; that a unit is ready cannot be taken back.
func tellSystemd(c *setup.Config) {
	if c == nil {
		notify("STATUS=no address")
		return
	}
	notify(sd.SdNotifyReady + "\nSTATUS=" + c.Addr.String() + " from " + c.Server.String())
}

// exit gives the error of a client its exit code.
func (f *clientFlags) exit(ctx context.Context, ifname string, err error) error {
	if err == nil && context.Cause(ctx) == errOutputGone {
		err = errOutputGone
	}
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*runner.Exit](err); ok {
		return &ExitError{Code: e.Code}
	}
	if errors.Is(err, runner.ErrNotBound) {
		if context.Cause(ctx) != errNoLeaseYet {
			return context.Canceled // the user ended it
		}
		return &ExitError{Code: ExitBad, Err: fmt.Errorf("%s has no lease after %v", ifname, f.timeout), Hint: "Which servers answer says: lessor client " + ifname + " --dry-run"}
	}
	if _, ok := errors.AsType[*ExitError](err); ok {
		return err
	}
	return clientError(ifname, err)
}

// clientError gives an error of the start its exit code and says what to do.
func clientError(ifname string, err error) error {
	_, taken := errors.AsType[*link.PortTakenError](err)
	_, rights := errors.AsType[*link.PrivilegeError](err)
	e := &ExitError{Code: ExitFailed, Err: err}
	switch {
	case errors.Is(err, runner.ErrControlInUse):
		e.Code, e.Hint = ExitConflict, "How it is: lessor client status "+ifname+"; end it: lessor client stop "+ifname
	case taken:
		e.Code = ExitConflict
	case rights:
		e.Code = ExitNoAccess // its text says what to do
	case errors.Is(err, os.ErrPermission):
		e.Code, e.Hint = ExitNoAccess, rightsHint(ifname)
	}
	return e
}

// mayConfigure reports whether this process has the capabilities that a client needs.
func mayConfigure() bool {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	const need = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_NET_BIND_SERVICE
	return unix.Capget(&h, &d[0]) != nil || d[0].Effective&need == need
}

func rightsHint(ifname string) string {
	self, err := os.Executable()
	if err != nil {
		self = "FILE"
	}
	return "Try it with sudo, or use the unit: systemctl start lessor-client@" + ifname + "\n" +
		"or give the program what it needs: sudo setcap cap_net_admin,cap_net_raw,cap_net_bind_service=+ep " + self
}
