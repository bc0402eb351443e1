package cli

import (
	"fmt"
	"time"
)

// when shows a point in time: on a terminal as the distance from now, such as
// "in 6h03m" or "2d ago"; in a pipe in full (RFC 3339).
func (g *globals) when(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	if !g.terminal {
		return g.stamp(t)
	}
	if d := t.Sub(now); d >= 0 {
		return "in " + span(d)
	}
	return span(now.Sub(t)) + " ago"
}

// stamp shows a point in time in full, in local time or, with --utc, in UTC.
func (g *globals) stamp(t time.Time) string {
	if g.utc {
		t = t.UTC()
	} else {
		t = t.Local()
	}
	return t.Format(time.RFC3339)
}

// span shows a duration with its two largest units at most: 4s, 3m20s, 6h03m,
// 2d04h.
func span(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%02dh", s/(24*3600), s/3600%24)
}
