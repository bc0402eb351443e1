package sim

import (
	"embed"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// Scenario says what the runs of many seeds have in common: who takes part, and how much
// of what may go wrong. Each seed draws its own values from the spans. It is read from a
// small text of lines "key value"; ScenarioKeys says what there is.
type Scenario struct {
	Name string // of the file, without its ending
	Idea string // the comment at its beginning: the one idea it is about

	Servers, Clients, Segments Span    // how many
	Ratio                      Span    // clients to addresses, in thousandths
	Lease, Run                 Span    // nanoseconds
	Exchanges                  int64   // a run is cut to about so many exchanges
	Infinite                   Span    // how many seeds have leases without an end, parts per million
	Plain, Fast, Rare          Span    // how many clients, clients, seeds: parts per million
	Reservations               Span    // how many at the start
	Loss, Copies, Late, Damage Span    // of frames, parts per million
	Faults                     []Fault // in the order of faultKeys
	Stations                   Span    // hostile ones
	Hostile                    Span    // bursts of forged frames in a run
	Burst                      Span    // frames in one

	Nets Networks

	Store, Check, Grace, Probation, MatchID, Authoritative, RapidCommit, Identifiers, Detection, Forge []string // one of each is drawn
}

// Span is what a seed draws a value from, both ends included.
type Span struct{ Least, Most int64 }

// Fault is one kind of step and how many of them a run has.
type Fault struct {
	Key   string
	Count Span
}

// usualScenario is what holds where a scenario says nothing: a small network on which
// nothing goes wrong.
func usualScenario() *Scenario {
	s := &Scenario{
		Servers: Span{1, 1}, Clients: Span{2, 8}, Segments: Span{1, 1}, Ratio: Span{500, 1500},
		Lease: Span{8 * second, 3600 * second}, Run: Span{1200 * second, 3 * 3600 * second}, Exchanges: 400,
		Fast: Span{300_000, 300_000}, Reservations: Span{0, 2}, Stations: Span{1, 2}, Burst: Span{1, 60},
		Store: []string{"model"}, Check: []string{"arp"}, Grace: []string{"auto"}, Probation: []string{"day"},
		MatchID: []string{"yes"}, Authoritative: []string{"yes"}, RapidCommit: []string{"no"},
		Identifiers: []string{"mac", "none", "fixed"}, Detection: []string{"probe", "announce", "off"},
		Forge: slices.Clone(forgeWords), Nets: usualNetworks(),
	}
	for _, f := range faultKeys {
		s.Faults = append(s.Faults, Fault{Key: f.key})
	}
	return s
}

// Count is how many steps of kind key a run has.
func (s *Scenario) Count(key string) Span {
	for _, f := range s.Faults {
		if f.Key == key {
			return f.Count
		}
	}
	return Span{}
}

//go:embed scenarios/*.txt
var library embed.FS

const libraryDir = "scenarios"

// DefaultScenario is the name of the scenario that runs when none is named.
const DefaultScenario = "everything"

// Scenarios returns the library, by name but for DefaultScenario, which comes first.
func Scenarios() []*Scenario {
	files, err := library.ReadDir(libraryDir)
	if err != nil {
		panic(err) // it is part of the program
	}
	var all []*Scenario
	for _, f := range files {
		text, err := library.ReadFile(path.Join(libraryDir, f.Name()))
		if err != nil {
			panic(err)
		}
		s, err := ParseScenario(f.Name(), string(text))
		if err != nil {
			panic(err) // a test reads them all
		}
		all = append(all, s)
	}
	first := slices.IndexFunc(all, func(s *Scenario) bool { return s.Name == DefaultScenario })
	all[0], all[first] = all[first], all[0]
	slices.SortFunc(all[1:], func(a, b *Scenario) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// maxScenario bounds a file, in octets.
const maxScenario = 1 << 16

// LoadScenario returns the scenario of the library that is called name; a name with a
// slash or a dot is that of a file.
func LoadScenario(name string) (*Scenario, error) {
	if !strings.ContainsAny(name, "/.") {
		var names []string
		for _, s := range Scenarios() {
			if s.Name == name {
				return s, nil
			}
			names = append(names, s.Name)
		}
		return nil, fmt.Errorf("there is no scenario %q%s; a file is named with its path, such as ./%s", name, didYouMean(name, names), name)
	}
	info, err := os.Stat(name)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxScenario) {
		err = fmt.Errorf("%s is no scenario: it must be a file of at most %d octets", name, maxScenario)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a scenario: %w", err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading a scenario: %w", err)
	}
	return ParseScenario(name, string(text))
}
