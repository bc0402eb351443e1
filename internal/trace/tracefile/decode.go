package tracefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/store"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// parseLine reads one line. A key that it does not know is an error: what is not
// understood is not passed over.
func parseLine(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the object")
	}
	return nil
}

// entry makes the entry that the line is. incomplete is why the run goes on unrecorded,
// "" for every other line.
func (l *line) entry() (e trace.Entry, incomplete string, err error) {
	e = trace.Entry{T: l.T, Host: l.Host, Now: lease.Instant{M: l.M, W: l.W}}
	one, n := l.body()
	if n != 1 {
		return e, "", fmt.Errorf("it must have one body and has %d", n)
	}
	switch b := one.(type) {
	case *clockLine:
		e.Body = &trace.Clock{Boot: b.Boot.bootID(), Drift: b.Drift}
	case *loadedLine:
		e.Body, err = b.loaded()
	case *startedLine:
		e.Body = &trace.Started{Boot: b.Boot.bootID(), Careful: b.Careful, Fresh: b.Fresh, Records: b.Records, Version: b.Version, Took: b.Took,
			Bounds: trace.Bounds(b.Bounds)}
	case *endedLine:
		e.Body = &trace.Ended{Clean: b.Clean, Power: b.Power, Crashed: b.Crashed}
	case *configLine:
		e.Body, err = b.config()
	case *servedLine:
		s := &trace.Served{Links: make([]wire.Link, len(b.Links))}
		for i := range b.Links {
			s.Links[i] = b.Links[i].link()
		}
		e.Body = s
	case *interfaceLine:
		e.Body = &trace.Interface{Link: b.Link.link(), Ready: b.Ready, Up: b.Up}
	case *commitLine:
		e.Body, err = b.commit()
	case *diskLine:
		e.Body = &trace.Disk{Broken: b.Broken, Slow: b.Slow}
	case *storeLine:
		e.Body = &trace.StoreState{Failing: b.Failing, Why: b.Why}
	case *frameLine:
		e.Body = b.frame()
	case *eventLine:
		e.Body, err = b.happened()
	case *countsLine:
		e.Body, err = b.counts()
	case *overrideLine:
		e.Body = &trace.Override{Addr: b.Addr, Immediate: b.Immediate}
	case *clientLine:
		e.Body = &trace.Client{What: trace.ClientWhat(b.What), Ours: b.Ours, MAC: wire.MAC(b.MAC), ClientID: b.ClientID,
			Addr: b.Addr, State: b.State, Start: b.Start, End: b.End, Lifetime: b.Lifetime,
			Probes: b.Probes, ProbeMin: b.ProbeMin, ProbeWait: b.ProbeWait}
	case *phaseLine:
		e.Body = &trace.Phase{Name: b.Name}
	case *usageLine:
		e.Body = &trace.Usage{Goroutines: b.Goroutines, FDs: b.FDs, Heap: b.Heap, Idle: b.Idle, Start: b.Start}
	case *incompleteLine:
		if b.Why == "" {
			b.Why = "for a reason that is not told"
		}
		incomplete = b.Why
	}
	return e, incomplete, err
}

func (b *loadedLine) loaded() (*trace.Loaded, error) {
	out := &trace.Loaded{Records: make([]lease.Binding, len(b.Records))}
	for i := range b.Records {
		if err := b.Records[i].into(&out.Records[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// config compiles the text. A text that was in force and is refused here is an error:
// it was written by another version, or is not what was written.
func (b *configLine) config() (*trace.Config, error) {
	out := &trace.Config{Text: b.Text, Refused: b.Refused, Why: b.Why}
	if b.Refused {
		return out, nil
	}
	c, problems := config.Parse("configuration in the trace", []byte(b.Text))
	if err := problems.Err(); err != nil {
		return nil, err
	}
	out.Policy = c.Policy()
	if len(b.Interfaces) > 0 {
		out.Policy.Interfaces = b.Interfaces
	}
	if b.Authoritative != nil {
		out.Policy.Authoritative = *b.Authoritative
	}
	out.Policy.Careful = b.Careful
	return out, nil
}

func (b *linkLine) link() wire.Link {
	return wire.Link{ID: wire.LinkID(b.ID), Name: b.Name, MAC: wire.MAC(b.MAC), MTU: b.MTU, Addrs: b.Addrs}
}

func (b *commitLine) commit() (*trace.Commit, error) {
	out := &trace.Commit{Began: b.Began.instant(), Mark: lease.Mark{W: b.Mark.W, M: b.Mark.M, Boot: b.Mark.Boot.bootID()},
		Err: b.Err, Unknown: b.Unknown}
	if len(b.Changes) > 0 {
		out.Changes = make([]lease.Change, len(b.Changes))
		out.Results = make([]store.Outcome, len(b.Changes))
	}
	for i := range b.Changes {
		from, to := &b.Changes[i], &out.Changes[i]
		to.CompareOnly = from.CompareOnly
		o, err := outcomeNames.number("outcome", from.Outcome)
		if err != nil {
			return nil, err
		}
		out.Results[i] = store.Outcome(o)
		if from.Before != nil {
			if err := from.Before.into(&to.Before); err != nil {
				return nil, err
			}
		}
		if from.After != nil {
			if err := from.After.into(&to.After); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (b *bindingLine) into(to *lease.Binding) error {
	state, err := stateNames.number("state of a lease", b.State)
	if err != nil {
		return err
	}
	*to = lease.Binding{Addr: b.Addr, State: lease.State(state), HType: b.HType, HW: b.HW, ClientID: b.ClientID,
		Hostname: b.Hostname, GIAddr: b.GIAddr, Agent: b.Agent, Lifetime: b.Lifetime, Grace: b.Grace, Start: b.Start,
		Renewed: b.Renewed, Until: b.Until, Boot: b.Boot.bootID(), End: b.End, Free: b.Free, Rev: b.Rev}
	return nil
}

func (b *frameLine) frame() *trace.Frame {
	out := &trace.Frame{Link: b.Link, Sent: b.Sent, LinkID: wire.LinkID(b.LinkID), SrcMAC: wire.MAC(b.SrcMAC),
		DstMAC: wire.MAC(b.DstMAC), Src: b.Src, Dst: b.Dst, SrcPort: b.SrcPort, DstPort: b.DstPort}
	if b.Payload != nil {
		out.Payload = append([]byte{}, *b.Payload...)
	}
	if a := b.ARP; a != nil {
		out.ARP = &wire.ARP{Link: wire.LinkID(a.Link), Op: a.Op, SenderMAC: wire.MAC(a.SenderMAC), SenderIP: a.SenderIP,
			TargetMAC: wire.MAC(a.TargetMAC), TargetIP: a.TargetIP, To: wire.MAC(a.To)}
	}
	return out
}

func (b *eventLine) happened() (*trace.Happened, error) {
	kind, err := eventNames.number("event", b.Kind)
	if err != nil {
		return nil, err
	}
	typ, err := messageNames.number("message type", b.Type)
	if err != nil {
		return nil, err
	}
	reason, err := reasonNames.number("reason", b.Reason)
	if err != nil {
		return nil, err
	}
	ev := server.Event{Kind: server.EventKind(kind), Type: dhcp4.MessageType(typ), Reason: server.Reason(reason), After: b.After, Link: wire.LinkID(b.Link),
		Addr: b.Addr, XID: b.XID, HType: b.HType, HW: b.HW, ClientID: b.ClientID, Hostname: b.Hostname, GIAddr: b.GIAddr,
		Lifetime: b.Lifetime}
	return &trace.Happened{Event: ev}, nil
}

func (b *countsLine) counts() (*trace.Counts, error) {
	out := &trace.Counts{Bindings: b.Bindings, Offers: b.Offers, Past: b.Past, Checks: b.Checks, Changes: b.Changes, Replies: b.Replies,
		Queued: b.Queued, Overload: b.Overload}
	n := &out.Counters
	n.Probes, n.Unchecked, n.Unfilled, n.Recalled = b.Probes, b.Unchecked, b.Unfilled, b.Recalled
	err := errors.Join(
		messageNames.fill("message type", n.Received[:], b.Received),
		messageNames.fill("message type", n.Sent[:], b.Sent),
		messageNames.fill("message type", n.Done[:], b.Done),
		reasonNames.fill("reason", n.Dropped[:], b.Dropped),
		reasonNames.fill("reason", n.Naks[:], b.Naks),
		reasonNames.fill("reason", n.Alarms[:], b.Alarms))
	for i := range b.Pools {
		p := &b.Pools[i]
		c := server.PoolCount{Subnet: p.Subnet, Size: p.Size}
		c.Range.First, c.Range.Last = p.First, p.Last
		err = errors.Join(err, poolNames.fill("state of an address", c.Count[:], p.Count))
		out.Pools = append(out.Pools, c)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// parseLoose reads what it knows of an object.
func parseLoose(text []byte, into any) error { return json.Unmarshal(text, into) }
