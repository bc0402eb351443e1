package setup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lessor/dhcp4"
)

// dnsBed is a bed with a file to be replaced.
func dnsBed(t *testing.T) (b *bed, o Options, path string) {
	b = newBed(t)
	o = b.options()
	o.ResolvConf = filepath.Join(b.dir, "resolv.conf")
	return b, o, o.ResolvConf
}

const ours = "# Written by lessor client for eth0: the file as it was before comes back when the client ends, unless somebody changes this one.\n" +
	"search example.org\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n"

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// Whatever stood there before stands there again, byte for byte.
func TestResolvConfComesBack(t *testing.T) {
	b, o, path := dnsBed(t)
	target := filepath.Join(b.dir, "target")
	if err := os.WriteFile(target, []byte("nameserver 203.0.113.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		make func() error
	}{
		{"a file", func() error { return os.WriteFile(path, []byte("# no newline at the end, \x00 and \xff"), 0o644) }},
		{"an empty file", func() error { return os.WriteFile(path, nil, 0o644) }},
		{"nothing", func() error { return nil }},
		{"of somebody else", func() error {
			if err := os.WriteFile(path, []byte("x\n"), 0o644); err != nil {
				return err
			}
			if err := os.Chown(path, 1234, 4321); err != nil {
				return err
			}
			return os.Chmod(path, 0o640)
		}},
		{"a link", func() error { return os.Symlink("target", path) }},
		{"a link to nowhere", func() error { return os.Symlink("/nowhere/at/all", path) }},
		{"a large file", func() error { return os.WriteFile(path, []byte(strings.Repeat("# many words\n", 20_000)), 0o644) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			os.Remove(path)
			if err := tc.make(); err != nil {
				t.Fatal(err)
			}
			before, files := withoutInodes(b.state()), b.run("ls", "-lnA", "--time-style=+", b.dir)
			was, err := lookAt(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, killed := range []bool{false, true} {
				a := start(t, b.Host)
				a.open(o)
				a.apply(full())
				same(t, ours, read(t, path))
				now, err := lookAt(path)
				if owned := was.There && was.Link == ""; err != nil || now.Meta.Mode != was.Meta.Mode || owned && now.Meta != was.Meta {
					t.Errorf("mode and owner %+v, were %+v (%v)", now.Meta, was.Meta, err)
				}
				if killed {
					a.kill()
					a = start(t, b.Host)
					a.open(o)
				}
				a.close(false)
				a.quiet()
				if now, err = lookAt(path); err != nil || !now.same(&was) {
					t.Errorf("afterwards there is %.500q, before was %.500q (%v)", now.Text, was.Text, err)
				}
				same(t, before, withoutInodes(b.state()))
				same(t, files, b.run("ls", "-lnA", "--time-style=+", b.dir))
				same(t, "nameserver 203.0.113.1\n", read(t, target))
			}
		})
	}
}

// It is written again when it changes, and only then.
func TestResolvConfIsWrittenOnChange(t *testing.T) {
	b, o, path := dnsBed(t)
	a := start(t, b.Host)
	a.open(o)
	c := full()
	a.apply(c)
	inode := func() string { return b.run("stat", "-c", "%i %Y", path) }
	first := inode()
	a.apply(c)
	if inode() != first {
		t.Error("a renewal wrote the file again")
	}
	c.Search, c.DNS = []string{"a.example", "b.example"}, c.DNS[1:]
	a.apply(c)
	if text := read(t, path); !strings.HasSuffix(text, "\nsearch a.example b.example\nnameserver 192.0.2.54\n") {
		t.Errorf("the file is\n%s", text)
	}
	c.DNS = nil // a lease without servers is no reason to have none
	a.apply(c)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("without servers the file is still there: %v", err)
	}
	a.close(false)
	a.quiet()
}

func TestResolvConfOfSomebodyElse(t *testing.T) {
	b, o, path := dnsBed(t)
	a := start(t, b.Host)
	a.open(o)
	a.apply(full())
	theirs := ours + "options edns0\n"
	if err := os.WriteFile(path, []byte(theirs), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c := full()
		c.DNS = c.DNS[:1]
		a.apply(c)
	}
	a.warned("somebody changed "+path, "left alone")
	a.close(false)
	a.warned("somebody changed "+path, "stays as it is")
	if text := read(t, path); text != theirs {
		t.Errorf("the file is\n%s", text)
	}
}

// Killed between the note and the deed, and between the deed of one lease and the next.
func TestResolvConfKilledInBetween(t *testing.T) {
	b, o, path := dnsBed(t)
	mine := "nameserver 203.0.113.1\n"
	for _, stands := range []string{mine, ours} {
		if err := os.WriteFile(path, []byte(mine), 0o644); err != nil {
			t.Fatal(err)
		}
		b.left(o)
		if err := os.WriteFile(path, []byte(stands), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(aside(path), []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
		b.editUndo(func(u *undo) { u.File.Sums = append([]string{sum([]byte("what was to come"))}, u.File.Sums...) })
		a := start(t, b.Host)
		a.open(o)
		a.close(false)
		a.quiet()
		if text := read(t, path); text != mine {
			t.Errorf("the file is %q", text)
		}
		if _, err := os.Lstat(aside(path)); !os.IsNotExist(err) {
			t.Errorf("what a killed run left is still there: %v", err)
		}
	}
}

// Killed between the note and the deed of a second lease: the file is that of the first.
func TestResolvConfKilledBeforeTheSecond(t *testing.T) {
	b, o, path := dnsBed(t)
	a := start(t, b.Host)
	a.open(o)
	a.apply(full())
	c := full()
	c.DNS = c.DNS[:1]
	a.apply(c)
	a.kill()
	if err := os.WriteFile(path, []byte(ours), 0o644); err != nil {
		t.Fatal(err)
	}
	a = start(t, b.Host)
	a.open(o)
	a.close(false)
	a.quiet()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("our file is still there: %v", err)
	}
}

// Containers mount a file over resolv.conf: it can only be written over.
func TestResolvConfMounted(t *testing.T) {
	b, o, path := dnsBed(t)
	other := filepath.Join(b.dir, "other")
	for _, p := range []string{path, other} {
		if err := os.WriteFile(p, []byte("# "+p+" with a text that is longer than what replaces it"+strings.Repeat(" and longer", 50)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	was := read(t, other)
	b.run("mount", "--bind", other, path)
	a := start(t, b.Host)
	a.open(o)
	a.apply(full())
	if text := b.run("cat", path); text != ours {
		t.Errorf("the file is\n%s", text)
	}
	a.close(false)
	a.quiet()
	if text := b.run("cat", path); text != was {
		t.Errorf("the file is\n%s", text)
	}
}

// What cannot be written is said once; the address is there.
func TestResolvConfFaults(t *testing.T) {
	for _, tc := range []struct {
		name string
		make func(b *bed, path string)
		warn []string
	}{
		{"a directory", func(b *bed, path string) { b.run("mkdir", path) }, []string{"is no regular file"}},
		{"a pipe", func(b *bed, path string) { b.run("mkfifo", path) }, []string{"is no regular file"}},
		{"too large", func(b *bed, path string) { b.run("truncate", "-s", "2M", path) }, []string{"longer than 262144 octets"}},
		{"read-only", func(b *bed, path string) { b.run("mount", "-o", "remount,ro", b.dir) }, []string{"read-only"}},
		{"no directory", func(b *bed, path string) { b.run("umount", b.dir); b.run("mount", "-t", "tmpfs", "none", b.dir) }, nil},
		{"a full disk", func(b *bed, path string) {
			b.run("sh", "-c", "echo old >"+path+"; cat /dev/zero >"+b.dir+"/fill || true")
		}, []string{"no space left", "stays as it was"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, o, path := dnsBed(t)
			b.run("mount", "-t", "tmpfs", "-o", "size=64k", "none", b.dir)
			o.LeaseFile = "/run/eth0.lease"
			tc.make(b, path)
			if tc.name == "no directory" {
				o.ResolvConf = filepath.Join(b.dir, "sub", "resolv.conf")
				tc.warn = []string{"sub", "no such file or directory"}
			}
			before := withoutInodes(b.state())
			a := start(t, b.Host)
			a.open(o)
			a.apply(full())
			a.apply(full())
			a.warned(tc.warn...)
			contains(t, b.ip("addr show dev eth0"), "198.18.0.52/24")
			a.close(false)
			a.quiet()
			same(t, before, withoutInodes(b.state()))
		})
	}
}

// The file is one or the other at every moment.
func TestResolvConfIsNeverHalf(t *testing.T) {
	b, o, path := dnsBed(t)
	if err := os.WriteFile(path, []byte(ours[:10]), 0o644); err != nil {
		t.Fatal(err)
	}
	a := start(t, b.Host)
	a.open(o)
	stop, odd := make(chan struct{}), make(chan string, 1)
	go func() {
		defer close(odd)
		for {
			select {
			case <-stop:
				return
			default:
			}
			switch text, err := os.ReadFile(path); {
			case err != nil:
				odd <- err.Error()
				return
			case string(text) != ours && string(text) != ours[:10] && !strings.HasSuffix(string(text), "nameserver 192.0.2.99\n"):
				odd <- string(text)
				return
			}
		}
	}()
	for range 50 {
		a.apply(full())
		c := full()
		c.DNS = []dhcp4.Addr{addr("192.0.2.99")}
		a.apply(c)
		a.clear()
	}
	close(stop)
	if s := <-odd; s != "" {
		t.Errorf("a reader saw %q", s)
	}
	a.quiet()
}

func TestNoWayForDNS(t *testing.T) {
	b := newBed(t)
	a := start(t, b.Host)
	a.open(b.options())
	a.apply(full())
	a.apply(full())
	a.warned("192.0.2.53, 192.0.2.54", "neither systemd-resolved nor resolvconf", "--resolv-conf /etc/resolv.conf")
	a.close(false)
	a.quiet()
}
