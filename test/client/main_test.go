// Package client runs `lessor client` in network namespaces against DHCP servers that
// others wrote, and against lessor serve. The tests need root, and the programs that
// .ci/run installs; they fail, and never pass over anything, when one is missing.
package client

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
	record = e2e.Record
)

func try[T any](v T, err error) func(*testing.T) T { return e2e.Try(v, err) }
