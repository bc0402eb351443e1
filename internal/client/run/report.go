package run

import (
	"fmt"
	"slices"
	"time"

	"lessor/internal/client"
	"lessor/internal/lease"
)

// ignoredPerSecond is how many ignored replies are reported a second for each reason;
// all are counted.
const ignoredPerSecond = 100

// reporter hands out reports: ignored replies at a bounded rate, notes once.
type reporter struct {
	said   map[string]string // the last note by what it is about
	window int64             // when the second under way ends; never: none is under way
	inside map[client.Reason]uint64
}

func (r *reporter) init() {
	r.said, r.inside, r.window = map[string]string{}, map[client.Reason]uint64{}, never
}

func (r *reporter) at() int64 { return r.window }

// send reports at instant now.
func (r *reporter) send(l *loop, now lease.Instant, o *Report) {
	o.At = time.Unix(0, now.W)
	o.Status = l.status.get(l)
	l.o.Report(o)
}

// note says text about key, unless that was the last thing said about it.
func (r *reporter) note(l *loop, now lease.Instant, key, text string) {
	if r.said[key] == text {
		return
	}
	r.said[key] = text
	r.send(l, now, &Report{Note: text})
}

// clear forgets what was said about key: it is over, and worth a word when it comes again.
func (r *reporter) clear(key string) { delete(r.said, key) }

// event reports a copy of e.
func (r *reporter) event(l *loop, now lease.Instant, e *client.Event) {
	if e.Kind == client.EventIgnored && !r.allow(l, now, e.Reason) {
		return
	}
	c := *e
	c.Text = slices.Clone(e.Text)
	r.send(l, now, &Report{Event: &c, Reason: e.Reason})
}

// allow counts an ignored reply and says whether it is to be reported.
func (r *reporter) allow(l *loop, now lease.Instant, why client.Reason) bool {
	if now.M >= r.window {
		r.due(l, now)
	}
	if r.window == never {
		r.window = now.M + second
	}
	r.inside[why]++
	return r.inside[why] <= ignoredPerSecond
}

// due ends a second and says what was left out in it.
func (r *reporter) due(l *loop, now lease.Instant) {
	if now.M < r.window {
		return
	}
	r.window = never
	for why, n := range r.inside {
		if n > ignoredPerSecond {
			r.send(l, now, &Report{Note: fmt.Sprintf("%d more replies ignored: %s", n-ignoredPerSecond, why.Text()), Reason: why})
		}
	}
	clear(r.inside)
}
