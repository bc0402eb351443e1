package client_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// hostile is a machine that waits for an answer to its last message.
type hostile struct {
	t     testing.TB
	m     *client.Machine
	now   lease.Instant
	e     client.Effects
	asked []byte
	used  []client.Lease
}

// brought returns a machine in the given state, which waits for an answer.
func brought(t testing.TB, state client.State) *hostile {
	h := &hostile{t: t, now: lease.Instant{M: 1e12, W: 1.8e18}}
	h.m = client.New(client.Config{Fast: true, Detection: client.DetectOff}, secret, nil)
	h.do(&client.Input{Kind: client.InputLinkUp, Link: wire.Link{ID: 7, MAC: ownMAC, MTU: 1500}})
	if state == client.Selecting {
		return h
	}
	h.receive(h.good(2))
	if state == client.Requesting {
		return h
	}
	h.receive(h.good(5))
	kinds := map[client.State]client.InputKind{client.Renewing: client.InputRenew, client.Rebinding: client.InputRebind,
		client.Rebooting: client.InputResume}
	if kind, ok := kinds[state]; ok {
		h.do(&client.Input{Kind: kind})
	}
	if h.m.State() != state {
		t.Fatalf("%v, want %v", h.m.State(), state)
	}
	return h
}

func (h *hostile) do(in *client.Input) {
	h.m.Handle(h.now, in, &h.e)
	for i := range h.e.List {
		switch f := &h.e.List[i]; f.Kind {
		case client.EffectSend:
			h.asked = bytes.Clone(f.Send.Data)
		case client.EffectConfigure:
			h.used = append(h.used, *f.Lease)
		}
	}
	h.e.Reset()
}

func (h *hostile) receive(data []byte) {
	h.do(&client.Input{Kind: client.InputPacket, Packet: &wire.Packet{Data: data, SrcMAC: wire.MAC{2, 1}, Src: 0xc0000201}})
}

// good is an OFFER (2), ACK (5) or NAK (6) as it should be, and what else it shall have.
func (h *hostile) good(typ byte, more ...dhcp4.Option) []byte {
	head := dhcp4.Header{Op: 2, HType: 1, HLen: 6, XID: binary.BigEndian.Uint32(h.asked[4:]), YIAddr: 0xc0000232}
	copy(head.CHAddr[:], ownMAC[:])
	data, _ := dhcp4.AppendMessage(nil, &head, append([]dhcp4.Option{{Code: 53, Data: []byte{typ}}, {Code: 54, Data: []byte{192, 0, 2, 1}},
		{Code: 51, Data: []byte{0, 0, 14, 16}}, {Code: 1, Data: []byte{255, 255, 255, 0}}}, more...), nil, 60000)
	return data
}

// sane holds that whatever was put on the interface is what a host can have.
func (h *hostile) sane(what string) {
	for _, l := range h.used {
		if l.Addr != (dhcp4.Prefix{Addr: 0xc0000232, Bits: 24}) || l.Server != 0xc0000201 || l.Lifetime != 3600 {
			h.t.Fatalf("%s: %v from %v for %d s was put on the interface", what, l.Addr, l.Server, l.Lifetime)
		}
	}
	h.used = nil
	if next := h.m.NextTick(); next < h.now.M {
		h.t.Fatalf("%s: a tick is overdue", what)
	}
}

// works holds that the machine still gets a lease.
func (h *hostile) works(what string) {
	h.now.M += 90e9
	h.now.W += 90e9
	h.do(&client.Input{Kind: client.InputNetworkChanged})
	for range 20 {
		if h.m.State() == client.Selecting {
			break
		}
		h.now.W += max(h.m.NextTick()-h.now.M, 0)
		h.now.M = max(h.now.M, h.m.NextTick())
		h.do(&client.Input{Kind: client.InputTick})
	}
	h.receive(h.good(2))
	h.receive(h.good(5))
	if h.m.State() != client.Bound || !h.m.Configured() {
		h.t.Fatalf("%s: no lease any more, %v", what, h.m.State())
	}
	h.sane(what)
}

var waiting = []client.State{client.Selecting, client.Requesting, client.Bound, client.Renewing, client.Rebinding, client.Rebooting}

// each runs a test of the hostile server in each state that matters.
func each(t *testing.T, f func(t *testing.T, state client.State, typ byte)) {
	for _, state := range waiting {
		typ := byte(5)
		if state == client.Selecting {
			typ = 2
		}
		t.Run(state.String(), func(t *testing.T) { f(t, state, typ) })
	}
}

// TestSystemd26151Lengths: messages of 0 to 300 octets, with and without cookie, END and
// options: ignored, or taken when they are whole.
func TestSystemd26151Lengths(t *testing.T) {
	each(t, func(t *testing.T, state client.State, typ byte) {
		h := brought(t, state)
		whole := h.good(typ)
		for n := range len(whole) - 20 {
			h.receive(whole[:n])
			if n < 240 && h.m.State() != state {
				t.Fatalf("%d octets led to %v", n, h.m.State())
			}
			pads := bytes.Clone(whole[:n])
			if n > 240 {
				clear(pads[240:])
			}
			h.receive(pads)
			if n > 236 {
				pads[236] ^= 1
				h.receive(pads)
			}
			h.sane(fmt.Sprint(n, " octets"))
		}
		h.works("after all lengths")
	})
}

// TestOptionGrid: every option code with values of 0, 1, 3, 5 and 255 octets of several
// fillings, as CVE-2009-0692, CVE-2012-2152, CVE-2014-7912 and the Windows ones of 2019
// have them: alive, and nothing nonsensical is configured.
func TestOptionGrid(t *testing.T) {
	each(t, func(t *testing.T, state client.State, typ byte) {
		for code := 1; code < 255; code++ {
			for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 16, 255, 600} {
				for _, fill := range []byte{0, 0x7f, 0xff} {
					h := brought(t, state)
					data := h.good(typ, dhcp4.Option{Code: dhcp4.Code(code), Data: bytes.Repeat([]byte{fill}, n)})
					h.receive(data)
					for _, l := range h.used {
						if !l.Addr.IsHost(l.Addr.Addr) || !l.Server.IsUnicastHost() || l.Lifetime == 0 {
							t.Fatalf("option %d of %d × %#x: %+v", code, n, fill, l)
						}
					}
				}
			}
		}
	})
}

// TestCVE2014_6060Overload: option 52 of every value, and inside the fields that it makes
// available: each field is read once, and the client lives on.
func TestCVE2014_6060Overload(t *testing.T) {
	each(t, func(t *testing.T, state client.State, typ byte) {
		h := brought(t, state)
		for value := range 256 {
			data := h.good(typ)
			at := bytes.LastIndexByte(data, 255)
			data = append(append(data[:at:at], 52, 1, byte(value)), 255)
			copy(data[44:], []byte{52, 1, 3, 1, 4, 255, 255, 255, 0, 255})
			copy(data[108:], []byte{52, 1, 3, 52, 1, 1, 255})
			data[235], data[107] = 53, 12 // a code without a length at the very end
			h.receive(data)
			h.used = nil
		}
		h.works("after all overloads")
	})
}

// TestCVE2020_13529ForceRenew: a FORCERENEW without authentication has no effect, in any
// state, with any xid.
func TestCVE2020_13529ForceRenew(t *testing.T) {
	each(t, func(t *testing.T, state client.State, _ byte) {
		h := brought(t, state)
		h.used = nil
		next := h.m.NextTick()
		h.receive(h.good(9))
		h.receive(h.good(9, dhcp4.Option{Code: 90, Data: make([]byte, 27)}))
		if h.m.State() != state || h.m.NextTick() != next || len(h.used) > 0 {
			t.Errorf("FORCERENEW led to %v", h.m.State())
		}
	})
}

// TestCVE2026_56116ZeroLifetime: leases of 0 s are refused a million times, and memory is flat;
// so are replies whose leases are good but not for us.
func TestCVE2026_56116ZeroLifetime(t *testing.T) {
	h := brought(t, client.Renewing)
	bad := [][]byte{h.good(5, dhcp4.Option{Code: 61, Data: []byte("another")}), h.good(5)}
	copy(bad[1][bytes.Index(bad[1], []byte{51, 4, 0, 0, 14, 16})+2:], []byte{0, 0, 0, 0})
	routes := h.good(5, dhcp4.Option{Code: 121, Data: bytes.Repeat([]byte{32, 198, 18, 0, 1, 192, 0, 2, 1}, 60)})
	binary.BigEndian.PutUint32(routes[4:], 1)
	bad = append(bad, routes)
	heap := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	for i := range 1_000_000 {
		h.receive(bad[i%len(bad)])
		h.now.M += 1000
		h.now.W += 1000
	}
	if after := heap(); after > before+before/10+1<<16 {
		t.Errorf("the heap grew from %d to %d octets", before, after)
	}
	if h.m.State() != client.Renewing {
		t.Fatalf("%v", h.m.State())
	}
	h.receive(h.good(5))
	if h.m.State() != client.Bound {
		t.Errorf("the renewal after the flood: %v", h.m.State())
	}
	h.sane("after a million replies")
}

// TestLivesOnRandomOctets: replies to our own question with octets changed at random, a
// hundred thousand of them.
func TestLivesOnRandomOctets(t *testing.T) {
	each(t, func(t *testing.T, state client.State, typ byte) {
		x := uint32(7)
		next := func(n int) int {
			x = x*1664525 + 1013904223
			return int(x>>8) % n
		}
		for range 300 {
			h := brought(t, state)
			h.used = nil
			for range 60 {
				data := h.good(typ)
				for range 1 + next(6) {
					data[next(len(data))] = byte(next(256))
				}
				h.receive(data)
				for _, l := range h.used {
					if !l.Addr.IsHost(l.Addr.Addr) || !l.Addr.Addr.IsUnicastHost() || !l.Server.IsUnicastHost() || l.End <= h.now.M {
						t.Fatalf("%+v", l)
					}
				}
				h.used = nil
			}
		}
	})
}
