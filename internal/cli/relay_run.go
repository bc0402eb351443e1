package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"lessor/internal/config"
	"lessor/internal/event"
	"lessor/internal/local"
	"lessor/internal/relay"
	runner "lessor/internal/relay/run"
)

// countersEvery is how often the counters are written on a terminal.
const countersEvery = 10 * time.Second

// relayDaemon is one run of lessor relay.
type relayDaemon struct {
	g       *globals
	f       *relayFlags
	file    string       // "": flags
	conf    relay.Config // in force
	handler slog.Handler
	log     *event.Log
}

// run relays until ctx ends.
func (d *relayDaemon) run(ctx context.Context) error {
	hangUps := make(chan os.Signal, 1) // from now on: one that comes too soon must not end the program
	signal.Notify(hangUps, syscall.SIGHUP)
	defer signal.Stop(hangUps)
	d.log = event.NewLog(d.handler, event.Names{})
	defer d.log.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := runner.Start(ctx, runner.Options{Relay: d.conf, Net: runner.Kernel(), Log: d.log})
	if err != nil {
		return startError(err)
	}
	socket, err := local.Listen(d.g.relaySocket(d.f.control))
	if err != nil {
		cancel()
		<-r.Done()
		return startError(err)
	}
	answers := runner.Serve(socket, r, d.fill)
	if !d.g.quiet && d.f.logFormat != "json" && isTerminal(d.g.stderr) {
		if err := d.summary(d.g.stderr); err != nil {
			return err
		}
	}
	d.log.Say(event.RelayStarted, slog.String("version", Version()), slog.String("config", d.source()), slog.String("summary", d.text()))
	notify(sd.SdNotifyReady)
	d.loop(ctx, r, hangUps)
	notify(sd.SdNotifyStopping)
	<-r.Done()
	answers.Close()
	d.log.Say(event.RelayStopped)
	return nil
}

// loop answers signals and the watchdog, and writes the counters, until ctx ends.
func (d *relayDaemon) loop(ctx context.Context, r *runner.Runner, hangUps <-chan os.Signal) {
	var kick, show <-chan time.Time
	interval, err := sd.SdWatchdogEnabled(false)
	if err == nil && interval > 0 {
		t := time.NewTicker(interval / 3)
		defer t.Stop()
		kick = t.C
	}
	if !d.g.quiet && isTerminal(d.g.stderr) {
		t := time.NewTicker(countersEvery)
		defer t.Stop()
		show = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangUps:
			d.reload(ctx, r)
		case <-show:
			if s, err := r.Status(ctx); err == nil {
				d.g.say("%s", relayCounters(s))
			}
		case <-kick:
			alive, cancel := context.WithTimeout(ctx, interval/3)
			if err := r.Ping(alive); err == nil {
				notify(sd.SdNotifyWatchdog)
			} else if ctx.Err() == nil {
				d.log.Say(event.WatchdogLate, slog.Any("error", err))
			}
			cancel()
		}
	}
}

// reload reads the file again: all of it or nothing.
func (d *relayDaemon) reload(ctx context.Context, r *runner.Runner) {
	notify(sd.SdNotifyReloading + "\n" + sd.SdNotifyMonotonicUsec())
	defer notify(sd.SdNotifyReady)
	if d.file == "" {
		return // flags are what they are
	}
	c, problems := config.LoadRelay(d.file)
	err := problems.Err()
	if err == nil {
		c.HostName = d.conf.HostName
		err = r.Configure(ctx, *c)
	}
	if err != nil {
		d.log.Say(event.ConfigRefused, slog.String("config", d.source()), slog.String("reason", err.Error()))
		return
	}
	d.conf = *c
	d.log.Say(event.ConfigApplied, slog.String("config", d.source()), slog.String("summary", d.text()))
}

// fill adds what the runner does not know.
func (d *relayDaemon) fill(s *runner.Status) { s.Version, s.Config = Version(), d.source() }

// source names where the configuration comes from, for people.
func (d *relayDaemon) source() string {
	if d.file == "" {
		return "no file"
	}
	return d.file
}

// text says in one line what is relayed.
func (d *relayDaemon) text() string {
	var names, servers []string
	for _, i := range d.conf.Downstream {
		names = append(names, i.Name)
	}
	for _, s := range d.conf.Servers {
		servers = append(servers, s.String())
	}
	return fmt.Sprintf("from %s to %s", strings.Join(names, ", "), strings.Join(servers, ", "))
}

// summary says what is relayed, for people.
func (d *relayDaemon) summary(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "relaying %s (%s)\n", d.text(), d.source())
	host := func(name string, dst []byte) []byte { return append(append(append(dst, "${"...), name...), '}') }
	for i := range d.conf.Downstream {
		o := &d.conf.Downstream[i]
		said := []string{"giaddr its first address"}
		if o.GIAddr != 0 {
			said[0] = "giaddr " + o.GIAddr.String()
		}
		if o.LinkSelection {
			said = append(said, "link selection")
		}
		if o.Trusted {
			said = append(said, "trusted")
		}
		for _, t := range []struct {
			name string
			text []byte
		}{{"circuit-id", o.CircuitID.Append(nil, host)}, {"remote-id", o.RemoteID.Append(nil, host)}, {"subscriber-id", o.SubscriberID.Append(nil, host)}} {
			if len(t.text) > 0 {
				said = append(said, t.name+" "+printable(string(t.text)))
			}
		}
		fmt.Fprintf(&b, "  %-15s %s\n", o.Name, strings.Join(said, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// relaySocket is where a relay agent of this user answers.
func (g *globals) relaySocket(control string) string {
	switch dir := g.env("XDG_RUNTIME_DIR"); {
	case control != "":
		return control
	case g.env("RUNTIME_DIRECTORY") != "":
		return filepath.Join(g.env("RUNTIME_DIRECTORY"), "control.sock")
	case os.Geteuid() == 0 || !filepath.IsAbs(dir):
		return systemRelay
	default:
		return filepath.Join(dir, "lessor-relay", "control.sock")
	}
}

// systemRelay is where the relay agent of the system answers.
const systemRelay = "/run/lessor-relay/control.sock"

// relayCounters is the counters in one line.
func relayCounters(s *runner.Status) string {
	text := fmt.Sprintf("requests %d, to servers %d; replies %d, to clients %d", s.Requests, s.ToServers, s.Replies, s.ToClients)
	for _, more := range []struct {
		name string
		cs   []runner.Counter
	}{{"dropped", s.Dropped}, {"without option 82", s.Omitted}} {
		if len(more.cs) > 0 {
			text += "; " + more.name + ": " + relayReasons(more.cs)
		}
	}
	if s.SendFailed+s.SocketDropped > 0 {
		text += fmt.Sprintf("; lost: %d at sending, %d in sockets", s.SendFailed, s.SocketDropped)
	}
	return text
}

func relayReasons(cs []runner.Counter) string {
	parts := make([]string, len(cs))
	for i, c := range cs {
		parts[i] = fmt.Sprintf("%s %d", c.Name, c.Count)
	}
	return strings.Join(parts, ", ")
}
