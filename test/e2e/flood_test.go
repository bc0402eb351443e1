package e2e

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/wire"
)

// The pool of faults.md's measurements: 65,024 addresses.
const floodConfig = `
interfaces: [eth0]
valid-lifetime: 1h
subnets:
  - {subnet: 198.18.0.0/16, pools: [198.18.1.0-198.18.254.255]}
`

// floodStage is a server and, at the other end of one wire, what floods and 20
// clients that renew. A bridge between them would learn an address from each frame.
type floodStage struct {
	t         *testing.T
	srv       *server
	flood     *Station // sends what floods
	clients   *Station // sends renewals, hears everything
	serverMAC wire.MAC
	leases    []Lease
	rss       int // of the server in KiB, before the flood
}

func newFloodStage(t *testing.T) *floodStage {
	t.Helper()
	l := newLab(t)
	sh, ch := try(l.Host("server"))(t), try(l.Host("clients"))(t)
	check(t, l.Wire(sh, "eth0", ch, "eth0"))
	check(t, sh.AddAddr("eth0", "198.18.0.1/16"))
	s := &floodStage{t: t, srv: serve(t, sh, floodConfig), serverMAC: sh.MAC("eth0")}
	s.flood, s.clients = try(NewStation(ch, "eth0"))(t), try(NewStation(ch, "eth0"))(t)
	t.Cleanup(func() { s.flood.Close(); s.clients.Close() })
	for i := range 20 {
		lease, err := s.clients.Bind(TestMAC(i), uint32(0x1000+2*i), 3*time.Second)
		if err != nil {
			t.Fatalf("bind client %d before the flood: %v", i, err)
		}
		s.leases = append(s.leases, lease)
	}
	s.rss = s.memory()
	return s
}

// memory is the server's resident memory in KiB.
func (s *floodStage) memory() int {
	s.t.Helper()
	b := try(os.ReadFile(fmt.Sprintf("/proc/%d/status", s.srv.PID())))(s.t)
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	return try(strconv.Atoi(kib))(s.t)
}

// figures of a flood, as the clients saw it.
type figures struct {
	asked, served int
	p50, p99      time.Duration
	believed      int // ACKs for identities of the flood
}

// renewals sends 50 renewals a second in all, each once, while the flood runs, and
// counts what comes back.
func (s *floodStage) renewals(d time.Duration) (f figures) {
	s.t.Helper()
	sent := map[uint32]time.Time{}
	var took []time.Duration
	hear := func(b []byte) {
		// Most of what comes are offers to the flood: look at as little as possible.
		if len(b) < offCHAddr+6 || b[14] != 0x45 || binary.BigEndian.Uint16(b[36:]) != dhcp4.ClientPort {
			return
		}
		xid := binary.BigEndian.Uint32(b[offXID:])
		if flooded := b[offCHAddr] == 0x02 && b[offCHAddr+1] == 0xf1; flooded {
			if fr, ok := netlab.DecodeFrame(b); ok && fr.Type() == dhcp4.Ack {
				f.believed++
			}
			return
		}
		if at, ok := sent[xid]; ok {
			if fr, ok := netlab.DecodeFrame(b); ok && fr.Type() == dhcp4.Ack {
				took = append(took, time.Since(at))
				delete(sent, xid)
			}
		}
	}
	const every = 20 * time.Millisecond
	start := time.Now()
	for n := 0; ; n++ {
		due := start.Add(time.Duration(n) * every)
		for left := time.Until(due); left > 0; left = time.Until(due) {
			check(s.t, s.clients.Receive(left, hear))
		}
		if time.Since(start) > d {
			break
		}
		l := s.leases[n%len(s.leases)]
		xid := 0x40000000 | uint32(n)
		m := Renew(l.MAC, xid, l.Addr, l.Server, s.serverMAC)
		sent[xid] = time.Now()
		check(s.t, s.clients.Send([][]byte{m.Frame()}))
		f.asked++
	}
	for end := time.Now().Add(time.Second); len(sent) > 0 && time.Now().Before(end); {
		check(s.t, s.clients.Receive(50*time.Millisecond, hear))
	}
	f.served = len(took)
	if slices.Sort(took); len(took) > 0 {
		f.p50, f.p99 = took[len(took)/2], took[len(took)*99/100]
	}
	return f
}

// during floods at a rate for d, with renewals beside it, and prints the figures.
func (s *floodStage) during(name string, rate int, d time.Duration, frame func(n int, dst []byte) []byte) figures {
	s.t.Helper()
	stop := make(chan struct{})
	var sent atomic.Int64
	failed := make(chan error, 1)
	go func() {
		n, err := Flood(s.flood, rate, stop, frame)
		sent.Store(int64(n))
		failed <- err
	}()
	f := s.renewals(d)
	close(stop)
	check(s.t, <-failed)
	s.t.Logf("%s: %d sent in %s (%.0f/s), renewals served %d of %d, p50 %s, p99 %s, believed %d, memory %+d KiB (%d)",
		name, sent.Load(), d, float64(sent.Load())/d.Seconds(), f.served, f.asked,
		f.p50.Round(10*time.Microsecond), f.p99.Round(10*time.Microsecond), f.believed, s.memory()-s.rss, s.memory())
	if err, ended := s.srv.Wait(0); ended {
		s.t.Fatalf("the server ended: %v", err)
	}
	return f
}

// newClients expects 5 clients that were never seen before to be bound within 2 s in all.
func (s *floodStage) newClients() {
	s.t.Helper()
	start := time.Now()
	for i := range 5 {
		for try := uint32(0); ; try++ {
			_, err := s.clients.Bind(TestMAC(1000+i), 0x2000+uint32(i)*64+2*try, 250*time.Millisecond)
			if err == nil {
				break
			}
			if time.Since(start) > 2*time.Second {
				s.t.Fatalf("new client %d is not bound 2 s after the flood: %v", i, err)
			}
		}
	}
	if took := time.Since(start); took > 2*time.Second {
		s.t.Errorf("5 new clients took %s", took)
	} else {
		s.t.Logf("5 new clients bound in %s after it", took.Round(time.Millisecond))
	}
}

// wantServed fails unless the share of renewals that was served is at least want.
func (f figures) wantServed(t *testing.T, name string, want float64) {
	t.Helper()
	if got := float64(f.served) / float64(f.asked); got < want {
		t.Errorf("%s: %.2f %% of the renewals were served, want at least %.0f %%", name, 100*got, 100*want)
	}
}

// F1: 50,000 DISCOVER/s of random clients. Who has an address keeps it; afterwards
// new clients are served.
func TestFloodOfDiscovers(t *testing.T) {
	s := newFloodStage(t)
	tmpl := NewTemplate(Discover(TestMAC(9000), 0))
	f := s.during("F1", 50_000, 10*time.Second, func(n int, dst []byte) []byte {
		return tmpl.Append(dst, 0x80000000|uint32(n), uint32(n))
	})
	f.wantServed(t, "F1", 0.99)
	s.newClients()
	if grown := s.memory() - s.rss; grown > 16<<10 {
		t.Errorf("the server grew by %d KiB, more than 16 MiB", grown)
	}
}

// DISCOVERs that seem to come through relay agents which nobody has: the replies wait
// in the kernel for ARP answers, and nobody else may wait with them.
func TestFloodOfMadeUpRelays(t *testing.T) {
	s := newFloodStage(t)
	m := Discover(TestMAC(9000), 0)
	m.GIAddr = dhcp4.MustParseAddr("198.18.0.2")
	tmpl := NewTemplate(m)
	f := s.during("made-up relays at 10000/s", 10_000, 5*time.Second, func(n int, dst []byte) []byte {
		start := len(dst)
		dst = tmpl.Append(dst, 0x80000000|uint32(n), uint32(n))
		binary.BigEndian.PutUint32(dst[start+offPayload+24:], uint32(m.GIAddr)+uint32(n%250))
		return dst
	})
	f.wantServed(t, "made-up relays", 0.99)
	if f.p99 > 50*time.Millisecond {
		t.Errorf("renewals waited %s with the replies to nobody", f.p99)
	}
	s.newClients()
}

// F5: forged REQUESTs for guessed addresses, as if they took an offer of ours. Few
// of them are believed: 50 a second after a burst of 500.
func TestFloodOfForgedRequests(t *testing.T) {
	for _, rate := range []int{2_000, 20_000} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			s := newFloodStage(t)
			tmpl := NewTemplate(Select(TestMAC(9000), 0, dhcp4.MustParseAddr("198.18.1.0"), s.leases[0].Server))
			const d = 8 * time.Second
			f := s.during(fmt.Sprintf("F5 at %d/s", rate), rate, d, func(n int, dst []byte) []byte {
				start := len(dst)
				dst = tmpl.Append(dst, 0x80000000|uint32(n), uint32(n))
				putRequested(dst[start:], dhcp4.MustParseAddr("198.18.1.0")+dhcp4.Addr(n%65024))
				return dst
			})
			f.wantServed(t, "F5", 0.99)
			if limit := 500 + 50*int((d+2*time.Second).Seconds()); f.believed > limit {
				t.Errorf("%d forged REQUESTs were believed, at most %d may be", f.believed, limit)
			}
			s.newClients()
		})
	}
}

// putRequested changes option 50 of a frame made by Select: it follows options 53 and 54.
func putRequested(frame []byte, a dhcp4.Addr) {
	opt := frame[offPayload+240:]
	if opt[9] != byte(dhcp4.OptDHCPRequestedAddress) || opt[10] != 4 {
		panic("option 50 is not where Select puts it")
	}
	binary.BigEndian.PutUint32(opt[11:], uint32(a))
}
