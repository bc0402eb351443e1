package run

import (
	"time"

	"lessor/internal/client/setup"
)

// Line is a Report in JSON: a line of "lessor client -o jsonl" and of the control
// socket's stream. The names are part of the interface and stay.
type Line struct {
	At        time.Time `json:"at"`
	Interface string    `json:"interface"`
	// Event is state, sent, received, ignored, conflict, option, note, configured,
	// removed, or lost: a reader was so slow that Count lines are missing here.
	Event   string `json:"event"`
	From    string `json:"from,omitempty"` // states in small letters
	To      string `json:"to,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"` // discover, offer, …
	XID     string `json:"xid,omitempty"`     // eight hexadecimal digits
	Server  string `json:"server,omitempty"`
	Address string `json:"address,omitempty"` // with the prefix length in configured
	MAC     string `json:"hw-address,omitempty"`
	Try     int    `json:"try,omitempty"`
	// Wait is the time until the next transmission, in seconds.
	Wait   float64       `json:"wait,omitempty"`
	Option string        `json:"option,omitempty"` // by name
	Text   string        `json:"text,omitempty"`   // from the network, quoted; or the note
	Count  uint64        `json:"count,omitempty"`
	Config *setup.Config `json:"config,omitempty"` // configured
}

// Line is r as JSON has it.
func (r *Report) Line() *Line { return &Line{At: r.At} }
