package checker

import "lessor/internal/trace"

// ledger is what all rules share: for each server its configuration, links, clocks, the
// records that are durable, the promises (S-intervals) and offers that are out, and
// which REQUEST each reply answers.
type ledger struct{}

func newLedger() *ledger { return &ledger{} }

func (l *ledger) entry(c *Checker, e *trace.Entry) {}
