package checker

import (
	"slices"

	"lessor/dhcp4"
	core "lessor/internal/server"
	"lessor/internal/trace"
)

// renewals holds I3: a holder that asks for its address while S runs gets an ACK of it, or
// nothing for a reason that counts.
type renewals struct {
	open map[*server]*openRenewals
}

// openRenewals are a server's owed requests that nothing has answered yet.
type openRenewals struct {
	owed             []*request
	got              uint64 // REQUESTs that it was handed when it was last looked at
	handled          uint64 // those that its core counted then
	took, tookBefore int64  // how long the last two commits took, on M
}

func newRenewals() *renewals { return &renewals{open: map[*server]*openRenewals{}} }

// silence is how long an answer may take, in nanoseconds: longer than two syncs of the slowest
// disk, the one that was under way when the request came and its own.
const silence = 75 * second

func (r *renewals) entry(c *Checker, e *trace.Entry) {
	l := c.ledger
	s := l.host.server
	if s == nil {
		return
	}
	switch b := e.Body.(type) {
	case *trace.Frame:
		if l.request != nil && s.isOwed(l.request) {
			l.request.owed = true
			o := r.of(s)
			o.owed = append(o.owed, l.request)
		}
		if l.reply != nil {
			r.reply(c, l.reply)
		}
	case *trace.Happened:
		r.dropped(c, s, &b.Event)
	case *trace.Commit:
		if b.Err == "" {
			r.kept(s, b)
		}
		o := r.of(s)
		o.took, o.tookBefore = l.m-b.Began.M, o.took
		r.overdue(c, s)
	case *trace.Counts:
		r.counts(c, s, b)
	case *trace.Started, *trace.Ended:
		*r.of(s) = openRenewals{}
	case *trace.Interface:
		if o := r.of(s); !b.Ready {
			o.owed = o.owed[:0]
		}
	}
}

func (r *renewals) end(*Checker) {}

func (r *renewals) of(s *server) *openRenewals {
	o := r.open[s]
	if o == nil {
		o = &openRenewals{}
		r.open[s] = o
	}
	return o
}

// isOwed reports whether q is the request of a holder for what it holds, which nothing
// stands against, and reaches s in a way that it listens to.
func (s *server) isOwed(q *request) bool {
	switch q.form {
	case selecting, initReboot, renewing, rebinding:
	default:
		return false
	}
	if q.net == nil || s.judge(s.pol, q.net, q, q.target) != allowed || q.giaddr == 0 && q.routed && q.frame.Src != q.ciaddr {
		return false
	}
	if len(q.who.hw) == 6 && q.who.hw[0]&1 != 0 || s.record(q.target).unknown {
		return false
	}
	p := s.holds(s.pol, q.who, q.target, s.l.t)
	if p == nil || !p.runs(s.l.t+2*second) {
		return false
	}
	// The claim rests on the record: one that was lost is the store's affair (I16).
	b := s.record(q.target).now
	return b != nil && bound(b, s.l.m+2*second) && same(s.pol, identOf(b), q.who, q.target)
}

// reply judges a NAK, or an ACK of another address.
func (r *renewals) reply(c *Checker, p *reply) {
	if len(p.others) == 0 {
		return
	}
	for _, q := range p.others {
		if !q.owed || p.server.polT >= q.at.T || p.server.linksT >= q.at.T || q.target == p.addr {
			return
		}
	}
	q := p.request
	switch {
	case p.msg.kind == dhcp4.Nak:
		c.breach("I3", "%v holds %s, asks for it and gets a NAK", q.who, q.target)
	case p.msg.kind == dhcp4.Ack && p.addr != 0:
		c.breach("I3", "%v holds %s, asks for it and gets an ACK of %s", q.who, q.target, p.addr)
	}
}

// wrongSilence are the reasons for silence that a holder's request must not meet. The
// others are those of frames that cannot be read or trusted, and of a failing store.
var wrongSilence = []core.Reason{core.ForeignServer, core.NoAddress, core.NotOurServerID, core.NotHolder, core.NoRecord,
	core.NotAuthoritative, core.UnknownRelay, core.VirtualSubnet, core.NoSubnet, core.ClassDrop, core.PoolFull, core.NoPoolForClient,
	core.NewRateLimit, core.AddressLimit, core.RateLimited, core.ProbePending, core.NoCheck, core.NoReplyPath}

// dropped judges the drop of a holder's request.
func (r *renewals) dropped(c *Checker, s *server, ev *core.Event) {
	if ev.Kind != core.EventDrop || len(c.ledger.dropped) == 0 {
		return
	}
	for _, q := range c.ledger.dropped {
		if !q.owed || s.polT >= q.at.T || s.linksT >= q.at.T {
			return
		}
	}
	q := c.ledger.dropped[0]
	failing := (ev.Reason == core.StoreFailing || ev.Reason == core.LeaseEnding) && !s.failing && s.l.t-s.failT > 5*second
	o := r.of(s)
	soon := ev.Reason == core.AnswerLate && o.took+o.tookBefore < second // nothing is late before
	if failing || soon || slices.Contains(wrongSilence, ev.Reason) {
		c.breach("I3", "%v holds %s, asks for it and gets no answer: %s", q.who, q.target, ev.Reason)
	}
}

// counts looks at whether all REQUESTs since the last look have reached the core. Only
// then is silence its own.
func (r *renewals) counts(c *Checker, s *server, b *trace.Counts) {
	o := r.of(s)
	got, handled := s.got[dhcp4.Request], b.Counters.Received[dhcp4.Request]
	whole := got-o.got == handled-o.handled && !b.Overload
	o.owed = slices.DeleteFunc(o.owed, func(q *request) bool {
		q.known = q.known || whole
		return !q.known
	})
	o.got, o.handled = got, handled
	r.overdue(c, s)
}

// kept notes that the store has kept all that was decided before a group was begun.
func (r *renewals) kept(s *server, b *trace.Commit) {
	for _, q := range r.of(s).owed {
		if q.kept == 0 && b.Began.M > q.m {
			q.kept = s.l.t
		}
	}
}

// overdue looks for requests that nobody answered in time: the store has kept what was
// decided after them, and nothing else explains it.
func (r *renewals) overdue(c *Checker, s *server) {
	o := r.of(s)
	o.owed = slices.DeleteFunc(o.owed, func(q *request) bool {
		switch {
		case q.fate != waits || s.failing || s.failT >= q.at.T || s.polT >= q.at.T || s.linksT >= q.at.T || s.host.clock.since >= q.at.T:
			return true
		case !q.known || !s.events || s.l.t-q.at.T < silence || q.kept == 0 || s.l.t-q.kept < 5*second:
			return false
		}
		c.breach("I3", "%v holds %s, asked for it %.0f s ago and got no answer", q.who, q.target, secs(s.l.t-q.at.T))
		return true
	})
}
