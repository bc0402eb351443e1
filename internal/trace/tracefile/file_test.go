package tracefile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCreateLeavesOthersAlone: what is no trace, or is not its owner's alone, is refused
// and stays as it was; and a trace has one writer at a time.
func TestCreateLeavesOthersAlone(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := file("lessor.yaml", "interfaces: [eth0]\n", 0o600)
	open := file("open", "", 0o644)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(config, link); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{config: "something else", open: "mode 0644", link: "symbolic link", pipe: "no regular file", dir: "directory"} {
		if f, _, err := openFile(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", path, err, want)
			if err == nil {
				f.Close()
			}
		}
	}
	if text, _ := os.ReadFile(config); string(text) != "interfaces: [eth0]\n" {
		t.Errorf("the configuration is now %q", text)
	}

	trace := file("trace", "\n"+beginning+":1}\n", 0o600)
	f, size, err := openFile(trace)
	if err != nil || size != int64(len(beginning)+5) {
		t.Fatalf("size %d, %v", size, err)
	}
	if _, _, err := openFile(trace); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second writer: %v", err)
	}
	f.Close()
	if f, _, err = openFile(trace); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
}
