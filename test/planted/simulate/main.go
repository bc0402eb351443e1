// Command simulate runs seeds of one scenario until one of them breaks a promise, and
// says which as JSON: it is `lessor sim run` without all that the linker would have to
// look at besides.
//
//	simulate SCENARIO FROM SEEDS JOBS
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"

	"lessor/internal/sim"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("want SCENARIO FROM SEEDS JOBS")
	}
	s, err := sim.LoadScenario(args[0])
	if err != nil {
		return err
	}
	var n [3]uint64
	for i := range n {
		if n[i], err = strconv.ParseUint(args[1+i], 10, 64); err != nil {
			return err
		}
	}
	debug.SetGCPercent(400) // a run makes much garbage and keeps little
	m := sim.Many{From: n[0], Seeds: n[1], Jobs: int(n[2]), Run: sim.Live,
		Draw: func(seed uint64) *sim.Plan { return sim.Draw(seed, s) }}
	var found struct {
		Rule     string
		Seed     uint64
		Breaches []string
	}
	if t := m.Do(context.Background()); t.First != nil {
		found.Rule, found.Seed, found.Breaches = t.First.Result.Rule, t.First.Seed, t.First.Result.Breaches
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}
