package link

import (
	"fmt"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/spell"
	"lessor/internal/wire"
)

// Interface is what is known of one interface of the host, ready or not.
type Interface struct {
	Index    wire.LinkID
	Name     string
	MAC      wire.MAC
	MTU      int
	Ethernet bool // hardware type 1 with addresses of 6 octets
	Loopback bool
	Up       bool           // administratively up
	Carrier  bool           // running, with operational state up or unknown
	Addrs    []dhcp4.Prefix // IPv4, the host's own addresses, not masked

	// CarrierChanges counts how often the carrier came and went. It tells of a loss that
	// was too short to be seen.
	CarrierChanges uint32
}

// Ready reports whether the interface can be served now.
func (i *Interface) Ready() bool {
	return i.Refusal() == "" && i.Up && i.Carrier && len(i.Addrs) > 0
}

// Refusal says why the interface can never be served, "" if it can.
func (i *Interface) Refusal() string {
	switch {
	case i.Loopback:
		return "it is a loopback interface, and DHCP needs Ethernet"
	case !i.Ethernet:
		return "it is not an Ethernet interface (a tunnel or another kind of link), and DHCP here needs Ethernet"
	}
	return ""
}

// Waiting says in words what the interface lacks to be served, and what helps;
// "" when it is ready.
func (i *Interface) Waiting() string {
	switch {
	case i.Refusal() != "":
		return i.Refusal()
	case !i.Up:
		return "it is down: ip link set " + i.Name + " up"
	case !i.Carrier:
		return "it has no carrier: is the cable plugged in and the other side up?"
	case len(i.Addrs) == 0:
		return fmt.Sprintf("it has no IPv4 address: ip address add ADDRESS/LENGTH dev %s", i.Name)
	}
	return ""
}

// link is the interface as the rest of the program knows it.
func (i *Interface) link() wire.Link {
	return wire.Link{ID: i.Index, Name: i.Name, MAC: i.MAC, MTU: i.MTU, Addrs: slices.Clone(i.Addrs)}
}

// Tracker follows configured names over the life of their interfaces: it turns what
// the host has into what is ready, and remembers which interface a name belongs to.
// It is the part of Watch that the kernel and memnet share.
type Tracker struct {
	names   []*tracked
	ready   []wire.Link
	missing []Missing
	started bool
}

// tracked is one configured name and the interface that has it.
type tracked struct {
	name  string
	index wire.LinkID // 0: none
	last  string      // the interface's name and MAC when last seen
	mac   wire.MAC
}

// NewTracker returns a tracker of names; a name given twice counts once.
func NewTracker(names []string) *Tracker {
	t := &Tracker{}
	for _, n := range names {
		if !slices.ContainsFunc(t.names, func(x *tracked) bool { return x.name == n }) {
			t.names = append(t.names, &tracked{name: n})
		}
	}
	return t
}

// Update takes all interfaces of the host as they are now. changed is true at the
// first call and whenever ready or missing differ from what was returned before.
// ready is in the order of the names.
func (t *Tracker) Update(ifs []Interface) (ready []wire.Link, missing []Missing, changed bool) {
	for _, n := range t.names {
		i := n.find(ifs)
		if i == nil {
			n.index = 0
			missing = append(missing, Missing{Name: n.name, DidYouMean: nearest(n.name, ifs)})
			continue
		}
		n.index, n.last, n.mac = i.Index, i.Name, i.MAC
		if slices.ContainsFunc(ready, func(l wire.Link) bool { return l.ID == i.Index }) {
			continue // two names, one interface: it was renamed from one to the other
		}
		if why := i.Refusal(); why != "" {
			missing = append(missing, Missing{Name: n.name, Reason: why})
		} else if i.Ready() {
			ready = append(ready, i.link())
		}
	}
	return t.set(ready, missing)
}

// Lost tells the tracker that the interface went away or down, perhaps to come back
// before the next Update. When it was ready, changed is true and ready no longer
// holds it.
func (t *Tracker) Lost(index wire.LinkID, gone bool) (ready []wire.Link, missing []Missing, changed bool) {
	if gone {
		for _, n := range t.names {
			if n.index == index {
				n.index = 0
			}
		}
	}
	for _, l := range t.ready {
		if l.ID != index {
			ready = append(ready, l)
		}
	}
	return t.set(ready, t.missing)
}

// set remembers what was reported and tells whether it is news.
func (t *Tracker) set(ready []wire.Link, missing []Missing) ([]wire.Link, []Missing, bool) {
	if t.started && slices.EqualFunc(ready, t.ready, sameLink) && slices.Equal(missing, t.missing) {
		return t.ready, t.missing, false
	}
	t.started, t.ready, t.missing = true, ready, missing
	return ready, missing, true
}

// find is the interface that n stands for: the one that has the name now, else the
// one that had it, if that still lives under another name. An index whose name and
// hardware address both differ from what they were is another interface.
func (n *tracked) find(ifs []Interface) *Interface {
	var old *Interface
	for i := range ifs {
		if ifs[i].Name == n.name {
			return &ifs[i]
		}
		if ifs[i].Index == n.index && (ifs[i].Name == n.last || ifs[i].MAC == n.mac) {
			old = &ifs[i]
		}
	}
	return old
}

func sameLink(a, b wire.Link) bool {
	return a.ID == b.ID && a.Name == b.Name && a.MAC == b.MAC && a.MTU == b.MTU && slices.Equal(a.Addrs, b.Addrs)
}

// nearest is the name of the interface closest to name, "" when none is within two
// edits. Loopback is never meant.
func nearest(name string, ifs []Interface) string {
	best, least := "", 3
	for i := range ifs {
		c := ifs[i].Name
		if ifs[i].Loopback {
			continue
		}
		if d := spell.Distance(name, c); d < least && d < len(name) || d == least && best != "" && c < best {
			best, least = c, d
		}
	}
	return best
}
