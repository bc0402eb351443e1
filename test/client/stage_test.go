package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client/run"
	"lessor/internal/netlab"
	"lessor/internal/wire"
	"lessor/test/e2e"
)

// stage is a switch with our client, and the servers that a test puts beside it.
type stage struct {
	t      *testing.T
	lab    *netlab.Lab
	sw     *netlab.Switch
	srv    *netlab.Server // nil: the test plays the server
	host   *netlab.Host   // of the client
	client *netlab.Client
	rec    *netlab.Capture
	mark   int    // frames before it have been looked at
	before string // what the kernel and resolv.conf were before the client was started

	mu    sync.Mutex
	lines []run.Line
	seen  int // lines before it have been looked at
}

// resolvConf is the file in which the client writes DNS servers.
const resolvConf = "/etc/resolv.conf"

// newStage makes a stage without a server. The client has no random wait at the start
// and probes fast; flags come on top.
func newStage(t *testing.T, flags ...string) *stage {
	t.Helper()
	l := newLab(t)
	s := &stage{t: t, lab: l, sw: try(l.Switch("lan"))(t), host: try(l.Host("client"))(t)}
	check(t, s.sw.Join(s.host, "eth0"))
	s.rec = record(t, s.sw)
	s.client = s.newClient(s.host, flags...)
	check(t, s.host.WaitRunning("eth0", 5*time.Second))
	s.before = s.kernel()
	return s
}

// newClient is our client on eth0 of the host, whose lines the stage keeps.
func (s *stage) newClient(h *netlab.Host, flags ...string) *netlab.Client {
	c := h.Client(netlab.Lessor, "eth0")
	c.Program = lessor
	c.Flags = append([]string{"-o", "jsonl", "--fast", "--resolv-conf", resolvConf}, flags...)
	c.OnLine = s.line
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("the client wrote:\n%s", e2e.Tail(c.Log(), 8000))
		}
	})
	return c
}

// newServed is a stage with a server, which has what it takes to reach it.
func newServed(t *testing.T, kind netlab.ServerKind, sc netlab.Scope, flags ...string) *stage {
	t.Helper()
	s := newStage(t, flags...)
	s.srv = serve(t, s.lab, s.sw, "server", kind, sc)
	return s
}

// line takes a line of the client's output.
func (s *stage) line(text string) {
	var l run.Line
	if json.Unmarshal([]byte(text), &l) != nil {
		return // talk
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, l)
}

// awaitLine returns the next line of the client for which ok says yes, and moves past it.
func (s *stage) awaitLine(what string, within time.Duration, ok func(*run.Line) bool) run.Line {
	s.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		for s.seen < len(s.lines) {
			l := s.lines[s.seen]
			s.seen++
			if ok(&l) {
				s.mu.Unlock()
				return l
			}
		}
		s.mu.Unlock()
		if time.Now().After(end) {
			s.t.Fatalf("the client did not say within %s: %s", within, what)
		}
	}
}

// state waits until the client says that it is in the state, and why.
func (s *stage) state(to, why string, within time.Duration) {
	s.t.Helper()
	s.awaitLine(to+" because of "+why, within, func(l *run.Line) bool {
		return l.Event == "state" && l.To == to && l.Reason == why
	})
}

// wait returns the next frame for which ok says yes, and moves past it.
func (s *stage) wait(what string, within time.Duration, ok func(*netlab.Frame) bool) *netlab.Frame {
	s.t.Helper()
	f, mark, err := s.rec.Wait(s.mark, within, ok)
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	s.mark = mark
	return f
}

// message is wait for a DHCP message of the type from a host.
func (s *stage) message(from string, typ dhcp4.MessageType, within time.Duration) (*netlab.Frame, *dhcp4.View) {
	s.t.Helper()
	f := s.wait(fmt.Sprintf("message of type %d from %s", typ, from), within, func(f *netlab.Frame) bool { return f.From == from && f.Type() == typ })
	v, _ := f.View()
	return f, &v
}

// request waits for the client's next REQUEST in the form of a state and for the
// answer of the type, which it returns too. The answer may be to a repetition.
func (s *stage) request(state string, answer dhcp4.MessageType, within time.Duration) (req, ans *netlab.Frame) {
	s.t.Helper()
	req = s.wait("REQUEST in "+state, within, func(f *netlab.Frame) bool {
		return f.From == s.host.Name && f.Type() == dhcp4.Request && e2e.StateOf(f) == state
	})
	v, _ := req.View()
	ans = s.wait("answer to the REQUEST in "+state, 5*time.Second, func(f *netlab.Frame) bool {
		a, ok := f.View()
		return ok && a.Op() == 2 && a.XID() == v.XID() && f.Type() != dhcp4.Offer
	})
	if ans.Type() != answer {
		s.t.Fatalf("the REQUEST in %s was answered by %s, want type %d", state, ans, answer)
	}
	return req, ans
}

// held is a lease as the wire shows it.
type held struct {
	addr   dhcp4.Addr
	server dhcp4.Addr
	start  time.Time // of the REQUEST
	life   time.Duration
	t1, t2 time.Duration
}

func (h held) end() time.Time { return h.start.Add(h.life) }

// leaseOf is the lease that an ACK to a REQUEST gives.
func leaseOf(req, ack *netlab.Frame) held {
	v, _ := ack.View()
	sid, _ := v.Addr(dhcp4.OptDHCPServerIdentifier)
	h := held{addr: v.YIAddr(), server: sid, start: req.Time}
	seconds := func(c dhcp4.Code) time.Duration {
		n, _ := v.Uint32(c)
		return time.Duration(n) * time.Second
	}
	h.life, h.t1, h.t2 = seconds(dhcp4.OptDHCPLeaseTime), seconds(dhcp4.OptDHCPRenewalTime), seconds(dhcp4.OptDHCPRebindingTime)
	if h.t1 == 0 { // RFC 2131 4.4.5
		h.t1, h.t2 = h.life/2, h.life*7/8
	}
	return h
}

// bind starts the client and waits until it has a lease, by DISCOVER, and uses it.
func (s *stage) bind() held {
	s.t.Helper()
	check(s.t, s.client.Start())
	h := leaseOf(s.request("SELECTING", dhcp4.Ack, 20*time.Second))
	s.uses(h)
	return h
}

// uses waits until the address of the lease is on the interface.
func (s *stage) uses(h held) {
	s.t.Helper()
	_, err := s.client.Await(10*time.Second, func(a netip.Addr) bool { return a == h.addr.Netip() })
	check(s.t, err)
	s.awaitLine("configured "+h.addr.String(), 2*time.Second, func(l *run.Line) bool {
		return l.Event == "configured" && strings.HasPrefix(l.Address, h.addr.String()+"/")
	})
}

// gone waits until the interface has no address and returns when that was.
func (s *stage) gone(within time.Duration) time.Time {
	s.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(2 * time.Millisecond) {
		if len(s.host.Addrs("eth0")) == 0 {
			return time.Now()
		}
		if time.Now().After(end) {
			s.t.Fatalf("after %s the interface still has %v", within, s.host.Addrs("eth0"))
		}
	}
}

// stop ends the client by SIGTERM; everything must be as it was before it was started.
func (s *stage) stop() {
	s.t.Helper()
	if err := s.client.Proc().Stop(10 * time.Second); err != nil {
		s.t.Errorf("the client ended with %v", err)
	}
	s.asBefore("after the client was stopped")
}

// asBefore waits up to a second for everything to be as it was before the client was started.
func (s *stage) asBefore(when string) {
	s.t.Helper()
	now := ""
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if now = s.kernel(); now == s.before {
			return
		}
	}
	s.t.Errorf("%s this machine is\n%s\nbefore the client it was\n%s", when, now, s.before)
}

// kill ends the client by SIGKILL; what is on the interface stays.
func (s *stage) kill() {
	s.t.Helper()
	s.client.Kill()
	s.mark = s.rec.Mark()
}

// control runs "lessor client COMMAND eth0" beside the running client.
func (s *stage) control(command string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return try(s.host.Run(ctx, lessor, "client", command, "eth0", "-o", "json"))(s.t)
}

// alive expects the client to run still.
func (s *stage) alive() {
	s.t.Helper()
	if err, ended := s.client.Proc().Wait(0); ended {
		s.t.Errorf("the client ended by itself: %v", err)
	}
}

// block makes the switch drop messages of the client.
func (s *stage) block(b netlab.Block) {
	s.t.Helper()
	check(s.t, s.sw.Block(s.host, b))
}

// squatter is a host that has the address and asked nobody.
func (s *stage) squatter(a dhcp4.Addr) *netlab.Host {
	s.t.Helper()
	h := try(s.lab.Host("squatter"))(s.t)
	check(s.t, s.sw.Join(h, "eth0", a.String()+"/24"))
	return h
}

func (s *stage) mac() wire.MAC { return s.host.MAC("eth0") }

// ignored waits until the client says that it ignored a message, and why.
func (s *stage) ignored(why string) {
	s.t.Helper()
	s.awaitLine("ignored because of "+why, 2*time.Second, func(l *run.Line) bool { return l.Event == "ignored" && l.Reason == why })
}
