package setup

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// leaseHost is a host that only has a lease file.
func leaseHost(t *testing.T, path string) *Host {
	t.Helper()
	h, err := Open("eth0", Options{LeaseFile: path, NoConfigure: true}, func(s string) { t.Error(s) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close(false) })
	return h
}

func TestLeaseFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there")
	path := filepath.Join(dir, "eth0.lease")
	h := leaseHost(t, path)
	if b, err := h.ReadLeases(); b != nil || err != nil {
		t.Errorf("without a file: %q, %v", b, err)
	}
	for _, text := range []string{"first", "", "a longer one", strings.Repeat("x", maxFile)} {
		if err := h.WriteLeases([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := h.ReadLeases(); string(b) != text || b == nil || err != nil {
			t.Errorf("wrote %d octets, read %d, %v", len(text), len(b), err)
		}
		for p, mode := range map[string]os.FileMode{path: 0o600, dir: 0o700} {
			if fi, err := os.Stat(p); err != nil || fi.Mode().Perm() != mode {
				t.Errorf("%s: %v, %v", p, fi.Mode(), err)
			}
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
			t.Errorf("files %v, %v", files, err)
		}
	}
	if err := h.WriteLeases(make([]byte, maxFile+1)); err == nil || !strings.Contains(err.Error(), "more than the lease file's 1048576") {
		t.Error(err)
	}
	if b, err := h.ReadLeases(); len(b) != maxFile || err != nil {
		t.Errorf("the old file is lost: %d octets, %v", len(b), err)
	}
}

// What stands in the place of the lease file and is none is refused, and never lost.
func TestLeaseFileFaults(t *testing.T) {
	for _, tc := range []struct {
		name        string
		make        func(path string) error
		read, write string // what the errors say; "" for none
	}{
		{"a directory", func(p string) error { return os.Mkdir(p, 0o700) }, "is no regular file", "is a directory"},
		{"a symbolic link", func(p string) error { return os.Symlink("/etc/hostname", p) }, "is a symbolic link", "is a symbolic link"},
		{"a link to nowhere", func(p string) error { return os.Symlink("/nowhere/x", p) }, "is a symbolic link", "is a symbolic link"},
		{"a pipe", func(p string) error { return unix.Mkfifo(p, 0o600) }, "is no regular file", "is no regular file"},
		{"a device", func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))) }, "is no regular file", "is no regular file"},
		{"too large", func(p string) error { return os.WriteFile(p, make([]byte, maxFile+1), 0o600) }, "longer than 1048576 octets", ""},
		{"of somebody else", func(p string) error {
			if err := os.WriteFile(p, []byte("x"), 0o600); err != nil {
				return err
			}
			return os.Chown(p, 1234, 0)
		}, "owner 1234", ""},
		{"writable by others", func(p string) error {
			if err := os.WriteFile(p, []byte("x"), 0o600); err != nil {
				return err
			}
			return os.Chmod(p, 0o620)
		}, "mode 0620", ""},
		{"empty", func(p string) error { return os.WriteFile(p, nil, 0o600) }, "", ""},
		{"what a killed run left", func(p string) error { return os.WriteFile(aside(p), []byte("half"), 0o600) }, "", ""},
		{"a link beside it", func(p string) error { return os.Symlink(filepath.Join(filepath.Dir(p), "victim"), aside(p)) }, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lease")
			if err := tc.make(path); err != nil {
				t.Fatal(err)
			}
			h := leaseHost(t, path)
			_, err := h.ReadLeases()
			said(t, err, tc.read)
			err = h.WriteLeases([]byte("new"))
			said(t, err, tc.write)
			if b, rerr := h.ReadLeases(); err == nil && string(b) != "new" {
				t.Errorf("after writing it is %q, %v", b, rerr)
			}
			if _, err := os.Lstat(filepath.Join(filepath.Dir(path), "victim")); !os.IsNotExist(err) {
				t.Errorf("a link was followed: %v", err)
			}
		})
	}
}

func said(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("error %v, want %q", err, want)
	}
}

// A disk that takes nothing: the old file is still there, and the next try is as good
// as the first.
func TestLeaseFileDisk(t *testing.T) {
	b := newBed(t)
	b.run("mount", "-t", "tmpfs", "-o", "size=64k", "none", b.dir)
	a := start(t, b.Host)
	a.open(b.options())
	old := []byte("the old leases")
	a.must(request{Op: "write", Data: old})
	check := func(words ...string) {
		t.Helper()
		_, err := a.try(request{Op: "write", Data: bytes.Repeat([]byte("x"), 32<<10)})
		contains(t, err, words...)
		if now := a.must(request{Op: "read"}); !bytes.Equal(now, old) {
			t.Errorf("the file is %.100q", now)
		}
		if files := b.run("ls", "-A", b.dir); strings.Contains(files, "lessor-new") {
			t.Errorf("left behind: %s", files)
		}
	}
	b.run("sh", "-c", "cat /dev/zero >"+b.dir+"/fill || true")
	check("which stays as it was", "no space left")
	b.run("rm", b.dir+"/fill")
	b.run("mount", "-o", "remount,ro", b.dir)
	check("read-only file system")
	b.run("mount", "-o", "remount,rw", b.dir)
	a.must(request{Op: "write", Data: []byte("new")})
	a.quiet()
}

// Killed at any moment, it leaves a whole file.
func TestLeaseFileIsNeverHalf(t *testing.T) {
	b := newBed(t)
	one, two := bytes.Repeat([]byte("1"), 100_000), bytes.Repeat([]byte("2"), 90_000)
	for range 30 {
		a := start(t, b.Host)
		a.open(b.options())
		a.must(request{Op: "write", Data: one})
		a.in.Encode(&request{Op: "write", Data: two})
		a.kill()
		h := leaseHost(t, b.lease)
		if now, err := h.ReadLeases(); err != nil || !bytes.Equal(now, one) && !bytes.Equal(now, two) {
			t.Fatalf("the file has %d octets, %v", len(now), err)
		}
	}
}
