package run

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lessor/internal/client"
	"lessor/internal/local"
)

// TestStreamSlowReader: a reader that does not read loses the oldest lines, is told how many,
// and keeps nobody waiting.
func TestStreamSlowReader(t *testing.T) {
	s := newStream()
	slow, quick := s.join(), s.join()
	const n = maxBehind + 100
	for i := range n {
		s.put(&Report{Note: fmt.Sprint(i)})
		if lines, lost := quick.take(nil); len(lines) != 1 || lost != 0 || lines[0].Text != fmt.Sprint(i) {
			t.Fatalf("the quick reader has %d lines, %d lost", len(lines), lost)
		}
	}
	lines, lost := slow.take(nil)
	if len(lines) != maxBehind || lost != 100 || lines[0].Text != "100" || lines[maxBehind-1].Text != fmt.Sprint(n-1) {
		t.Errorf("the slow reader has %d lines, %d lost, from %q", len(lines), lost, lines[0].Text)
	}
	s.put(&Report{Note: "last"})
	s.close()
	if lines, _ := slow.take(nil); len(lines) != 1 || lines[0].Text != "last" {
		t.Errorf("what came before the end: %v", lines)
	}
	if lines, _ := slow.take(nil); lines != nil {
		t.Errorf("after the end: %v", lines)
	}
	if s.join() != nil {
		t.Error("a stream that has ended takes readers")
	}
	s = newStream()
	for range maxReaders {
		s.join()
	}
	if s.join() != nil {
		t.Error("there is no bound on readers")
	}
}

// controlled is a control socket with a runner behind it that does nothing but answer.
func controlled(t *testing.T) (path string, st *stream) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "c.sock")
	l, err := local.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	r := &Runner{calls: make(chan func(*loop)), ended: make(chan struct{})}
	r.final.Store(&Status{Interface: "eth0", State: "init", Changes: []Change{}})
	close(r.ended)
	st = newStream()
	s := newServer(l, r, st, os.Geteuid())
	t.Cleanup(s.close)
	return path, st
}

// TestControlMisuse: questions that make no sense are answered with an error, and others are
// still answered.
func TestControlMisuse(t *testing.T) {
	path, _ := controlled(t)
	c := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	defer c.CloseIdleConnections()
	for _, q := range []struct {
		method, path, body string
		code               int
	}{
		{"GET", "/", "", 404}, {"PUT", "/v1/client", "", 405}, {"POST", "/v1/client/fly", "", 404}, {"POST", "/v1/client/events", "", 404},
		{"POST", "/v1/client/renew", "{}", 400}, {"POST", "/v1/client/renew", "", 503}, {"GET", "/v1/client", "", 200},
		{"POST", "/v1/client/" + strings.Repeat("x", 10_000), "", 404},
	} {
		req, err := http.NewRequest(q.method, "http://x"+q.path, strings.NewReader(q.body))
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.Do(req)
		if err != nil {
			t.Fatalf("%s %.40s: %v", q.method, q.path, err)
		}
		a.Body.Close()
		if a.StatusCode != q.code {
			t.Errorf("%s %.40s: %d, want %d", q.method, q.path, a.StatusCode, q.code)
		}
	}
}

// TestWatch brings lines as they come, ends with its caller, its function or the client.
func TestWatch(t *testing.T) {
	path, st := controlled(t)
	watch := func(ctx context.Context, fn func(*Line) error) chan error {
		eventually(t, "the end of earlier readers", func() bool { return st.count() == 0 })
		ended := make(chan error, 1)
		go func() { ended <- Watch(ctx, path, fn) }()
		eventually(t, "a reader", func() bool { return st.count() > 0 })
		return ended
	}
	stop := errors.New("enough")
	got := make(chan *Line, 10)
	one := watch(t.Context(), func(l *Line) error { got <- l; return stop })
	st.put(&Report{Event: &client.Event{Kind: client.EventState, From: client.Init, To: client.Selecting, Reason: client.Started}, Status: &Status{Interface: "eth0"}})
	if err := <-one; err != stop {
		t.Errorf("%v", err)
	}
	if l := <-got; l.Event != "state" || l.From != "init" || l.To != "selecting" || l.Reason != "started" || l.Interface != "eth0" {
		t.Errorf("%+v", l)
	}
	ctx, cancel := context.WithCancel(t.Context())
	two := watch(ctx, func(*Line) error { return nil })
	cancel()
	if err := <-two; err != nil {
		t.Errorf("the caller ended it: %v", err)
	}
	three := watch(t.Context(), func(*Line) error { return nil })
	st.close()
	if err := <-three; err != nil {
		t.Errorf("the client ended: %v", err)
	}
	for _, err := range []error{func() error { _, err := Ask(t.Context(), path+"x"); return err }(), Watch(t.Context(), path+"x", nil)} {
		if !errors.Is(err, ErrNoClient) {
			t.Errorf("nobody listens: %v", err)
		}
	}
}

func (s *stream) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.readers)
}

// TestOtherUsers: whoever is neither root nor the client's user is refused, also when the
// socket's mode does not keep it out.
func TestOtherUsers(t *testing.T) {
	path, _ := controlled(t)
	for dir := filepath.Dir(path); dir != os.TempDir() && len(dir) > 1; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(uid uint32) string {
		cmd := exec.Command("/proc/self/exe")
		cmd.Path, cmd.Args = self, []string{self}
		cmd.Env = append(os.Environ(), role+"=ask", "LESSOR_RUN_SOCKET="+path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		f, err := os.Open(self) // below a directory that only root may enter
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = []*os.File{f}
		cmd.Path = "/proc/self/fd/3"
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if out := ask(uint32(os.Geteuid())); !strings.Contains(out, "state init") {
		t.Errorf("the user itself: %s", out)
	}
	if out := ask(nobody); !strings.Contains(out, "no access") {
		t.Errorf("mode 0600: %s", out)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if out := ask(nobody); !strings.Contains(out, "no access") {
		t.Errorf("mode 0777: %s", out)
	}
}

// askMain is this test binary as one who asks.
func askMain() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := Ask(ctx, os.Getenv("LESSOR_RUN_SOCKET"))
	switch {
	case errors.Is(err, ErrNoAccess):
		fmt.Println("no access:", err)
	case err != nil:
		fmt.Println("error:", err)
	default:
		fmt.Println("state", s.State)
	}
}
