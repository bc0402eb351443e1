package e2e

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lessor/internal/netlab"
)

// lessor is the path of the binary that all tests run.
var lessor string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make network namespaces and need root: sudo make test")
		return 1
	}
	// Tests with real clients wait nearly all the time, so as many run at once as there are.
	if err := flag.Set("test.parallel", "32"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if lessor = os.Getenv("LESSOR_E2E_BINARY"); lessor != "" {
		return m.Run() // an installed binary is to be tested
	}
	dir, err := os.MkdirTemp("", "lessor-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // other users run the binary too
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	lessor = filepath.Join(dir, "lessor")
	build := exec.Command("go", "build", "-o", lessor, "lessor/cmd/lessor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build lessor: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// newLab makes a lab that lives as long as the test.
func newLab(t *testing.T) *netlab.Lab {
	t.Helper()
	l, err := netlab.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// check stops the test if err is not nil.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// try returns v, or stops the test.
func try[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return v
	}
}

// server is a running `lessor serve`.
type server struct {
	*netlab.Proc
	host   *netlab.Host
	conf   string // its configuration file
	state  string // its state directory
	notify *net.UnixConn
}

// serve starts lessor on h with a configuration and waits until it says by
// sd_notify that it is ready. Extra arguments go to the command line.
func serve(t *testing.T, h *netlab.Host, config string, args ...string) *server {
	t.Helper()
	dir := filepath.Join(h.Root, "lessor")
	check(t, os.MkdirAll(dir, 0o755))
	s := &server{host: h, conf: filepath.Join(dir, "lessor.yaml"), state: filepath.Join(dir, "state")}
	socket := filepath.Join(dir, "notify")
	var err error
	if s.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.notify.Close() })
	s.configure(t, config)
	s.Proc = try(h.Start(netlab.Spec{
		Args: append([]string{lessor, "serve", "-c", s.conf, "--state", s.state}, args...),
		Env:  []string{"NOTIFY_SOCKET=" + socket},
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
	buf := make([]byte, 4096)
	for end := time.Now().Add(timeout); ; {
		_ = s.notify.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		n, err := s.notify.Read(buf)
		switch {
		case err == nil:
			for line := range strings.Lines(string(buf[:n])) {
				if strings.TrimSpace(line) == "READY=1" {
					return nil
				}
			}
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
		if err, ended := s.Wait(0); ended {
			return fmt.Errorf("lessor ended before it was ready: %v:\n%s", err, s.Output())
		}
		if time.Now().After(end) {
			return fmt.Errorf("lessor did not say READY=1 within %s:\n%s", timeout, s.Output())
		}
	}
}

// record captures on the switch. When the test fails, the last frames are shown.
func record(t *testing.T, s *netlab.Switch) *netlab.Capture {
	t.Helper()
	c := try(s.Capture())(t)
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		if !t.Failed() {
			return
		}
		frames := c.Frames()
		var b strings.Builder
		for _, f := range frames[max(0, len(frames)-60):] {
			b.WriteString(f.String() + "\n")
		}
		t.Logf("the last frames:\n%s", b.String())
	})
	return c
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
