package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/link/memnet"
	"lessor/internal/wire"
)

// lines is what a server said, readable while it speaks.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// served is a whole server, with its sockets in memory and its files in a
// directory of the test.
type served struct {
	t      *testing.T
	dir    string
	config string
	socket string
	log    *lines
	daemon *daemon
	sw     *memnet.Switch
	ended  chan error
	end    context.CancelFunc
	notify *net.UnixConn
}

const servedConfig = `
interfaces: [eth0]
valid-lifetime: 1h
conflict-check: off
subnets:
  - subnet: 192.0.2.0/24
    name: lan
    pools: [192.0.2.100-192.0.2.199]
    reservations:
      - {hw-address: "02:00:5e:10:00:09", ip-address: 192.0.2.10, hostname: printer}
`

func startServed(t *testing.T) *served {
	t.Helper()
	s := &served{t: t, dir: t.TempDir(), log: &lines{}, ended: make(chan error, 1)}
	s.config, s.socket = filepath.Join(s.dir, "lessor.yaml"), filepath.Join(s.dir, "run", "control.sock")
	s.write(servedConfig)
	addr := &net.UnixAddr{Name: filepath.Join(s.dir, "notify"), Net: "unixgram"}
	var err error
	if s.notify, err = net.ListenUnixgram("unixgram", addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.notify.Close() })
	t.Setenv("NOTIFY_SOCKET", addr.Name)
	t.Setenv("WATCHDOG_USEC", "300000")
	s.start()
	return s
}

func (s *served) write(yaml string) {
	s.t.Helper()
	if err := os.WriteFile(s.config, []byte(yaml), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// start runs the server; the end of the test stops it if it still runs.
func (s *served) start() {
	s.t.Helper()
	n := memnet.New()
	s.sw = n.Switch("lan")
	host := n.Host()
	host.Add("eth0", s.sw, wire.MAC{2, 0, 0, 0, 0, 1}, dhcp4.Prefix{Addr: dhcp4.MustParseAddr("192.0.2.1"), Bits: 24})
	c, problems := config.Load(s.config)
	if err := problems.Err(); err != nil {
		s.t.Fatal(err)
	}
	g := &globals{config: s.config, stderr: s.log, environ: []string{}}
	f := &serveFlags{state: filepath.Join(s.dir, "state"), control: s.socket}
	s.daemon = &daemon{g: g, f: f, conf: c, net: host, handler: slog.NewJSONHandler(s.log, nil)}
	ctx, cancel := context.WithCancel(s.t.Context())
	s.end = cancel
	go func() { s.ended <- s.daemon.run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		select {
		case err := <-s.ended:
			if err != nil {
				s.t.Errorf("the server ended with: %v", err)
			}
		case <-time.After(10 * time.Second):
			s.t.Error("the server did not end")
		}
	})
	s.told("READY=1")
}

// told waits until systemd is told something that begins with prefix, and returns it.
func (s *served) told(prefix string) string {
	s.t.Helper()
	buf := make([]byte, 1024)
	s.notify.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		n, err := s.notify.Read(buf)
		if err != nil {
			s.t.Fatalf("waiting for %s: %v; the log: %s", prefix, err, s.log)
		}
		if strings.HasPrefix(string(buf[:n]), prefix) {
			return string(buf[:n])
		}
	}
}

// ask runs a command against the server.
func (s *served) ask(args ...string) (out, errOut string, code int) {
	var stdout, stderr bytes.Buffer
	code = Main(append(args, "--connect", s.socket), strings.NewReader(""), &stdout, &stderr)
	return stdout.String(), stderr.String(), code
}

// lease does a DORA for a client and returns its address.
func (s *served) lease(mac wire.MAC, hostname string) dhcp4.Addr {
	s.t.Helper()
	ep := s.sw.Endpoint(mac)
	defer ep.Unplug()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	exchange := func(xid uint32, opts ...dhcp4.Option) dhcp4.Addr {
		h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: xid}
		copy(h.CHAddr[:], mac[:])
		opts = append(opts, dhcp4.Option{Code: dhcp4.OptHostName, Data: []byte(hostname)})
		data, _ := dhcp4.AppendMessage(nil, &h, opts, nil, 576)
		ep.SendDHCP(wire.Send{Data: data, MAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, SrcPort: 68, DstPort: 67})
		for {
			f, err := ep.Wait(ctx)
			if err != nil {
				s.t.Fatalf("no answer: %v; the log: %s", err, s.log)
			}
			var v dhcp4.View
			if !f.IsARP && v.Parse(f.Data) == nil && v.XID() == xid {
				return v.YIAddr()
			}
		}
	}
	a := exchange(1, dhcp4.Option{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(dhcp4.Discover)}})
	return exchange(2, dhcp4.Option{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(dhcp4.Request)}},
		dhcp4.Option{Code: dhcp4.OptDHCPServerIdentifier, Data: dhcp4.MustParseAddr("192.0.2.1").Append(nil)},
		dhcp4.Option{Code: dhcp4.OptDHCPRequestedAddress, Data: a.Append(nil)})
}

// asked is a command, its exit code and a part of what it prints.
type asked struct {
	args string
	code int
	out  string
}

func (s *served) asks(cs []asked) {
	s.t.Helper()
	for _, c := range cs {
		out, errOut, code := s.ask(strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out, c.out) {
			s.t.Errorf("%s: exit %d, want %d with %q; got %q and %q", c.args, code, c.code, c.out, out, errOut)
		}
		if strings.Contains(out, "\x1b") {
			s.t.Errorf("%s sends an escape sequence of a client to the terminal: %q", c.args, out)
		}
	}
}

// TestServeAndAsk is the life of a server: leases are given, listed, released; a
// stopped server's store is read instead; what history says is the same in both.
func TestServeAndAsk(t *testing.T) {
	s := startServed(t)
	addr := s.lease(wire.MAC{6, 0, 0, 0, 0, 1}, "pixel\x1b[31m").String()
	printer := s.lease(wire.MAC{2, 0, 0x5e, 0x10, 0, 9}, "printer")

	out, _, code := s.ask("leases", "-o", "json", "--utc")
	var list []map[string]any
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != ExitOK || len(list) != 2 {
		t.Fatalf("leases: exit %d, %v: %s", code, err, out)
	}
	first, second := list[0], list[1]
	if first["address"] != printer.String() || first["source"] != "reservation" || first["hostname"] != "printer" {
		t.Errorf("the reserved lease is shown as %v", first)
	}
	if second["address"] != addr || second["state"] != "active" || second["source"] != "pool" || second["subnet"] != "lan" ||
		second["hw-address"] != "06:00:00:00:00:01" || second["hostname"] != `pixel\x1b[31m` || second["hostname-hex"] != "706978656c1b5b33316d" {
		t.Errorf("the lease is shown as %v", second)
	}
	starts, _ := time.Parse(time.RFC3339, second["starts"].(string))
	ends, _ := time.Parse(time.RFC3339, second["expires"].(string))
	if d := ends.Sub(starts); d < time.Hour || d > time.Hour+2*time.Second {
		t.Errorf("a lease of 1 h runs from %v to %v", starts, ends)
	}

	s.asks([]asked{
		{"leases PIXEL --no-headers", 0, addr + "\t"},
		{"leases 06:00:00 --no-headers", 0, addr + "\t"},
		{"leases nobody", ExitNotFound, "ADDRESS"},
		{"leases --state free", ExitUsage, ""},
		{"leases --state expired", 0, "ADDRESS"},
		{"leases --subnet lan", 0, addr},
		{"leases release 192.0.2.250", ExitNotFound, ""},
		{"leases release printer", ExitUsage, ""},
		{"leases release " + addr, ExitUsage, ""},
		{"leases release " + addr + " --dry-run", 0, "lease/" + addr + " released (dry run)\n"},
		{"leases release " + addr + " --yes", 0, "lease/" + addr + " released\n"},
		{"leases release " + addr + " --yes", ExitConflict, ""},
		{"leases --state held --no-headers", 0, addr + "\t"},
		{"history " + printer.String() + " --no-headers", 0, "\t" + printer.String() + "\t02:00:5e:10:00:09\tprinter"},
		{"history 02:00:5e:10:00:09 --at 0h --no-headers", 0, printer.String()},
		{"history printer --no-headers", 0, printer.String()},
		{"history 192.0.2.250", ExitNotFound, ""},
		{"history " + addr + " --at yesterday", ExitUsage, ""},
		{"status", 0, "health         well"},
		{"status -o json", 0, `"healthy":true`},
	})

	s.end()
	if err := <-s.ended; err != nil {
		t.Fatal(err)
	}
	s.told("STOPPING=1")
	s.ended <- nil // for the clean-up
	if _, errOut, code := s.ask("leases"); code != ExitNoAccess || !strings.Contains(errOut, "no server is running") {
		t.Errorf("asking a stopped server: exit %d, %s", code, errOut)
	}
	var stdout, stderr bytes.Buffer
	if code := Main([]string{"leases", "--store", filepath.Join(s.dir, "state"), "-c", s.config, "--no-headers", "--state", "all"}, strings.NewReader(""), &stdout, &stderr); code != 0 ||
		!strings.Contains(stdout.String(), printer.String()+"\t02:00:5e:10:00:09\tprinter\tactive\treservation\t") || !strings.Contains(stdout.String(), "\theld\t") {
		t.Errorf("reading the store: exit %d, %s%s", code, &stdout, &stderr)
	}
}

// TestServeTellsSystemd: READY, a living watchdog, RELOADING with the time of the
// clock that systemd compares, READY again, STOPPING. A file with errors changes
// nothing and says why (I15).
func TestServeTellsSystemd(t *testing.T) {
	s := startServed(t)
	s.told("WATCHDOG=1")

	s.write(strings.Replace(servedConfig, "1h", "2h", 1))
	hangUp(t)
	if got := s.told("RELOADING=1"); !strings.Contains(got, "\nMONOTONIC_USEC=") {
		t.Errorf("systemd was told %q", got)
	}
	s.told("READY=1")
	s.logged("CONFIG_APPLIED")
	s.lease(wire.MAC{6, 0, 0, 0, 0, 2}, "later")
	if out, _, _ := s.ask("leases", "later", "-o", "jsonl"); !strings.Contains(out, `"valid-lifetime":7200`) {
		t.Errorf("after the reload a lease is %s", out)
	}

	s.write(strings.Replace(servedConfig, "pools", "pols", 1))
	hangUp(t)
	s.told("RELOADING=1")
	s.told("READY=1")
	s.logged("CONFIG_REFUSED")
	if !strings.Contains(s.log.String(), "lessor.yaml:8:5") {
		t.Errorf("the log does not say where the fault is: %s", s.log)
	}
	s.lease(wire.MAC{6, 0, 0, 0, 0, 3}, "last")
	if out, _, _ := s.ask("leases", "last", "-o", "jsonl"); !strings.Contains(out, `"valid-lifetime":7200`) {
		t.Errorf("a refused file changed something: %s", out)
	}
}

func (s *served) logged(id string) {
	s.t.Helper()
	for range 500 {
		if strings.Contains(s.log.String(), `"id":"`+id+`"`) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("%s was not logged: %s", id, s.log)
}

func hangUp(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// TestFilesAreOurs (CVE-2025-32803): nobody else may read what a server writes, and
// the control socket is its user's alone.
func TestFilesAreOurs(t *testing.T) {
	old := syscall.Umask(0o077) // as serve does
	defer syscall.Umask(old)
	s := startServed(t)
	s.lease(wire.MAC{6, 0, 0, 0, 0, 1}, "x")
	seen := 0
	for _, dir := range []string{"state", "run"} {
		if err := filepath.WalkDir(filepath.Join(s.dir, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			i, err := d.Info()
			if err != nil {
				return err
			}
			seen++
			if i.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", path, i.Mode())
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if i, err := os.Stat(s.socket); err != nil || i.Mode().Perm() != 0o600 || seen < 8 {
		t.Errorf("the control socket has mode %v (%v); %d files seen", i.Mode(), err, seen)
	}
}

// TestServeRefuses: what keeps a server from starting is one clear error with its
// exit code.
func TestServeRefuses(t *testing.T) {
	s := startServed(t)
	second := func(change func(*serveFlags)) error {
		f := *s.daemon.f
		change(&f)
		n := memnet.New()
		host := n.Host()
		host.Add("eth0", n.Switch("lan"), wire.MAC{2, 0, 0, 0, 0, 1}, dhcp4.Prefix{Addr: dhcp4.MustParseAddr("192.0.2.1"), Bits: 24})
		d := &daemon{g: s.daemon.g, f: &f, conf: s.daemon.conf, net: host, handler: slog.NewJSONHandler(&lines{}, nil)}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return d.run(ctx)
	}
	for name, c := range map[string]struct {
		change func(*serveFlags)
		code   int
		text   string
	}{
		"one state directory": {func(f *serveFlags) { f.control += "2" }, ExitConflict, "is used by pid"},
		"one control socket":  {func(f *serveFlags) { f.memory = true }, ExitConflict, "control socket belongs to a running server"},
		"no state directory":  {func(f *serveFlags) { f.state = s.config + "/state" }, ExitFailed, "state directory"},
	} {
		err := second(c.change)
		e, ok := errors.AsType[*ExitError](err)
		if !ok || e.Code != c.code || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want exit %d and %q", name, err, c.code, c.text)
		}
	}
	s.lease(wire.MAC{6, 0, 0, 0, 0, 1}, "x") // the first one serves on

	for args, text := range map[string]string{
		"serve -c " + s.dir + "/none.yaml":              "cannot read the file",
		"serve --interface eth0 -c " + s.config:         "exclude each other",
		"serve -c " + s.config + " --log-level chatty":  "--log-level",
		"serve -c " + s.config + " --log-format prose":  "--log-format",
		"serve --check -c " + s.dir + "/none.yaml":      "cannot read the file",
		"serve -c " + s.config + " --interfaces eth0":   "unknown flag",
		"serve -c " + s.config + " extra --state /none": "takes no argument",
	} {
		_, errOut, code := s.ask(strings.Fields(args)...)
		if code != ExitUsage || !strings.Contains(errOut, text) {
			t.Errorf("%s: exit %d, %q; want %d and %q", args, code, errOut, ExitUsage, text)
		}
	}
	if out, _, code := s.ask("serve", "--check", "-c", s.config); code != 0 || !strings.Contains(out, "192.0.2.100-192.0.2.199 (100 addresses)") {
		t.Errorf("--check: exit %d, %s", code, out)
	}
}

// TestParseWhen: times as people write them.
func TestParseWhen(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 30, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-11-20":                "2026-11-20T00:00:00Z",
		"2026-11-20 08:11":          "2026-11-20T08:11:00Z",
		"2026-11-20T08:11:05":       "2026-11-20T08:11:05Z",
		"2026-11-20T08:11:05+02:00": "2026-11-20T06:11:05Z",
		"08:11":                     "2026-11-24T08:11:00Z",
		"2h":                        "2026-11-24T10:30:00Z",
		"7d":                        "2026-11-17T12:30:00Z",
	} {
		got, err := parseWhen(text, now)
		if err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q is %v (%v), want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "-2h", "7days", "25:00", "2026-13-01"} {
		if got, err := parseWhen(text, now); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}
