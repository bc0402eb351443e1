package campus

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/wire"
	"lessor/test/e2e"
)

// exchange is a REQUEST and the first ACK that came for it.
type exchange struct{ req, ack *netlab.Frame }

// life is what a client said and heard on its own link.
type life struct {
	bound    *exchange  // the first
	renewals []exchange // by unicast
	bad      []string   // what must not be there

	asked map[uint32]*netlab.Frame // REQUESTs without an answer yet, by transaction
}

// lives reads the captures of links as they grow.
type lives struct {
	of    map[wire.MAC]*life
	marks map[string]int // frames read, by link
}

func newLives(cs []*client) *lives {
	ls := &lives{of: map[wire.MAC]*life{}, marks: map[string]int{}}
	for _, c := range cs {
		ls.of[c.mac()] = &life{asked: map[uint32]*netlab.Frame{}}
	}
	return ls
}

// read takes in what has been captured since the last call.
func (ls *lives) read(links map[string]*netlab.Capture) {
	for name, c := range links {
		frames := c.Frames()
		for i := ls.marks[name]; i < len(frames); i++ {
			ls.take(&frames[i])
		}
		ls.marks[name] = len(frames)
	}
}

func (ls *lives) take(f *netlab.Frame) {
	v, ok := f.View()
	if !ok || v.HLen() != 6 {
		return
	}
	l := ls.of[wire.MAC(v.CHAddr())]
	if l == nil {
		return
	}
	switch f.Type() {
	case dhcp4.Request:
		l.asked[v.XID()] = f
	case dhcp4.Nak, dhcp4.Decline:
		l.bad = append(l.bad, f.String())
	case dhcp4.Ack:
		req := l.asked[v.XID()]
		if req == nil {
			return // the second copy of an answer
		}
		delete(l.asked, v.XID())
		switch state := e2e.StateOf(req); state {
		case "SELECTING":
			if l.bound != nil {
				l.bad = append(l.bad, "selected a second time: "+req.String())
			}
			l.bound = &exchange{req, f}
		case "RENEWING":
			l.renewals = append(l.renewals, exchange{req, f})
		default:
			l.bad = append(l.bad, fmt.Sprintf("a REQUEST in %s: %s", state, req))
		}
	}
}

// bound and renewed are what await waits for.
func bound(l *life, _ *client) bool   { return l.bound != nil }
func renewed(l *life, c *client) bool { return l.bound != nil && len(l.renewals) >= c.renewals }

// await reads the wire until ok says yes to each client.
func (ls *lives) await(t *testing.T, links map[string]*netlab.Capture, cs []*client, ok func(*life, *client) bool, within time.Duration) {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
		ls.read(links)
		var late []string
		for _, c := range cs {
			if !ok(ls.of[c.mac()], c) {
				late = append(late, fmt.Sprintf("%s (%s)", c.name(), c.kind))
			}
		}
		if len(late) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %s %d clients are late: %v", within, len(late), late[:min(len(late), 20)])
		}
	}
}

// text is the options of a message, in their order, as octets, without times.
func text(f *netlab.Frame) string {
	v, _ := f.View()
	s := ""
	for in := range v.Instances {
		switch in.Code {
		case dhcp4.OptDHCPLeaseTime, dhcp4.OptDHCPRenewalTime, dhcp4.OptDHCPRebindingTime:
		default:
			s += fmt.Sprintf("%d %x\n", in.Code, in.Data)
		}
	}
	return s
}

// timed reports whether a lease is of the time that is wanted. An ACK that waited for the
// disk for more than a second, as on a busy machine, gives what is left.
func timed(v *dhcp4.View, want uint32) bool {
	got, ok := v.Uint32(dhcp4.OptDHCPLeaseTime)
	return ok && got <= want && got+3 >= want
}

// wants expects in an answer what the plan says: the options that the REQUEST asked
// for, with their values. It returns how many those are.
func (c *client) wants(t *testing.T, x exchange) (checked int) {
	t.Helper()
	q, _ := x.req.View()
	v, _ := x.ack.View()
	asked, _ := q.Get(dhcp4.OptDHCPParameterRequestList, nil)
	for code, want := range c.expected(v.YIAddr()) {
		got, ok := v.Get(code, nil)
		switch unasked := !slices.Contains(asked, byte(code)); {
		case unasked && c.kind == netlab.Lessor:
			t.Errorf("%s does not ask for option %d", c.name(), code)
		case unasked:
		case !ok || string(got) != want:
			t.Errorf("%s (%s) is told %x (%t) in option %d, want %x: %s", c.name(), c.kind, got, ok, code, want, x.ack)
		default:
			checked++
		}
	}
	return checked
}

// judge holds that a client got what is meant for it, and kept all of it when it renewed.
func (c *client) judge(t *testing.T, l *life) (checked int) {
	t.Helper()
	for _, b := range l.bad {
		t.Errorf("%s (%s): %s", c.name(), c.kind, b)
	}
	v, _ := l.bound.ack.View()
	a := v.YIAddr()
	if !slices.ContainsFunc(c.within, func(r dhcp4.Range) bool { return r.Contains(a) }) {
		t.Errorf("%s (%s) has %s, want one of %v", c.name(), c.kind, a, c.within)
	}
	checked = c.wants(t, *l.bound)
	if !timed(&v, c.life) {
		t.Errorf("%s (%s) has a lease of another time than %d s: %s", c.name(), c.kind, c.life, l.bound.ack)
	}
	sid, _ := v.Addr(dhcp4.OptDHCPServerIdentifier)
	for _, x := range l.renewals {
		q, _ := x.req.View()
		r, _ := x.ack.View()
		if x.req.Src != a || x.req.Dst != sid || q.CIAddr() != a || q.GIAddr() != 0 || q.Has(dhcp4.OptDHCPAgentOptions) {
			t.Errorf("%s (%s) has %s from %s and renews with %s", c.name(), c.kind, a, sid, x.req)
		}
		if r.YIAddr() != a || !timed(&r, c.life) {
			t.Errorf("%s (%s) had %s for %d s and is told when it renews: %s", c.name(), c.kind, a, c.life, x.ack)
		}
		if was, is := text(l.bound.ack), text(x.ack); was != is {
			t.Errorf("%s (%s) was told\n%s and when it renews\n%s", c.name(), c.kind, was, is)
		}
	}
	if at := l.renewals[0].req.Time.Sub(l.bound.req.Time); c.kind == netlab.Lessor {
		life, _ := v.Uint32(dhcp4.OptDHCPLeaseTime)
		if late := at - time.Duration(life)*time.Second/2; late < -time.Second || late > 2*time.Second {
			t.Errorf("%s renews %s after T1", c.name(), late)
		}
	}
	return checked
}
