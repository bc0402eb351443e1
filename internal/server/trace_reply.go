package server

import (
	"fmt"
	"slices"
	"strings"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/wire"
)

// lifetime tells how long the lease is to be, and by which rule.
func (t *Trace) lifetime(q *request, l policy.Lifetimes, seconds uint32) {
	s := Step{Stage: StageLease, Verdict: Yes, Level: t.from.level, Pos: t.from.pos}
	where := "the " + t.from.level.String()
	if t.from.name != "" {
		where = t.from.level.String() + " " + t.from.name
	}
	of := "of"
	if t.from.level == policy.LevelSubnet {
		of = "in" // it may be that of a level around it, or the default
	}
	s.Text = fmt.Sprintf("%s, the valid-lifetime %s %s", seconds32(seconds), of, where)
	if want, ok := q.view.Uint32(dhcp4.OptDHCPLeaseTime); ok {
		s.Text = fmt.Sprintf("%s, as the client asks; %s allows %s to %s", seconds32(seconds), where, seconds32(l.Min), seconds32(l.Max))
		if want != seconds {
			s.Text = fmt.Sprintf("%s; the client asks for %s, %s allows %s to %s", seconds32(seconds), seconds32(want), where, seconds32(l.Min), seconds32(l.Max))
		}
	}
	if q.isBooting() && seconds == maxBootLifetime {
		s.Text += "; no more while it boots (option 93)"
	}
	t.add(s)
}

// seconds32 is a lease duration in words.
func seconds32(t uint32) string {
	if t == lease.Infinite {
		return "infinite"
	}
	return span(int64(t) * second)
}

// message tells each option of a reply and where it comes from, what the client asked
// for in vain, what it did not ask for, and where the reply goes.
func (t *Trace) message(c *Core, q *request, r *Reply) {
	var sent dhcp4.View
	if sent.Parse(r.Data) != nil {
		return // no reply that this server writes
	}
	if r.Type != dhcp4.Nak {
		t.boot(c, q, &sent)
		for _, o := range c.reply.opts {
			t.option(c, o, &sent)
		}
		t.missing(c, q)
	}
	t.delivery(q, r)
}

// ofProtocol are the options that the protocol itself puts into a reply, in whose values there is nothing
// to explain.
var ofProtocol = []dhcp4.Code{dhcp4.OptDHCPMessageType, dhcp4.OptDHCPLeaseTime, dhcp4.OptDHCPRenewalTime, dhcp4.OptDHCPRebindingTime,
	dhcp4.OptDHCPClientIdentifier, dhcp4.OptRapidCommit, dhcp4.OptSubnetSelection}

func (t *Trace) option(c *Core, o dhcp4.Option, sent *dhcp4.View) {
	if slices.Contains(ofProtocol, o.Code) {
		return
	}
	s := Step{Stage: StageOption, Verdict: Yes, Name: o.Code.String(), Code: o.Code, Text: optionText(o.Code, o.Data)}
	switch v := c.reply.lookup(o.Code); {
	case v != nil:
		s.Level, s.Pos = v.Level, v.Pos
		if v.Flags&policy.AlwaysSend != 0 && !c.reply.asked.has(o.Code) {
			s.Text += ", sent always"
		}
	case o.Code == dhcp4.OptDHCPServerIdentifier && c.pol.ServerIdentifier == 0:
		s.Text += ", this server"
	}
	if !sent.Has(o.Code) {
		s.Verdict, s.Text = No, "left out: the reply is full"
	}
	t.add(s)
}

// boot tells what the header says of the boot.
func (t *Trace) boot(c *Core, q *request, sent *dhcp4.View) {
	a := sent.YIAddr()
	if a == 0 {
		return
	}
	pos := c.bootFor(q, a).pos
	for _, f := range []struct{ name, value string }{
		{"next-server", sent.SIAddr().String()}, {"server-hostname", string(c.reply.boot.sname)}, {"boot-file-name", string(c.reply.boot.file)},
	} {
		if f.value != "" && f.value != "0.0.0.0" {
			t.add(Step{Stage: StageOption, Verdict: Yes, Name: f.name, Text: f.value + ", in the header", Pos: pos})
		}
	}
}

// missing tells what was asked for and is not sent, and what is configured and was not
// asked for.
func (t *Trace) missing(c *Core, q *request) {
	var in codeSet
	for _, o := range c.reply.opts {
		in.add(o.Code)
	}
	var none []string
	for _, p := range q.params {
		code := dhcp4.Code(p)
		if in.has(code) || slices.Contains(ofProtocol, code) {
			continue
		}
		v := c.reply.lookup(code)
		if v == nil {
			none = append(none, code.String())
			continue
		}
		s := Step{Stage: StageOption, Verdict: No, Name: code.String(), Code: code, Level: v.Level, Pos: v.Pos}
		if s.Text = "not sent: 121 says it better (RFC 3442)"; v.Template != nil {
			s.Text = "not sent: its text has nothing for this client"
		}
		t.add(s)
		in.add(code)
	}
	if len(none) > 0 {
		t.add(Step{Stage: StageOption, Verdict: No, Name: "not set", Text: strings.Join(none, ", ") + ": asked for and not configured"})
	}
	for _, set := range c.reply.layers {
		for i := range set.All() {
			v := &set.All()[i]
			if in.has(v.Code) || c.reply.lookup(v.Code) != v {
				continue
			}
			in.add(v.Code)
			t.add(Step{Stage: StageOption, Verdict: No, Name: v.Code.String(), Code: v.Code, Level: v.Level, Pos: v.Pos,
				Text: "not sent: the client does not ask for it"})
		}
	}
}

func optionText(code dhcp4.Code, data []byte) string {
	if d := dhcp4.Lookup(code); d != nil {
		return string(d.AppendText(nil, data))
	}
	return hwText(data)
}

// delivery tells where a reply goes, and why there.
func (t *Trace) delivery(q *request, r *Reply) {
	s := Step{Stage: StageDelivery, Addr: r.Dst}
	switch {
	case q.giaddr != 0:
		s.Text = fmt.Sprintf("unicast to the relay agent %s", r.Dst)
		if r.DstPort != dhcp4.ServerPort {
			s.Text += fmt.Sprintf(", port %d (RFC 8357)", r.DstPort)
		}
	case !r.Raw:
		s.Text = fmt.Sprintf("unicast to %s, which the client has", r.Dst)
	case r.MAC == wire.BroadcastMAC && q.view.Broadcast():
		s.Text = "broadcast, as the client asks"
	case r.MAC == wire.BroadcastMAC:
		s.Text = "broadcast"
	case r.Type == dhcp4.Nak || q.ciaddr == 0:
		s.Text = "unicast to " + hwText(r.MAC[:]) + " (broadcast flag not set)"
	default:
		s.Text = "unicast to " + hwText(r.MAC[:])
	}
	s.Text += ", from " + r.Src.String()
	t.add(s)
}

// answer tells what would be written, what would be said to the operator, and the
// answer itself.
func (t *Trace) answer(c *Core, e *Effects) {
	q := &c.q
	for i := range e.Changes {
		t.write(q, &e.Changes[i])
	}
	dropped := None
	for i := range e.Events {
		ev := &e.Events[i]
		switch ev.Kind {
		case EventDrop:
			dropped = ev.Reason
		case EventAlarm, EventConflict:
			t.add(Step{Stage: StageAlarm, Addr: ev.Addr, Reason: ev.Reason, Text: fmt.Sprintf("%s: %s", ev.Addr, ev.Reason.Text())})
		}
	}
	if len(e.Replies) > 0 {
		t.reply(q, &e.Replies[len(e.Replies)-1], e)
		return
	}
	s := Step{Stage: StageAnswer, Verdict: No, Reason: dropped, Text: "no answer: " + dropped.Text()}
	switch {
	case dropped == NotAuthoritative:
		s.Text = fmt.Sprintf("no answer: %s, which would be a NAK, but this server is not authoritative", t.refused.Text())
	case dropped == None:
		s.Verdict, s.Text = Yes, fmt.Sprintf("%s believed; it gets no answer", strings.ToUpper(q.kind.String()))
	}
	t.add(s)
}

// reply tells the answer.
func (t *Trace) reply(q *request, r *Reply, e *Effects) {
	s := Step{Stage: StageAnswer, Verdict: Yes, Text: r.Type.String()}
	var v dhcp4.View
	if v.Parse(r.Data) == nil && v.YIAddr() != 0 {
		s.Addr = v.YIAddr()
		s.Text += " " + s.Addr.String()
		if time, ok := v.Uint32(dhcp4.OptDHCPLeaseTime); ok {
			s.Text += " for " + seconds32(time)
		}
	}
	if r.Type == dhcp4.Nak {
		s.Verdict, s.Reason = No, t.refused
		s.Text += ": " + t.refused.Text()
	}
	switch {
	case t.Check != 0:
		s.Text += fmt.Sprintf("; half a second later, if nobody answers for %s", t.Check)
	case r.After != 0 && r.Type == dhcp4.Nak:
		s.Text += "; it would wait for the store's word"
	case r.After != 0 && len(e.Changes) > 0:
		s.Text += "; it would wait for the disk"
	case r.Type == dhcp4.Ack && q.kind == dhcp4.Request:
		s.Text += "; with the time that is left, so that nothing need be written"
	}
	t.add(s)
}

// write tells a change that would be made durable.
func (t *Trace) write(q *request, ch *lease.Change) {
	b := &ch.After
	s := Step{Stage: StageWrite, Addr: b.Addr}
	switch {
	case ch.CompareOnly:
		s.Addr = ch.Before.Addr
		s.Text = fmt.Sprintf("nothing; the store is asked whether the record of %s still stands", s.Addr)
	case b.State == lease.Bound && ch.Before.Addr != 0 && ch.Before.State == lease.Bound && ch.Before.Free > q.now.M:
		s.Text = fmt.Sprintf("%s stays with %s, for another %s", b.Addr, client(b), seconds32(b.Lifetime))
	case b.State == lease.Bound:
		s.Text = fmt.Sprintf("%s goes to %s, for %s", b.Addr, client(b), seconds32(b.Lifetime))
	case b.State == lease.Declined:
		s.Text = fmt.Sprintf("%s is out of use, for %s", b.Addr, span(b.Free-q.now.M))
	default:
		s.Text = fmt.Sprintf("%s is given back by %s", b.Addr, client(b))
	}
	t.add(s)
}

// client names the client of a record.
func client(b *lease.Binding) string {
	if len(b.HW) > 0 {
		return hwText(b.HW)
	}
	return "client-id " + hwText(b.ClientID)
}
