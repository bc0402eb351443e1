package control

import (
	"net"
	"os"
	"path/filepath"
	"testing"
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
