package checker

import (
	"bytes"
	"fmt"

	"lessor/dhcp4"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// relays holds I21: what a relay agent sends is what it got, with what an agent changes, and goes
// where that belongs.
type relays struct {
	hosts map[string]*agent
	in    dhcp4.View
	out   dhcp4.View
}

// agent is the account of one relay agent.
type agent struct {
	ports    map[wire.LinkID]trace.RelayPort // that it has, or had
	hops     uint8
	requests []passing // from clients
	replies  []passing // from servers
}

// passing is a message that came in.
type passing struct {
	t    int64
	link wire.LinkID
	data []byte
}

// Bounds of what is remembered of an agent.
const (
	mostPassing = 1024
	passingAge  = 60 * second
)

func newRelays() *relays { return &relays{hosts: map[string]*agent{}} }

func (r *relays) entry(c *Checker, e *trace.Entry) {
	switch b := e.Body.(type) {
	case *trace.Relaying:
		a := r.hosts[e.Host]
		if a == nil {
			a = &agent{ports: map[wire.LinkID]trace.RelayPort{}}
			r.hosts[e.Host] = a
		}
		for _, p := range b.Ports {
			a.ports[p.Link] = p
		}
		a.hops = max(a.hops, b.MaxHops)
	case *trace.Frame:
		if a := r.hosts[e.Host]; a != nil && b.Payload != nil {
			r.frame(c, a, e.T, b)
		}
	}
}

func (r *relays) end(*Checker) {}

func (r *relays) frame(c *Checker, a *agent, t int64, f *trace.Frame) {
	if !f.Sent {
		if r.in.Parse(f.Payload) != nil {
			return
		}
		if r.in.Op() == opRequest {
			a.requests = keepPassing(a.requests, passing{t, f.LinkID, f.Payload})
		} else {
			a.replies = keepPassing(a.replies, passing{t, f.LinkID, f.Payload})
		}
		return
	}
	if r.out.Parse(f.Payload) != nil {
		c.breach("I21", "the relay agent sends %d octets that are no message", len(f.Payload))
		return
	}
	why := ""
	if r.out.Op() == opRequest {
		why = r.explained(a.requests, t, func(p *passing) string { return r.request(a, p, f) })
	} else if why = r.explained(a.replies, t, func(p *passing) string { return r.reply(a, p, f) }); why == "" {
		why = r.toItsLink(a, t, f)
	}
	if why != "" {
		c.breach("I21", "%v of %x: %s", r.out.MessageType(), r.out.CHAddr(), why)
	}
}

// keepPassing appends p and forgets what is old.
func keepPassing(list []passing, p passing) []passing {
	n := 0
	for n < len(list) && (list[n].t < p.t-passingAge || len(list)-n >= mostPassing) {
		n++
	}
	return append(list[n:], p)
}

// explained looks for a message that came in from which what is sent was made; it says what is wrong
// with the newest that it can be, or nothing.
func (r *relays) explained(list []passing, t int64, compare func(*passing) string) string {
	why := "nothing like it came in"
	for i := len(list) - 1; i >= 0 && list[i].t >= t-passingAge; i-- {
		if r.in.Parse(list[i].data) != nil || r.in.XID() != r.out.XID() || r.in.CHAddr16() != r.out.CHAddr16() || r.in.MessageType() != r.out.MessageType() {
			continue
		}
		is := compare(&list[i])
		if is == "" {
			return ""
		}
		why = is
	}
	return why
}

// request compares a request that goes to a server with one that came in.
func (r *relays) request(a *agent, p *passing, f *trace.Frame) string {
	port, ok := a.ports[p.link]
	in, out := &r.in, &r.out
	brings := in.Has(dhcp4.OptDHCPAgentOptions)
	switch {
	case !ok:
		return "it came by no interface with clients"
	case in.Hops() > a.hops:
		return fmt.Sprintf("it had hopped %d times already", in.Hops())
	case out.Hops() != in.Hops()+1:
		return fmt.Sprintf("hops are %d, were %d", out.Hops(), in.Hops())
	case a.isOwn(in.GIAddr()):
		return fmt.Sprintf("giaddr was %s, its own: a reflection", in.GIAddr())
	case in.GIAddr() != 0 && out.GIAddr() != in.GIAddr():
		return fmt.Sprintf("giaddr is %s, was %s", out.GIAddr(), in.GIAddr())
	case in.GIAddr() == 0 && out.GIAddr() != port.GIAddr && (out.GIAddr() != port.Addr || out.Has(dhcp4.OptDHCPAgentOptions)):
		return fmt.Sprintf("giaddr is %s, should be %s", out.GIAddr(), port.GIAddr)
	case brings && !port.Trusted:
		return "it brought an option 82 by an interface that is not trusted"
	case len(f.Payload) > max(len(p.data), 1500-28):
		return fmt.Sprintf("%d octets are more than fit", len(f.Payload))
	case !sameButAgent(p.data, f.Payload, true):
		return "something else is changed than an agent may change"
	}
	return ""
}

// isOwn reports whether x is an address that the agent stands for.
func (a *agent) isOwn(x dhcp4.Addr) bool {
	for _, p := range a.ports {
		if x != 0 && (p.GIAddr == x || p.Addr == x) {
			return true
		}
	}
	return false
}

// reply compares a reply that goes to a client with one that came in.
func (r *relays) reply(a *agent, p *passing, f *trace.Frame) string {
	port, ok := a.ports[f.LinkID]
	in, out := &r.in, &r.out
	_, fromClients := a.ports[p.link]
	to := path{dst: dhcp4.Broadcast, mac: wire.BroadcastMAC}
	if hw := out.CHAddr(); !out.Broadcast() && out.MessageType() != dhcp4.Nak && max(out.YIAddr(), out.CIAddr()) != 0 && len(hw) == 6 {
		to = path{dst: max(out.YIAddr(), out.CIAddr()), mac: wire.MAC(hw)}
		if out.YIAddr() != 0 {
			to.dst = out.YIAddr()
		}
	}
	switch {
	case !ok:
		return "it leaves by no interface with clients"
	case fromClients:
		return "it came from where clients are"
	case in.GIAddr() != port.GIAddr && in.GIAddr() != port.Addr:
		return fmt.Sprintf("giaddr is %s, and it leaves by an interface that has %s", in.GIAddr(), port.GIAddr)
	case out.Has(dhcp4.OptDHCPAgentOptions) && !port.Trusted:
		return "the option 82 of the agent is still there"
	case f.Dst != to.dst || f.DstMAC != to.mac || f.DstPort != dhcp4.ClientPort:
		return fmt.Sprintf("goes to %s (%x) port %d, should go to %s (%x)", f.Dst, f.DstMAC, f.DstPort, to.dst, to.mac)
	case !sameButAgent(p.data, f.Payload, false):
		return "something else is changed than an agent may change"
	}
	return ""
}

// toItsLink holds that a reply leaves where its request came in, if that was seen.
func (r *relays) toItsLink(a *agent, t int64, f *trace.Frame) string {
	seen := false
	for i := range a.requests {
		p := &a.requests[i]
		if p.t < t-passingAge || r.in.Parse(p.data) != nil || r.in.GIAddr() != 0 || r.in.XID() != r.out.XID() || r.in.CHAddr16() != r.out.CHAddr16() {
			continue // what had a giaddr is answered there
		}
		if p.link == f.LinkID {
			return ""
		}
		seen = true
	}
	if seen {
		return fmt.Sprintf("leaves by interface %d, and its request came by another", f.LinkID)
	}
	return ""
}

// Where giaddr lies (RFC 2131 2, figure 1).
const offGIAddr, offCHAddr = 24, 28

// sameButAgent reports whether two messages differ in nothing but option 82 and padding, and in
// a request hops and giaddr.
func sameButAgent(in, out []byte, request bool) bool {
	if len(in) < offOptions || len(out) < offOptions {
		return false
	}
	head := bytes.Equal(in[:offHops], out[:offHops]) && bytes.Equal(in[offHops+1:offGIAddr], out[offHops+1:offGIAddr]) && bytes.Equal(in[offCHAddr:offOptions], out[offCHAddr:offOptions])
	if !request {
		head = head && in[offHops] == out[offHops] && bytes.Equal(in[offGIAddr:offCHAddr], out[offGIAddr:offCHAddr])
	}
	return head && bytes.Equal(optionsButAgent(in), optionsButAgent(out))
}

// optionsButAgent is the options field up to END without option 82 and padding.
func optionsButAgent(b []byte) (out []byte) {
	for at := offOptions; at < len(b) && dhcp4.Code(b[at]) != dhcp4.OptEnd; {
		if dhcp4.Code(b[at]) == dhcp4.OptPad {
			at++
			continue
		}
		if at+1 >= len(b) {
			break
		}
		next := min(at+2+int(b[at+1]), len(b))
		if dhcp4.Code(b[at]) != dhcp4.OptDHCPAgentOptions {
			out = append(out, b[at:next]...)
		}
		at = next
	}
	return out
}

// passedOn reports whether what reached a server is a client's message with what relay agents
// and switches change.
func passedOn(sent, got []byte) bool { return sent != nil && sameButAgent(sent, got, true) }
