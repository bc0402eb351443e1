package relay

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lessor/internal/netlab"
	"lessor/test/e2e"
)

// start starts a server of the kind on the site's server host, for both lans. Leases last
// 12 s, and clients renew after four: dnsmasq serves two minutes and more only, and is told T1.
func (s *site) start(kind netlab.ServerKind) {
	s.t.Helper()
	dir := s.server.Root
	file := func(name string) string { return filepath.Join(dir, name) }
	var spec netlab.Spec
	ready := ""
	program := lessor
	if kind != netlab.LessorServer {
		program = try(kind.Find())(s.t)
	}
	each := func(format string) string {
		return fmt.Sprintf(format, 1) + fmt.Sprintf(format, 2)
	}
	switch kind {
	case netlab.Kea:
		ready = "DHCP4_STARTED"
		conf := s.writeFile(s.server, "kea.conf", `{"Dhcp4": {"interfaces-config": {"interfaces": ["eth0"], "dhcp-socket-type": "udp"},
"lease-database": {"type": "memfile", "name": "`+file("leases")+`", "lfc-interval": 0}, "valid-lifetime": 12, "renew-timer": 4, "rebind-timer": 10,
"loggers": [{"name": "kea-dhcp4", "severity": "DEBUG", "debuglevel": 40, "output_options": [{"output": "stdout"}]}], "subnet4": [`+
			strings.TrimSuffix(each(`{"id": %[1]d, "subnet": "198.18.%[1]d.0/24", "pools": [{"pool": "198.18.%[1]d.50-198.18.%[1]d.99"}], "option-data": [{"name": "routers", "data": "198.18.%[1]d.1"}]},`), ",")+`]}}`)
		spec = netlab.Spec{Args: []string{program, "-c", conf}, Env: []string{"KEA_LOCKFILE_DIR=" + dir, "KEA_PIDFILE_DIR=" + dir}}
	case netlab.Dhcpd:
		ready = "Server starting service."
		conf := s.writeFile(s.server, "dhcpd.conf", "authoritative; ddns-update-style none; ping-check false; default-lease-time 12; max-lease-time 12; min-lease-time 12;\n"+
			"option dhcp-renewal-time 4; option dhcp-rebinding-time 10;\nsubnet 192.0.2.0 netmask 255.255.255.0 {}\n"+
			each("subnet 198.18.%[1]d.0 netmask 255.255.255.0 { option routers 198.18.%[1]d.1; range 198.18.%[1]d.50 198.18.%[1]d.99; }\n"))
		s.writeFile(s.server, "leases", "")
		spec.Args = []string{program, "-4", "-d", "-f", "--no-pid", "-cf", conf, "-lf", file("leases"), "eth0"}
	case netlab.Dnsmasq:
		ready = "DHCP, IP range"
		conf := s.writeFile(s.server, "dnsmasq.conf", "port=0\nuser=root\nno-ping\nlog-facility=-\nlog-dhcp\npid-file=\nbind-interfaces\ninterface=eth0\n"+
			"dhcp-leasefile="+file("leases")+"\ndhcp-authoritative\ndhcp-option-force=58,4\ndhcp-option-force=59,60\n"+
			each("dhcp-range=set:n%[1]d,198.18.%[1]d.50,198.18.%[1]d.99,255.255.255.0,120\ndhcp-option=tag:n%[1]d,option:router,198.18.%[1]d.1\n"))
		spec = netlab.Spec{Args: []string{program, "--keep-in-foreground", "--conf-file=" + conf}, Guard: true}
	case netlab.LessorServer:
		conf := s.writeFile(s.server, "lessor.yaml", "interfaces: [eth0]\nvalid-lifetime: 12s\nconflict-check: off\nsubnets:\n"+
			"  - {subnet: 192.0.2.0/24, pools: [192.0.2.50-192.0.2.99]}\n"+
			each("  - {subnet: 198.18.%[1]d.0/24, pools: [198.18.%[1]d.50-198.18.%[1]d.99], options: {routers: 198.18.%[1]d.1}}\n"))
		notify := try(netlab.ListenNotify(file("notify")))(s.t)
		s.t.Cleanup(func() { notify.Close() })
		spec = netlab.Spec{Args: []string{program, "serve", "-c", conf, "--state", file("state")}, Env: []string{notify.Env()}}
		defer func() { check(s.t, notify.Await(s.started(spec, kind), "READY=1", 15*time.Second)) }()
		return
	}
	check(s.t, s.started(spec, kind).WaitOutput(ready, 15*time.Second))
}

func (s *site) started(spec netlab.Spec, kind netlab.ServerKind) *netlab.Proc {
	s.t.Helper()
	p := try(s.server.Start(spec))(s.t)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("%s wrote:\n%s", kind, e2e.Tail(p.Output(), 5000))
		}
	})
	return p
}

func TestInFrontOfKea(t *testing.T)     { testInFrontOf(t, netlab.Kea) }
func TestInFrontOfDhcpd(t *testing.T)   { testInFrontOf(t, netlab.Dhcpd) }
func TestInFrontOfDnsmasq(t *testing.T) { testInFrontOf(t, netlab.Dnsmasq) }
func TestInFrontOfLessor(t *testing.T)  { testInFrontOf(t, netlab.LessorServer) }
