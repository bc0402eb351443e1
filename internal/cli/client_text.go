package cli

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"lessor/internal/client"
	runner "lessor/internal/client/run"
	"lessor/internal/client/setup"
	"lessor/internal/lease"
)

// reasonTexts finds the words of a reason by its name.
var reasonTexts = sync.OnceValue(func() map[string]string {
	m := make(map[string]string, client.NumReasons)
	for r := client.None + 1; r < client.NumReasons; r++ {
		if m[r.String()] == "" {
			m[r.String()] = r.Text()
		}
	}
	return m
})

// because is a reason in words with its name, or nothing.
func because(id string) string {
	if id == "" {
		return ""
	}
	if text := reasonTexts()[id]; text != "" {
		return fmt.Sprintf(": %s (%s)", text, id)
	}
	return " (" + id + ")"
}

// worthALine reports whether a line is shown without --verbose: steps of the state, what changes
// on the interface, refusals, conflicts and what the client itself has to say.
func worthALine(l *runner.Line, verbose bool) bool {
	switch l.Event {
	case "sent", "ignored", "option":
		return verbose
	case "received":
		return verbose || l.Message == "nak"
	}
	return true
}

// lineText is one line of talk about l. s is the status after it, nil if unknown. It is
// ASCII apart from the arrow, and holds text from the network only as run quoted it.
func lineText(l *runner.Line, s *runner.Status, g *globals) string {
	var b strings.Builder
	if !strings.HasPrefix(l.Text, l.Interface+" ") { // a note that begins with it
		fmt.Fprintf(&b, "%s: ", printable(l.Interface))
	}
	switch l.Event {
	case "state":
		fmt.Fprintf(&b, "%s → %s%s", stateText(l.From), stateText(l.To), because(l.Reason))
		if l.To == "bound" && s != nil && s.Address != "" {
			fmt.Fprintf(&b, ", %s from %s", s.Address, s.Server)
			if s.Renews != nil {
				fmt.Fprintf(&b, ", renew at %s", g.stamp(*s.Renews))
			}
			if s.Expires != nil {
				fmt.Fprintf(&b, ", ends at %s", g.stamp(*s.Expires))
			}
		}
	case "configured":
		fmt.Fprintf(&b, "configured %s%s", l.Address, configText(l.Config))
	case "removed":
		b.WriteString("took everything off the interface" + because(l.Reason))
	case "lost":
		fmt.Fprintf(&b, "%d lines left out: they came faster than they could be written", l.Count)
	default:
		b.WriteString(messageText(l))
	}
	return b.String()
}

// messageText is what happened to a message, without the interface.
func messageText(l *runner.Line) string {
	var b strings.Builder
	name := strings.ToUpper(l.Message)
	if name == "" {
		name = "message"
	}
	about := func() {
		if l.Address != "" {
			fmt.Fprintf(&b, " %s", l.Address)
		}
	}
	switch l.Event {
	case "sent":
		fmt.Fprintf(&b, "sent %s", name)
		about()
		if l.Server != "" {
			fmt.Fprintf(&b, " to %s", l.Server)
		} else {
			b.WriteString(" to all")
		}
		if l.Try > 1 {
			fmt.Fprintf(&b, ", try %d", l.Try)
		}
		if l.Wait > 0 {
			fmt.Fprintf(&b, ", the next one in %.1fs", l.Wait)
		}
	case "received", "ignored":
		fmt.Fprintf(&b, "%s %s", l.Event, name)
		about()
		if l.Server != "" {
			fmt.Fprintf(&b, " from %s", l.Server)
		}
		if l.MAC != "" {
			fmt.Fprintf(&b, " (%s)", l.MAC)
		}
		if l.Text != "" {
			fmt.Fprintf(&b, ", saying \"%s\"", l.Text) // run has quoted it
		}
		b.WriteString(because(l.Reason))
	case "conflict":
		fmt.Fprintf(&b, "conflict: %s has %s", l.MAC, l.Address)
		b.WriteString(because(l.Reason))
	case "option":
		fmt.Fprintf(&b, "option %s is not used%s", l.Option, because(l.Reason))
	case "note":
		b.WriteString(printable(l.Text))
	default:
		fmt.Fprintf(&b, "%s %s%s", l.Event, l.Text, because(l.Reason))
	}
	return b.String()
}

// stateText is a state as RFC 2131 writes it.
func stateText(s string) string { return strings.ToUpper(s) }

// configText says what was put on an interface beside the address.
func configText(c *setup.Config) string {
	if c == nil {
		return ""
	}
	var b strings.Builder
	if c.Valid == lease.Infinite {
		b.WriteString(" for good")
	} else {
		fmt.Fprintf(&b, " for %s", span(time.Duration(c.Valid)*time.Second))
	}
	const most = 4
	for i, r := range c.Routes {
		if i == most {
			fmt.Fprintf(&b, ", %d more routes", len(c.Routes)-most)
			break
		}
		dst := r.Dst.String()
		if r.Dst.Bits == 0 {
			dst = "default"
		}
		if r.Via == 0 {
			fmt.Fprintf(&b, ", route %s on the link", dst)
		} else {
			fmt.Fprintf(&b, ", route %s via %s", dst, r.Via)
		}
	}
	if c.MTU != 0 {
		fmt.Fprintf(&b, ", MTU %d", c.MTU)
	}
	if len(c.DNS) > 0 {
		b.WriteString(", DNS")
		for _, a := range c.DNS {
			fmt.Fprintf(&b, " %s", a)
		}
	}
	if c.Domain != "" {
		fmt.Fprintf(&b, ", domain %s", printable(shorten(c.Domain, 60)))
	}
	return b.String()
}
