package checker

import (
	"fmt"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/trace"
)

// doubt is what looks like a breach, unless a change that was not durable yet explains
// it: the trace shows a change when its sync has returned, the server acts on it from
// the moment at which it is decided. So the doubt waits for the first commit that was
// begun later. It is a breach if no change of its addresses came until then.
type doubt struct {
	at    mark
	m     int64
	addrs []dhcp4.Addr
	rule  string
	what  string

	recalled uint64 // offers that the server had taken back before (I7)
}

const maxDoubts = 100

// doubt reports a breach by s unless a change of one of addrs was under way.
func (c *Checker) doubt(s *server, addrs []dhcp4.Addr, rule, format string, args ...any) {
	if len(s.doubts) < maxDoubts {
		s.doubts = append(s.doubts, doubt{at: s.here(c.at), m: s.l.m, addrs: slices.Clone(addrs), rule: rule, what: fmt.Sprintf(format, args...)})
	}
}

// settleDoubts lets the answer to a group decide: whole says that all of it is durable.
func (s *server) settleDoubts(c *Checker, b *trace.Commit, whole bool) {
	if !whole {
		s.doubts = s.doubts[:0]
	}
	if len(s.doubts) == 0 {
		return
	}
	s.doubts = slices.DeleteFunc(s.doubts, func(d doubt) bool {
		for i := range b.Changes {
			if ch := &b.Changes[i]; !ch.CompareOnly && slices.Contains(d.addrs, ch.After.Addr) {
				return true
			}
		}
		if b.Began.M > d.m {
			c.breachAt(d.at, d.rule, "%s", d.what)
			return true
		}
		return false
	})
}
