package sim

import (
	"testing"

	"lessor/dhcp4"
	"lessor/internal/policy"
	"lessor/internal/trace"
)

// TestNetworksAreLivedIn: the scenarios of networks do what they are there for: messages come through
// agents of each kind, renewals past them, and guards, places and two names of one machine
// have their turn.
func TestNetworksAreLivedIn(t *testing.T) {
	seen := map[string]int{}
	for _, name := range []string{"relays", "campus", "classes", "moved-reservations"} {
		s, err := LoadScenario(name)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(25) {
			w := &witness{seen: seen, pol: map[string]*policy.Policy{}}
			if r := Run(Draw(1000+seed, s), w); r.Rule != "" {
				t.Errorf("seed %d of %s: %v", 1000+seed, name, r.Breaches)
			}
		}
	}
	t.Log(seen)
	for _, what := range []string{"relayed", "link selection", "own port", "snooped", "routed renewal", "ACK past the agent",
		"unknown agent", "relayed to a client", "second subnet", "guarded pool", "reserved by the agent's word", "second name", "forged giaddr"} {
		if seen[what] < 3 {
			t.Errorf("%s: seen %d times", what, seen[what])
		}
	}
}

// witness counts what servers and relay agents of a run met.
type witness struct {
	seen map[string]int
	pol  map[string]*policy.Policy // by server
	ids  map[string]string         // by client
}

// Entry implements Observer.
func (w *witness) Entry(e *trace.Entry) {
	switch b := e.Body.(type) {
	case *trace.Config:
		if b.Policy != nil {
			w.pol[e.Host] = b.Policy
		}
	case *trace.Client:
		if w.ids == nil {
			w.ids = map[string]string{}
		}
		if was, known := w.ids[e.Host]; known && b.What == trace.ClientAccept && was != string(b.ClientID) {
			w.seen["second name"]++
		}
		if b.What == trace.ClientAccept {
			w.ids[e.Host] = string(b.ClientID)
		}
	case *trace.Frame:
		var v dhcp4.View
		if len(b.Payload) > 0 && v.Parse(b.Payload) == nil {
			w.frame(e.Host, b, &v)
		}
	}
}

func (w *witness) frame(host string, f *trace.Frame, v *dhcp4.View) {
	p := w.pol[host]
	if p == nil {
		if f.Sent && host[0] == 'r' && v.Op() == 2 {
			w.seen["relayed to a client"]++
		}
		return
	}
	agent, _ := v.Get(dhcp4.OptDHCPAgentOptions, nil)
	has := func(sub uint8) bool { _, ok := policy.AgentOption(agent, sub); return ok }
	hw := v.CHAddr()
	mark := func(what string, is bool) {
		if is {
			w.seen[what]++
		}
	}
	if !f.Sent {
		mark("relayed", v.GIAddr() != 0)
		mark("link selection", has(dhcp4.AgentLinkSelection))
		mark("snooped", v.GIAddr() == 0 && has(dhcp4.AgentCircuitID))
		mark("unknown agent", v.GIAddr() != 0 && !p.KnownRelay(v.GIAddr()))
		mark("routed renewal", v.GIAddr() == 0 && v.CIAddr() != 0 && agent == nil && string(f.SrcMAC[:]) != string(hw))
		mark("forged giaddr", v.GIAddr() != 0 && len(hw) == 6 && hw[1] == 0x66)
		return
	}
	mark("own port", v.GIAddr() != 0 && f.DstPort != dhcp4.ServerPort)
	if v.MessageType() != dhcp4.Ack {
		return
	}
	a := v.YIAddr()
	mark("ACK past the agent", v.GIAddr() == 0 && f.DstMAC != [6]byte(hw) && !f.DstMAC.IsMulticast())
	mark("second subnet", byte(a>>8) >= secondOf)
	sn := p.SubnetOf(a)
	if sn == nil {
		return
	}
	pool := sn.PoolOf(a)
	mark("guarded pool", pool != nil && len(pool.Guards) > 0)
	if r := sn.Network.ReservedBy(a); r != nil {
		for _, k := range r.Keys {
			mark("reserved by the agent's word", k.Kind == policy.KeyCircuitID || k.Kind == policy.KeyRemoteID)
		}
	}
}
