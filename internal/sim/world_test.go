package sim

import (
	"fmt"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// smallPlan is one server with three addresses and four clients on a good network.
func smallPlan() *Plan {
	p := &Plan{Seed: 1, Segments: 1, Heal: 3600 * second, End: 2 * 3600 * second, Net: NetPlan{Base: [2]int64{50_000, 500_000}, MaxDelay: 3 * second}}
	p.Servers = []ServerPlan{{Name: "s1", Addrs: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("198.18.0.1"), Bits: 24}}, Latency: [2]int64{100_000, 5_000_000}, Config: `
interfaces: [eth0]
valid-lifetime: 300
subnets:
  - subnet: 198.18.0.0/24
    pools: [198.18.0.100-198.18.0.102]
`}}
	for i := range 4 {
		p.Clients = append(p.Clients, ClientPlan{Name: fmt.Sprint("c", i+1), MAC: wire.MAC{2, 0, 0x5e, 0, 0, byte(i + 1)}, Start: int64(i) * second, Plain: i == 3, Config: client.Config{Detection: client.DetectProbe}})
	}
	return p
}

type printer struct{ t *testing.T }

func (p printer) Entry(e *trace.Entry) {
	p.t.Logf("%.6f %s %s %+v", float64(e.T)/1e9, e.Host, e.Body.Kind(), e.Body)
}

func TestSmallWorld(t *testing.T) {
	var o Observer
	if testing.Verbose() {
		o = printer{t}
	}
	r := Run(smallPlan(), o)
	for _, b := range r.Breaches {
		t.Error(b)
	}
	t.Logf("%x %+v", r.Hash, r.Stats)
	if again := Run(smallPlan(), nil); again.Hash != r.Hash {
		t.Error("the same plan gave another history")
	}
	if r.Stats.Acks == 0 {
		t.Error("nobody was acknowledged")
	}
}

// TestPebbleWorld: the same with the real store, and crashes of each kind.
func TestPebbleWorld(t *testing.T) {
	plan := func() *Plan {
		p := smallPlan()
		p.Servers[0].Store = StorePebble
		for i := range 40 {
			kind := []StepKind{StepKill, StepPower, StepPower, StepPower, StepDiskError, StepStop}[i%6]
			s := Step{At: int64(60+80*i) * second, Kind: kind, Host: "s1", N: i % 4, For: second}
			if kind == StepPower {
				s.N = i%3 | (i%5)<<2
			}
			p.Steps = append(p.Steps, s)
		}
		return p
	}
	r := Run(plan(), nil)
	for _, b := range r.Breaches {
		t.Error(b)
	}
	t.Logf("%x %+v", r.Hash, r.Stats)
	for range 5 {
		if again := Run(plan(), nil); again.Hash != r.Hash {
			t.Error("the same plan gave another history")
		}
	}
}
