package packaging

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const clientUnit = "lessor-client@.service"

// TestClientUnitExposure asks systemd itself how much of the machine the unit is exposed to.
func TestClientUnitExposure(t *testing.T) {
	const goal = 2.9
	out, err := exec.Command("systemd-analyze", "security", "--offline=yes", clientUnit).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze (Debian package systemd): %v\n%s", err, out)
	}
	m := regexp.MustCompile(`Overall exposure level for lessor-client@[a-z]*.service: ([0-9.]+)`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("systemd-analyze names no exposure level:\n%s", out)
	}
	level, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("exposure %.1f, goal %.1f", level, goal)
	if level > goal {
		t.Errorf("exposure %.1f, want at most %.1f:\n%s", level, goal, out)
	}
	if bytes.Contains(out, []byte("ignoring")) {
		t.Errorf("systemd does not know a setting:\n%s", out)
	}
}

// TestClientUnitIsWellFormed lets systemd read the unit, with this test's own binary in
// the place of the installed one.
func TestClientUnitIsWellFormed(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(clientUnit)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "lessor-client@eth0.service")
	if err := os.WriteFile(copied, bytes.ReplaceAll(src, []byte("/usr/bin/lessor"), []byte(self)), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", copied).CombinedOutput()
	if err != nil || strings.Contains(string(out), "lessor-client") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestClientUnitSettings holds the settings that the program's behaviour relies on.
func TestClientUnitSettings(t *testing.T) {
	src, err := os.ReadFile(clientUnit)
	if err != nil {
		t.Fatal(err)
	}
	have := make(map[string]bool)
	for line := range strings.Lines(string(src)) {
		have[strings.TrimSpace(line)] = true
	}
	for _, want := range []string{
		"Type=notify",       // READY=1 comes with the address
		"NotifyAccess=main", // from the part with privileges
		"ExecStart=/usr/bin/lessor client run %i",
		"Restart=on-failure",             // "client stop" ends with 0 and is meant
		"RestartPreventExitStatus=2",     // a wrong flag does not get better
		"StateDirectory=lessor-client",   // not the server's, which belongs to another user
		"RuntimeDirectory=lessor-client", // not the server's, which goes when it stops
		"RuntimeDirectoryPreserve=yes",   // the clients of other interfaces are in it
		"UMask=0077",                     //
		"NoNewPrivileges=yes",            //
		"MemoryDenyWriteExecute=yes",     //
		"RestrictAddressFamilies=AF_INET AF_PACKET AF_NETLINK AF_UNIX",
		"CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_SETPCAP",
	} {
		if !have[want] {
			t.Errorf("%s lacks the line %q", clientUnit, want)
		}
	}
}
