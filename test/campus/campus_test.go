package campus

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/policy"
	"lessor/internal/wire"
)

// A campus of three routers, 20 subnets and 300 machines: each gets what the plan says,
// renews by unicast, and keeps its class and its reservation then, although a renewal carries
// no option 82.
func TestCampus(t *testing.T) {
	t.Parallel()
	start := time.Now()
	lap := func(what string, args ...any) {
		t.Logf("%5.1f s  %s", time.Since(start).Seconds(), fmt.Sprintf(what, args...))
	}
	s := newStage(t, links)
	cs := plan()
	for _, c := range cs {
		check(t, s.join(c))
	}
	lap("%d machines are there", len(cs))
	config := string(try(os.ReadFile("testdata/campus.yaml"))(t))
	serve(t, s.server, config)
	s.relay("a", links, "--circuit-id", "${interface}")
	s.dhcrelay("b", links)
	s.relay("c", links, "--remote-id", "router-c", "--link-selection", "--giaddr", routerAddr["c"])
	before := available(t)
	ls := newLives(cs)
	for _, c := range cs {
		check(t, c.run.Start())
	}
	lap("all clients are started")
	ls.await(t, s.wire, cs, bound, 30*time.Second)
	lap("all have an address")
	ls.await(t, s.wire, cs, renewed, 60*time.Second)
	lap("all have renewed; the clients take %d MiB", (before-available(t))>>20)

	checked := 0
	for _, c := range cs {
		checked += c.judge(t, ls.of[c.mac()])
	}
	s.upstream(cs, ls)
	s.known(cs, ls)
	lap("%d values of options were looked at", checked)
}

// available is how much memory this machine has left, in octets.
func available(t *testing.T) (n int64) {
	t.Helper()
	for line := range strings.Lines(string(try(os.ReadFile("/proc/meminfo"))(t))) {
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &n); err == nil {
			return n << 10
		}
	}
	t.Fatal("no MemAvailable in /proc/meminfo")
	return 0
}

// upstream holds how each client's messages reach the server: through its relay agent
// at first, and when it renews straight through the router, but for router c, whose clients
// renew through its agent.
func (s *stage) upstream(cs []*client, ls *lives) {
	s.t.Helper()
	type key struct {
		mac wire.MAC
		xid uint32
	}
	seen := map[key][]*netlab.Frame{}
	frames := s.backbone.Frames()
	for i := range frames {
		if v, ok := frames[i].View(); ok && v.HLen() == 6 {
			k := key{wire.MAC(v.CHAddr()), v.XID()}
			seen[k] = append(seen[k], &frames[i])
		}
	}
	for _, c := range cs {
		l, router := ls.of[c.mac()], "router-"+c.link.router()
		q, _ := l.bound.req.View()
		if !some(seen[key{c.mac(), q.XID()}], func(f *netlab.Frame, v *dhcp4.View) bool { return f.From == router && c.relayed(v) }) {
			s.t.Errorf("%s: its relay agent did not relay %s", c.name(), l.bound.req)
		}
		q, _ = l.renewals[0].req.View()
		a := q.CIAddr()
		renewal := seen[key{c.mac(), q.XID()}]
		if c.link.router() == "c" {
			if !some(renewal, func(f *netlab.Frame, v *dhcp4.View) bool { return f.From == router && c.relayed(v) }) {
				s.t.Errorf("%s does not renew through its relay agent: %v", c.name(), renewal)
			}
			continue
		}
		straight := some(renewal, func(f *netlab.Frame, v *dhcp4.View) bool {
			return f.From == router && f.Src == a && v.GIAddr() == 0 && !v.Has(dhcp4.OptDHCPAgentOptions)
		})
		answered := some(renewal, func(f *netlab.Frame, v *dhcp4.View) bool {
			return f.From == "server" && f.Dst == a && f.Type() == dhcp4.Ack
		})
		if !straight || !answered {
			s.t.Errorf("%s renews straight: %t, and is answered so: %t: %v", c.name(), straight, answered, renewal)
		}
	}
}

// relayed reports whether a message has what the relay agent of the client's router adds.
func (c *client) relayed(v *dhcp4.View) bool {
	agent, _ := v.Get(dhcp4.OptDHCPAgentOptions, nil)
	has := func(sub uint8, want string) bool {
		got, ok := policy.AgentOption(agent, sub)
		return ok && string(got) == want
	}
	first := at(c.link.subnets[0], 1)
	if c.link.router() != "c" {
		return v.GIAddr() == first && has(dhcp4.AgentCircuitID, c.link.name)
	}
	own, subnet := string(first.Append(nil)), string((first - 1).Append(nil))
	return v.GIAddr().String() == routerAddr["c"] && has(dhcp4.AgentRemoteID, "router-c") &&
		has(dhcp4.AgentLinkSelection, subnet) && has(dhcp4.AgentServerIDOverride, own)
}

// some reports whether ok says yes to one of the messages.
func some(frames []*netlab.Frame, ok func(*netlab.Frame, *dhcp4.View) bool) bool {
	for _, f := range frames {
		if v, _ := f.View(); ok(f, &v) {
			return true
		}
	}
	return false
}

// known expects that the server lists exactly the leases that the clients have.
func (s *stage) known(cs []*client, ls *lives) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out := try(s.server.Run(ctx, lessor, "leases", "-o", "jsonl", "--connect", control))(s.t)
	holds := map[string]string{}
	for line := range bytes.Lines([]byte(out)) {
		var l struct {
			Address string
			MAC     string `json:"hw-address"`
		}
		check(s.t, json.Unmarshal(line, &l))
		holds[l.Address] = l.MAC
	}
	if len(holds) != len(cs) {
		s.t.Errorf("the server lists %d leases, want %d", len(holds), len(cs))
	}
	for _, c := range cs {
		v, _ := ls.of[c.mac()].bound.ack.View()
		if a, mac := v.YIAddr().String(), fmt.Sprintf("%x", c.mac()); strings.ReplaceAll(holds[a], ":", "") != mac {
			s.t.Errorf("%s has %s, which the server gave to %q", c.name(), a, holds[a])
		}
	}
}
