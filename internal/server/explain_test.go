package server_test

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// explained is Handle, before which the packet is explained: that must change nothing, and
// foresee what Handle then asks for, octet by octet.
func explained(t interface {
	Helper()
	Fatalf(string, ...any)
}, c *server.Core, now lease.Instant, p *wire.Packet, e *server.Effects) {
	t.Helper()
	var tr server.Trace
	var fx server.Effects
	before := server.DumpOf(c)
	c.Explain(now, p, &tr, &fx)
	if after := server.DumpOf(c); after != before {
		t.Fatalf("Explain changed something:\n%s", difference(before, after))
	}
	replies, changes, probes, echoes, events := len(e.Replies), len(e.Changes), len(e.Probes), len(e.Echoes), len(e.Events)
	c.Handle(now, p, e)
	if tr.Check != 0 {
		if len(e.Replies) > replies {
			t.Fatalf("Explain says that %s is asked for first, and Handle answers at once", tr.Check)
		}
		return
	}
	for _, d := range []struct {
		what       string
		said, done any
	}{
		{"replies", fx.Replies, e.Replies[replies:]}, {"changes", fx.Changes, e.Changes[changes:]},
		{"probes", fx.Probes, e.Probes[probes:]}, {"echoes", fx.Echoes, e.Echoes[echoes:]}, {"events", fx.Events, e.Events[events:]},
	} {
		said, done := reflect.ValueOf(d.said), reflect.ValueOf(d.done)
		if said.Len()+done.Len() > 0 && !reflect.DeepEqual(d.said, d.done) {
			t.Fatalf("Explain foresees the %s\n%+v\nand Handle has\n%+v", d.what, d.said, d.done)
		}
	}
	if last := tr.Steps[len(tr.Steps)-1]; last.Stage != server.StageAnswer || last.Text == "" {
		t.Fatalf("the last step is %+v, no answer", last)
	}
}

// difference is the first lines in which two dumps differ.
func difference(a, b string) string {
	la, lb := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range la {
		if i >= len(lb) || la[i] != lb[i] {
			return strings.Join(la[i:min(i+3, len(la))], "\n") + "\n--\n" + strings.Join(lb[min(i, len(lb)):min(i+3, len(lb))], "\n")
		}
	}
	return b[len(a):]
}

// TestExplainChangesNothing drives the world of TestNoDoubleBinding, and explains each
// packet before it is handled.
func TestExplainChangesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, rt)
		w.explained = true
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			w.step()
			w.settle()
		}
	})
}

// TestExplainChecked: where an address is asked for by ARP first, the steps and the answer
// are those after its silence.
func TestExplainChecked(t *testing.T) {
	h := newHarness(t)
	conf, problems := config.Parse("one.yaml", []byte(`
interfaces: [eth0]
subnets:
  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.100]}
`))
	if conf == nil {
		t.Fatal(problems)
	}
	h.core.SetPolicy(h.now, conf.Policy(), &h.e)
	h.core.SetLinks(h.now, []wire.Link{{ID: 1, Name: "eth0", MAC: wire.MAC{2, 0, 0, 0, 0xff, 1}, MTU: 1500,
		Addrs: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("198.18.0.1"), Bits: 24}}}}, &h.e)
	h.core.SetCareful(h.now)
	pkt := newPacket(t, 1).packet()
	var tr server.Trace
	var fx server.Effects
	h.core.Explain(h.now, &pkt, &tr, &fx)
	last := tr.Steps[len(tr.Steps)-1]
	if tr.Check.String() != "198.18.0.100" || len(fx.Replies) != 1 || yiaddr(fx.Replies[0].Data) != tr.Check {
		t.Fatalf("check %s, replies %+v", tr.Check, fx.Replies)
	}
	if !strings.Contains(last.Text, "if nobody answers for 198.18.0.100") {
		t.Errorf("the answer is %q", last.Text)
	}
	networks := 0
	for _, s := range tr.Steps {
		if s.Stage == server.StageNetwork {
			networks++
		}
	}
	if networks != 1 {
		t.Errorf("the network is told %d times", networks)
	}
}
