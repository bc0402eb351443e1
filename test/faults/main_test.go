// Package faults breaks what lies below the real lessor binary (the power, the disk,
// the process itself) while test clients keep asking, and compares what was
// acknowledged on the wire with what is there afterwards. It needs root: namespaces,
// loop devices, seccomp. A test that cannot run fails.
package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"lessor/internal/netlab"
)

// lessor is the path of the binary that all tests run.
var lessor string

func TestMain(m *testing.M) {
	if at := os.Getenv(launchEnv); at != "" {
		launch(at) // becomes the supervised program
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make network namespaces and mounts and need root: sudo make test")
		return 1
	}
	if lessor = os.Getenv("LESSOR_E2E_BINARY"); lessor != "" {
		return m.Run() // an installed binary is to be tested
	}
	dir, err := os.MkdirTemp("", "lessor-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	lessor = filepath.Join(dir, "lessor")
	build := exec.Command("go", "build", "-o", lessor, "lessor/cmd/lessor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build lessor: %v\n%s", err, out)
		return 1
	}
	// A test runs the binary as a user without rights too.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// newLab makes a lab that lives as long as the test.
func newLab(t *testing.T) *netlab.Lab {
	t.Helper()
	l, err := netlab.New(t.TempDir())
	check(t, err)
	t.Cleanup(func() { check(t, l.Close()) })
	return l
}

// check stops the test if err is not nil.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// try returns v, or stops the test.
func try[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return v
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
