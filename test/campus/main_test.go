// Package campus runs the real lessor binary as the server of a campus: many subnets
// behind relay agents of three kinds, and hundreds of real clients, each a machine of
// its own. The tests need root, and the programs that .ci/run installs; they fail, and
// never pass over anything, when one is missing.
package campus

import (
	"os"
	"testing"

	"lessor/internal/netlab"
	"lessor/test/e2e"
)

// lessor is the path of the binary that all tests run.
var lessor string

func TestMain(m *testing.M) { os.Exit(e2e.Main(m, &lessor)) }

var check = e2e.Check

func try[T any](v T, err error) func(*testing.T) T { return e2e.Try(v, err) }

// newLab makes a lab that lives as long as the test. The files of its hosts are in
// memory: each host copies /etc, and hundreds of copies on a busy disk take a minute.
func newLab(t *testing.T) *netlab.Lab {
	t.Helper()
	dir := try(os.MkdirTemp("/dev/shm", "lessor-campus-"))(t)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	l := try(netlab.New(dir))(t)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}
