package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/clock"
	"lessor/internal/event"
	"lessor/internal/lease"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// survey asks on an interface for the offers of all servers, for as long as within, and
// takes none: nothing on this host is changed. The interface must be up with carrier
// before that time is over. also is nil, or asks in another way too.
func survey(ctx context.Context, n link.ClientNet, times clock.Clock, ifname string, conf *client.Config, within time.Duration, also *informer) ([]client.Offer, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	until := times.Now().M + int64(within)
	l, err := waitForClientLink(ctx, n, ifname)
	if err != nil {
		return nil, err
	}
	var secret [16]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return nil, err
	}
	port, err := n.OpenClient(*l)
	if err != nil {
		return nil, err
	}
	s := &surveyor{Survey: client.NewSurvey(*conf, secret, *l, until), port: port, clock: times}
	if also != nil {
		s.also = also.packet
		_, s.failed = port.Send(also.messages(l))
	}
	err = s.run(ctx)
	return s.Offers(), err
}

// waitForClientLink waits until the interface is up and has carrier.
func waitForClientLink(ctx context.Context, n link.ClientNet, ifname string) (found *wire.Link, err error) {
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var missing *link.Missing
	err = n.WatchClient(wctx, ifname, func(l *wire.Link, m *link.Missing) {
		if missing = m; l != nil && found == nil {
			found = l
			cancel()
		}
	})
	switch {
	case err != nil:
		return nil, err
	case found != nil:
		return found, nil
	case missing != nil:
		return nil, &ExitError{Code: ExitNotFound, Err: errors.New(strings.TrimSuffix(missing.String(), "; waiting for it")), Hint: interfacesHint()}
	}
	return nil, &ExitError{Code: ExitBad, Err: fmt.Errorf("%s is down or has no carrier", ifname), Hint: "Set it up: sudo ip link set " + ifname + " up"}
}

// surveyor does what a client.Survey asks for.
type surveyor struct {
	*client.Survey
	port    link.ClientPort
	clock   clock.Clock
	also    func(*wire.Packet) // nil, or sees every packet too
	effects client.Effects
	failed  error // the last send that failed, nil when a later one worked
}

// run goes on until the survey or ctx ends. The port is closed then.
func (s *surveyor) run(ctx context.Context) error {
	alarm, err := s.clock.NewAlarm()
	if err != nil {
		return errors.Join(err, s.port.Close())
	}
	batches, next, ended := make(chan *link.Batch), make(chan struct{}), make(chan error, 1)
	go func() {
		b := &link.Batch{}
		for {
			if err := s.port.Receive(b); err != nil {
				ended <- err
				return
			}
			batches <- b
			<-next
		}
	}()
	received := false // the receiver has ended
	for err == nil && !s.Done() && ctx.Err() == nil {
		alarm.Set(s.NextTick())
		select {
		case b := <-batches:
			for i := range b.Packets {
				s.handle(&client.Input{Kind: client.InputPacket, Packet: &b.Packets[i]})
				if s.also != nil {
					s.also(&b.Packets[i])
				}
			}
			next <- struct{}{}
		case <-alarm.C():
			s.handle(&client.Input{Kind: client.InputTick})
		case err = <-ended:
			received = true
		case <-ctx.Done():
		}
	}
	err = errors.Join(err, s.failed, s.port.Close(), alarm.Close())
	for !received { // it may be handing over a last batch
		select {
		case <-batches:
			next <- struct{}{}
		case <-ended:
			received = true
		}
	}
	return err
}

// handle gives one input to the survey and does what it asks for.
func (s *surveyor) handle(in *client.Input) {
	s.effects.Reset()
	s.Handle(s.clock.Now(), in, &s.effects)
	for i := range s.effects.List {
		if e := &s.effects.List[i]; e.Kind == client.EffectSend {
			_, s.failed = s.port.Send([]wire.Send{e.Send})
		}
	}
}

// offerLine is one offer as it is listed: an object of --dry-run -o json.
type offerLine struct {
	Interface string       `json:"interface"`
	Server    string       `json:"server"`
	HWAddress string       `json:"hw-address"` // source of the frame: the server, or the relay agent before it
	Address   string       `json:"address,omitempty"`
	Lifetime  *uint32      `json:"valid-lifetime,omitempty"` // seconds; 4294967295: no end
	Routers   []dhcp4.Addr `json:"routers"`
	DNS       []dhcp4.Addr `json:"domain-name-servers"`
	Domain    string       `json:"domain-name,omitempty"`
	Good      bool         `json:"good"`
	Reason    string       `json:"reason,omitempty"` // why a client would not take it
	Text      string       `json:"text,omitempty"`   // the same in words
}

// newOfferLine is o as it is listed. What is not good has been read only as far as it was.
func newOfferLine(ifname string, o *client.Offer) *offerLine {
	l := &offerLine{Interface: ifname, Server: o.Server.String(), HWAddress: event.Hex(o.MAC[:]), Good: o.Reason == client.None,
		Routers: []dhcp4.Addr{}, DNS: []dhcp4.Addr{}, Reason: o.Reason.String(), Text: o.Reason.Text()}
	if o.Lease.Addr.Addr == 0 {
		return l
	}
	l.Address, l.Lifetime, l.Domain = o.Lease.Addr.String(), &o.Lease.Lifetime, o.Lease.Settings.Domain
	l.Routers, l.DNS = append(l.Routers, o.Lease.Settings.Routers...), append(l.DNS, o.Lease.Settings.DNS...)
	return l
}

// lease is the lifetime in words.
func (o *offerLine) lease() string {
	switch {
	case o.Lifetime == nil:
		return ""
	case *o.Lifetime == lease.Infinite:
		return "infinite"
	}
	return span(time.Duration(*o.Lifetime) * time.Second)
}

var offerColumns = []column[*offerLine]{
	{name: "SERVER", cell: func(o *offerLine) cell { return cell{text: o.Server} }},
	{name: "HW-ADDRESS", cell: func(o *offerLine) cell { return cell{text: o.HWAddress} }},
	{name: "ADDRESS", cell: func(o *offerLine) cell { return cell{text: o.Address} }},
	{name: "LEASE", cell: func(o *offerLine) cell { return cell{text: o.lease()} }},
	{name: "ROUTERS", cell: func(o *offerLine) cell { return cell{text: addrList(o.Routers)} }},
	{name: "DNS", cell: func(o *offerLine) cell { return cell{text: addrList(o.DNS)} }},
	{name: "DOMAIN", wide: true, cell: func(o *offerLine) cell { return cell{text: o.Domain} }},
	{name: "GOOD", cell: func(o *offerLine) cell {
		if o.Good {
			return cell{"yes", good}
		}
		return cell{"no: " + o.Text, bad}
	}},
}

func addrList(as []dhcp4.Addr) string {
	out := make([]string, len(as))
	for i, a := range as {
		out[i] = a.String()
	}
	return strings.Join(out, ",")
}

// listOffers is lessor client --dry-run. It runs where no file can be opened.
func (f *clientFlags) listOffers(ctx context.Context, g *globals, n link.ClientNet, times clock.Clock, ifname string, conf *client.Config) error {
	offers, err := survey(ctx, n, times, ifname, conf, f.timeout, nil)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	out := newLister(g, offerColumns)
	for i := range offers {
		if err := out.add(newOfferLine(ifname, &offers[i])); err != nil {
			return err
		}
	}
	if err := out.close(); err != nil {
		return err
	}
	if len(offers) == client.MaxOffers && !g.quiet {
		fmt.Fprintf(g.stderr, "lessor: only the first %d offers are kept: there may be more servers, or somebody floods %s\n", len(offers), ifname)
	}
	if len(offers) == 0 {
		return exitf(ExitBad, "no server answered on %s within %v", ifname, f.timeout)
	}
	return nil
}
