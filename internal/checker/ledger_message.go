package checker

import (
	"lessor/dhcp4"
	"lessor/internal/policy"
	"lessor/internal/trace"
)

// message is a DHCP message, read once. Its slices lie in the frame.
type message struct {
	view  dhcp4.View
	frame *trace.Frame

	op       uint8
	kind     dhcp4.MessageType // 0: none
	xid      uint32
	who      ident
	rawID    []byte // option 61 as it is
	ciaddr   dhcp4.Addr
	yiaddr   dhcp4.Addr
	giaddr   dhcp4.Addr
	wanted   dhcp4.Addr // option 50
	serverID dhcp4.Addr // option 54
	lifetime uint32     // option 51
	timed    bool       // option 51 is there
	agent    []byte     // option 82; nil: none
	subnet   dhcp4.Addr // option 118
	virtual  bool       // it asks for a virtual network (RFC 6607)
}

// read takes f's message apart; it reports false for what is none.
func (m *message) read(f *trace.Frame) bool {
	v := &m.view
	if v.Parse(f.Payload) != nil {
		return false
	}
	m.frame, m.op, m.kind, m.xid = f, v.Op(), v.MessageType(), v.XID()
	m.ciaddr, m.yiaddr, m.giaddr = v.CIAddr(), v.YIAddr(), v.GIAddr()
	m.rawID, _ = v.Get(dhcp4.OptDHCPClientIdentifier, nil)
	m.who = ident{htype: v.HType(), hw: v.CHAddr()}
	if allZero(m.who.hw) {
		m.who.hw = nil
	}
	if len(m.rawID) >= 2 {
		m.who.id = m.rawID
	}
	m.wanted, _ = v.Addr(dhcp4.OptDHCPRequestedAddress)
	m.serverID, _ = v.Addr(dhcp4.OptDHCPServerIdentifier)
	m.lifetime, m.timed = v.Uint32(dhcp4.OptDHCPLeaseTime)
	m.agent, _ = v.Get(dhcp4.OptDHCPAgentOptions, nil)
	m.subnet, _ = v.Addr(dhcp4.OptSubnetSelection)
	m.virtual = v.Has(optVirtualSubnet)
	return true
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// form is the state that a REQUEST speaks of (RFC 2131 4.3.2).
type form uint8

const (
	noForm     form = iota // no REQUEST, or one that names no address
	foreign                // names another server
	unsure                 // names a server that may have been us
	selecting              // names us
	initReboot             // names an address only
	renewing               // ciaddr, by unicast, to us or to a relay agent that goes for us
	rebinding              // ciaddr, by broadcast or through a relay agent
)

// fate is what became of a request.
type fate uint8

const (
	waits    fate = iota
	answered      // a reply was sent
	dropped       // an event said that it ended in silence
	lost          // it may have been answered by what a failed commit took back
)

// request is a message that a server received.
type request struct {
	at    mark
	m     int64 // CLOCK_BOOTTIME of the server then
	frame *trace.Frame

	kind     dhcp4.MessageType
	xid      uint32
	who      ident
	form     form
	target   dhcp4.Addr // the address that a REQUEST is about
	wanted   dhcp4.Addr
	ciaddr   dhcp4.Addr
	giaddr   dhcp4.Addr
	serverID dhcp4.Addr
	rapid    bool // it has option 80
	ucast    bool // sent to an address of the server
	routed   bool // a unicast frame that comes from another hardware address than chaddr

	brought  []byte     // option 82, believed or not
	subnet   dhcp4.Addr // option 118
	virtual  bool
	override dhcp4.Addr // the server identifier that its relay agent wants (RFC 5107)
	classes  classBook

	pol *policy.Policy  // in force when it came
	net *policy.Network // its scope then; nil: none, or not known

	fate fate
	next *request // of the same xid and chaddr, later

	owed  bool  // the holder asks for what it holds: an ACK is owed (I3)
	known bool  // the counters showed that the core has handled it (I3)
	kept  int64 // true time at which what was decided before it came, and then, was durable; 0: not yet
}

// key finds the requests that a reply can answer.
type key struct {
	xid   uint32
	htype uint8
	hlen  uint8
	hw    [16]byte
}

func keyOf(xid uint32, w ident) key {
	k := key{xid: xid, htype: w.htype, hlen: uint8(len(w.hw))}
	copy(k.hw[:], w.hw)
	return k
}

// Bounds of the requests that are remembered for each server.
const (
	maxRequests = 4096
	requestAge  = 300 * second
)

// received takes a request that was handed to s.
func (s *server) received(e *trace.Entry, m *message) *request {
	if !s.up {
		return nil
	}
	s.count(m.kind)
	if m.kind == 0 || len(m.who.hw) == 0 && m.who.id == nil {
		return nil
	}
	f := m.frame
	q := &request{at: s.here(e), m: s.l.m, frame: f, kind: m.kind, xid: m.xid, who: m.who, wanted: m.wanted,
		ciaddr: m.ciaddr, giaddr: m.giaddr, serverID: m.serverID, brought: m.agent, subnet: m.subnet, virtual: m.virtual, pol: s.pol}
	q.rapid = m.kind == dhcp4.Discover && m.view.Has(dhcp4.OptRapidCommit)
	q.ucast = f.Dst != dhcp4.Broadcast && !f.DstMAC.IsMulticast()
	q.routed = !f.DstMAC.IsMulticast() && string(f.SrcMAC[:]) != string(m.who.hw)
	q.net = s.scope(q)
	s.identify(q)
	if m.kind == dhcp4.Request {
		s.formOf(q)
	}
	s.remember(q)
	s.heard(q)
	return q
}

// formOf finds which of the four REQUESTs q is, and for which address.
func (s *server) formOf(q *request) {
	q.target = q.wanted
	if q.ciaddr != 0 {
		q.target = q.ciaddr
	}
	switch {
	case q.serverID != 0 && !s.named(q.serverID) && q.serverID != q.override:
		q.form = foreign
	case q.serverID != 0 && !s.isOurs(q.serverID) && q.serverID != q.override:
		q.form = unsure
	case q.target == 0:
	case q.ciaddr != 0 && (q.ucast && q.giaddr == 0 || q.giaddr != 0 && cameByUnicast(q.who.agent)):
		q.form = renewing
	case q.ciaddr != 0:
		q.form = rebinding
	case q.serverID != 0:
		q.form = selecting
	default:
		q.form = initReboot
	}
}

// networkOfLink is the network of the interface that f came in by, or nil.
func (s *server) networkOfLink(f *trace.Frame) *policy.Network {
	for i := range s.links {
		if l := &s.links[i]; l.ID == f.LinkID || f.LinkID == 0 && len(s.links) == 1 {
			return s.pol.NetworkOfLink(l)
		}
	}
	return nil
}

// remember keeps q until it is old, so that replies can be matched with it.
func (s *server) remember(q *request) {
	k := keyOf(q.xid, q.who)
	if first := s.pending[k]; first != nil {
		for first.next != nil {
			first = first.next
		}
		first.next = q
	} else {
		s.pending[k] = q
	}
	s.requests = append(s.requests, q)
	for len(s.requests)-s.oldest > maxRequests || s.requests[s.oldest].at.T < q.at.T-requestAge {
		s.forget(s.requests[s.oldest])
		s.requests[s.oldest] = nil
		s.oldest++
	}
	if s.oldest > maxRequests {
		s.requests = append(s.requests[:0], s.requests[s.oldest:]...)
		s.oldest = 0
	}
}

func (s *server) forget(q *request) {
	k := keyOf(q.xid, q.who)
	if s.pending[k] != q { // only the first of a chain is the oldest
		return
	}
	if q.next == nil {
		delete(s.pending, k)
	} else {
		s.pending[k] = q.next
	}
}

// candidates are the requests that reply m can answer, the oldest first: of its xid and
// chaddr, of a type that it answers, and not answered yet. The slice is valid until
// the next call.
func (s *server) candidates(m *message) []*request {
	s.found = s.found[:0]
	for _, f := range [2]fate{waits, lost} {
		for q := s.pending[keyOf(m.xid, m.who)]; q != nil; q = q.next {
			if q.fate == f && q.mayGet(m) {
				s.found = append(s.found, q)
			}
		}
		if len(s.found) > 0 {
			break
		}
	}
	// An ACK is of the address that was asked for, if anybody asked for it.
	if m.kind == dhcp4.Ack && m.yiaddr != 0 {
		n := 0
		for _, q := range s.found {
			if q.target == m.yiaddr || q.rapid {
				s.found[n] = q
				n++
			}
		}
		if n > 0 {
			s.found = s.found[:n]
		}
	}
	return s.found
}

// mayGet reports whether a reply of m's type answers a message like q.
func (q *request) mayGet(m *message) bool {
	switch m.kind {
	case dhcp4.Offer:
		return q.kind == dhcp4.Discover
	case dhcp4.Nak:
		return q.kind == dhcp4.Request
	case dhcp4.Ack:
		if m.yiaddr == 0 {
			return q.kind == dhcp4.Inform
		}
		return q.kind == dhcp4.Request || q.rapid
	}
	return false
}
