package cli

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeTemp(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "lessor.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const goodConfig = "interfaces: [eth0]\nsubnets: [{subnet: 192.0.2.0/24, pools: [192.0.2.50-192.0.2.200]}]\n"

func TestConfigCheck(t *testing.T) {
	good := writeTemp(t, goodConfig)
	bad := writeTemp(t, goodConfig+"authoritativ: true\nvalid-lifetime: 12hours\n")
	doubtful := writeTemp(t, goodConfig+"valid-lifetime: 20s\n")
	missing := filepath.Join(t.TempDir(), "none.yaml")
	for _, c := range []struct {
		args        []string
		code        int
		out, errOut string // exactly; errOut "*" and what follows must be in it
	}{
		{[]string{good}, ExitOK, "ok, 1 subnet, 151 addresses\n", ""},
		{[]string{"-q", good}, ExitOK, "", ""},
		{[]string{"--config", good}, ExitOK, "ok, 1 subnet, 151 addresses\n", ""},
		{[]string{doubtful}, ExitOK, "ok, 1 subnet, 151 addresses, 1 warning\n", "*" + doubtful + ":3:17: warning: "},
		{[]string{"--lint", doubtful}, ExitBad, "ok, 1 subnet, 151 addresses, 1 warning\n", "*[config/short-lease]"},
		{[]string{bad}, ExitBad, "", "*" + bad + `:3:1: error: "authoritativ" is not a key of the configuration. Did you mean "authoritative"? [config/unknown-key]`},
		{[]string{bad}, ExitBad, "", "*" + bad + ": 2 errors\n"},
		{[]string{missing}, ExitBad, "", "*" + missing + ": error: cannot read the file: no such file or directory."},
		{[]string{good, bad}, ExitUsage, "", "*usage: lessor config check [FILE]"},
	} {
		code, stdout, stderr := run(t, nil, nil, append([]string{"config", "check"}, c.args...)...)
		want, contains := strings.CutPrefix(c.errOut, "*")
		if code != c.code || stdout != c.out || contains && !strings.Contains(stderr, want) || !contains && stderr != want {
			t.Errorf("config check %q: code %d, stdout %q, stderr %q; want %+v", c.args, code, stdout, stderr, c)
		}
	}
}

func TestConfigCheckJSON(t *testing.T) {
	code, stdout, stderr := run(t, nil, nil, "config", "check", "-o", "json", writeTemp(t, goodConfig+"colour: blue\n"))
	var got []struct {
		ID      string
		Line    int
		Column  int
		Message string
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != ExitBad || stderr != "" {
		t.Fatalf("code %d, %v: %q %q", code, err, stdout, stderr)
	}
	if len(got) != 1 || got[0].ID != "config/unknown-key" || got[0].Line != 3 || got[0].Column != 1 || got[0].Message == "" {
		t.Errorf("%+v", got)
	}
	code, stdout, _ = run(t, nil, nil, "config", "check", "-o", "json", writeTemp(t, goodConfig))
	if code != ExitOK || strings.TrimSpace(stdout) != "[]" {
		t.Errorf("a good file: code %d, %q; lists are arrays, also empty ones", code, stdout)
	}
}

func TestConfigReferenceIsAConfiguration(t *testing.T) {
	code, reference, stderr := run(t, nil, nil, "config", "reference")
	if code != ExitOK || stderr != "" {
		t.Fatalf("code %d, %q", code, stderr)
	}
	if code, stdout, stderr := run(t, nil, nil, "config", "check", "--lint", writeTemp(t, reference)); code != ExitOK {
		t.Errorf("code %d, %q %q", code, stdout, stderr)
	}
}

func TestConfigInitRefuses(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", ExitUsage, "lessor config init --interface eth0"},
		{"--interface nosuch0", ExitNotFound, "no such interface"},
		{"--interface lo", ExitFailed, "loopback"},
	} {
		code, stdout, stderr := run(t, nil, nil, append([]string{"config", "init"}, strings.Fields(c.args)...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("config init %s: code %d, %q %q", c.args, code, stdout, stderr)
		}
	}
	if _, err := net.InterfaceByName("lo"); err != nil {
		t.Errorf("the machine of this test has no loopback interface: %v", err)
	}
}

// TestWriteNew holds that a file is there whole or not at all, and that one that
// exists is not touched without a word.
func TestWriteNew(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "lessor.yaml")
	read := func() string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if err := writeNew(name, "first", false); err != nil || read() != "first" {
		t.Fatalf("%v, %q", err, read())
	}
	err := writeNew(name, "second", false)
	var exit *ExitError
	if exit, _ = err.(*ExitError); exit == nil || exit.Code != ExitConflict || read() != "first" {
		t.Errorf("%v, %q", err, read())
	}
	if err := writeNew(name, "third", true); err != nil || read() != "third" {
		t.Errorf("%v, %q", err, read())
	}
	if err := writeNew(filepath.Join(dir, "none", "x"), "", false); err == nil {
		t.Error("a directory that does not exist was no error")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}
