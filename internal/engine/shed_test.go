package engine

import (
	"testing"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

func message(t dhcp4.MessageType, ciaddr string, before ...dhcp4.Option) []byte {
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6}
	if ciaddr != "" {
		h.CIAddr = dhcp4.MustParseAddr(ciaddr)
	}
	data, _ := dhcp4.AppendMessage(nil, &h, append(before, dhcp4.Option{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(t)}}), nil, 576)
	return data
}

// TestClassify: the cheap look agrees with the message's type wherever a client
// puts option 53, and takes nothing outside the packet for it.
func TestClassify(t *testing.T) {
	host := dhcp4.Option{Code: dhcp4.OptHostName, Data: []byte("a-name-before-the-type\x35\x01\x01")}
	reply := message(dhcp4.Discover, "")
	reply[0] = 2
	for name, c := range map[string]struct {
		data []byte
		want class
	}{
		"DISCOVER":              {message(dhcp4.Discover, ""), newcomer},
		"DISCOVER, name first":  {message(dhcp4.Discover, "", host), newcomer},
		"REQUEST without addr":  {message(dhcp4.Request, ""), ordinary},
		"renewal":               {message(dhcp4.Request, "192.0.2.7"), holder},
		"renewal, name first":   {message(dhcp4.Request, "192.0.2.7", host), holder},
		"RELEASE":               {message(dhcp4.Release, "192.0.2.7"), ordinary},
		"DECLINE":               {message(dhcp4.Decline, ""), ordinary},
		"a server's message":    {reply, newcomer},
		"BOOTP":                 {make([]byte, 300), newcomer},
		"too short":             {message(dhcp4.Request, "192.0.2.7")[:242], newcomer},
		"nothing":               {nil, newcomer},
		"option past the end":   {append(message(dhcp4.Discover, "")[:240], 12, 200, 1), ordinary},
		"cut in the type":       {message(dhcp4.Request, "192.0.2.7")[:243], holder},
		"pads before the type":  {append(message(dhcp4.Request, "192.0.2.7")[:240], 0, 0, 0, 53, 1, 3), holder},
		"nothing but padding":   {append(message(dhcp4.Request, "192.0.2.7")[:240], make([]byte, 60)...), ordinary},
		"end before any option": {append(message(dhcp4.Request, "192.0.2.7")[:240], 255, 0, 0), newcomer},
	} {
		if got := classify(c.data); got != c.want {
			t.Errorf("%s: class %d, want %d", name, got, c.want)
		}
	}
}

// FuzzClassify: whatever the bytes, the look stays inside them and ends.
func FuzzClassify(f *testing.F) {
	f.Add(message(dhcp4.Request, "192.0.2.7"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c := classify(data); c > holder {
			t.Fatalf("class %d", c)
		}
	})
}

// TestShed: under overload the dearest are kept, in their order, and the others counted.
func TestShed(t *testing.T) {
	in := func() (ps []wire.Packet) {
		for i, d := range [][]byte{message(dhcp4.Discover, ""), message(dhcp4.Request, "192.0.2.1"), message(dhcp4.Discover, ""),
			message(dhcp4.Release, "192.0.2.2"), message(dhcp4.Request, "192.0.2.3"), message(dhcp4.Request, "")} {
			ps = append(ps, wire.Packet{Data: d, SrcPort: uint16(i)})
		}
		return ps
	}
	for least, want := range map[class][]uint16{newcomer: {0, 1, 2, 3, 4, 5}, ordinary: {1, 3, 4, 5}, holder: {1, 4}} {
		ps := in()
		kept, dropped := shed(ps, least)
		var got []uint16
		for _, p := range kept {
			got = append(got, p.SrcPort)
		}
		if len(got) != len(want) || dropped != uint64(6-len(want)) {
			t.Fatalf("least %d: kept %v, dropped %d; want %v", least, got, dropped, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("least %d: kept %v, want %v", least, got, want)
			}
		}
		seen := map[uint16]bool{}
		for _, p := range ps { // each buffer is still there once, for the next batch
			seen[p.SrcPort] = true
		}
		if len(seen) != 6 {
			t.Errorf("least %d: the batch lost a buffer: %v", least, seen)
		}
	}
}

// BenchmarkClassify is the cost of the look that decides under overload.
func BenchmarkClassify(b *testing.B) {
	data := message(dhcp4.Discover, "")
	for b.Loop() {
		if classify(data) != newcomer {
			b.Fatal("not a newcomer")
		}
	}
}
