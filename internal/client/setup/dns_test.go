package setup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unpacked lays the files of a Debian package over /usr of the bed's host. They are not
// installed: the package would take over this machine's resolv.conf.
func (b *bed) unpacked(pkg string) {
	b.t.Helper()
	out, err := exec.Command("../../../.ci/unpack", pkg).Output()
	if err != nil {
		b.t.Fatalf(".ci/unpack %s (it downloads a Debian package): %v", pkg, err)
	}
	from, layer := strings.TrimSpace(string(out)), filepath.Join(b.dir, "usr")
	if err := os.Mkdir(layer, 0o755); err != nil {
		b.t.Fatal(err)
	}
	for _, dir := range []string{"usr/.", "bin", "sbin", "lib"} {
		if _, err := os.Stat(filepath.Join(from, dir)); err == nil {
			b.run("cp", "-a", from+"/"+dir, layer)
		}
	}
	b.run("mount", "-t", "overlay", "-o", "lowerdir="+layer+":/usr", "overlay", "/usr")
}

// background runs a program on the host until the test ends.
func (b *bed) background(args ...string) {
	b.t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out := &firstBytes{room: 1 << 16}
	cmd.Stdout, cmd.Stderr = out, out
	if err := b.Do(cmd.Start); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if b.t.Failed() {
			b.t.Logf("%s: %s", args[0], out.String())
		}
	})
}

// await waits until f gives want.
func (b *bed) await(want string, f func() string) {
	b.t.Helper()
	have := ""
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if have = f(); have == want {
			return
		}
	}
	b.t.Errorf("have %q, want %q", have, want)
}

// The real openresolv makes /etc/resolv.conf of what it is told, and forgets it.
func TestOpenresolv(t *testing.T) {
	b := newBed(t)
	b.unpacked("openresolv")
	b.run("sh", "-c", "rm /etc/resolv.conf; echo nameserver 203.0.113.53 | resolvconf -a eth9.static")
	b.await("nameserver 203.0.113.53\n", func() string { return noComments(b.run("cat", "/etc/resolv.conf")) })
	list := func() string { return strings.TrimSpace(b.run("resolvconf", "-i")) }
	for _, killed := range []bool{false, true} {
		before := noComments(b.run("cat", "/etc/resolv.conf"))
		a := start(t, b.Host)
		a.open(b.options())
		a.apply(full())
		b.await("eth9.static eth0.dhcp", list)
		contains(t, b.run("resolvconf", "-l", "eth0.dhcp"), "search example.org\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n")
		contains(t, b.run("cat", "/etc/resolv.conf"), "nameserver 192.0.2.53\nnameserver 192.0.2.54\n")
		c := full()
		c.DNS = c.DNS[1:]
		a.apply(c)
		if text := b.run("cat", "/etc/resolv.conf"); strings.Contains(text, "192.0.2.53") || !strings.Contains(text, "192.0.2.54") {
			t.Errorf("after another lease:\n%s", text)
		}
		if killed {
			a.quiet()
			a.kill()
			a = start(t, b.Host)
			a.open(b.options())
		}
		a.close(false)
		a.quiet()
		b.await("eth9.static", list)
		if after := noComments(b.run("cat", "/etc/resolv.conf")); after != before {
			t.Errorf("resolv.conf was\n%s\nand is\n%s", before, after)
		}
	}
	// A file that is named wins.
	o := b.options()
	o.ResolvConf = filepath.Join(b.dir, "resolv.conf")
	a := start(t, b.Host)
	a.open(o)
	a.apply(full())
	same(t, ours, read(t, o.ResolvConf))
	b.await("eth9.static", list)
	a.close(false)
	a.quiet()
}

func noComments(s string) string {
	var out strings.Builder
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(line, "#") && strings.TrimSpace(line) != "" {
			out.WriteString(line)
		}
	}
	return out.String()
}

// resolved runs the real systemd-resolved on the host.
func (b *bed) resolved() {
	b.t.Helper()
	b.unpacked("systemd-resolved")
	b.run("sh", "-c", "getent passwd systemd-resolve || { echo systemd-resolve:x:64997:64997::/:/usr/sbin/nologin >>/etc/passwd; echo systemd-resolve:x:64997: >>/etc/group; }")
	b.run("sh", "-c", "mkdir -p /run/dbus /run/systemd/resolve; chown systemd-resolve:systemd-resolve /run/systemd/resolve")
	b.background("dbus-daemon", "--system", "--nofork", "--nopidfile")
	b.awaitFile("/run/dbus/system_bus_socket")
	b.background("/usr/lib/systemd/systemd-resolved")
	b.awaitFile(resolvedSocket)
	b.await("Global\n", func() string {
		out := &strings.Builder{}
		b.Do(func() error {
			cmd := exec.Command("resolvectl", "dns")
			cmd.Stdout = out
			return cmd.Run()
		})
		line, _, _ := strings.Cut(out.String(), ":")
		return line + "\n"
	})
}

func (b *bed) awaitFile(path string) {
	b.t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(b.Path(path)); err == nil {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("there is no %s", path)
		}
	}
}

// link is what resolved says of eth0.
func (b *bed) link(what string) string {
	_, list, _ := strings.Cut(b.run("resolvectl", what, "eth0"), "):")
	return strings.TrimSpace(list)
}

// The real systemd-resolved uses the servers for the interface, and then again those that
// somebody else had told it.
func TestResolved(t *testing.T) {
	for _, theirs := range []bool{false, true} {
		t.Run(fmt.Sprintf("others' servers %v", theirs), func(t *testing.T) {
			b := newBed(t)
			b.resolved()
			dns, domain := "", ""
			if theirs {
				dns, domain = "203.0.113.53", "~corp.example"
				b.run("resolvectl", "dns", "eth0", dns)
				b.run("resolvectl", "domain", "eth0", domain)
			}
			for _, killed := range []bool{false, true} {
				a := start(t, b.Host, with("+net_admin,+net_raw,+net_bind_service,+setuid,+setgid,+setpcap")...) // as the unit has it
				a.open(b.options())
				c := full()
				c.Search = []string{"a.example", "b.example"}
				a.apply(c)
				same(t, "192.0.2.53 192.0.2.54", b.link("dns"))
				same(t, "a.example b.example", b.link("domain"))
				c.Search, c.Domain, c.DNS = nil, "", c.DNS[:1]
				a.apply(c)
				same(t, "192.0.2.53", b.link("dns"))
				same(t, "", b.link("domain"))
				if killed {
					a.quiet()
					a.kill()
					a = start(t, b.Host)
					a.open(b.options())
					a.apply(c)
				}
				a.close(false)
				a.quiet()
				same(t, dns, b.link("dns"))
				same(t, domain, b.link("domain"))
			}
		})
	}
}

// What is called resolvconf and is resolvectl is of no use while systemd-resolved does not run.
func TestResolvectlAsResolvconf(t *testing.T) {
	b := newBed(t)
	b.unpacked("systemd-resolved")
	a := start(t, b.Host)
	a.open(b.options())
	a.apply(full())
	a.warned("neither systemd-resolved nor resolvconf")
}

// fakeResolvconf puts a script where resolvconf is looked for.
func (b *bed) fakeResolvconf(script string) {
	b.t.Helper()
	dir := filepath.Join(b.dir, "sbin")
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "resolvconf"), []byte(script), 0o755); err != nil {
		b.t.Fatal(err)
	}
	b.run("mount", "--bind", dir, "/usr/local/sbin")
}

// A program that hangs holds up neither the address nor its removal, and is killed.
func TestResolvconfThatHangs(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.fakeResolvconf("#!/bin/sh\nsleep 1000 &\necho $$ $! >>/run/pids\nwait\n")
	a := start(t, b.Host)
	a.open(b.options())
	for _, f := range []func(){func() { a.apply(full()) }, a.clear, func() { a.apply(full()) }, a.clear} {
		began := time.Now()
		f()
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	}
	if as := b.Addrs("eth0"); len(as) != 0 {
		t.Errorf("addresses %v", as)
	}
	began := time.Now()
	a.close(false)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("Close took %v", took)
	}
	a.must(request{Op: "warns"})
	contains(t, strings.Join(a.warns, "\n"), "resolvconf -a eth0.dhcp did not end within 10s and was killed")
	first, _, _ := strings.Cut(b.run("cat", "/run/pids"), "\n")
	gone(t, strings.Fields(first)...)
}

// What the program says goes to the user, in one line and without its colours; it gets
// no environment but its own; and it is not run if others can change it.
func TestResolvconfFails(t *testing.T) {
	b := newBed(t)
	b.fakeResolvconf("#!/bin/sh\nenv -u PWD -u _ | sort >/run/env\ncat >/run/stdin\necho \"$@\" >/run/args\nprintf 'no \\033[31mway\\nmore' >&2\nexit 4\n")
	a := start(t, b.Host)
	a.open(b.options())
	a.apply(full())
	a.apply(full())
	a.warned(`resolvconf -a eth0.dhcp: exit status 4: "no \x1b[31mway"`)
	same(t, "IF_METRIC="+b.metric(1000)+"\nLC_ALL=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n", b.run("cat", "/run/env"))
	same(t, "-a eth0.dhcp\n", b.run("cat", "/run/args"))
	same(t, "# lessor client\nsearch example.org\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n", b.run("cat", "/run/stdin"))
	b.run("chmod", "777", "/usr/local/sbin/resolvconf")
	a.apply(full())
	a.warned("is not run", "may be changed by others than root")
}
