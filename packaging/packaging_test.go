// Package packaging holds what an installed Lessor needs beside its binary; the
// tests keep it in order.
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

const unit = "lessor.service"

// TestUnitExposure asks systemd itself how much of the machine the unit is exposed to.
func TestUnitExposure(t *testing.T) {
	const goal = 1.8
	out, err := exec.Command("systemd-analyze", "security", "--offline=yes", unit).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze (Debian package systemd): %v\n%s", err, out)
	}
	m := regexp.MustCompile(`Overall exposure level for lessor.service: ([0-9.]+)`).FindSubmatch(out)
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
}

// TestUnitIsWellFormed lets systemd read the unit, with this test's own binary in
// the place of the installed one.
func TestUnitIsWellFormed(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), unit)
	if err := os.WriteFile(copied, bytes.ReplaceAll(src, []byte("/usr/bin/lessor"), []byte(self)), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", copied).CombinedOutput()
	if err != nil || strings.Contains(string(out), unit) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestUnitSettings holds the settings that the program's behaviour relies on.
func TestUnitSettings(t *testing.T) {
	src, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	have := make(map[string]bool)
	for line := range strings.Lines(string(src)) {
		have[strings.TrimSpace(line)] = true
	}
	for _, want := range []string{
		"Type=notify",                        // READY=1 comes when the sockets are open
		"ExecReload=/bin/kill -HUP $MAINPID", // notify-reload needs systemd 253
		"RestartPreventExitStatus=2",         // a wrong configuration does not get better
		"StateDirectory=lessor",              // /var/lib/lessor
		"RuntimeDirectory=lessor",            // /run/lessor/control.sock
		"ConfigurationDirectory=lessor",      // /etc/lessor
		"User=lessor",                        //
		"UMask=0077",                         //
		"MemoryDenyWriteExecute=yes",         //
		"SystemCallFilter=@system-service",   //
		"AmbientCapabilities=CAP_NET_RAW CAP_NET_BIND_SERVICE",
		"CapabilityBoundingSet=CAP_NET_RAW CAP_NET_BIND_SERVICE",
		"RestrictAddressFamilies=AF_INET AF_PACKET AF_NETLINK AF_UNIX",
	} {
		if !have[want] {
			t.Errorf("%s lacks the line %q", unit, want)
		}
	}
}

// TestSysusers lets systemd read the file that makes the user.
func TestSysusers(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := filepath.Abs("lessor.sysusers")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-sysusers", "--root="+root, file).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-sysusers: %v\n%s", err, out)
	}
	passwd, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	for _, user := range []string{"lessor", "lessor-hook"} {
		if err != nil || !strings.Contains("\n"+string(passwd), "\n"+user+":x:") {
			t.Errorf("no user %s was made: %v\n%s%s", user, err, passwd, out)
		}
	}
}
