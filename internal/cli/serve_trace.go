package cli

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"lessor/internal/clock"
	"lessor/internal/config"
	"lessor/internal/engine"
	"lessor/internal/event"
	"lessor/internal/policy"
	"lessor/internal/trace"
	"lessor/internal/trace/tracefile"
)

// tracing is the file of serve --trace. Its methods do nothing on nil.
type tracing struct {
	w *tracefile.Writer

	mu     sync.Mutex                // guards the two below
	texts  map[*policy.Policy]string // of configurations that may come into force
	latest string                    // the text that was read last
}

func newTracing(f *serveFlags) *tracing {
	if f.trace == "" {
		return nil
	}
	return &tracing{texts: map[*policy.Policy]string{}}
}

// loadConfig reads the configuration file, and keeps its text if it is to be traced.
func (d *daemon) loadConfig() (*config.Config, config.Problems) {
	if d.tracing == nil {
		return config.Load(d.g.config)
	}
	data, problems := config.Read(d.g.config)
	if problems != nil {
		d.tracing.text(nil, "")
		return nil, problems
	}
	c, problems := config.Parse(d.g.config, data)
	d.tracing.text(c, string(data))
	return c, problems
}

// text takes the text of a configuration, which is nil if the text has errors.
func (x *tracing) text(c *config.Config, text string) {
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.latest = text
	if c != nil {
		x.texts[c.Policy()] = text
	}
}

// openTrace opens the file and has the engine write to it.
func (d *daemon) openTrace(times clock.Clock, c *engine.Config) error {
	if d.tracing == nil {
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("cannot write a trace without the name of this machine: %w", err)
	}
	store := d.state // the same wherever it is named from: it tells servers of one machine apart
	if !d.f.memory {
		if store, err = filepath.Abs(store); err != nil {
			return fmt.Errorf("cannot write a trace without the store's whole path: %w", err)
		}
	}
	h := tracefile.Header{Host: host, Store: store, Program: Version()}
	d.tracing.w, err = tracefile.Create(d.f.trace, h, times, func(err error) {
		d.log.Say(event.TraceFailed, slog.String("file", d.f.trace), slog.Any("error", err))
	})
	c.Trace = d.tracing
	return err
}

// Write implements engine.Tracer: it adds the text of a configuration that comes into force.
func (x *tracing) Write(b trace.Body) {
	if c, ok := b.(*trace.Config); ok && c.Policy != nil {
		x.mu.Lock()
		b = &trace.Config{Policy: c.Policy, Text: x.texts[c.Policy]}
		clear(x.texts) // none before it comes into force again
		x.mu.Unlock()
	}
	x.w.Write(b)
}

// refused says that the text that was read last was refused.
func (x *tracing) refused(why error) {
	if x == nil {
		return
	}
	x.mu.Lock()
	text := x.latest
	x.mu.Unlock()
	x.w.Write(&trace.Config{Text: text, Refused: true, Why: why.Error()})
}

// ended says that the server has ended in order.
func (x *tracing) ended() {
	if x != nil {
		x.w.Write(&trace.Ended{Clean: true})
	}
}

// close writes the rest. What could not be written was told already, and is no reason to
// end in another way.
func (x *tracing) close() {
	if x != nil && x.w != nil {
		_ = x.w.Close()
	}
}

// began is when the process began, for the trace; 0 without one, and without a
// configuration file: then other servers are looked for first (L2).
func (d *daemon) began() int64 {
	var t unix.Timespec
	if d.tracing == nil || len(d.f.interfaces) > 0 || unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 0
	}
	return t.Nano()
}
