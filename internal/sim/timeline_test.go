package sim

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"lessor/dhcp4"
	"lessor/internal/trace"
)

// told runs a plan and returns its timeline as it is printed.
func told(t *testing.T, p *Plan, most, width int, breaches ...string) string {
	t.Helper()
	tl := NewTimeline()
	r := Live(p, tl.Entry)
	if len(breaches) > 0 {
		r.Rule, r.Breaches = "I1", breaches
	}
	tl.End(&r)
	var b strings.Builder
	if err := Print(&b, tl.Lines(most), width, nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// inOrder fails if text does not hold all of these, one after the other.
func inOrder(t *testing.T, text string, want ...string) {
	t.Helper()
	rest := text
	for _, w := range want {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			t.Errorf("%q is not there, or not in its place:\n%s", w, text)
			return
		}
		rest = after
	}
}

// TestTimelineTellsEverything that was done and that came of it, each in its place.
func TestTimelineTellsEverything(t *testing.T) {
	p := smallPlan()
	p.Clients = p.Clients[:2]
	p.Heal, p.End = 900*second, 1000*second
	p.Servers[0].Latency = [2]int64{3_000_000, 3_000_000}
	p.Steps = []Step{
		{At: 100 * second, Kind: StepPower, Host: "s1", N: 1, For: 5 * second},
		{At: 200 * second, Kind: StepWall, Host: "s1", Size: 20 * 365 * 86400 * second},
		{At: 210 * second, Kind: StepDrift, Host: "c1", N: -150},
		{At: 300 * second, Kind: StepPart, Host: "c1", Peer: "s1", For: 100 * second},
		{At: 450 * second, Kind: StepReload, Host: "s1", Text: "interfaces: ["},
		{At: 500 * second, Kind: StepDiskError, Host: "s1", N: 1, For: 400 * second},
		{At: 600 * second, Kind: StepLinkDown, Host: "s1", N: 0, For: 10 * second},
	}
	text := told(t, p, 0, 0)
	inOrder(t, text,
		"  0:00:00.000 s1        server starts with 0 records from its store",
		"c1        client starts",
		"s1        serves eth0 198.18.0.1/24",
		"c1 → all  DISCOVER, xid ",
		"s1 → c1   OFFER 198.18.0.10", " for 300 s, xid ",
		"c1        is REQUESTING",
		"c1 → all  REQUEST 198.18.0.10", " of s1, xid ",
		"s1 disk   commit 198.18.0.10", " to c1 until 0:05:", ", synced in 3 ms",
		"s1 → c1   ACK 198.18.0.10", " for 300 s, xid ",
		"c1 → all  ARP: who has 198.18.0.10",
		"c1        has 198.18.0.10", " on its interface",
		"  0:01:40.000 s1        ▶ power cut, what was not synced is lost, for 5.0 s",
		"s1        loses power",
		"s1        eth0 is down",
		"s1        boots; its wall clock is as it was",
		"s1        server starts with 2 records from its store",
		"c1 → s1   REQUEST 198.18.0.10", ", renewing, xid ",
		"  0:03:20.000 s1        ▶ wall clock step +20.0 years",
		"s1        its wall clock steps by +20.0 years",
		"c1        ▶ clock rate -150 ppm",
		"c1        its clock runs -150 ppm",
		"  0:05:00.000 c1        ▶ partition: s1 does not hear it, for 1 min 40 s",
		"s1        a frame from c1 is cut off",
		"s1        refuses a configuration: ",
		"s1        ▶ disk error, for 6 min 40 s",
		"s1 disk   fails",
		"s1 disk   mark not written: ",
		"s1        knows that its store fails",
		"s1        eth0 is down",
		"s1        eth0 is ready with 198.18.0.1/24",
		"  0:15:00.000           ▶ no more faults from here on",
		"  0:16:40.000           end of the run",
	)
	if strings.Contains(text, "…") {
		t.Errorf("something was left out:\n%s", text)
	}
}

// TestTimelineTellsOfFrames: what is lost, late and copied, and what strangers send.
func TestTimelineTellsOfFrames(t *testing.T) {
	p := smallPlan()
	p.Heal, p.End = 900*second, 1000*second
	p.Net.Loss, p.Net.Copy, p.Net.Late = 200_000, 200_000, 200_000
	text := told(t, p, 0, 0)
	for _, want := range []string{"s1        a frame from c", "is lost\n", "s1 ← c", ": late by ", ": a copy, "} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not there:\n%s", want, text)
		}
	}
	tl := NewTimeline()
	var v dhcp4.View
	payload := make([]byte, 300)
	payload[0], payload[1], payload[2] = 1, 1, 6
	copy(payload[236:], []byte{99, 130, 83, 99, 53, 1, 1, 255})
	if err := v.Parse(payload); err != nil {
		t.Fatal(err)
	}
	tl.Entry(&trace.Entry{Host: "s1", Body: &trace.Frame{Payload: payload}})
	if got := tl.Lines(0); len(got) != 1 || got[0].Who != "s1 ← hostile" || got[0].Text != "DISCOVER in the name of hw 000000000000, xid 00000000" {
		t.Errorf("%+v", got)
	}
}

// TestTimelineIsCut to the lines that matter: what was done, the breach and what came
// before it; and it fits the terminal.
func TestTimelineIsCut(t *testing.T) {
	p := smallPlan()
	p.Net.Loss = 100_000
	p.Steps = []Step{{At: 1000 * second, Kind: StepKill, Host: "s1", For: second}}
	breach := "I1 at 7200.000000000 s, s1: 198.18.0.101 is promised to c1 until 2:02:10 and, as if that were not enough, to c3 also"
	for _, width := range []int{80, 100, 120} {
		text := told(t, p, 60, width, breach)
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		gaps := 0
		for _, l := range lines {
			if n := utf8.RuneCountInString(l); n > width {
				t.Errorf("%d columns of %d: %s", n, width, l)
			}
			if strings.HasPrefix(strings.TrimSpace(l), "…") {
				gaps++
			}
		}
		if n := len(lines) - gaps; n < 60 || n > 110 {
			t.Errorf("%d columns: %d lines besides %d gaps, at most 60 were to be chosen:\n%s", width, n, gaps, text)
		}
		inOrder(t, text, "server starts", "… ", " messages …", "▶ kill", "server is killed", "… ", " messages …", "198.18.0.101", "✗ 2:00:00.000 BREACH I1  s1: 198.18.0.101 is promised")
		if !strings.Contains(strings.Join(strings.Fields(text), " "), "as if that were not enough, to c3 also") {
			t.Errorf("the breach is not told in full:\n%s", text)
		}
	}
}

// TestTimelineIsSafeToPrint: texts of the network do not move the cursor.
func TestTimelineIsSafeToPrint(t *testing.T) {
	var b strings.Builder
	if err := Print(&b, []Line{{Who: "s1", Text: "NAK \x1b[2J\r\n"}, {Who: "BREACH", Text: "\x07", Tone: ToneBreach}}, 80, nil); err != nil {
		t.Fatal(err)
	}
	for _, r := range b.String() {
		if r < ' ' && r != '\n' {
			t.Errorf("%q", b.String())
		}
	}
	if strings.Count(b.String(), "\n") != 2 {
		t.Errorf("%q", b.String())
	}
}

func TestTimesInWords(t *testing.T) {
	for _, c := range []struct {
		ns          int64
		clock, span string
	}{
		{0, "0:00:00.000", "0 µs"}, {999_999, "0:00:00.000", "999 µs"}, {1_500_000, "0:00:00.001", "1 ms"},
		{2_340 * second / 1000, "0:00:02.340", "2.3 s"}, {59 * second, "0:00:59.000", "59 s"}, {60 * second, "0:01:00.000", "1 min"},
		{7984 * second, "2:13:04.000", "2 h 13 min"}, {86400 * second, "24:00:00.000", "1 d"}, {90 * 86400 * second, "2160:00:00.000", "90 d"},
		{-2 * second, "-0:00:02.000", "2.0 s"}, {20 * 365 * 86400 * second, "175200:00:00.000", "20.0 years"},
	} {
		if got := fmt.Sprint(Clock(c.ns), " ", SpanText(c.ns)); got != c.clock+" "+c.span {
			t.Errorf("%d: %s, want %s %s", c.ns, got, c.clock, c.span)
		}
	}
}
