package sim

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// Tone says what kind of thing a line tells, for colours.
type Tone uint8

// The tones.
const (
	ToneTalk   Tone = iota // messages, commits, what clients do
	ToneFaint              // what is of little interest
	ToneGood               // an ACK, a binding
	ToneFault              // what was done to the world
	ToneBreach             // the broken promise
	ToneGap                // lines that were left out
)

// Line is one line of a timeline.
type Line struct {
	At   int64  // true time since the start
	Who  string // "c2 → all", "s1 disk"
	Text string
	Tone Tone

	weight  uint8 // how much it matters
	message bool  // it is a DHCP message
	routine bool  // a renewal, or the same as before: of less interest
	addrs   []dhcp4.Addr
}

// How much lines matter.
const (
	hidden uint8 = iota // never of interest
	light
	normal
	heavy
	breach
)

// Timeline collects what happens in a run, for a reader.
type Timeline struct {
	lines   []Line
	macs    map[wire.MAC]string
	ids     map[string]string // client identifiers
	addrs   map[dhcp4.Addr]string
	clocks  map[string]clockSeen
	states  map[string]string // of clients
	flights map[string]*flight
	renewal map[uint32]bool   // xid of those
	said    map[string]string // the last message of a host
	frame   []dhcp4.Addr      // those that the last frame sent names
	broken  string            // what the breach says, "" without one
}

// clockSeen is what a host's clocks showed at its last entry.
type clockSeen struct {
	at    int64
	now   lease.Instant
	boot  lease.BootID
	drift int32
}

// flight is a message under way.
type flight struct {
	sent int64
	from string
	got  map[string]bool // hosts that have received it
}

// NewTimeline returns an empty one.
func NewTimeline() *Timeline {
	return &Timeline{macs: map[wire.MAC]string{}, ids: map[string]string{}, addrs: map[dhcp4.Addr]string{},
		clocks: map[string]clockSeen{}, states: map[string]string{}, flights: map[string]*flight{},
		renewal: map[uint32]bool{}, said: map[string]string{}}
}

// Entry takes the next entry of the trace.
func (t *Timeline) Entry(e *trace.Entry) { t.describe(e) }

// End takes what became of the run: it ended where it broke a promise.
func (t *Timeline) End(r *Result) {
	for _, b := range r.Breaches {
		if t.broken == "" {
			t.broken = b
		}
		at := int64(0)
		if n := len(t.lines); n > 0 {
			at = max(t.lines[n-1].At, r.Stats.Virtual)
		}
		if _, what, ok := strings.Cut(b, " s, "); ok {
			b = strings.TrimPrefix(what, ": ") // without the rule and the time, which have their own place, and without no host
		}
		t.lines = append(t.lines, Line{At: at, Who: "BREACH " + r.Rule, Text: b, Tone: ToneBreach, weight: breach})
	}
}

// Lines returns the timeline of the run, which is over: the most lines that matter most, in
// order, with a line for each stretch that was left out. A most of 0 returns all that
// tell anything.
func (t *Timeline) Lines(most int) []Line {
	shown := t.choose(most)
	var out []Line
	var gap gap
	for i := range t.lines {
		l := &t.lines[i]
		if !shown[i] {
			gap.add(l)
			continue
		}
		out = gap.close(out, l.At)
		out = append(out, *l)
	}
	if n := len(t.lines); n > 0 {
		out = gap.close(out, t.lines[n-1].At)
	}
	return out
}

// gap counts lines that are left out.
type gap struct {
	from     int64 // time of the last line shown
	lines    int   // that tell more than the state of a client
	messages int
}

func (g *gap) add(l *Line) {
	if l.weight > light {
		g.lines++
	}
	if l.message {
		g.messages++
	}
}

// close adds a line for the gap, if something was left out, before what is shown at a time.
func (g *gap) close(out []Line, at int64) []Line {
	what := plural(g.lines, "line")
	if g.messages > 0 {
		what = plural(g.messages, "message")
	}
	if g.lines > 0 {
		out = append(out, Line{At: at, Text: fmt.Sprintf("… %s, %s …", SpanText(at-g.from), what), Tone: ToneGap})
	}
	*g = gap{from: at}
	return out
}

// choose says which lines to show: the breach and the near of it before all, then what
// was done to the world, then what names the addresses of the breach.
func (t *Timeline) choose(most int) []bool {
	shown := make([]bool, len(t.lines))
	var order []int
	last := len(t.lines)
	for i := range t.lines {
		if t.lines[i].weight == breach {
			last = min(last, i)
		}
		if t.lines[i].weight > hidden {
			order = append(order, i)
		}
	}
	if most > 0 && len(order) > most {
		about := subject{addressesIn(t.broken), t.hostsIn(t.broken)}
		worth := make([]int, len(t.lines))
		near := 0
		for _, i := range slices.Backward(order) {
			worth[i] = t.worth(i, about)
			if i <= last && near < most/4 {
				near++
				worth[i] += 4
			}
		}
		slices.SortStableFunc(order, func(a, b int) int {
			if d := worth[b] - worth[a]; d != 0 {
				return d
			}
			return abs(a-last) - abs(b-last)
		})
		order = order[:most]
	}
	for _, i := range order {
		shown[i] = true
	}
	t.bridge(shown)
	return shown
}

// bridge shows what lies between two lines that are shown, where that is hardly more
// than the line that would say so.
func (t *Timeline) bridge(shown []bool) {
	const most = 2
	var left []int
	for i := range t.lines {
		switch {
		case shown[i]:
			if len(left) <= most {
				for _, j := range left {
					shown[j] = true
				}
			}
			left = left[:0]
		case t.lines[i].weight > hidden:
			left = append(left, i)
		}
	}
}

func abs(n int) int { return max(n, -n) }

// subject is what a breach is about.
type subject struct {
	addrs []dhcp4.Addr
	hosts []string
}

// worth is how much a line matters in a run whose breach is about something.
func (t *Timeline) worth(i int, about subject) int {
	l := &t.lines[i]
	w := [...]int{hidden: 0, light: 2, normal: 4, heavy: 9, breach: 100}[l.weight]
	if slices.ContainsFunc(l.addrs, func(a dhcp4.Addr) bool { return slices.Contains(about.addrs, a) }) {
		w += 3
	}
	if slices.ContainsFunc(strings.Fields(l.Who), func(h string) bool { return slices.Contains(about.hosts, h) }) {
		w += 2
	}
	if l.routine {
		w -= 2
	}
	return w
}

// addressesIn are those that the sentence of a breach names.
func addressesIn(breach string) []dhcp4.Addr {
	var as []dhcp4.Addr
	for _, word := range strings.FieldsFunc(breach, func(r rune) bool { return r != '.' && !unicode.IsDigit(r) }) {
		if a, err := dhcp4.ParseAddr(strings.Trim(word, ".")); err == nil {
			as = append(as, a)
		}
	}
	return as
}

// hostsIn are the clients that the sentence of a breach names, by name or hardware address.
func (t *Timeline) hostsIn(breach string) []string {
	var hosts []string
	for mac, host := range t.macs {
		named := slices.Contains(strings.FieldsFunc(breach, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), host)
		if strings.HasPrefix(host, "c") && (named || strings.Contains(breach, fmt.Sprintf("%x", mac[:]))) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// Print writes lines for a terminal of so many columns (0: no limit), which paint may colour.
func Print(w io.Writer, lines []Line, width int, paint func(Tone, string) string) error {
	if paint == nil {
		paint = func(_ Tone, s string) string { return s }
	}
	who := 0
	for i := range lines {
		if lines[i].Tone != ToneBreach {
			who = max(who, utf8.RuneCountInString(lines[i].Who))
		}
	}
	who = min(who, maxWho)
	for i := range lines {
		if err := printLine(w, &lines[i], who, width, paint); err != nil {
			return err
		}
	}
	return nil
}

// maxWho bounds the column that says who.
const maxWho = 20

func printLine(w io.Writer, l *Line, who, width int, paint func(Tone, string) string) error {
	const stamp = 14 // "  0:00:03.120 "
	lead := stamp + who + 2
	switch l.Tone {
	case ToneGap:
		_, err := fmt.Fprintf(w, "%s%s\n", strings.Repeat(" ", stamp), paint(l.Tone, l.Text))
		return err
	case ToneBreach:
		return printBreach(w, l, stamp, width, paint)
	}
	text := printable(l.Text)
	if width > 0 {
		text = shorten(text, max(width-lead, 20))
	}
	pad := strings.Repeat(" ", max(who-utf8.RuneCountInString(l.Who), 0)+2)
	_, err := fmt.Fprintf(w, "%*s %s%s%s\n", stamp-1, Clock(l.At), l.Who, pad, paint(l.Tone, text))
	return err
}

// printBreach writes the broken promise in full, over several lines where need be.
func printBreach(w io.Writer, l *Line, stamp, width int, paint func(Tone, string) string) error {
	rows := wrap(l.Who+"  "+printable(l.Text), max(width-stamp, 40), width > 0)
	for i, row := range rows {
		lead := strings.Repeat(" ", stamp)
		if i == 0 {
			lead = fmt.Sprintf("%*s ", stamp-1, "✗ "+Clock(l.At))
		}
		if _, err := fmt.Fprintln(w, paint(l.Tone, lead+row)); err != nil {
			return err
		}
	}
	return nil
}

// wrap breaks text between words into rows of at most n columns.
func wrap(text string, n int, on bool) []string {
	if !on {
		return []string{text}
	}
	var rows []string
	row := ""
	for _, word := range strings.Split(text, " ") {
		if row != "" && utf8.RuneCountInString(row)+1+utf8.RuneCountInString(word) > n {
			rows = append(rows, row)
			row = word
			continue
		}
		if row != "" {
			row += " "
		}
		row += word
	}
	return append(rows, row)
}

func shorten(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
}

// printable keeps texts from the network from moving the cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '�'
		}
		return r
	}, s)
}

// Clock is a time since the start of a run, as h:mm:ss.mmm.
func Clock(ns int64) string {
	sign := ""
	if ns < 0 {
		sign, ns = "-", -ns
	}
	ms := ns / 1e6
	return fmt.Sprintf("%s%d:%02d:%02d.%03d", sign, ms/3600_000, ms/60_000%60, ms/1000%60, ms%1000)
}

// SpanText is a duration in words, with its two largest units at most.
func SpanText(ns int64) string {
	ns = max(ns, -ns)
	pair := func(a int64, au string, b int64, bu string) string {
		if b == 0 {
			return fmt.Sprintf("%d %s", a, au)
		}
		return fmt.Sprintf("%d %s %d %s", a, au, b, bu)
	}
	const day = 24 * 3600
	switch s := ns / 1e9; {
	case ns < 1e6:
		return fmt.Sprintf("%d µs", ns/1e3)
	case ns < 1e9:
		return fmt.Sprintf("%d ms", ns/1e6)
	case s < 10:
		return fmt.Sprintf("%.1f s", float64(ns)/1e9)
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return pair(s/60, "min", s%60, "s")
	case s < day:
		return pair(s/3600, "h", s/60%60, "min")
	case s < 3*365*day:
		return pair(s/day, "d", s/3600%24, "h")
	default:
		return fmt.Sprintf("%.1f years", float64(s)/(365.25*day))
	}
}
