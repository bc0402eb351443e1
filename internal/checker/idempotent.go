package checker

import (
	"bytes"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/trace"
)

// idempotent holds I13: copies of a REQUEST are answered with the same address and an end
// that is not earlier, and one that comes soon after makes no second change.
type idempotent struct{ answers map[answerKey]answer }

type answerKey struct {
	host string
	key  key
}

// answer is the last ACK to a REQUEST.
type answer struct {
	payload []byte // of the REQUEST
	addr    dhcp4.Addr
	end     int64 // of the lease at least, CLOCK_BOOTTIME
	t       int64
	polT    int64 // configuration and process that gave it
	start   int
}

// Bounds of what is remembered.
const (
	mostAnswers = 8192
	answerAge   = 300 * second
)

// copyTime is how soon after a REQUEST its copy costs no second sync; of a lease under 40 s it
// is the first quarter, within which no client extends it.
const (
	copyTime   = 10 * second
	otherQuiet = 60 * second // no other message of the client's may have waited that long
)

func newIdempotent() *idempotent { return &idempotent{answers: map[answerKey]answer{}} }

func (r *idempotent) entry(c *Checker, e *trace.Entry) {
	m := c.ledger.msg
	if f, ok := e.Body.(*trace.Frame); !ok || !f.Sent || m == nil || m.kind != dhcp4.Ack || m.yiaddr == 0 {
		return
	}
	s := c.ledger.host.server
	q := onlyRequest(s, m)
	if q == nil {
		return
	}
	k := answerKey{e.Host, keyOf(m.xid, m.who)}
	now := answer{payload: q.frame.Payload, addr: m.yiaddr, end: lease.After(q.m, m.lifetime), t: e.T, polT: s.polT, start: s.starts}
	if m.lifetime == lease.Infinite {
		now.end = lease.Never
	}
	old, ok := r.answers[k]
	if ok && old.polT == now.polT && old.start == now.start && e.T-old.t < answerAge && bytes.Equal(old.payload, now.payload) {
		r.compare(c, m, &old)
		now.end = max(now.end, old.end)
	} else if ok && bytes.Equal(old.payload, now.payload) {
		now.polT = old.polT // it may repeat what the configuration before gave
	}
	if len(r.answers) >= mostAnswers {
		for k, a := range r.answers {
			if e.T-a.t >= answerAge {
				delete(r.answers, k)
			}
		}
		if len(r.answers) >= mostAnswers {
			clear(r.answers)
		}
	}
	r.answers[k] = now
}

// compare holds m, the answer to a copy, against the answer before.
func (r *idempotent) compare(c *Checker, m *message, old *answer) {
	if m.yiaddr != old.addr {
		c.breach("I13", "a copy of the REQUEST of %s gets %s, the first got %s", name(m.who), m.yiaddr, old.addr)
		return
	}
	end := lease.After(c.ledger.m, m.lifetime)
	if m.lifetime == lease.Infinite {
		end = lease.Never
	}
	// The time that is left is rounded down to a second.
	if end != lease.Never && (old.end == lease.Never || end+second+slack < old.end) {
		c.breach("I13", "a copy of the REQUEST of %s gets %s for %d s, %d ms less than the first", name(m.who), m.yiaddr, m.lifetime, (old.end-end)/1e6)
	}
}

// onlyRequest is the oldest REQUEST that ACK m can answer when all that it can answer are
// copies of it, else nil.
func onlyRequest(s *server, m *message) *request {
	var one *request
	for q := s.pending[keyOf(m.xid, m.who)]; q != nil; q = q.next {
		switch {
		case q.rapid:
			return nil
		case q.kind != dhcp4.Request:
		case one == nil:
			one = q
		case !bytes.Equal(one.frame.Payload, q.frame.Payload):
			return nil
		}
	}
	return one
}

func (r *idempotent) end(*Checker) {}

// change looks for a second sync. Which message a change answers is not written, but when
// nothing came from the client for a while but copies of one message, it was one of these.
func (r *idempotent) change(c *Checker, s *server, rec *record) {
	now, old := rec.now, rec.before
	if now == nil || old == nil || now.State != lease.Bound || old.State != lease.Bound ||
		now.Lifetime == lease.Infinite || old.Lifetime == lease.Infinite ||
		now.HType != old.HType || !bytes.Equal(now.HW, old.HW) || !bytes.Equal(now.ClientID, old.ClientID) {
		return
	}
	first, again := grantedAt(old), grantedAt(now)
	window := min(copyTime, max(int64(old.Lifetime)*second/4, second))
	// What was loaded tells by its end nothing of when it was asked for.
	if gap := again - first; gap < 0 || gap >= window || rec.prevT <= s.startT || first < s.startM || s.failed && s.failT > c.ledger.t-2*otherQuiet {
		return
	}
	if n := copiesOnly(s, identOf(now), first-otherQuiet); n >= 2 {
		c.breach("I13", "a copy of the REQUEST for %s, %d ms after it, is synced a second time", rec.addr, (again-first)/1e6)
	}
}

// grantedAt is when the REQUEST was handled that a finite binding answers.
func grantedAt(b *lease.Binding) int64 { return b.End - int64(b.Lifetime)*second }

// copiesOnly is how many copies of one message that can make a binding came from client k
// since m, 0 if there were two different ones or nobody can say.
func copiesOnly(s *server, k ident, m int64) (n int) {
	var one *request
	for i := len(s.requests) - 1; i >= s.oldest; i-- {
		q := s.requests[i]
		if q.m < m {
			return n
		}
		if q.kind != dhcp4.Request && !q.rapid || !bySame(q, k) {
			continue
		}
		if one != nil && !bytes.Equal(one.frame.Payload, q.frame.Payload) {
			return 0
		}
		one = q
		n++
	}
	if len(s.requests)-s.oldest >= maxRequests {
		return 0
	}
	return n
}

// bySame reports whether q can be from client k: by either of its keys.
func bySame(q *request, k ident) bool {
	return len(k.hw) > 0 && q.who.htype == k.htype && bytes.Equal(q.who.hw, k.hw) || len(k.id) > 0 && bytes.Equal(q.who.id, k.id)
}
