package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client"
	runner "lessor/internal/client/run"
	"lessor/internal/client/setup"
)

func utcClock(t time.Time) string { return (&globals{utc: true}).clock(t) }

var screenStart = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// at is a line some milliseconds after the start.
func at(ms int, l runner.Line) *runner.Line {
	l.At, l.Interface = screenStart.Add(time.Duration(ms)*time.Millisecond), "eth0"
	return &l
}

func stateLine(ms int, from, to, reason string) *runner.Line {
	return at(ms, runner.Line{Event: "state", From: from, To: to, Reason: reason})
}

// boundUntil is a status of a client that renews and ends so many seconds after the start.
func boundUntil(renews, expires int) *runner.Status {
	r, e := screenStart.Add(time.Duration(renews)*time.Second), screenStart.Add(time.Duration(expires)*time.Second)
	return &runner.Status{Interface: "eth0", State: "bound", Address: "192.0.2.52/24", Server: "192.0.2.1", Renews: &r, Expires: &e}
}

// terminalText is what a terminal of one line shows: the line, and what stands above it.
func terminalText(raw string) (above []string, line string) {
	for _, l := range strings.SplitAfter(raw, "\n") {
		i := strings.LastIndex(l, "\r")
		text := strings.TrimSuffix(strings.TrimPrefix(l[i+1:], "\x1b[K"), "\x1b[K")
		if done, ok := strings.CutSuffix(text, "\n"); ok {
			above = append(above, strings.TrimSuffix(done, "\x1b[K"))
		} else {
			line = text
		}
	}
	return above, line
}

// TestClientScreen walks a client through its life and reads the line after each step.
func TestClientScreen(t *testing.T) {
	var out bytes.Buffer
	c := newClientScreen(&out, false, utcClock)
	c.width = func() int { return 200 }
	c.begin(nil, screenStart.Add(-3*time.Second))
	steps := []struct {
		line   *runner.Line
		status *runner.Status
		now    int // milliseconds at which the line is read
		want   string
		above  string
	}{
		{stateLine(0, "init", "selecting", "started"), nil, 0, "SELECTING", ""},
		{at(0, runner.Line{Event: "sent", Message: "discover", Try: 1, Wait: 4.2}), nil, 1200, "SELECTING 1.2s, asking again in 3s", ""},
		{at(4200, runner.Line{Event: "sent", Message: "discover", Try: 2, Wait: 8}), nil, 5200, "SELECTING 5.2s, try 2, asking again in 7s", ""},
		{at(5300, runner.Line{Event: "ignored", Message: "offer", Reason: "other-xid"}), nil, 5300, "SELECTING 5.3s, try 2, asking again in 6s", ""},
		{stateLine(5500, "selecting", "requesting", "offered"), nil, 5550, "SELECTING 5.5s → REQUESTING", ""},
		{stateLine(5600, "requesting", "checking", "ack"), nil, 8600, "SELECTING 5.5s → REQUESTING 0.1s → CHECKING 3.0s", ""},
		{stateLine(10600, "checking", "bound", "address-free"), boundUntil(3605, 7205), 10600,
			"SELECTING 5.5s → REQUESTING 0.1s → CHECKING 5.0s → BOUND 192.0.2.52 renew in 59m54s", ""},
		{stateLine(3605000, "bound", "renewing", "renewal-time"), boundUntil(3605, 7205), 3606000, "RENEWING 1.0s 192.0.2.52 ends in 59m59s", ""},
		{stateLine(3607000, "renewing", "bound", "ack"), boundUntil(7205, 10805), 3607000, "RENEWING 2.0s → BOUND 192.0.2.52 renew in 59m58s", ""},
		{at(3608000, runner.Line{Event: "conflict", Address: "192.0.2.52", MAC: "02:00:00:00:00:09", Reason: "defended"}), nil, 3608000,
			"RENEWING 2.0s → BOUND 192.0.2.52 renew in 59m57s", "conflict: 02:00:00:00:00:09 has 192.0.2.52: another host used the address once, and was told that it is ours (defended)"},
		{stateLine(7205000, "bound", "renewing", "renewal-time"), boundUntil(7205, 10805), 7205000, "RENEWING 192.0.2.52 ends in 1h00m", ""},
		{at(7205100, runner.Line{Event: "received", Message: "nak", Server: "192.0.2.1", Text: `go \x1b[2J`}), nil, 7205100, "RENEWING 0.1s 192.0.2.52 ends in 59m59s",
			`received NAK from 192.0.2.1, saying "go \x1b[2J"`},
		{stateLine(7205200, "renewing", "init", "nak"), &runner.Status{State: "init"}, 7205300, "INIT 0.1s", "RENEWING 0.2s → INIT: the server refused the address (nak)"},
		{stateLine(7205300, "init", "selecting", "started"), &runner.Status{State: "selecting"}, 7205400, "SELECTING 0.1s", ""},
		{stateLine(7205500, "selecting", "bound", "ack"), boundUntil(7205+3600, 7205+7200), 7205500, "SELECTING 0.2s → BOUND 192.0.2.52 renew in 59m59s", ""},
		{stateLine(7206000, "bound", "init", "expired"), &runner.Status{State: "init"}, 7206000, "INIT", "BOUND 192.0.2.52 → INIT: the lease has ended (expired)"},
		{at(7266000, runner.Line{Event: "note", Text: "eth0 is down"}), nil, 7266000, "INIT 1m00s", "eth0 is down"},
	}
	seen := 0
	for i, s := range steps {
		c.see(shown{s.line, s.status}, false)
		c.draw(screenStart.Add(time.Duration(s.now) * time.Millisecond))
		above, line := terminalText(out.String())
		if line != s.want {
			t.Errorf("step %d shows\n%q, want\n%q", i, line, s.want)
		}
		want := s.above
		if want != "" {
			want = s.line.At.Format("15:04:05 ") + want
		}
		if got := strings.Join(above[seen:], "\n"); got != want {
			t.Errorf("step %d writes above %q, want %q", i, got, want)
		}
		seen = len(above)
	}
	c.end(screenStart.Add(2 * time.Hour))
	if strings.Contains(out.String(), "\x1b[2J") || !strings.HasSuffix(out.String(), "\n\rINIT 1m00s\x1b[K\r\x1b[K") {
		t.Errorf("the screen was left as %q", out.String())
	}
}

func TestClientScreenIsNoWiderThanTheTerminal(t *testing.T) {
	var out bytes.Buffer
	c := newClientScreen(&out, true, utcClock)
	c.width = func() int { return 40 }
	c.see(shown{line: stateLine(0, "init", "selecting", "started")}, false)
	c.see(shown{line: stateLine(1000, "selecting", "requesting", "offered")}, false)
	c.see(shown{line: stateLine(2000, "requesting", "bound", "ack"), status: boundUntil(3600, 7200)}, false)
	_, line := terminalText(out.String())
	plainText := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(line, "")
	if n := len([]rune(plainText)); n != 39 || !strings.HasSuffix(plainText, "BOUND 192.0.2.52 renew in 59m58s") {
		t.Errorf("%d columns: %q", n, plainText)
	}
	if !strings.Contains(line, "\x1b[32mBOUND\x1b[0m") {
		t.Errorf("BOUND is not green: %q", line)
	}
}

// TestClientVerboseScreen: with -v every message stands above the line, with its reason.
func TestClientVerboseScreen(t *testing.T) {
	var out bytes.Buffer
	c := newClientScreen(&out, false, utcClock)
	c.see(shown{line: stateLine(0, "init", "selecting", "started")}, true)
	c.see(shown{line: at(1, runner.Line{Event: "sent", Message: "discover", Try: 1, Wait: 3.9})}, true)
	c.see(shown{line: at(2, runner.Line{Event: "ignored", Message: "ack", Server: "192.0.2.9", MAC: "02:00:00:00:00:09", Reason: "not-expected"})}, true)
	c.see(shown{line: at(3, runner.Line{Event: "received", Message: "offer", Address: "192.0.2.52", Server: "192.0.2.1", MAC: "02:00:00:00:00:01"})}, true)
	c.see(shown{line: at(4, runner.Line{Event: "option", Option: "interface-mtu", Reason: "too-small"})}, true)
	above, _ := terminalText(out.String())
	want := []string{
		"08:00:00.000 INIT → SELECTING: the interface is up and has carrier (started)",
		"08:00:00.001 sent DISCOVER to all, the next one in 3.9s",
		"08:00:00.002 ignored ACK from 192.0.2.9 (02:00:00:00:00:09): no such answer is expected in this state (not-expected)",
		"08:00:00.003 received OFFER 192.0.2.52 from 192.0.2.1 (02:00:00:00:00:01)",
		"08:00:00.004 option interface-mtu is not used: the value is too small (too-small)",
	}
	if got := strings.Join(above, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("above the line stands\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// reports are what the runner reports of a short life.
func reports() []*runner.Report {
	status := boundUntil(3600, 7200)
	return []*runner.Report{
		{At: screenStart, Event: &client.Event{Kind: client.EventState, From: client.Init, To: client.Selecting, Reason: client.Started}, Reason: client.Started, Status: status},
		{At: screenStart, Event: &client.Event{Kind: client.EventSent, Type: dhcp4.Discover, Try: 1, Wait: 4e9, XID: 0x01020304}, Status: status},
		{At: screenStart, Event: &client.Event{Kind: client.EventReceived, Type: dhcp4.Nak, Server: dhcp4.MustParseAddr("192.0.2.1"), Text: []byte("no\x1b[2J\n\u202e")}, Status: status},
		{At: screenStart, Event: &client.Event{Kind: client.EventState, From: client.Checking, To: client.Bound, Reason: client.AddressFree}, Reason: client.AddressFree, Status: status},
		{At: screenStart, Configured: &setup.Config{Addr: dhcp4.Prefix{Addr: dhcp4.MustParseAddr("192.0.2.52"), Bits: 24}, Valid: 7200,
			Routes: []client.Route{{Via: dhcp4.MustParseAddr("192.0.2.1")}}, DNS: []dhcp4.Addr{dhcp4.MustParseAddr("192.0.2.53")}}, Status: status},
		{At: screenStart, Note: "eth0 is down", Status: status},
		{At: screenStart, Removed: true, Reason: client.Stopped, Status: status},
	}
}

// outputOf lets an output write the reports.
func outputOf(t *testing.T, g *globals) (last *runner.Status) {
	t.Helper()
	o := newClientOutput(g, "eth0", func() { t.Error("the output says that its reader has gone") })
	o.start()
	for _, r := range reports() {
		o.report(r)
	}
	return o.close()
}

// TestClientLines: in a pipe each step is a full line on standard error, with its reason and no
// relative time; what only -v shows stays away.
func TestClientLines(t *testing.T) {
	var stdout, stderr bytes.Buffer
	g := &globals{stdout: &stdout, stderr: &stderr, output: "table", utc: true}
	if s := outputOf(t, g); s == nil || s.Address != "192.0.2.52/24" {
		t.Errorf("the last status is %+v", s)
	}
	want := `2026-11-24T08:00:00Z eth0: INIT → SELECTING: the interface is up and has carrier (started)
2026-11-24T08:00:00Z eth0: received NAK from 192.0.2.1, saying "…"
2026-11-24T08:00:00Z eth0: CHECKING → BOUND: nobody answers for the address (address-free), 192.0.2.52/24 from 192.0.2.1, renew at 2026-11-24T09:00:00Z, ends at 2026-11-24T10:00:00Z
2026-11-24T08:00:00Z eth0: configured 192.0.2.52/24 for 2h00m, route default via 192.0.2.1, DNS 192.0.2.53
2026-11-24T08:00:00Z eth0 is down
2026-11-24T08:00:00Z eth0: took everything off the interface: the program ends (stopped)
`
	got := regexp.MustCompile(`saying ".*"`).ReplaceAllString(stderr.String(), `saying "…"`)
	if got != want || stdout.Len() != 0 {
		t.Errorf("standard error has\n%s\nwant\n%s\nstandard output has %q", got, want, stdout.String())
	}
	if strings.ContainsAny(stderr.String(), "\x1b\u202e") {
		t.Errorf("text from the network is not quoted: %q", stderr.String())
	}

	stderr.Reset()
	g.verbose, g.environ = true, []string{"JOURNAL_STREAM=8:1"}
	outputOf(t, g)
	if !strings.HasPrefix(stderr.String(), "eth0: INIT") || !strings.Contains(stderr.String(), "sent DISCOVER to all, the next one in 4.0s\n") {
		t.Errorf("-v in the journal: %s", stderr.String())
	}
	stderr.Reset()
	g.quiet = true
	outputOf(t, g)
	if stderr.Len() != 0 {
		t.Errorf("-q: %s", stderr.String())
	}
}

// TestClientSaysWhyItTakesNoOffer: once for each reason, until it is bound; answers to
// others' questions are not worth a word.
func TestClientSaysWhyItTakesNoOffer(t *testing.T) {
	var stderr bytes.Buffer
	o := newClientOutput(&globals{stdout: &bytes.Buffer{}, stderr: &stderr, environ: []string{"JOURNAL_STREAM=8:1"}}, "eth0", func() {})
	ignored := func(reason string) {
		o.one(shown{line: &runner.Line{Interface: "eth0", Event: "ignored", Message: "offer", Server: "192.0.2.1", Reason: reason}})
	}
	for range 3 {
		ignored("bad-mask")
		ignored("server-denied")
		ignored("other-xid")
		ignored("not-expected")
	}
	o.one(shown{line: &runner.Line{Interface: "eth0", Event: "state", From: "checking", To: "bound"}})
	ignored("bad-mask")
	const offer = "eth0: ignored OFFER from 192.0.2.1: "
	want := offer + "the subnet mask is no mask, or shorter than 8 bits (bad-mask)\n" +
		offer + "the server is not one of those that are allowed (server-denied)\n" +
		"eth0: CHECKING → BOUND\n" +
		offer + "the subnet mask is no mask, or shorter than 8 bits (bad-mask)\n"
	if stderr.String() != want {
		t.Errorf("got\n%s\nwant\n%s", stderr.String(), want)
	}
}

// TestClientJSONLines: -o jsonl writes everything to standard output, each thing one object.
func TestClientJSONLines(t *testing.T) {
	var stdout, stderr bytes.Buffer
	outputOf(t, &globals{stdout: &stdout, stderr: &stderr, output: "jsonl"})
	var events []string
	for line := range strings.Lines(stdout.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if l["at"] != "2026-11-24T08:00:00Z" {
			t.Errorf("at is %v", l["at"])
		}
		events = append(events, l["event"].(string))
	}
	if got := strings.Join(events, " "); got != "state sent received state configured note removed" || stderr.Len() != 0 {
		t.Errorf("events %s; standard error has %q", got, stderr.String())
	}
	if strings.ContainsAny(stdout.String(), "\x1b\u202e") {
		t.Errorf("text from the network is not quoted: %q", stdout.String())
	}
}

// stuck is a terminal that was stopped: its writer waits for good.
type stuck struct{ entered, until chan struct{} }

func (s stuck) Write(p []byte) (int, error) {
	select {
	case s.entered <- struct{}{}:
	default:
	}
	<-s.until
	return len(p), nil
}

// TestClientOutputNeverWaits: a terminal that is stopped keeps nothing from going on, and what was
// left out is said when it goes on.
func TestClientOutputNeverWaits(t *testing.T) {
	s := stuck{make(chan struct{}, 1), make(chan struct{})}
	o := newClientOutput(&globals{stdout: s, output: "jsonl"}, "eth0", func() {})
	o.start()
	o.report(reports()[0])
	<-s.entered
	begun := time.Now()
	for range 3 * clientQueue {
		o.report(reports()[0])
	}
	if got := o.close(); got != nil || time.Since(begun) > 2*time.Second {
		t.Errorf("it took %v", time.Since(begun))
	}
	if n := o.lost.Load(); n != 2*clientQueue {
		t.Errorf("%d are counted as lost", n)
	}
	close(s.until)
	<-o.done
}

// TestClientOutputGone: when nobody reads the data any more the client is ended, once.
func TestClientOutputGone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	gone := 0
	o := newClientOutput(&globals{stdout: w, output: "jsonl"}, "eth0", func() { gone++ })
	o.start()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	o.report(reports()[0])
	o.report(reports()[0])
	o.close()
	if err := w.Close(); err != nil || gone != 1 {
		t.Errorf("the client was ended %d times (%v)", gone, err)
	}
}

// TestClientErrors: what keeps a client from working has its exit code and a way out.
func TestClientErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		hint string
	}{
		{runner.ErrControlInUse, ExitConflict, "lessor client stop eth0"},
		{os.ErrPermission, ExitNoAccess, "sudo setcap"},
		{errors.New("no luck"), ExitFailed, ""},
	} {
		e, ok := errors.AsType[*ExitError](clientError("eth0", c.err))
		if !ok || e.Code != c.code || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%v: %+v", c.err, e)
		}
	}
}
