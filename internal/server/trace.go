package server

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
)

// Stage is a part of a packet's way through Handle.
type Stage uint8

// The stages, in the order in which they are told.
const (
	StageNetwork Stage = 1 + iota
	StageClass
	StageReservation
	StageAddress
	StageLease
	StageOption
	StageDelivery
	StageWrite
	StageAlarm
	StageAnswer
)

var stageNames = [...]string{"", "network", "class", "reservation", "address", "lease", "option", "delivery", "write", "alarm", "answer"}

// String is the stable name of s.
func (s Stage) String() string { return stageNames[s] }

// Verdict is what came out of a step.
type Verdict uint8

// The verdicts.
const (
	Noted  Verdict = iota // nothing was to be decided
	Yes                   // it holds, it was taken, it is sent
	No                    // it does not, it was passed over, it is left out
	Failed                // a test that had no answer
)

var verdictNames = [...]string{"noted", "yes", "no", "failed"}

// String is the stable name of v.
func (v Verdict) String() string { return verdictNames[v] }

// Step is one thing that was looked at on the way to an answer.
type Step struct {
	Stage   Stage
	Verdict Verdict
	Name    string       // what was looked at: a class, a key, a source of addresses, an option; may be ""
	Addr    dhcp4.Addr   // the address that it is about, 0: none
	Code    dhcp4.Code   // of an option
	Level   policy.Level // of an option's value
	Reason  Reason       // why not, where there is a Reason for it
	Text    string       // the rest in words, on one line
	Detail  string       // of a class test: the values that it read, or why it had no answer
	Pos     policy.Pos   // what in the configuration file decided it
}

// Trace is what Explain tells of one packet. The hooks in the code that Handle runs are
// its methods; of a nil Trace they do nothing, cost a comparison and allocate nothing.
type Trace struct {
	Steps []Step

	// Check is the address that would be asked for before the answer leaves, 0 for none.
	// The steps and the answer are those after its silence.
	Check dhcp4.Addr

	how     networkBy
	at      dhcp4.Addr
	from    lifetimeFrom
	refused Reason
	hidden  []Step // reservations that match beside the client's own
}

func (t *Trace) add(s Step) { t.Steps = append(t.Steps, s) }

// networkBy says what a network was chosen by.
type networkBy uint8

const (
	byInterface networkBy = iota
	byLinkSelection
	bySubnetSelection
	byRelay
	byCIAddr
)

// chose notes what the network is chosen by, and the address that is looked up.
func (t *Trace) chose(by networkBy, a dhcp4.Addr) {
	if t != nil {
		t.how, t.at = by, a
	}
}

// lifetimeFrom is where a lifetime is set.
type lifetimeFrom struct {
	level policy.Level
	name  string
	pos   policy.Pos
}

// lifetimeOf notes where the lifetimes in force were set.
func (t *Trace) lifetimeOf(level policy.Level, name string, pos policy.Pos) {
	if t != nil {
		t.from = lifetimeFrom{level, name, pos}
	}
}

// refuse notes why a request is refused, whether or not the client is told.
func (t *Trace) refuse(why Reason) {
	if t != nil {
		t.refused = why
	}
}

// source is where the address for a DISCOVER comes from, in the order of I8.
type source uint8

const (
	fromReservation source = iota
	fromLease
	fromOffer
	fromLast
	fromRequest
	fromReady   // a new one that was asked for by ARP and stayed silent
	fromPool    // a new one
	fromNowhere // none was found
)

var sourceNames = [...]string{"reserved", "current", "on offer", "previous", "requested", "new", "new", "new"}

// take notes where the address for a DISCOVER comes from, and what was passed over
// before it.
func (t *Trace) take(c *Core, q *request, live, last lease.Slot, from source, ch choice) choice {
	if t != nil {
		t.candidates(c, q, live, last, from, ch.addr)
	}
	return ch
}

// located notes the network, or why there is none.
func (t *Trace) located(c *Core, q *request, reason Reason) {
	if t != nil {
		t.network(c, q, reason)
	}
}

// class notes what came of a class; untested: a reservation or an earlier class decided it.
func (t *Trace) class(cl *policy.Class, f *policy.Facts, in, untested bool, err error) {
	if t != nil {
		t.test(cl, f, in, untested, err)
	}
}

// each is told of the reservations that match a client's keys beside its own.
func (t *Trace) each(q *request) func(policy.KeyKind, *policy.Reservation) {
	if t == nil {
		return nil
	}
	return func(by policy.KeyKind, r *policy.Reservation) { t.shadowed(q, by, r) }
}

// matched notes the client's reservation.
func (t *Trace) matched(c *Core, q *request, k *policy.Keys, by policy.KeyKind) {
	if t != nil {
		t.reservation(c, q, k, by)
	}
}

// asks notes what the address of a REQUEST is to its client.
func (t *Trace) asks(c *Core, q *request, a dhcp4.Addr) {
	if t != nil {
		t.request(c, q, a)
	}
}

// lasts notes how long the lease is to be.
func (t *Trace) lasts(c *Core, q *request, l policy.Lifetimes, seconds uint32) {
	if t != nil {
		t.lifetime(q, l, seconds)
	}
}

// limited notes which configured limit refuses a new binding.
func (t *Trace) limited(what, name string, l *policy.Limits, r Reason) Reason {
	if t != nil {
		t.limit(what, name, l, r)
	}
	return r
}

// sends notes the options and the destination of a reply.
func (t *Trace) sends(c *Core, q *request, r *Reply) {
	if t != nil {
		t.message(c, q, r)
	}
}
