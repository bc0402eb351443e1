package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/control"
	"lessor/internal/link"
	"lessor/internal/local"
	"lessor/internal/store"
)

const serveLong = `Serve the networks of a configuration file, or without a file the interface's own
subnet. An acknowledgement leaves only when the lease is on disk.

With --interface Lessor decides by itself: the pool is the upper half of the
interface's subnet, without addresses that are known to be used; the gateway, the
resolvers and a lease of 12 hours are those of the host. It prints what it decided. Before
that it asks for a second and a half whether another DHCP server answers; if so it names it
and ends with exit code 6, unless --beside says that there may be two.

An interface that is missing, down or without an address is waited for. SIGHUP reads
the file again; a file with errors is refused and the one before stays in force.
SIGTERM finishes what is under way and ends within five seconds.

It needs CAP_NET_RAW and CAP_NET_BIND_SERVICE, or root.`

// serveFlags are the flags of lessor serve.
type serveFlags struct {
	interfaces []string
	state      string
	control    string
	memory     bool
	beside     bool
	check      bool
	trace      string
	logFormat  string
	logLevel   string
}

func newServe(g *globals) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Give addresses to the clients of one or more interfaces",
		Long:  serveLong,
		Example: "  sudo lessor serve --interface eth0\n  sudo lessor serve -c /etc/lessor/lessor.yaml\n" +
			"  lessor serve -c lessor.yaml --check",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), g, &f) },
	}
	fs := cmd.Flags()
	fs.StringArrayVar(&f.interfaces, "interface", nil, "serve this interface's own subnet, without a file (may be repeated)")
	fs.StringVar(&f.state, "state", "", "`directory` of the lease store (default /var/lib/lessor, or the user's own)")
	fs.StringVar(&f.control, "control", "", "control `socket` to answer on (default /run/lessor/control.sock, or the user's own)")
	fs.BoolVar(&f.memory, "memory", false, "keep leases in memory only: they are forgotten when the server ends")
	fs.BoolVar(&f.beside, "beside", false, "serve although another DHCP server answers on the link: be silent where that one may know better")
	fs.BoolVar(&f.check, "check", false, "check the configuration, print what would be served, and end")
	fs.StringVar(&f.trace, "trace", "", "append all that happens to this `file`, for lessor verify (it names every client)")
	fs.StringVar(&f.logFormat, "log-format", "auto", "`format` of the log: auto|text|json (auto: text on a terminal)")
	fs.StringVar(&f.logLevel, "log-level", "info", "least `level` of the log: debug|info|warn|error")
	if err := cmd.RegisterFlagCompletionFunc("interface", completeInterfaceFlag); err != nil {
		panic(err) // it is defined above
	}
	return cmd
}

// serve runs until ctx ends.
func serve(ctx context.Context, g *globals, f *serveFlags) error {
	g.littleGarbage()
	syscall.Umask(0o077) // whatever is made from here on is this user's alone
	handler, err := f.logHandler(g)
	if err != nil {
		return err
	}
	if len(f.interfaces) > 0 {
		if g.configSet {
			return &ExitError{Code: ExitUsage, Err: errors.New("--interface and --config exclude each other"),
				Hint: "Name the interfaces in the file, or leave the file out."}
		}
		return serveZero(ctx, g, f, handler)
	}
	if _, err := os.Stat(g.config); errors.Is(err, fs.ErrNotExist) && !g.configSet {
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("there is no configuration file %s", g.config),
			Hint: "Serve an interface without a file: sudo lessor serve --interface eth0\n" +
				"or write one to start from: lessor config init --interface eth0"}
	}
	d := &daemon{g: g, f: f, handler: handler, net: link.NewKernel(), tracing: newTracing(f)}
	c, problems := d.loadConfig()
	writeProblems(g, problems)
	if problems.Err() != nil {
		return &ExitError{Code: ExitUsage} // everything has been said
	}
	if f.beside {
		c.Policy().Authoritative = false
	}
	if f.check {
		return printSummary(g.stdout, c, nil, g.config, "", nil)
	}
	d.conf = c
	return d.run(ctx)
}

// serveZero serves interfaces without a file.
func serveZero(ctx context.Context, g *globals, f *serveFlags, handler slog.Handler) error {
	if f.check {
		zero, err := derive(f.interfaces, f.beside, func(dhcp4.Addr) bool { return false })
		if err != nil {
			return &ExitError{Code: ExitFailed, Err: err}
		}
		return printSummary(g.stdout, zero.conf, zero, f.source(g), "", nil)
	}
	kernel := link.NewKernel()
	d := &daemon{g: g, f: f, handler: handler, net: kernel, asks: kernel, tracing: newTracing(f)}
	return d.run(ctx)
}

// source names where the configuration comes from, for people.
func (f *serveFlags) source(g *globals) string {
	if len(f.interfaces) == 0 {
		return g.config
	}
	return "no file, the subnet of " + strings.Join(f.interfaces, ", ")
}

// writeProblems shows what is wrong with a configuration.
func writeProblems(g *globals, ps config.Problems) {
	if len(ps) == 0 {
		return
	}
	if isTerminal(g.stderr) {
		ps.WriteTerminal(g.stderr, g.errColor)
	} else {
		ps.WriteLines(g.stderr)
	}
}

// logHandler makes the handler that --log-format and --log-level ask for.
func (f *serveFlags) logHandler(g *globals) (slog.Handler, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[f.logLevel]
	if !ok {
		return nil, &ExitError{Code: ExitUsage, Err: fmt.Errorf("--log-level cannot be %q", f.logLevel), Hint: "Write debug, info, warn or error."}
	}
	if !slices.Contains([]string{"auto", "text", "json"}, f.logFormat) {
		return nil, &ExitError{Code: ExitUsage, Err: fmt.Errorf("--log-format cannot be %q", f.logFormat), Hint: "Write auto, text or json."}
	}
	if f.logFormat == "json" || f.logFormat == "auto" && !isTerminal(g.stderr) {
		return slog.NewJSONHandler(g.stderr, &slog.HandlerOptions{Level: level}), nil
	}
	return slog.NewTextHandler(g.stderr, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && len(groups) == 0 {
			a.Value = slog.StringValue(g.clock(a.Value.Time()))
		}
		return a
	}}), nil
}

// startError gives an error of the start its exit code.
func startError(err error) error {
	code := ExitFailed
	_, taken := errors.AsType[*link.PortTakenError](err)
	_, rights := errors.AsType[*link.PrivilegeError](err)
	switch {
	case taken, errors.Is(err, store.ErrLocked), errors.Is(err, control.ErrInUse), errors.Is(err, local.ErrInUse):
		code = ExitConflict
	case rights, errors.Is(err, os.ErrPermission):
		code = ExitNoAccess
	}
	return &ExitError{Code: code, Err: err}
}

// storeError is startError for the lease store, with what to do where its error
// does not say it.
func storeError(err error) error {
	e, ok := errors.AsType[*ExitError](startError(err))
	if ok && !errors.Is(err, store.ErrLocked) && !errors.Is(err, store.ErrFormat) {
		e.Hint = "Choose another directory with --state, or make this one writable for the user that runs Lessor."
	}
	return e
}
