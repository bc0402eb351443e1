package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/relay/run"
	"lessor/internal/wire"
	"lessor/test/e2e"
)

// Addresses of a site: clients are on lan1 and lan2, the server on the core.
const (
	serverAddr = "192.0.2.1"
	relayAddr  = "192.0.2.2"
)

// site is a router with two links of clients and one to a server, with routes both ways.
type site struct {
	t      *testing.T
	lab    *netlab.Lab
	router *netlab.Host
	server *netlab.Host
	lans   [2]*netlab.Switch
	wire   [2]*netlab.Capture // of the lans
	core   *netlab.Capture
	agent  *netlab.Proc
	notify *netlab.Notify
}

// gateway is the router's address on lan n, 0 or 1.
func gateway(n int) dhcp4.Addr { return dhcp4.MustParseAddr(fmt.Sprintf("198.18.%d.1", n+1)) }

func newSite(t *testing.T) *site {
	t.Parallel()
	s := &site{t: t, lab: e2e.NewLab(t)}
	core := try(s.lab.Switch("core"))(t)
	s.router, s.server = try(s.lab.Host("router"))(t), try(s.lab.Host("server"))(t)
	check(t, core.Join(s.router, "eth0", relayAddr+"/24"))
	check(t, core.Join(s.server, "eth0", serverAddr+"/24"))
	check(t, s.router.Forward())
	check(t, s.server.AddRoute("198.18.0.0/16", relayAddr))
	s.core = e2e.Record(t, core)
	for n := range s.lans {
		s.lans[n] = try(s.lab.Switch(fmt.Sprintf("lan%d", n+1)))(t)
		check(t, s.lans[n].Join(s.router, fmt.Sprintf("eth%d", n+1), gateway(n).String()+"/24"))
		s.wire[n] = e2e.Record(t, s.lans[n])
	}
	return s
}

// relay starts lessor relay with arguments and waits until it is ready.
func (s *site) relay(args ...string) {
	s.t.Helper()
	s.notify = try(netlab.ListenNotify(filepath.Join(s.router.Root, "notify")))(s.t)
	s.t.Cleanup(func() { s.notify.Close() })
	s.agent = try(s.router.Start(netlab.Spec{
		Args: append([]string{lessor, "relay", "--log-format", "text", "--log-level", "debug"}, args...), Env: []string{s.notify.Env()}}))(s.t)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("the relay agent wrote:\n%s", e2e.Tail(s.agent.Output(), 6000))
		}
	})
	check(s.t, s.notify.Await(s.agent, "READY=1", 10*time.Second))
}

// simple are the arguments for both lans, with option 82.
var simple = []string{"--downstream", "eth1", "--downstream", "eth2", "--server", serverAddr, "--circuit-id", "${interface}", "--remote-id", "${hw-address}"}

// status asks the relay agent.
func (s *site) status() *run.Status {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out := try(s.router.Run(ctx, lessor, "relay", "status", "-o", "json"))(s.t)
	var st run.Status
	check(s.t, json.Unmarshal([]byte(out), &st))
	if st.Panics != 0 {
		s.t.Errorf("%d panics", st.Panics)
	}
	return &st
}

// dropped is the count of a reason.
func dropped(st *run.Status, reason string) uint64 {
	for _, c := range st.Dropped {
		if c.Name == reason {
			return c.Count
		}
	}
	return 0
}

// client joins a machine to lan n and starts a DHCP client on it.
func (s *site) client(kind netlab.Kind, n int) *netlab.Client {
	s.t.Helper()
	h := try(s.lab.Host(fmt.Sprintf("%s-%d", kind, n+1)))(s.t)
	check(s.t, s.lans[n].Join(h, "eth0"))
	c := h.Client(kind, "eth0")
	if kind == netlab.Lessor {
		c.Program = lessor
		c.Flags = []string{"--fast", "--resolv-conf", "/etc/resolv.conf"}
	}
	check(s.t, c.Start())
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("%s on lan%d wrote:\n%s", kind, n+1, e2e.Tail(c.Log(), 3000))
		}
	})
	return c
}

// bound waits until the client has an address of its lan.
func (s *site) bound(c *netlab.Client, n int) dhcp4.Addr {
	s.t.Helper()
	want := netip.MustParsePrefix(fmt.Sprintf("198.18.%d.0/24", n+1))
	a, err := c.Await(15*time.Second, want.Contains)
	if err != nil {
		s.t.Fatalf("%s on lan%d: %v", c.Kind, n+1, err)
	}
	out, _ := dhcp4.AddrFromNetip(a)
	return out
}

// agentInfo is the value of option 82, nil where there is none.
func agentInfo(f *netlab.Frame) []byte {
	v, ok := f.View()
	if !ok || !v.Has(dhcp4.OptDHCPAgentOptions) {
		return nil
	}
	b, _ := v.Get(dhcp4.OptDHCPAgentOptions, make([]byte, 0, 600))
	return b
}

// of reports whether the frame is a message of the client with the hardware address.
func of(f *netlab.Frame, mac wire.MAC) bool {
	v, ok := f.View()
	return ok && wire.MAC(v.CHAddr()) == mac
}

// writeFile writes a file on the router and returns its path.
func (s *site) writeFile(h *netlab.Host, name, text string) string {
	s.t.Helper()
	path := filepath.Join(h.Root, name)
	check(s.t, os.WriteFile(path, []byte(text), 0o644))
	return path
}
