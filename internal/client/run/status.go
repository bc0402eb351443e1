package run

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
)

// maxChanges is how many steps of the state a Status holds.
const maxChanges = 32

// statusKeeper makes a Status when it is asked for and something has changed.
type statusKeeper struct {
	last    *Status // nil: something has changed
	reason  client.Reason
	changes []Change
	ignored [256]uint64
	options map[string]any // of the lease whose ACK is acked
	acked   []byte
	offset  int64 // wall clock minus boot clock, for the times of a lease
}

func (k *statusKeeper) init(now lease.Instant) { k.offset = now.W - now.M }

// touch says that something has changed.
func (k *statusKeeper) touch() { k.last = nil }

// event takes in e.
func (k *statusKeeper) event(l *loop, now lease.Instant, e *client.Event) {
	k.last = nil
	switch e.Kind {
	case client.EventIgnored:
		k.ignored[e.Reason]++
	case client.EventState:
		k.reason = e.Reason
		if len(k.changes) == maxChanges {
			k.changes = k.changes[:copy(k.changes, k.changes[1:])]
		}
		k.changes = append(k.changes, Change{At: time.Unix(0, now.W), From: stateName(e.From), To: stateName(e.To), Reason: e.Reason.String()})
	}
}

func stateName(s client.State) string { return strings.ToLower(s.String()) }

// get returns the status; it is never changed afterwards.
func (k *statusKeeper) get(l *loop) *Status {
	if k.last != nil {
		return k.last
	}
	s := &Status{Interface: l.o.Interface, State: stateName(client.Init), Reason: k.reason.String(), Changes: slices.Clone(k.changes)}
	if s.Changes == nil {
		s.Changes = []Change{}
	}
	for why, n := range k.ignored {
		if n > 0 {
			if s.Ignored == nil {
				s.Ignored = map[string]uint64{}
			}
			s.Ignored[client.Reason(why).String()] += n
		}
	}
	if l.m != nil {
		s.State = stateName(l.m.State())
		if c := l.m.Lease(); c != nil {
			k.lease(l, s, c)
		}
	}
	k.last = s
	return s
}

// lease fills in what is known of lease c. Its times are told on the wall clock as it
// is now, but do not differ by parts of a second from one look to the next.
func (k *statusKeeper) lease(l *loop, s *Status, c *client.Lease) {
	now := l.o.Clock.Now()
	if d := now.W - now.M - k.offset; d > second || d < -second {
		k.offset += d
	}
	s.Address, s.Server = c.Addr.String(), c.Server.String()
	at := func(m int64) *time.Time {
		if m == never {
			return nil
		}
		t := time.Unix(0, m+k.offset).Truncate(time.Millisecond)
		return &t
	}
	s.Obtained, s.Renews, s.Rebinds, s.Expires = at(c.Start), at(c.T1), at(c.T2), at(c.End)
	if !slices.Equal(c.ACK, k.acked) {
		k.acked, k.options = slices.Clone(c.ACK), optionsOf(c.ACK)
	}
	s.Options = k.options
}

// envelope are the options that carry the exchange and say nothing to a person who asks
// what the network told.
var envelope = []dhcp4.Code{dhcp4.OptDHCPMessageType, dhcp4.OptDHCPServerIdentifier, dhcp4.OptDHCPOptionOverload}

// optionsOf are the options of a message by name, each as its definition reads it.
func optionsOf(message []byte) map[string]any {
	out := map[string]any{}
	eachOption(message, func(c dhcp4.Code, val []byte) {
		if slices.Contains(envelope, c) {
			return
		}
		if d := dhcp4.Lookup(c); d != nil {
			if text := d.AppendJSON(nil, val); string(text) != "null" && json.Valid(text) {
				out[c.String()] = json.RawMessage(text)
			}
		}
	})
	return out
}

// eachOption calls fn for each option of message with its whole value, which lies in memory
// that the next call uses again.
func eachOption(message []byte, fn func(dhcp4.Code, []byte)) {
	var v dhcp4.View
	if v.Parse(message) != nil {
		return
	}
	scratch := make([]byte, 0, len(message))
	for c := dhcp4.Code(1); c < 255; c++ {
		if !v.Has(c) {
			continue
		}
		if val, ok := v.Get(c, scratch); ok {
			fn(c, val)
		}
	}
}
