package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/lease"
	"lessor/internal/policy"
)

// printSummary says in a few lines what is served, with what. zero is how it was
// decided, nil when it comes from a file; state is where leases are kept, "" when
// that is not to be said; others is what other servers on the link answered.
func printSummary(w io.Writer, c *config.Config, zero *derived, src, state string, others []string) error {
	p := c.Policy()
	var b strings.Builder
	fmt.Fprintf(&b, "Lessor %s on %s\n", Version(), strings.Join(p.Interfaces, ", "))
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("configuration", "%s (%s)", src, c.Summary())
	const most = 8
	shown := 0
	if zero != nil {
		for _, said := range zero.said {
			name, text, _ := strings.Cut(said, " ")
			row(name, "%s", strings.TrimSpace(text))
		}
		for _, warning := range zero.warnings {
			row("warning", "%s", warning)
		}
	}
	for _, n := range p.Networks {
		for _, sn := range n.Subnets {
			if shown++; shown > most || zero != nil { // zero has said it
				continue
			}
			name := ""
			if sn.Name != sn.Prefix.String() {
				name = " (" + sn.Name + ")"
			}
			row("subnet", "%s%s: %s; leases of %s%s", sn.Prefix, name, poolText(sn), lifetimeText(sn.Valid), optionText(sn))
		}
	}
	if shown > most && zero == nil {
		row("", "and %d more subnets", shown-most)
	}
	switch state {
	case "":
	case "memory":
		row("leases", "in memory only (--memory): ALL LEASES ARE FORGOTTEN when this program ends")
	default:
		row("leases", "in %s", state)
	}
	if zero != nil {
		for _, o := range others {
			row("other server", "%s", o)
		}
		if !p.Authoritative {
			row("note", "--beside: Lessor is silent where another server may know better")
		}
		row("as a file", "lessor config init --interface %s", strings.Join(p.Interfaces, " --interface "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func poolText(sn *policy.Subnet) string {
	if len(sn.Pools) == 0 {
		return "no pool"
	}
	var parts []string
	for i, p := range sn.Pools {
		if i == 3 {
			parts = append(parts, fmt.Sprintf("and %d more pools", len(sn.Pools)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%s (%d addresses)", p.Range, p.Size()))
	}
	return strings.Join(parts, ", ")
}

func lifetimeText(s uint32) string {
	if s == lease.Infinite {
		return "no end"
	}
	return span(time.Duration(s) * time.Second)
}

// optionText names the options that nearly every client asks for.
func optionText(sn *policy.Subnet) string {
	var parts []string
	for _, o := range []struct {
		code dhcp4.Code
		name string
	}{{dhcp4.OptRouters, "router"}, {dhcp4.OptDomainNameServers, "DNS"}} {
		v, ok := sn.Options.Get(o.code)
		if !ok {
			parts = append(parts, "no "+o.name)
			continue
		}
		var addrs []string
		for ; len(v) >= 4; v = v[4:] {
			addrs = append(addrs, dhcp4.AddrFromBytes(v).String())
		}
		parts = append(parts, o.name+" "+strings.Join(addrs, " "))
	}
	return "; " + strings.Join(parts, "; ")
}
