package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lessor/internal/control"
	"lessor/internal/netlab"
	"lessor/test/e2e"
)

// lifetime is the lease time of plainConfig, in seconds.
const lifetime = 3600

// plainConfig serves a pool that no test can exhaust.
const plainConfig = `interfaces: [eth0]
valid-lifetime: 1h
subnets:
  - {subnet: 198.18.0.0/15, pools: [198.18.1.0-198.19.255.254]}
`

// site is a machine for a server, a cable, and a machine with test clients.
type site struct {
	lab     *netlab.Lab
	host    *netlab.Host
	clients *netlab.Host
	station *e2e.Station
	conf    string // the configuration file
	state   string // the state directory
	socket  string // the control socket
}

// newSite makes a site whose server has the address 198.18.0.1.
func newSite(t *testing.T) *site {
	t.Helper()
	l := newLab(t)
	h, c := try(l.Host("server"))(t), try(l.Host("clients"))(t)
	check(t, l.Wire(h, "eth0", c, "eth0"))
	check(t, h.AddAddr("eth0", "198.18.0.1/15"))
	dir := filepath.Join(h.Root, "lessor")
	check(t, os.MkdirAll(dir, 0o755))
	s := &site{lab: l, host: h, clients: c, conf: filepath.Join(dir, "lessor.yaml"), state: filepath.Join(dir, "state"), socket: filepath.Join(dir, "control.sock")}
	s.configure(t, plainConfig)
	s.station = try(e2e.NewStation(c, "eth0"))(t)
	t.Cleanup(func() { s.station.Close() })
	return s
}

// configure writes the configuration file.
func (s *site) configure(t *testing.T, config string) {
	t.Helper()
	check(t, os.WriteFile(s.conf, []byte(config), 0o644))
}

// args is the command line of the site's server.
func (s *site) args() []string {
	return []string{lessor, "serve", "-c", s.conf, "--state", s.state, "--control", s.socket, "--log-format", "json"}
}

// server is a running `lessor serve`.
type server struct {
	*netlab.Proc
	site   *site
	notify *net.UnixConn
}

// start starts the site's server and waits until it is ready.
func (s *site) start(t *testing.T) *server {
	t.Helper()
	return s.startSpec(t, netlab.Spec{Args: s.args()})
}

// startSpec is start with another way to start the program.
func (s *site) startSpec(t *testing.T, spec netlab.Spec) *server {
	t.Helper()
	socket := filepath.Join(filepath.Dir(s.conf), "notify")
	_ = os.Remove(socket)
	n := &server{site: s}
	n.notify = try(net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"}))(t)
	check(t, os.Chmod(socket, 0o777)) // for a server of another user
	spec.Env = append(spec.Env, "NOTIFY_SOCKET="+socket)
	n.Proc = try(s.host.Start(spec))(t)
	t.Cleanup(func() {
		n.notify.Close()
		if t.Failed() {
			t.Logf("a server (pid %d) wrote:\n%s", n.PID(), tail(n.withoutLeases(), 3000))
		}
	})
	check(t, n.awaitReady(10*time.Second))
	return n
}

// withoutLeases is the server's log without the lines of which there is one for each lease.
func (n *server) withoutLeases() string {
	var b strings.Builder
	for line := range strings.Lines(n.Output()) {
		if !strings.Contains(line, "LEASE_ACK") && !strings.Contains(line, "offered-unchecked") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// awaitReady waits for the next READY=1.
func (n *server) awaitReady(timeout time.Duration) error {
	buf := make([]byte, 4096)
	for end := time.Now().Add(timeout); ; {
		_ = n.notify.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		got, err := n.notify.Read(buf)
		switch {
		case err == nil && bytes.Contains(buf[:got], []byte("READY=1")):
			return nil
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
		if err, ended := n.Wait(0); ended {
			return fmt.Errorf("lessor ended before it was ready: %v:\n%s", err, n.withoutLeases())
		}
		if time.Now().After(end) {
			return fmt.Errorf("lessor did not say READY=1 within %s:\n%s", timeout, n.withoutLeases())
		}
	}
}

// lines are the log's lines with this message id.
func (n *server) lines(id string) (ls []map[string]any) {
	for line := range strings.Lines(n.Output()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["id"] == id {
			ls = append(ls, m)
		}
	}
	return ls
}

// result is what a command did.
type result struct {
	code     int
	out, err string
}

// run runs lessor on the server's machine to its end. It fails the test if that takes too long.
func (s *site) run(t *testing.T, args ...string) result {
	t.Helper()
	return s.command(t, append([]string{lessor}, args...)...)
}

func (s *site) command(t *testing.T, args ...string) (r result) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	check(t, s.host.Do(cmd.Start))
	err := cmd.Wait()
	if _, bad := errors.AsType[*exec.ExitError](err); err != nil && !bad || ctx.Err() != nil {
		t.Fatalf("%q: %v (%v): %s", args, err, ctx.Err(), errs.String())
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// leases is what `lessor leases` knows: of the running server, or of the store
// itself when nothing runs.
func (s *site) leases(t *testing.T, running bool) map[string]control.Lease {
	t.Helper()
	args := []string{"leases", "--state", "all", "-o", "jsonl"}
	if running {
		args = append(args, "--connect", s.socket)
	} else {
		args = append(args, "--store", s.state)
	}
	r := s.run(t, args...)
	if r.code != 0 {
		t.Fatalf("lessor leases ended with %d: %s", r.code, r.err)
	}
	ls := map[string]control.Lease{}
	for line := range strings.Lines(r.out) {
		var l control.Lease
		check(t, json.Unmarshal([]byte(line), &l))
		ls[l.Address.String()] = l
	}
	return ls
}

// status is the answer of `lessor status`, and its exit code.
func (s *site) status(t *testing.T) (st control.Status, code int) {
	t.Helper()
	r := s.run(t, "status", "-o", "json", "--connect", s.socket)
	if err := json.Unmarshal([]byte(r.out), &st); err != nil {
		t.Fatalf("lessor status ended with %d and wrote %q, %q: %v", r.code, r.out, r.err, err)
	}
	return st, r.code
}
