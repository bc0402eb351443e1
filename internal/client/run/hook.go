package run

import (
	"encoding/hex"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/client/setup"
)

// appliedEvent is what the hook program is told when after stands on the interface where
// before stood.
func appliedEvent(before, after *setup.Config) string {
	switch {
	case before == nil:
		return "bound"
	case before.Addr != after.Addr:
		return "changed"
	}
	return "renewed"
}

// hook tells the hook program of event; c is the lease that is configured, nil for none.
func (l *loop) hook(event string, c *client.Lease, why client.Reason) {
	e := &setup.HookEvent{Event: event, Interface: l.o.Interface, State: stateName(l.m.State()), Reason: why.String(), Config: l.host.applied}
	if c != nil {
		e.Options = map[string]string{}
		eachOption(c.ACK, func(code dhcp4.Code, val []byte) { e.Options[code.String()] = hex.EncodeToString(val) })
	}
	l.o.Host.Hook(e)
}
