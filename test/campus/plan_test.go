package campus

import (
	"fmt"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/wire"
	"lessor/test/e2e"
)

// link is one Ethernet of the campus: a switch, one interface of a router, whose relay
// agent serves it, and clients. Several subnets on it are a shared network.
type link struct {
	name    string // of the router's interface too; its first letter is the router
	subnets []byte // 198.18.N.0/24; the router has .1 in each
	clients int
}

// links are 20 subnets, of which two shared networks have four each, and 300 clients.
var links = []link{
	{"a0", []byte{0, 1, 2, 3}, 60},
	{"a1", []byte{11}, 20},
	{"a2", []byte{12}, 19},
	{"a3", []byte{13}, 20},
	{"a4", []byte{14}, 1},
	{"b1", []byte{21}, 20},
	{"b2", []byte{22}, 20},
	{"b3", []byte{23}, 19},
	{"b4", []byte{24}, 1},
	{"c0", []byte{40, 41, 42, 43}, 60},
	{"c1", []byte{51}, 20},
	{"c2", []byte{52}, 19},
	{"c3", []byte{53}, 20},
	{"c4", []byte{54}, 1},
}

// othersOn are the links that have one client of each other kind.
var othersOn = map[string]bool{"a0": true, "a1": true, "b1": true, "c0": true, "c1": true}

func (l *link) router() string { return l.name[:1] }

// at is an address of a subnet.
func at(subnet, host byte) dhcp4.Addr { return dhcp4.AddrFrom4([4]byte{198, 18, subnet, host}) }

// client is one machine, and what it must be told.
type client struct {
	n     int // from 1; its Ethernet address is e2e.TestMAC(n)
	link  *link
	kind  netlab.Kind
	flags []string // of lessor client

	within  []dhcp4.Range         // where its address must lie
	life    uint32                // of its lease, in seconds
	options map[dhcp4.Code]string // octets; what it does not ask for need not come

	renewals int // that are waited for

	host *netlab.Host
	run  *netlab.Client
}

func (c *client) name() string  { return fmt.Sprintf("%s-%d", c.link.name, c.n) }
func (c *client) mac() wire.MAC { return e2e.TestMAC(c.n) }

// plan lists the clients. What is asked of each follows from testdata/campus.yaml,
// and is said here a second time in other words.
func plan() (cs []*client) {
	for i := range links {
		l := &links[i]
		for k := range l.clients {
			c := &client{n: len(cs) + 1, link: l, kind: netlab.Lessor, life: 40, renewals: 1, options: map[dhcp4.Code]string{
				dhcp4.OptDomainName: "campus.example", dhcp4.OptDomainNameServers: octets(198, 19, 0, 53)}}
			if others := k < len(netlab.Kinds) && othersOn[l.name]; others {
				c.kind = netlab.Kinds[k]
			}
			c.in(10, 99, l.subnets...)
			parts[l.name](c, k)
			if c.kind == netlab.Udhcpc {
				c.life = 48
			}
			cs = append(cs, c)
		}
	}
	return cs
}

// parts say what is special about the k-th client of a link.
var parts = map[string]func(c *client, k int){
	"a0": dorm,
	"a1": func(c *client, _ int) {
		c.in(100, 199, 11)
		c.told(dhcp4.OptNTPServers, octets(198, 19, 0, 123))
	},
	"a2": ordinary,
	"a3": func(c *client, _ int) { c.told(dhcp4.OptDomainName, "pool.example") },
	"a4": func(c *client, _ int) {
		c.in(200, 200, 14)
		c.life, c.renewals = 16, 2
		c.told(dhcp4.OptHostName, "door")
	},
	"b1": func(c *client, _ int) {
		c.in(100, 199, 21)
		c.told(dhcp4.OptDomainName, "lab.example")
	},
	"b2": ordinary,
	"b3": func(c *client, k int) {
		if c.in(50, 99, 23); k < 3 {
			c.in(10, 49, 23)
			c.flags = append(c.flags, "--request-option", "lpr-servers")
			c.told(dhcp4.OptLPRServers, octets(198, 19, 0, 9))
		}
	},
	"b4": func(c *client, _ int) {
		c.in(200, 200, 24)
		c.life, c.renewals = 16, 2
		c.flags = append(c.flags, "--hostname", "beamer")
		c.told(dhcp4.OptDomainName, "beamers.example")
	},
	"c0": hall,
	"c1": func(c *client, _ int) { c.life = 44 },
	"c2": ordinary,
	"c3": ordinary,
	"c4": func(c *client, _ int) { c.in(200, 200, 54) },
}

func ordinary(*client, int) {}

func dorm(c *client, k int) {
	c.in(10, 34, 0, 1)
	switch {
	case c.kind != netlab.Lessor:
	case k < 14:
		c.phone(3)
	case k < 17:
		c.in(byte(101+k), byte(101+k), 2)
		c.told(dhcp4.OptHostName, fmt.Sprintf("dorm-%d", k+1))
	case k < 19:
		c.in(byte(101+k), byte(101+k), 2)
		c.told(dhcp4.OptNTPServers, octets(198, 19, 0, 124))
	case k < 21:
		c.in(byte(1+k), byte(1+k), 1)
		c.flags = append(c.flags, "--client-id", fmt.Sprintf("00646f726d%02x", k-18))
	}
}

func hall(c *client, k int) {
	c.in(10, 34, 40, 41)
	c.told(dhcp4.OptDomainName, "hall.example")
	switch {
	case c.kind != netlab.Lessor:
	case k < 14:
		c.phone(43)
	case k < 24:
		c.in(10, 19, 42)
		c.flags = append(c.flags, "--user-class", "guest")
		c.told(dhcp4.OptDomainName, "guests.example")
		c.told(dhcp4.OptDomainNameServers, octets(198, 19, 0, 54))
	}
}

func (c *client) phone(subnet byte) {
	c.in(10, 19, subnet)
	c.flags = append(c.flags, "--vendor-class", "campus-phone-7", "--request-option", "tftp-server-name")
	c.told(dhcp4.OptTFTPServerName, "phones.campus.example")
}

// in sets where the address of the client must lie.
func (c *client) in(first, last byte, subnets ...byte) {
	c.within = nil
	for _, n := range subnets {
		c.within = append(c.within, dhcp4.Range{First: at(n, first), Last: at(n, last)})
	}
}

func (c *client) told(code dhcp4.Code, value string) { c.options[code] = value }

func octets(b ...byte) string { return string(b) }

// expected are the options for the client when it has the address a.
func (c *client) expected(a dhcp4.Addr) map[dhcp4.Code]string {
	all := map[dhcp4.Code]string{
		dhcp4.OptSubnetMask: octets(255, 255, 255, 0),
		dhcp4.OptRouters:    string(at(byte(a>>8), 1).Append(nil)),
	}
	for code, v := range c.options {
		all[code] = v
	}
	return all
}
