package run

import (
	"fmt"
	"strings"
	"time"

	"lessor/internal/client"
	"lessor/internal/client/setup"
	"lessor/internal/event"
	"lessor/internal/wire"
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
func (r *Report) Line() *Line {
	l := &Line{At: r.At}
	if r.Status != nil {
		l.Interface = r.Status.Interface
	}
	if r.Reason != client.None {
		l.Reason = r.Reason.String()
	}
	switch {
	case r.Event != nil:
		l.event(r.Event)
	case r.Configured != nil:
		l.Event, l.Config, l.Address, l.Server = "configured", r.Configured, r.Configured.Addr.String(), r.Configured.Server.String()
	case r.Removed:
		l.Event = "removed"
	default:
		l.Event, l.Text = "note", r.Note
	}
	return l
}

var eventNames = [...]string{client.EventState: "state", client.EventSent: "sent", client.EventReceived: "received",
	client.EventIgnored: "ignored", client.EventConflict: "conflict", client.EventOption: "option"}

// event fills in what e says; what is zero says nothing.
func (l *Line) event(e *client.Event) {
	l.Event = "note"
	if int(e.Kind) < len(eventNames) {
		l.Event = eventNames[e.Kind]
	}
	if e.Reason != client.None {
		l.Reason = e.Reason.String()
	}
	if e.Kind == client.EventState {
		l.From, l.To = stateName(e.From), stateName(e.To)
	}
	if e.Type != 0 {
		l.Message = strings.ToLower(e.Type.String())
	}
	if e.XID != 0 {
		l.XID = fmt.Sprintf("%08x", e.XID)
	}
	if e.Server != 0 {
		l.Server = e.Server.String()
	}
	if e.Addr != 0 {
		l.Address = e.Addr.String()
	}
	if e.MAC != (wire.MAC{}) {
		l.MAC = macText(e.MAC)
	}
	if e.Option != 0 {
		l.Option = e.Option.String()
	}
	l.Try, l.Wait, l.Text = e.Try, float64(e.Wait)/float64(second), event.Text(e.Text)
}
