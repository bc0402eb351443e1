package engine

import (
	"encoding/binary"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/server"
)

// leastLate is the shortest lease in seconds that a late ACK may still give: one with T1 and T2.
const leastLate = 4

// timely looks at ACKs that had to wait for the disk. A client may count its lease from its
// last transmission (RFC 2131 4.4.1 leaves that open), which can be as late as the ACK: so an
// ACK that waited for more than a second gives the time that is left now, and one with next
// to nothing left is not sent. The binding stays, and the client's next message is
// answered from it.
func (s *Serving) timely(now lease.Instant, out *Out) {
	kept := out.Replies[:0]
	for i := range out.Replies {
		r := &out.Replies[i]
		if r.End != 0 && !shorten(r, lease.Remaining(r.End, now.M)) {
			out.Events = append(out.Events, tooLate(r))
			s.core.CountLate(r.Type)
			continue
		}
		kept = append(kept, *r)
	}
	out.Replies = kept
}

// shorten makes the ACK r one for left seconds if it says more than a second more; false says
// that too little is left for that.
func shorten(r *server.Reply, left uint32) bool {
	var v dhcp4.View
	if v.Parse(r.Data) != nil {
		return true
	}
	t, ok := v.Uint32(dhcp4.OptDHCPLeaseTime)
	switch {
	case !ok || t <= left || t-left <= 1:
		return true
	case left < leastLate:
		return false
	}
	t1, t2, _ := lease.Timers(left)
	for code, seconds := range map[dhcp4.Code]uint32{dhcp4.OptDHCPLeaseTime: left, dhcp4.OptDHCPRenewalTime: t1, dhcp4.OptDHCPRebindingTime: t2} {
		if val, ok := v.Get(code, nil); ok && len(val) == 4 { // it lies in r.Data
			binary.BigEndian.PutUint32(val, seconds)
		}
	}
	return true
}

// tooLate is the event of a reply that is not sent.
func tooLate(r *server.Reply) server.Event {
	ev := server.Event{Kind: server.EventDrop, Type: dhcp4.Request, Reason: server.AnswerLate, Link: r.Link}
	var v dhcp4.View
	if v.Parse(r.Data) != nil {
		return ev
	}
	if v.Has(dhcp4.OptRapidCommit) {
		ev.Type = dhcp4.Discover
	}
	ev.Addr, ev.XID, ev.HType, ev.HW, ev.GIAddr = v.YIAddr(), v.XID(), v.HType(), v.CHAddr(), v.GIAddr()
	ev.ClientID, _ = v.Get(dhcp4.OptDHCPClientIdentifier, nil)
	return ev
}
