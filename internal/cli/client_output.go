package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/term"

	"lessor/internal/client"
	runner "lessor/internal/client/run"
)

// clientOutput shows what a client does: a screen on a terminal, lines elsewhere, JSON
// lines on standard output when asked for. A goroutine of its own writes, so that a
// terminal that was stopped, or a pipe that nobody empties, never keeps the client from
// renewing; what does not fit into its queue is left out and counted.
type clientOutput struct {
	g      *globals
	ifname string
	gone   func() // called once when standard output cannot be written any more

	started bool
	queue   chan shown
	lost    atomic.Uint64
	quit    chan struct{}
	done    chan struct{}

	// What follows belongs to the goroutine.
	json   *json.Encoder
	screen *clientScreen // nil: no terminal
	stamps bool
	last   *runner.Status
	unfit  map[string]bool // why offers were not taken, as far as it was said since the client was bound
	failed bool
}

// shown is one thing to show.
type shown struct {
	line   *runner.Line
	status *runner.Status // nil: not known, or not changed
}

// clientQueue is how many things may wait to be shown.
const clientQueue = 512

// newClientOutput makes an output that nothing goes to until start.
func newClientOutput(g *globals, ifname string, gone func()) *clientOutput {
	o := &clientOutput{g: g, ifname: ifname, gone: gone, queue: make(chan shown, clientQueue),
		quit: make(chan struct{}), done: make(chan struct{})}
	if g.output == "jsonl" {
		o.json = json.NewEncoder(g.stdout)
		o.json.SetEscapeHTML(false)
	}
	o.stamps = g.env("JOURNAL_STREAM") == "" // the journal has its own
	return o
}

// start begins to write. Until close a reader of standard output that goes away
// ends the client in order and not at once.
func (o *clientOutput) start() {
	o.started = true
	signal.Ignore(syscall.SIGPIPE)
	if o.json == nil && !o.g.quiet && isTerminal(o.g.stderr) && o.g.env("TERM") != "dumb" {
		o.screen = newClientScreen(o.g.stderr, o.g.errColor, func(t time.Time) string { return o.g.clock(t.Local()) })
		o.screen.begin(o.last, time.Now()) // with --watch it is somebody else's client
	}
	go o.write()
}

// report is runner.Process.Report.
func (o *clientOutput) report(r *runner.Report) { o.show(shown{r.Line(), r.Status}) }

// show puts s into the queue, or counts it as lost.
func (o *clientOutput) show(s shown) {
	select {
	case o.queue <- s:
	default:
		o.lost.Add(1)
	}
}

// close writes what waits and returns the last status that was reported, nil when there
// was none. It gives up after 400 ms. An output that was not started has nothing.
func (o *clientOutput) close() *runner.Status {
	if !o.started {
		return nil // the parent of a client writes nothing, and must not wait for it
	}
	close(o.quit)
	select {
	case <-o.done:
		return o.last
	case <-time.After(400 * time.Millisecond):
		return nil
	}
}

// write is the goroutine.
func (o *clientOutput) write() {
	defer close(o.done)
	var tick <-chan time.Time
	if o.screen != nil {
		t := time.NewTicker(100 * time.Millisecond)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case s := <-o.queue:
			o.one(s)
		case <-tick:
			o.screen.draw(time.Now())
		case <-o.quit:
			for {
				select {
				case s := <-o.queue:
					o.one(s)
					continue
				default:
				}
				break
			}
			if o.screen != nil {
				o.screen.end(time.Now())
			}
			return
		}
	}
}

// one shows one thing, after what was lost before it.
func (o *clientOutput) one(s shown) {
	if s.status != nil {
		o.last = s.status
	}
	if n := o.lost.Swap(0); n > 0 {
		o.put(shown{line: &runner.Line{At: s.line.At, Interface: o.ifname, Event: "lost", Count: n}})
	}
	o.put(s)
}

func (o *clientOutput) put(s shown) {
	switch {
	case o.json != nil:
		if o.g.utc {
			s.line.At = s.line.At.UTC()
		}
		o.check(o.json.Encode(s.line))
	case o.screen != nil:
		o.screen.see(s, o.g.verbose || o.news(s.line))
	case worthALine(s.line, o.g.verbose || o.news(s.line)) && !o.g.quiet:
		text := lineText(s.line, o.status(s), o.g)
		if o.stamps {
			text = o.g.stamp(s.line.At) + " " + text
		}
		fmt.Fprintln(o.g.stderr, text) // talk that cannot be written is not worth an address
	}
}

// news reports whether l is the first answer since the client was bound that is for it and
// is not taken for that reason: without a word of it nobody sees why the client has no address.
func (o *clientOutput) news(l *runner.Line) bool {
	switch {
	case l.Event == "state" && l.To == "bound":
		o.unfit = nil
	case l.Event == "ignored" && unfitReasons[l.Reason] && !o.unfit[l.Reason]:
		if o.unfit == nil {
			o.unfit = map[string]bool{}
		}
		o.unfit[l.Reason] = true
		return true
	}
	return false
}

// unfitReasons are those for which an answer to our question is no lease.
var unfitReasons = func() map[string]bool {
	m := map[string]bool{}
	for _, r := range []client.Reason{client.NoServerID, client.ServerDenied, client.AddressAvoided, client.ServerSilent, client.LeaseTooLong,
		client.LeaseBadServer, client.LeaseNoTime, client.LeaseZeroTime, client.LeaseBadAddress, client.LeaseBadMask, client.LeaseNotHost} {
		m[r.String()] = true
	}
	return m
}()

func (o *clientOutput) status(s shown) *runner.Status {
	if s.status != nil {
		return s.status
	}
	return o.last
}

// check ends the client when the reader of its data has gone.
func (o *clientOutput) check(err error) {
	if err != nil && !o.failed {
		o.failed = true
		o.gone()
	}
}

// done is what lessor client --once says when it ends with an address.
func (f *clientFlags) done(g *globals, s *runner.Status) error {
	if s == nil || g.output != "json" && g.output != "yaml" {
		return nil
	}
	return g.writeObject(s)
}

// widthOf is how many columns the terminal has, 80 when it does not say.
func widthOf(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}
	return 80
}
