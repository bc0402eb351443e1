package faults

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lessor/internal/netlab"
)

// SIGTERM under load: the server ends by itself within 5 s, with exit code 0, and all
// that it acknowledged is in the store.
func TestTermUnderLoad(t *testing.T) {
	s := newSite(t)
	l := s.newLoad(64, 0.4)
	var slowest time.Duration
	for range 5 {
		n := s.start(t)
		until := time.Now().Add(time.Duration(100+l.rand.IntN(300)) * time.Millisecond)
		check(t, l.run(func() bool { return time.Now().After(until) }))
		begin := time.Now()
		check(t, n.Signal(syscall.SIGTERM))
		// The clients do not stop asking.
		check(t, l.run(func() bool { return closed(n.Done()) || time.Since(begin) > 6*time.Second }))
		took := time.Since(begin)
		slowest = max(slowest, took)
		if err, ended := n.Wait(time.Millisecond); !ended || err != nil || took > 5*time.Second {
			t.Fatalf("%s after SIGTERM: ended %t, %v", took, ended, err)
		}
		check(t, l.drain(5*time.Millisecond))
		if len(n.lines("SERVER_STOPPED")) != 1 {
			t.Error("the server did not say that it stopped")
		}
		l.mustHold(t, "after SIGTERM", s.leases(t, false))
	}
	t.Logf("5 stops under load: the slowest took %d ms; %d ACKs for %d addresses, 0 missing", slowest.Milliseconds(), l.acks, len(l.promises))
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// SIGTERM while the disk does not answer at all: the server ends within 5 s
// nevertheless, says so, and keeps what it had acknowledged.
func TestTermOnADeadDisk(t *testing.T) {
	s := newSite(t)
	n, disk := s.startSupervised(t)
	l := s.newLoad(16, 0)
	l.bind(t, 100)
	disk.set(stall)
	until := time.Now().Add(300 * time.Millisecond)
	acks := l.acks
	check(t, l.run(func() bool { return time.Now().After(until) }))
	if l.acks != acks {
		t.Errorf("%d ACKs without a sync", l.acks-acks)
	}
	begin := time.Now()
	check(t, n.Signal(syscall.SIGTERM))
	err, ended := n.Wait(6 * time.Second)
	took := time.Since(begin)
	if !ended || took > 5*time.Second {
		t.Fatalf("%s after SIGTERM the server has ended: %t", took, ended)
	}
	if err == nil || !strings.Contains(n.Output(), "lessor: the lease store did not answer in time") {
		t.Errorf("the server ended with %v and wrote %q", err, tail(n.Output(), 500))
	}
	check(t, l.drain(5*time.Millisecond))
	t.Logf("ended %d ms after SIGTERM", took.Milliseconds())
	n = s.start(t)
	s.mustBeWhole(t, n)
	l.mustHold(t, "after the disk answers again", s.leases(t, true))
	check(t, n.Stop(5*time.Second))
}

// SIGHUP under load, twenty times: no message is lost, and each configuration is in
// force when the server says so. A bad file changes nothing and is explained.
func TestHangupUnderLoad(t *testing.T) {
	s := newSite(t)
	n := s.start(t)
	l := s.newLoad(32, 0.4)
	l.bind(t, 200)
	l.newest = true // a lease may become shorter by a reload
	configs := make([]string, 20)
	for i := range configs {
		configs[i] = []string{strings.Replace(plainConfig, "1h", "30m", 1), plainConfig}[i%2]
	}
	begin := time.Now()
	var err error
	done := make(chan struct{})
	go func() { defer close(done); err = n.reloadAll(configs) }()
	check(t, l.run(func() bool { return closed(done) }))
	check(t, err)
	check(t, l.drain(500*time.Millisecond))
	if got := len(n.lines("CONFIG_APPLIED")); got != 20 {
		t.Errorf("20 configurations were applied %d times", got)
	}
	if l.short == 0 {
		t.Error("no lease was as short as every second configuration says")
	}

	s.configure(t, strings.Replace(plainConfig, "valid-lifetime: 1h", "valid-lifetime: 1hour", 1))
	check(t, n.Signal(syscall.SIGHUP))
	until := time.Now().Add(200 * time.Millisecond)
	short := l.short
	check(t, l.run(func() bool { return time.Now().After(until) }))
	check(t, l.drain(500*time.Millisecond))
	refused := n.lines("CONFIG_REFUSED")
	if len(refused) != 1 {
		t.Fatalf("a bad file was refused %d times", len(refused))
	}
	reason, _ := refused[0]["reason"].(string)
	for _, want := range []string{s.conf + ":2:17:", `"1hour"`, "12h"} {
		if !strings.Contains(reason, want) {
			t.Errorf("the reason %q does not hold %q", reason, want)
		}
	}
	if l.short != short {
		t.Errorf("after a refused file %d leases were not of one hour", l.short-short)
	}
	if l.lost != 0 || l.naks != 0 {
		t.Errorf("%d messages had to be repeated, %d NAKs", l.lost, l.naks)
	}
	t.Logf("21 reloads in %.1f s: %d ACKs, %d messages lost; refused: %q", time.Since(begin).Seconds(), l.acks, l.lost, reason)
	check(t, n.Stop(5*time.Second))
	l.mustHold(t, "at the end", s.leases(t, false))
}

// reloadAll puts one configuration after the other in force.
func (n *server) reloadAll(configs []string) error {
	for _, c := range configs {
		if err := os.WriteFile(n.site.conf, []byte(c), 0o644); err != nil {
			return err
		}
		if err := n.Signal(syscall.SIGHUP); err != nil {
			return err
		}
		if err := n.awaitReady(5 * time.Second); err != nil {
			return err
		}
		time.Sleep(30 * time.Millisecond)
	}
	return nil
}

// Everything that the server makes belongs to its user alone, whatever umask it was
// started with (CVE-2025-32803).
func TestFilesAreTheUsersAlone(t *testing.T) {
	s := newSite(t)
	s.state = "/var/lib/lessor" // private to the host, and made empty
	private := s.host.Path(s.state)
	check(t, os.MkdirAll(private, 0o755))
	s.state = filepath.Join(private, "state")
	sh := []string{"/bin/sh", "-c", `umask 0; exec "$@"`, "sh", lessor, "serve", "-c", s.conf, "--state", s.state, "--log-format", "json"}
	n := s.startSpec(t, netlab.Spec{Args: sh})
	l := s.newLoad(64, 0.4)
	l.bind(t, 10000) // enough for new log files, tables and a manifest
	s.configure(t, strings.Replace(plainConfig, "1h", "2h", 1))
	check(t, n.Signal(syscall.SIGHUP))
	check(t, n.awaitReady(5*time.Second))
	seen := 0
	for _, root := range []string{private, s.host.Path("/run")} {
		seen += mustBePrivate(t, root)
	}
	n.Kill()
	n = s.startSpec(t, netlab.Spec{Args: sh}) // recovery makes files too
	seen += mustBePrivate(t, private)
	if seen < 10 {
		t.Errorf("only %d files were looked at", seen)
	}
	check(t, n.Stop(5*time.Second))
	t.Logf("%d files and directories: all of them 0600 or 0700", seen)
}

// mustBePrivate looks at everything below root, and returns how much that is.
func mustBePrivate(t *testing.T, root string) (seen int) {
	t.Helper()
	check(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		seen++
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has the mode %v", path, info.Mode())
		}
		return nil
	}))
	return seen
}
