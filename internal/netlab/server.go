package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lessor/internal/wire"
)

// ServerKind is a DHCP server program.
type ServerKind string

// The servers that a lab can run.
const (
	Kea            ServerKind = "kea-dhcp4"
	Dhcpd          ServerKind = "dhcpd"
	Dnsmasq        ServerKind = "dnsmasq"
	NetworkdServer ServerKind = "networkd-server" // systemd-networkd; keeps no lease over a restart
	LessorServer   ServerKind = "lessor"          // Server.Program says where it is
)

// ServerKinds are all the servers.
var ServerKinds = []ServerKind{Kea, Dhcpd, Dnsmasq, NetworkdServer, LessorServer}

var serverPackages = map[ServerKind]string{Kea: "kea-dhcp4-server", Dhcpd: "isc-dhcp-server", Dnsmasq: "dnsmasq-base"}

// Find returns the path of the program; the error says which package to install.
func (k ServerKind) Find() (string, error) {
	switch k {
	case NetworkdServer:
		return Networkd.Find()
	case LessorServer:
		return "", errors.New("the lab does not know where lessor is; set Server.Program")
	}
	for _, p := range []string{string(k), "/usr/sbin/" + string(k)} {
		if found, err := exec.LookPath(p); err == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: sudo apt-get install %s", k, serverPackages[k])
}

// Scope is what a server serves on its interface. No server checks an address before
// it offers it: who is to find conflicts in a lab is the client.
type Scope struct {
	Subnet      netip.Prefix // the server's own address, not masked
	First, Last netip.Addr   // the pool

	Lifetime time.Duration // whole seconds; dnsmasq serves 120 s and more only
	T1, T2   time.Duration // 0: what the server does without being told, which is all that lessor can do

	Routers, DNS []netip.Addr
	Domain       string
	Search       []string // option 119
	MTU          int      // option 26; 0: none
	Routes       []Via    // option 121

	// Reserved are addresses that are kept for one client each, by its Ethernet address.
	Reserved map[wire.MAC]netip.Addr

	// Reticent servers are silent where another server may be the right one to answer:
	// not authoritative. systemd-networkd has no such choice and ignores it.
	Reticent bool

	// NakByBroadcast makes lessor send NAKs by broadcast, as RFC 2131 4.3.2 has it and as all others do.
	NakByBroadcast bool
}

// Via is a route of option 121.
type Via struct {
	To      netip.Prefix
	Gateway netip.Addr
}

// Server is a DHCP server on one interface of a host. Its files are kept on the
// host, so that Start after Kill is a restart of a machine with a disk. Its methods are
// called by one goroutine.
type Server struct {
	Kind    ServerKind
	Host    *Host
	Ifname  string
	Scope   Scope
	Program string // path; needed for LessorServer, else found

	proc   *Proc
	notify *Notify
	former []Scope // what it served before, the oldest first
	before string  // output of earlier runs
}

// Server returns a server of h that is not yet started. The interface must have the
// address of the scope.
func (h *Host) Server(kind ServerKind, ifname string, s Scope) *Server {
	return &Server{Kind: kind, Host: h, Ifname: ifname, Scope: s}
}

const readyTime = 15 * time.Second

// Start starts the server in the foreground and returns when it serves.
func (s *Server) Start() error {
	// Kea would run on and never listen on an interface that is not running yet.
	if err := s.Host.WaitRunning(s.Ifname, readyTime); err != nil {
		return err
	}
	program := s.Program
	if program == "" {
		var err error
		if program, err = s.Kind.Find(); err != nil {
			return err
		}
	}
	if err := s.configure(); err != nil {
		return err
	}
	if s.proc != nil {
		s.before += s.proc.Output()
	}
	spec := Spec{Args: append([]string{program}, s.arguments()...)}
	switch s.Kind {
	case Dnsmasq:
		spec.Guard = true
	case Kea:
		spec.Env = []string{"KEA_LOCKFILE_DIR=" + s.file(""), "KEA_PIDFILE_DIR=" + s.file("")}
	case NetworkdServer:
		spec.Guard = true
		spec.Env = []string{"SYSTEMD_LOG_LEVEL=debug", "SYSTEMD_LOG_TARGET=console", "SYSTEMD_LOG_COLOR=0"}
	case LessorServer:
		if s.notify == nil {
			var err error
			if s.notify, err = ListenNotify(s.file("notify")); err != nil {
				return err
			}
		}
		spec.Env = []string{s.notify.Env()}
	}
	var err error
	if s.proc, err = s.Host.Start(spec); err != nil {
		return err
	}
	return s.awaitReady(0)
}

// arguments is the command line without the program.
func (s *Server) arguments() []string {
	conf := s.file("conf")
	switch s.Kind {
	case Kea:
		return []string{"-c", conf}
	case Dhcpd:
		return []string{"-4", "-d", "-f", "--no-pid", "-cf", conf, "-lf", s.file("leases"), s.Ifname}
	case Dnsmasq:
		return []string{"--keep-in-foreground", "--conf-file=" + conf}
	case LessorServer:
		return []string{"serve", "-c", conf, "--state", s.file("state"), "--control", s.control()}
	}
	return nil
}

// ready are the lines by which servers say, when their sockets are open, that they serve.
var ready = map[ServerKind]string{
	Kea:            "DHCP4_STARTED",
	Dhcpd:          "Server starting service.",
	Dnsmasq:        "DHCP, IP range",
	NetworkdServer: "DHCPv4 server: STARTED",
}

// awaitReady waits until the server serves. The first from octets of its output are of earlier times.
func (s *Server) awaitReady(from int) error {
	if s.Kind == LessorServer {
		return s.notify.Await(s.proc, "READY=1", readyTime)
	}
	return s.awaitLine(from, ready[s.Kind])
}

func (s *Server) awaitLine(from int, line string) error {
	for end := time.Now().Add(readyTime); ; time.Sleep(5 * time.Millisecond) {
		_, ended := s.proc.Wait(0)
		if strings.Contains(s.proc.Output()[from:], line) {
			return nil
		}
		if ended || time.Now().After(end) {
			return fmt.Errorf("%s never wrote %q (ended: %t); its output:\n%s", s.Kind, line, ended, tail(s.proc.Output(), 4000))
		}
	}
}

// Change makes the server serve another scope and returns when that is in force. A
// client whose address lies outside the new pool is refused by a NAK at its next REQUEST:
// by all but systemd-networkd, which refuses it in INIT-REBOOT only.
func (s *Server) Change(scope Scope) error {
	s.former = append(s.former, s.Scope)
	s.Scope = scope
	switch s.Kind {
	case Kea, LessorServer:
		if err := s.configure(); err != nil {
			return err
		}
		from := len(s.proc.Output())
		if err := s.proc.Signal(syscall.SIGHUP); err != nil {
			return err
		}
		if s.Kind == Kea {
			return s.awaitLine(from, "DHCP4_DYNAMIC_RECONFIGURATION_SUCCESS")
		}
		return s.awaitReady(from)
	}
	s.Kill()
	return s.Start()
}

// Proc is the running program; nil before Start.
func (s *Server) Proc() *Proc { return s.proc }

// Kill ends the server as a power cut would.
func (s *Server) Kill() {
	if s.proc != nil {
		s.proc.Kill()
	}
}

// Log is what the server has written since it was started first.
func (s *Server) Log() string {
	if s.proc == nil {
		return ""
	}
	return s.before + s.proc.Output()
}

// file is the path, seen from everywhere, of a file of the server; "" is their directory.
func (s *Server) file(name string) string {
	return filepath.Join(s.Host.Root, "server-"+s.Ifname, name)
}

// control is the control socket of lessor. Its path must be short, which that of a
// test's directory may not be; the host's own /run is.
func (s *Server) control() string { return "/run/lessor-" + s.Ifname + ".sock" }

// configure writes the configuration of the scope.
func (s *Server) configure() error {
	if err := os.MkdirAll(s.file(""), 0o755); err != nil {
		return err
	}
	text := ""
	switch s.Kind {
	case Kea:
		text = s.keaConf()
	case Dhcpd:
		text = s.dhcpdConf()
		// It wants a file for its leases, and makes none.
		f, err := os.OpenFile(s.file("leases"), os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		f.Close()
	case Dnsmasq:
		text = s.dnsmasqConf()
	case NetworkdServer:
		network := s.Host.Path("/etc/systemd/network/10-" + s.Ifname + ".network")
		if err := os.MkdirAll(filepath.Dir(network), 0o755); err != nil {
			return err
		}
		return replaceFile(network, s.networkdConf(), 0o644)
	case LessorServer:
		text = s.lessorConf()
	default:
		return fmt.Errorf("no DHCP server is called %q", s.Kind)
	}
	return replaceFile(s.file("conf"), text, 0o644)
}

// WaitRunning waits until the interface is up and has carrier.
func (h *Host) WaitRunning(ifname string, timeout time.Duration) error {
	for end := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) {
		l, err := h.nl.LinkByName(ifname)
		if err == nil && l.Attrs().RawFlags&unix.IFF_RUNNING != 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("after %s %s of %s has no carrier (%v)", timeout, ifname, h.Name, err)
		}
	}
}

func hardware(m wire.MAC) string { return net.HardwareAddr(m[:]).String() }
