// Package checker judges the record of a run by the promises of docs/invariants.md. It
// is one pure function: entries in, breaches out. The simulator, the tests in
// namespaces and `lessor verify` use it unchanged.
package checker

import (
	"fmt"
	"slices"

	"lessor/internal/trace"
)

// Breach is a promise that was broken: which, when, by whom, and what happened.
type Breach struct {
	Rule  string // I1 to I22, L1 to L5, with the part where there is one: I3b, I2b
	T     int64  // of the entry that showed it
	Entry int    // its index in the trace, from 0
	Host  string
	What  string // one sentence with the addresses, clients and times
}

// String is one line.
func (b Breach) String() string {
	return fmt.Sprintf("%s at %.9f s, %s: %s", b.Rule, float64(b.T)/1e9, b.Host, b.What)
}

// Check judges a whole trace and returns all breaches in the order in which they showed.
func Check(entries []trace.Entry) []Breach {
	c := New()
	for i := range entries {
		c.Entry(&entries[i])
	}
	return c.End()
}

// rule is one promise, or a group that shares its account: it looks at every entry,
// after the ledger has taken it in (see ledger.go), and reports with c.breach.
type rule interface {
	entry(c *Checker, e *trace.Entry)
	end(c *Checker) // the trace is over
}

// Checker judges a trace entry by entry; it belongs to one goroutine. It keeps no
// entry, but may keep what an entry refers to.
type Checker struct {
	ledger   *ledger
	rules    []rule
	at       *trace.Entry
	index    int
	breaches []Breach
}

// New returns a Checker that has seen nothing.
func New() *Checker {
	return &Checker{ledger: newLedger(), rules: newRules()}
}

// newRules are all promises that are judged.
func newRules() []rule { return slices.Concat(leaseRules(), conductRules(), lifeRules()) }

// Entry takes the next entry.
func (c *Checker) Entry(e *trace.Entry) {
	c.at = e
	c.ledger.entry(c, e)
	for _, r := range c.rules {
		r.entry(c, e)
	}
	c.index++
}

// Breaches are those found so far; the slice is the Checker's.
func (c *Checker) Breaches() []Breach { return c.breaches }

// End says that the trace is over, and returns all breaches.
func (c *Checker) End() []Breach {
	for _, r := range c.rules {
		r.end(c)
	}
	return c.breaches
}

// breach reports one that the entry under way shows.
func (c *Checker) breach(rule, format string, args ...any) {
	at := mark{entry: c.index}
	if c.at != nil {
		at.T, at.host = c.at.T, c.at.Host
	}
	c.breachAt(at, rule, format, args...)
}

// breachAt reports one of an earlier entry. Most a run shows are kept.
func (c *Checker) breachAt(at mark, rule, format string, args ...any) {
	const most = 100
	if len(c.breaches) < most {
		c.breaches = append(c.breaches, Breach{Rule: rule, T: at.T, Entry: at.entry, Host: at.host, What: fmt.Sprintf(format, args...)})
	}
}
