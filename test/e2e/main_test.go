package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"lessor/internal/netlab"
)

// lessor is the path of the binary that all tests run.
var lessor string

func TestMain(m *testing.M) { os.Exit(Main(m, &lessor)) }

var (
	newLab = NewLab
	check  = Check
	record = Record
	tail   = Tail
)

func try[T any](v T, err error) func(*testing.T) T { return Try(v, err) }

// server is a running `lessor serve`.
type server struct {
	*netlab.Proc
	host   *netlab.Host
	conf   string // its configuration file
	state  string // its state directory
	notify *netlab.Notify
}

// serve starts lessor on h with a configuration and waits until it says by
// sd_notify that it is ready. Extra arguments go to the command line.
func serve(t *testing.T, h *netlab.Host, config string, args ...string) *server {
	t.Helper()
	dir := filepath.Join(h.Root, "lessor")
	check(t, os.MkdirAll(dir, 0o755))
	s := &server{host: h, conf: filepath.Join(dir, "lessor.yaml"), state: filepath.Join(dir, "state")}
	s.notify = try(netlab.ListenNotify(filepath.Join(dir, "notify")))(t)
	t.Cleanup(func() { s.notify.Close() })
	s.configure(t, config)
	s.Proc = try(h.Start(netlab.Spec{
		Args: append([]string{lessor, "serve", "-c", s.conf, "--state", s.state}, args...),
		Env:  []string{s.notify.Env()},
	}))(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server on %s wrote:\n%s", h.Name, tail(s.Output(), 6000))
		}
	})
	check(t, s.awaitReady(10*time.Second))
	return s
}

// configure writes the configuration file.
func (s *server) configure(t *testing.T, config string) {
	t.Helper()
	check(t, os.WriteFile(s.conf, []byte(config), 0o644))
}

// reload changes the configuration of the running server by SIGHUP and waits until
// it is in force.
func (s *server) reload(t *testing.T, config string) {
	t.Helper()
	s.configure(t, config)
	check(t, s.Signal(syscall.SIGHUP))
	check(t, s.awaitReady(10*time.Second))
}

// awaitReady waits for the next READY=1.
func (s *server) awaitReady(timeout time.Duration) error {
	return s.notify.Await(s.Proc, "READY=1", timeout)
}
