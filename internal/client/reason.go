package client

// Reason says why something happened, or why something was ignored. The table in
// this file is the one place for names and texts.
type Reason uint8

// The reasons.
const (
	None Reason = iota
)

// String is the reason's stable name, for logs, JSON and counters. Text says it in words.
func (r Reason) String() string { return "none" }

// Text says in a few words what the reason is.
func (r Reason) Text() string { return "" }
