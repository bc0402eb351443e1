package cli

import (
	"os"
	"runtime/debug"
)

// gcPercent is how much garbage may come on top of the live heap of a server before it
// is collected. Bindings are most of that heap, and they hold no pointers: to mark a
// million of them costs next to nothing, while as much garbage again, which Go allows by
// default, would take twice their memory. The path of a packet makes hardly any garbage.
const gcPercent = 25

// limitGarbage sets gcPercent, unless the environment says what is wanted.
func limitGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
