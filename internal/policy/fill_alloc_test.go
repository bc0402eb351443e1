//go:build !race

package policy

import "testing"

func TestFillingAllocatesNothing(t *testing.T) {
	var f Filler
	v := templated(t, 12, "h-${address}-${circuit-id}-${hostname}-${hw-address}")
	facts := Facts{View: packetWithName(t, "laptop"), HW: []byte{2, 0, 0, 0, 0, 1}, Agent: agentOf("eth0")}
	buf := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() { f.Append(buf, v, &facts, 9) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
