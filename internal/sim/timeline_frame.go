package sim

import (
	"fmt"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// lateFrom is how long a frame is under way before its arrival has a line of its own.
const lateFrom = int64(100_000_000)

// message tells of a frame: once when it is sent, and again where it arrives late or a
// second time.
func (t *Timeline) message(e *trace.Entry, f *trace.Frame) {
	if f.Sent {
		if t.macs[f.SrcMAC] == "" {
			t.macs[f.SrcMAC] = e.Host
		}
	}
	if f.ARP != nil {
		t.arp(e, f)
		return
	}
	var v dhcp4.View
	if len(f.Payload) == 0 || v.Parse(f.Payload) != nil {
		if f.Sent {
			t.frame = nil
			t.add(e, e.Host+" → "+t.target(f), light, ToneFault, "%d octets that are no DHCP message", len(f.Payload))
		}
		return
	}
	as := addressesOf(&v)
	if !f.Sent {
		t.arrival(e, f, &v, as)
		return
	}
	t.frame = as
	t.flights[string(f.Payload)] = &flight{sent: e.T, from: e.Host, got: map[string]bool{}}
	text, tone := t.say(e.Host, f, &v)
	l := t.add(e, e.Host+" → "+t.target(f), normal, tone, "%s", text)
	l.addrs, l.message = as, true
	l.routine = t.again(e.Host, text) || t.renewal[v.XID()]
}

// arrival tells of a frame that comes late, or once more.
func (t *Timeline) arrival(e *trace.Entry, f *trace.Frame, v *dhcp4.View, as []dhcp4.Addr) {
	fl := t.flights[string(f.Payload)]
	if fl == nil { // what hostile stations send has an entry only where it arrives
		text, _ := t.say("", f, v)
		t.add(e, e.Host+" ← "+t.stranger(f.SrcMAC), light, ToneFault, "%s", text).addrs = as
		return
	}
	again := fl.got[e.Host]
	fl.got[e.Host] = true
	how := ""
	switch late := e.T - fl.sent; {
	case again:
		how = fmt.Sprintf("a copy, %s after it was sent", SpanText(late))
	case late >= lateFrom:
		how = "late by " + SpanText(late)
	default:
		return
	}
	what := v.MessageType().String()
	if a := v.YIAddr(); a != 0 {
		what += " " + a.String()
	}
	t.add(e, e.Host+" ← "+fl.from, light, ToneFault, "%s of %s: %s", what, fl.from, how).addrs = as
}

// stranger is the name of a sender, "hostile" for one that has none.
func (t *Timeline) stranger(m wire.MAC) string {
	if n := t.macs[m]; n != "" {
		return n
	}
	return "hostile"
}

// target is where a frame goes.
func (t *Timeline) target(f *trace.Frame) string {
	switch n := t.macs[f.DstMAC]; {
	case f.DstMAC == wire.BroadcastMAC:
		return "all"
	case n != "":
		return n
	case f.Dst != 0:
		return t.serverName(f.Dst) // the kernel asks for its hardware address in vain
	}
	return fmt.Sprintf("%x", f.DstMAC[3:])
}

// addressesOf are the addresses that a message names.
func addressesOf(v *dhcp4.View) []dhcp4.Addr {
	as := []dhcp4.Addr{v.CIAddr(), v.YIAddr()}
	if a, ok := v.Addr(dhcp4.OptDHCPRequestedAddress); ok {
		as = append(as, a)
	}
	return slices.DeleteFunc(as, func(a dhcp4.Addr) bool { return a == 0 })
}

// say is a message in words.
func (t *Timeline) say(host string, f *trace.Frame, v *dhcp4.View) (string, Tone) {
	typ := v.MessageType()
	text, tone := typ.String(), ToneTalk
	asked, _ := v.Addr(dhcp4.OptDHCPRequestedAddress)
	sid, named := v.Addr(dhcp4.OptDHCPServerIdentifier)
	switch typ {
	case dhcp4.Discover:
		if asked != 0 {
			text += " asks for " + asked.String()
		}
	case dhcp4.Request:
		text += " " + max(asked, v.CIAddr()).String() + t.requestKind(f, v, sid, named)
	case dhcp4.Offer, dhcp4.Ack:
		if typ == dhcp4.Ack {
			tone = ToneGood
		}
		text += " " + max(v.YIAddr(), v.CIAddr()).String()
		if s, ok := v.Uint32(dhcp4.OptDHCPLeaseTime); ok {
			text += fmt.Sprintf(" for %d s", s)
		}
	case dhcp4.Nak:
		tone = ToneFault
		if why, ok := v.Get(dhcp4.OptDHCPMessage, nil); ok {
			text += fmt.Sprintf(" %q", why)
		}
	case dhcp4.Release:
		text += " " + v.CIAddr().String() + " to " + t.serverName(sid)
	case dhcp4.Decline:
		text += " " + asked.String() + " of " + t.serverName(sid)
	}
	if c := t.about(v); v.Op() == 1 && c != host || v.Op() == 2 && f.DstMAC.IsMulticast() {
		if v.Op() == 1 {
			text += " in the name of " + c
			tone = ToneFault
		} else {
			text += " for " + c
		}
	}
	return fmt.Sprintf("%s, xid %08x", text, v.XID()), tone
}

// requestKind is the kind of a REQUEST (RFC 2131 4.3.2).
func (t *Timeline) requestKind(f *trace.Frame, v *dhcp4.View, sid dhcp4.Addr, named bool) string {
	switch {
	case named:
		return " of " + t.serverName(sid)
	case v.CIAddr() == 0:
		return ", after a reboot"
	}
	t.renewal[v.XID()] = true
	if f.DstMAC.IsMulticast() {
		return ", rebinding"
	}
	return ", renewing"
}

func (t *Timeline) serverName(a dhcp4.Addr) string {
	if n, ok := t.addrs[a]; ok {
		return n
	}
	return a.String()
}

// about is the client that a message speaks of.
func (t *Timeline) about(v *dhcp4.View) string {
	if hw := v.CHAddr(); len(hw) == 6 {
		if n, ok := t.macs[wire.MAC(hw)]; ok {
			return n
		}
	}
	id, _ := v.Get(dhcp4.OptDHCPClientIdentifier, nil)
	return t.clientName(id, v.CHAddr())
}

// arp tells of ARP messages where they are sent, and of forged ones where they arrive.
func (t *Timeline) arp(e *trace.Entry, f *trace.Frame) {
	a := f.ARP
	key := fmt.Sprintf("arp %d %x %d %d", a.Op, a.SenderMAC, a.SenderIP, a.TargetIP)
	as := []dhcp4.Addr{a.TargetIP, a.SenderIP}
	who, tone := e.Host+" → "+t.target(f), ToneFaint
	switch {
	case f.Sent:
		t.flights[key], t.frame = &flight{}, as
	case t.flights[key] != nil:
		return
	default:
		who, tone = e.Host+" ← "+t.stranger(f.SrcMAC), ToneFault
	}
	text := fmt.Sprintf("ARP: who has %s? says %s", a.TargetIP, a.SenderIP)
	switch {
	case a.Op == 1 && a.SenderIP == 0:
		text = fmt.Sprintf("ARP: who has %s?", a.TargetIP)
	case a.SenderIP == a.TargetIP:
		text = fmt.Sprintf("ARP: %s is mine", a.SenderIP)
	case a.Op == 2:
		text = fmt.Sprintf("ARP answer: %s is mine", a.SenderIP)
	}
	l := t.add(e, who, light, tone, "%s", text)
	l.addrs, l.routine = as, t.again(who+" arp", text)
}
