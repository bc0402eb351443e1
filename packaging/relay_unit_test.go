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

const relayUnit = "lessor-relay.service"

// TestRelayUnitExposure asks systemd itself how much of the machine the unit is exposed to.
func TestRelayUnitExposure(t *testing.T) {
	const goal = 1.8
	out, err := exec.Command("systemd-analyze", "security", "--offline=yes", relayUnit).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze (Debian package systemd): %v\n%s", err, out)
	}
	m := regexp.MustCompile(`Overall exposure level for lessor-relay.service: ([0-9.]+)`).FindSubmatch(out)
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

// TestRelayUnitIsWellFormed lets systemd read the unit, with this test's own binary in
// the place of the installed one.
func TestRelayUnitIsWellFormed(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(relayUnit)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), relayUnit)
	if err := os.WriteFile(copied, bytes.ReplaceAll(src, []byte("/usr/bin/lessor"), []byte(self)), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", copied).CombinedOutput()
	if err != nil || strings.Contains(string(out), "lessor-relay") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestRelayUnitSettings holds the settings that the program's behaviour relies on.
func TestRelayUnitSettings(t *testing.T) {
	src, err := os.ReadFile(relayUnit)
	if err != nil {
		t.Fatal(err)
	}
	have := make(map[string]bool)
	for line := range strings.Lines(string(src)) {
		have[strings.TrimSpace(line)] = true
	}
	for _, want := range []string{
		"Type=notify", // READY=1 comes when the sockets are open
		"ExecStartPre=/usr/bin/lessor relay --check --config /etc/lessor/relay.yaml",
		"ExecStart=/usr/bin/lessor relay --config /etc/lessor/relay.yaml",
		"ExecReload=/bin/kill -HUP $MAINPID",
		"RestartPreventExitStatus=2",    // a wrong configuration does not get better
		"RuntimeDirectory=lessor-relay", // not the server's, which goes when it stops
		"User=lessor",                   //
		"UMask=0077",                    //
		"NoNewPrivileges=yes",           //
		"MemoryDenyWriteExecute=yes",    //
		"AmbientCapabilities=CAP_NET_RAW CAP_NET_BIND_SERVICE",
		"CapabilityBoundingSet=CAP_NET_RAW CAP_NET_BIND_SERVICE",
		"RestrictAddressFamilies=AF_INET AF_PACKET AF_NETLINK AF_UNIX",
	} {
		if !have[want] {
			t.Errorf("%s lacks the line %q", relayUnit, want)
		}
	}
}
