// Package verify has real clients served by the real binary, and `lessor verify` judge
// what the server wrote and what went over the wire; then it forges both and expects to be
// told. The tests need root, and the programs that .ci/run installs.
package verify

import (
	"os"
	"testing"

	"lessor/test/e2e"
)

// lessor is the path of the binary that all tests run.
var lessor string

func TestMain(m *testing.M) { os.Exit(e2e.Main(m, &lessor)) }

var (
	newLab = e2e.NewLab
	check  = e2e.Check
)

func try[T any](v T, err error) func(*testing.T) T { return e2e.Try(v, err) }
