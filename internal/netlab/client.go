package netlab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Kind is a DHCP client program.
type Kind string

// The clients that a lab can run, by the name of their program.
const (
	Dhclient Kind = "dhclient"         // ISC
	Udhcpc   Kind = "udhcpc"           // busybox
	Dhcpcd   Kind = "dhcpcd"           // Roy Marples
	Networkd Kind = "systemd-networkd" // runs without systemd
	Lessor   Kind = "lessor"           // our own; Client.Program says where it is
)

// Kinds are the clients that are not ours.
var Kinds = []Kind{Dhclient, Udhcpc, Dhcpcd, Networkd}

// packages names the Debian package that holds each client.
var packages = map[Kind]string{Dhclient: "isc-dhcp-client", Udhcpc: "udhcpc", Dhcpcd: "dhcpcd-base", Networkd: "systemd"}

// Find returns the path of the program; the error says which package to install.
func (k Kind) Find() (string, error) {
	if k == Lessor {
		return "", errors.New("the lab does not know where lessor is; set Client.Program")
	}
	if k == Networkd {
		for _, p := range []string{"/lib/systemd/systemd-networkd", "/usr/lib/systemd/systemd-networkd"} {
			if _, err := os.Stat(p); err == nil {
				return p, nil
			}
		}
	} else {
		// Programs for the administrator may not be in a user's path.
		for _, p := range []string{string(k), "/sbin/" + string(k), "/usr/sbin/" + string(k)} {
			if found, err := exec.LookPath(p); err == nil {
				return found, nil
			}
		}
	}
	return "", fmt.Errorf("%s is not installed: sudo apt-get install %s", k, packages[k])
}

// Client is a DHCP client on one interface of a host. It keeps its files on the
// host, so that Start after Kill is a restart of a machine with a disk.
type Client struct {
	Kind   Kind
	Host   *Host
	Ifname string

	// Program is the path of the client's program; empty: found by its name.
	Program string

	// Flags are more arguments for Lessor: "lessor client IFNAME FLAGS". Its files are in the
	// host's own /var/lib/lessor and /run.
	Flags []string

	// ARP asks udhcpc to check an address before it uses it (-a); the others do it or not by nature.
	ARP bool

	// Request is an address that udhcpc and dhcpcd ask for in their first DISCOVER. May be zero.
	Request netip.Addr

	// OnLine is called with each line that the client writes. May be nil.
	OnLine func(string)

	// Stay and LogFile are those of Spec.
	Stay    bool
	LogFile string

	proc *Proc
}

// Client returns a client of h that is not yet started. A host runs at most one at a time
// on an interface.
func (h *Host) Client(kind Kind, ifname string) *Client {
	return &Client{Kind: kind, Host: h, Ifname: ifname}
}

// Start starts the client in the foreground.
func (c *Client) Start() error {
	path, err := c.Program, error(nil)
	if path == "" {
		if path, err = c.Kind.Find(); err != nil {
			return err
		}
	}
	s := Spec{PIDNamespace: true, OnLine: c.OnLine, Stay: c.Stay, LogFile: c.LogFile}
	switch c.Kind {
	case Dhclient:
		err = c.writeFile("/etc/dhcp/dhclient.conf", dhclientConf)
		s.Args = []string{path, "-4", "-d", "-v",
			"-lf", "/var/lib/dhcp/dhclient." + c.Ifname + ".leases", "-pf", "/run/dhclient." + c.Ifname + ".pid", c.Ifname}
	case Udhcpc:
		s.Args = []string{path, "-f", "-v", "-i", c.Ifname, "-t", "4", "-T", "1", "-A", "2"}
		if c.ARP {
			s.Args = append(s.Args, "-a")
		}
		if c.Request.IsValid() {
			s.Args = append(s.Args, "-r", c.Request.String())
		}
	case Dhcpcd:
		err = c.writeFile("/etc/dhcpcd.conf", dhcpcdConf)
		s.Args = []string{path, "-4", "-B", "-d"}
		if c.Request.IsValid() {
			s.Args = append(s.Args, "-r", c.Request.String())
		}
		s.Args = append(s.Args, c.Ifname)
	case Networkd:
		err = c.writeFile("/etc/systemd/network/10-"+c.Ifname+".network", fmt.Sprintf(networkdConf, c.Ifname))
		s.Args, s.Guard = []string{path}, true
		s.Env = []string{"SYSTEMD_LOG_LEVEL=debug", "SYSTEMD_LOG_TARGET=console"}
	case Lessor:
		// Its own directory for leases would be the real one where this machine has it not:
		// then nothing private is mounted there.
		leases := c.Host.Path("/var/lib/lessor/client-" + c.Ifname + ".leases")
		err = os.MkdirAll(filepath.Dir(leases), 0o755)
		s.Args = append([]string{path, "client", c.Ifname, "--lease-file", leases}, c.Flags...)
	default:
		return fmt.Errorf("no DHCP client is called %q", c.Kind)
	}
	if err != nil {
		return err
	}
	c.proc, err = c.Host.Start(s)
	return err
}

// dhclientConf asks the questions that Debian's file asks and is less patient: the
// distributed values would make a test wait for minutes after a server was away.
const dhclientConf = `timeout 20;
retry 2;
reboot 5;
initial-interval 1;
backoff-cutoff 2;
request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, interface-mtu, host-name;
`

const dhcpcdConf = `noipv4ll
persistent
timeout 0
option domain_name_servers, domain_name, interface_mtu
require dhcp_server_identifier
`

const networkdConf = `[Match]
Name=%s
[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no
[DHCPv4]
SendRelease=no
`

func (c *Client) writeFile(file, text string) error {
	path := c.Host.Path(file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return replaceFile(path, text, 0o644)
}

// Proc is the running program; nil before Start.
func (c *Client) Proc() *Proc { return c.proc }

// Kill ends the client as a power cut would: no RELEASE, and the interface keeps
// its address until the client starts again or PowerOff takes it.
func (c *Client) Kill() {
	if c.proc != nil {
		c.proc.Kill()
	}
}

// PowerOff kills the client and takes its addresses and routes, as after a power
// cut of the whole machine. The next Start finds the disk as it was.
func (c *Client) PowerOff() error {
	c.Kill()
	for _, a := range c.Host.Addrs(c.Ifname) {
		if err := c.Host.DelAddr(c.Ifname, a.String()); err != nil {
			return err
		}
	}
	run := c.Host.Path("/run")
	files, err := os.ReadDir(run)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.RemoveAll(filepath.Join(run, f.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Log is what the client has written since it was started last.
func (c *Client) Log() string {
	if c.proc == nil {
		return ""
	}
	return c.proc.Output()
}

// Await waits until the interface has an address for which ok says yes. The error
// holds what the client wrote.
func (c *Client) Await(timeout time.Duration, ok func(netip.Addr) bool) (netip.Addr, error) {
	a, err := c.Host.WaitAddr(c.Ifname, timeout, ok)
	if err != nil {
		return a, fmt.Errorf("%s: %w; it wrote:\n%s", c.Kind, err, tail(c.Log(), 4000))
	}
	return a, nil
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
