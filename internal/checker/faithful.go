package checker

import (
	"bytes"
	"fmt"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// faithful holds I12: a reply says back what its request said, goes where the request
// wants it, fits, and carries nothing else. A reply is good when one request that was
// received explains it.
type faithful struct {
	asked dhcp4.View       // the request under comparison
	mtus  map[string][]mtu // by host, since its start
	bufs  [2][512]byte
}

// mtu is the largest that an interface had.
type mtu struct {
	id   wire.LinkID
	most int
}

func newFaithful() *faithful { return &faithful{mtus: map[string][]mtu{}} }

func (r *faithful) entry(c *Checker, e *trace.Entry) {
	switch b := e.Body.(type) {
	case *trace.Started:
		delete(r.mtus, e.Host)
	case *trace.Served:
		for i := range b.Links {
			r.setMTU(e.Host, &b.Links[i])
		}
	case *trace.Frame:
		if b.Sent && c.ledger.msg != nil {
			r.reply(c, c.ledger.host.server, c.ledger.msg)
		}
	}
}

func (r *faithful) end(*Checker) {}

func (r *faithful) setMTU(host string, l *wire.Link) {
	list := r.mtus[host]
	for i := range list {
		if list[i].id == l.ID {
			list[i].most = max(list[i].most, l.MTU)
			return
		}
	}
	r.mtus[host] = append(list, mtu{l.ID, l.MTU})
}

// mtuOf is the MTU of the interface that a request came in by; 65535 when it is not known.
func (r *faithful) mtuOf(host string, id wire.LinkID) int {
	for _, m := range r.mtus[host] {
		if m.id == id && m.most > 0 {
			return m.most
		}
	}
	return 0xffff
}

// reply finds a request that explains m.
func (r *faithful) reply(c *Checker, s *server, m *message) {
	why, any := "", false
	for q := s.pending[keyOf(m.xid, m.who)]; q != nil; q = q.next {
		if !q.mayGet(m) {
			continue
		}
		any = true
		if why = r.compare(s, q, m); why == "" {
			return
		}
	}
	switch {
	case any:
		c.breach("I12", "%v to %s: %s", m.kind, name(m.who), why)
	case len(s.requests)-s.oldest < maxRequests: // else its request may have been forgotten
		c.breach("I12", "%v to %s with xid %08x answers nothing that was received", m.kind, name(m.who), m.xid)
	}
}

// name is a client for people.
func name(k ident) string {
	if len(k.hw) > 0 {
		return fmt.Sprintf("%x", k.hw)
	}
	return fmt.Sprintf("id %x", k.id)
}

// compare says what is wrong with m as the answer to q, or nothing.
func (r *faithful) compare(s *server, q *request, m *message) string {
	if r.asked.Parse(q.frame.Payload) != nil {
		return "its request does not parse"
	}
	a, v := &r.asked, &m.view
	flags := a.Flags()
	if m.kind == dhcp4.Nak && q.giaddr != 0 {
		flags |= dhcp4.FlagBroadcast
	}
	ciaddr := v.CIAddr()
	switch {
	case v.HLen() != a.HLen() || v.CHAddr16() != a.CHAddr16():
		return fmt.Sprintf("chaddr is %x, was %x", v.CHAddr16(), a.CHAddr16())
	case v.Flags() != flags:
		return fmt.Sprintf("flags are %04x, should be %04x", v.Flags(), flags)
	case v.GIAddr() != q.giaddr:
		return fmt.Sprintf("giaddr is %s, was %s", v.GIAddr(), q.giaddr)
	case ciaddr != 0 && (m.kind != dhcp4.Ack || ciaddr != q.ciaddr):
		return fmt.Sprintf("ciaddr is %s, was %s", ciaddr, q.ciaddr)
	case m.kind == dhcp4.Nak && m.yiaddr != 0:
		return "a NAK gives an address"
	case q.override != 0 && q.brought != nil && m.serverID != q.override:
		return fmt.Sprintf("option 54 is %s, and the relay agent wants %s", m.serverID, q.override)
	case !s.isOurs(m.serverID) && m.serverID != q.override:
		return fmt.Sprintf("%s in option 54 is no address of this server", m.serverID)
	}
	if why := r.times(m); why != "" {
		return why
	}
	room := min(max(576, maxSizeOf(a)), r.mtuOf(s.host.name, q.frame.LinkID)) - 28
	room = max(room, dhcp4.MinReply)
	if n := len(m.frame.Payload); n > room {
		return fmt.Sprintf("%d octets, at most %d may be", n, room)
	}
	if why := r.echoes(a, v, room); why != "" {
		return why
	}
	if why := tidy(v); why != "" {
		return why
	}
	return way(s, q, m)
}

// maxSizeOf is option 57.
func maxSizeOf(v *dhcp4.View) int {
	n, _ := v.Uint16(dhcp4.OptDHCPMaxMessageSize)
	return int(n)
}

// times holds options 51, 58 and 59.
func (r *faithful) times(m *message) string {
	t1, has1 := m.view.Uint32(dhcp4.OptDHCPRenewalTime)
	t2, has2 := m.view.Uint32(dhcp4.OptDHCPRebindingTime)
	switch {
	case m.kind == dhcp4.Nak || m.yiaddr == 0:
		if m.timed || has1 || has2 {
			return "lease times without a lease"
		}
	case !m.timed || m.lifetime == 0:
		return "no lease time, or one of 0 s"
	case has1 != has2:
		return "one of options 58 and 59 without the other"
	case has1 && (m.lifetime == lease.Infinite || m.lifetime < 4):
		return "T1 and T2 for a lease that has none"
	case has1 && !(0 < t1 && t1 < t2 && t2 < m.lifetime):
		return fmt.Sprintf("T1 %d, T2 %d, lease %d", t1, t2, m.lifetime)
	}
	return ""
}

// echoes holds options 82 and 61, as far as a message of that size has room for them.
func (r *faithful) echoes(a, v *dhcp4.View, room int) string {
	room -= dhcp4.MinSize + 1 + 20 // END, and options 53, 54, 51, 52 and 80
	if n := a.Len(dhcp4.OptDHCPAgentOptions); n <= 255 {
		room -= 2 + n
		if why := r.echo(a, v, dhcp4.OptDHCPAgentOptions, room >= 0); why != "" {
			return why
		}
	}
	n := a.Len(dhcp4.OptDHCPClientIdentifier)
	if n == 0 {
		if v.Has(dhcp4.OptDHCPClientIdentifier) {
			return "a client identifier that was not received"
		}
		return ""
	}
	return r.echo(a, v, dhcp4.OptDHCPClientIdentifier, room >= 2+n)
}

// echo holds that an option comes back as it came; must says that there is room for it.
func (r *faithful) echo(a, v *dhcp4.View, code dhcp4.Code, must bool) string {
	was, had := a.Get(code, r.bufs[0][:])
	is, has := v.Get(code, r.bufs[1][:])
	switch {
	case had && !has && !must:
		return ""
	case had != has:
		return fmt.Sprintf("option %d there: %v, was: %v", code, has, had)
	case !bytes.Equal(is, was):
		return fmt.Sprintf("option %d is %x, was %x", code, is, was)
	}
	return ""
}

// Where the parts of a message lie (RFC 2131 2, figure 1).
const (
	offHops    = 3
	offSecs    = 8
	offSName   = 44
	offFile    = 108
	offCookie  = 236
	offOptions = 240
)

// tidy holds that option 82 stands last in the options field, and that no octet is there
// without a meaning.
func tidy(v *dhcp4.View) string {
	b := v.Bytes()
	ends := [3]int{offOptions, offFile, offSName} // of the last option in options, file, sname
	agent, place := false, ""
	for in := range v.Instances {
		i := int(in.Area - dhcp4.AreaOptions)
		if i < 0 || i > 2 {
			continue
		}
		ends[i] = in.Offset + 2 + len(in.Data)
		switch {
		case in.Code == dhcp4.OptDHCPAgentOptions && i == 0:
			agent = true
		case in.Code == dhcp4.OptDHCPAgentOptions:
			place = "option 82 in an overloaded field"
		case agent && i == 0:
			place = "option 82 is not the last"
		}
	}
	if place != "" {
		return place
	}
	over, _ := v.Uint8(dhcp4.OptDHCPOptionOverload)
	switch {
	case b[offHops] != 0 || b[offSecs] != 0 || b[offSecs+1] != 0:
		return "hops or secs in a reply"
	case !closed(b, ends[0], len(b), true), !closedName(b, ends[1], offCookie, over&1 != 0), !closedName(b, ends[2], offFile, over&2 != 0):
		return "no END where the options end, or something behind it"
	}
	return ""
}

// closed reports whether a field whose options end at from goes on with END, if it has
// options, and then with zeros up to end.
func closed(b []byte, from, end int, options bool) bool {
	if options {
		if from >= end || b[from] != byte(dhcp4.OptEnd) {
			return false
		}
		from++
	}
	for _, x := range b[from:end] {
		if x != 0 {
			return false
		}
	}
	return true
}

// closedName is closed for the fields file and sname, which hold a name with NUL behind it
// where they hold no options.
func closedName(b []byte, from, end int, options bool) bool {
	if !options {
		for from < end && b[from] != 0 {
			from++
		}
		return from < end && closed(b, from, end, false)
	}
	return closed(b, from, end, true)
}

// way holds the destination. While a configuration changed under way, each of the two
// says where a NAK goes.
func way(s *server, q *request, m *message) string {
	f := m.frame
	why := ""
	for _, p := range [3]*policy.Policy{s.pol, s.oldPol, q.pol} {
		if p == nil || p == s.oldPol && s.polT < q.at.T {
			continue
		}
		w := wayOf(q, m, p.NakDelivery == policy.NakBroadcast)
		if _, port := policy.AgentOption(s.believed(p, q), dhcp4.AgentRelayPort); q.giaddr != 0 && port && q.frame.SrcPort != 0 {
			w.port = q.frame.SrcPort // RFC 8357
		}
		switch {
		case w.none:
			why = "nothing can be sent to a client behind a router that does not send from ciaddr"
		case f.Dst != w.dst || f.DstPort != w.port:
			why = fmt.Sprintf("goes to %s port %d, should go to %s port %d", f.Dst, f.DstPort, w.dst, w.port)
		case w.raw && f.DstMAC != w.mac:
			why = fmt.Sprintf("goes to %x, should go to %x", f.DstMAC, w.mac)
		case w.raw && f.LinkID != 0 && q.frame.LinkID != 0 && f.LinkID != q.frame.LinkID:
			why = fmt.Sprintf("leaves by interface %d, the request came in by %d", f.LinkID, q.frame.LinkID)
		default:
			return ""
		}
	}
	return why
}

// path is where a message goes; raw: as a frame to mac.
type path struct {
	none, raw bool
	dst       dhcp4.Addr
	port      uint16
	mac       wire.MAC
}

// wayOf is where the answer m to q goes: RFC 2131 4.1, and for a NAK docs/rules.md, How
// a NAK travels. broadcast is `nak-delivery: broadcast`.
func wayOf(q *request, m *message, broadcast bool) path {
	hw := wire.BroadcastMAC
	if (q.who.htype == 1 || q.who.htype == 6) && len(q.who.hw) == 6 {
		hw = wire.MAC(q.who.hw)
	}
	routed := !q.frame.DstMAC.IsMulticast() && q.frame.SrcMAC != hw
	nak := m.kind == dhcp4.Nak
	set := m.view.Broadcast()
	switch {
	case q.giaddr != 0:
		return path{dst: q.giaddr, port: dhcp4.ServerPort}
	case nak && routed && (q.ciaddr == 0 || q.frame.Src != q.ciaddr):
		return path{none: true}
	case q.ciaddr != 0 && routed:
		return path{dst: q.ciaddr, port: dhcp4.ClientPort}
	case nak && broadcast:
		return path{raw: true, dst: dhcp4.Broadcast, port: dhcp4.ClientPort, mac: wire.BroadcastMAC}
	case q.ciaddr != 0:
		return path{raw: true, dst: q.ciaddr, port: dhcp4.ClientPort, mac: hw}
	case set:
		return path{raw: true, dst: dhcp4.Broadcast, port: dhcp4.ClientPort, mac: wire.BroadcastMAC}
	case nak:
		return path{raw: true, dst: dhcp4.Broadcast, port: dhcp4.ClientPort, mac: hw}
	}
	return path{raw: true, dst: m.yiaddr, port: dhcp4.ClientPort, mac: hw}
}
