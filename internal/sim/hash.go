package sim

import (
	"encoding/binary"

	"lessor/internal/lease"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// hashEntry makes what happened part of the run's hash: all octets that went over the
// wire, all that was committed, all that the programs did, each with its time.
func (w *world) hashEntry(e *trace.Entry) {
	b := append(w.scratch[:0], e.Body.Kind()...)
	b = num(b, e.T, e.Now.M, e.Now.W)
	b = text(b, e.Host)
	switch x := e.Body.(type) {
	case *trace.Clock:
		b = append(num(b, int64(x.Drift)), x.Boot[:]...)
	case *trace.Loaded:
		for i := range x.Records {
			b = binding(b, &x.Records[i])
		}
	case *trace.Started:
		b = num(b, int64(x.Records), flag(x.Careful))
	case *trace.Ended:
		b = num(b, flag(x.Clean), flag(x.Power))
	case *trace.Config:
		b = text(text(b, x.Text), x.Why)
	case *trace.Served:
		for i := range x.Links {
			b = linkOf(b, &x.Links[i])
		}
	case *trace.Interface:
		b = num(linkOf(b, &x.Link), flag(x.Ready), flag(x.Up))
	case *trace.Commit:
		b = num(text(b, x.Err), x.Began.M)
		for i := range x.Changes {
			b = binding(b, &x.Changes[i].After)
		}
		for _, o := range x.Results {
			b = append(b, byte(o))
		}
	case *trace.StoreState:
		b = num(text(b, x.Why), flag(x.Failing))
	case *trace.Disk:
		b = num(b, flag(x.Broken), flag(x.Slow))
	case *trace.Frame:
		b = frame(b, x)
	case *trace.Happened:
		v := &x.Event
		b = num(b, int64(v.Kind), int64(v.Type), int64(v.Reason), int64(v.Addr), int64(v.XID))
		b = append(append(b, v.HW...), v.ClientID...)
	case *trace.Relaying:
		for _, q := range x.Ports {
			b = num(b, int64(q.Link), int64(q.GIAddr))
		}
	case *trace.Counts:
		b = num(b, int64(x.Bindings), int64(x.Offers), int64(x.Changes), int64(x.Replies))
		for i := range x.Pools {
			for _, n := range x.Pools[i].Count {
				b = num(b, int64(n))
			}
		}
	case *trace.Override:
		b = num(b, int64(x.Addr), flag(x.Immediate))
	case *trace.Client:
		b = num(text(text(b, string(x.What)), x.State), int64(x.Addr), x.Start, x.End)
	case *trace.Phase:
		b = text(b, x.Name)
	}
	w.scratch = b
	w.hash.Write(b)
}

func num(b []byte, ns ...int64) []byte {
	for _, n := range ns {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

func text(b []byte, s string) []byte { return append(num(b, int64(len(s))), s...) }

func flag(f bool) int64 {
	if f {
		return 1
	}
	return 0
}

func linkOf(b []byte, l *wire.Link) []byte {
	b = append(num(b, int64(l.ID), int64(l.MTU)), l.MAC[:]...)
	for _, a := range l.Addrs {
		b = num(b, int64(a.Addr), int64(a.Bits))
	}
	return b
}

func frame(b []byte, f *trace.Frame) []byte {
	b = append(append(num(b, flag(f.Sent), int64(f.LinkID), int64(f.Src), int64(f.Dst), int64(f.SrcPort), int64(f.DstPort)), f.SrcMAC[:]...), f.DstMAC[:]...)
	b = append(b, f.Payload...)
	if a := f.ARP; a != nil {
		b = append(append(num(b, int64(a.Op), int64(a.SenderIP), int64(a.TargetIP)), a.SenderMAC[:]...), a.TargetMAC[:]...)
	}
	return b
}

func binding(b []byte, x *lease.Binding) []byte {
	b = num(b, int64(x.Addr), int64(x.State), int64(x.Lifetime), x.Start, x.Renewed, x.Until, x.End, x.Free, int64(x.Rev))
	return append(append(append(b, x.HW...), x.ClientID...), x.Boot[:]...)
}
