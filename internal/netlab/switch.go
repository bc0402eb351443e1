package netlab

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Switch is an Ethernet switch: a bridge in a namespace of its own, so that it sees
// every frame once, on the port where it comes in, and can drop it there.
type Switch struct {
	lab  *Lab
	host *Host
	br   int // index of the bridge itself

	mu    sync.Mutex
	ports map[int]string      // by interface index: the host behind it
	names map[string][]string // host name: its ports' interface names
	nport int
}

// Switch makes a switch without ports.
func (l *Lab) Switch(name string) (*Switch, error) {
	h, err := l.Host(name)
	if err != nil {
		return nil, err
	}
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	if err := h.nl.LinkAdd(br); err != nil {
		return nil, fmt.Errorf("make a bridge: %w", err)
	}
	if err := h.SetUp("br0"); err != nil {
		return nil, err
	}
	return &Switch{lab: l, host: h, br: h.Index("br0"), ports: map[int]string{}, names: map[string][]string{}}, nil
}

// Host is the machine that the switch is made of.
func (s *Switch) Host() *Host { return s.host }

// Join connects a new interface of h to the switch, sets it up and gives it the
// addresses, in CIDR notation.
func (s *Switch) Join(h *Host, ifname string, cidrs ...string) error {
	s.mu.Lock()
	s.nport++
	port := fmt.Sprintf("p%d", s.nport)
	s.mu.Unlock()
	if err := s.lab.Wire(s.host, port, h, ifname); err != nil {
		return err
	}
	br, err := s.host.nl.LinkByName("br0")
	if err != nil {
		return err
	}
	err = s.host.link(port, "join", func(l netlink.Link) error { return s.host.nl.LinkSetMaster(l, br) })
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.ports[s.host.Index(port)] = h.Name
	s.names[h.Name] = append(s.names[h.Name], port)
	s.mu.Unlock()
	for _, c := range cidrs {
		if err := h.AddAddr(ifname, c); err != nil {
			return err
		}
	}
	return nil
}

// Unplug takes the carrier from every interface of h on the switch; Plug gives it back.
func (s *Switch) Unplug(h *Host) error { return s.eachPort(h.Name, s.host.SetDown) }

// Plug undoes Unplug.
func (s *Switch) Plug(h *Host) error { return s.eachPort(h.Name, s.host.SetUp) }

func (s *Switch) eachPort(host string, f func(string) error) error {
	s.mu.Lock()
	ports := s.names[host]
	s.mu.Unlock()
	for _, p := range ports {
		if s.host.Index(p) == 0 {
			continue // its interface was deleted
		}
		if err := f(p); err != nil {
			return err
		}
	}
	return nil
}

// Misdirect lets the switch believe that to is behind the port of other: frames for
// to alone get lost there, broadcasts still reach it. With other nil it believes what
// it learns, as before. It needs no program.
func (s *Switch) Misdirect(to *Host, ifname string, other *Host) error {
	s.mu.Lock()
	names := s.names[to.Name]
	if other != nil {
		names = s.names[other.Name]
	}
	s.mu.Unlock()
	mac := to.MAC(ifname)
	n := &netlink.Neigh{Family: unix.AF_BRIDGE, Flags: netlink.NTF_MASTER, HardwareAddr: mac[:], State: netlink.NUD_NOARP, LinkIndex: s.host.Index(names[0])}
	err := s.host.nl.NeighSet(n)
	if other == nil {
		err = s.host.nl.NeighDel(n) // the entry was moved to its own port first: only that can be deleted
	}
	if err != nil {
		return fmt.Errorf("change where the switch sees %s: %w", to.Name, err)
	}
	return nil
}

// Wire connects two hosts by a cable and sets both ends up.
func (l *Lab) Wire(a *Host, ifa string, b *Host, ifb string) error {
	mac := func() net.HardwareAddr { m, _ := net.ParseMAC(l.nextMAC()); return m }
	v := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: ifa, HardwareAddr: mac()},
		PeerName:         ifb,
		PeerHardwareAddr: mac(),
		PeerNamespace:    netlink.NsFd(b.ns),
	}
	if err := a.nl.LinkAdd(v); err != nil {
		return fmt.Errorf("wire %s of %s to %s of %s: %w", ifa, a.Name, ifb, b.Name, err)
	}
	if err := b.SetUp(ifb); err != nil {
		return err
	}
	return a.SetUp(ifa)
}

// Block is what a switch refuses to carry from a host.
type Block uint8

// Kinds of blocks.
const (
	BlockNothing Block = iota
	// BlockUnicast drops DHCP requests to one server, so that a client has to rebind.
	BlockUnicast
	// BlockDHCP drops every DHCP message of the host.
	BlockDHCP
)

// Block makes the switch drop what comes from h, in place of what it dropped of
// h's before. It works through nftables; a recorder still sees what is dropped.
func (s *Switch) Block(h *Host, b Block) error {
	s.mu.Lock()
	ports := strings.Join(s.names[h.Name], ", ")
	s.mu.Unlock()
	table := "block-" + strings.ReplaceAll(h.Name, ".", "-")
	var rules strings.Builder
	fmt.Fprintf(&rules, "table bridge %s\ndelete table bridge %s\n", table, table)
	match := map[Block]string{
		BlockUnicast: "ip daddr != 255.255.255.255 udp dport 67",
		BlockDHCP:    "udp dport {67, 68}",
	}[b]
	if match != "" {
		fmt.Fprintf(&rules, "table bridge %s { chain in { type filter hook prerouting priority 0; iifname { %s } %s drop; }; }\n", table, ports, match)
	}
	return s.host.Do(func() error {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(rules.String())
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("nft: %w: %s", err, out.String())
		}
		return nil
	})
}
