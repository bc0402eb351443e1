package event_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/event"
	"lessor/internal/lease"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// Tests of this file are named after the faults of other programs that they keep away.

// sink collects what a handler writes.
type sink struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// lines logs events at a level in both formats and returns the lines of each.
func lines(t *testing.T, level slog.Level, events ...server.Event) (text, js []string) {
	t.Helper()
	for _, f := range []struct {
		out *[]string
		new func(*sink) slog.Handler
	}{
		{&text, func(s *sink) slog.Handler { return slog.NewTextHandler(s, &slog.HandlerOptions{Level: level}) }},
		{&js, func(s *sink) slog.Handler { return slog.NewJSONHandler(s, &slog.HandlerOptions{Level: level}) }},
	} {
		s := &sink{}
		l := event.NewLog(f.new(s), event.Names{})
		for i := range events {
			l.Event(lease.Instant{M: int64(i) * 20e6, W: int64(i) * 20e6}, &events[i], 0)
		}
		l.Close()
		for line := range strings.Lines(s.b.String()) {
			*f.out = append(*f.out, strings.TrimSuffix(line, "\n"))
		}
	}
	return text, js
}

// TestCVE2002_0702FormatString: a client's text is text, whatever is in it.
func TestCVE2002_0702FormatString(t *testing.T) {
	for _, name := range []string{"%n%s%x", "%!d(MISSING)", "{{.}}", "$(reboot)", "`reboot`", "a=b msg=forged"} {
		text, js := lines(t, slog.LevelInfo, server.Event{Kind: server.EventBound, Addr: 1, HType: 1, HW: make([]byte, 6), Hostname: []byte(name)})
		if len(text) != 1 || len(js) != 1 || !strings.Contains(text[0], name) {
			t.Errorf("%q is logged as %q and %q", name, text, js)
			continue
		}
		var fields map[string]any
		if err := json.Unmarshal([]byte(js[0]), &fields); err != nil || fields["hostname"] != name || fields["msg"] != "lease" {
			t.Errorf("%q is logged as %q: %v", name, js[0], err)
		}
	}
}

// TestCVE2004_0460LineLength: the longest texts that a packet can hold make one line,
// without anything in it that a terminal obeys. A host name alone makes at most 1 KiB.
func TestCVE2004_0460LineLength(t *testing.T) {
	for _, octet := range []byte{'a', 0, 0x1b, '\n', '"', '\\', 0x80, 0xff} {
		long := bytes.Repeat([]byte{octet}, 255)
		text, js := lines(t, slog.LevelDebug, server.Event{Kind: server.EventBound, Type: dhcp4.Request, Addr: 0xffffffff, GIAddr: 0xffffffff,
			XID: 1, HType: 255, HW: long[:16], ClientID: long, Hostname: long, Lifetime: lease.Infinite})
		for _, got := range [][]string{text, js} {
			if len(got) != 1 {
				t.Fatalf("octet %#x: %d lines", octet, len(got))
			}
			// Each value is bounded to 255 octets; the format of the line doubles quotes.
			if len(got[0]) > 2048 {
				t.Errorf("octet %#x: a line of %d octets", octet, len(got[0]))
			}
			for _, r := range got[0] {
				if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
					t.Errorf("octet %#x: the line holds %#x", octet, r)
					break
				}
			}
		}
		text, js = lines(t, slog.LevelDebug, server.Event{Kind: server.EventBound, Type: dhcp4.Request, Addr: 0xffffffff,
			XID: 1, HType: 1, HW: long[:6], Hostname: bytes.Repeat(long, 50), Lifetime: 3600})
		if len(text) != 1 || len(js) != 1 || len(text[0]) > 1024 || len(js[0]) > 1024 {
			t.Errorf("octet %#x: fifty host names make %q, %q", octet, text, js)
		}
	}
}

// TestLogLimit (F2): a flood of one kind of event is at most 100 lines a second, and
// what was left out is told.
func TestLogLimit(t *testing.T) {
	s := &sink{}
	l := event.NewLog(slog.NewTextHandler(s, nil), event.Names{})
	e := server.Event{Kind: server.EventNak, Reason: server.NakWrongNetwork, Addr: 1, HType: 1, HW: make([]byte, 6)}
	for i := range 50_000 {
		l.Event(lease.Instant{M: int64(i) * int64(time.Second) / 50_000}, &e, 0)
	}
	l.Tick(lease.Instant{M: int64(time.Second)})
	l.Close()
	out := s.b.String()
	if n := strings.Count(out, "LEASE_NAK") - strings.Count(out, "of=LEASE_NAK"); n > 100 || n == 0 {
		t.Errorf("%d lines", n)
	}
	if !strings.Contains(out, "LOG_SUPPRESSED") || l.Lost() < 49_900 {
		t.Errorf("the log does not tell of the %d lines it left out", l.Lost())
	}
}

// TestCVE2015_8373EveryLevel: what a packet does to the server does not depend on how
// much is logged: damaged packets of all kinds through the core and the log at each level.
func TestCVE2015_8373EveryLevel(t *testing.T) {
	c, problems := config.Parse("lessor.yaml", []byte("interfaces: [eth0]\nsubnets:\n  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.199]}\n"))
	if c == nil {
		t.Fatal(problems)
	}
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		s := &sink{}
		l := event.NewLog(slog.NewJSONHandler(s, &slog.HandlerOptions{Level: level}), event.Names{})
		core := server.New([16]byte{1}, lease.BootID{1})
		var e server.Effects
		now := lease.Instant{M: 1e9, W: 1e18}
		core.SetPolicy(now, c.Policy(), &e)
		core.SetLinks(now, []wire.Link{{ID: 1, Name: "eth0", MTU: 1500, MAC: wire.MAC{2, 0, 0, 0, 0, 1},
			Addrs: []dhcp4.Prefix{{Addr: 0xc6120001, Bits: 24}}}}, &e)
		r := rand.New(rand.NewPCG(8373, uint64(level)))
		for range 20_000 {
			now.M, now.W = now.M+10e6, now.W+10e6
			p := wire.Packet{Link: 1, Data: damaged(r), Dst: dhcp4.Broadcast, DstMAC: wire.BroadcastMAC, SrcPort: 68}
			e.Reset()
			core.Handle(now, &p, &e)
			for i := range e.Events {
				l.Event(now, &e.Events[i], 1000)
			}
		}
		l.Close()
		if level == slog.LevelDebug && !strings.Contains(s.b.String(), "PACKET_DROP") {
			t.Error("nothing was logged at debug level")
		}
		for line := range strings.Lines(s.b.String()) {
			if !json.Valid([]byte(line)) {
				t.Fatalf("%v: not JSON: %q", level, line)
			}
		}
	}
}

// damaged returns a message with wrong octets in it, cut somewhere.
func damaged(r *rand.Rand) []byte {
	opts := []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(r.IntN(10))}}}
	for range r.IntN(6) {
		v := make([]byte, r.IntN(60))
		for i := range v {
			v[i] = byte(r.Uint32())
		}
		opts = append(opts, dhcp4.Option{Code: dhcp4.Code(1 + r.IntN(253)), Data: v})
	}
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, CHAddr: [16]byte{2, 0, 0, 0, 1, byte(r.Uint32())}}
	b, _ := dhcp4.AppendMessage(nil, &h, opts, nil, 1472)
	for range r.IntN(4) {
		b[r.IntN(len(b))] = byte(r.Uint32())
	}
	if r.IntN(3) == 0 {
		b = b[:r.IntN(len(b))]
	}
	return b
}

// TestCloseWhileOthersSpeak: the end of the log is no harm to who still has something to say.
func TestCloseWhileOthersSpeak(t *testing.T) {
	for range 200 {
		l := event.NewLog(slog.NewTextHandler(&sink{}, nil), event.Names{})
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 50 {
					l.Say(event.ServerStopping)
				}
			})
		}
		l.Close()
		all.Wait()
	}
}
