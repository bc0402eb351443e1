package sim

import (
	"fmt"
	"strings"

	"lessor/dhcp4"
	"lessor/internal/lease"
)

// configText is a configuration being written.
type configText struct {
	b       strings.Builder
	clients []ClientPlan
}

func (t *configText) line(format string, args ...any) { fmt.Fprintf(&t.b, format+"\n", args...) }

func (t *configText) life(indent, key string, s uint32) {
	switch s {
	case 0:
	case lease.Infinite:
		t.line("%s%s: infinite", indent, key)
	default:
		t.line("%s%s: %d", indent, key, s)
	}
}

// yaml is the text of the configuration; clients are those of the plan.
func (c *conf) yaml(clients []ClientPlan) string {
	t := &configText{clients: clients}
	var names []string
	for i := range c.direct {
		name := fmt.Sprintf("eth%d", i)
		if c.trusted {
			name = "{name: " + name + ", trusted: true}"
		}
		names = append(names, name)
	}
	t.line("interfaces: [%s]", strings.Join(names, ", "))
	t.life("", "valid-lifetime", c.valid)
	t.life("", "min-valid-lifetime", c.min)
	t.life("", "max-valid-lifetime", c.max)
	if c.grace > 0 {
		t.line("lease-grace: %d", c.grace)
	}
	t.line("decline-probation-period: %d\noffer-lifetime: %d\nconflict-check: %s", c.probation, c.offer, c.check)
	t.line("match-client-id: %t\nauthoritative: %t\nrapid-commit: %t", c.match, c.authoritative, c.rapid)
	if c.broadcastNak {
		t.line("nak-delivery: broadcast")
	}
	if len(c.relays) > 0 {
		var all []string
		for _, a := range c.relays {
			all = append(all, a.String())
		}
		t.line("relays: [%s]", strings.Join(all, ", "))
	}
	if c.classes {
		t.b.WriteString(classText)
		if c.drop {
			t.b.WriteString(dropText)
		}
	}
	c.networks(t)
	return t.b.String()
}

// networks writes the shared networks and the subnets.
func (c *conf) networks(t *configText) {
	shared, single := false, false
	for seg := range c.subnets {
		if s := &c.subnets[seg]; s.second(seg) {
			if !shared {
				t.line("shared-networks:")
			}
			shared = true
			t.line("  - name: net%d", seg)
			if s.relay != 0 {
				t.line("    relay: %s", s.relay)
			}
			t.line("    subnets:")
			s.yaml(t, "      ", addrIn(seg, 0), c.routerOf(seg))
			s.yaml(t, "      ", addrIn(secondOf+seg, 0), 0)
		} else {
			single = true
		}
	}
	if !single {
		return
	}
	t.line("subnets:")
	for seg := range c.subnets {
		if s := &c.subnets[seg]; !s.second(seg) {
			s.yaml(t, "  ", addrIn(seg, 0), c.routerOf(seg))
		}
	}
}

// second reports whether the network of segment seg has a second subnet.
func (s *subnetConf) second(seg int) bool {
	for _, p := range s.pools {
		if p.First&^0xff == addrIn(secondOf+seg, 0) {
			return true
		}
	}
	for _, r := range s.reservations {
		if r.addr&^0xff == addrIn(secondOf+seg, 0) {
			return true
		}
	}
	return false
}

// yaml writes the part of s that lies in the /24 of prefix.
func (s *subnetConf) yaml(t *configText, indent string, prefix, router dhcp4.Addr) {
	t.line("%s- subnet: %s/24", indent, prefix)
	if s.relay != 0 && indent == "  " {
		t.line("    relay: %s", s.relay)
	}
	in := indent + "  "
	head := in + "pools:"
	for _, p := range s.pools {
		if p.First&^0xff != prefix {
			continue
		}
		if head != "" {
			t.line("%s", head)
			head = ""
		}
		t.line("%s  - pool: %s", in, p.Range)
		if p.exclude != 0 {
			t.line("%s    exclude: [%s]", in, p.exclude)
		}
		if p.guard != "" {
			t.line("%s    client-classes: [%s]", in, p.guard)
		}
		t.life(in+"    ", "valid-lifetime", p.valid)
	}
	if router != 0 {
		t.line("%soptions: {routers: %s}", in, router)
	}
	head = in + "reservations:"
	for _, r := range s.reservations {
		if r.addr&^0xff != prefix {
			continue
		}
		if head != "" {
			t.line("%s", head)
			head = ""
		}
		t.reservation(in, &r)
	}
}

func (t *configText) reservation(in string, r *reservationConf) {
	t.line("%s  - ip-address: %s", in, r.addr)
	if r.hw {
		t.line("%s    hw-address: %q", in, colons(t.clients[r.client].MAC[:]))
	}
	if r.id {
		t.line("%s    client-id: %q", in, colons(t.clients[r.client].identifier()))
	}
	if r.circuit != "" {
		t.line("%s    circuit-id: %q", in, r.circuit)
	}
	if r.remote != "" {
		t.line("%s    remote-id: %q", in, "'"+r.remote+"'")
	}
	t.life(in+"    ", "valid-lifetime", r.valid)
}
