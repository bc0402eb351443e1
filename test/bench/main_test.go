package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// lessor is the path of the binary that is measured.
var lessor string

// echoEnv names the variable by which this program, started again on a host of a lab,
// learns that it is to be the echo server; its value is the directory of the store, or noStore.
const echoEnv = "LESSOR_BENCH_ECHO"

func TestMain(m *testing.M) {
	if dir := os.Getenv(echoEnv); dir != "" {
		fmt.Fprintln(os.Stderr, serveEcho(dir))
		os.Exit(1)
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make network namespaces and need root: sudo make bench, or sudo make test")
		return 1
	}
	if lessor = os.Getenv("LESSOR_E2E_BINARY"); lessor != "" {
		return m.Run() // an installed binary is to be measured
	}
	dir, err := os.MkdirTemp("", "lessor-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	lessor = filepath.Join(dir, "lessor")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", lessor, "lessor/cmd/lessor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build lessor: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
