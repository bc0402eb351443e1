//go:build soak

package server_test

import (
	"testing"

	"lessor/internal/wire"
)

// TestSoakTenMillionMessages: ten million messages of every kind grow the heap by less
// than an octet each (CVE-2012-3954, CVE-2018-5739).
func TestSoakTenMillionMessages(t *testing.T) {
	const messages = 10_000_000
	h, core := hostileCore(t)
	var packets []wire.Packet
	for n := range 100 {
		for _, m := range mixedMessages(t) {
			packets = append(packets, m(n).packet())
		}
	}
	run := func(count int) {
		for n := range count {
			one(t, h, &packets[n%len(packets)])
			if n%len(packets) == 0 {
				h.now.M, h.now.W = h.now.M+5e9, h.now.W+5e9
				core.Tick(h.now, &h.e)
			}
		}
	}
	run(messages / 100)
	before := heapInUse()
	run(messages)
	after := heapInUse()
	t.Logf("heap before %d, after %d octets", before, after)
	if after > before+messages {
		t.Errorf("the heap grew by %d octets over %d messages", after-before, messages)
	}
}
