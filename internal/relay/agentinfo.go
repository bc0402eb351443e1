package relay

import (
	"bytes"
	"encoding/hex"
	"strconv"

	"lessor/dhcp4"
	"lessor/internal/template"
)

// flagUnicast says that the client sent to an address of this host (RFC 5010 3).
const flagUnicast = 0x80

// agentInfo appends the value of the option 82 that the agent adds for a client of l. A
// reply of the same client gives the same octets, but for the flags. Sub-options stand in
// the order of their codes, as some servers send them back whatever came.
func (a *Agent) agentInfo(l *port, hw []byte, unicast bool, dst []byte) []byte {
	a.at, a.hw = l, hw
	dst = a.identifier(dst, dhcp4.AgentCircuitID, &l.d.CircuitID)
	dst = a.identifier(dst, dhcp4.AgentRemoteID, &l.d.RemoteID)
	if l.d.LinkSelection {
		dst = l.subnet.Addr.Append(append(dst, dhcp4.AgentLinkSelection, 4))
	}
	dst = a.identifier(dst, dhcp4.AgentSubscriberID, &l.d.SubscriberID)
	if l.d.LinkSelection {
		flags := byte(0)
		if unicast {
			flags = flagUnicast
		}
		dst = append(dst, dhcp4.AgentRelayFlags, 1, flags)
		dst = l.addr.Append(append(dst, dhcp4.AgentServerIDOverride, 4))
	}
	if a.c.SourcePort != dhcp4.ServerPort {
		dst = append(dst, dhcp4.AgentRelayPort, 0)
	}
	return dst
}

// identifiers appends the sub-options that are made by template, for a request that another agent
// gave its giaddr.
func (a *Agent) identifiers(l *port, hw []byte, dst []byte) []byte {
	a.at, a.hw = l, hw
	dst = a.identifier(dst, dhcp4.AgentCircuitID, &l.d.CircuitID)
	dst = a.identifier(dst, dhcp4.AgentRemoteID, &l.d.RemoteID)
	return a.identifier(dst, dhcp4.AgentSubscriberID, &l.d.SubscriberID)
}

func (a *Agent) identifier(dst []byte, code uint8, t *template.Template) []byte {
	start := len(dst)
	dst = t.Append(append(dst, code, 0), a.fill)
	n := len(dst) - start - 2
	if n == 0 {
		return dst[:start]
	}
	dst[start+1] = byte(min(n, maxAgent)) // one that is longer is never sent: option 82 has no room for it
	return dst
}

// placeholder appends the value of a placeholder of a template.
func (a *Agent) placeholder(name string, dst []byte) []byte {
	l := a.at
	switch name {
	case NameInterface:
		return append(dst, l.Name...)
	case NameInterfaceHW:
		return appendHW(dst, l.MAC[:])
	case NameAddress:
		return appendAddr(dst, l.addr)
	case NameSubnet:
		dst = append(appendAddr(dst, l.subnet.Addr), '/')
		return strconv.AppendInt(dst, int64(l.subnet.Bits), 10)
	case NameGIAddr:
		return appendAddr(dst, l.giaddr)
	case NameHW:
		return appendHW(dst, a.hw)
	case NameHost:
		return append(dst, a.c.HostName...)
	}
	return dst
}

func appendAddr(dst []byte, x dhcp4.Addr) []byte {
	dst, _ = x.AppendText(dst) // it never fails
	return dst
}

func appendHW(dst, hw []byte) []byte {
	for i := range hw {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = hex.AppendEncode(dst, hw[i:i+1])
	}
	return dst
}

// cutOwn takes the sub-options own out of the value of an option 82, which it changes, and returns
// what is left, and whether all were there, in whatever order. A reply need not bring
// sub-option 5 back (RFC 3527 3), and how its request came (sub-option 10) is not known any more.
func cutOwn(info, own []byte) (rest []byte, ok bool) {
	for len(own) > 0 {
		sub := own[:2+int(own[1])]
		own = own[len(sub):]
		at := -1 // of the last that is the same: what others added stands before ours
		for i := 0; i+1 < len(info) && i+2+int(info[i+1]) <= len(info); i += 2 + int(info[i+1]) {
			if sub[0] == dhcp4.AgentRelayFlags && info[i] == sub[0] && info[i+1] == 1 || bytes.HasPrefix(info[i:], sub) {
				at = i
			}
		}
		switch {
		case at >= 0:
			info = append(info[:at], info[at+len(sub):]...)
		case sub[0] != dhcp4.AgentLinkSelection:
			return nil, false
		}
	}
	return info, true
}
