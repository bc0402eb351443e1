package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lessor/internal/checker"
	"lessor/internal/trace"
	"lessor/internal/trace/tracefile"
)

const verifyLong = `Judge what servers did by the promises of docs/invariants.md, from the files that
"lessor serve --trace FILE" wrote and from captures of the wire (pcap or pcapng, whole
Ethernet frames, made where the server runs):

  tcpdump -i eth0 -s 0 -w wire.pcap 'arp or port 67 or port 68'

Several of each may be given, of several servers too. What was judged is printed, what
cannot be decided from these files and why, and every breach with its time.

With --state alone the history of a lease store is judged, while no server uses it: whether
one address was ever given to two clients at a time, or again before a lease and its grace had
ended. Nothing else can be decided from that, and nothing in the store is changed.

The exit code is 3 when a promise was broken, and 1 when a file cannot be read.`

// verifyFlags are the flags of lessor verify.
type verifyFlags struct {
	traces   []string
	captures []string
	state    string
}

func newVerify(g *globals) *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify --trace FILE --capture FILE",
		Short: "Judge what a server did by what Lessor promises",
		Long:  verifyLong,
		Example: "  lessor verify --trace server.trace --capture wire.pcap\n  lessor verify --trace a.trace --trace b.trace --capture wire.pcapng -o json\n" +
			"  lessor verify --state /var/lib/lessor",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.state != "" && len(f.traces)+len(f.captures) > 0:
				return &ExitError{Code: ExitUsage, Err: errors.New("--state excludes --trace and --capture"),
					Hint: "Judge a store by itself: lessor verify --state DIR"}
			case f.state != "":
				return verifyStore(cmd.Context(), g, f.state)
			case len(f.traces) == 0 && len(f.captures) > 0:
				return &ExitError{Code: ExitUsage, Err: errors.New("a capture alone does not say what was on disk when"),
					Hint: "Give the server's trace too, which \"lessor serve --trace FILE\" writes: --trace FILE"}
			case len(f.traces) == 0:
				return &ExitError{Code: ExitUsage, Err: errors.New("nothing to judge"),
					Hint: "Give a trace and a capture: lessor verify --trace FILE --capture FILE\nor a store: lessor verify --state DIR"}
			}
			return verifyFiles(g, &f)
		},
	}
	cmd.Flags().StringArrayVar(&f.traces, "trace", nil, "`file` that lessor serve --trace wrote (may be repeated)")
	cmd.Flags().StringArrayVar(&f.captures, "capture", nil, "capture of the wire, pcap or pcapng `file` (may be repeated)")
	cmd.Flags().StringVar(&f.state, "state", "", "judge the history of the lease store in this state `directory`")
	return cmd
}

// verdict is what verify found; its JSON form is the output of -o json.
type verdict struct {
	Servers   []string    `json:"servers,omitempty"`
	From      string      `json:"from,omitempty"`
	To        string      `json:"to,omitempty"`
	Entries   int         `json:"entries"`
	Commits   int         `json:"commits"`
	Changes   int         `json:"changes"`
	Captures  int         `json:"captures"`
	Frames    int         `json:"frames"`
	Judged    int         `json:"frames-judged"`
	Requests  int         `json:"requests"`
	Acks      int         `json:"acks"`
	Decided   []string    `json:"decided"`
	Undecided []undecided `json:"not-decided"`
	Notes     []string    `json:"notes"`
	Breaches  []breach    `json:"breaches"`

	// Of a store.
	Addresses   int `json:"addresses,omitempty"`
	Possessions int `json:"possessions,omitempty"`

	took time.Duration
}

// undecided are promises that cannot be judged from what was given, with the reason.
type undecided struct {
	Rules []string `json:"rules"`
	Why   string   `json:"why"`
}

// breach is one promise that was broken.
type breach struct {
	Rule   string    `json:"rule"`
	Time   time.Time `json:"time"`
	Server string    `json:"server"`
	What   string    `json:"what"`
}

func verifyFiles(g *globals, f *verifyFlags) error {
	var m tracefile.Merge
	for _, name := range f.captures { // first: what they hold, a running server has told by now
		if err := readFile(name, m.Capture); err != nil {
			return err
		}
	}
	for _, name := range f.traces {
		if err := readFile(name, m.Trace); err != nil {
			return err
		}
	}
	entries, st, notes := m.Done()
	if len(entries) == 0 {
		return exitf(ExitFailed, "%s: no server has written anything to it yet", strings.Join(f.traces, ", "))
	}
	v := &verdict{Servers: st.Servers, Entries: st.Written, Commits: st.Commits, Changes: st.Changes, Captures: st.Captures,
		Frames: st.Frames, Judged: st.Judged, Requests: st.Requests, Acks: st.Acks, Notes: append([]string{}, notes...),
		From: g.fine(st.From), To: g.fine(st.To), took: time.Duration(st.To - st.From), Breaches: []breach{}}
	v.Decided, v.Undecided = decidable(st.Judged > 0)
	seen := views(entries, v)
	for _, b := range checker.Check(entries) {
		if !slices.Contains(wireless, b.Rule) && !seen[b.Host].covers(b.T) {
			continue
		}
		v.Breaches = append(v.Breaches, breach{Rule: b.Rule, Time: time.Unix(0, b.T).UTC(), Server: b.Host, What: b.What})
	}
	return v.print(g)
}

// view is the time in which captures show what a server sent and received.
type view struct {
	from, to int64
	late     bool // the server was at work before
}

// settled is how long after its first frame a capture that was begun late is not believed: what it
// shows may answer what it does not show, in nanoseconds.
const settled = 2e9

func (w *view) covers(t int64) bool {
	return w != nil && t <= w.to && (t >= w.from && !w.late || t >= w.from+settled)
}

// views finds out which part of each server's work its captures show, and notes the rest.
func views(entries []trace.Entry, v *verdict) map[string]*view {
	seen := map[string]*view{}
	before, after := map[string]int{}, map[string]int{}
	for i := range entries {
		e := &entries[i]
		switch b := e.Body.(type) {
		case *trace.Frame:
			w := seen[e.Host]
			if w == nil {
				w = &view{from: e.T, late: before[e.Host] > 0}
				seen[e.Host] = w
			}
			w.to = e.T
			after[e.Host] = 0
		case *trace.Commit:
			if len(b.Changes) > 0 && seen[e.Host] == nil {
				before[e.Host]++
			} else if len(b.Changes) > 0 {
				after[e.Host]++
			}
		}
	}
	for _, s := range v.Servers {
		switch w := seen[s]; {
		case w == nil:
		case w.late:
			v.Notes = append(v.Notes, fmt.Sprintf("%s had made %s when the captures of it begin; only what came later is judged", s, numbered(before[s], "commit", "commits")))
		case after[s] > 1:
			v.Notes = append(v.Notes, fmt.Sprintf("%s made %s after the captures of it end; they are not judged", s, numbered(after[s], "commit", "commits")))
		}
	}
	return seen
}

// readFile hands an open file to read.
func readFile(name string, read func(string, io.Reader) error) error {
	file, err := os.Open(name)
	if err == nil {
		defer file.Close()
		err = read(name, file)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &ExitError{Code: ExitFailed, Err: fmt.Errorf("there is no file %s", name)}
	case err != nil:
		return &ExitError{Code: ExitFailed, Err: err, Hint: "Traces are what \"lessor serve --trace FILE\" writes; captures are pcap or pcapng files."}
	}
	return nil
}

// fine is a time to the microsecond.
func (g *globals) fine(t int64) string {
	at := time.Unix(0, t)
	if g.utc {
		at = at.UTC()
	}
	return at.Format("2006-01-02T15:04:05.000000Z07:00")
}

// wireless are the promises that a trace decides without a capture.
var wireless = []string{"I4", "I16", "I22"}

// decidable are the promises that traces with or without frames let decide, and the others.
func decidable(frames bool) (decided []string, not []undecided) {
	not = []undecided{
		{[]string{"I20"}, "clients write no trace; of I1 the servers' side is judged, which their side rests on"},
		{[]string{"L1"}, "nobody says when faults ended"},
		{[]string{"L3", "L4"}, "what a process occupies, and when an interface was ready, is not in a server's trace"},
		{[]string{"I18", "I19", "I21", "L5"}, "they are about parts that do not exist yet"},
	}
	if frames {
		return strings.Fields("I1 I2 I2b I3 I3b I4 I5 I6 I7 I8 I9 I10 I11 I12 I13 I14 I15 I16 I17 I22 L2"), not
	}
	const why = "there is no capture of what these servers sent and received"
	return wireless, append([]undecided{
		{strings.Fields("I1 I2 I2b I3 I3b I5 I6 I7 I8 I9 I10 I11 I12 I13 I14 I15 I17 L2"), why}}, not...)
}

// print writes the verdict; its error gives the exit code.
func (v *verdict) print(g *globals) error {
	for _, n := range v.Notes {
		g.say("note: %s", n)
	}
	var err error
	switch g.output {
	case "table", "wide":
		err = v.text(g)
	case "json":
		e := json.NewEncoder(g.stdout)
		e.SetIndent("", "  ")
		err = e.Encode(v)
	default:
		out := newLister(g, breachColumns(g))
		for i := range v.Breaches {
			if err := out.add(&v.Breaches[i]); err != nil {
				return err
			}
		}
		err = out.close()
	}
	if err == nil && len(v.Breaches) > 0 {
		err = exitf(ExitBad, "%s: %s", numbered(len(v.Breaches), "breach", "breaches"), strings.Join(v.rules(), ", "))
	}
	return err
}

// rules are the promises that were broken, in the order in which it showed.
func (v *verdict) rules() (out []string) {
	seen := map[string]bool{}
	for _, b := range v.Breaches {
		if !seen[b.Rule] {
			seen[b.Rule] = true
			out = append(out, b.Rule)
		}
	}
	return out
}

func numbered(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// text is the verdict for people.
func (v *verdict) text(g *globals) error {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	if len(v.Servers) > 0 {
		row("servers", "%s", printable(strings.Join(v.Servers, ", ")))
	}
	if v.From == "" {
		row("history", "%s, had by clients %d times", numbered(v.Addresses, "address", "addresses"), v.Possessions)
	} else {
		row("time", "%s to %s, %s", v.From, v.To, span(v.took))
		row("traces", "%s, %s of %s", numbered(v.Entries, "entry", "entries"), numbered(v.Commits, "commit", "commits"), numbered(v.Changes, "change", "changes"))
		row("captures", "%s: %s, %d of them to or from these servers: %s, %s", numbered(v.Captures, "file", "files"),
			numbered(v.Frames, "DHCP or ARP frame", "DHCP and ARP frames"), v.Judged, numbered(v.Requests, "REQUEST", "REQUESTs"), numbered(v.Acks, "ACK", "ACKs"))
	}
	row("decided", "%s", strings.Join(v.Decided, " "))
	for _, u := range v.Undecided {
		row("not decided", "%s: %s", strings.Join(u.Rules, " "), u.Why)
	}
	switch n := len(v.Breaches); {
	case n == 0:
		row("breaches", "%s", paint(g.colored, good, "none"))
	default:
		row("breaches", "%s", paint(g.colored, bad, fmt.Sprint(n)))
	}
	for _, x := range v.Breaches {
		fmt.Fprintf(&b, "\n%s  %s  %s\n  %s\n", paint(g.colored, bad, x.Rule), g.fine(x.Time.UnixNano()), printable(x.Server), printable(x.What))
	}
	_, err := io.WriteString(g.stdout, b.String())
	return err
}

func breachColumns(g *globals) []column[*breach] {
	text := func(f func(*breach) string) func(*breach) cell {
		return func(b *breach) cell { return cell{text: f(b)} }
	}
	return []column[*breach]{
		{name: "RULE", cell: text(func(b *breach) string { return b.Rule })},
		{name: "TIME", cell: text(func(b *breach) string { return g.fine(b.Time.UnixNano()) })},
		{name: "SERVER", cell: text(func(b *breach) string { return b.Server })},
		{name: "WHAT", cell: text(func(b *breach) string { return b.What })},
	}
}
