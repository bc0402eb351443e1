package local

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A path that was mistyped must not cost its owner a file: only sockets are replaced.
func TestListenReplacesOnlySockets(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "lessor.yaml")
	if err := os.WriteFile(file, []byte("interfaces: [eth0]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, dir} {
		if l, err := Listen(path); err == nil {
			l.Close()
			t.Errorf("Listen(%s) took the place of something that is no socket", path)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("after Listen: %v", err)
		}
	}
	if b, err := os.ReadFile(file); err != nil || len(b) == 0 {
		t.Errorf("the file reads %q, %v", b, err)
	}

	stale := filepath.Join(dir, "stale.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	again, err := Listen(stale)
	if err != nil {
		t.Fatalf("the socket of a server that is gone is not replaced: %v", err)
	}
	defer again.Close()
	if st, err := os.Lstat(stale); err != nil || st.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the new socket: %v, %v", st, err)
	}
}

// Bodies that never come must not keep others from asking: each is refused and its
// connection ended at once, and nothing is done for it.
func TestBodiesAreRefusedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := http.Server{Handler: Bodiless(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))}
	go s.Serve(l)
	defer s.Close()
	ask := func(text string) (code string) {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		c.Write([]byte(text))
		answer, err := io.ReadAll(c) // to the end: the server has to hang up
		if err != nil || len(answer) < 12 {
			t.Fatalf("after %q: %q, %v", text, answer, err)
		}
		return string(answer[9:12])
	}
	for text, want := range map[string]string{
		"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{":          "400",
		"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n": "400",
		"POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":               "204",
	} {
		if got := ask(text); got != want {
			t.Errorf("%q is answered with %s, not %s", text, got, want)
		}
	}
}
