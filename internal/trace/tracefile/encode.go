package tracefile

import (
	"encoding/json"
	"fmt"

	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// appendLine appends an entry as a line, its end included. T and Host are written only
// for the trace of a world. What e refers to is not kept.
func appendLine(dst []byte, e *trace.Entry, world bool) ([]byte, error) {
	l := line{M: e.Now.M, W: e.Now.W}
	if world {
		l.T, l.Host = e.T, e.Host
	}
	if err := l.set(e.Body); err != nil {
		return dst, err
	}
	return appendJSON(dst, &l)
}

func appendJSON(dst []byte, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return dst, err
	}
	if len(b) >= maxLine {
		return dst, fmt.Errorf("an entry of %d octets is too long for a trace file", len(b))
	}
	return append(append(dst, b...), '\n'), nil
}

// set takes the body of an entry.
func (l *line) set(body trace.Body) error {
	switch b := body.(type) {
	case *trace.Clock:
		l.Clock = &clockLine{Boot: boot(b.Boot), Drift: b.Drift}
	case *trace.Loaded:
		l.Loaded = &loadedLine{Records: make([]bindingLine, len(b.Records))}
		for i := range b.Records {
			l.Loaded.Records[i] = *bindingOf(&b.Records[i])
		}
	case *trace.Started:
		l.Started = &startedLine{Boot: boot(b.Boot), Careful: b.Careful, Fresh: b.Fresh, Records: b.Records, Version: b.Version, Took: b.Took,
			Bounds: boundsLine(b.Bounds)}
	case *trace.Ended:
		l.Ended = &endedLine{Clean: b.Clean, Power: b.Power, Crashed: b.Crashed}
	case *trace.Config:
		l.Config = configOf(b)
	case *trace.Served:
		l.Served = &servedLine{Links: make([]linkLine, len(b.Links))}
		for i := range b.Links {
			l.Served.Links[i] = linkOf(&b.Links[i])
		}
	case *trace.Interface:
		l.Interface = &interfaceLine{Link: linkOf(&b.Link), Ready: b.Ready, Up: b.Up}
	case *trace.Commit:
		l.Commit = commitOf(b)
	case *trace.Disk:
		l.Disk = &diskLine{Broken: b.Broken, Slow: b.Slow}
	case *trace.StoreState:
		l.Store = &storeLine{Failing: b.Failing, Why: b.Why}
	case *trace.Frame:
		l.Frame = frameOf(b)
	case *trace.Happened:
		l.Event = eventOf(&b.Event)
	case *trace.Counts:
		l.Counts = countsOf(b)
	case *trace.Override:
		l.Override = &overrideLine{Addr: b.Addr, Immediate: b.Immediate}
	case *trace.Client:
		l.Client = &clientLine{What: string(b.What), Ours: b.Ours, MAC: mac(b.MAC), ClientID: b.ClientID, Addr: b.Addr,
			State: b.State, Start: b.Start, End: b.End, Lifetime: b.Lifetime,
			Probes: b.Probes, ProbeMin: b.ProbeMin, ProbeWait: b.ProbeWait}
	case *trace.Phase:
		l.Phase = &phaseLine{Name: b.Name}
	case *trace.Usage:
		l.Usage = &usageLine{Goroutines: b.Goroutines, FDs: b.FDs, Heap: b.Heap, Idle: b.Idle, Start: b.Start}
	default:
		return fmt.Errorf("no trace file holds a %T", body)
	}
	return nil
}

func configOf(c *trace.Config) *configLine {
	l := &configLine{Text: c.Text, Refused: c.Refused, Why: c.Why}
	if p := c.Policy; p != nil {
		l.Interfaces, l.Authoritative, l.Careful = p.Interfaces, &p.Authoritative, p.Careful
	}
	return l
}

func linkOf(k *wire.Link) linkLine {
	return linkLine{ID: int32(k.ID), Name: k.Name, MAC: mac(k.MAC), MTU: k.MTU, Addrs: k.Addrs}
}

func commitOf(c *trace.Commit) *commitLine {
	l := &commitLine{Began: instantOf(c.Began), Mark: markLine{W: c.Mark.W, M: c.Mark.M, Boot: boot(c.Mark.Boot)},
		Err: c.Err, Unknown: c.Unknown, Changes: make([]changeLine, len(c.Changes))}
	for i := range c.Changes {
		from, to := &c.Changes[i], &l.Changes[i]
		to.CompareOnly = from.CompareOnly
		if i < len(c.Results) {
			to.Outcome = outcomeNames.of(int(c.Results[i]))
		}
		if from.Before.Addr != 0 {
			to.Before = bindingOf(&from.Before)
		}
		to.After = bindingOf(&from.After)
	}
	return l
}

func bindingOf(b *lease.Binding) *bindingLine {
	l := &bindingLine{Addr: b.Addr, State: stateNames.of(int(b.State)), HType: b.HType, HW: b.HW, ClientID: b.ClientID,
		Hostname: b.Hostname, GIAddr: b.GIAddr, Agent: b.Agent, Lifetime: b.Lifetime, Grace: b.Grace, Start: b.Start,
		Renewed: b.Renewed, Until: b.Until, End: b.End, Free: b.Free, Rev: b.Rev}
	if b.Boot != (lease.BootID{}) {
		l.Boot = b.Boot[:]
	}
	return l
}

func frameOf(f *trace.Frame) *frameLine {
	l := &frameLine{Link: f.Link, Sent: f.Sent, LinkID: int32(f.LinkID), SrcMAC: mac(f.SrcMAC), DstMAC: mac(f.DstMAC),
		Src: f.Src, Dst: f.Dst, SrcPort: f.SrcPort, DstPort: f.DstPort}
	if f.Payload != nil {
		l.Payload = (*Octets)(&f.Payload)
	}
	if a := f.ARP; a != nil {
		l.ARP = &arpLine{Link: int32(a.Link), Op: a.Op, SenderMAC: mac(a.SenderMAC), SenderIP: a.SenderIP,
			TargetMAC: mac(a.TargetMAC), TargetIP: a.TargetIP, To: mac(a.To)}
	}
	return l
}

func eventOf(e *server.Event) *eventLine {
	return &eventLine{Kind: eventNames.of(int(e.Kind)), Type: messageNames.of(int(e.Type)), Reason: reasonNames.of(int(e.Reason)),
		After: e.After, Link: int32(e.Link), Addr: e.Addr, XID: e.XID, HType: e.HType, HW: e.HW, ClientID: e.ClientID,
		Hostname: e.Hostname, GIAddr: e.GIAddr, Lifetime: e.Lifetime}
}

func countsOf(c *trace.Counts) *countsLine {
	n := &c.Counters
	l := &countsLine{
		Received: messageNames.tally(n.Received[:]), Sent: messageNames.tally(n.Sent[:]), Done: messageNames.tally(n.Done[:]),
		Dropped: reasonNames.tally(n.Dropped[:]), Naks: reasonNames.tally(n.Naks[:]), Alarms: reasonNames.tally(n.Alarms[:]),
		Probes: n.Probes, Unchecked: n.Unchecked, Unfilled: n.Unfilled, Recalled: n.Recalled,
		Bindings: c.Bindings, Offers: c.Offers, Past: c.Past, Checks: c.Checks, Changes: c.Changes, Replies: c.Replies, Queued: c.Queued,
		Overload: c.Overload,
	}
	for i := range c.Pools {
		p := &c.Pools[i]
		l.Pools = append(l.Pools, poolLine{Subnet: p.Subnet, First: p.Range.First, Last: p.Range.Last, Size: p.Size,
			Count: poolNames.tally(p.Count[:])})
	}
	return l
}
