package house

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const root = "../.."

// TestTheHouse holds the rule of docs/architecture.md on the tree itself.
func TestTheHouse(t *testing.T) {
	packages, err := Load(os.DirFS(root), "lessor")
	if err != nil {
		t.Fatal(err)
	}
	for _, breach := range Check(packages, Lessor()) {
		t.Error(breach)
	}
}

// TestTheCheckerSees plants one breach at a time in a small module and looks for
// it, and makes sure that what is allowed passes.
func TestTheCheckerSees(t *testing.T) {
	good := map[string]string{
		"dhcp4/a.go":                 "package dhcp4\nimport (\"encoding/binary\"; \"net/netip\"; \"time\")\nvar _ = binary.BigEndian\nvar _ netip.Addr\nvar T = time.Second",
		"dhcp4/a_test.go":            "package dhcp4\nimport (\"os\"; \"pgregory.net/rapid\"; \"time\")\nvar _ = rapid.Check\nvar _ = os.Args\nvar _ = time.Now()",
		"dhcp4/testdata/x.go":        "not Go at all",
		"internal/wire/a.go":         "package wire\nimport \"lessor/dhcp4\"\nvar _ = dhcp4.T",
		"internal/lease/a.go":        "package lease\nimport \"lessor/dhcp4\"\nvar _ = dhcp4.T",
		"internal/pool/a.go":         "package pool\nimport \"lessor/dhcp4\"\nvar _ = dhcp4.T",
		"internal/policy/a.go":       "package policy\nimport (\"fmt\"; \"lessor/dhcp4\")\nvar _ = fmt.Sprint(dhcp4.T)",
		"internal/server/a.go":       "package server\nimport (\"lessor/internal/lease\"; \"lessor/internal/pool\")\nvar _, _ = lease.X, pool.X",
		"internal/engine/a.go":       "package engine\nimport (\"os\"; \"sync\"; \"time\"; \"lessor/internal/server\")\nfunc f() { go g(time.Now()) }\nvar _ sync.Mutex\nvar _, _ = os.Args, server.X",
		"internal/client/machine.go": "package client\nimport \"lessor/dhcp4\"\nvar _ = dhcp4.T",
		"cmd/lessor/main.go":         "package main\nimport (\"os\"; \"lessor/internal/cli\")\nfunc main() { os.Exit(cli.Main()) }",
	}
	rules := Lessor()
	rules.Arrows["internal/client"] = []string{"dhcp4"}
	check := func(plant map[string]string) []string {
		tree := fstest.MapFS{}
		for name, src := range good {
			tree[name] = &fstest.MapFile{Data: []byte(src)}
		}
		for name, src := range plant {
			tree[name] = &fstest.MapFile{Data: []byte(src)}
		}
		packages, err := Load(tree, "lessor")
		if err != nil {
			t.Fatal(err)
		}
		return Check(packages, rules)
	}
	if found := check(nil); len(found) != 0 {
		t.Fatalf("the checker complains about a good tree:\n%s", strings.Join(found, "\n"))
	}
	for _, c := range []struct{ file, src, want string }{
		{"dhcp4/b.go", "package dhcp4\nimport \"net\"", "dhcp4/b.go:2: dhcp4 → net: packets are inputs"},
		{"dhcp4/b.go", "package dhcp4\nimport \"golang.org/x/sys/unix\"", "dhcp4 → golang.org/x/sys/unix: the core stands"},
		{"dhcp4/b.go", "package dhcp4\nimport \"lessor/internal/wire\"", "dhcp4 imports internal/wire; arrows point down"},
		{"internal/lease/b.go", "package lease\nimport \"sync/atomic\"", "internal/lease → sync/atomic"},
		{"internal/pool/b.go", "package pool\nimport x \"os\"", "internal/pool → os: files"},
		{"internal/policy/b.go", "package policy\nimport \"log/slog\"", "internal/policy → log/slog: events"},
		{"internal/policy/b.go", "package policy\nimport \"math/rand/v2\"", "internal/policy → math/rand/v2: a run"},
		{"internal/server/b.go", "package server\nimport \"time\"\nvar x = time.Now()", "internal/server/b.go:3: internal/server uses time.Now"},
		{"internal/server/b.go", "package server\nimport clock \"time\"\nvar x = clock.Now", "internal/server uses time.Now"},
		{"internal/server/b.go", "package server\nimport . \"time\"\nvar x = Now()", "an import without a name of time"},
		{"internal/server/b.go", "package server\nimport \"time\"\nfunc f() { time.NewTimer(0) }", "uses time.NewTimer"},
		{"internal/server/b.go", "package server\nfunc f() { go f() }", "internal/server has a goroutine"},
		{"internal/server/b.go", "package server\nvar c chan int", "internal/server has a channel"},
		{"internal/server/b.go", "package server\nimport \"C\"", "internal/server → C"},
		{"internal/server/b.go", "package server\n//go:linkname now runtime.nanotime\nfunc now() int64", "has go:linkname"},
		{"internal/server/b.go", "package server\nimport \"lessor/internal/store\"", "internal/server → internal/store: the core does not know"},
		{"internal/wire/b.go", "package wire\nimport \"net/http\"", "internal/policy → internal/wire → net/http"},
		{"internal/client/b.go", "package client\nimport \"lessor/internal/engine\"", "internal/client → internal/engine"},
		{"internal/relay/b.go", "package relay\nimport \"os/exec\"", "internal/relay → os/exec"},
		{"internal/engine/b.go", "package engine\nimport \"lessor/internal/cli\"", "internal/engine imports internal/cli"},
		{"internal/engine/b.go", "package engine\nimport \"github.com/insomniacslk/dhcp/dhcpv4\"", "is for tests, not for the program"},
		{"cmd/lessor/b.go", "package main\nimport \"lessor/internal/engine\"", "cmd/lessor imports internal/engine"},
		{"internal/new/a.go", "package new\nimport \"fmt\"", "internal/new: the package has no row"},
	} {
		plant := map[string]string{c.file: c.src}
		if c.file == "internal/wire/b.go" {
			plant["internal/policy/b.go"] = "package policy\nimport \"lessor/internal/wire\""
		}
		found := check(plant)
		if !slices.ContainsFunc(found, func(s string) bool { return strings.Contains(s, c.want) }) {
			t.Errorf("planted %q in %s; want a complaint with %q, got:\n%s", c.src, c.file, c.want, strings.Join(found, "\n"))
		}
	}
	delete(good, "internal/lease/a.go")
	good["internal/server/a.go"] = "package server"
	if found := check(nil); !slices.Contains(found, "internal/lease: the package is not there") {
		t.Errorf("a missing package went unnoticed: %q", found)
	}
}
