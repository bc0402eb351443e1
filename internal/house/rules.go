package house

import (
	"slices"
	"strings"
)

// Rules are the rules of the house.
type Rules struct {
	// Arrows says for each package which packages of the module it may import; "*"
	// means any.
	Arrows map[string][]string
	// Pure packages do no I/O, read no clock, start no goroutine and take no lock.
	Pure []string
	// Required names the pure packages that must exist.
	Required []string
	// Outer packages, and those below them, are what pure packages must not reach.
	Outer []string
	// Refused standard packages, and those below them, with the reason; Allowed are
	// the exceptions.
	Refused map[string]string
	Allowed []string
	// Uses are the single names that pure packages must not use.
	Uses []string
	// TestOnly modules may be imported by test files, and by TestPackages, which exist
	// for tests.
	TestOnly     []string
	TestPackages []string
}

// Lessor returns the rules of this module.
func Lessor() Rules {
	return Rules{
		Arrows: map[string][]string{
			"dhcp4":                    {},
			"internal/wire":            {"dhcp4"},
			"internal/lease":           {"dhcp4"},
			"internal/pool":            {"dhcp4"},
			"internal/policy":          {"dhcp4", "internal/wire", "internal/template"},
			"internal/server":          {"dhcp4", "internal/wire", "internal/lease", "internal/pool", "internal/policy"},
			"internal/store":           {"dhcp4", "internal/lease"},
			"internal/store/pebble":    {"dhcp4", "internal/lease", "internal/store"},
			"internal/store/memory":    {"dhcp4", "internal/lease", "internal/store"},
			"internal/store/storetest": {"dhcp4", "internal/lease", "internal/store"},
			"internal/event":           {"dhcp4", "internal/wire", "internal/lease", "internal/server"},
			"internal/link":            {"dhcp4", "internal/wire", "internal/spell"},
			"internal/link/memnet":     {"dhcp4", "internal/wire", "internal/link"},
			"internal/link/linktest":   {"dhcp4", "internal/wire", "internal/link"},
			"internal/config":          {"dhcp4", "internal/wire", "internal/lease", "internal/policy", "internal/spell", "internal/expr", "internal/template", "internal/relay"},
			"internal/clock":           {"dhcp4", "internal/lease"},
			"internal/trace":           {"dhcp4", "internal/wire", "internal/lease", "internal/pool", "internal/policy", "internal/server", "internal/store"},
			"internal/trace/tracefile": {"dhcp4", "internal/wire", "internal/lease", "internal/pool", "internal/policy", "internal/server", "internal/store", "internal/link", "internal/config", "internal/trace"},
			"internal/checker":         {"dhcp4", "internal/wire", "internal/lease", "internal/pool", "internal/policy", "internal/server", "internal/store", "internal/trace"},
			"internal/sim": {"dhcp4", "internal/wire", "internal/lease", "internal/pool", "internal/policy", "internal/server", "internal/client", "internal/client/run", "internal/spell", "internal/store",
				"internal/store/memory", "internal/store/pebble", "internal/config", "internal/link", "internal/event", "internal/engine", "internal/trace", "internal/checker",
				"internal/relay", "internal/template"},
			"internal/engine": {"dhcp4", "internal/trace", "internal/clock", "internal/wire", "internal/lease", "internal/pool", "internal/policy",
				"internal/server", "internal/event", "internal/store", "internal/link"},
			"internal/control": {"dhcp4", "internal/clock", "internal/wire", "internal/lease", "internal/pool", "internal/policy", "internal/server",
				"internal/event", "internal/store", "internal/link", "internal/engine", "internal/local"},
			"internal/local":        {},
			"internal/client":       {"dhcp4", "internal/wire", "internal/lease"},
			"internal/client/setup": {"dhcp4", "internal/wire", "internal/lease", "internal/client"},
			"internal/client/run": {"dhcp4", "internal/clock", "internal/wire", "internal/lease", "internal/link", "internal/event",
				"internal/local", "internal/client", "internal/client/setup"},
			"internal/relay":        {"dhcp4", "internal/wire", "internal/lease", "internal/template"},
			"internal/relay/run":    {"dhcp4", "internal/wire", "internal/lease", "internal/link", "internal/event", "internal/local", "internal/relay"},
			"internal/netlab":       {"dhcp4", "internal/wire"},
			"internal/cli":          {"*"},
			"internal/spell":        {},
			"internal/template":     {"internal/spell"},
			"internal/expr":         {"dhcp4", "internal/policy", "internal/spell"},
			"internal/house":        {},
			"cmd/lessor":            {"internal/cli"},
			"test/e2e":              {"*"},
			"test/planted/simulate": {"internal/sim"},
		},
		Pure: []string{"dhcp4", "internal/wire", "internal/lease", "internal/pool", "internal/policy", "internal/server",
			"internal/client", "internal/relay", "internal/template"},
		Required: []string{"dhcp4", "internal/wire", "internal/lease", "internal/pool", "internal/policy", "internal/server"},
		Outer: []string{"internal/engine", "internal/link", "internal/store", "internal/config", "internal/cli",
			"internal/event", "internal/clock", "internal/control", "internal/api", "internal/ui", "internal/netlab", "internal/client/run", "internal/client/setup", "internal/relay/run", "cmd"},
		Refused: map[string]string{
			"net":         "packets are inputs and effects",
			"os":          "files and processes belong to the engine and the store",
			"sync":        "one goroutine owns the state, so there is nothing to lock",
			"log":         "events say what happened; who logs is not the core's affair",
			"syscall":     "system calls belong to links and stores",
			"math/rand":   "a run must be repeatable; randomness is an input",
			"crypto/rand": "a run must be repeatable; randomness is an input",
			"testing":     "it is for test files",
			"C":           "the binary is pure Go",
		},
		Allowed: []string{"net/netip"},
		Uses: []string{"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc", "time.Tick",
			"time.NewTimer", "time.NewTicker", "time.Timer", "time.Ticker", "time.Local", "time.LoadLocation"},
		TestOnly: []string{"github.com/insomniacslk/dhcp", "github.com/cockroachdb/datadriven", "github.com/google/go-cmp",
			"github.com/santhosh-tekuri/jsonschema/v6", "pgregory.net/rapid"},
		TestPackages: []string{"internal/link/linktest", "internal/store/storetest", "test"},
	}
}

// below reports whether name is one of list or lies in the tree of one.
func below(name string, list []string) bool {
	return slices.ContainsFunc(list, func(l string) bool { return name == l || strings.HasPrefix(name, l+"/") })
}

func (r Rules) isOuter(name string) bool    { return below(name, r.Outer) }
func (r Rules) isTestOnly(name string) bool { return below(name, r.TestOnly) }

// refuse returns why a pure package must not import name, or nothing.
func (r Rules) refuse(name string) string {
	if slices.Contains(r.Allowed, name) {
		return ""
	}
	for refused, why := range r.Refused {
		if below(name, []string{refused}) {
			return why
		}
	}
	if first, _, _ := strings.Cut(name, "/"); strings.Contains(first, ".") {
		return "the core stands on the standard library alone"
	}
	return ""
}
