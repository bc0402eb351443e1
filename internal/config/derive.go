package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// Facts is what a configuration is derived from when there is no file, beside the
// link itself.
type Facts struct {
	Gateway    dhcp4.Addr   // of the default route on the link; 0: none
	Neighbours []dhcp4.Addr // hosts known on the link
	Forwarding bool         // this machine routes between its interfaces
	Resolvers  []dhcp4.Addr // the name servers of this machine
}

// Derived is a configuration made from facts, and how to say so.
type Derived struct {
	Config   *Config
	YAML     string   // the file that does the same, apart from the careful start
	Said     []string // what was decided and why, a line each
	Warnings []string // what is missing
}

const (
	derivedLifetime = "12h"
	// maxDerivedPool bounds the pool of a huge subnet. Nobody fills more without
	// thinking about it, and then there is a file.
	maxDerivedPool = 1 << 16
)

// ForLink decides what to serve on a link when nobody said: the link's own subnet,
// with the upper half of it as pool. It is a pure function. The configuration asks
// for a careful start, for other hosts may use addresses of the pool.
func ForLink(l wire.Link, f Facts) (*Derived, error) {
	own, err := ownPrefix(l)
	if err != nil {
		return nil, err
	}
	d := &Derived{}
	pre := own.Masked()
	pool, exclude, err := derivePool(l, own, f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.Name, err)
	}
	router := d.router(own, f)
	var dns []string
	for _, a := range f.Resolvers {
		if s := a.String(); a.IsUnicastHost() && !slices.Contains(dns, s) {
			dns = append(dns, s)
		}
	}
	d.YAML = deriveYAML(l.Name, own, pool, exclude, router, dns)
	cfg, problems := Parse("(made from "+l.Name+")", []byte(d.YAML))
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("%s: the configuration made from it is refused: %w", l.Name, err)
	}
	cfg.policy.Careful = true
	d.Config = cfg
	free := cfg.Addresses()
	d.Said = append(d.Said,
		fmt.Sprintf("subnet   %s, that of %s (%s)", pre, l.Name, own.Addr),
		fmt.Sprintf("pool     %s, %s: %s", rangeText(pool), count(int(free), "address"), poolReason(pre, pool, len(exclude) > 0)))
	d.Said = append(d.Said, d.sayRouter(own, router), sayDNS(dns), "leases   "+derivedLifetime)
	if len(dns) == 0 {
		d.Warnings = append(d.Warnings, "this machine has no name server that others can use, so clients get none")
	}
	return d, nil
}

// ownPrefix is the address of the link to serve with: the first that others can
// reach.
func ownPrefix(l wire.Link) (dhcp4.Prefix, error) {
	linkLocal := dhcp4.Prefix{Addr: 169<<24 | 254<<16, Bits: 16}
	for _, a := range l.Addrs {
		if a.Addr.IsUnicastHost() && !linkLocal.Contains(a.Addr) {
			if a.Bits > 31 || a.Bits < 1 {
				return a, fmt.Errorf("%s has the address %s, whose subnet has no room for clients: give it an address with a shorter prefix, or write a configuration file", l.Name, a)
			}
			return a, nil
		}
	}
	name := cmp.Or(l.Name, "the interface")
	return dhcp4.Prefix{}, fmt.Errorf("%s has no IPv4 address to serve with: give it one, such as \"ip address add 192.0.2.1/24 dev %s\"", name, name)
}

// derivePool chooses the upper half of the subnet, or all of it when nothing is
// free there.
func derivePool(l wire.Link, own dhcp4.Prefix, f Facts) (pool dhcp4.Range, exclude []dhcp4.Range, err error) {
	r := own.Range()
	hosts := r
	if own.Bits <= 30 {
		hosts = dhcp4.Range{First: r.First + 1, Last: r.Last - 1}
	}
	taken := slices.Concat([]dhcp4.Addr{f.Gateway}, f.Neighbours, f.Resolvers)
	for _, a := range l.Addrs {
		taken = append(taken, a.Addr)
	}
	slices.Sort(taken)
	taken = slices.Compact(taken)
	half := dhcp4.Addr(r.Size() / 2)
	for _, pool := range []dhcp4.Range{{First: max(hosts.First, r.First+half), Last: hosts.Last}, hosts} {
		if pool.Size() > maxDerivedPool {
			pool.Last = pool.First + maxDerivedPool - 1
		}
		out := runs(taken, pool)
		n := uint64(0)
		for _, e := range out {
			n += e.Size()
		}
		if n < pool.Size() {
			return trim(pool, out)
		}
	}
	return pool, nil, fmt.Errorf("no address of %s is free for clients: this machine, its gateway and known hosts use all of them", own.Masked())
}

// runs joins neighbouring addresses of the ascending list as within in.
func runs(as []dhcp4.Addr, in dhcp4.Range) (out []dhcp4.Range) {
	for _, a := range as {
		switch n := len(out); {
		case !in.Contains(a):
		case n > 0 && out[n-1].Last+1 == a:
			out[n-1].Last = a
		default:
			out = append(out, dhcp4.Range{First: a, Last: a})
		}
	}
	return out
}

// trim cuts excluded addresses off the ends of a pool, so that the file stays
// short. The pool has other addresses.
func trim(pool dhcp4.Range, exclude []dhcp4.Range) (dhcp4.Range, []dhcp4.Range, error) {
	if n := len(exclude); n > 0 && exclude[0].First == pool.First {
		pool.First = exclude[0].Last + 1
		exclude = exclude[1:]
	}
	if n := len(exclude); n > 0 && exclude[n-1].Last == pool.Last {
		pool.Last = exclude[n-1].First - 1
		exclude = exclude[:n-1]
	}
	return pool, exclude, nil
}

func (d *Derived) router(own dhcp4.Prefix, f Facts) dhcp4.Addr {
	switch {
	case f.Gateway != 0 && own.Contains(f.Gateway):
		return f.Gateway
	case f.Forwarding:
		return own.Addr
	}
	d.Warnings = append(d.Warnings, "this machine has no default gateway in the subnet and forwards nothing, so clients get no router and reach only this link")
	return 0
}

func (d *Derived) sayRouter(own dhcp4.Prefix, router dhcp4.Addr) string {
	switch router {
	case 0:
		return "router   none"
	case own.Addr:
		return fmt.Sprintf("router   %s, this machine: it forwards", router)
	default:
		return fmt.Sprintf("router   %s, the default gateway", router)
	}
}

func sayDNS(dns []string) string {
	if len(dns) == 0 {
		return "DNS      none"
	}
	return "DNS      " + strings.Join(dns, ", ") + ", as this machine uses"
}

func poolReason(pre dhcp4.Prefix, pool dhcp4.Range, without bool) string {
	reason := "the upper half"
	if pool.First < pre.Addr+dhcp4.Addr(pre.Range().Size()/2) {
		reason = "the whole subnet"
	} else if pool.Size() >= maxDerivedPool-2 && pre.Range().Size()/2 > maxDerivedPool {
		reason = "the beginning of the upper half"
	}
	if without {
		reason += " without addresses that are in use"
	}
	return reason
}

// deriveYAML writes the file.
func deriveYAML(name string, own dhcp4.Prefix, pool dhcp4.Range, exclude []dhcp4.Range, router dhcp4.Addr, dns []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Made from the interface %s with the address %s.\n", name, own)
	fmt.Fprintf(&b, "# \"lessor config reference\" prints every key there is.\n")
	fmt.Fprintf(&b, "interfaces: [%s]\nvalid-lifetime: %s\n", yamlWord(name), derivedLifetime)
	if len(dns) > 0 {
		fmt.Fprintf(&b, "options: {domain-name-servers: [%s]}\n", strings.Join(dns, ", "))
	}
	fmt.Fprintf(&b, "subnets:\n  - subnet: %s\n", own.Masked())
	if len(exclude) == 0 {
		fmt.Fprintf(&b, "    pools: [%s]\n", rangeText(pool))
	} else {
		words := make([]string, len(exclude))
		for i, e := range exclude {
			words[i] = rangeText(e)
		}
		fmt.Fprintf(&b, "    pools: [{pool: %s, exclude: [%s]}]\n", rangeText(pool), strings.Join(words, ", "))
	}
	if router != 0 {
		fmt.Fprintf(&b, "    options: {routers: %s}\n", router)
	}
	return b.String()
}

func rangeText(r dhcp4.Range) string {
	if r.First == r.Last {
		return r.First.String()
	}
	return r.String()
}

// yamlWord is s as a YAML value, quoted unless it is plainly a word.
func yamlWord(s string) string {
	for i, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '-' && c != '.' && c != '_') {
			return strconv.Quote(s)
		}
	}
	if strings.EqualFold(s, "null") {
		return strconv.Quote(s)
	}
	return s
}
