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
// reply of the same client gives the same octets, but for the flags.
func (a *Agent) agentInfo(l *port, hw []byte, unicast bool, dst []byte) []byte {
	dst = a.identifiers(l, hw, dst)
	if l.d.LinkSelection {
		dst = append(dst, dhcp4.AgentLinkSelection, 4)
		dst = l.subnet.Addr.Append(dst)
		dst = append(dst, dhcp4.AgentServerIDOverride, 4)
		dst = l.addr.Append(dst)
		flags := byte(0)
		if unicast {
			flags = flagUnicast
		}
		dst = append(dst, dhcp4.AgentRelayFlags, 1, flags)
	}
	if a.c.SourcePort != dhcp4.ServerPort {
		dst = append(dst, dhcp4.AgentRelayPort, 0)
	}
	return dst
}

// identifiers appends the sub-options that are made by template.
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

// cutOwn returns what the value of an option 82 holds in front of own, and whether own is
// its end. A reply need not bring sub-option 5 back (RFC 3527 3), and how its request came
// (sub-option 10) is not known any more: both do not count.
func cutOwn(info, own []byte) (before []byte, ok bool) {
	for at := 0; at < len(info); {
		if sameInfo(info[at:], own) {
			return info[:at], true
		}
		if at+1 >= len(info) {
			break
		}
		at += 2 + int(info[at+1])
	}
	return nil, false
}

func sameInfo(a, b []byte) bool {
	for {
		codeA, valA, restA, okA := nextSub(a)
		codeB, valB, restB, okB := nextSub(b)
		if !okA || !okB {
			return okA == okB && len(restA) == 0 && len(restB) == 0
		}
		if codeA != codeB || codeA != dhcp4.AgentRelayFlags && !bytes.Equal(valA, valB) {
			return false
		}
		a, b = restA, restB
	}
}

// nextSub cuts the next sub-option off that is not sub-option 5. Without one, rest is what cannot be
// read.
func nextSub(info []byte) (code uint8, val, rest []byte, ok bool) {
	for len(info) >= 2 {
		n := 2 + int(info[1])
		if n > len(info) {
			break
		}
		if info[0] != dhcp4.AgentLinkSelection {
			return info[0], info[2:n], info[n:], true
		}
		info = info[n:]
	}
	return 0, nil, info, false
}
