package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"lessor/internal/engine"
	"lessor/internal/trace"
)

// MaxShrinkRuns is how many runs Shrink makes at most.
const MaxShrinkRuns = 400

// Shrunk is a failing plan from which everything was taken that its failure does not
// need.
type Shrunk struct {
	Plan   *Plan
	Result Result
	From   *Plan // what it was made from
	Runs   int   // that it took
}

// Shrink makes of p, whose run breaks first, a plan that is as small as it finds with at
// most so many runs and whose run breaks the same rule first: it takes steps, hosts, faults
// of the links and the time after the breach away (delta debugging). It is deterministic. If
// p does not fail, the result is p itself.
func Shrink(run Runner, p *Plan, runs int) Shrunk {
	s := shrinker{run: run, left: runs}
	s.best, s.result, s.at = p, Result{Plan: p}, p.End
	if r, at := s.try(p); r.Rule != "" {
		s.rule = r.Rule
		s.take(p, r, at)
		s.all()
	} else {
		s.result = r
	}
	return Shrunk{Plan: s.best, Result: s.result, From: p, Runs: runs - s.left}
}

// shrinker is one shrinking under way.
type shrinker struct {
	run    Runner
	left   int // runs
	rule   string
	best   *Plan
	result Result
	at     int64 // of the first breach in best, true time since the start
	gained bool  // best has changed since the round began
}

// all tries everything, again and again while something still helps.
func (s *shrinker) all() {
	for s.gained = true; s.gained && s.left > 0; {
		s.gained = false
		s.tail()
		s.calm()
		s.steps()
		s.hosts()
		s.plainer()
		s.shorter()
		s.sooner()
	}
}

// try runs a plan and says when the first breach showed: a run ends with it.
func (s *shrinker) try(p *Plan) (r Result, at int64) {
	s.left--
	r = Guarded(s.run, p, func(e *trace.Entry) { at = e.T })
	return r, at
}

func (s *shrinker) take(p *Plan, r Result, at int64) {
	s.best, s.result, s.at, s.gained = p, r, at, true
}

// reroll is how many other dice are tried when a candidate does not fail with its own:
// what is taken away changes what all later dice mean.
const reroll = 2

// keep takes the candidate that edit makes of a copy of the best plan, if it still breaks the
// same rule. edit returns false for what would be no change.
func (s *shrinker) keep(rolls int, edit func(p *Plan) bool) bool {
	for roll := 0; roll <= rolls && s.left > 0; roll++ {
		p := s.best.clone()
		if !edit(p) {
			return false
		}
		p.Seed += uint64(roll)
		if r, at := s.try(p); r.Rule == s.rule {
			s.take(p, r, at)
			return true
		}
	}
	return false
}

// tail cuts off what lies after the breach.
func (s *shrinker) tail() {
	const after = int64(time.Second)
	end := s.at + after
	s.keep(0, func(p *Plan) bool {
		if end >= p.End {
			return false
		}
		p.End, p.Heal = end, min(p.Heal, end)
		p.Steps = slices.DeleteFunc(p.Steps, func(st Step) bool { return st.At > end })
		return true
	})
	// A promise of the healed phase shows only there: then nothing lies after the breach,
	// but the phase of faults can end earlier.
	for cut := s.best.Heal / 2; cut > int64(10*time.Second) && s.left > 0; cut /= 2 {
		s.keep(0, func(p *Plan) bool {
			heal := p.Heal - cut
			if p.Heal >= p.End || heal <= 0 {
				return false
			}
			p.Heal, p.End = heal, p.End-cut
			p.Steps = slices.DeleteFunc(p.Steps, func(st Step) bool { return st.At > heal })
			return true
		})
	}
}

// calm makes the links better.
func (s *shrinker) calm() {
	zero := func(of ...func(*NetPlan) *uint32) bool {
		return s.keep(reroll, func(p *Plan) bool {
			any := false
			for _, f := range of {
				any = any || *f(&p.Net) != 0
				*f(&p.Net) = 0
			}
			return any
		})
	}
	rates := []func(*NetPlan) *uint32{
		func(n *NetPlan) *uint32 { return &n.Loss }, func(n *NetPlan) *uint32 { return &n.Copy },
		func(n *NetPlan) *uint32 { return &n.Late }, func(n *NetPlan) *uint32 { return &n.Damage },
	}
	if zero(rates...) {
		return
	}
	for _, r := range rates {
		zero(r)
	}
}

// hosts takes clients, hostile stations and servers away.
func (s *shrinker) hosts() {
	s.reduce(len(s.best.Clients), 0, reroll, func(p *Plan, drop func(int) bool) {
		names := map[string]bool{}
		p.Clients = without(p.Clients, drop, func(c *ClientPlan) { names[c.Name] = true })
		p.forget(names)
	})
	s.reduce(len(s.best.Servers), 1, reroll, func(p *Plan, drop func(int) bool) {
		names := map[string]bool{}
		p.Servers = without(p.Servers, drop, func(c *ServerPlan) { names[c.Name] = true })
		p.forget(names)
	})
	s.reduce(len(s.best.Relays), 0, reroll, func(p *Plan, drop func(int) bool) {
		names := map[string]bool{}
		p.Relays = without(p.Relays, drop, func(r *RelayPlan) { names[r.Name] = true })
		p.forget(names)
	})
	s.keep(0, func(p *Plan) bool { return p.dropSilent() })
	s.keep(0, func(p *Plan) bool { c := len(p.Snoops) > 0; p.Snoops = nil; return c })
}

// steps takes steps away.
func (s *shrinker) steps() {
	s.reduce(len(s.best.Steps), 0, 0, func(p *Plan, drop func(int) bool) { p.Steps = without(p.Steps, drop, nil) })
}

// reduce is delta debugging (Zeller and Hildebrandt 2002, its half that removes) over a list of n,
// of which at least least stay: larger and smaller runs of it are dropped while the
// failure stays, with the dice as they are or with so many others.
func (s *shrinker) reduce(n, least, rolls int, edit func(p *Plan, drop func(int) bool)) {
	for size := n - least; size > 0 && s.left > 0; size /= 2 {
		for from := n - size; from >= 0 && s.left > 0; from -= size {
			if n-size < least {
				break
			}
			first := from
			if s.keep(rolls, func(p *Plan) bool {
				edit(p, func(i int) bool { return first <= i && i < first+size })
				return true
			}) {
				n -= size
				from = min(from, n) // what stood behind has been tried
			}
		}
	}
}

// plainer makes hosts ordinary: good clocks, quick disks, no rare behaviour.
func (s *shrinker) plainer() {
	for i := range s.best.Servers {
		for _, edit := range []func(v *ServerPlan) bool{
			func(v *ServerPlan) bool { c := v.Rare != (engine.Rare{}); v.Rare = engine.Rare{}; return c },
			func(v *ServerPlan) bool { c := v.Clock != (ClockPlan{}); v.Clock = ClockPlan{}; return c },
			func(v *ServerPlan) bool { c := v.Batch; v.Batch = false; return c },
			func(v *ServerPlan) bool { c := v.Latency[0] != v.Latency[1]; v.Latency[1] = v.Latency[0]; return c },
			func(v *ServerPlan) bool { c := v.Store != StoreModel; v.Store = StoreModel; return c },
		} {
			s.keep(0, func(p *Plan) bool { return edit(&p.Servers[i]) })
		}
	}
	for i := range s.best.Clients {
		s.keep(0, func(p *Plan) bool {
			c := &p.Clients[i]
			changed := c.Clock != ClockPlan{}
			c.Clock = ClockPlan{}
			return changed
		})
	}
}

// shorter makes what steps do small.
func (s *shrinker) shorter() {
	const second = int64(time.Second)
	for i := range s.best.Steps {
		for range 3 {
			if !s.keep(0, func(p *Plan) bool {
				st := &p.Steps[i]
				was := *st
				st.For = smaller(st.For, second)
				if st.Kind == StepWall || st.Kind == StepDiskSlow {
					st.Size = smaller(st.Size, second)
				} else if st.Kind == StepForge {
					st.Size = smaller(st.Size, 1)
				}
				return *st != was
			}) {
				break
			}
		}
	}
}

// sooner takes out time in which nothing is done: a step comes earlier, and all that
// follows it does.
func (s *shrinker) sooner() {
	const least = int64(time.Second)
	for i := range s.best.Steps {
		for range 4 {
			if !s.keep(0, func(p *Plan) bool {
				before := int64(0)
				if i > 0 {
					before = p.Steps[i-1].At
				}
				by := (p.Steps[i].At - before) / 4 * 3
				if by < least {
					return false
				}
				for j := i; j < len(p.Steps); j++ {
					p.Steps[j].At -= by
				}
				p.Heal, p.End = p.Heal-by, p.End-by
				return p.Heal > p.Steps[len(p.Steps)-1].At
			}) {
				break
			}
		}
	}
	for i := range s.best.Clients {
		s.keep(0, func(p *Plan) bool {
			c := &p.Clients[i]
			late := c.Start > least
			c.Start = min(c.Start, least)
			return late
		})
	}
}

// smaller is an eighth of v, either way, but at least least.
func smaller(v, least int64) int64 {
	switch {
	case v > least:
		return max(v/8, least)
	case v < -least:
		return min(v/8, -least)
	}
	return v
}

// clone copies what Shrink changes.
func (p *Plan) clone() *Plan {
	c := *p
	c.Servers = slices.Clone(p.Servers)
	c.Clients = slices.Clone(p.Clients)
	c.Hostiles = slices.Clone(p.Hostiles)
	c.Steps = slices.Clone(p.Steps)
	return &c
}

// without returns the list without those to drop, which gone is told of.
func without[T any](list []T, drop func(int) bool, gone func(*T)) []T {
	kept := list[:0:0]
	for i := range list {
		if !drop(i) {
			kept = append(kept, list[i])
		} else if gone != nil {
			gone(&list[i])
		}
	}
	return kept
}

// forget takes away the steps of hosts that are gone.
func (p *Plan) forget(hosts map[string]bool) {
	p.Steps = slices.DeleteFunc(p.Steps, func(st Step) bool {
		return hosts[st.Host] || st.Peer != "" && hosts[st.Peer]
	})
}

// dropSilent takes away the last hostile stations, as far as no step makes them speak: the
// others keep their numbers, and with them their luck.
func (p *Plan) dropSilent() bool {
	n := len(p.Hostiles)
	for n > 0 && !slices.ContainsFunc(p.Steps, func(st Step) bool { return st.Kind == StepForge && st.Host == hostileName(n-1) }) {
		n--
	}
	changed := n < len(p.Hostiles)
	p.Hostiles = p.Hostiles[:n]
	return changed
}

// String says what was taken away.
func (s *Shrunk) String() string {
	from, to := s.From, s.Plan
	var parts []string
	count := func(what string, was, is int) {
		if was != is {
			parts = append(parts, fmt.Sprintf("%s %d → %d", what, was, is))
		}
	}
	count("steps", len(from.Steps), len(to.Steps))
	count("servers", len(from.Servers), len(to.Servers))
	count("clients", len(from.Clients), len(to.Clients))
	count("relay agents", len(from.Relays), len(to.Relays))
	count("hostile stations", len(from.Hostiles), len(to.Hostiles))
	for _, r := range []struct {
		name    string
		was, is uint32
	}{
		{"loss", from.Net.Loss, to.Net.Loss}, {"copies", from.Net.Copy, to.Net.Copy},
		{"late frames", from.Net.Late, to.Net.Late}, {"damage", from.Net.Damage, to.Net.Damage},
	} {
		if r.was != r.is {
			parts = append(parts, "no "+r.name)
		}
	}
	if from.End != to.End {
		parts = append(parts, fmt.Sprintf("time %s → %s", SpanText(from.End), SpanText(to.End)))
	}
	if len(parts) == 0 {
		return fmt.Sprintf("nothing could be taken away (%d runs)", s.Runs)
	}
	return fmt.Sprintf("%s (%d runs)", strings.Join(parts, ", "), s.Runs)
}
