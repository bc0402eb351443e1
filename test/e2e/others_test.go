package e2e

import (
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lessor/internal/netlab"
)

// zero is a server without a configuration file.
type zero struct {
	*netlab.Proc
	notify *netlab.Notify
}

// startZero starts lessor serve --interface eth0 on h.
func startZero(t *testing.T, h *netlab.Host, args ...string) *zero {
	t.Helper()
	z := &zero{notify: try(netlab.ListenNotify(filepath.Join(h.Root, "notify")))(t)}
	t.Cleanup(func() { z.notify.Close() })
	z.Proc = try(h.Start(netlab.Spec{
		Args: append([]string{lessor, "serve", "--interface", "eth0", "--memory", "--control", filepath.Join(h.Root, "control.sock")}, args...),
		Env:  []string{z.notify.Env()},
	}))(t)
	return z
}

// refused expects that the server ends with exit code 6 and names the other one.
func (z *zero) refused(t *testing.T, other string) {
	t.Helper()
	err, ended := z.Wait(10 * time.Second)
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ended || !ok || exit.ExitCode() != 6 || !strings.Contains(z.Output(), "another DHCP server: "+other) || !strings.Contains(z.Output(), "--beside") {
		t.Errorf("beside %s it ended: %t, %v; want exit code 6 and the other's name:\n%s", other, ended, err, z.Output())
	}
}

// Two servers without files on one switch: the first one asks, hears nothing and serves;
// the second one names it and ends with 6. With --beside it serves, and says who else does.
func TestZeroConfigurationLooksForOthers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	sw := try(l.Switch("lan"))(t)
	a, b := try(l.Host("a"))(t), try(l.Host("b"))(t)
	check(t, sw.Join(a, "eth0", "198.18.0.1/24"))
	check(t, sw.Join(b, "eth0", "198.18.0.2/24"))
	record(t, sw)
	name := "198.18.0.1 (" + macOf(a) + ") answers on eth0"

	begun := time.Now()
	first := startZero(t, a)
	check(t, first.notify.Await(first.Proc, "READY=1", 10*time.Second))
	if took := time.Since(begun); took < time.Second || took > 8*time.Second {
		t.Errorf("the first server was ready after %v; it is to listen for a second and a half", took)
	}
	if strings.Contains(first.Output(), "SERVER_SEEN") {
		t.Errorf("the first server sees another one:\n%s", first.Output())
	}
	startZero(t, b).refused(t, name)

	beside := startZero(t, b, "--beside")
	check(t, beside.notify.Await(beside.Proc, "READY=1", 10*time.Second))
	check(t, beside.WaitOutput("SERVER_SEEN", time.Second))
	if !strings.Contains(beside.Output(), `"server":"198.18.0.1"`) {
		t.Errorf("with --beside the other server is not named:\n%s", beside.Output())
	}
}

// Servers of others are seen too: also dnsmasq, which pings for three seconds before it offers
// an address, and answers an INFORM at once.
func TestZeroConfigurationSeesEveryServer(t *testing.T) {
	t.Parallel()
	for _, kind := range []netlab.ServerKind{netlab.Kea, netlab.Dhcpd, netlab.Dnsmasq, netlab.NetworkdServer} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			sw := try(l.Switch("lan"))(t)
			a, b := try(l.Host("a"))(t), try(l.Host("b"))(t)
			check(t, sw.Join(a, "eth0", "198.18.0.1/24"))
			check(t, sw.Join(b, "eth0", "198.18.0.2/24"))
			record(t, sw)
			if kind == netlab.Dnsmasq {
				p := try(a.Start(netlab.Spec{Args: []string{try(kind.Find())(t), "--keep-in-foreground", "--conf-file=/dev/null", "--port=0",
					"--interface=eth0", "--dhcp-range=198.18.0.100,198.18.0.199,2m", "--dhcp-leasefile=" + filepath.Join(a.Root, "leases"), "--log-facility=-"}}))(t)
				check(t, p.WaitOutput("DHCP, IP range", 5*time.Second))
			} else {
				s := a.Server(kind, "eth0", netlab.Scope{Subnet: netip.MustParsePrefix("198.18.0.1/24"), First: netip.MustParseAddr("198.18.0.100"),
					Last: netip.MustParseAddr("198.18.0.199"), Lifetime: time.Hour})
				check(t, s.Start())
			}
			startZero(t, b).refused(t, "198.18.0.1 ("+macOf(a)+")")
		})
	}
}

func macOf(h *netlab.Host) string {
	m := h.MAC("eth0")
	return net.HardwareAddr(m[:]).String()
}
