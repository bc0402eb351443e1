package sim

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/store"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// add appends a line.
func (t *Timeline) add(e *trace.Entry, who string, weight uint8, tone Tone, format string, args ...any) *Line {
	t.lines = append(t.lines, Line{At: e.T, Who: who, Text: fmt.Sprintf(format, args...), Tone: tone, weight: weight})
	return &t.lines[len(t.lines)-1]
}

// describe adds the lines of an entry, none if it tells nothing.
func (t *Timeline) describe(e *trace.Entry) {
	switch b := e.Body.(type) {
	case *trace.Clock:
		t.clock(e, b)
		return // it has kept what the clocks show
	case *trace.Frame:
		t.message(e, b)
	case *trace.Commit:
		t.commit(e, b)
	case *trace.Client:
		t.client(e, b)
	case *trace.Happened:
		t.event(e, &b.Event)
	case *trace.Note:
		t.note(e, b.Text)
	default:
		t.server(e)
	}
	if c, ok := t.clocks[e.Host]; ok && e.Now != (lease.Instant{}) {
		c.at, c.now = e.T, e.Now
		t.clocks[e.Host] = c
	}
}

// message ids begin like this.
var messageID = regexp.MustCompile(`^[A-Z]+_[A-Z_]+ `)

// note tells the fate of a frame, what a server says to people, or a step.
func (t *Timeline) note(e *trace.Entry, text string) {
	switch {
	case strings.HasPrefix(text, "a frame from "):
		t.add(e, e.Host, light, ToneFault, "%s", text).addrs = t.frame
	case messageID.MatchString(text):
		l := t.add(e, e.Host, normal, ToneFaint, "%s", text)
		l.routine = t.again(e.Host+" says", text)
	default:
		t.add(e, e.Host, heavy, ToneFault, "▶ %s", text)
	}
}

// again reports whether who says the same as the last time.
func (t *Timeline) again(who, text string) bool {
	same := t.said[who] == text
	t.said[who] = text
	return same
}

// server describes what happens to a server's process and machine.
func (t *Timeline) server(e *trace.Entry) {
	switch b := e.Body.(type) {
	case *trace.Started:
		how := ""
		if b.Careful {
			how = ", in careful mode"
		}
		t.add(e, e.Host, heavy, ToneTalk, "server starts with %s from its store%s", plural(b.Records, "record"), how)
	case *trace.Ended:
		t.add(e, e.Host, heavy, ToneFault, "%s", endText(b))
	case *trace.Config:
		if b.Refused {
			t.add(e, e.Host, heavy, ToneTalk, "refuses a configuration: %s", firstLine(b.Why))
		} else {
			t.add(e, e.Host, heavy, ToneTalk, "has a configuration in force")
		}
	case *trace.Served:
		t.serves(e, b)
	case *trace.Interface:
		t.nic(e, b)
	case *trace.Disk:
		what := "works again"
		switch {
		case b.Broken:
			what = "fails"
		case b.Slow:
			what = "is slow"
		}
		t.add(e, e.Host+" disk", heavy, ToneFault, "%s", what)
	case *trace.StoreState:
		if b.Failing {
			t.add(e, e.Host, heavy, ToneTalk, "knows that its store fails: %s", b.Why)
		} else {
			t.add(e, e.Host, heavy, ToneTalk, "its store is whole again")
		}
	case *trace.Relaying:
		what := "relay agent runs on " + plural(len(b.Ports), "interface")
		if len(b.Ports) == 0 {
			what = "no relay agent runs"
		}
		t.add(e, e.Host, heavy, ToneTalk, "%s", what)
	case *trace.Override:
		how := ""
		if b.Immediate {
			how = " --now"
		}
		t.add(e, e.Host, heavy, ToneTalk, "operator: leases release %s%s", b.Addr, how).addrs = []dhcp4.Addr{b.Addr}
	case *trace.Phase:
		switch b.Name {
		case trace.PhaseHealed:
			t.add(e, "", heavy, ToneFault, "▶ no more faults from here on: what liveness promises must come true")
		case trace.PhaseEnd:
			t.add(e, "", heavy, ToneFaint, "end of the run")
		}
	}
}

func endText(b *trace.Ended) string {
	switch {
	case b.Power:
		return "loses power"
	case b.Crashed:
		return "server gives up by itself"
	case b.Clean:
		return "server stops as it was asked to"
	}
	return "server is killed"
}

func (t *Timeline) serves(e *trace.Entry, b *trace.Served) {
	var links []string
	for _, l := range b.Links {
		t.macs[l.MAC] = e.Host
		var as []string
		for _, a := range l.Addrs {
			t.addrs[a.Addr] = e.Host
			as = append(as, a.String())
		}
		links = append(links, l.Name+" "+strings.Join(as, " "))
	}
	if len(links) == 0 {
		links = []string{"no interface"}
	}
	t.add(e, e.Host, heavy, ToneTalk, "serves %s", strings.Join(links, ", "))
}

// nic tells of an interface that is not ready, or is again.
func (t *Timeline) nic(e *trace.Entry, b *trace.Interface) {
	key := e.Host + " " + b.Link.Name
	was, known := t.states[key]
	is := "is down"
	switch {
	case b.Ready && len(b.Link.Addrs) > 0:
		is = "is ready with " + b.Link.Addrs[0].String()
	case b.Up:
		is = "is up"
	}
	t.states[key] = is
	if was != is && (known || !b.Ready && !b.Up) {
		t.add(e, e.Host, heavy, ToneTalk, "%s %s", b.Link.Name, is)
	}
}

// clock tells of boots, steps of the wall clock and changes of rate.
func (t *Timeline) clock(e *trace.Entry, b *trace.Clock) {
	was, known := t.clocks[e.Host]
	t.clocks[e.Host] = clockSeen{e.T, e.Now, b.Boot, b.Drift}
	if !known {
		if b.Drift != 0 {
			t.add(e, e.Host, light, ToneFaint, "its clock runs %+d ppm", b.Drift)
		}
		return
	}
	if was.boot != b.Boot {
		t.add(e, e.Host, heavy, ToneFault, "boots; its wall clock is %s", offBy(e.Now.W-was.now.W-(e.T-was.at)))
		return
	}
	if was.drift != b.Drift {
		t.add(e, e.Host, heavy, ToneFault, "its clock runs %+d ppm", b.Drift)
	}
	if step := e.Now.W - was.now.W - (e.T - was.at); step > lease.Second/2 || step < -lease.Second/2 {
		t.add(e, e.Host, heavy, ToneFault, "its wall clock steps by %s", signed(step))
	}
}

func offBy(ns int64) string {
	if ns > -lease.Second/2 && ns < lease.Second/2 {
		return "as it was"
	}
	return signed(ns) + " from where it was"
}

func signed(ns int64) string {
	if ns < 0 {
		return "−" + SpanText(ns)
	}
	return "+" + SpanText(ns)
}

// until is a deadline on the host's CLOCK_BOOTTIME in the time of the timeline.
func until(e *trace.Entry, end int64) string {
	if end == lease.Never {
		return "for ever"
	}
	return "until " + Clock(e.T+end-e.Now.M)
}

// commit tells what a store has made durable.
func (t *Timeline) commit(e *trace.Entry, b *trace.Commit) {
	const most = 3
	took := SpanText(e.Now.M - b.Began.M)
	who := e.Host + " disk"
	if len(b.Changes) == 0 {
		if b.Err != "" {
			t.add(e, who, normal, ToneFault, "mark not written: %s", b.Err)
		}
		return
	}
	var parts []string
	var as []dhcp4.Addr
	routine := b.Err == ""
	for i := range b.Changes {
		c := &b.Changes[i]
		routine = routine && extends(c)
		as = append(as, c.Before.Addr, c.After.Addr)
		if i < most {
			parts = append(parts, t.change(e, c)+outcome(b, i))
		}
	}
	if n := len(b.Changes) - most; n > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", n))
	}
	how, tone := "commit", ToneTalk
	switch {
	case b.Unknown:
		how, tone = "commit, outcome unknown ("+b.Err+"):", ToneFault
	case b.Err != "":
		how, tone = "commit FAILED ("+b.Err+"):", ToneFault
	default:
		parts = append(parts, "synced in "+took)
	}
	l := t.add(e, who, normal, tone, "%s %s", how, strings.Join(parts, ", "))
	l.addrs, l.routine = as, routine
}

// extends reports whether a change is a renewal.
func extends(c *lease.Change) bool {
	b, a := &c.Before, &c.After
	return !c.CompareOnly && b.State == lease.Bound && a.State == lease.Bound && b.HType == a.HType &&
		bytes.Equal(b.ClientID, a.ClientID) && bytes.Equal(b.HW, a.HW)
}

func outcome(b *trace.Commit, i int) string {
	if b.Err != "" || i >= len(b.Results) {
		return ""
	}
	switch b.Results[i] {
	case store.Refused:
		return " (refused)"
	case store.Failed:
		return " (failed)"
	}
	return ""
}

// change is one change of a record in words.
func (t *Timeline) change(e *trace.Entry, c *lease.Change) string {
	a := &c.After
	switch {
	case c.CompareOnly:
		return fmt.Sprintf("%s compared", c.Before.Addr)
	case a.State == 0:
		return fmt.Sprintf("%s deleted", max(c.Before.Addr, a.Addr))
	case a.State == lease.Released:
		return fmt.Sprintf("%s released by %s", a.Addr, t.holder(a))
	case a.State == lease.Declined:
		return fmt.Sprintf("%s out of use %s", a.Addr, until(e, a.Free))
	}
	return fmt.Sprintf("%s to %s %s", a.Addr, t.holder(a), until(e, a.End))
}

// holder is the name of a record's client.
func (t *Timeline) holder(b *lease.Binding) string { return t.clientName(b.ClientID, b.HW) }

// clientName is the host whose client identifier or hardware address it is, else what there is
// of them.
func (t *Timeline) clientName(id, hw []byte) string {
	if n, ok := t.ids[string(id)]; ok && len(id) > 0 {
		return n
	}
	if len(hw) == 6 {
		if n, ok := t.macs[wire.MAC(hw)]; ok && len(id) == 0 {
			return n
		}
	}
	if len(id) > 0 {
		return fmt.Sprintf("id %.8x", id)
	}
	return fmt.Sprintf("hw %.6x", hw)
}

// client tells what a client does.
func (t *Timeline) client(e *trace.Entry, b *trace.Client) {
	as := []dhcp4.Addr{b.Addr}
	switch b.What {
	case trace.ClientStart:
		t.macs[b.MAC] = e.Host
		if len(b.ClientID) > 0 {
			t.ids[string(b.ClientID)] = e.Host
		}
		t.add(e, e.Host, heavy, ToneTalk, "client starts")
	case trace.ClientState:
		if t.states[e.Host] != b.State {
			t.states[e.Host] = b.State
			t.add(e, e.Host, light, ToneFaint, "is %s", b.State)
		}
	case trace.ClientAccept:
		t.add(e, e.Host, light, ToneGood, "takes %s %s", b.Addr, until(e, b.End)).addrs = as
	case trace.ClientConfigure:
		if t.states[e.Host+" has"] == b.Addr.String() {
			return
		}
		t.states[e.Host+" has"] = b.Addr.String()
		t.add(e, e.Host, normal, ToneGood, "has %s on its interface", b.Addr).addrs = as
	case trace.ClientDeconfigure:
		delete(t.states, e.Host+" has")
		t.add(e, e.Host, normal, ToneTalk, "takes %s off its interface", b.Addr).addrs = as
	case trace.ClientKilled:
		t.add(e, e.Host, heavy, ToneFault, "client is killed").addrs = as
	case trace.ClientOff:
		t.add(e, e.Host, heavy, ToneFault, "machine is off").addrs = as
	}
}

// event tells what a server says besides its messages and commits.
func (t *Timeline) event(e *trace.Entry, v *server.Event) {
	why := ""
	if v.Reason != server.None {
		why = ": " + v.Reason.Text()
	}
	as := []dhcp4.Addr{v.Addr}
	switch v.Kind {
	case server.EventDrop:
		weight := light
		if v.Type == 0 {
			weight = hidden // nothing that a client has sent
		}
		t.add(e, e.Host, weight, ToneFaint, "drops %s of %s%s", v.Type, t.clientName(v.ClientID, v.HW), why).addrs = as
	case server.EventNak:
		t.add(e, e.Host, light, ToneFaint, "NAK%s", why).addrs = as
	case server.EventConflict:
		t.add(e, e.Host, normal, ToneFault, "somebody answers for %s", v.Addr).addrs = as
	case server.EventExpired:
		t.add(e, e.Host, normal, ToneTalk, "the lease of %s has run out", v.Addr).addrs = as
	case server.EventAlarm:
		t.add(e, e.Host, normal, ToneTalk, "alarm%s", why).addrs = as
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}
