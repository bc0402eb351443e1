package relay

import (
	"lessor/dhcp4"
	"lessor/internal/wire"
)

// minMessage is the least size of a message that is sent, that of a BOOTP message (RFC
// 1542 2.1).
const minMessage = 300

const (
	udpOverhead = 28 // IP and UDP headers

	// Octets of a message, counted from its start (RFC 2131 2, figure 1).
	offHops    = 3
	offGIAddr  = 24
	offOptions = 240
)

// request relays the message in a.view, which came from a client of l or from another agent
// there.
func (a *Agent) request(p *wire.Packet, l *port, e *Effects) Reason {
	v := &a.view
	giaddr := v.GIAddr()
	brings := v.Has(dhcp4.OptDHCPAgentOptions)
	switch {
	case !v.Has(dhcp4.OptDHCPMessageType):
		return BOOTP
	case a.badHW():
		return BadHWAddress
	case v.Hops() > a.c.MaxHops:
		return Hops
	case a.isOwn(giaddr):
		return OwnGIAddr
	case giaddr != 0 && !giaddr.IsUnicastHost():
		return BadGIAddr
	case brings && !l.d.Trusted:
		return UntrustedAgentInfo
	case brings && a.c.Policy == Drop:
		return AgentInfoRefused
	}
	set := l.giaddr
	if giaddr != 0 {
		set = 0 // it is kept (RFC 1542 4.1.1)
	}
	var own []byte
	switch {
	case brings && a.c.Policy == Forward:
	case giaddr == 0:
		own = a.agentInfo(l, v.CHAddr(), p.Dst != dhcp4.Broadcast && !p.DstMAC.IsMulticast(), a.own[:0])
	case brings:
		own = a.identifiers(l, v.CHAddr(), a.own[:0])
	}
	data, omitted := a.rewrite(own, brings, e)
	if omitted != None && giaddr == 0 {
		if a.c.SourcePort != dhcp4.ServerPort {
			return NoSourcePort
		}
		set = l.addr // without sub-option 5 giaddr alone says where the client is
	}
	data[offHops]++
	src := l.addr
	if set != 0 {
		b := set.As4()
		copy(data[offGIAddr:], b[:])
		src = set // one pair of addresses both ways, as firewalls expect
	}
	for _, server := range a.c.Servers {
		e.Sends = append(e.Sends, wire.Send{Link: l.ID, Data: data,
			Src: src, Dst: server, SrcPort: a.c.SourcePort, DstPort: dhcp4.ServerPort})
	}
	a.count.ToServers++
	if omitted != None {
		a.count.Omitted[omitted]++
		e.Events = append(e.Events, a.event(EventOmitted, omitted, p, e))
	}
	return None
}

// rewrite returns a copy of the message in the memory of e, with own as its option 82 if own is
// not empty: behind what the message brings, or in the place of it, as the policy says. When
// there is no room for it the message is copied as it is, and the reason returned (RFC
// 3046 2.1).
func (a *Agent) rewrite(own []byte, brings bool, e *Effects) (data []byte, omitted Reason) {
	b := a.view.Bytes()
	if len(own) == 0 {
		return plain(b, e), None
	}
	var theirs []byte
	if brings && a.c.Policy == Append {
		theirs, _ = agentInfoOf(b, a.other[:0])
	}
	n := len(theirs) + len(own)
	if n > maxAgent {
		return plain(b, e), AgentInfoTooLong
	}
	out := appendOther(e.room(len(b)+2+maxAgent+1+minMessage), b)
	out = append(out, byte(dhcp4.OptDHCPAgentOptions), byte(n))
	out = append(append(append(out, theirs...), own...), byte(dhcp4.OptEnd))
	out = pad(out, minMessage)
	if len(out) > len(b) && len(out) > minMessage && len(out)+udpOverhead > a.mtu {
		return plain(b, e), RequestTooLong
	}
	return e.keep(out), None
}

// plain copies b, padded to the least size.
func plain(b []byte, e *Effects) []byte {
	return e.keep(pad(append(e.room(len(b)+minMessage), b...), minMessage))
}

var zeros [minMessage]byte

func pad(b []byte, n int) []byte {
	if len(b) < n {
		b = append(b, zeros[:n-len(b)]...)
	}
	return b
}

// eachOption calls f with the bounds of each option of the options field of b, a message that
// a View has parsed, and returns where END is, or the end of b without one. f is not called for PAD.
func eachOption(b []byte, f func(code dhcp4.Code, from, to int)) (end int) {
	pos := offOptions
	for pos < len(b) {
		switch dhcp4.Code(b[pos]) {
		case dhcp4.OptPad:
			pos++
		case dhcp4.OptEnd:
			return pos
		default:
			next := pos + 2 + int(b[pos+1])
			f(dhcp4.Code(b[pos]), pos, next)
			pos = next
		}
	}
	return pos
}

// agentInfoOf appends the value of option 82 of the options field to dst, joined, and says
// whether there is one; those of file and sname are not looked at (RFC 3046 2.1). Of a
// value that is too long for an option 82, only that is certain to remain.
func agentInfoOf(b, dst []byte) (info []byte, present bool) {
	eachOption(b, func(code dhcp4.Code, from, to int) {
		if code != dhcp4.OptDHCPAgentOptions {
			return
		}
		present = true
		if len(dst) <= maxAgent {
			dst = append(dst, b[from+2:to]...)
		}
	})
	return dst, present
}

// appendOther appends the message up to END, which is left out as option 82 of the options field
// is.
func appendOther(dst, b []byte) []byte {
	done := 0
	end := eachOption(b, func(code dhcp4.Code, from, to int) {
		if code == dhcp4.OptDHCPAgentOptions {
			dst = append(dst, b[done:from]...)
			done = to
		}
	})
	return append(dst, b[done:end]...)
}
