package checker

import (
	"bytes"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
)

const optVirtualSubnet dhcp4.Code = 221 // RFC 6607

// linkName is the name of the interface that q came in by, "" where it does not show.
func (s *server) linkName(q *request) string {
	for i := range s.links {
		if l := &s.links[i]; l.ID == q.frame.LinkID || q.frame.LinkID == 0 && len(s.links) == 1 {
			return l.Name
		}
	}
	return ""
}

// believed is the relay information of q that configuration p lets s believe, or nil: of a
// relay agent that is known, or of a switch on a trusted interface.
func (s *server) believed(p *policy.Policy, q *request) []byte {
	switch {
	case q.brought == nil || len(q.brought) > 255:
		return nil
	case q.giaddr != 0 && p.KnownRelay(q.giaddr), q.giaddr == 0 && p.Trusts(s.linkName(q)):
		return q.brought
	}
	return nil
}

// scope finds the network of q: by the link selection of believed relay information, by the
// subnet selection of the client where that is believed, by giaddr, by ciaddr of a unicast
// renewal, by the interface it came in by. It is nil where there is none or the trace does
// not tell.
func (s *server) scope(q *request) *policy.Network {
	p := s.pol
	if p == nil || q.virtual || q.giaddr != 0 && !s.isAgent(p, q.giaddr) {
		return nil
	}
	agent := s.believed(p, q)
	if _, virtual := policy.AgentOption(agent, dhcp4.AgentVirtualSubnetSelect); virtual {
		return nil
	}
	if v, ok := policy.AgentOption(agent, dhcp4.AgentLinkSelection); ok && len(v) == 4 {
		return networkAt(p, dhcp4.AddrFromBytes(v))
	}
	if q.subnet != 0 && (q.giaddr != 0 || p.SubnetSelection) {
		return networkAt(p, q.subnet)
	}
	if q.giaddr != 0 {
		return p.NetworkOfRelay(q.giaddr)
	}
	if q.ucast && q.ciaddr != 0 {
		if n := networkAt(p, q.ciaddr); n != nil {
			return n
		}
	}
	return s.networkOfLink(q.frame)
}

func networkAt(p *policy.Policy, a dhcp4.Addr) *policy.Network {
	if sn := p.SubnetOf(a); sn != nil {
		return sn.Network
	}
	return nil
}

// isAgent reports whether giaddr can be that of a relay agent that configuration p knows.
func (s *server) isAgent(p *policy.Policy, giaddr dhcp4.Addr) bool {
	if !giaddr.IsUnicastHost() || s.isOwn(giaddr) || !p.KnownRelay(giaddr) {
		return false
	}
	sn := p.SubnetOf(giaddr)
	if sn == nil || sn.Prefix.Bits > 30 {
		return true
	}
	r := sn.Prefix.Range()
	return giaddr != r.First && giaddr != r.Last
}

// mayAnswer reports whether q may be answered at all, as far as its way says: nobody answers
// an agent that neither configuration of the time knows.
func (s *server) mayAnswer(q *request) bool {
	if q.giaddr == 0 || s.pol == nil || s.linksT >= q.at.T {
		return true
	}
	return s.pol.KnownRelay(q.giaddr) || q.pol == nil || q.pol.KnownRelay(q.giaddr)
}

// identify finds what q's client is known by besides its own keys: the relay information of
// the packet, or that of its binding when it renews past the agent.
func (s *server) identify(q *request) {
	if s.pol == nil {
		return
	}
	if q.who.agent = s.believed(s.pol, q); q.who.agent == nil {
		if all := s.remembered(q); len(all) > 0 {
			q.who.agent = all[0].agent
		}
	}
	if v, ok := policy.AgentOption(q.who.agent, dhcp4.AgentServerIDOverride); ok && len(v) == 4 {
		q.override = dhcp4.AddrFromBytes(v)
	}
	if s.pol.FlexID != nil {
		q.who.facts = s.factsOf(q)
	}
}

// cameByUnicast reports whether relay information says that the client sent to the agent
// alone (RFC 5010).
func cameByUnicast(agent []byte) bool {
	v, ok := policy.AgentOption(agent, dhcp4.AgentRelayFlags)
	return ok && len(v) == 1 && v[0]&0x80 != 0
}

// agentInfo is which agent passed a client's messages on, and what it said of it.
type agentInfo struct {
	giaddr dhcp4.Addr
	agent  []byte
}

// remembered is the relay information that the binding of q's client can have had when q was
// decided on, the newest first.
func (s *server) remembered(q *request) (all []agentInfo) {
	if q.giaddr != 0 || q.ciaddr == 0 || !q.ucast {
		return nil
	}
	r := s.records[q.ciaddr]
	if r == nil {
		return nil
	}
	for _, b := range [3]*lease.Binding{r.now, r.prev, r.before} {
		if b == nil || !carries(s.pol, b, q.who) || b.GIAddr != 0 && !q.routed {
			continue
		}
		if !slices.ContainsFunc(all, func(a agentInfo) bool { return a.giaddr == b.GIAddr && bytes.Equal(a.agent, b.Agent) }) {
			all = append(all, agentInfo{b.GIAddr, b.Agent})
		}
	}
	return all
}

// factsOf is what q says, for tests of classes.
func (s *server) factsOf(q *request) *policy.Facts {
	v := new(dhcp4.View)
	if v.Parse(q.frame.Payload) != nil {
		return &policy.Facts{}
	}
	id, _ := v.Get(dhcp4.OptDHCPClientIdentifier, nil)
	return &policy.Facts{View: v, Type: q.kind, HType: q.who.htype, HW: q.who.hw, ClientID: id, CIAddr: q.ciaddr, GIAddr: q.giaddr,
		Interface: s.linkName(q)}
}

// classBook is which classes a client can have been in under a configuration.
type classBook struct {
	pol    *policy.Policy
	net    *policy.Network
	recT   int64 // the record whose relay information counts is as old as that
	known  bool
	result []policy.ClassSet
}

// classesOf is which classes of configuration p the client of q was in, in network n. It is
// more than one set where relay information of its binding counts that has changed.
func (s *server) classesOf(p *policy.Policy, n *policy.Network, q *request) []policy.ClassSet {
	recT := int64(0)
	if r := s.records[q.ciaddr]; r != nil && q.ciaddr != 0 {
		recT = r.t
	}
	if b := &q.classes; b.known && b.pol == p && b.net == n && b.recT == recT {
		return b.result
	}
	agents := []agentInfo{{q.giaddr, s.believed(p, q)}}
	if old := s.remembered(q); agents[0].agent == nil && len(old) > 0 {
		agents = old
		if q.who.agent != nil && !slices.ContainsFunc(old, func(a agentInfo) bool { return bytes.Equal(a.agent, q.who.agent) }) {
			agents = append(agents, agentInfo{old[0].giaddr, q.who.agent})
		}
	}
	f := s.factsOf(q)
	q.classes = classBook{pol: p, net: n, recT: recT, known: true}
	for _, a := range agents {
		q.classes.result = append(q.classes.result, classify(p, n, f, q.who, a))
	}
	return q.classes.result
}

// classify tests the classes in their order for client who behind an agent.
func classify(p *policy.Policy, n *policy.Network, f *policy.Facts, who ident, by agentInfo) (in policy.ClassSet) {
	who.agent = by.agent
	g := *f
	g.Agent, g.GIAddr, g.Network, g.Classes = by.agent, by.giaddr, n, policy.ClassSet{}
	if r := reservationOf(p, n, who); r != nil {
		g.Known = true
		g.Classes.Add(policy.ClassKnown)
		g.Classes.Union(&r.Classes)
	} else {
		g.Classes.Add(policy.ClassUnknown)
	}
	for i := policy.FirstClass; i < len(p.Classes); i++ {
		if t := p.Classes[i].Test; t != nil && g.View != nil {
			if is, err := t(&g); is && err == nil {
				g.Classes.Add(i)
			}
		}
	}
	return g.Classes
}

// decide counts for how many of the sets a test holds.
func decide(sets []policy.ClassSet, holds func(*policy.ClassSet) bool, never verdict) verdict {
	n := 0
	for i := range sets {
		if holds(&sets[i]) {
			n++
		}
	}
	switch n {
	case len(sets):
		return allowed
	case 0:
		return never
	}
	return inDoubt
}

// admits says whether q's client may have addresses of a pool: it is in a class of each of the
// pool's guards.
func (s *server) admits(p *policy.Policy, n *policy.Network, q *request, pool *policy.Pool) verdict {
	if len(pool.Guards) == 0 {
		return allowed
	}
	return decide(s.classesOf(p, n, q), func(in *policy.ClassSet) bool {
		return !slices.ContainsFunc(pool.Guards, func(g policy.ClassSet) bool { return !g.Meets(in) })
	}, guarded)
}

// dropped says whether q's client gets an answer.
func (s *server) dropped(p *policy.Policy, n *policy.Network, q *request) verdict {
	if p.Drop == 0 {
		return allowed
	}
	return decide(s.classesOf(p, n, q), func(in *policy.ClassSet) bool { return !in.Has(p.Drop) }, refused)
}
