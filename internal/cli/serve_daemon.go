package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"lessor/dhcp4"
	"lessor/internal/clock"
	"lessor/internal/config"
	"lessor/internal/control"
	"lessor/internal/engine"
	"lessor/internal/event"
	"lessor/internal/lease"
	"lessor/internal/link"
	"lessor/internal/store"
	"lessor/internal/store/memory"
	"lessor/internal/store/pebble"
	"lessor/internal/wire"
)

// stopWithin is how long the end may take after SIGTERM.
const stopWithin = 4500 * time.Millisecond

// daemon is one run of lessor serve.
type daemon struct {
	g       *globals
	f       *serveFlags
	conf    *config.Config // in force
	zero    *derived       // how it was decided, nil when it comes from a file
	handler slog.Handler
	net     link.Net
	asks    link.ClientNet // to look for other servers before serving without a file; nil: do not
	others  []string       // what other servers answered
	tracing *tracing       // nil: without --trace

	reloads chan chan error // asked for on the control socket

	state  string
	log    *event.Log
	engine atomic.Pointer[engine.Engine]
}

// gcPercent is how much garbage may gather beside what is in use. A server at work
// makes hardly any, so collecting sooner costs no time that could be measured, and the
// memory of a million bindings (157 MB in use) or of a flood's offers grows by a quarter,
// not by as much again. So does that of reading a file of 100,000 reservations. GOGC in
// the environment wins.
const gcPercent = 25

func (g *globals) littleGarbage() {
	if g.env("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// run serves until ctx ends.
func (d *daemon) run(ctx context.Context) error {
	began := d.began()
	d.reloads = make(chan chan error)
	hangUps := make(chan os.Signal, 1) // from now on: one that comes too soon must not end the program
	signal.Notify(hangUps, syscall.SIGHUP)
	defer signal.Stop(hangUps)
	if d.conf == nil {
		if err := waitForAny(ctx, d.net, d.f.interfaces, func(text string) { d.g.say("lessor: %s", text) }); err != nil {
			return err
		}
	}
	if err := d.preflight(ctx); err != nil {
		return startError(err)
	}
	d.log = event.NewLog(d.handler, d.names())
	defer d.log.Close()
	if err := d.lookForOthers(ctx); err != nil {
		return err
	}
	st, secret, err := d.openStore()
	if err != nil {
		return storeError(err)
	}
	if d.conf == nil {
		known := func(a dhcp4.Addr) bool { return inStore(ctx, st, a) }
		if d.zero, err = derive(d.f.interfaces, d.f.beside, known); err != nil {
			return startError(errors.Join(err, st.Close()))
		}
		d.conf = d.zero.conf
		d.tracing.text(d.conf, d.zero.yaml)
	}
	socket, err := control.Listen(d.controlPath())
	if err != nil {
		return startError(errors.Join(err, st.Close()))
	}
	times, err := clock.New()
	if err != nil {
		return startError(errors.Join(err, socket.Close(), st.Close()))
	}
	ec := engine.Config{Clock: times, Net: d.net, Store: st, Log: d.log, Policy: d.conf.Policy(), Secret: secret, Began: began, Version: Version()}
	if err := d.openTrace(times, &ec); err != nil {
		return startError(errors.Join(err, socket.Close(), st.Close()))
	}
	defer d.tracing.close()
	e, err := engine.Load(ctx, ec)
	if err != nil {
		return startError(errors.Join(err, socket.Close(), st.Close()))
	}
	d.engine.Store(e)
	if err := e.Start(ctx); err != nil {
		return startError(errors.Join(err, socket.Close(), st.Close()))
	}
	c := control.Serve(socket, e, d.info, d.askReload)
	d.announce()
	d.loop(ctx, e, hangUps)
	return d.stop(e, c, st)
}

// preflight finds out what would keep the server from serving at all, before
// anything is made or changed on disk: it opens the ports of the interfaces that
// are ready and closes them again.
func (d *daemon) preflight(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var first error
	err := d.net.Watch(ctx, d.interfaces(), func(ready []wire.Link, _ []link.Missing) {
		for _, l := range ready {
			if ctx.Err() != nil {
				return
			}
			port, err := d.net.Open(l)
			if err == nil {
				err = port.Close()
			}
			if first == nil && !errors.Is(err, link.ErrDown) {
				first = err
			}
		}
		cancel()
	})
	return errors.Join(first, err)
}

// interfaces are the names to serve.
func (d *daemon) interfaces() []string {
	if len(d.f.interfaces) > 0 {
		return d.f.interfaces
	}
	return d.conf.Interfaces()
}

// inStore reports whether the store has a record of a: then it is a client's.
func inStore(ctx context.Context, st store.Store, a dhcp4.Addr) (found bool) {
	_, err := st.Load(ctx, []dhcp4.Range{{First: a, Last: a}}, func(bs []lease.Binding) error {
		found = found || len(bs) > 0
		return nil
	})
	return found || err != nil
}

// names finds the names for log lines once the engine is there.
func (d *daemon) names() event.Names {
	return event.Names{
		Link: func(id int32) string {
			if e := d.engine.Load(); e != nil {
				return e.Names().Link(id)
			}
			return ""
		},
		Subnet: func(a dhcp4.Addr) string {
			if e := d.engine.Load(); e != nil {
				return e.Names().Subnet(a)
			}
			return ""
		},
	}
}

// openStore opens the lease store and reads the secret beside it.
func (d *daemon) openStore() (store.Store, [16]byte, error) {
	var secret [16]byte
	opts := pebble.Options{Command: "lessor serve", Report: func(what string) {
		d.log.Say(event.StoreDamaged, slog.String("reason", what))
	}}
	dir := d.g.storeDir(d.f.state, d.configuredStore())
	if d.f.memory {
		if _, err := rand.Read(secret[:]); err != nil {
			return nil, secret, err
		}
		d.state = "memory"
		return memory.New(), secret, nil
	}
	d.state = dir
	st, err := pebble.Open(dir, opts)
	if err != nil {
		return nil, secret, err
	}
	secret, err = readSecret(filepath.Join(filepath.Dir(dir), "secret"))
	if err != nil {
		return nil, secret, errors.Join(err, st.Close())
	}
	return st, secret, nil
}

// configuredStore is the path of lease-database, "" when there is none.
func (d *daemon) configuredStore() string {
	if d.conf == nil {
		return ""
	}
	return d.conf.LeaseDatabase
}

// readSecret reads the key of the hashes that spread clients over a pool, or makes
// one. A disk that takes no file is no reason not to serve: only where a new client
// lands changes then.
func readSecret(path string) (secret [16]byte, err error) {
	if secret, ok := knownSecret(path); ok {
		return secret, nil
	}
	if _, err := rand.Read(secret[:]); err != nil {
		return secret, err
	}
	_ = writeSecret(path, secret)
	return secret, nil
}

// knownSecret reads the key, if there is one.
func knownSecret(path string) (secret [16]byte, ok bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return secret, false
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	return secret, err == nil && copy(secret[:], raw) == len(raw) && len(raw) == len(secret)
}

func writeSecret(path string, secret [16]byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "secret-*")
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, hex.EncodeToString(secret[:])+"\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (d *daemon) controlPath() string {
	if d.f.control != "" {
		return d.f.control
	}
	return d.g.ownSocket()
}

func (d *daemon) info() control.Info {
	return control.Info{Version: Version(), Config: d.f.source(d.g), Store: d.state}
}

// announce says that the server is ready, to people, the log and systemd.
func (d *daemon) announce() {
	if !d.g.quiet && d.f.logFormat != "json" && isTerminal(d.g.stderr) {
		printSummary(d.g.stderr, d.conf, d.zero, d.f.source(d.g), d.state, d.others)
	}
	d.log.Say(event.ServerStarted, slog.String("version", Version()), slog.String("config", d.f.source(d.g)),
		slog.String("summary", d.conf.Summary()), slog.String("store", d.state))
	if d.f.memory {
		d.log.Say(event.MemoryOnly)
	}
	if d.zero != nil {
		d.log.Say(event.ZeroConfig, slog.String("decided", strings.Join(d.zero.said, "; ")),
			slog.String("warnings", strings.Join(d.zero.warnings, "; ")))
	}
	notify(sd.SdNotifyReady)
}

// notify tells systemd; elsewhere it does nothing. That systemd cannot be told is
// no reason to stop serving.
func notify(state string) { _, _ = sd.SdNotify(false, state) }

// loop answers signals and the watchdog until ctx ends.
func (d *daemon) loop(ctx context.Context, e *engine.Engine, hangUps <-chan os.Signal) {
	interval, err := sd.SdWatchdogEnabled(false)
	if err != nil || interval <= 0 {
		interval = 0
	}
	var kick <-chan time.Time
	if interval > 0 {
		t := time.NewTicker(interval / 3)
		defer t.Stop()
		kick = t.C
	}
	moved := d.follow(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangUps:
			_ = d.reload(ctx, e) // the log says it
		case <-moved:
			_ = d.reload(ctx, e)
		case answer := <-d.reloads:
			answer <- d.reload(ctx, e)
		case <-kick:
			alive, cancel := context.WithTimeout(ctx, interval/3)
			if err := e.Ping(alive); err == nil {
				notify(sd.SdNotifyWatchdog)
			} else if ctx.Err() == nil {
				d.log.Say(event.WatchdogLate, slog.Any("error", err))
			}
			cancel()
		}
	}
}

// askReload has the loop read the configuration again.
func (d *daemon) askReload(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case d.reloads <- answer:
		return <-answer
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reload reads the configuration again: all of it or nothing.
func (d *daemon) reload(ctx context.Context, e *engine.Engine) error {
	notify(sd.SdNotifyReloading + "\n" + sd.SdNotifyMonotonicUsec())
	defer notify(sd.SdNotifyReady)
	c, warnings, err := d.reread(ctx, e)
	if err != nil {
		d.tracing.refused(err)
		d.log.Say(event.ConfigRefused, slog.String("config", d.f.source(d.g)), slog.String("reason", err.Error()))
		return err
	}
	if err := e.SetPolicy(ctx, c.Policy()); err != nil {
		d.log.Say(event.ConfigRefused, slog.String("config", d.f.source(d.g)), slog.Any("error", err))
		return err
	}
	d.conf = c
	attrs := []slog.Attr{slog.String("config", d.f.source(d.g)), slog.String("summary", c.Summary())}
	if warnings != "" {
		attrs = append(attrs, slog.String("warnings", warnings))
	}
	d.log.Say(event.ConfigApplied, attrs...)
	return nil
}

// reread reads the file, or looks at the interfaces, as they are now.
func (d *daemon) reread(ctx context.Context, e *engine.Engine) (c *config.Config, warnings string, err error) {
	if len(d.f.interfaces) > 0 {
		zero, err := derive(d.f.interfaces, d.f.beside, func(a dhcp4.Addr) bool {
			_, _, ok, err := e.Lease(ctx, a)
			return ok || err != nil
		})
		if err != nil {
			return nil, "", err
		}
		d.zero = zero
		d.tracing.text(zero.conf, zero.yaml)
		return zero.conf, strings.Join(zero.warnings, "; "), nil
	}
	c, problems := d.loadConfig()
	if err := problems.Err(); err != nil {
		return nil, "", err
	}
	if c.LeaseDatabase != d.conf.LeaseDatabase {
		return nil, "", errors.New("lease-database cannot change while the server runs: restart it")
	}
	if d.f.beside {
		c.Policy().Authoritative = false
	}
	if w := problems.Warnings(); len(w) > 0 {
		warnings = w.Error()
	}
	return c, warnings, nil
}

// follow watches the interfaces of a server without a file: a value comes when one
// has other addresses than its configuration was made from.
func (d *daemon) follow(ctx context.Context) <-chan struct{} {
	if len(d.f.interfaces) == 0 {
		return nil
	}
	moved := make(chan struct{}, 1)
	from := d.zero.links
	go func() {
		_ = d.net.Watch(ctx, d.f.interfaces, func(ready []wire.Link, _ []link.Missing) {
			if len(ready) == 0 || sameAddresses(ready, from) {
				return
			}
			from = ready
			select {
			case moved <- struct{}{}:
			default:
			}
		}) // when it fails, the engine's own watch says so
	}()
	return moved
}

// stop ends the service within stopWithin.
func (d *daemon) stop(e *engine.Engine, c *control.Server, st store.Store) error {
	notify(sd.SdNotifyStopping)
	d.log.Say(event.ServerStopping)
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	errs := []error{e.Stop(ctx), c.Close()}
	if errs[0] == nil {
		d.tracing.ended()
		closed := make(chan error, 1)
		go func() { closed <- st.Close() }()
		select {
		case err := <-closed:
			errs = append(errs, err)
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("the lease store did not close within %v; what was acknowledged is on disk", stopWithin))
		}
	}
	err := errors.Join(errs...)
	if err != nil {
		return err
	}
	d.log.Say(event.ServerStopped)
	return nil
}
