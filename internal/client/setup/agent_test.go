package setup

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"lessor/internal/netlab"
)

// The tests drive a Host in a process of its own on a host of netlab: all its threads
// are in the lab's namespaces, as those of a real client are, and it can be killed.

// request is one call of a method; answer is what came of it.
type request struct {
	Op      string
	Name    string
	Options Options
	Config  *Config
	Event   *HookEvent
	Leave   bool
	Data    []byte
	Times   int
}

type answer struct {
	Err   string
	Data  []byte
	Warns []string
}

func TestMain(m *testing.M) {
	if os.Getenv("LESSOR_SETUP_AGENT") != "" {
		agent(os.Stdin, os.Stdout)
		return
	}
	os.Exit(m.Run())
}

func agent(in io.Reader, out io.Writer) {
	var host *Host
	var mu sync.Mutex
	var warns []string
	warn := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		warns = append(warns, s)
	}
	r, w := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var q request
		if err := r.Decode(&q); err != nil {
			return
		}
		var a answer
		var err error
		switch q.Op {
		case "open":
			var h *Host
			if h, err = Open(q.Name, q.Options, warn); err == nil {
				host = h
			}
		case "up":
			err = host.Up()
		case "apply":
			err = host.Apply(q.Config)
		case "clear":
			err = host.Clear()
		case "close":
			err = host.Close(q.Leave)
		case "read":
			a.Data, err = host.ReadLeases()
		case "write":
			err = host.WriteLeases(q.Data)
		case "hook":
			for range max(1, q.Times) {
				host.Hook(q.Event)
			}
		case "warns":
		default:
			a.Data, err = agentMore(host, &q)
		}
		if err != nil {
			a.Err = err.Error()
		}
		mu.Lock()
		a.Warns, warns = warns, nil
		mu.Unlock()
		if err := w.Encode(&a); err != nil {
			return
		}
	}
}

// remote is an agent as the tests see it.
type remote struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    *json.Encoder
	out   *json.Decoder
	warns []string // of all calls
}

// start runs an agent on h; wrap is put before its command line.
func start(t *testing.T, h *netlab.Host, wrap ...string) *remote {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(wrap, self)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = []string{"LESSOR_SETUP_AGENT=1", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	a := &remote{t: t, cmd: cmd, in: json.NewEncoder(in), out: json.NewDecoder(bufio.NewReader(out))}
	t.Cleanup(a.kill)
	return a
}

// kill is kill -9.
func (a *remote) kill() {
	if a.cmd.ProcessState == nil {
		a.cmd.Process.Kill()
		a.cmd.Wait()
	}
}

// try makes one call and returns its error's text.
func (a *remote) try(q request) (data []byte, err string) {
	a.t.Helper()
	if err := a.in.Encode(&q); err != nil {
		a.t.Fatalf("%s: %v", q.Op, err)
	}
	var r answer
	if err := a.out.Decode(&r); err != nil {
		a.t.Fatalf("%s: the agent has died: %v", q.Op, err)
	}
	a.warns = append(a.warns, r.Warns...)
	return r.Data, r.Err
}

// must makes one call that must succeed.
func (a *remote) must(q request) []byte {
	a.t.Helper()
	data, err := a.try(q)
	if err != "" {
		a.t.Fatalf("%s: %s", q.Op, err)
	}
	return data
}

func (a *remote) open(o Options)   { a.t.Helper(); a.must(request{Op: "open", Name: "eth0", Options: o}) }
func (a *remote) apply(c *Config)  { a.t.Helper(); a.must(request{Op: "apply", Config: c}) }
func (a *remote) clear()           { a.t.Helper(); a.must(request{Op: "clear"}) }
func (a *remote) close(leave bool) { a.t.Helper(); a.must(request{Op: "close", Leave: leave}) }

// quiet fails the test if there were warnings.
func (a *remote) quiet() {
	a.t.Helper()
	a.must(request{Op: "warns"})
	if len(a.warns) != 0 {
		a.t.Errorf("unexpected warnings:\n%s", strings.Join(a.warns, "\n"))
	}
}

// warned fails the test unless exactly one warning came and has all the words; it forgets it.
func (a *remote) warned(words ...string) {
	a.t.Helper()
	a.must(request{Op: "warns"})
	if len(a.warns) != 1 {
		a.t.Errorf("%d warnings, want one with %q:\n%s", len(a.warns), words, strings.Join(a.warns, "\n"))
	} else {
		contains(a.t, a.warns[0], words...)
	}
	a.warns = nil
}

func contains(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q lacks %q", text, w)
		}
	}
}

// bed is a host with eth0 joined to a switch.
type bed struct {
	*netlab.Host
	t     *testing.T
	dir   string
	lease string // a lease file
}

func newBed(t *testing.T) *bed {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test makes network namespaces and needs root: sudo go test ./internal/client/setup")
	}
	l, err := netlab.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s, err := l.Switch("lan")
	if err != nil {
		t.Fatal(err)
	}
	h, err := l.Host("host")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Join(h, "eth0"); err != nil {
		t.Fatal(err)
	}
	b := &bed{Host: h, t: t, dir: t.TempDir()}
	for end := time.Now().Add(5 * time.Second); !strings.Contains(b.ip("link show eth0"), "state UP"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("eth0 has no carrier")
		}
	}
	b.lease = b.dir + "/eth0.lease"
	return b
}

// run runs a program on the host and returns what it prints.
func (b *bed) run(args ...string) string {
	b.t.Helper()
	var out []byte
	err := b.Do(func() (err error) {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// ip runs ip with the words of line.
func (b *bed) ip(line string) string {
	b.t.Helper()
	return b.run(append([]string{"ip"}, strings.Fields(line)...)...)
}

// state is everything about the host that a client may change. Lifetimes are left out:
// they run.
func (b *bed) state() string {
	b.t.Helper()
	var s strings.Builder
	for line := range strings.Lines(b.ip("-details addr show")) {
		if !strings.Contains(line, "valid_lft") {
			s.WriteString(line)
		}
	}
	fmt.Fprintf(&s, "routes:\n%s", b.ip("route show table all"))
	fmt.Fprintf(&s, "6:\n%s", b.ip("-6 route show table all"))
	fmt.Fprintf(&s, "name: %s", b.run("hostname"))
	fmt.Fprintf(&s, "files:\n%s", b.run("find", "/etc", "/run", b.dir, "-xdev", "-type", "f", "-printf", "%p %m %u %s %i\n"))
	return s.String()
}

// unchanged fails the test if the host is not as it was in before.
func (b *bed) unchanged(before string) { b.t.Helper(); same(b.t, before, b.state()) }

func same(t *testing.T, before, after string) {
	t.Helper()
	if d := cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")); d != "" {
		t.Errorf("the host is not as it was (- before, + after):\n%s", d)
	}
}
