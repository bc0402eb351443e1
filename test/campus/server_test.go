package campus

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"lessor/internal/netlab"
	"lessor/test/e2e"
)

// server is a running `lessor serve`.
type server struct {
	*netlab.Proc
	t      *testing.T
	conf   string // its configuration file
	notify *netlab.Notify
}

// control is the server's control socket, in its own /run.
const control = "/run/lessor.sock"

// serve starts lessor on h with a configuration and waits until it is ready. When the test
// ends, `lessor verify` judges all that it did.
func serve(t *testing.T, h *netlab.Host, config string) *server {
	t.Helper()
	dir := t.TempDir() // on a disk, unlike what the hosts have
	s := &server{t: t, conf: filepath.Join(dir, "lessor.yaml")}
	s.notify = try(netlab.ListenNotify(filepath.Join(dir, "notify")))(t)
	t.Cleanup(func() { s.notify.Close() })
	check(t, os.WriteFile(s.conf, []byte(config), 0o644))
	args := []string{lessor, "serve", "-c", s.conf, "--state", filepath.Join(dir, "state"), "--control", control}
	s.Proc = try(h.Start(netlab.Spec{
		Args: append(args, e2e.Judged(t, lessor, h, "eth0")...),
		Env:  []string{s.notify.Env()},
	}))(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server wrote:\n%s", e2e.Tail(s.Output(), 6000))
		}
	})
	check(t, s.notify.Await(s.Proc, "READY=1", 10*time.Second))
	return s
}

// reload changes the configuration of the running server and waits until it is in force.
func (s *server) reload(config string) {
	s.t.Helper()
	check(s.t, os.WriteFile(s.conf, []byte(config), 0o644))
	check(s.t, s.Signal(syscall.SIGHUP))
	check(s.t, s.notify.Await(s.Proc, "READY=1", 10*time.Second))
}
