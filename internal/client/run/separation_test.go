package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// capNames are the sets of capabilities of a process in /proc.
var capNames = []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}

// unprivileged checks that process pid has no rights.
func unprivileged(t *testing.T, pid int, root bool) {
	t.Helper()
	s := procStatus(t, pid)
	for _, c := range capNames {
		if s[c] != "0000000000000000" {
			t.Errorf("%s of the worker is %s", c, s[c])
		}
	}
	if s["NoNewPrivs"] != "1" || s["Seccomp"] != "2" {
		t.Errorf("NoNewPrivs %s, Seccomp %s", s["NoNewPrivs"], s["Seccomp"])
	}
	if !root {
		for _, id := range []string{"Uid", "Gid"} {
			if strings.Contains(" "+strings.ReplaceAll(s[id], "\t", " ")+" ", " 0 ") {
				t.Errorf("%s of the worker: %s", id, s[id])
			}
		}
		if s["Groups"] != "" {
			t.Errorf("the worker is in the groups %s", s["Groups"])
		}
	}
}

// TestSeparation: the process that reads packets has no rights at all and still holds the
// address; the control socket answers; SIGTERM leaves nothing behind.
func TestSeparation(t *testing.T) {
	l := newLab(t, 600)
	dir := t.TempDir()
	before := l.address()
	p, worker := l.bound(job{Interface: "eth0", Dir: dir, Try: true})
	unprivileged(t, worker, false)
	if s := procStatus(t, p.PID()); s["CapEff"] == "0000000000000000" {
		t.Error("the parent has lost its capabilities")
	}
	must(t, p.WaitOutput("tried everything", 5*time.Second))
	if out := p.Output(); strings.Contains(out, "the worker could:") {
		t.Error(out)
	}
	if l.address() == before {
		t.Fatalf("bound, and the interface has %s", l.address())
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	socket := filepath.Join(dir, "control.sock")
	seen := l.asked(ctx, socket)

	must(t, p.Signal(syscall.SIGTERM))
	if code := l.ended(p); code != 0 {
		t.Errorf("exit code %d\n%s", code, p.Output())
	}
	if err := <-seen; err != nil {
		t.Errorf("watch: %v", err)
	}
	if l.address() != before || !gone(worker) {
		t.Errorf("left behind: %s instead of %s, the worker has ended: %t", l.address(), before, gone(worker))
	}
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the control socket: %v", err)
	}
	if _, err := Ask(ctx, socket); !errors.Is(err, ErrNoClient) {
		t.Errorf("ask after the end: %v", err)
	}
	if out := p.Output(); !strings.Contains(out, "parent: applied true") || !strings.Contains(out, "parent: applied false") {
		t.Errorf("the parent was not told of its work:\n%s", out)
	}
}

// asked asks a bound client all that can be asked, and returns what a watcher that is left
// behind ends with.
func (l *lab) asked(ctx context.Context, socket string) (seen chan error) {
	t := l.t
	t.Helper()
	if st, err := os.Stat(socket); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	s, err := Ask(ctx, socket)
	if err != nil || s.State != "bound" || !strings.Contains(l.address(), s.Address) {
		t.Fatalf("%+v, %v; the interface has %s", s, err, l.address())
	}
	seen = make(chan error, 1)
	states := make(chan string, 100)
	go func() {
		seen <- Watch(ctx, socket, func(l *Line) error {
			if l.Event == "state" {
				states <- l.To
			}
			return nil
		})
	}()
	time.Sleep(200 * time.Millisecond)                                                                      // that it watches shows only in what it sees
	if s, err := Command(ctx, socket, "renew"); err != nil || s.State != "renewing" && s.State != "bound" { // it may be over already
		t.Errorf("renew: %+v, %v", s, err)
	}
	for _, want := range []string{"renewing", "bound"} {
		select {
		case got := <-states:
			if got != want {
				t.Errorf("state %s, want %s", got, want)
			}
		case <-ctx.Done():
			t.Fatalf("no state %s", want)
		}
	}
	if _, err := Command(ctx, socket, "dance"); err == nil {
		t.Error("the client dances")
	}
	return seen
}

// TestHostHasSomethingToSay: what the host says before the client has begun is shown, and
// keeps nobody from an address.
func TestHostHasSomethingToSay(t *testing.T) {
	l := newLab(t, 600)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "leases.undo"), []byte("cut o"), 0o600))
	p, _ := l.bound(job{Interface: "eth0", Dir: dir})
	must(t, p.WaitOutput("cannot be put back", 5*time.Second))
	must(t, p.Signal(syscall.SIGTERM))
	if code := l.ended(p); code != 0 {
		t.Errorf("exit code %d\n%s", code, p.Output())
	}
}

// TestStopByCommand: "stop" answers when the address is off the interface, and both
// processes end with 0; a second client of the interface is refused while the first runs.
func TestStopByCommand(t *testing.T) {
	l := newLab(t, 600)
	dir := t.TempDir()
	before := l.address()
	p, worker := l.bound(job{Interface: "eth0", Dir: dir})
	second := l.start(job{Interface: "eth0", Dir: dir})
	if code := l.ended(second); code != 6 {
		t.Errorf("a second client ends with %d\n%s", code, second.Output())
	}
	other := l.start(job{Interface: "eth0", Dir: t.TempDir()})
	if code := l.ended(other); code != 6 || !strings.Contains(other.Output(), "worker true: port 68 on eth0 is used by") {
		t.Errorf("a client with another socket ends with %d\n%s", code, other.Output())
	}
	s, err := Command(t.Context(), filepath.Join(dir, "control.sock"), "stop")
	if err != nil || s.Address != "" {
		t.Errorf("stop: %+v, %v", s, err)
	}
	if l.address() != before {
		t.Errorf("after stop the interface has %s", l.address())
	}
	if code := l.ended(p); code != 0 || !gone(worker) {
		t.Errorf("exit code %d, the worker has ended: %t\n%s", code, gone(worker), p.Output())
	}
}

// TestWorkerDies: the parent takes back what the worker had asked for, says so and fails.
func TestWorkerDies(t *testing.T) {
	l := newLab(t, 600)
	before := l.address()
	p, worker := l.bound(job{Interface: "eth0", Dir: t.TempDir()})
	must(t, syscall.Kill(worker, syscall.SIGKILL))
	if code := l.ended(p); code != 1 || !strings.Contains(p.Output(), "ended by a signal (killed)") {
		t.Errorf("exit code %d\n%s", code, p.Output())
	}
	if l.address() != before {
		t.Errorf("left behind: %s", l.address())
	}
}

// TestParentDies: the worker ends by itself; the address stays with its lifetime, and the next
// client takes it over.
func TestParentDies(t *testing.T) {
	l := newLab(t, 600)
	dir := t.TempDir()
	before := l.address()
	p, worker := l.bound(job{Interface: "eth0", Dir: dir})
	bound := l.address()
	eventually(t, "the lease file", func() bool { _, err := os.Stat(filepath.Join(dir, "leases")); return err == nil })
	p.Kill()
	eventually(t, "the end of the worker", func() bool { return gone(worker) })
	if l.address() != bound {
		t.Errorf("the interface has %s, not %s", l.address(), bound)
	}
	p, _ = l.bound(job{Interface: "eth0", Dir: dir})
	if l.address() != bound || !strings.Contains(p.Output(), `"to":"rebooting"`) {
		t.Errorf("the next client has %s, not %s\n%s", l.address(), bound, p.Output())
	}
	must(t, p.Signal(syscall.SIGINT))
	if code := l.ended(p); code != 0 || l.address() != before {
		t.Errorf("exit code %d, left behind: %s", code, l.address())
	}
}

// TestInterrupt: a terminal sends its signal to both processes.
func TestInterrupt(t *testing.T) {
	l := newLab(t, 600)
	before := l.address()
	p, worker := l.bound(job{Interface: "eth0", Dir: t.TempDir()})
	must(t, syscall.Kill(-p.PID(), syscall.SIGINT))
	if code := l.ended(p); code != 0 || l.address() != before || !gone(worker) {
		t.Errorf("exit code %d, left behind: %s\n%s", code, l.address(), p.Output())
	}
}

// TestOnceLeaves: the program ends with the address on the interface.
func TestOnceLeaves(t *testing.T) {
	l := newLab(t, 600)
	before := l.address()
	p := l.start(job{Interface: "eth0", Dir: t.TempDir(), Once: true})
	if code := l.ended(p); code != 0 || l.address() == before {
		t.Errorf("exit code %d, the interface has %s\n%s", code, l.address(), p.Output())
	}
}

// TestExpiry: the address goes at the end of the lease when the server has gone.
func TestExpiry(t *testing.T) {
	l := newLab(t, 8)
	before := l.address()
	l.bound(job{Interface: "eth0", Dir: t.TempDir()})
	must(t, l.sw.Unplug(l.server))
	start := time.Now()
	eventually(t, "the end of the lease", func() bool { return l.address() == before })
	if d := time.Since(start); d < 3*time.Second || d > 9*time.Second {
		t.Errorf("the address went after %v", d)
	}
}

// TestUserNamespace: where no other user exists, the worker keeps its user and loses all else.
func TestUserNamespace(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	dir := t.TempDir()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf(`%s={"Interface":"eth0","Dir":%q,"Try":true}`, role, dir))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}}
	var out strings.Builder
	r, w, err := os.Pipe()
	must(t, err)
	cmd.Stdout, cmd.Stderr = w, w
	must(t, cmd.Start())
	w.Close()
	buf := make([]byte, 4096)
	for !strings.Contains(out.String(), "tried everything") {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		out.Write(buf[:n])
	}
	r.Close()
	// The worker is the root of that namespace; what that gives is what counts.
	if s := strings.ReplaceAll(out.String(), "the worker could: become root", ""); !strings.Contains(s, `interface \"eth0\" is not there`) || strings.Contains(s, "the worker could:") {
		t.Error(s)
	}
	unprivileged(t, child(t, cmd.Process.Pid), true)
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v", err)
	}
}
