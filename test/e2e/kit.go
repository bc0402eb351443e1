package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/wire"
)

// Main is the TestMain of a package whose tests run the binary in namespaces: it
// builds the binary, writes its path to lessor and runs the tests, as many at once as
// there are, since they wait nearly all the time. LESSOR_E2E_BINARY names an installed
// binary that is to be tested instead. It returns the exit code.
func Main(m *testing.M, lessor *string) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make network namespaces and need root: sudo make test")
		return 1
	}
	if err := flag.Set("test.parallel", "32"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if *lessor = os.Getenv("LESSOR_E2E_BINARY"); *lessor != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "lessor-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // other users run the binary too
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	*lessor = filepath.Join(dir, "lessor")
	build := exec.Command("go", "build", "-o", *lessor, "lessor/cmd/lessor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build lessor: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// NewLab makes a lab that lives as long as the test.
func NewLab(t *testing.T) *netlab.Lab {
	t.Helper()
	l, err := netlab.New(t.TempDir())
	Check(t, err)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// Check stops the test if err is not nil.
func Check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Try returns v, or stops the test.
func Try[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		Check(t, err)
		return v
	}
}

// Record captures on the switch. When the test fails, the last frames are shown.
func Record(t *testing.T, s *netlab.Switch) *netlab.Capture {
	t.Helper()
	c := Try(s.Capture())(t)
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		if !t.Failed() {
			return
		}
		frames := c.Frames()
		var b strings.Builder
		for _, f := range frames[max(0, len(frames)-60):] {
			b.WriteString(f.String() + "\n")
		}
		t.Logf("the last frames:\n%s", b.String())
	})
	return c
}

// Judged captures on an interface of the host that is about to run `lessor serve`, and has
// `lessor verify` judge the server when the test ends. It returns the arguments for serve.
func Judged(t *testing.T, lessor string, h *netlab.Host, ifname string) (args []string) {
	t.Helper()
	c := Try(h.Capture(ifname))(t)
	dir := t.TempDir()
	trace, wire := filepath.Join(dir, "trace"), filepath.Join(dir, "wire.pcap")
	t.Cleanup(func() {
		if err := errors.Join(c.Stop(), c.WritePcap(wire)); err != nil {
			t.Error(err)
			return
		}
		out, err := exec.Command(lessor, "verify", "--utc", "--trace", trace, "--capture", wire).CombinedOutput()
		if err != nil {
			t.Errorf("lessor verify: %v\n%s", err, out)
		}
		t.Logf("lessor verify:\n%s", out)
	})
	return []string{"--trace", trace}
}

// Tail is the end of s, of at most n octets.
func Tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// StateOf names the client's state by the form of its REQUEST (RFC 2131 4.3.2,
// table 4), the frame's destination included.
func StateOf(f *netlab.Frame) string {
	v, _ := f.View()
	_, named := v.Addr(dhcp4.OptDHCPServerIdentifier)
	switch {
	case named:
		return "SELECTING"
	case v.CIAddr() == 0:
		return "INIT-REBOOT"
	case f.Dst != dhcp4.Broadcast && f.DstMAC != wire.BroadcastMAC:
		return "RENEWING"
	}
	return "REBINDING"
}

// Requested is the address in option 50; zero if there is none.
func Requested(v *dhcp4.View) dhcp4.Addr {
	a, _ := v.Addr(dhcp4.OptDHCPRequestedAddress)
	return a
}
