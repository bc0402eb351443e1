package relay_test

import (
	"encoding/binary"
	"runtime"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/relay"
	"lessor/internal/wire"
)

// TestFlood is F9 of docs/invariants.md for the rules alone: requests of made-up clients cost no memory
// and push nobody out.
func TestFlood(t *testing.T) {
	for name, edit := range map[string]func(*relay.Downstream){"giaddr": nil, "link selection": selection} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, ports(edit))
			honest := fromClient(eth2, discover().bytes())
			_, v := w.relayed(honest)
			reply := ack(v.GIAddr())
			reply.agent = agentInfo(v)
			answer := fromServer(reply)
			flood := fromClient(eth1, discover().bytes())
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			const n = 200_000
			for i := range uint32(n) {
				binary.BigEndian.PutUint32(flood.Data[4:], i*2654435761)
				binary.BigEndian.PutUint32(flood.Data[30:], i*2246822519)
				if len(w.handle(flood)) == 0 {
					t.Fatalf("dropped: %+v", w.e.Events)
				}
				if i%1000 == 0 {
					if s, _ := w.relayed(answer); s.Link != eth2.ID {
						t.Fatalf("the honest client's reply goes to %+v", s)
					}
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
				t.Errorf("the heap grew by %d octets", grown)
			}
		})
	}
}

func TestHandleAllocatesNothing(t *testing.T) {
	var e relay.Effects
	for name, edit := range map[string]func(*relay.Downstream){"plain": nil, "circuit-id": circuit, "all": all} {
		w := newWorld(t, ports(edit))
		request := fromClient(eth1, discover().bytes())
		_, v := w.relayed(request)
		reply := ack(v.GIAddr())
		if v.Has(dhcp4.OptDHCPAgentOptions) {
			reply.agent = agentInfo(v)
		}
		bad := reply
		bad.GIAddr++
		in := []*wire.Packet{request, fromServer(reply), fromServer(bad)}
		run := func() {
			for _, p := range in {
				w.a.Handle(lease.Instant{}, p, &e)
			}
			e.Reset()
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if c := w.a.Counters(); c.ToClients == 0 || c.ToServers == 0 || c.Dropped[relay.NotOurGIAddr] == 0 {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func BenchmarkHandle(b *testing.B) {
	var e relay.Effects
	for name, edit := range map[string]func(*relay.Downstream){"giaddr": nil, "circuit-id": circuit, "all": all} {
		w := newWorld(b, ports(edit))
		request := fromClient(eth1, discover().bytes())
		_, v := w.relayed(request)
		reply := ack(v.GIAddr())
		if v.Has(dhcp4.OptDHCPAgentOptions) {
			reply.agent = agentInfo(v)
		}
		answer := fromServer(reply)
		for _, c := range []struct {
			kind string
			p    *wire.Packet
		}{{"request", request}, {"reply", answer}} {
			b.Run(name+"/"+c.kind, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					w.a.Handle(lease.Instant{}, c.p, &e)
					e.Reset()
				}
			})
		}
	}
}
