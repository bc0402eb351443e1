package cli

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/wire"
)

// timeline prints what happens in the lab, one line each, in the order of time:
// messages between the client on the left and the server on the right, states of the
// client, and what the lab itself does.
type timeline struct {
	w      io.Writer
	color  bool
	width  int // columns; 0: no limit
	start  time.Time
	client wire.MAC

	asked    dhcp4.Addr // by the client's last probe
	state    string     // of the client, as its messages show
	messages int
	told     []string  // what the story has shown
	last     time.Time // of the line before
}

const (
	laneWidth = 24 // columns of an arrow with its message
	textFrom  = 38 // column at which a message's meaning begins
	textWidth = 40 // and how wide it is, where addresses follow
	wayWidth  = 32 // columns of "198.18.0.142 → 255.255.255.255"
)

// messageStyle is the colour of a message by type, beside its name.
var messageStyle = map[dhcp4.MessageType]style{
	dhcp4.Discover: bold, dhcp4.Offer: bold, dhcp4.Request: bold, dhcp4.Ack: good, dhcp4.Nak: bad, dhcp4.Decline: warn,
	dhcp4.Release: bold, dhcp4.Inform: bold,
}

var messageName = map[dhcp4.MessageType]string{
	dhcp4.Discover: "DISCOVER", dhcp4.Offer: "OFFER", dhcp4.Request: "REQUEST", dhcp4.Ack: "ACK", dhcp4.Nak: "NAK",
	dhcp4.Decline: "DECLINE", dhcp4.Release: "RELEASE", dhcp4.Inform: "INFORM",
}

// header names the two sides.
func (t *timeline) header() {
	fmt.Fprintln(t.w, paint(t.color, dim, fmt.Sprintf("%8s    %-*s%s", "seconds", laneWidth-len("servers"), "client", "servers")))
}

// stamp is the first column.
func (t *timeline) stamp(at time.Time) string {
	t.last = at
	return paint(t.color, dim, fmt.Sprintf("%8.3f", max(0, at.Sub(t.start).Seconds()))) + "  "
}

// pause leaves an empty line after more than a second without one, so that phases
// can be told apart.
func (t *timeline) pause(at time.Time) {
	if !t.last.IsZero() && at.Sub(t.last) > time.Second {
		fmt.Fprintln(t.w)
	}
}

// lab says what the lab does.
func (t *timeline) lab(at time.Time, format string, args ...any) {
	t.pause(at)
	fmt.Fprintf(t.w, "%s%s\n", t.stamp(at), paint(t.color, warn, "▶ "+fmt.Sprintf(format, args...)))
}

// enter prints a state of the client if it is new.
func (t *timeline) enter(at time.Time, state, why string) {
	if state == t.state {
		return
	}
	t.pause(at)
	t.state = state
	s := bold
	switch state {
	case "BOUND":
		s = good
	case "INIT":
		s = bad
	}
	fmt.Fprintf(t.w, "%s%s %s\n", t.stamp(at), paint(t.color, s, fmt.Sprintf("● %-10s", state)), why)
}

// done keeps a sentence for the end.
func (t *timeline) done(format string, args ...any) {
	t.told = append(t.told, fmt.Sprintf(format, args...))
}

// gone says that the client's interface has given up its address.
func (t *timeline) gone(at time.Time, addr netip.Addr) {
	if t.state != "INIT" {
		t.enter(at, "INIT", fmt.Sprintf("the lease has ended: eth0 gives %s up", addr))
		return
	}
	fmt.Fprintf(t.w, "%s  eth0 gives %s up\n", t.stamp(at), addr)
}

// frame prints a DHCP message and the client's state that it shows, and the ARP
// messages by which the client finds out whether its address is free.
func (t *timeline) frame(f *netlab.Frame) {
	if f.ARP != nil {
		t.arp(f)
		return
	}
	v, ok := f.View()
	if !ok || v.MessageType() == 0 {
		return
	}
	t.messages++
	typ := v.MessageType()
	name := messageName[typ]
	fromClient := f.SrcMAC == t.client
	if s := stateBy(f, &v); fromClient && s != "" {
		t.enter(f.Time, s, stateWhy[s])
	}
	t.arrow(f.Time, name, messageStyle[typ], fromClient, t.text(f, &v))
	switch typ {
	case dhcp4.Nak:
		t.enter(f.Time, "INIT", "the address must not be used any more")
	case dhcp4.Decline:
		t.enter(f.Time, "INIT", "somebody has the address: asks again in 10 s")
	}
}

// arrow prints one message and what it means.
func (t *timeline) arrow(at time.Time, name string, s style, fromClient bool, text string) {
	line := paint(t.color, dim, strings.Repeat("─", laneWidth-len(name)-2)+"▸")
	arrow := paint(t.color, s, name) + " " + line
	if !fromClient {
		arrow = paint(t.color, dim, "◂"+strings.Repeat("─", laneWidth-len(name)-2)) + " " + paint(t.color, s, name)
	}
	fmt.Fprintf(t.w, "%s  %s  %s\n", t.stamp(at), arrow, text)
}

// arp prints the client's probes and announcements (RFC 5227) and who answers them.
func (t *timeline) arp(f *netlab.Frame) {
	a := f.ARP
	switch mine := a.SenderMAC == t.client; {
	case mine && a.Op == 1 && a.SenderIP == 0:
		if t.state == "REQUESTING" {
			t.enter(f.Time, "CHECKING", "asks by ARP whether anybody has the address")
		}
		t.arrow(f.Time, "ARP probe", dim, true, fmt.Sprintf("who has %s?", a.TargetIP))
		t.asked = a.TargetIP
	case mine && a.SenderIP == a.TargetIP:
		t.arrow(f.Time, "ARP", dim, true, fmt.Sprintf("%s is mine", a.SenderIP))
	case !mine && (t.state == "CHECKING" || t.state == "BOUND") && a.SenderIP == t.asked:
		t.arrow(f.Time, "ARP", bad, false, fmt.Sprintf("%s is mine, says the %s", a.SenderIP, f.From))
	}
}

var stateWhy = map[string]string{
	"SELECTING":  "asks every server on the link",
	"REQUESTING": "takes the first offer",
	"REBOOTING":  "asks whether the address it remembers still holds",
	"RENEWING":   "half of the lease is over: asks its server alone",
	"REBINDING":  "7/8 of the lease are over: asks any server",
}

// stateBy is the state that a client's message shows (RFC 2131 4.3.2 and figure 5), ""
// for a message that shows none.
func stateBy(f *netlab.Frame, v *dhcp4.View) string {
	_, named := v.Addr(dhcp4.OptDHCPServerIdentifier)
	switch {
	case v.MessageType() == dhcp4.Discover:
		return "SELECTING"
	case v.MessageType() != dhcp4.Request:
		return ""
	case named:
		return "REQUESTING"
	case v.CIAddr() == 0:
		return "REBOOTING"
	case f.Dst == dhcp4.Broadcast:
		return "REBINDING"
	}
	return "RENEWING"
}

// text is what the message says, in words, and where it goes.
func (t *timeline) text(f *netlab.Frame, v *dhcp4.View) string {
	what := ""
	switch req, _ := v.Addr(dhcp4.OptDHCPRequestedAddress); v.MessageType() {
	case dhcp4.Offer, dhcp4.Ack:
		what = fmt.Sprintf("%s for %s", v.YIAddr(), leaseTimes(v))
	case dhcp4.Decline:
		what = req.String() + " is taken"
	case dhcp4.Request:
		what = max(req, v.CIAddr()).String() + "?"
	case dhcp4.Discover:
		what = "any address?"
		if req != 0 {
			what = req.String() + "?"
		}
	case dhcp4.Nak:
		what = "no"
		if text, ok := v.Get(dhcp4.OptDHCPMessage, nil); ok {
			what = "no: " + string(dhcp4.AppendQuoted(nil, text, t.room()-len(`no: "..."`)))
		}
	}
	if t.width > 0 && t.width < textFrom+textWidth+1+wayWidth {
		return what
	}
	return fmt.Sprintf("%-*s %s", textWidth, what, paint(t.color, dim, fmt.Sprintf("%s → %s", f.Src, f.Dst)))
}

// room is how many columns a message's meaning may take.
func (t *timeline) room() int {
	if t.width > 0 {
		return max(24, t.width-textFrom)
	}
	return 80
}

// leaseTimes tells the times of a lease: "20 s, T1 10 s, T2 17 s".
func leaseTimes(v *dhcp4.View) string {
	s := "no time"
	if n, ok := v.Uint32(dhcp4.OptDHCPLeaseTime); ok {
		s = fmt.Sprintf("%d s", n)
	}
	if n, ok := v.Uint32(dhcp4.OptDHCPRenewalTime); ok {
		s += fmt.Sprintf(", T1 %d s", n)
	}
	if n, ok := v.Uint32(dhcp4.OptDHCPRebindingTime); ok {
		s += fmt.Sprintf(", T2 %d s", n)
	}
	return s
}
