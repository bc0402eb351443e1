package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	runner "lessor/internal/client/run"
)

// clientScreen is the one line on a terminal that says where a client is:
//
//	SELECTING 1.2s → REQUESTING → BOUND 192.0.2.52 renew in 5h59m
//
// It is written again ten times a second at most. What is worth keeping is written
// above it.
type clientScreen struct {
	w     io.Writer
	color bool
	clock func(time.Time) string // to the millisecond
	width func() int

	trail  []clientStep // the steps of the present exchange, the last one under way
	sent   *runner.Line // the last message sent in the present state
	status *runner.Status
	addr   string // of the last status that had one
	drawn  string // what the line shows, "" for nothing
}

// clientStep is a state and when it began and ended.
type clientStep struct {
	state      string
	begun, end time.Time
}

// maxTrail bounds the steps of one exchange that are kept.
const maxTrail = 8

func newClientScreen(w io.Writer, color bool, clock func(time.Time) string) *clientScreen {
	return &clientScreen{w: w, color: color, clock: clock, width: func() int { return widthOf(w) }, trail: []clientStep{{state: "init"}}}
}

// begin shows a client that starts, or with s one that is in the middle of its life.
func (c *clientScreen) begin(s *runner.Status, now time.Time) {
	c.trail[0].begun = now
	if s == nil {
		return
	}
	c.learn(s)
	c.trail[0].state = s.State
	if n := len(s.Changes); n > 0 {
		c.trail[0].begun = s.Changes[n-1].At
	}
}

// learn takes in a status.
func (c *clientScreen) learn(s *runner.Status) {
	if c.status = s; s.Address != "" {
		c.addr, _, _ = strings.Cut(s.Address, "/")
	}
}

// see takes in one thing.
func (c *clientScreen) see(s shown, verbose bool) {
	l := s.line
	if s.status != nil {
		c.learn(s.status)
	}
	above := ""
	switch l.Event {
	case "state":
		above = c.step(l)
		if verbose {
			above = fmt.Sprintf("%s → %s%s", stateText(l.From), stateText(l.To), because(l.Reason))
		}
	case "sent":
		c.sent = l
		if verbose {
			above = messageText(l)
		}
	case "configured":
		if verbose {
			above = "configured " + l.Address + configText(l.Config)
		}
	case "removed":
		if verbose {
			above = "took everything off the interface" + because(l.Reason)
		}
	default:
		if worthALine(l, verbose) {
			above = messageText(l)
		}
	}
	if above != "" {
		stamp := c.clock(l.At)
		if !verbose {
			stamp, _, _ = strings.Cut(stamp, ".")
		}
		c.above(stamp+" "+above, lineStyle(l))
	}
	c.draw(l.At)
}

// lineStyle is the colour of a line above; none carries a meaning that its text does not.
func lineStyle(l *runner.Line) style {
	switch {
	case l.Event == "conflict", l.Event == "received" && l.Message == "nak", l.Event == "state" && lossOf(l):
		return bad
	case l.Event == "note", l.Event == "lost":
		return warn
	case l.Event == "ignored":
		return dim
	}
	return plain
}

// lossOf reports whether a step of the state takes an address away or gives an attempt up.
func lossOf(l *runner.Line) bool { return l.To == "init" && l.From != "init" }

// step takes in a change of the state and returns what is worth a line of its own: that
// an attempt or an address was lost, and why.
func (c *clientScreen) step(l *runner.Line) (above string) {
	if n := len(c.trail); n > 0 {
		c.trail[n-1].end = l.At
	}
	c.sent = nil
	switch {
	case l.From == "bound" && lossOf(l):
		c.trail = append(c.trail[:0], clientStep{state: l.From, begun: l.At, end: l.At})
	case l.From == "bound" || l.From == "init" || len(c.trail) == maxTrail:
		c.trail = c.trail[:0]
	case len(c.trail) == 0 && l.From != "":
		c.trail = append(c.trail, clientStep{state: l.From, begun: l.At, end: l.At})
	}
	c.trail = append(c.trail, clientStep{state: l.To, begun: l.At})
	if lossOf(l) {
		above = c.path(l.At) + because(l.Reason)
		c.trail = append(c.trail[:0], clientStep{state: l.To, begun: l.At})
	}
	return above
}

// path is the trail in words.
func (c *clientScreen) path(now time.Time) string {
	parts := make([]string, len(c.trail))
	for i, s := range c.trail {
		parts[i] = stateText(s.state)
		under := i == len(c.trail)-1
		took := s.end.Sub(s.begun)
		if under {
			took = now.Sub(s.begun)
		}
		switch {
		case s.state == "bound":
			if !under {
				parts[i] += " " + c.addr
			}
		case under && s.state == "init" && i > 0: // the end of an attempt
		case took >= time.Minute:
			parts[i] += " " + span(took)
		case took >= 100*time.Millisecond:
			parts[i] += fmt.Sprintf(" %.1fs", took.Seconds())
		}
	}
	return strings.Join(parts, " → ")
}

// text is the line at instant now.
func (c *clientScreen) text(now time.Time) string {
	text, s := c.path(now), c.status
	switch state := c.trail[len(c.trail)-1].state; {
	case s == nil:
	case state == "bound":
		text += " " + c.addr
		switch {
		case s.Renews != nil:
			text += " renew in " + span(max(s.Renews.Sub(now), 0))
		case s.Expires == nil:
			text += " for good"
		}
	case state == "renewing" || state == "rebinding":
		text += " " + c.addr
		if s.Expires != nil {
			text += " ends in " + span(max(s.Expires.Sub(now), 0))
		}
	}
	if c.sent != nil && c.sent.Try > 1 {
		text += fmt.Sprintf(", try %d", c.sent.Try)
	}
	if c.sent != nil && c.sent.Wait > 0 {
		if left := c.sent.At.Add(time.Duration(c.sent.Wait * float64(time.Second))).Sub(now); left >= time.Second {
			text += fmt.Sprintf(", asking again in %s", span(left))
		}
	}
	return text
}

// draw writes the line again if it has changed.
func (c *clientScreen) draw(now time.Time) {
	text := fit(c.text(now), c.width()-1)
	if text == c.drawn {
		return
	}
	c.drawn = text
	if i := strings.LastIndex(text, "BOUND "); i >= 0 && c.color {
		text = text[:i] + paint(true, good, "BOUND") + text[i+len("BOUND"):]
	}
	fmt.Fprintf(c.w, "\r%s\x1b[K", text)
}

// fit keeps the end of text, which says what is now, when it is longer than width.
func fit(text string, width int) string {
	n := utf8.RuneCountInString(text)
	if n <= width || width < 2 {
		return text
	}
	return "…" + string([]rune(text)[n-width+1:])
}

// above writes a line that stays.
func (c *clientScreen) above(text string, s style) {
	fmt.Fprintf(c.w, "\r\x1b[K%s\n", paint(c.color, s, text))
	c.drawn = ""
}

// end leaves the line as it is and goes to the next one; that there is nothing is not
// worth a line.
func (c *clientScreen) end(now time.Time) {
	if c.trail[len(c.trail)-1].state == "init" {
		fmt.Fprint(c.w, "\r\x1b[K")
		return
	}
	c.draw(now)
	fmt.Fprintln(c.w)
}
