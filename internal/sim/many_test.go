package sim

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"lessor/internal/trace"
)

// failing is a Runner whose seeds in bad break a rule; each takes a while.
func failing(bad ...uint64) Runner {
	return func(p *Plan, _ func(*trace.Entry)) Result {
		r := Result{Plan: p, Stats: Stats{Messages: 2}}
		time.Sleep(time.Duration(p.Seed*7%5) * time.Millisecond) // so that runs end out of order
		for _, b := range bad {
			if p.Seed == b {
				r.Rule, r.Breaches = "I1", []string{"I1 at 1.000000000 s, s1: both"}
			}
		}
		return r
	}
}

func seedOnly(seed uint64) *Plan { return &Plan{Seed: seed} }

// TestManyReportsTheLowestSeed: whatever the number of cores.
func TestManyReportsTheLowestSeed(t *testing.T) {
	for jobs := 1; jobs <= 8; jobs++ {
		m := Many{From: 10, Seeds: 50, Jobs: jobs, Draw: seedOnly, Run: failing(24, 25, 26, 40)}
		tally := m.Do(t.Context())
		if tally.First == nil || tally.First.Seed != 24 {
			t.Fatalf("%d jobs: first failure %+v, want seed 24", jobs, tally.First)
		}
		if tally.Next < 25 || tally.Next > 25+uint64(jobs) {
			t.Errorf("%d jobs: went on to seed %d after a failure", jobs, tally.Next)
		}
		m.On = true
		if tally = m.Do(t.Context()); tally.Rules["I1"] != 4 || tally.Stats.Seeds != 50 || tally.Stats.Messages != 100 || tally.First.Seed != 24 || tally.Next != 60 {
			t.Errorf("%d jobs, going on: %+v", jobs, tally)
		}
	}
}

// TestManyEndsWithItsContext, at once and with what was reached.
func TestManyEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var stuck sync.WaitGroup
	stuck.Add(1)
	defer stuck.Done()
	m := Many{Jobs: 2, Draw: seedOnly, Run: func(p *Plan, _ func(*trace.Entry)) Result {
		if p.Seed == 20 {
			cancel()
			stuck.Wait() // a run that takes for ever
		}
		return Result{}
	}}
	done := make(chan Tally, 1)
	go func() { done <- m.Do(ctx) }()
	select {
	case tally := <-done:
		if n := tally.Stats.Seeds; n == 0 || n > 30 {
			t.Errorf("%d seeds", n)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("it waits for a run that does not end")
	}
}

// TestPanicIsABreach: with the place where it happened, and the same each time.
func TestPanicIsABreach(t *testing.T) {
	r := Guarded(func(*Plan, func(*trace.Entry)) Result { panic(fmt.Sprint("no", "thing")) }, seedOnly(1), nil)
	if r.Rule != RulePanic || len(r.Breaches) != 1 || !strings.Contains(r.Breaches[0], "lessor/internal/sim.TestPanicIsABreach") || !strings.Contains(r.Breaches[0], "nothing") {
		t.Errorf("%+v", r)
	}
}

// TestPickTakesTurns: each scenario has its seeds, and half of the library's go to the first.
func TestPickTakesTurns(t *testing.T) {
	all := Scenarios()
	count := map[string]int{}
	for seed := range uint64(2 * (len(all) - 1)) {
		count[Pick(seed, all, true).Name]++
	}
	for _, s := range all[1:] {
		if count[s.Name] != 1 {
			t.Errorf("%s ran %d times", s.Name, count[s.Name])
		}
	}
	if count[all[0].Name] != len(all)-1 {
		t.Errorf("%s ran %d times of %d", all[0].Name, count[all[0].Name], 2*(len(all)-1))
	}
	if Pick(4, all[:2], false) != all[0] || Pick(5, all[:2], false) != all[1] || Pick(5, all[:1], true) != all[0] {
		t.Error("named scenarios do not take turns")
	}
}
