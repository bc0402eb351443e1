package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// oldDNS is what a program was told of our DNS servers.
type oldDNS struct {
	By      string   // resolved or resolvconf
	Program string   // to be asked to forget them
	Servers []string `json:",omitempty"` // resolved: what the interface had before
	Domains []string `json:",omitempty"`
}

// Who answers for names on this host, when no file is named.
const (
	byResolved   = "resolved"
	byResolvconf = "resolvconf"
)

// resolvedSocket is where systemd-resolved listens while it runs; resolvedLinks holds a
// file for each interface whose servers it was told.
const (
	resolvedSocket = "/run/systemd/resolve/io.systemd.Resolve"
	resolvedLinks  = "/run/systemd/resolve/netif"
)

// Where the programs are. They are asked by execve with fixed arguments: the bus would
// need a library of its own for three calls, and there is no other way to resolvconf.
var (
	resolvectlPaths = []string{"/usr/bin/resolvectl", "/bin/resolvectl"}
	resolvconfPaths = []string{"/usr/sbin/resolvconf", "/usr/bin/resolvconf", "/sbin/resolvconf", "/bin/resolvconf", "/usr/local/sbin/resolvconf"}
)

// answerer finds who answers for names: systemd-resolved if it runs, else resolvconf.
func answerer() (by, program string) {
	if c, err := net.DialTimeout("unix", resolvedSocket, time.Second); err == nil {
		c.Close()
		if p := firstProgram(resolvectlPaths); p != "" {
			return byResolved, p
		}
	}
	p := firstProgram(resolvconfPaths)
	if p == "" || filepath.Base(p) == "resolvectl" { // one of its other names, of no use while resolved does not run
		return "", ""
	}
	return byResolvconf, p
}

// firstProgram is the real path of the first file of paths that is there; "" for none.
func firstProgram(paths []string) string {
	for _, p := range paths {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			return real
		}
	}
	return ""
}

// applyDNS tells the host c's DNS servers.
func (h *Host) applyDNS(c *Config) error {
	if len(c.DNS) == 0 {
		return h.clearDNS()
	}
	if h.o.ResolvConf != "" {
		return h.applyFile(h.o.ResolvConf, resolvConf(c, fileMark+h.name+
			": the file as it was before comes back when the client ends, unless somebody changes this one."))
	}
	by, program := answerer()
	if old := h.done.DNS; old != nil && (old.By != by || old.Program != program) {
		if err := h.clearDNS(); err != nil {
			return err
		}
	}
	switch by {
	case byResolved:
		if h.done.DNS == nil {
			h.done.DNS = h.resolvedBefore(program)
			h.saveUndo()
		}
		h.dns.do(by, h.tellResolved(program, texts(c.DNS), domains(c))...)
	case byResolvconf:
		if h.done.DNS == nil {
			h.done.DNS = &oldDNS{By: by, Program: program}
			h.saveUndo()
		}
		h.dns.do(by, call{program: program, args: []string{"-a", h.name + ".dhcp"}, stdin: resolvConf(c, "# lessor client"),
			env: []string{"IF_METRIC=" + strconv.Itoa(h.done.Addr.Metric)}})
	default:
		return fmt.Errorf("the DNS servers of the lease (%s) are not used: neither systemd-resolved nor resolvconf is here; "+
			"name the file to be replaced, for example --resolv-conf /etc/resolv.conf", strings.Join(texts(c.DNS), ", "))
	}
	return nil
}

// clearDNS makes the host forget our DNS servers.
func (h *Host) clearDNS() error {
	if old := h.done.DNS; old != nil {
		switch old.By {
		case byResolved:
			h.dns.do(old.By, h.untellResolved(old)...)
		case byResolvconf:
			h.dns.do(old.By, call{program: old.Program, args: []string{"-d", h.name + ".dhcp"}})
		}
		h.done.DNS = nil
		h.saveUndo()
	}
	return h.clearFile()
}

func (h *Host) tellResolved(program string, servers, domains []string) []call {
	if len(domains) == 0 {
		domains = []string{""} // none
	}
	return []call{
		{program: program, args: append([]string{"dns", h.name}, servers...)},
		{program: program, args: append([]string{"domain", h.name}, domains...)},
	}
}

// untellResolved gives the interface the servers that it had before, none in most cases.
func (h *Host) untellResolved(old *oldDNS) []call {
	calls := []call{{program: old.Program, args: []string{"revert", h.name}}}
	if len(old.Servers)+len(old.Domains) > 0 {
		calls = append(calls, h.tellResolved(old.Program, old.Servers, old.Domains)...)
	}
	return calls
}

// resolvedBefore asks what systemd-resolved was told of the interface by others.
func (h *Host) resolvedBefore(program string) *oldDNS {
	old := &oldDNS{By: byResolved, Program: program}
	// Who may not look there asks.
	if _, err := os.Stat(filepath.Join(resolvedLinks, strconv.Itoa(h.last))); errors.Is(err, fs.ErrNotExist) {
		return old // nothing
	}
	ask := func(what string) []string {
		out, err := (&call{program: program, args: []string{what, h.name}}).run(2 * time.Second)
		if err != nil {
			h.warn(err.Error())
		}
		_, list, _ := strings.Cut(out, "):") // Link 2 (eth0): 192.0.2.53
		return strings.Fields(list)
	}
	old.Servers, old.Domains = ask("dns"), ask("domain")
	return old
}

func texts[T fmt.Stringer](list []T) (s []string) {
	for _, a := range list {
		s = append(s, a.String())
	}
	return s
}

// domains are the ones to search in.
func domains(c *Config) []string {
	if len(c.Search) == 0 && c.Domain != "" {
		return []string{c.Domain}
	}
	return c.Search
}

// resolvConf is c as resolv.conf(5) has it, below a comment.
func resolvConf(c *Config, comment string) []byte {
	b := append([]byte(comment), '\n')
	if d := domains(c); len(d) > 0 {
		b = fmt.Appendf(b, "search %s\n", strings.Join(d, " "))
	}
	for _, a := range c.DNS {
		b = fmt.Appendf(b, "nameserver %s\n", a)
	}
	return b
}
