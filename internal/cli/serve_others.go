package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/clock"
	"lessor/internal/config"
	"lessor/internal/event"
	"lessor/internal/link"
	"lessor/internal/wire"
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
	times, err := clock.New()
	if err != nil {
		return startError(err)
	}
	names := d.f.interfaces
	found, errs := make([][]*offerLine, len(names)), make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { found[i], errs[i] = d.ask(ctx, times, name) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for i, name := range names {
		if errs[i] != nil {
			d.cannotAsk(name, errs[i])
		}
		for _, o := range found[i] {
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

// ask asks on one interface, by DISCOVER and by INFORM.
func (d *daemon) ask(ctx context.Context, times clock.Clock, name string) (found []*offerLine, err error) {
	own, err := config.ReadLink(name)
	if err != nil {
		return nil, err
	}
	i := &informer{xid: uint32(times.Now().M)}
	if len(own.Addrs) > 0 {
		i.own = own.Addrs[0].Addr
	}
	offers, err := survey(ctx, d.asks, times, name, &client.Config{}, askFor, i)
	for j := range offers {
		found = append(found, newOfferLine(name, &offers[j]))
	}
	for j := range i.answers {
		o := newOfferLine(name, &i.answers[j])
		if !slices.ContainsFunc(found, func(f *offerLine) bool { return f.Server == o.Server && f.HWAddress == o.HWAddress }) {
			found = append(found, o)
		}
	}
	return found, err
}

// informer asks by DHCPINFORM, which every server answers at once: one that first pings the
// address that it means to offer is silent for three seconds after a DISCOVER (dnsmasq).
type informer struct {
	own     dhcp4.Addr // 0: this host has no address there, and nothing is asked
	xid     uint32
	view    dhcp4.View
	answers []client.Offer
}

// messages are what to send on l.
func (i *informer) messages(l *wire.Link) []wire.Send {
	if i.own == 0 {
		return nil
	}
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: i.xid, CIAddr: i.own}
	copy(h.CHAddr[:], l.MAC[:])
	data, _ := dhcp4.AppendMessage(nil, &h, []dhcp4.Option{
		{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(dhcp4.Inform)}},
		{Code: dhcp4.OptDHCPParameterRequestList, Data: []byte{byte(dhcp4.OptRouters), byte(dhcp4.OptDomainNameServers)}},
	}, nil, 576)
	return []wire.Send{{Link: l.ID, Data: data, Raw: true, MAC: wire.BroadcastMAC, Src: i.own, Dst: dhcp4.Broadcast,
		SrcPort: dhcp4.ClientPort, DstPort: dhcp4.ServerPort}}
}

// packet keeps who answered.
func (i *informer) packet(p *wire.Packet) {
	v := &i.view
	if len(i.answers) == client.MaxOffers || v.Parse(p.Data) != nil || v.Op() != 2 || v.MessageType() != dhcp4.Ack || v.XID() != i.xid {
		return
	}
	o := client.Offer{Server: p.Src, MAC: p.SrcMAC}
	if server, ok := v.Addr(dhcp4.OptDHCPServerIdentifier); ok {
		o.Server = server
	}
	i.answers = append(i.answers, o)
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
