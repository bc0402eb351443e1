package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/wire"
	"lessor/test/e2e"
)

const config = `
interfaces: [eth0]
valid-lifetime: 6s
subnets:
  - subnet: 198.18.0.0/24
    pools: [198.18.0.100-198.18.0.%d]
    options: {routers: 198.18.0.1, domain-name-servers: 198.18.0.53}
`

var serverAddr = dhcp4.MustParseAddr("198.18.0.1")

// stage is a server that writes a trace, on a switch that is captured.
type stage struct {
	t       *testing.T
	lab     *netlab.Lab
	sw      *netlab.Switch
	rec     *netlab.Capture
	host    *netlab.Host
	proc    *netlab.Proc
	notify  *netlab.Notify
	conf    string
	state   string
	trace   string
	capture string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, lab: newLab(t)}
	s.sw = try(s.lab.Switch("lan"))(t)
	s.host = try(s.lab.Host("server"))(t)
	check(t, s.sw.Join(s.host, "eth0", "198.18.0.1/24"))
	check(t, s.host.WaitRunning("eth0", 5*time.Second))
	// On the server's own interface, as its operator would: the time of a frame is when the
	// server sent it.
	s.rec = try(s.host.Capture("eth0"))(t)
	t.Cleanup(func() { check(t, s.rec.Stop()) })
	dir := t.TempDir()
	s.conf, s.state = filepath.Join(dir, "lessor.yaml"), filepath.Join(dir, "state")
	s.trace, s.capture = filepath.Join(dir, "server.trace"), filepath.Join(dir, "wire.pcap")
	s.notify = try(netlab.ListenNotify(filepath.Join(dir, "notify")))(t)
	t.Cleanup(func() { s.notify.Close() })
	s.configure(199)
	s.serve()
	return s
}

func (s *stage) configure(last int) {
	s.t.Helper()
	check(s.t, os.WriteFile(s.conf, fmt.Appendf(nil, config, last), 0o644))
}

func (s *stage) serve() {
	s.t.Helper()
	s.proc = try(s.host.Start(netlab.Spec{
		Args: []string{lessor, "serve", "-c", s.conf, "--state", s.state, "--control", filepath.Join(filepath.Dir(s.conf), "control.sock"), "--trace", s.trace},
		Env:  []string{s.notify.Env()},
	}))(s.t)
	p := s.proc
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("the server wrote:\n%s", e2e.Tail(p.Output(), 6000))
		}
	})
	check(s.t, s.notify.Await(s.proc, "READY=1", 10*time.Second))
}

// reload has the server read its configuration again.
func (s *stage) reload() {
	s.t.Helper()
	check(s.t, s.proc.Signal(syscall.SIGHUP))
	check(s.t, s.notify.Await(s.proc, "READY=1", 10*time.Second))
}

// kill ends the server as a crash would, and starts it again.
func (s *stage) kill() {
	s.t.Helper()
	check(s.t, s.proc.Signal(syscall.SIGKILL))
	if _, ended := s.proc.Wait(5 * time.Second); !ended {
		s.t.Fatal("the server lives on after SIGKILL")
	}
	s.serve()
}

// stop ends the server in order.
func (s *stage) stop() {
	s.t.Helper()
	check(s.t, s.proc.Signal(syscall.SIGTERM))
	if err, ended := s.proc.Wait(10 * time.Second); err != nil || !ended {
		s.t.Errorf("the server ended: %v, with %v", ended, err)
	}
}

// client starts a real client on a host of its own.
func (s *stage) client(kind netlab.Kind) *netlab.Client {
	s.t.Helper()
	h := try(s.lab.Host(string(kind)))(s.t)
	check(s.t, s.sw.Join(h, "eth0"))
	check(s.t, h.WaitRunning("eth0", 5*time.Second))
	c := h.Client(kind, "eth0")
	if kind == netlab.Lessor {
		c.Program = lessor
	}
	check(s.t, c.Start())
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("%s wrote:\n%s", kind, e2e.Tail(c.Log(), 3000))
		}
	})
	return c
}

func (s *stage) bound(c *netlab.Client) dhcp4.Addr {
	s.t.Helper()
	a := try(c.Await(30*time.Second, netip.Addr.IsValid))(s.t)
	addr, _ := dhcp4.AddrFromNetip(a)
	return addr
}

// acks are how many ACKs the server has sent.
func (s *stage) acks() (n int) {
	for _, f := range s.rec.Frames() {
		if f.Type() == dhcp4.Ack {
			n++
		}
	}
	return n
}

// crowd are test clients on one host.
type crowd struct {
	s       *stage
	station *e2e.Station
	server  wire.MAC
	xid     uint32
}

func (s *stage) crowd() *crowd {
	s.t.Helper()
	h := try(s.lab.Host("crowd"))(s.t)
	check(s.t, s.sw.Join(h, "eth0"))
	check(s.t, h.WaitRunning("eth0", 5*time.Second))
	c := &crowd{s: s, station: try(e2e.NewStation(h, "eth0"))(s.t), server: s.host.MAC("eth0"), xid: 0x5000}
	s.t.Cleanup(func() { check(s.t, c.station.Close()) })
	return c
}

func (c *crowd) mac(n int) wire.MAC { return wire.MAC{2, 0x77, 0, 0, byte(n >> 8), byte(n)} }

// ask sends a message and expects an answer of a type.
func (c *crowd) ask(m e2e.Msg, want dhcp4.MessageType) dhcp4.View {
	c.s.t.Helper()
	f, err := c.station.Exchange(m, 4*time.Second)
	if err != nil || f.Type() != want {
		c.s.t.Fatalf("message of type %d: answer %v (%v), want type %d", m.Type, f, err, want)
	}
	v, _ := f.View()
	return v
}

// bind gets client n an address.
func (c *crowd) bind(n int) dhcp4.Addr {
	c.s.t.Helper()
	c.xid += 2
	offer := c.ask(e2e.Discover(c.mac(n), c.xid), dhcp4.Offer)
	ack := c.ask(e2e.Select(c.mac(n), c.xid+1, offer.YIAddr(), serverAddr), dhcp4.Ack)
	return ack.YIAddr()
}

// release gives an address back.
func (c *crowd) release(n int, a dhcp4.Addr) {
	c.s.t.Helper()
	c.xid++
	m := e2e.Renew(c.mac(n), c.xid, a, serverAddr, c.server)
	m.Type, m.ServerID = dhcp4.Release, serverAddr
	c.tell(m)
}

// decline says that somebody else uses an address.
func (c *crowd) decline(n int, a dhcp4.Addr) {
	c.s.t.Helper()
	c.xid++
	m := e2e.Select(c.mac(n), c.xid, a, serverAddr)
	m.Type = dhcp4.Decline
	c.tell(m)
}

func (c *crowd) renew(n int, a dhcp4.Addr) {
	c.s.t.Helper()
	c.xid++
	c.ask(e2e.Renew(c.mac(n), c.xid, a, serverAddr, c.server), dhcp4.Ack)
}

// tell sends a message that has no answer.
func (c *crowd) tell(m e2e.Msg) {
	c.s.t.Helper()
	check(c.s.t, c.station.Send([][]byte{m.Frame()}))
}

// verdict is what verify says as JSON.
type verdict struct {
	Entries, Commits, Changes, Frames, Requests, Acks int
	Decided, Notes                                    []string
	Breaches                                          []struct{ Rule, Time, Server, What string }
}

// verify runs lessor verify and returns its exit code.
func verify(t *testing.T, args ...string) (v verdict, code int) {
	t.Helper()
	var out, talk bytes.Buffer
	cmd := exec.Command(lessor, append([]string{"verify", "-o", "json"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		check(t, err)
	}
	if code == 0 || code == 3 {
		check(t, json.Unmarshal(out.Bytes(), &v))
	} else {
		t.Logf("verify ended with %d: %s", code, talk.String())
	}
	return v, code
}
