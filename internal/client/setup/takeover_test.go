package setup

import (
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lessor/dhcp4"
)

// full is a lease that changes everything that there is.
func full() *Config {
	c := example()
	c.MTU, c.HostName = 1400, "leased.example"
	c.DNS, c.Domain = []dhcp4.Addr{addr("192.0.2.53"), addr("192.0.2.54")}, "example.org"
	return c
}

// utsNamespace makes a namespace for a host name on the bed's host, and returns the command
// that enters it.
func (b *bed) utsNamespace() []string {
	b.t.Helper()
	cmd := exec.Command("unshare", "--uts", "sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := b.Do(cmd.Start); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	enter := []string{"nsenter", "--uts=/proc/" + strconv.Itoa(cmd.Process.Pid) + "/ns/uts"}
	own := b.run("readlink", "/proc/self/ns/uts")
	for b.run("readlink", "/proc/"+strconv.Itoa(cmd.Process.Pid)+"/ns/uts") == own {
		time.Sleep(time.Millisecond)
	}
	b.run(append(enter, "hostname", "before")...)
	return enter
}

// Runs that are killed, one after the other, with more and more on the host: the last
// one puts back what was there before the first.
func TestTakeoverAfterKill(t *testing.T) {
	b := newBed(t)
	uts := b.utsNamespace()
	b.ip("addr add 203.0.113.7/24 dev eth0")
	b.ip("link set eth0 down")
	if err := os.WriteFile(b.Path("/etc/resolv.conf"), []byte("# mine\nnameserver 203.0.113.53\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	state := func() string { // the file is another one afterwards
		return strings.Join([]string{withoutInodes(b.state()), b.run(append(uts, "hostname")...), b.run("cat", "/etc/resolv.conf")}, "\n")
	}
	if err := os.WriteFile(b.lease, []byte("a lease"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := state()
	o := b.options()
	o.SetHostName, o.ResolvConf = true, "/etc/resolv.conf"
	changes := []func(c *Config){
		func(c *Config) {},
		func(c *Config) {}, // the same again
		func(c *Config) { c.MTU = 1300 },
		func(c *Config) { c.HostName, c.DNS = "another", c.DNS[:1] },
		func(c *Config) { c.Addr, c.Routes[0].Via = prefix("198.18.0.77/24"), addr("198.18.0.3") },
	}
	for i := range changes {
		a := start(t, b.Host, uts...)
		a.open(o)
		a.must(request{Op: "up"})
		c := full()
		for _, f := range changes[:i+1] {
			f(c)
		}
		a.apply(c)
		a.must(request{Op: "write", Data: []byte("a lease")})
		if name := strings.TrimSpace(b.run(append(uts, "hostname")...)); name != c.HostName {
			t.Errorf("host name %q, want %q", name, c.HostName)
		}
		contains(t, b.run("cat", "/etc/resolv.conf"), "# Written by lessor client for eth0", "\nsearch example.org\nnameserver 192.0.2.53\n")
		contains(t, b.ip("addr show dev eth0"), c.Addr.String())
		a.quiet()
		a.kill()
		o.Metric += 7 // the user changes options in between
	}
	a := start(t, b.Host, uts...)
	a.open(o)
	a.close(false)
	a.quiet()
	same(t, before, state())
}

func withoutInodes(s string) string {
	var out strings.Builder
	for line := range strings.Lines(s) {
		if strings.HasPrefix(line, "/") {
			line = line[:strings.LastIndexByte(strings.TrimSpace(line), ' ')] + "\n"
		}
		out.WriteString(line)
	}
	return out.String()
}

// editUndo changes what a killed run wrote down.
func (b *bed) editUndo(f func(u *undo)) {
	b.t.Helper()
	text, err := os.ReadFile(b.lease + ".undo")
	if err != nil {
		b.t.Fatal(err)
	}
	var u undo
	if err := json.Unmarshal(text, &u); err != nil {
		b.t.Fatal(err)
	}
	f(&u)
	if text, err = json.Marshal(&u); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.lease+".undo", text, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// left makes a run that is killed with everything changed.
func (b *bed) left(o Options) {
	b.t.Helper()
	a := start(b.t, b.Host)
	a.open(o)
	a.apply(full())
	a.must(request{Op: "write", Data: []byte("a lease")})
	a.kill()
}

// The machine slept over the end of the lease: the kernel's clock stood still, ours not.
// Or the lease file is gone, so that nobody will end the lease.
func TestEndedLeaseIsNotTakenOver(t *testing.T) {
	for name, f := range map[string]func(b *bed){
		"ended":         func(b *bed) { b.editUndo(func(u *undo) { u.Addr.End = bootTime() - 1 }) },
		"no lease file": func(b *bed) { os.Remove(b.lease) },
		"no leases":     func(b *bed) { os.Truncate(b.lease, 0) },
		"still good":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			before := b.state()
			b.left(b.options())
			if f != nil {
				f(b)
			}
			a := start(t, b.Host)
			a.open(b.options())
			as := b.Addrs("eth0")
			if f == nil {
				if len(as) != 1 {
					t.Errorf("the interface has %v", as)
				}
			} else if b.routes(""); len(as) != 0 {
				t.Errorf("the interface still has %v", as)
			}
			a.close(false)
			os.Remove(b.lease)
			b.unchanged(before)
			a.quiet()
		})
	}
}

// After a reboot the kernel holds nothing of ours; files do.
func TestRebootAfterKill(t *testing.T) {
	b := newBed(t)
	const mine = "nameserver 203.0.113.53\n"
	if err := os.WriteFile(b.Path("/etc/resolv.conf"), []byte(mine), 0o644); err != nil {
		t.Fatal(err)
	}
	o := b.options()
	o.ResolvConf = "/etc/resolv.conf"
	b.left(o)
	b.editUndo(func(u *undo) { u.Boot = "another boot" })
	b.ip("link set eth0 mtu 1400")
	mtu := b.ip("link show eth0")
	addrs := b.ip("addr show eth0")
	a := start(t, b.Host)
	a.open(o)
	a.close(false)
	a.quiet()
	if now := b.ip("link show eth0"); now != mtu {
		t.Errorf("the MTU of another boot was put back:\n%s", now)
	}
	if now := b.ip("addr show eth0"); !strings.Contains(addrs, "198.18.0.52") || !strings.Contains(now, "198.18.0.52") {
		t.Errorf("an address that came after the reboot was removed:\n%s", now)
	}
	if text := b.run("cat", "/etc/resolv.conf"); text != mine {
		t.Errorf("resolv.conf is %q", text)
	}
}

// Whatever stands in the file, the client starts; and it says what it could not do.
func TestUndoFileFaults(t *testing.T) {
	b := newBed(t)
	for _, tc := range []struct {
		name  string
		spoil func(path string) error
		warn  string
	}{
		{"truncated", func(p string) error { return os.Truncate(p, 20) }, "cannot be read"},
		{"empty", func(p string) error { return os.Truncate(p, 0) }, "cannot be read"},
		{"not ours", func(p string) error { return os.Chown(p, 12345, 0) }, "may have been written by others (owner 12345"},
		{"writable", func(p string) error { return os.Chmod(p, 0o622) }, "may have been written by others"},
		{"unknown keys", func(p string) error { return os.WriteFile(p, []byte(`{"Boot":"","Harm":1}`), 0o600) }, "cannot be read"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b.left(b.options())
			os.Remove(b.lease)
			if err := tc.spoil(b.lease + ".undo"); err != nil {
				t.Fatal(err)
			}
			a := start(t, b.Host)
			a.open(b.options())
			a.warned("what an earlier run changed on eth0 cannot be put back", tc.warn)
			a.apply(example()) // works all the same
			a.warned("was on eth0 before")
			a.close(false)
			b.ip("addr flush dev eth0")
			os.Remove(b.lease + ".undo")
		})
	}
}

// A disk that takes nothing keeps no host from having its address.
func TestUndoCannotBeWritten(t *testing.T) {
	b := newBed(t)
	b.run("mount", "-t", "tmpfs", "-o", "ro", "none", b.dir)
	before := b.state()
	a := start(t, b.Host)
	a.open(b.options())
	a.apply(example())
	contains(t, b.ip("addr show dev eth0"), "198.18.0.52/24")
	a.apply(example())
	a.clear()
	a.warned("if this client is killed, nobody will know what to put back on eth0", "read-only")
	b.unchanged(before)
}

// Without a lease file there is no way back after a kill, but one without.
func TestWithoutLeaseFile(t *testing.T) {
	b := newBed(t)
	before := b.state()
	o := b.options()
	o.LeaseFile = ""
	a := start(t, b.Host)
	a.open(o)
	a.apply(full())
	if text := a.must(request{Op: "read"}); text != nil {
		t.Errorf("leases %q", text)
	}
	a.must(request{Op: "write", Data: []byte("x")})
	a.close(false)
	b.unchanged(before)
}
