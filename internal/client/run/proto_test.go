package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lessor/internal/client/setup"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// pipes is a parent's and a worker's end of one pair.
func pipes(t testing.TB) (mine, its *pipe) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var both [2]*pipe
	for i, fd := range fds {
		if both[i], err = newPipe(os.NewFile(uintptr(fd), "pipe"), i == 1); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { both[0].conn.Close(); both[1].conn.Close() })
	return both[0], both[1]
}

// hostile runs the parent's side on an interface that does not exist, and returns the other end
// and what the parent ends with.
func hostile(t *testing.T) (its *pipe, ended chan error, leases string) {
	t.Helper()
	mine, its := pipes(t)
	leases = t.TempDir() + "/leases"
	h, err := setup.Open("lessor-none", setup.Options{LeaseFile: leases, NoConfigure: true}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close(false) })
	w := &parent{p: &Process{Interface: "lessor-none"}, kernel: link.NewKernel(), host: h, pipe: mine}
	t.Cleanup(w.saver.close)
	ended = make(chan error, 1)
	go func() {
		ended <- w.requests()
		mine.conn.Close()
	}()
	return its, ended, leases
}

// TestHostileRequests: what no worker of ours sends ends the worker, and nothing is done for it.
func TestHostileRequests(t *testing.T) {
	for _, text := range []string{
		"", "null", "{", "[]", `"up"`, "\x00", strings.Repeat("[", 100_000),
		`{"op":"up"}{"op":"up"}`, `{"op":"up","shell":"id"}`, `{"op":"exec"}`, `{"op":""}`, `{"op":"up","link":1}`,
		`{"op":"apply"}`, `{"op":"write"}`, `{"op":"hook"}`, `{"op":"open"}`, `{"op":"open","link":-99999999999}`,
		`{"op":"apply","config":{"Valid":-1}}`, `{"op":"apply","config":{},"leases":"e30="}`,
		`{"op":"leave","hook":{}}`, `{"op":"up"` + strings.Repeat(" ", maxMessage) + "}",
	} {
		its, ended, leases := hostile(t)
		if _, err := its.conn.Write([]byte(text)); err != nil && !errors.Is(err, unix.EMSGSIZE) {
			t.Fatalf("%.40q: %v", text, err)
		}
		if text == "" { // an empty message is an end
			its.conn.Close()
		}
		select {
		case err := <-ended:
			if (err == nil) != (text == "") {
				t.Errorf("%.40q: %v", text, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%.40q is taken for a request", text)
		}
		if _, err := os.Stat(leases); err == nil {
			t.Errorf("%.40q wrote the lease file", text)
		}
	}
}

// TestRefusedRequests: requests that are well formed and ask for what the parent does not do
// are answered with an error, and the worker goes on.
func TestRefusedRequests(t *testing.T) {
	its, ended, _ := hostile(t)
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []*request{
		{Op: opApply, Config: &setup.Config{}},
		{Op: opWrite, Leases: []byte("#!/bin/sh\nid")},
		{Op: opWrite, Leases: append([]byte(`"`), append(slices.Repeat([]byte("x"), MaxLeaseFile), '"')...)},
		{Op: opOpen, Link: 1 << 30},
		{Op: opOpen, Link: wire.LinkID(lo.Index)},
	} {
		if err := its.write(q); err != nil {
			t.Fatal(err)
		}
		var m message
		files, err := its.read(&m)
		if err != nil || m.Error == nil || len(files) != 0 {
			t.Errorf("%.60v: %+v, %d files, %v", *q, m, len(files), err)
		}
	}
	var m message
	if err := its.write(&request{Op: opWrite, Leases: []byte(`{"version":1}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := its.read(&m); err != nil || m.Error != nil {
		t.Errorf("a good request after the refused ones: %+v, %v", m.Error, err)
	}
	its.conn.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestFilesFromTheWorker: descriptors that the worker sends along are not taken.
func TestFilesFromTheWorker(t *testing.T) {
	its, ended, _ := hostile(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := its.write(&request{Op: opLeave}, w); err != nil {
		t.Fatal(err)
	}
	var m message
	if _, err := its.read(&m); err != nil {
		t.Fatal(err)
	}
	w.Close() // the last writer, unless the parent has one
	r.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the parent took a descriptor: %v", err)
	}
	its.conn.Close()
	<-ended
}

// TestFilesFromTheParent: sockets travel, and are closed when nobody wants them.
func TestFilesFromTheParent(t *testing.T) {
	mine, its := pipes(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := mine.write(&message{}, w); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var m message
	files, err := its.read(&m)
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	if _, err := files[0].Write([]byte("x")); err != nil {
		t.Error(err)
	}
	closeFiles(files)
	if b, err := io.ReadAll(r); string(b) != "x" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
}

// TestFailures: errors keep what the runner and the command line look at.
func TestFailures(t *testing.T) {
	travel := func(in error) error {
		text, err := json.Marshal(newFailure(in))
		if err != nil {
			t.Fatal(err)
		}
		var f *failure
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatal(err)
		}
		return f.err()
	}
	if err := travel(nil); err != nil {
		t.Errorf("nil arrives as %v", err)
	}
	for _, in := range []error{
		errors.New("plain"),
		fmt.Errorf("open eth0: %w (no such device)", link.ErrDown),
		&link.PortTakenError{Port: 68, Link: "eth0", Holder: "dhclient", PID: 7, Err: errors.New("in use")},
		&link.PrivilegeError{File: "/bin/lessor", Port: 68, Err: errors.New("bind")},
	} {
		out := travel(in)
		a, ataken := errors.AsType[*link.PortTakenError](in)
		b, btaken := errors.AsType[*link.PortTakenError](out)
		_, aright := errors.AsType[*link.PrivilegeError](in)
		_, bright := errors.AsType[*link.PrivilegeError](out)
		if out.Error() != in.Error() || errors.Is(out, link.ErrDown) != errors.Is(in, link.ErrDown) || ataken != btaken || aright != bright {
			t.Errorf("%#v arrives as %#v", in, out)
		}
		if ataken && (a.PID != b.PID || a.Holder != b.Holder) {
			t.Errorf("%+v arrives as %+v", a, b)
		}
	}
}

// FuzzRequest: no message makes the parent panic, and what it takes for a request has exactly
// the fields of its operation.
func FuzzRequest(f *testing.F) {
	for _, q := range []*request{{Op: opUp}, {Op: opOpen, Link: 3}, {Op: opApply, Config: &setup.Config{}}, {Op: opWrite, Leases: []byte("{}")}, {Op: opHook, Hook: &setup.HookEvent{Event: "bound"}}} {
		text, _ := json.Marshal(q)
		f.Add(text)
	}
	mine, its := pipes(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) == 0 || len(text) > maxMessage {
			return
		}
		if _, err := its.conn.Write(text); err != nil {
			t.Fatal(err)
		}
		var q request
		if _, err := mine.read(&q); err != nil || q.check() != nil {
			return
		}
		n := 0
		for _, there := range []bool{q.Link != 0, q.Config != nil, q.Leases != nil, q.Hook != nil} {
			if there {
				n++
			}
		}
		if n > 1 {
			t.Fatalf("%q is taken for %+v", text, q)
		}
		if q.Config != nil {
			_ = q.Config.Check()
		}
		if q.Hook != nil {
			_ = q.Hook.Check()
		}
	})
}
