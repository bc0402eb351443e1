package sim

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"lessor/internal/trace"
)

// big is a plan with much in it.
func big() *Plan {
	p := &Plan{Seed: 5, Segments: 1, Heal: 3000 * second, End: 3600 * second, Net: NetPlan{Loss: 1000, Copy: 2000, Late: 3000, Damage: 4000}}
	for i := range 3 {
		p.Servers = append(p.Servers, ServerPlan{Name: fmt.Sprint("s", i+1), Batch: true, Clock: ClockPlan{Drift: 100}})
		p.Hostiles = append(p.Hostiles, [6]byte{2, 0, 0, 0, 0, byte(i)})
	}
	for i := range 9 {
		p.Clients = append(p.Clients, ClientPlan{Name: fmt.Sprint("c", i+1), Start: int64(i) * 30 * second})
	}
	for i := range 40 {
		p.Steps = append(p.Steps, Step{At: int64(i+1) * 60 * second, Kind: StepKill, Host: fmt.Sprint("s", 1+i%3), For: 100 * second})
	}
	p.Steps[17].Kind = StepForge
	p.Steps[17].Host, p.Steps[17].Size = hostileName(0), 50
	p.Steps[23].Kind, p.Steps[23].Host, p.Steps[23].Size = StepWall, "s2", -1_000_000*second
	return p
}

// needy is a Runner that breaks a rule if the plan has all of the needed in it, when
// the last of them happens.
func needy(runs *int) Runner {
	return func(p *Plan, see func(*trace.Entry)) Result {
		*runs++
		var forge, wall, client, server bool
		at := int64(0)
		for _, s := range p.Steps {
			switch {
			case s.Kind == StepForge && s.Host == hostileName(0) && len(p.Hostiles) > 0:
				forge, at = true, s.At
			case s.Kind == StepWall && s.Size <= -100*second:
				wall, at = true, s.At
			}
		}
		for _, c := range p.Clients {
			client = client || c.Name == "c4"
		}
		for _, c := range p.Servers {
			server = server || c.Name == "s2"
		}
		if see != nil {
			see(&trace.Entry{T: at, Body: &trace.Phase{}})
		}
		r := Result{Plan: p}
		switch {
		case forge && wall && client && server && p.Net.Late > 0 && at < p.Heal:
			r.Rule, r.Breaches = "I5", []string{"I5"}
		case len(p.Steps) > 3: // another promise, which must not be taken for the first
			r.Rule, r.Breaches = "I9", []string{"I9"}
		}
		return r
	}
}

// TestShrinkLeavesWhatIsNeeded: of 40 steps two, of 9 clients, 3 servers and 3 stations one
// each, of four faults of the links one; and it does so twice in the same way.
func TestShrinkLeavesWhatIsNeeded(t *testing.T) {
	var texts [2]string
	for i := range texts {
		runs := 0
		s := Shrink(needy(&runs), big(), MaxShrinkRuns)
		p := s.Plan
		if len(p.Steps) != 2 || len(p.Clients) != 1 || len(p.Servers) != 1 || len(p.Hostiles) != 1 {
			t.Errorf("left: %d steps, %d clients, %d servers, %d stations", len(p.Steps), len(p.Clients), len(p.Servers), len(p.Hostiles))
		}
		if n := p.Net; n.Loss != 0 || n.Copy != 0 || n.Damage != 0 || n.Late == 0 {
			t.Errorf("left of the links' faults: %+v", n)
		}
		if p.Servers[0].Batch || p.Servers[0].Clock.Drift != 0 {
			t.Errorf("the server is not plain: %+v", p.Servers[0])
		}
		for _, st := range p.Steps {
			if st.For > second || st.Size > 1 || st.Size < -1000*second {
				t.Errorf("the step is not small: %v", &st)
			}
		}
		if p.End > 60*second {
			t.Errorf("it still takes %s", SpanText(p.End))
		}
		if s.Result.Rule != "I5" || s.Runs > MaxShrinkRuns || s.Runs != runs {
			t.Errorf("rule %q, %d runs counted, %d made", s.Result.Rule, s.Runs, runs)
		}
		if got := s.String(); !strings.Contains(got, "steps 40 → 2, servers 3 → 1, clients 9 → 1, hostile stations 3 → 1, no loss, no copies, no damage") {
			t.Errorf("it says: %s", got)
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(text)
	}
	if texts[0] != texts[1] {
		t.Errorf("two shrinkings differ:\n%s\n%s", texts[0], texts[1])
	}
}

// TestShrinkIsBounded: with few runs it returns what it has, which still fails.
func TestShrinkIsBounded(t *testing.T) {
	for _, most := range []int{1, 2, 10, 50} {
		runs, again := 0, 0
		s := Shrink(needy(&runs), big(), most)
		if runs > most {
			t.Errorf("%d runs, allowed were %d", runs, most)
		}
		if r := needy(&again)(s.Plan, nil); r.Rule != "I5" {
			t.Errorf("after %d runs the plan breaks %q", most, r.Rule)
		}
	}
}

// TestShrinkDoesNotTouchThePlan: what it is given is as before.
func TestShrinkDoesNotTouchThePlan(t *testing.T) {
	runs := 0
	p := big()
	before, _ := json.Marshal(p)
	Shrink(needy(&runs), p, MaxShrinkRuns)
	if after, _ := json.Marshal(p); string(after) != string(before) {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
	p.Net.Late = 0
	p.Steps = p.Steps[:2]
	if s := Shrink(needy(&runs), p, MaxShrinkRuns); s.Plan != p || s.Runs != 1 || s.Result.Rule != "" {
		t.Errorf("a plan that does not fail became %+v", s)
	}
}

// TestShrinkInTheWorld: a promise that does not exist, broken by any ACK to c2 after a kill of
// its server, leaves one server, one client and one step of a real run.
func TestShrinkInTheWorld(t *testing.T) {
	planted := func(p *Plan, see func(*trace.Entry)) Result {
		killed, at := false, int64(0)
		r := Live(p, func(e *trace.Entry) {
			switch b := e.Body.(type) {
			case *trace.Ended:
				killed = true
			case *trace.Client:
				if killed && at == 0 && e.Host == "c2" && b.What == trace.ClientAccept {
					at = e.T
				}
			}
			if see != nil && at == 0 {
				see(e)
			}
		})
		r.Rule, r.Breaches = "", nil
		if at > 0 {
			r.Rule, r.Breaches, r.Stats.Virtual = "X1", []string{"X1 at 1.000000000 s, c2: has an address after a kill"}, at
		}
		return r
	}
	p := smallPlan()
	p.Clients = p.Clients[:3] // there is an address for each
	p.Net.Loss, p.Net.Copy = 50_000, 50_000
	for i := range 12 {
		p.Steps = append(p.Steps, Step{At: int64(i+1) * 200 * second, Kind: [...]StepKind{StepWall, StepSuspend, StepKill}[i%3], Host: "s1", Size: -second * 1000, For: 20 * second})
	}
	s := Shrink(planted, p, MaxShrinkRuns)
	if len(s.Plan.Steps) != 1 || s.Plan.Steps[0].Kind != StepKill || len(s.Plan.Clients) != 1 || len(s.Plan.Servers) != 1 || s.Plan.Net.Loss+s.Plan.Net.Copy != 0 {
		t.Errorf("%s: %+v", s.String(), s.Plan)
	}
	if s.Plan.End > 400*second {
		t.Errorf("it still takes %s", SpanText(s.Plan.End))
	}
	tl := NewTimeline()
	r := planted(s.Plan, tl.Entry)
	tl.End(&r)
	var b strings.Builder
	if err := Print(&b, tl.Lines(0), 80, nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"▶ kill", "s1        server is killed", "c2 → all  DISCOVER", "ACK 198.18.0.10", "BREACH X1  c2: has an address after a kill"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the timeline lacks %q:\n%s", want, b.String())
		}
	}
	t.Logf("%s\n%s", s.String(), b.String())
}
