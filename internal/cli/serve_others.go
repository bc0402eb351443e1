package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"lessor/internal/client"
	"lessor/internal/clock"
	"lessor/internal/event"
	"lessor/internal/link"
)

// askFor is how long a server without a file waits for others to answer. A server that
// probes an address before it offers it needs about a second.
const askFor = 1500 * time.Millisecond

// lookForOthers asks, as a client would, whether another DHCP server answers on the interfaces
// of a server that has no file. One that does is an error, unless --beside. That it cannot be
// asked is said, and no reason not to serve.
func (d *daemon) lookForOthers(ctx context.Context) error {
	if d.conf != nil || d.asks == nil {
		return nil
	}
	names := d.f.interfaces
	offers, errs := make([][]client.Offer, len(names)), make([]error, len(names))
	times, err := clock.New()
	if err != nil {
		return startError(err)
	}
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { offers[i], errs[i] = survey(ctx, d.asks, times, name, &client.Config{}, askFor) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for i, name := range names {
		if errs[i] != nil {
			d.cannotAsk(name, errs[i])
		}
		for j := range offers[i] {
			o := newOfferLine(name, &offers[i][j])
			text := fmt.Sprintf("%s (%s) answers on %s", o.Server, o.HWAddress, name)
			if o.Address != "" {
				text += fmt.Sprintf(" and offers %s", o.Address)
			}
			d.others = append(d.others, text)
			if d.f.beside {
				d.log.Say(event.ServerSeen, slog.String("interface", name), slog.String("server", o.Server),
					slog.String("hw-address", o.HWAddress), slog.String("address", o.Address))
			}
		}
	}
	if len(d.others) == 0 || d.f.beside {
		return nil
	}
	return &ExitError{Code: ExitConflict, Err: fmt.Errorf("there is another DHCP server: %s", strings.Join(d.others, "; ")),
		Hint: "Stop that one, or serve beside it: lessor serve --interface " + strings.Join(names, " --interface ") + " --beside"}
}

// cannotAsk says why other servers could not be asked for on an interface.
func (d *daemon) cannotAsk(name string, err error) {
	if _, ok := errors.AsType[*ExitError](err); ok || errors.Is(err, link.ErrDown) {
		return // not ready: it is waited for, and served when it is
	}
	d.log.Say(event.ServersUnknown, slog.String("interface", name), slog.String("reason", err.Error()))
	if !d.g.quiet && isTerminal(d.g.stderr) {
		d.g.say("lessor: whether another DHCP server answers on %s is not known: %v", name, err)
	}
}
