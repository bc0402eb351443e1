package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/wire"
	"lessor/test/e2e"
)

// Addresses of every site. Clients on the link are in near; those behind the relay
// agent, which is the clients' host, in far.
var (
	serverAddr = dhcp4.MustParseAddr("198.18.0.1")
	hostAddr   = dhcp4.MustParseAddr("198.18.0.2")
	relayAddr  = dhcp4.MustParseAddr("198.19.0.1")
	farFirst   = dhcp4.MustParseAddr("198.19.1.0")
)

const lessorConfig = `
interfaces: [eth0]
valid-lifetime: 1h
options: {domain-name-servers: [192.0.2.53], domain-name: example.net}
subnets:
  - subnet: 198.18.0.0/16
    pools: [198.18.1.0-198.18.254.255]
    options: {routers: [198.18.0.1]}
  - subnet: 198.19.0.0/16
    pools: [198.19.1.0-198.19.254.255]
    options: {routers: [198.19.0.1]}
`

// dhcpdConfig is the same for dhcpd. It stores early renewals too, as Lessor does, and
// does not wait for an echo reply before it offers.
const dhcpdConfig = `
authoritative;
ddns-update-style none;
ping-check false;
dhcp-cache-threshold 0;
default-lease-time 3600;
max-lease-time 3600;
option domain-name-servers 192.0.2.53;
option domain-name "example.net";
subnet 198.18.0.0 netmask 255.255.0.0 { range 198.18.1.0 198.18.254.255; option routers 198.18.0.1; }
subnet 198.19.0.0 netmask 255.255.0.0 { range 198.19.1.0 198.19.254.255; option routers 198.19.0.1; }
`

// site is a server's host and a clients' host on one wire, and at most one server.
type site struct {
	b         *testing.B
	lab       *netlab.Lab
	server    *netlab.Host
	clients   *netlab.Host
	station   *e2e.Station
	serverMAC wire.MAC
	hostMAC   wire.MAC
	dir       string

	proc *netlab.Proc
	echo bool // proc answers without looking
	sink *net.UDPConn
}

// newSite makes a site without a server. close takes it down.
func newSite(b *testing.B) *site {
	b.Helper()
	l := must(netlab.New(b.TempDir()))(b)
	s := &site{b: b, lab: l}
	s.server, s.clients = must(l.Host("server"))(b), must(l.Host("clients"))(b)
	s.dir = filepath.Join(s.server.Root, "bench")
	check(b, os.MkdirAll(s.dir, 0o755))
	check(b, l.Wire(s.server, "eth0", s.clients, "eth0"))
	check(b, s.server.AddAddr("eth0", "198.18.0.1/16"))
	check(b, s.clients.AddAddr("eth0", "198.18.0.2/16"))
	check(b, s.clients.AddAddr("lo", "198.19.0.1/32"))
	check(b, s.server.AddRoute("198.19.0.0/16", "198.18.0.2"))
	s.serverMAC, s.hostMAC = s.server.MAC("eth0"), s.clients.MAC("eth0")
	// What is sent to the relay agent is read from the wire; the socket keeps the kernel
	// from answering it with "port unreachable".
	check(b, s.clients.Do(func() (err error) {
		s.sink, err = net.ListenUDP("udp4", &net.UDPAddr{Port: dhcp4.ServerPort})
		return err
	}))
	check(b, s.sink.SetReadBuffer(1))
	s.station = must(e2e.NewStation(s.clients, "eth0"))(b)
	return s
}

// close ends the server and takes the site down. The benchmark may go on.
func (s *site) close() {
	s.b.Helper()
	if s.proc != nil {
		s.proc.Kill()
	}
	s.sink.Close()
	check(s.b, s.station.Close())
	check(s.b, s.lab.Close())
	check(s.b, os.RemoveAll(s.lab.Dir()))
}

// start starts a server and waits until it answers.
func (s *site) start(kind string) {
	s.b.Helper()
	switch kind {
	case "lessor":
		s.startLessor(lessorConfig)
	case "dhcpd":
		s.startDhcpd()
	case "echo", "durable-echo":
		s.echo = true
		store := noStore
		if kind == "durable-echo" {
			store = filepath.Join(s.dir, "echo")
		}
		s.run([]string{must(os.Executable())(s.b)}, echoEnv+"="+store)
	default:
		s.b.Fatalf("no server is called %q", kind)
	}
	s.await(10 * time.Second)
}

// startLessor starts lessor serve and does not wait for it.
func (s *site) startLessor(config string, args ...string) {
	s.b.Helper()
	conf := filepath.Join(s.dir, "lessor.yaml")
	check(s.b, os.WriteFile(conf, []byte(config), 0o644))
	s.run(append([]string{lessor, "serve", "-c", conf, "--state", filepath.Join(s.dir, "state"), "--log-format", "json"}, args...))
}

func (s *site) startDhcpd() {
	s.b.Helper()
	path, err := exec.LookPath("dhcpd")
	if err != nil {
		path = "/usr/sbin/dhcpd"
	}
	if _, err := os.Stat(path); err != nil {
		s.b.Fatal("dhcpd, which this compares with, is not installed: sudo apt-get install isc-dhcp-server")
	}
	conf, leases := filepath.Join(s.dir, "dhcpd.conf"), filepath.Join(s.dir, "dhcpd.leases")
	check(s.b, os.WriteFile(conf, []byte(dhcpdConfig), 0o644))
	check(s.b, os.WriteFile(leases, nil, 0o644))
	s.run([]string{path, "-4", "-f", "-q", "-cf", conf, "-lf", leases, "-pf", filepath.Join(s.dir, "dhcpd.pid"), "eth0"})
}

func (s *site) run(args []string, env ...string) {
	s.b.Helper()
	s.proc = must(s.server.Start(netlab.Spec{Args: args, Env: env, LogFile: filepath.Join(s.dir, "log")}))(s.b)
}

// log is what the server has written.
func (s *site) log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(text)
}

// await sends DISCOVERs until one is answered.
func (s *site) await(within time.Duration) {
	s.b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for n := 0; ctx.Err() == nil; n++ {
		m := e2e.Discover(e2e.TestMAC(0x7f0000), 0xff000000|uint32(n))
		m.Src, m.GIAddr = hostAddr, relayAddr
		m.SrcPort, m.Dst, m.DstMAC = dhcp4.ServerPort, serverAddr, s.serverMAC
		if _, err := s.station.Exchange(m, 5*time.Millisecond); err == nil {
			return
		}
		if err, ended := s.proc.Wait(0); ended {
			s.b.Fatalf("the server ended: %v:\n%s", err, s.log())
		}
	}
	s.b.Fatalf("no answer within %s; the server wrote:\n%s", within, s.log())
}

// cpu is the processor time that the server has used, in user and kernel mode.
func (s *site) cpu() time.Duration {
	s.b.Helper()
	text := string(must(os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.proc.PID())))(s.b))
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	user, system := must(strconv.Atoi(f[11]))(s.b), must(strconv.Atoi(f[12]))(s.b)
	return time.Duration(user+system) * (time.Second / 100) // USER_HZ
}

// memory is the server's resident memory in octets: now (VmRSS) or at most (VmHWM).
func (s *site) memory(field string) int {
	s.b.Helper()
	text := string(must(os.ReadFile(fmt.Sprintf("/proc/%d/status", s.proc.PID())))(s.b))
	_, rest, _ := strings.Cut(text, field+":")
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	return must(strconv.Atoi(kib))(s.b) << 10
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// must returns v, or ends the benchmark.
func must[T any](v T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		check(tb, err)
		return v
	}
}
