// Package relay runs `lessor relay` between real clients and real servers, each a machine
// of its own in a network namespace. The tests need root, and the programs that .ci/run
// installs; they fail, and never pass over anything, when one is missing.
package relay

import (
	"os"
	"testing"

	"lessor/test/e2e"
)

// lessor is the path of the binary that all tests run.
var lessor string

func TestMain(m *testing.M) { os.Exit(e2e.Main(m, &lessor)) }

var check = e2e.Check

func try[T any](v T, err error) func(*testing.T) T { return e2e.Try(v, err) }
