//go:build soak

package setup

import "testing"

// TestSoakHooks is TestHookStartsAreFlat for longer (CVE-2019-14834).
func TestSoakHooks(t *testing.T) { flat(t, 100_000) }
