package sim

import "path"

// Pick is the scenario of a seed: each of several in turn, but every other seed runs the first
// one of the whole library, which has everything in it.
func Pick(seed uint64, of []*Scenario, library bool) *Scenario {
	n := uint64(len(of))
	switch {
	case n == 1 || library && seed%2 == 0:
		return of[0]
	case library:
		return of[1+seed/2%(n-1)]
	}
	return of[seed%n]
}

// ScenarioText is the file of a scenario of the library.
func ScenarioText(name string) (string, error) {
	text, err := library.ReadFile(path.Join(libraryDir, name+".txt"))
	return string(text), err
}
