package control_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"lessor/internal/clock"
	"lessor/internal/config"
	"lessor/internal/control"
	"lessor/internal/engine"
	"lessor/internal/event"
	"lessor/internal/link/memnet"
	"lessor/internal/store/memory"
)

// listen starts an engine over the network in memory and its control socket.
func listen(t *testing.T) (path string) {
	t.Helper()
	c, problems := config.Parse("lessor.yaml", []byte("interfaces: [eth0]\nsubnets:\n  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.199]}\n"))
	if c == nil {
		t.Fatal(problems)
	}
	times, err := clock.New()
	if err != nil {
		t.Fatal(err)
	}
	log := event.NewLog(slog.NewTextHandler(io.Discard, nil), event.Names{})
	e, err := engine.Load(t.Context(), engine.Config{Clock: times, Net: memnet.New().Host(), Store: memory.New(), Log: log, Policy: c.Policy()})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "control.sock")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := control.Serve(l, e, func() control.Info { return control.Info{Version: "test"} }, func(context.Context) error { return errors.New("the file is refused") })
	t.Cleanup(func() {
		s.Close()
		e.Stop(t.Context())
		log.Close()
	})
	return path
}

// ask sends raw octets and returns the first line of the answer.
func ask(t *testing.T, path, text string) string {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, text)
	var first [256]byte
	n, _ := c.Read(first[:])
	line, _, _ := strings.Cut(string(first[:n]), "\r\n")
	return line
}

const good = "GET /v1/leases HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

func alive(t *testing.T, path, after string) {
	t.Helper()
	if line := ask(t, path, good); !strings.Contains(line, " 200 ") {
		t.Errorf("after %s the server answers %q", after, line)
	}
}

// TestCVE2026_3608NestedJSON: no question has a body that is read, so nothing that is
// nested, long or malformed can hurt.
func TestCVE2026_3608NestedJSON(t *testing.T) {
	path := listen(t)
	for _, body := range []string{strings.Repeat("[", 20_000), strings.Repeat(`{"a":`, 20_000), strings.Repeat("x", 4<<20)} {
		for _, where := range []string{"POST /v1/leases/198.18.0.100/release", "GET /v1/leases", "PUT /v1/leases", "POST /"} {
			line := ask(t, path, fmt.Sprintf("%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", where, len(body), body))
			if strings.Contains(line, " 500 ") {
				t.Errorf("%s with %d octets: %q", where, len(body), line)
			}
			alive(t, path, where)
		}
	}
	for _, text := range []string{"", "\r\n\r\n", strings.Repeat("A", 1<<20), "GET / HTTP/9.9\r\n\r\n", "GET /v1/leases/%00 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/leases/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/history?who=" + strings.Repeat("%ff", 10_000) + " HTTP/1.1\r\nHost: x\r\n\r\n"} {
		if text != "" {
			ask(t, path, text)
		}
		alive(t, path, fmt.Sprintf("%.40q", text))
	}
}

// TestCVE2017_3144BrokenConnections: connections that are opened and broken at each stage
// of the protocol leave no descriptor and no goroutine behind.
func TestCVE2017_3144BrokenConnections(t *testing.T) {
	path := listen(t)
	alive(t, path, "the start")
	files, goroutines := settled(t)
	for range 500 {
		for _, text := range []string{"", "G", "GET /v1/leases HTTP/1.1\r\n", "GET /v1/leases HTTP/1.1\r\nHost: x\r\n", good[:len(good)-1], good,
			"POST /v1/leases/198.18.0.100/release HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"} {
			c, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, text)
			c.Close()
		}
	}
	alive(t, path, "the broken connections")
	for range 100 {
		f, g := settled(t)
		if f <= files+2 && g <= goroutines+2 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	f, g := settled(t)
	t.Errorf("%d files and %d goroutines are open; before there were %d and %d", f, g, files, goroutines)
}

// TestCVE2016_2774Connections: there is a bound on the connections that are open at once,
// and idle ones make room again.
func TestCVE2016_2774Connections(t *testing.T) {
	path := listen(t)
	alive(t, path, "the start")
	_, before := settled(t)
	var open []net.Conn
	for range 200 {
		c, err := net.DialTimeout("unix", path, 100*time.Millisecond)
		if err != nil {
			break // the kernel's own queue is full
		}
		open = append(open, c)
	}
	time.Sleep(100 * time.Millisecond)
	if _, n := settled(t); n > before+2*32+8 {
		t.Errorf("%d goroutines serve %d idle connections", n-before, len(open))
	}
	for _, c := range open {
		c.Close()
	}
	alive(t, path, "a crowd")
}

// TestCVE2025_32803SocketMode: the socket is its owner's alone, whatever the umask is, and
// nothing else is made beside it.
func TestCVE2025_32803SocketMode(t *testing.T) {
	path := listen(t)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if all, err := os.ReadDir(filepath.Dir(path)); err != nil || len(all) != 1 {
		t.Errorf("beside the socket there are %v, %v", all, err)
	}
}

// settled counts open files and goroutines.
func settled(t *testing.T) (files, goroutines int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all), runtime.NumGoroutine()
}

// TestReloadSaysWhy: a reload that is refused is an error in the server's words.
func TestReloadSaysWhy(t *testing.T) {
	c := control.NewClient(listen(t))
	defer c.Close()
	if _, err := c.Reload(t.Context()); !errors.Is(err, control.ErrConflict) || err.Error() != "the file is refused" {
		t.Errorf("%v", err)
	}
}
