package cli

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/client/setup"
	"lessor/internal/lease"
)

// parseClient reads a command line of lessor client without running it.
func parseClient(t *testing.T, args ...string) (f *clientFlags, c client.Config, o setup.Options, err error) {
	t.Helper()
	g := &globals{environ: []string{"XDG_STATE_HOME=/home/u/state", "STATE_DIRECTORY=/var/lib/lessor-client"}}
	f = &clientFlags{}
	cmd := &cobra.Command{Use: "client"}
	f.register(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	if c, err = f.machine("eth0"); err == nil {
		o, err = f.host(g, "eth0")
	}
	return f, c, o, err
}

func TestClientFlags(t *testing.T) {
	_, c, o, err := parseClient(t)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(client.Config{MinRouteBits: 8}, c); d != "" {
		t.Errorf("without flags the machine is told something:\n%s", d)
	}
	if d := cmp.Diff(setup.Options{Metric: 200, LeaseFile: "/var/lib/lessor-client/client-eth0.leases"}, o); d != "" {
		t.Errorf("without flags the host is told:\n%s", d)
	}

	_, c, o, err = parseClient(t, "--request", "192.0.2.77", "--hostname", "pixel-8", "--user-class", "a", "--user-class", "b c",
		"--vendor-class", "v", "--client-id", "0x00:01:ff", "--lease-time", "90m", "--fast", "--probe-interval", "200ms",
		"--conflict-detection", "announce", "--server-allow", "192.0.2.1", "--server-allow", "198.51.100.0/24",
		"--server-deny", "192.0.2.9", "--select-timeout", "2s", "--rapid-commit", "--ipv6-only-capable", "--broadcast",
		"--min-route-prefix", "16", "--option", "root-path=/srv, and more", "--option", "224=0a:0b", "--option", "client-system=7",
		"--no-configure", "--metric", "5", "--table", "100", "--hook", "/etc/hook", "--lease-file", "/tmp/l")
	if err != nil {
		t.Fatal(err)
	}
	want := client.Config{Identifier: client.IdentifierFixed, ClientID: []byte{0, 1, 255}, HostName: "pixel-8", UserClass: []string{"a", "b c"},
		VendorClass: "v", Request: dhcp4.MustParseAddr("192.0.2.77"), Lifetime: 5400, Fast: true, Detection: client.DetectAnnounce,
		Probe: client.ProbeTimes{Min: lease.Second / 5, Max: lease.Second * 2 / 5, Num: 3, AnnounceWait: lease.Second * 2 / 5, AnnounceNum: 2, AnnounceInterval: 2 * lease.Second},
		Allow: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("192.0.2.1"), Bits: 32}, {Addr: dhcp4.MustParseAddr("198.51.100.0"), Bits: 24}},
		Deny:  []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("192.0.2.9"), Bits: 32}}, SelectTimeout: 2 * lease.Second,
		RapidCommit: true, IPv6Only: true, Broadcast: true, MinRouteBits: 16,
		Options: []dhcp4.Option{{Code: 17, Data: []byte("/srv, and more")}, {Code: 224, Data: []byte{10, 11}}, {Code: 93, Data: []byte{0, 7}}}}
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("the machine is told:\n%s", d)
	}
	if d := cmp.Diff(setup.Options{Metric: 5, Table: 100, Hook: "/etc/hook", LeaseFile: "/tmp/l", NoConfigure: true}, o); d != "" {
		t.Errorf("the host is told:\n%s", d)
	}
}

func TestClientRequestOption(t *testing.T) {
	_, c, _, err := parseClient(t, "--request-option", "root-path", "--request-option", "3", "--request-option", "224")
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[dhcp4.Code]int)
	for _, p := range c.Params {
		count[p]++
	}
	for _, code := range []dhcp4.Code{1, 3, 6, 17, 224} {
		if count[code] != 1 {
			t.Errorf("option %d is asked for %d times in %v", code, count[code], c.Params)
		}
	}
}

// TestClientDUID: the identity is that of RFC 4361, the same each time, another one on
// another interface, and does not show the machine-id.
func TestClientDUID(t *testing.T) {
	machine, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(strings.TrimSpace(string(machine))) != 32 {
		if _, err := duid("eth0"); err == nil {
			t.Error("a DUID without a machine-id")
		}
		return
	}
	a, err1 := duid("eth0")
	b, err2 := duid("eth0")
	c, err3 := duid("eth1")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if len(a) != 23 || a[0] != 255 || a[5] != 0 || a[6] != 4 || !bytes.Equal(a, b) || bytes.Equal(a[:5], c[:5]) || !bytes.Equal(a[5:], c[5:]) {
		t.Errorf("DUIDs % x, % x, % x", a, b, c)
	}
	if strings.Contains(hex.EncodeToString(a), strings.TrimSpace(string(machine))) {
		t.Error("the DUID shows the machine-id")
	}
}

// TestClientWrongFlags: each wrong value ends with 2, says what is wrong and what is taken.
func TestClientWrongFlags(t *testing.T) {
	long := strings.Repeat("x", 250)
	for _, c := range []struct {
		args string
		want []string
	}{
		{"", []string{"which interface?"}},
		{"eth0 eth1", []string{"one client holds one interface", "usage: lessor client IFACE"}},
		{"an-interface-of-16", []string{"cannot be the name of an interface"}},
		{"../eth0", []string{"cannot be the name of an interface"}},
		{"stauts", []string{`no interface and no command "stauts"`, `"lessor client status"`}},
		{"eth0 --request 192.0.2", []string{`--request cannot be "192.0.2"`, "192.0.2.77"}},
		{"eth0 --request 127.0.0.1", []string{"--request cannot be", "an address that a host can have"}},
		{"eth0 --hostname a.b", []string{"--hostname cannot be", "letters, digits and hyphens"}},
		{"eth0 --fqdn -a.b", []string{"--fqdn cannot be", "a domain name"}},
		{"eth0 --hostname a --fqdn a.b", []string{"exclude each other"}},
		{"eth0 --user-class=", []string{"--user-class cannot be"}},
		{"eth0 --client-id 01", []string{`--client-id cannot be "01"`, "2 to 255 octets"}},
		{"eth0 --client-id zz:zz", []string{"--client-id cannot be", "mac, duid, none"}},
		{"eth0 --lease-time 12hours", []string{`--lease-time cannot be "12hours"`, "12h, 90m"}},
		{"eth0 --lease-time 0", []string{"--lease-time cannot be"}},
		{"eth0 --lease-time 4294967295", []string{"--lease-time cannot be"}},
		{"eth0 --lease-time 1500ms", []string{"--lease-time cannot be"}},
		{"eth0 --conflict-detection of", []string{"--conflict-detection cannot be", "probe, announce or off"}},
		{"eth0 --probe-interval 1ms", []string{"--probe-interval cannot be", "10ms to 10s"}},
		{"eth0 --probe-interval fast", []string{"invalid argument", "--probe-interval"}},
		{"eth0 --server-allow 192.0.2.0/33", []string{`--server-allow cannot be "192.0.2.0/33"`}},
		{"eth0 --server-deny router", []string{`--server-deny cannot be "router"`, "an address or a prefix"}},
		{"eth0 --select-timeout -1s", []string{"--select-timeout cannot be"}},
		{"eth0 --min-route-prefix 33", []string{"--min-route-prefix cannot be"}},
		{"eth0 --request-option domain-name-server", []string{`no option is called "domain-name-server"`, "Did you mean domain-name-servers?"}},
		{"eth0 --request-option 53", []string{"--request-option cannot be", "every message has it"}},
		{"eth0 --request-option 300", []string{`no option is called "300"`}},
		{"eth0 --option 224", []string{`--option cannot be "224"`, "NAME=VALUE"}},
		{"eth0 --option dhcp-agent-options=01:01:00", []string{"--option"}},
		{"eth0 --option 82=01:01:00", []string{"--option cannot set option 82", "relay agents"}},
		{"eth0 --option 53=01", []string{"--option cannot set option 53"}},
		{"eth0 --option 0=01", []string{"--option cannot set option 0"}},
		{"eth0 --option 255=01", []string{"--option cannot set option 255"}},
		{"eth0 --option host-name=a", []string{"--option cannot set option 12", "--hostname"}},
		{"eth0 --option routers=gw", []string{"--option routers=gw", "IPv4 addresses"}},
		{"eth0 --option 224=01 --option 224=02", []string{"option 224", "twice"}},
		{"eth0 --vendor-class " + strings.Repeat("v", 256), []string{"--vendor-class cannot be"}},
		{"eth0 --vendor-class " + long + strings.Repeat(" --user-class "+long, 4), []string{"octets of each message"}},
		{"eth0 --option 224='" + strings.Repeat("y", 1390) + "'", []string{"octets of each message"}},
		{"eth0 --option 224='" + strings.Repeat("y", 1473) + "'", []string{"more than fit in a packet"}},
		{"eth0 --metric -1", []string{"--metric cannot be"}},
		{"eth0 --table -1", []string{"--table cannot be"}},
		{"eth0 --hook hook.sh", []string{"--hook cannot be", "absolute path"}},
		{"eth0 --hook /etc/../tmp/x", []string{"--hook cannot be"}},
		{"eth0 --no-configure --set-hostname", []string{"--no-configure excludes"}},
		{"eth0 -o csv", []string{"a running client cannot write -o csv", "-o jsonl"}},
		{"eth0 -o json", []string{"a running client cannot write -o json", "--once"}},
		{"eth0 --hostnam x", []string{"unknown flag: --hostnam", "Did you mean --hostname?"}},
		{"run", []string{"which interface?"}},
		{"run eth0 --request x", []string{"--request cannot be"}},
		{"status a/b", []string{"cannot be the name of an interface"}},
		{"status eth0 eth1", []string{"usage: lessor client status"}},
		{"renew a b", []string{"usage: lessor client renew"}},
	} {
		code, stdout, stderr := run(t, nil, nil, append([]string{"client"}, strings.Fields(c.args)...)...)
		if code != ExitUsage || stdout != "" {
			t.Errorf("lessor client %s: exit code %d, want %d; %q", c.args, code, ExitUsage, stdout)
		}
		for _, want := range c.want {
			if !strings.Contains(stderr, want) {
				t.Errorf("lessor client %s: standard error lacks %q:\n%s", c.args, want, stderr)
			}
		}
	}
}

// TestClientAnyUserOption (systemd #41006): whatever code and value a user sets, it is refused or
// it is in the messages; it never ends the program.
func TestClientAnyUserOption(t *testing.T) {
	for code := range 256 {
		for _, value := range []string{"", "00", "'x'", strings.Repeat("ff", 255), strings.Repeat("ff", 700)} {
			f := &clientFlags{clientID: "mac", detection: "probe", options: []string{dhcp4.Code(code).String() + "=" + value}}
			c, err := f.machine("eth0")
			_, own := ownOptions[dhcp4.Code(code)]
			if err == nil && (own || len(c.Options) != 1 || int(c.Options[0].Code) != code) {
				t.Errorf("option %d=%.10s gives %v", code, value, c.Options)
			}
		}
	}
}

func TestLifetimeArg(t *testing.T) {
	for text, want := range map[string]uint32{"infinite": lease.Infinite, "12h": 43200, "90m": 5400, "2d": 172800, "77": 77, "1h30m": 5400, "4294967294": 4294967294} {
		if got, ok := lifetimeArg(text); !ok || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-1s", "d", "4294967295", "65535000d", "1.5", "1x"} {
		if got, ok := lifetimeArg(text); ok {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func TestProbeTimes(t *testing.T) {
	if got := probeTimes(time.Second, false); got != client.RFC5227 {
		t.Errorf("1s: %+v", got)
	}
	if got := probeTimes(50*time.Millisecond, true); got != client.Quick {
		t.Errorf("50ms: %+v", got)
	}
}

// TestClientCompletion: the shell is told the interfaces, the words of flags and the names of options.
func TestClientCompletion(t *testing.T) {
	for args, want := range map[string]string{
		"client --conflict-detection=":        "probe\nannounce\noff\n:4\n",
		"client run x --request-option route": "router-discovery\nrouter-solicitation-address\nrouters\n:4\n",
		"client x --option root":              "root-path=\n:6\n",
		"client stop x ":                      ":4\n",
		"client rel":                          "release\tGive the address back\n",
	} {
		_, out, _ := run(t, nil, nil, append([]string{"__complete"}, strings.Split(args, " ")...)...)
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if strings.HasPrefix(args, "client run") {
			slices.Sort(lines[:len(lines)-1])
		}
		if got := strings.Join(lines, "\n") + "\n"; !strings.HasPrefix(got, want) {
			t.Errorf("%s is completed to %q, want %q", args, got, want)
		}
	}
	_, out, _ := run(t, nil, nil, "__complete", "client", "")
	for _, name := range interfaceNames() {
		if !strings.Contains(out, name+"\n") {
			t.Errorf("interface %s is not offered: %s", name, out)
		}
	}
}
