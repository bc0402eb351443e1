package sim

import (
	"reflect"
	"slices"
	"testing"

	"lessor/internal/client"
	"lessor/internal/config"
	"lessor/internal/engine"
)

// TestDrawIsDeterministic: one seed of a scenario is one plan, another seed another one, and
// the scenario's name and comment matter to neither.
func TestDrawIsDeterministic(t *testing.T) {
	s, err := LoadScenario(DefaultScenario)
	if err != nil {
		t.Fatal(err)
	}
	other := *s
	other.Name, other.Idea = "other", ""
	for seed := range uint64(50) {
		a := Draw(seed, s)
		if !reflect.DeepEqual(a, Draw(seed, s)) || !reflect.DeepEqual(a, Draw(seed, &other)) {
			t.Fatalf("seed %d has two plans", seed)
		}
		b := Draw(seed+1, s)
		if b.Seed = a.Seed; reflect.DeepEqual(a, b) {
			t.Errorf("seeds %d and %d have the same plan", seed, seed+1)
		}
	}
}

// TestDrawnPlans: whatever is drawn keeps within what a scenario says and what the promises
// are claimed for.
func TestDrawnPlans(t *testing.T) {
	for _, s := range Scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			for seed := range uint64(200) {
				checkPlan(t, s, Draw(seed, s))
			}
		})
		if t.Failed() {
			return
		}
	}
}

func checkPlan(t *testing.T, s *Scenario, p *Plan) {
	t.Helper()
	within := func(what string, v int64, of Span) {
		if v < of.Least || v > of.Most {
			t.Errorf("seed %d: %s is %d, not within %v", p.Seed, what, v, of)
		}
	}
	within("servers", int64(len(p.Servers)), s.Servers)
	within("clients", int64(len(p.Clients)), s.Clients)
	within("segments", int64(p.Segments), s.Segments)
	within("the healing", p.Heal, Span{second, p.End - 180*second})
	within("loss", int64(p.Net.Loss), Span{0, s.Loss.Most})
	within("lateness", p.Net.MaxDelay, Span{0, 64 * second})
	for _, sp := range p.Servers {
		if _, problems := config.Parse("drawn.yaml", []byte(sp.Config)); problems.Err() != nil {
			t.Errorf("seed %d: %v\n%s", p.Seed, problems.Err(), sp.Config)
		}
		within("a wall clock at the first boot", sp.Clock.Offset, Span{-20 * 366 * day, second})
		if s.Rare.Most == 0 && sp.Rare != (engine.Rare{}) {
			t.Errorf("seed %d: rare behaviour, which the scenario does not ask for", p.Seed)
		}
	}
	macs := map[string]bool{}
	for _, c := range p.Clients {
		if macs[string(c.MAC[:])] || macs[string(c.Config.ClientID)] && c.Config.ClientID != nil {
			t.Errorf("seed %d: two clients are one", p.Seed)
		}
		macs[string(c.MAC[:])], macs[string(c.Config.ClientID)] = true, true
		if (c.Config.Identifier == client.IdentifierFixed) != (len(c.Config.ClientID) >= 2) {
			t.Errorf("seed %d: client %s has the identifier %x", p.Seed, c.Name, c.Config.ClientID)
		}
	}
	checkSteps(t, s, p)
}

func checkSteps(t *testing.T, s *Scenario, p *Plan) {
	t.Helper()
	hosts := map[string]bool{}
	for _, h := range p.Servers {
		hosts[h.Name] = true
	}
	for _, h := range p.Clients {
		hosts[h.Name] = true
	}
	for _, h := range p.Relays {
		hosts[h.Name] = true
	}
	for i := range p.Hostiles {
		hosts[hostileName(i)] = true
	}
	powered, last := map[string]bool{}, map[string]string{}
	for _, st := range p.Steps {
		if st.Kind == StepPower {
			powered[st.Host] = true
		}
	}
	wall := map[string]int64{}
	for i, st := range p.Steps {
		switch {
		case st.Kind == StepNone || !hosts[st.Host] || st.Peer != "" && !hosts[st.Peer]:
			t.Errorf("seed %d: step %d is %v of %q", p.Seed, i, st.Kind, st.Host)
		case i > 0 && st.At < p.Steps[i-1].At:
			t.Errorf("seed %d: step %d is not in order", p.Seed, i)
		case st.At > p.Heal && st.Kind != StepReload, st.At+st.For > p.Heal && st.For > 0 && st.Kind != StepForge:
			t.Errorf("seed %d: step %v lasts until %d, after the healing", p.Seed, st.Kind, st.At+st.For-p.Heal)
		case st.Kind == StepWall && powered[st.Host]:
			if wall[st.Host] += st.Size; wall[st.Host] < 0 {
				t.Errorf("seed %d: the wall clock of %s is behind before a power cut", p.Seed, st.Host)
			}
		case st.Kind == StepReload:
			last[st.Host] = st.Text
		}
	}
	for host, text := range last {
		if _, problems := config.Parse("last.yaml", []byte(text)); problems.Err() != nil && slices.ContainsFunc(p.Steps, func(s Step) bool { return s.At > p.Heal && s.Host == host }) {
			t.Errorf("seed %d: %s is left with a bad configuration: %v", p.Seed, host, problems.Err())
		}
	}
}

// TestDrawnReloads: good configurations are good, bad ones bad, and there are both.
func TestDrawnReloads(t *testing.T) {
	s, err := LoadScenario("reload")
	if err != nil {
		t.Fatal(err)
	}
	good, bad, kinds := 0, 0, map[string]int{}
	for seed := range uint64(300) {
		for _, st := range Draw(seed, s).Steps {
			if st.Kind != StepReload {
				continue
			}
			_, problems := config.Parse("drawn.yaml", []byte(st.Text))
			if problems.Err() == nil {
				good++
				continue
			}
			bad++
			for _, p := range problems.Errors() {
				kinds[p.ID]++
			}
		}
	}
	t.Logf("%d good, %d bad: %v", good, bad, kinds)
	if good < bad*2 || bad < good/20 || len(kinds) < 5 || len(kinds) > 12 {
		t.Error("the mixture is wrong")
	}
}
