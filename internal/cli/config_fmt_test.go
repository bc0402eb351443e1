package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigFmt(t *testing.T) {
	const tabs = "interfaces: [eth0]\nsubnets:\n\t- subnet: 192.0.2.0/24 # here\n\t\tpools: [192.0.2.7]\n"
	const want = "interfaces: [eth0]\nsubnets:\n  - subnet: 192.0.2.0/24 # here\n    pools: [192.0.2.7]\n"
	name := writeTemp(t, tabs)
	if code, out, errOut := run(t, nil, nil, "config", "fmt", name); code != ExitOK || out != want || errOut != "" {
		t.Fatalf("code %d, %q, %q", code, out, errOut)
	}
	link := filepath.Join(filepath.Dir(name), "link.yaml")
	if err := os.Symlink(filepath.Base(name), link); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o640); err != nil {
		t.Fatal(err)
	}
	if code, out, errOut := run(t, nil, nil, "config", "fmt", "-w", link); code != ExitOK || out != "" || !strings.Contains(errOut, "written") {
		t.Fatalf("code %d, %q, %q", code, out, errOut)
	}
	got, err := os.ReadFile(name)
	info, statErr := os.Lstat(name)
	if err != nil || statErr != nil || string(got) != want || info.Mode() != 0o640 {
		t.Fatalf("%v %v, %q, mode %v", err, statErr, got, info.Mode())
	}
	if to, err := os.Readlink(link); err != nil || to != filepath.Base(name) {
		t.Errorf("the symbolic link is %q, %v", to, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(name)); err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if code, _, errOut := run(t, nil, nil, "config", "fmt", "-w", name); code != ExitOK || !strings.Contains(errOut, "already") {
		t.Errorf("the second time: code %d, %q", code, errOut)
	}
}

func TestConfigFmtRefuses(t *testing.T) {
	broken := writeTemp(t, "interfaces: [eth0\n")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{broken}, ExitBad, "[config/syntax]"},
		{[]string{"-w", broken}, ExitBad, "[config/syntax]"},
		{[]string{filepath.Join(t.TempDir(), "none")}, ExitNotFound, "no such file"},
		{[]string{"-w", "-"}, ExitUsage, "standard input"},
		{[]string{"--wrong"}, ExitUsage, "unknown flag"},
		{[]string{broken, broken}, ExitUsage, "usage:"},
	} {
		code, out, errOut := run(t, nil, nil, append([]string{"config", "fmt"}, c.args...)...)
		if code != c.code || out != "" || !strings.Contains(errOut, c.want) {
			t.Errorf("config fmt %q: code %d, %q, %q", c.args, code, out, errOut)
		}
	}
	if got, err := os.ReadFile(broken); err != nil || string(got) != "interfaces: [eth0\n" {
		t.Errorf("the broken file is %q, %v", got, err)
	}
}

// TestReplaceSeesOthers holds that a file is not overwritten that somebody else changed
// after it was read.
func TestReplaceSeesOthers(t *testing.T) {
	name := writeTemp(t, "theirs")
	err := (&sourceFile{path: name, data: []byte("old")}).replace([]byte("new"))
	if code := report(&strings.Builder{}, err, false); code != ExitConflict {
		t.Errorf("code %d, %v", code, err)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != "theirs" {
		t.Errorf("%q, %v", got, err)
	}
}
