package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
)

// clientStage is a link with a host for the client, and as many servers as a test starts.
type clientStage struct {
	t    *testing.T
	lab  *netlab.Lab
	sw   *netlab.Switch
	host *netlab.Host
	runs int
}

func newClientStage(t *testing.T, servers ...string) *clientStage {
	t.Helper()
	s := &clientStage{t: t, lab: newLab(t)}
	s.sw = try(s.lab.Switch("lan"))(t)
	for i, pool := range servers {
		h := try(s.lab.Host(fmt.Sprintf("server%d", i+1)))(t)
		check(t, s.sw.Join(h, "eth0", fmt.Sprintf("198.18.0.%d/24", i+1)))
		serve(t, h, fmt.Sprintf("interfaces: [eth0]\nvalid-lifetime: 1h\nauthoritative: false\nconflict-check: off\nsubnets:\n  - {subnet: 198.18.0.0/24, pools: [%s], options: {routers: 198.18.0.%d, domain-name-servers: 198.18.0.53}}\n", pool, i+1))
	}
	s.host = try(s.lab.Host("client"))(t)
	check(t, s.sw.Join(s.host, "eth0"))
	check(t, s.host.WaitRunning("eth0", 5*time.Second))
	record(t, s.sw)
	return s
}

// start starts lessor client on the host.
func (s *clientStage) start(args ...string) (*netlab.Proc, *netlab.Notify) {
	s.t.Helper()
	s.runs++
	n := try(netlab.ListenNotify(filepath.Join(s.host.Root, fmt.Sprintf("notify%d", s.runs))))(s.t)
	s.t.Cleanup(func() { n.Close() })
	p := try(s.host.Start(netlab.Spec{Args: append([]string{lessor, "client"}, args...), Env: []string{n.Env()}}))(s.t)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("lessor client %s wrote:\n%s", strings.Join(args, " "), tail(p.Output(), 4000))
		}
	})
	return p, n
}

// ends expects that p ends with the exit code, having written all of want.
func (s *clientStage) ends(p *netlab.Proc, code int, want ...string) string {
	s.t.Helper()
	err, ended := p.Wait(10 * time.Second)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	}
	if !ended || got != code {
		s.t.Errorf("it ended: %t, with exit code %d (%v), want %d:\n%s", ended, got, err, code, p.Output())
	}
	for _, text := range want {
		if !strings.Contains(p.Output(), text) {
			s.t.Errorf("it wrote nothing of %q:\n%s", text, p.Output())
		}
	}
	return p.Output()
}

// ask runs lessor client to its end.
func (s *clientStage) ask(code int, args string, want ...string) string {
	s.t.Helper()
	p, _ := s.start(strings.Fields(args)...)
	return s.ends(p, code, want...)
}

// address expects that the interface has one address, or none.
func (s *clientStage) address(want bool) {
	s.t.Helper()
	for end := time.Now().Add(3 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		n := len(s.host.Addrs("eth0"))
		if want == (n == 1) && n < 2 {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("the interface has %v", s.host.Addrs("eth0"))
		}
	}
}

const (
	lowerPool = "198.18.0.100-198.18.0.149"
	upperPool = "198.18.0.150-198.18.0.199"
)

// --dry-run lists what all servers offer and touches nothing.
func TestClientDryRun(t *testing.T) {
	t.Parallel()
	s := newClientStage(t, lowerPool, upperPool)
	var offers []struct {
		Server, Address, Text string
		Good                  bool
		Lifetime              uint32 `json:"valid-lifetime"`
	}
	check(t, json.Unmarshal([]byte(s.ask(0, "eth0 --dry-run --timeout 1s -o json --server-deny 198.18.0.2")), &offers))
	byServer := make(map[string]bool)
	for _, o := range offers {
		byServer[o.Server] = o.Good
		if o.Lifetime != 3600 || !strings.HasSuffix(o.Address, "/24") || o.Good != (o.Text == "") {
			t.Errorf("an offer is shown as %+v", o)
		}
	}
	if good, ok := byServer["198.18.0.1"]; !ok || !good || len(byServer) != 2 || byServer["198.18.0.2"] {
		t.Errorf("the offers are %+v", offers)
	}
	s.ask(0, "eth0 --dry-run --timeout 1s", "SERVER\tHW-ADDRESS\tADDRESS", "198.18.0.1\t", "198.18.0.2\t", "1h00m", "198.18.0.53")
	s.ask(0, "eth0 --dry-run --once --timeout 1s", "198.18.0.1\t", "198.18.0.2\t")
	s.ask(5, "eht0 --dry-run", `no interface "eht0"`, "Did you mean eth0?")
	s.ask(2, "eth0 --dry-run -o xml", "xml")
	s.address(false)
	if _, err := os.Stat(s.host.Path("/var/lib/lessor/client-eth0.leases")); err == nil {
		t.Error("--dry-run wrote a lease file")
	}
}

// Nobody answers: exit code 3, and nothing is left.
func TestClientWithoutServers(t *testing.T) {
	t.Parallel()
	s := newClientStage(t)
	s.ask(3, "eth0 --dry-run --timeout 500ms", "no server answered on eth0 within 500ms")
	s.ask(3, "eth0 --once --fast --timeout 1s", "eth0 has no lease after 1s", "--dry-run")
	s.ask(3, "eht0 --once --fast --timeout 500ms", "did you mean eth0")
	s.ask(4, "status", "no client is running")
	s.ask(4, "renew eth0", "no client is running on eth0")
	s.address(false)
	check(t, s.host.SetDown("eth0"))
	s.ask(3, "eth0 --dry-run --timeout 500ms", "eth0 is down or has no carrier", "ip link set eth0 up")
}

// A running client is asked, told what to do, and watched; systemd is told; a second one finds
// the first.
func TestClientIsAsked(t *testing.T) {
	t.Parallel()
	s := newClientStage(t, lowerPool)
	p, n := s.start("eth0", "--fast", "-v")
	check(t, n.Await(p, "READY=1", 10*time.Second))
	s.address(true)
	addr := s.host.Addrs("eth0")[0].String()

	var status struct{ Interface, State, Reason, Address, Server, Renews, Expires string }
	check(t, json.Unmarshal([]byte(s.ask(0, "status eth0 -o json")), &status))
	if status.Interface != "eth0" || status.State != "bound" || status.Reason == "" || status.Address != addr || status.Server != "198.18.0.1" ||
		status.Renews >= status.Expires {
		t.Errorf("the status is %+v; the interface has %s", status, addr)
	}
	s.ask(0, "status", "INTERFACE\tSTATE\tADDRESS", "eth0\tbound\t"+addr+"\t198.18.0.1\t")
	s.ask(0, "status eth0", "state          bound: ", "address        "+addr+" from 198.18.0.1", "CHECKING → BOUND")
	s.ask(6, "eth0 --fast", "already runs", "lessor client stop eth0")
	s.ask(6, "eth0 --fast --once --control /run/other.sock --lease-file /run/other", "port 68 on eth0 is used by lessor (pid ")

	w, _ := s.start("status", "eth0", "--watch")
	time.Sleep(200 * time.Millisecond) // a stream has no past
	s.ask(0, "renew", "client/eth0 renewing")
	check(t, w.WaitOutput(`"from":"renewing","to":"bound","reason":"ack"`, 5*time.Second))
	s.ask(0, "rebind eth0", "client/eth0 rebinding")
	check(t, w.WaitOutput(`"from":"rebinding","to":"bound","reason":"ack"`, 5*time.Second))
	s.ask(0, "release eth0", "client/eth0 released")
	s.address(false)
	s.ask(6, "release eth0", "there is no lease")
	s.ask(0, "renew eth0", "client/eth0 renewing")
	check(t, n.Await(p, "STATUS="+addr+" from 198.18.0.1", 5*time.Second))
	s.address(true)
	s.ask(0, "stop eth0", "client/eth0 stopped")
	s.ends(p, 0, "took everything off the interface: the program ends (stopped)")
	s.ends(w, 0)
	s.address(false)
	s.ask(4, "status eth0", "no client is running on eth0")
}

// Whatever ends a client, its interface is left as it was.
func TestClientLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s := newClientStage(t, lowerPool)
	bound := func(args ...string) *netlab.Proc {
		p, n := s.start(append([]string{"eth0", "--fast"}, args...)...)
		check(t, n.Await(p, "READY=1", 10*time.Second))
		s.address(true)
		return p
	}
	worker := func(p *netlab.Proc) *os.Process {
		children := try(os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.PID())))(t)
		for _, task := range try(filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.PID())))(t) {
			children = append(children, try(os.ReadFile(task))(t)...)
		}
		var pid int
		if _, err := fmt.Sscan(string(children), &pid); err != nil {
			t.Fatalf("the client has the children %q: %v", children, err)
		}
		return try(os.FindProcess(pid))(t)
	}
	signals := func(all ...os.Signal) func(*netlab.Proc) error {
		return func(p *netlab.Proc) error {
			for _, sig := range all {
				if err := p.Signal(sig); err != nil {
					return err
				}
				time.Sleep(time.Millisecond) // two of a kind at once would be one
			}
			return nil
		}
	}
	for _, end := range []struct {
		name string
		how  func(*netlab.Proc) error
		code int
	}{
		{"SIGTERM", func(p *netlab.Proc) error { return p.Signal(syscall.SIGTERM) }, 0},
		{"SIGHUP: the terminal went away", func(p *netlab.Proc) error { return p.Signal(syscall.SIGHUP) }, 0},
		{"SIGTERM twice, and then SIGHUP: timeout(1), the end of a session", signals(syscall.SIGTERM, syscall.SIGTERM, syscall.SIGHUP), 0},
		{"^C twice", signals(syscall.SIGINT, syscall.SIGINT), 0},
		{"SIGTERM to the part without rights", func(p *netlab.Proc) error { return worker(p).Signal(syscall.SIGTERM) }, 0},
		{"SIGKILL of the part without rights", func(p *netlab.Proc) error { return worker(p).Kill() }, 1},
	} {
		p := bound()
		check(t, end.how(p))
		t.Log(end.name)
		s.ends(p, end.code)
		s.address(false)
	}
	p := try(s.host.Start(netlab.Spec{Args: []string{"sh", "-c", lessor + " client eth0 --fast -o jsonl | head -n 1"}}))(t)
	s.ends(p, 0, "nobody reads standard output any more")
	s.address(false)
}

// With no more capabilities than its unit gives, a client does all that it does: another user for
// the part that reads packets and for the hook, which is ended when it takes too long.
func TestClientWithTheCapabilitiesOfItsUnit(t *testing.T) {
	t.Parallel()
	s := newClientStage(t, lowerPool)
	unit := string(try(os.ReadFile("../../packaging/lessor-client@.service"))(t))
	_, caps, ok := strings.Cut(unit, "\nCapabilityBoundingSet=")
	if !ok {
		t.Fatal("the unit has no CapabilityBoundingSet")
	}
	caps, _, _ = strings.Cut(caps, "\n")
	set := "-all"
	for _, c := range strings.Fields(caps) {
		set += ",+" + strings.ToLower(strings.TrimPrefix(c, "CAP_"))
	}
	n := try(netlab.ListenNotify(filepath.Join(s.host.Root, "notify")))(t)
	defer n.Close()
	p := try(s.host.Start(netlab.Spec{Args: []string{"setpriv", "--bounding-set", set, "--inh-caps", "-all", "--no-new-privs",
		lessor, "client", "run", "eth0", "--fast", "--resolv-conf", "/etc/resolv.conf", "-v"}, Env: []string{n.Env()}}))(t)
	check(t, n.Await(p, "READY=1", 10*time.Second))
	s.address(true)
	check(t, p.Signal(syscall.SIGTERM))
	out := s.ends(p, 0)
	s.address(false)
	if strings.Contains(out, "cannot") || strings.Contains(out, "not permitted") {
		t.Errorf("something was refused:\n%s", out)
	}
}

// A client makes no system call that the filter of its unit refuses.
func TestClientWithinTheFilterOfItsUnit(t *testing.T) {
	t.Parallel()
	s := newClientStage(t, lowerPool)
	allowed := allowedCalls(t)
	trace := filepath.Join(s.host.Root, "trace")
	p := try(s.host.Start(netlab.Spec{Args: []string{"strace", "-f", "-c", "-U", "name", "-o", trace,
		lessor, "client", "run", "eth0", "--once", "--fast", "--resolv-conf", "/etc/resolv.conf", "--hook", "/usr/bin/true", "-q"}}))(t)
	s.ends(p, 0)
	s.address(true)
	used := 0
	for line := range strings.Lines(string(try(os.ReadFile(trace))(t))) {
		name := strings.TrimSpace(line)
		if name == "" || name == "syscall" || name == "total" || strings.HasPrefix(name, "-") {
			continue
		}
		if used++; !allowed[name] {
			t.Errorf("the client calls %s, which SystemCallFilter of its unit refuses", name)
		}
	}
	if used < 30 || allowed["mount"] || allowed["kexec_load"] {
		t.Errorf("%d system calls were traced; mount is allowed: %t", used, allowed["mount"])
	}
}

// allowedCalls are the system calls that the unit allows, its groups spelt out by systemd.
func allowedCalls(t *testing.T) map[string]bool {
	t.Helper()
	groups, group := make(map[string][]string), ""
	for line := range strings.Lines(string(try(exec.Command("systemd-analyze", "syscall-filter", "--no-pager").Output())(t))) {
		name := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "@"):
			group = name
		case name != "" && !strings.HasPrefix(name, "#"):
			groups[group] = append(groups[group], name)
		}
	}
	allowed := make(map[string]bool)
	var set func(name string, to bool)
	set = func(name string, to bool) {
		if !strings.HasPrefix(name, "@") {
			allowed[name] = to
		}
		for _, member := range groups[name] {
			set(member, to)
		}
	}
	set("@default", true) // always there, as systemd.exec(5) says
	for line := range strings.Lines(string(try(os.ReadFile("../../packaging/lessor-client@.service"))(t))) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(line), "SystemCallFilter="); ok {
			list, refused := strings.CutPrefix(list, "~")
			for _, name := range strings.Fields(list) {
				set(name, !refused)
			}
		}
	}
	return allowed
}

// A user without rights is told what is missing, before anything is tried.
func TestClientWithoutRights(t *testing.T) {
	t.Parallel()
	s := newClientStage(t)
	for args, want := range map[string]string{
		"eth0":           "needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE",
		"eth0 --dry-run": "needs CAP_NET_RAW and CAP_NET_BIND_SERVICE",
		"status eth0":    "no client is running",
	} {
		p := try(s.host.Start(netlab.Spec{Args: append([]string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", lessor, "client"}, strings.Fields(args)...)}))(t)
		s.ends(p, 4, want)
	}
}

// What the user sets is in the messages, and an address that is asked for is asked for.
func TestClientSendsWhatTheUserSets(t *testing.T) {
	t.Parallel()
	s := newClientStage(t, lowerPool)
	rec := record(t, s.sw)
	p, _ := s.start("eth0", "--once", "--fast", "--conflict-detection", "off", "--request", "198.18.0.120", "--hostname", "pixel-8", "--vendor-class", "acme",
		"--user-class", "guest", "--client-id", "00:01:02", "--option", "root-path=/srv", "--option", "224=0a:0b", "--request-option", "tftp-server-name", "--lease-time", "30m")
	s.ends(p, 0)
	if got := s.host.Addr("eth0").String(); got != "198.18.0.120" {
		t.Errorf("198.18.0.120 was asked for, and the interface has %s", got)
	}
	f, _, err := rec.Wait(0, time.Second, func(f *netlab.Frame) bool { return f.From == "client" && f.Type() == dhcp4.Request })
	check(t, err)
	v, _ := f.View()
	for code, want := range map[dhcp4.Code]string{dhcp4.OptHostName: "pixel-8", dhcp4.OptVendorClassIdentifier: "acme", dhcp4.OptUserClass: "\x05guest",
		dhcp4.OptDHCPClientIdentifier: "\x00\x01\x02", dhcp4.OptRootPath: "/srv", 224: "\x0a\x0b", dhcp4.OptDHCPLeaseTime: "\x00\x00\x07\x08"} {
		if got, _ := v.Get(code, nil); string(got) != want {
			t.Errorf("option %d is %q, want %q", code, got, want)
		}
	}
	if list, _ := v.Get(dhcp4.OptDHCPParameterRequestList, nil); !strings.Contains(string(list), string(rune(dhcp4.OptTFTPServerName))) {
		t.Errorf("option 66 is not in the list of parameters: %v", list)
	}
}
