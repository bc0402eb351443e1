package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runLab runs `lessor lab` as a user and returns what it printed. It must end by
// itself within a minute, with success.
func runLab(t *testing.T, uid uint32, args ...string) string {
	t.Helper()
	before := try(os.ReadFile("/etc/resolv.conf"))(t)
	cmd := exec.Command(lessor, append([]string{"lab"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	cmd.Dir = "/"
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	if err != nil {
		t.Fatalf("lessor lab: %v; it printed:\n%s", err, out.String())
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it took %s", took)
	}
	if after := try(os.ReadFile("/etc/resolv.conf"))(t); !bytes.Equal(after, before) {
		t.Errorf("the real resolv.conf was %q and is %q", before, after)
	}
	story := []string{"SELECTING", "DISCOVER", "OFFER", "REQUESTING", "REQUEST", "ACK", // takes the first offer
		"by hand", "probe", "is mine, says the printer", "DECLINE", "INIT", // finds it taken; the first probe may be out already
		"SELECTING", "OFFER", "REQUESTING", "ACK", "probe", "BOUND", // gets another; the announcement comes before or after that
		"RENEWING", "REQUEST", "ACK", "BOUND", // renews it
		"alone", "RENEWING", "REBINDING", "REQUEST", "ACK", "BOUND", // rebinds it
		"SIGHUP", "RENEWING", "REQUEST", "NAK", "INIT", "gives", "SELECTING", "BOUND", // moves
		"SIGKILL", "RENEWING", "REBINDING", "INIT", "gives", // loses it
		"start again", "BOUND", "✓"}
	rest := out.String()
	for i, word := range story {
		_, after, found := strings.Cut(rest, word)
		if !found {
			t.Fatalf("step %d of the story, %q, is missing in:\n%s", i, word, out.String())
		}
		rest = after
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("a pipe got colour")
	}
	return out.String()
}

// The lab as root; what --keep leaves can be entered as it says, and taken down.
func TestLabAsRootLeavesTheNetworkWhenAsked(t *testing.T) {
	t.Parallel()
	out := runLab(t, 0, "--keep")
	command := func(pattern string) []string {
		t.Helper()
		m := regexp.MustCompile(`(?m)^ *sudo (` + pattern + `)$`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("no command %q in:\n%s", pattern, out)
		}
		return strings.Fields(m[1])
	}
	kill := command(`kill -9 \d+ \d+ \d+; sudo rm -r \S+`)
	t.Cleanup(func() {
		for _, pid := range []string{kill[2], kill[3], strings.TrimSuffix(kill[4], ";")} {
			check(t, syscall.Kill(try(strconv.Atoi(pid))(t), syscall.SIGKILL))
		}
		check(t, os.RemoveAll(kill[len(kill)-1]))
	})
	leases := command(`nsenter .* leases`)
	got, err := exec.Command(leases[0], leases[1:]...).CombinedOutput()
	if err != nil || !strings.Contains(string(got), "ADDRESS") {
		t.Errorf("%v: %v: %s", leases, err, got)
	}
	status := command(`nsenter .* client status`)
	got, err = exec.Command(status[0], status[1:]...).CombinedOutput()
	if err != nil || !strings.Contains(string(got), "198.18.0.") {
		t.Errorf("%v: %v: %s", status, err, got)
	}
}

// The lab as a user without any rights, in a user namespace.
func TestLabAsOrdinaryUser(t *testing.T) {
	t.Parallel()
	const nobody = 65534
	runLab(t, nobody)
}
