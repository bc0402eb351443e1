package netlab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lessor/dhcp4"
)

func newLab(t *testing.T) *Lab {
	t.Helper()
	l, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// hello sends a datagram from a to port 67 of 198.18.0.2.
func hello(t *testing.T, a *Host) {
	t.Helper()
	err := a.Do(func() error {
		c, err := net.Dial("udp4", "198.18.0.2:67")
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("hello"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Two hosts on a switch reach each other, and the switch records who sent what.
func TestSwitchCarriesAndRecords(t *testing.T) {
	l := newLab(t)
	s := must(l.Switch("lan"))(t)
	a, b := must(l.Host("a"))(t), must(l.Host("b"))(t)
	for h, addr := range map[*Host]string{a: "198.18.0.1/24", b: "198.18.0.2/24"} {
		if err := s.Join(h, "eth0", addr); err != nil {
			t.Fatal(err)
		}
	}
	c := must(s.Capture())(t)
	// Any UDP datagram makes the kernel ask for the neighbour first.
	hello(t, a)
	f, mark, err := c.Wait(0, 3*time.Second, func(f *Frame) bool { return f.ARP != nil && f.ARP.Op == 1 })
	if err != nil {
		t.Fatal(err)
	}
	if f.From != "a" || f.ARP.TargetIP != dhcp4.MustParseAddr("198.18.0.2") || f.ARP.SenderMAC != a.MAC("eth0") {
		t.Errorf("ARP request recorded as %+v from %s", f.ARP, f.From)
	}
	f, _, err = c.Wait(mark, 3*time.Second, (*Frame).IsDHCP)
	if err != nil {
		t.Fatal(err)
	}
	if f.From != "a" || string(f.Payload) != "hello" || f.DstMAC != b.MAC("eth0") || f.DstPort != 67 {
		t.Errorf("datagram recorded as %+v", f)
	}
	if err := c.Stop(); err != nil {
		t.Error("stop:", err)
	}
	pcap := filepath.Join(t.TempDir(), "x.pcap")
	if err := c.WritePcap(pcap); err != nil {
		t.Fatal(err)
	}
	if got := must(ReadPcap(pcap))(t); len(got) != len(c.Frames()) {
		t.Errorf("%d frames written, %d read", len(c.Frames()), len(got))
	}
}

// A block holds back requests to one address, lets broadcasts through, and ends.
func TestBlockUnicast(t *testing.T) {
	l := newLab(t)
	s := must(l.Switch("lan"))(t)
	a, b := must(l.Host("a"))(t), must(l.Host("b"))(t)
	for h, addr := range map[*Host]string{a: "198.18.0.1/24", b: "198.18.0.2/24"} {
		if err := s.Join(h, "eth0", addr); err != nil {
			t.Fatal(err)
		}
	}
	c := must(b.Capture("eth0"))(t)
	reaches := func() bool {
		mark := c.Mark()
		hello(t, a)
		_, _, err := c.Wait(mark, 300*time.Millisecond, (*Frame).IsDHCP)
		return err == nil
	}
	for _, step := range []struct {
		block Block
		want  bool
	}{{BlockNothing, true}, {BlockUnicast, false}, {BlockDHCP, false}, {BlockNothing, true}} {
		if err := s.Block(a, step.block); err != nil {
			t.Fatal(err)
		}
		if got := reaches(); got != step.want {
			t.Errorf("with block %d the datagram arrives: %t, want %t", step.block, got, step.want)
		}
	}
}

// A switch that was misled loses what is for one host alone, still brings it the
// broadcasts, and learns better again.
func TestMisdirect(t *testing.T) {
	l := newLab(t)
	s := must(l.Switch("lan"))(t)
	a, b, c := must(l.Host("a"))(t), must(l.Host("b"))(t), must(l.Host("c"))(t)
	for h, addr := range map[*Host]string{a: "198.18.0.1/24", b: "198.18.0.2/24", c: "198.18.0.3/24"} {
		if err := s.Join(h, "eth0", addr); err != nil {
			t.Fatal(err)
		}
	}
	rec := must(b.Capture("eth0"))(t)
	reaches := func(f func(*Frame) bool) bool {
		mark := rec.Mark()
		hello(t, a)
		_, _, err := rec.Wait(mark, 300*time.Millisecond, f)
		return err == nil
	}
	if !reaches((*Frame).IsDHCP) {
		t.Fatal("the datagram does not arrive at all")
	}
	if err := s.Misdirect(b, "eth0", c); err != nil {
		t.Fatal(err)
	}
	if reaches((*Frame).IsDHCP) {
		t.Error("the datagram arrives in spite of the switch")
	}
	mark := rec.Mark()
	if err := a.Do(func() error { return exec.Command("ip", "neigh", "flush", "dev", "eth0").Run() }); err != nil {
		t.Fatal(err)
	}
	hello(t, a)
	if _, _, err := rec.Wait(mark, time.Second, func(f *Frame) bool { return f.ARP != nil }); err != nil {
		t.Error("a broadcast does not arrive:", err)
	}
	if err := s.Misdirect(b, "eth0", nil); err != nil {
		t.Fatal(err)
	}
	if !reaches((*Frame).IsDHCP) {
		t.Error("the datagram does not arrive although the switch is good again")
	}
}

// What a program on a host writes to /etc and /run does not reach the real ones.
func TestHostFilesArePrivate(t *testing.T) {
	before, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t)
	h := must(l.Host("a"))(t)
	script := "echo nameserver 192.0.2.53 >/etc/resolv.conf; echo x >/etc/lessor-netlab-test; echo x >/run/lessor-netlab-test; cat /etc/resolv.conf; ls /sys/class/net"
	out := must(h.Run(context.Background(), "sh", "-c", script))(t)
	if out != "nameserver 192.0.2.53\nlo\n" {
		t.Errorf("the host saw %q", out)
	}
	after, err := os.ReadFile("/etc/resolv.conf")
	if err != nil || string(after) != string(before) {
		t.Errorf("the real resolv.conf was %q and is %q (%v)", before, after, err)
	}
	for _, f := range []string{"/etc/lessor-netlab-test", "/run/lessor-netlab-test"} {
		if _, err := os.Stat(f); err == nil {
			t.Errorf("%s exists outside", f)
		}
		if _, err := os.Stat(h.Path(f)); err != nil {
			t.Errorf("%s of the host: %v", f, err)
		}
	}
}

// An interface is renamed, re-addressed and removed as a kernel does it.
func TestInterfaceChanges(t *testing.T) {
	l := newLab(t)
	a, b := must(l.Host("a"))(t), must(l.Host("b"))(t)
	steps := []func() error{
		func() error { return l.Wire(a, "eth0", b, "eth0") },
		func() error { return a.AddAddr("eth0", "198.18.0.1/24") },
		func() error { return a.Rename("eth0", "lan0") },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	if got := a.Addrs("lan0"); len(got) != 1 || got[0] != netip.MustParsePrefix("198.18.0.1/24") {
		t.Errorf("addresses after the rename: %v", got)
	}
	if err := a.Delete("lan0"); err != nil {
		t.Fatal(err)
	}
	if b.Index("eth0") != 0 {
		t.Error("the other end of a removed wire is still there")
	}
}

// The kernel ends a lab's programs when the process that made the lab is killed.
func TestKilledLabLeavesNothing(t *testing.T) {
	if os.Getenv("NETLAB_CRASH") != "" {
		crashingLab(t)
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilledLabLeavesNothing$", "-test.v")
	cmd.Env = append(os.Environ(), "NETLAB_CRASH=1")
	out, _ := cmd.CombinedOutput()
	_, mark, found := strings.Cut(strings.TrimSpace(string(out)), "started ")
	if !found {
		t.Fatalf("the other process wrote %q", out)
	}
	for end := time.Now().Add(5 * time.Second); running(t, mark, -1) != ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %s still runs", running(t, mark, -1))
		}
	}
}

// running is the command line of a process that has mark in it, of the user or of any
// for a negative one; "" if there is none.
func running(t *testing.T, mark string, uid int) string {
	for _, dir := range must(filepath.Glob("/proc/[0-9]*"))(t) {
		b, err := os.ReadFile(dir + "/cmdline")
		if err != nil || !strings.Contains(string(b), mark) {
			continue
		}
		if fi, err := os.Stat(dir); err == nil && (uid < 0 || fi.Sys().(*syscall.Stat_t).Uid == uint32(uid)) {
			return dir + ": " + strings.ReplaceAll(string(b), "\x00", " ")
		}
	}
	return ""
}

// crashingLab starts a program that starts another, and one that changes its user, and is killed.
func crashingLab(t *testing.T) {
	l := must(New(t.TempDir()))(t)
	h := must(l.Host("a"))(t)
	mark := fmt.Sprintf("100.%d", os.Getpid()) // an odd number of seconds
	must(h.Start(Spec{Args: []string{"sh", "-c", "sleep " + mark + " & wait"}, PIDNamespace: true}))(t)
	must(h.Start(Spec{Args: []string{"setpriv", "--reuid=65534", "--clear-groups", "sleep", mark}, Guard: true}))(t)
	for end := time.Now().Add(5 * time.Second); running(t, mark, 65534) == ""; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the second program did not change its user")
		}
	}
	os.Stdout.WriteString("started " + mark + "\n")
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}
