package cli

import (
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/client/setup"
	"lessor/internal/lease"
)

// clientFlags are the flags of lessor client IFACE as they were typed.
type clientFlags struct {
	once, dryRun       bool
	request            string
	hostname, fqdn     string
	userClass          []string
	vendorClass        string
	clientID           string
	leaseTime          string
	fast               bool
	probeInterval      time.Duration
	detection          string
	allow, deny        []string
	selectTimeout      time.Duration
	rapidCommit        bool
	ipv6Only           bool
	broadcast          bool
	requestOptions     []string
	options            []string
	noConfigure        bool
	noRoutes           bool
	minRoutePrefix     int
	metric, table      int
	resolvConf         string
	setHostname        bool
	hook               string
	leaseFile, control string
	timeout            time.Duration // of --once and --dry-run; settled from the global flag
}

// defaultMetric is what is added to the interface's index to give the metric of
// its routes: behind routes set by hand (0), before those of other link managers.
const defaultMetric = 200

// maxUserOptions is how many octets of the message the user's own options, names and
// classes may take: what a frame of 1,500 octets carries (1,472) without the message's
// fixed part and what the client itself puts in. More could never be sent
// (CVE-2018-15688: others wrote it beyond the end of their buffer).
const maxUserOptions = 1472 - 240 - 96

// register defines the flags on cmd.
func (f *clientFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&f.once, "once", false, "end when the interface has an address, and leave it there; exit code 3 if it has none within --timeout (60s)")
	fs.BoolVar(&f.dryRun, "dry-run", false, "ask, list the offers of all servers that answer within --timeout (3s), and touch nothing")
	fs.StringVar(&f.request, "request", "", "`address` to ask for first")
	fs.StringVar(&f.hostname, "hostname", "", "`name` to tell the server (option 12)")
	fs.StringVar(&f.fqdn, "fqdn", "", "full domain `name` to tell the server (option 81), in place of --hostname")
	fs.StringArrayVar(&f.userClass, "user-class", nil, "user class to send (option 77; may be repeated)")
	fs.StringVar(&f.vendorClass, "vendor-class", "", "vendor class to send (option 60)")
	fs.StringVar(&f.clientID, "client-id", "mac", "client identifier (option 61): mac|duid|none|`HEX`")
	fs.StringVar(&f.leaseTime, "lease-time", "", "`time` to ask a lease for: 12h, 90m, seconds or infinite")
	fs.BoolVar(&f.fast, "fast", false, "no random wait at the start, and short waits between probes: for containers and virtual machines")
	fs.DurationVar(&f.probeInterval, "probe-interval", 0, "least `time` between two probes for the address (default 1s, with --fast 50ms)")
	fs.StringVar(&f.detection, "conflict-detection", "probe", "find out whether another host has the address: probe|announce|off")
	fs.StringArrayVar(&f.allow, "server-allow", nil, "take leases only from servers with this `address` or prefix (may be repeated)")
	fs.StringArrayVar(&f.deny, "server-deny", nil, "take no lease from servers with this `address` or prefix (may be repeated)")
	fs.DurationVar(&f.selectTimeout, "select-timeout", 0, "`time` to wait for a better offer; 0s takes the first good one")
	fs.BoolVar(&f.rapidCommit, "rapid-commit", false, "let a server answer DISCOVER with an ACK at once (option 80)")
	fs.BoolVar(&f.ipv6Only, "ipv6-only-capable", false, "do without IPv4 where the network says that it prefers that (option 108)")
	fs.BoolVar(&f.broadcast, "broadcast", false, "ask for broadcast answers: for interfaces that take no unicast before they have an address")
	fs.StringArrayVar(&f.requestOptions, "request-option", nil, "ask for this option too: `NAME or code` (may be repeated)")
	fs.StringArrayVar(&f.options, "option", nil, "send this option too: `NAME=VALUE` or CODE=VALUE (may be repeated)")
	f.registerHost(cmd)
	for flag, complete := range map[string]cobra.CompletionFunc{
		"conflict-detection": completeWords("probe", "announce", "off"),
		"client-id":          completeWords("mac", "duid", "none"),
		"request-option":     completeOptions(""),
		"option":             completeOptions("="),
	} {
		if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
			panic(err) // it is defined above
		}
	}
}

// registerHost defines the flags that say what is done on this host.
func (f *clientFlags) registerHost(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&f.noConfigure, "no-configure", false, "leave the interface, its routes and DNS alone: only the lease file and the hook")
	fs.BoolVar(&f.noRoutes, "no-routes", false, "take only the default router: no routes that a server sends (options 121, 249 and 33)")
	fs.IntVar(&f.minRoutePrefix, "min-route-prefix", 8, "refuse routes of options 121, 249 and 33 shorter than this `prefix length`, such as the two halves of the Internet (CVE-2024-3661); the default route is taken")
	fs.IntVar(&f.metric, "metric", defaultMetric, "metric of routes, to which the interface's index is added")
	fs.IntVar(&f.table, "table", 0, "routing table `number`; 0 is the main one")
	fs.StringVar(&f.resolvConf, "resolv-conf", "", "`file` to replace with the lease's DNS servers (default: systemd-resolved or resolvconf, where there is one)")
	fs.BoolVar(&f.setHostname, "set-hostname", false, "give this machine the host name that comes with the lease")
	fs.StringVar(&f.hook, "hook", "", "`program` to run after each change: an absolute path, owned by root")
	fs.StringVar(&f.leaseFile, "lease-file", "", "`file` that remembers leases (default /var/lib/lessor/client-IFACE.leases, or the user's own)")
}

// wrongValue is the error for a flag whose value is not taken.
func wrongValue(flag, value, takes string) error {
	return &ExitError{Code: ExitUsage, Err: fmt.Errorf("--%s cannot be %q", flag, value), Hint: "Write " + takes + "."}
}

// machine makes of the flags what the client's machine is told. ifname gives a DUID its
// interface.
func (f *clientFlags) machine(ifname string) (c client.Config, err error) {
	c = client.Config{HostName: f.hostname, FQDN: f.fqdn, UserClass: f.userClass, VendorClass: f.vendorClass, Fast: f.fast,
		RapidCommit: f.rapidCommit, IPv6Only: f.ipv6Only, NoRoutes: f.noRoutes, MinRouteBits: f.minRoutePrefix, Broadcast: f.broadcast}
	for _, step := range []func(*client.Config) error{f.names, f.identity, f.times, f.servers, f.asked, f.further} {
		if err := step(&c); err != nil {
			return c, err
		}
	}
	if c.Identifier == client.IdentifierFixed && c.ClientID == nil {
		if c.ClientID, err = duid(ifname); err != nil {
			return c, err
		}
	}
	return c, f.fits(&c)
}

// names checks the texts that the server is told.
func (f *clientFlags) names(c *client.Config) error {
	if f.hostname != "" && !hostName(f.hostname, false) {
		return wrongValue("hostname", f.hostname, "letters, digits and hyphens, at most 63 of them, such as printer-2")
	}
	if f.fqdn != "" && !hostName(f.fqdn, true) {
		return wrongValue("fqdn", f.fqdn, "a domain name, such as printer.example.net")
	}
	if f.hostname != "" && f.fqdn != "" {
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("--hostname and --fqdn exclude each other"),
			Hint: "A server that is told the full name is not told the short one (RFC 4702 3.1)."}
	}
	for _, u := range f.userClass {
		if u == "" || len(u) > 255 {
			return wrongValue("user-class", u, "a text of 1 to 255 octets")
		}
	}
	if len(f.vendorClass) > 255 {
		return wrongValue("vendor-class", shorten(f.vendorClass, 40), "a text of at most 255 octets")
	}
	return nil
}

// hostName reports whether s is a host name, or with dots a domain name (RFC 1123 2.1).
func hostName(s string, dots bool) bool {
	labels := []string{s}
	if dots {
		labels = strings.Split(strings.TrimSuffix(s, "."), ".")
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			return false
		}
	}
	return len(s) <= 253
}

// identity reads --client-id and --request.
func (f *clientFlags) identity(c *client.Config) error {
	switch f.clientID {
	case "mac":
		c.Identifier = client.IdentifierMAC
	case "none":
		c.Identifier = client.IdentifierNone
	case "duid":
		c.Identifier = client.IdentifierFixed
	default:
		id, err := hex.DecodeString(strings.NewReplacer(":", "", "-", "").Replace(strings.TrimPrefix(f.clientID, "0x")))
		if err != nil || len(id) < 2 || len(id) > 255 {
			return wrongValue("client-id", f.clientID, "mac, duid, none, or 2 to 255 octets in hexadecimal such as 01:02:00:5e:10:00:01")
		}
		c.Identifier, c.ClientID = client.IdentifierFixed, id
	}
	if f.request == "" {
		return nil
	}
	a, err := dhcp4.ParseAddr(f.request)
	if err != nil || !a.IsUnicastHost() {
		return wrongValue("request", f.request, "an address that a host can have, such as 192.0.2.77")
	}
	c.Request = a
	return nil
}

// times reads what has to do with time.
func (f *clientFlags) times(c *client.Config) error {
	if f.leaseTime != "" {
		s, ok := lifetimeArg(f.leaseTime)
		if !ok || s == 0 {
			return wrongValue("lease-time", f.leaseTime, "12h, 90m, 2d, seconds, or infinite")
		}
		c.Lifetime = s
	}
	switch f.detection {
	case "probe":
		c.Detection = client.DetectProbe
	case "announce":
		c.Detection = client.DetectAnnounce
	case "off":
		c.Detection = client.DetectOff
	default:
		return wrongValue("conflict-detection", f.detection, "probe, announce or off")
	}
	if d := f.probeInterval; d != 0 {
		if d < 10*time.Millisecond || d > 10*time.Second {
			return wrongValue("probe-interval", d.String(), "a time from 10ms to 10s")
		}
		c.Probe = probeTimes(d, f.fast)
	}
	if f.selectTimeout < 0 || f.selectTimeout > time.Minute {
		return wrongValue("select-timeout", f.selectTimeout.String(), "a time from 0s to 60s")
	}
	c.SelectTimeout = int64(f.selectTimeout)
	return nil
}

// probeTimes are the times of RFC 5227 in their proportions, with d for PROBE_MIN.
func probeTimes(d time.Duration, fast bool) client.ProbeTimes {
	p := client.RFC5227
	p.Min, p.Max, p.AnnounceWait, p.Wait = int64(d), int64(2*d), int64(2*d), int64(d)
	if fast {
		p.Wait = 0
	}
	return p
}

// lifetimeArg reads a lease time; the words are those of the configuration.
func lifetimeArg(text string) (seconds uint32, ok bool) {
	if text == "infinite" {
		return lease.Infinite, true
	}
	var d time.Duration
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		d = time.Duration(n) * time.Second
	} else if days, isDays := strings.CutSuffix(text, "d"); isDays {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, false
		}
		d = time.Duration(n) * 24 * time.Hour
	} else if d, err = time.ParseDuration(text); err != nil || d%time.Second != 0 {
		return 0, false
	}
	if d < 0 || d >= time.Duration(lease.Infinite)*time.Second {
		return 0, false
	}
	return uint32(d / time.Second), true
}

// servers reads --server-allow, --server-deny and --min-route-prefix.
func (f *clientFlags) servers(c *client.Config) error {
	for _, list := range []struct {
		flag string
		from []string
		to   *[]dhcp4.Prefix
	}{{"server-allow", f.allow, &c.Allow}, {"server-deny", f.deny, &c.Deny}} {
		for _, text := range list.from {
			if !strings.Contains(text, "/") {
				text += "/32"
			}
			p, err := dhcp4.ParsePrefix(text)
			if err != nil {
				return wrongValue(list.flag, strings.TrimSuffix(text, "/32"), "an address or a prefix, such as 192.0.2.1 or 192.0.2.0/24")
			}
			*list.to = append(*list.to, p.Masked())
		}
	}
	if f.minRoutePrefix < 0 || f.minRoutePrefix > 32 {
		return wrongValue("min-route-prefix", strconv.Itoa(f.minRoutePrefix), "a prefix length from 0 to 32")
	}
	return nil
}

// host makes of the flags what is told to the part that configures the host.
func (f *clientFlags) host(g *globals, ifname string) (o setup.Options, err error) {
	o = setup.Options{Metric: f.metric, Table: f.table, ResolvConf: f.resolvConf, SetHostName: f.setHostname,
		Hook: f.hook, LeaseFile: f.leaseFile, NoConfigure: f.noConfigure}
	if o.LeaseFile == "" {
		o.LeaseFile = g.clientLeases(ifname)
	}
	const most = 1 << 31
	switch {
	case f.metric < 0 || f.metric >= most:
		return o, wrongValue("metric", strconv.Itoa(f.metric), "a number from 0 to 2147483647")
	case f.table < 0 || f.table >= most:
		return o, wrongValue("table", strconv.Itoa(f.table), "the number of a routing table, or 0 for the main one")
	case f.hook != "" && (!filepath.IsAbs(f.hook) || filepath.Clean(f.hook) != f.hook):
		return o, wrongValue("hook", f.hook, "the absolute path of a program, such as /etc/lessor/client-hook")
	case f.noConfigure && (f.resolvConf != "" || f.setHostname):
		return o, &ExitError{Code: ExitUsage, Err: fmt.Errorf("--no-configure excludes --resolv-conf and --set-hostname"),
			Hint: "With --no-configure nothing on this host is changed."}
	}
	for _, p := range []*string{&o.ResolvConf, &o.LeaseFile} {
		if *p == "" {
			continue
		}
		if *p, err = filepath.Abs(*p); err != nil { // the part that writes may run elsewhere
			return o, err
		}
	}
	return o, nil
}

// interfaceName checks the name that was typed before the kernel is asked for it.
func interfaceName(name string) error {
	if name == "" || len(name) > 15 || name == "." || name == ".." || strings.ContainsAny(name, "/: \t\n") {
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("%q cannot be the name of an interface", name), Hint: interfacesHint()}
	}
	return nil
}

// interfaceNames are the interfaces of this machine that have other hosts behind them.
func interfaceNames() (names []string) {
	ifs, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range ifs {
		if i.Flags&net.FlagLoopback == 0 {
			names = append(names, i.Name)
		}
	}
	slices.Sort(names)
	return names
}

func interfacesHint() string {
	names := interfaceNames()
	if len(names) == 0 || len(names) > 20 {
		return "ip link lists the interfaces."
	}
	return "Interfaces here: " + strings.Join(names, ", ") + "."
}
