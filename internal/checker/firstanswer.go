package checker

import (
	"lessor/internal/lease"
	"lessor/internal/trace"
)

// What L2 allows: from start to first answer, and for each record that is read.
const (
	startTime     = 3 * lease.Second / 10
	timePerRecord = lease.Second / 1_000_000
	mostEchoes    = 8                         // questions by ICMP, one after the other; a trace does not have them
	checkTime     = 600 * lease.Second / 1000 // how long an answer may wait for the silence after one ARP question
)

// firstAnswer holds L2. The time a server took to start is what its Started entry says.
// The time to its first answer counts from the newest of what the answer can have
// waited for: its request, a commit, the silence after an ARP question, an interface.
type firstAnswer struct{ hosts map[string]*firstHost }

type firstHost struct {
	records int
	took    int64
	waiting bool             // for the first answer since the start
	limit   int64            //
	asked   map[uint32]int64 // when a request came in last, by xid
	busy    int64            // until when an answer may have had to wait
}

func newFirstAnswer() *firstAnswer { return &firstAnswer{hosts: map[string]*firstHost{}} }

func (r *firstAnswer) entry(c *Checker, e *trace.Entry) {
	if s, ok := e.Body.(*trace.Started); ok {
		r.hosts[e.Host] = &firstHost{records: s.Records, took: s.Took, asked: map[uint32]int64{}}
		return
	}
	h := r.hosts[e.Host]
	if h == nil {
		return
	}
	switch b := e.Body.(type) {
	case *trace.Ended, *trace.Clock: // over, or suspended: nothing more can be said
		delete(r.hosts, e.Host)
	case *trace.Config:
		h.config(c, b)
	case *trace.Commit, *trace.Served, *trace.StoreState:
		h.busy = max(h.busy, e.T)
	case *trace.Frame:
		if !h.waiting {
			return
		}
		if r.frame(c, e, b, h) {
			delete(r.hosts, e.Host)
		}
	}
}

// config is the first configuration of the process. One that was made up without a file
// takes its time for looking around.
func (h *firstHost) config(c *Checker, b *trace.Config) {
	if h.waiting || b.Policy == nil || b.Policy.Careful {
		return
	}
	h.waiting = true
	h.limit = startTime + int64(h.records)*timePerRecord
	if b.Policy.EchoCheck {
		h.limit += mostEchoes * checkTime
	}
	if h.took > h.limit {
		c.breach("L2", "%d ms to start with %d records, at most %d ms may be", h.took/1e6, h.records, h.limit/1e6)
	}
}

// frame reports true after the first answer.
func (r *firstAnswer) frame(c *Checker, e *trace.Entry, f *trace.Frame, h *firstHost) bool {
	if f.ARP != nil {
		if f.Sent {
			h.busy = max(h.busy, e.T+checkTime)
		}
		return false
	}
	m := c.ledger.msg
	switch {
	case m == nil:
		return false
	case !f.Sent:
		const most = 4096 // distinct requests before the first answer: after that nobody can say which
		if len(h.asked) >= most {
			return true
		}
		h.asked[m.xid] = e.T
		return false
	}
	at, ok := h.asked[m.xid]
	if !ok {
		return true
	}
	if wait := e.T - max(at, h.busy); wait > h.limit {
		c.breach("L2", "the first %v after the start came after %d ms, at most %d ms may be", m.kind, wait/1e6, h.limit/1e6)
	}
	return true
}

func (r *firstAnswer) end(*Checker) {}
