package setup

import (
	"os"
	"strings"
	"testing"
)

// with runs an agent as root with these capabilities and no others.
func with(caps string) []string {
	return []string{"setpriv", "--bounding-set=-all," + caps, "--inh-caps=-all"}
}

// CAP_NET_ADMIN is enough for the interface, a file of root's, and the lease file.
func TestOnlyNetAdmin(t *testing.T) {
	b := newBed(t)
	b.ip("link set eth0 down")
	before := b.state()
	o := b.options()
	o.ResolvConf = b.dir + "/resolv.conf"
	a := start(t, b.Host, with("+net_admin")...)
	a.open(o)
	a.must(request{Op: "up"})
	a.apply(full())
	contains(t, b.ip("addr show dev eth0"), "198.18.0.52/24", "mtu 1400")
	same(t, ours, read(t, o.ResolvConf))
	a.must(request{Op: "write", Data: []byte("x")})
	os.Remove(b.lease)
	a.close(false)
	a.quiet()
	b.unchanged(before)
}

// A file whose owner could not be put back is not replaced.
func TestFileOfOthersWithoutChown(t *testing.T) {
	b, o, path := dnsBed(t)
	if err := os.WriteFile(path, []byte("x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 1234, 0); err != nil {
		t.Fatal(err)
	}
	before := b.state()
	a := start(t, b.Host, with("+net_admin")...)
	a.open(o)
	a.apply(full())
	a.warned("write "+path+", which stays as it was: chown ", "operation not permitted")
	a.close(false)
	a.quiet()
	b.unchanged(before)
}

// What is missing is named, with what to do.
func TestMissingRights(t *testing.T) {
	b := newBed(t)
	b.run("sh", "-c", "mkdir /run/hooks; printf '#!/bin/sh\\n' >/run/hooks/hook; chmod 755 /run/hooks/hook")
	before := b.state()
	t.Run("none", func(t *testing.T) {
		a := start(t, b.Host, with("+kill")...)
		a.open(Options{})
		_, err := a.try(request{Op: "apply", Config: example()})
		contains(t, err, "give eth0 the address 198.18.0.52/24: needs CAP_NET_ADMIN: run it as root, use the unit, or sudo setcap cap_net_admin")
		if strings.Contains(err, "\n") {
			t.Errorf("more than a line: %q", err)
		}
		b.ip("link set eth0 down")
		_, err = a.try(request{Op: "up"})
		contains(t, err, "set eth0 up: needs CAP_NET_ADMIN")
		b.ip("link set eth0 up")
	})
	t.Run("not root", func(t *testing.T) {
		a := start(t, b.Host, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
		_, err := a.try(request{Op: "open", Name: "eth0", Options: Options{Hook: "/run/hooks/hook"}})
		contains(t, err, "CAP_SETUID and CAP_SETGID are needed")
	})
	t.Run("hook", func(t *testing.T) {
		for _, caps := range []string{"+net_admin", "+net_admin,+setuid", "+net_admin,+setgid"} {
			a := start(t, b.Host, with(caps)...)
			_, err := a.try(request{Op: "open", Name: "eth0", Options: Options{Hook: "/run/hooks/hook"}})
			contains(t, err, "CAP_SETUID and CAP_SETGID are needed: run the client as root, or use the unit")
		}
	})
	t.Run("host name", func(t *testing.T) {
		a := start(t, b.Host, with("+net_admin")...)
		a.open(Options{SetHostName: true})
		a.apply(full())
		a.must(request{Op: "warns"})
		contains(t, strings.Join(a.warns, "\n"), "set the host name to leased.example: needs CAP_SYS_ADMIN")
		a.clear()
	})
	b.ip("link set eth0 up")
	b.unchanged(before)
}

// Root of a user namespace is root where it matters: in its own network namespace. A
// hook has no user to run as there unless one is mapped.
func TestUserNamespace(t *testing.T) {
	b := newBed(t)
	o := b.options()
	o.LeaseFile, o.ResolvConf, o.SetHostName = "/run/lessor.lease", "/run/resolv.conf", true
	a := start(t, b.Host, "unshare", "--user", "--map-root-user", "--net", "--uts", "--mount", "sh", "-c",
		`mount -t tmpfs none /run && ip link add eth0 type veth peer name eth1 && ip link set eth1 up && exec "$0"`)
	a.open(o)
	a.must(request{Op: "up"})
	a.apply(full())
	a.must(request{Op: "write", Data: []byte("leases")})
	if text := a.must(request{Op: "read"}); string(text) != "leases" {
		t.Errorf("leases %q", text)
	}
	o.Hook = "/usr/bin/true"
	_, err := a.try(request{Op: "open", Name: "eth0", Options: o})
	contains(t, err, "runs as user 65534 and group 65534, which this user namespace does not have", "newuidmap", "leave out --hook")
	a.close(false)
	a.quiet()
	// Files of a root that is not in the namespace can be changed by one that is not.
	self, err1 := os.Executable()
	if err1 != nil {
		t.Fatal(err1)
	}
	b.run("cp", self, "/run/agent")
	a = start(t, b.Host, "setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "unshare", "--user", "--map-root-user", "/run/agent")
	_, err = a.try(request{Op: "open", Name: "eth0", Options: Options{Hook: o.Hook}})
	contains(t, err, "the hook program cannot be used: / belongs to user 65534, and must belong to root")
	// In the network namespace of others it is nobody.
	a = start(t, b.Host, "unshare", "--user", "--map-root-user", "--mount", "sh", "-c", `mount -t tmpfs none /run && exec "$0"`)
	o.Hook, o.SetHostName = "", false
	a.open(o)
	_, err = a.try(request{Op: "apply", Config: full()})
	contains(t, err, "needs CAP_NET_ADMIN")
}
