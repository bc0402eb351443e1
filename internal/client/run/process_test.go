package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lessor/internal/client"
	"lessor/internal/client/setup"
	"lessor/internal/clock"
	"lessor/internal/config"
	"lessor/internal/engine"
	"lessor/internal/event"
	"lessor/internal/link"
	"lessor/internal/netlab"
	"lessor/internal/store/memory"
)

// role makes this test binary another program: "serve" a DHCP server, otherwise a client with
// the job in JSON.
const role = "LESSOR_RUN_TEST"

// job is what a client of these tests does.
type job struct {
	Interface string
	Dir       string // for its files
	Once      bool
	Try       bool // the worker tries what it must not be able to do, and says how that went
}

func TestMain(m *testing.M) {
	switch what := os.Getenv(role); what {
	case "":
		os.Exit(m.Run())
	case "serve":
		serveForever()
	case "ask":
		askMain()
	default:
		os.Exit(clientMain(what))
	}
}

// clientMain is the program, in both of its processes.
func clientMain(text string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		fmt.Println("job:", err)
		return 99
	}
	tried := false
	p := &Process{
		Interface: j.Interface, Control: filepath.Join(j.Dir, "control.sock"), Once: j.Once,
		Setup:  setup.Options{ResolvConf: filepath.Join(j.Dir, "resolv.conf"), LeaseFile: filepath.Join(j.Dir, "leases")},
		Client: client.Config{Fast: true, Detection: client.DetectOff},
		Applied: func(c *setup.Config) {
			fmt.Printf("parent: applied %t\n", c != nil)
		},
		Report: func(r *Report) {
			b, err := json.Marshal(r.Line())
			fmt.Printf("%s %v\n", b, err)
			if j.Try && !tried {
				tried = true
				tryEverything()
			}
		},
	}
	err := Main(ctx, p)
	if e, ok := errors.AsType[*Exit](err); ok {
		return e.Code
	}
	if err != nil {
		fmt.Printf("worker %t: %v\n", IsWorker(), err)
		_, taken := errors.AsType[*link.PortTakenError](err)
		switch {
		case taken, errors.Is(err, ErrControlInUse):
			return 6
		}
		return 1
	}
	return 0
}

// tryEverything says which of the things went well that a worker must not be able to do.
func tryEverything() {
	for what, try := range map[string]func() error{
		"read /etc/shadow":  func() error { _, err := os.ReadFile("/etc/shadow"); return err },
		"read /etc/passwd":  func() error { _, err := os.ReadFile("/etc/passwd"); return err },
		"read a directory":  func() error { _, err := os.ReadDir("/"); return err },
		"write a file":      func() error { return os.WriteFile("/tmp/lessor-worker", nil, 0o600) },
		"run a program":     func() error { return exec.Command("/bin/true").Run() },
		"become root":       func() error { return syscall.Setuid(0) },
		"open a raw socket": func() error { _, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, 1); return err },
		"open port 67": func() error {
			_, err := net.ListenPacket("udp4", "0.0.0.0:67")
			return err
		},
		"signal the parent":           func() error { return syscall.Kill(os.Getppid(), 0) },
		"trace the parent":            func() error { return syscall.PtraceAttach(os.Getppid()) },
		"ask a daemon":                func() error { _, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0); return err },
		"connect":                     refusedCall(unix.SYS_CONNECT, 0),
		"type at the user's terminal": refusedCall(unix.SYS_IOCTL, unix.TIOCSTI),
		"paste at the console":        refusedCall(unix.SYS_IOCTL, unix.TIOCLINUX),
	} {
		if try() == nil {
			fmt.Println("the worker could:", what)
		}
	}
	fmt.Println("tried everything")
}

// refusedCall makes a system call with a descriptor that is none: the kernel says that, unless it
// refused the call before it looked.
func refusedCall(nr, argument uintptr) func() error {
	return func() error {
		if _, _, errno := syscall.Syscall(nr, ^uintptr(0), argument, 0); errno == syscall.EACCES {
			return errno
		}
		return nil
	}
}

// serveForever is a DHCP server on eth0.
func serveForever() {
	text := serverConfig
	if s := os.Getenv("LESSOR_RUN_LIFETIME"); s != "" {
		text = strings.Replace(text, "valid-lifetime: 600", "valid-lifetime: "+s, 1)
	}
	c, problems := config.Parse("test.yaml", []byte(text))
	if err := problems.Err(); err != nil {
		panic(err)
	}
	times, err := clock.New()
	if err != nil {
		panic(err)
	}
	log := event.NewLog(slog.NewTextHandler(io.Discard, nil), event.Names{})
	e, err := engine.Load(context.Background(), engine.Config{Clock: times, Net: link.NewKernel(), Store: memory.New(), Log: log, Policy: c.Policy()})
	if err == nil {
		err = e.Start(context.Background())
	}
	if err != nil {
		panic(err)
	}
	fmt.Println("serving")
	select {}
}

// lab is a server and a place for a client in namespaces of their own.
type lab struct {
	t      *testing.T
	sw     *netlab.Switch
	server *netlab.Host
	host   *netlab.Host
	self   string
}

// newLab starts a server with leases of lifetime seconds.
func newLab(t *testing.T, lifetime int) *lab {
	t.Helper()
	n, err := netlab.New(t.TempDir())
	must(t, err)
	t.Cleanup(func() { n.Close() })
	l := &lab{t: t}
	l.sw, err = n.Switch("lan")
	must(t, err)
	l.server, err = n.Host("server")
	must(t, err)
	l.host, err = n.Host("client")
	must(t, err)
	must(t, l.sw.Join(l.server, "eth0", "192.0.2.1/24"))
	must(t, l.sw.Join(l.host, "eth0"))
	l.self, err = os.Executable()
	must(t, err)
	p, err := l.server.Start(netlab.Spec{Args: []string{l.self}, Env: []string{role + "=serve", fmt.Sprintf("LESSOR_RUN_LIFETIME=%d", lifetime)}})
	must(t, err)
	must(t, p.WaitOutput("serving", 10*time.Second))
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start starts a client.
func (l *lab) start(j job) *netlab.Proc {
	l.t.Helper()
	text, err := json.Marshal(&j)
	must(l.t, err)
	p, err := l.host.Start(netlab.Spec{Args: []string{l.self}, Env: []string{role + "=" + string(text)}})
	must(l.t, err)
	return p
}

// bound starts a client and waits for its address.
func (l *lab) bound(j job) (p *netlab.Proc, worker int) {
	l.t.Helper()
	p = l.start(j)
	if err := p.WaitOutput(`"to":"bound"`, 20*time.Second); err != nil {
		l.t.Fatalf("%v\n%s", err, p.Output())
	}
	return p, child(l.t, p.PID())
}

// child is the only child of process pid.
func child(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	must(t, err)
	all := string(text)
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	must(t, err)
	for _, task := range tasks { // children belong to the thread that made them, or to one that took them over
		if task.Name() != strconv.Itoa(pid) {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
			all += " " + string(text)
		}
	}
	fields := strings.Fields(all)
	if len(fields) != 1 {
		t.Fatalf("the children of %d are %q", pid, fields)
	}
	n, err := strconv.Atoi(fields[0])
	must(t, err)
	return n
}

// ended waits for the end of p and returns its exit code.
func (l *lab) ended(p *netlab.Proc) int {
	l.t.Helper()
	err, ok := p.Wait(10 * time.Second)
	if !ok {
		l.t.Fatalf("the client does not end\n%s", p.Output())
	}
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return e.ExitCode()
	}
	must(l.t, err)
	return 0
}

// address is what the client's interface has.
func (l *lab) address() string { return fmt.Sprint(l.host.Addrs("eth0")) }

// status is what /proc says of process pid, by name.
func procStatus(t *testing.T, pid int) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	m := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, val, _ := strings.Cut(line, ":")
		m[key] = strings.TrimSpace(val)
	}
	return m
}

// gone reports whether process pid has ended.
func gone(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(text), ") Z ")
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 500 {
		if is() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("waited in vain: %s", what)
}
