package client

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/wire"
	"lessor/test/e2e"
)

// floodStage is a stage without a record of all frames, which a flood would fill, and
// a server that answers by itself.
type floodStage struct {
	*stage
	p     *puppet
	flood *e2e.Station // of another host, which has the address rogue
	rogue wire.MAC
	addr  dhcp4.Addr
	life  uint32

	mu    sync.Mutex
	asked []asked
}

// asked is a REQUEST of the client as its server heard it.
type asked struct {
	at        time.Time
	renewing  bool // it named the address as its own
	broadcast bool
}

func newFloodStage(t *testing.T, life uint32) *floodStage {
	t.Helper()
	l := newLab(t)
	s := &stage{t: t, lab: l, sw: try(l.Switch("lan"))(t), host: try(l.Host("client"))(t)}
	check(t, s.sw.Join(s.host, "eth0"))
	s.client = s.newClient(s.host, "--conflict-detection", "off")
	check(t, s.host.WaitRunning("eth0", 5*time.Second))
	s.before = s.kernel()
	rogue := try(l.Host("rogue"))(t)
	check(t, s.sw.Join(rogue, "eth0"))
	f := &floodStage{stage: s, p: newPuppet(t, l, s.sw, "server"), flood: try(e2e.NewStation(rogue, "eth0"))(t), addr: firstPool.First, life: life}
	f.rogue = rogue.MAC("eth0")
	t.Cleanup(func() { f.flood.Close() })
	f.serve()
	check(t, s.client.Start())
	_, err := s.client.Await(10*time.Second, func(a netip.Addr) bool { return a == f.addr.Netip() })
	check(t, err)
	return f
}

// serve answers every DISCOVER and REQUEST at once until the test ends.
func (f *floodStage) serve() {
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-over:
				return
			default:
			}
			if err := f.p.st.Receive(50*time.Millisecond, f.answer); err != nil {
				f.t.Error(err)
				return
			}
		}
	}()
	f.t.Cleanup(func() { close(over); <-done }) // before the station is closed
}

func (f *floodStage) answer(frame []byte) {
	var v dhcp4.View
	if len(frame) < 42 || binary.BigEndian.Uint16(frame[36:]) != dhcp4.ServerPort || v.Parse(frame[42:]) != nil {
		return
	}
	var r reply
	switch v.MessageType() {
	case dhcp4.Discover:
		r = f.p.to(&v, dhcp4.Offer, f.addr, f.life)
	case dhcp4.Request:
		r = f.p.to(&v, dhcp4.Ack, f.addr, f.life)
		f.mu.Lock()
		f.asked = append(f.asked, asked{time.Now(), v.CIAddr() != 0, wire.MAC(frame[:6]) == wire.BroadcastMAC})
		f.mu.Unlock()
	default:
		return
	}
	if err := f.p.st.Send([][]byte{f.p.frame(r, r.payload())}); err != nil {
		f.t.Error(err)
	}
}

// requested are the REQUESTs so far.
func (f *floodStage) requested() []asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]asked(nil), f.asked...)
}

// hostileFrames are replies of which none counts, of every kind that reaches the client's
// port or its socket. Who floods does not know the transaction.
func (f *floodStage) hostileFrames(n int) (frames [][]byte) {
	rng := rand.New(rand.NewPCG(1, 2))
	loop := dhcp4.Option{Code: dhcp4.OptDomainSearch, Data: bytes.Repeat([]byte{1, 'a', 0xc0, 0}, 250)}
	for i := range n {
		r := reply{XID: rng.Uint32(), CHAddr: f.mac(), ServerID: f.p.addr, YIAddr: f.addr, DstMAC: f.mac(), Dst: f.addr,
			Type:    []dhcp4.MessageType{dhcp4.Offer, dhcp4.Ack, dhcp4.Nak}[i%3],
			Options: []dhcp4.Option{lifetime(rng.Uint32()), {Code: dhcp4.OptSubnetMask, Data: []byte{255, 255, 255, 0}}}}
		if i%2 == 0 {
			r = r.broadcast()
		}
		switch i % 16 {
		case 3:
			r.CHAddr[5] ^= 0xff
		case 5:
			r.Type = 9 // FORCERENEW
		case 7:
			r.Options = append(r.Options, loop)
		case 9:
			r.ServerID = 0
		}
		b := r.payload()
		switch i % 16 {
		case 11:
			b = b[:len(b)-3]
		case 13:
			for j := range b {
				b[j] = byte(rng.Uint32())
			}
		case 15:
			b[240] = 224 // BOOTP
		}
		frame := f.forged(r, b)
		if i%64 == 63 {
			binary.BigEndian.PutUint16(frame[38:], 7) // a lying length
		}
		frames = append(frames, frame)
	}
	return frames
}

// forged is a payload in a frame of the rogue that claims to be the server's datagram.
func (f *floodStage) forged(r reply, payload []byte) []byte {
	return e2e.UDPFrame(f.rogue, r.DstMAC, f.p.addr, r.Dst, dhcp4.ServerPort, dhcp4.ClientPort, payload)
}

// usage is what the client's two processes have used and hold.
type usage struct {
	cpu time.Duration
	rss int // KiB
}

func usageOf(t *testing.T, pids ...int) (u usage) {
	t.Helper()
	for _, pid := range pids {
		stat := string(try(os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)))(t))
		fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
		for _, ticks := range fields[11:13] { // utime and stime, in hundredths of a second
			u.cpu += time.Duration(try(strconv.Atoi(ticks))(t)) * 10 * time.Millisecond
		}
		_, rest, _ := strings.Cut(string(try(os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)))(t)), "VmRSS:")
		u.rss += try(strconv.Atoi(strings.Fields(rest)[0]))(t)
	}
	return u
}

// pour sends frames at a rate for a time and returns how many went out.
func pour(st *e2e.Station, frames [][]byte, rate int, d time.Duration) (sent int, err error) {
	for start := time.Now(); ; {
		due := int(time.Since(start).Seconds() * float64(rate))
		switch {
		case time.Since(start) >= d:
			return sent, nil
		case due-sent < 64:
			time.Sleep(500 * time.Microsecond)
			continue
		}
		at := sent % (len(frames) - 64)
		if err := st.Send(frames[at : at+64]); err != nil {
			return sent, err
		}
		sent += 64
	}
}

// TestHostileFlood (F10): 50,000 hostile replies a second for ten seconds, through the
// time of the renewal: the client renews on time, keeps its address all the while, uses at
// most one core, and does not grow.
func TestHostileFlood(t *testing.T) {
	const (
		rate  = 50_000
		life  = 24 // T1 after 12 s, T2 after 21 s
		t1    = 12 * time.Second
		pours = 10 * time.Second
	)
	f := newFloodStage(t, life)
	frames := f.hostileFrames(4096)
	parent, worker := f.processes()
	bound := f.requested()[0].at
	time.Sleep(time.Until(bound.Add(6 * time.Second)))

	before, start, ignored := usageOf(t, parent, worker), time.Now(), f.ignoredSum()
	type poured struct {
		sent int
		err  error
	}
	done := make(chan poured)
	go func() {
		sent, err := pour(f.flood, frames, rate, pours)
		done <- poured{sent, err}
	}()
	most := before.rss
	var out poured
	for over := false; !over; {
		select {
		case out = <-done:
			over = true
		case <-time.After(20 * time.Millisecond):
			most = max(most, usageOf(t, parent, worker).rss)
			if a := f.host.Addr("eth0"); a != f.addr.Netip() {
				t.Fatalf("during the flood the interface has the address %s", a)
			}
		}
	}
	took := time.Since(start)
	after := usageOf(t, parent, worker)
	check(t, out.err)
	ignored = f.ignoredSum() - ignored

	renewals, tries := f.requested()[1:], 0
	for _, r := range renewals {
		if r.broadcast {
			t.Errorf("%s after it was bound the client rebound", r.at.Sub(bound))
		}
		if r.at.Before(bound.Add(t1 + 5*time.Second)) {
			tries++
		}
	}
	if tries == 0 {
		t.Fatal("the client did not renew during the flood")
	}
	late := renewals[0].at.Sub(bound.Add(t1))
	cpu := (after.cpu - before.cpu).Seconds() / took.Seconds()
	t.Logf("%d replies in %s, %.0f/s; the client saw and ignored %d; renewed %s after T1 with %d tries; %.2f cores; resident %d KiB before, at most %d KiB",
		out.sent, took.Round(time.Millisecond), float64(out.sent)/took.Seconds(), ignored, late.Round(time.Millisecond), tries, cpu, before.rss, most)
	if got := float64(out.sent) / took.Seconds(); got < 0.8*rate {
		t.Errorf("only %.0f replies a second were sent", got)
	}
	if ignored < uint64(out.sent/4) {
		t.Errorf("the client saw only %d of %d replies: this is no flood", ignored, out.sent)
	}
	if late < -time.Second/2 || late > time.Second {
		t.Errorf("the client renewed %s after T1", late)
	}
	if st := f.status(); st.State != "bound" || st.Renews == nil || st.Renews.Before(bound.Add(t1+time.Second)) {
		t.Errorf("after the flood the client is %+v", st)
	}
	if cpu > 1 {
		t.Errorf("the client used %.2f cores", cpu)
	}
	if most-before.rss > 16<<10 {
		t.Errorf("the client grew by %d KiB", most-before.rss)
	}
	f.answersAgain(parent, worker)
	f.stop()
}

// answersAgain expects the same processes, and that they renew within two seconds.
func (f *floodStage) answersAgain(parent, worker int) {
	f.t.Helper()
	if p, w := f.processes(); p != parent || w != worker {
		f.t.Errorf("the client's processes were %d and %d and are %d and %d", parent, worker, p, w)
	}
	n, start := len(f.requested()), time.Now()
	old := f.status().Obtained
	f.control("renew")
	for {
		st := f.status()
		if st.State == "bound" && st.Obtained.After(*old) && len(f.requested()) > n {
			f.t.Logf("alive: the next good request took %s", time.Since(start).Round(time.Millisecond))
			return
		}
		if time.Since(start) > 2*time.Second {
			f.t.Fatalf("the next good request takes more than 2 s: %+v", st)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestHostileRepeated: each kind of wrong reply, 10,000 times: every one is counted
// once, and the client is as large as before.
func TestHostileRepeated(t *testing.T) {
	t.Parallel()
	f := newFloodStage(t, 3600)
	parent, worker := f.processes()
	v := reply{Type: dhcp4.Ack, XID: 7, CHAddr: f.mac(), ServerID: f.p.addr, YIAddr: f.addr, DstMAC: f.mac(), Dst: f.addr, Options: []dhcp4.Option{lifetime(9)}}
	var kinds [][]byte
	seen := map[string]bool{}
	for _, w := range wrongReplies(v, f.p.addr) {
		if w.reason != "malformed" || !seen[w.reason] {
			kinds = append(kinds, w.payload)
		}
		seen[w.reason] = true
	}
	var frames [][]byte
	for i := range 64 * len(kinds) {
		frames = append(frames, f.forged(v, kinds[i%len(kinds)]))
	}
	// Not faster than it is read: what is lost in a socket is counted by nobody.
	start := f.ignoredSum()
	for sent := 0; sent < 10_240; sent += 256 {
		at := sent % (len(frames) - 256)
		check(t, f.flood.Send(frames[at:at+256]))
		for end := time.Now().Add(2 * time.Second); f.ignoredSum()-start < uint64(sent+256); {
			if time.Now().After(end) {
				t.Fatalf("%d wrong replies were counted as %d", sent+256, f.ignoredSum()-start)
			}
		}
	}
	if got := f.ignoredSum() - start; got != 10_240 {
		t.Errorf("10240 wrong replies were counted as %d", got)
	}
	before := usageOf(t, parent, worker)
	start = f.ignoredSum()
	const rate = 30_000
	sent := try(pour(f.flood, frames, rate, time.Duration(len(kinds))*10_000*time.Second/rate))(t)
	time.Sleep(100 * time.Millisecond)
	after, got := usageOf(t, parent, worker), f.ignoredSum()-start
	t.Logf("%d wrong replies of %d kinds, %d seen and counted; resident %d KiB before, %d KiB after", sent, len(kinds), got, before.rss, after.rss)
	if got > uint64(sent) || got < uint64(sent)/2 {
		t.Errorf("%d wrong replies were counted as %d", sent, got)
	}
	if after.rss-before.rss > 16<<10 {
		t.Errorf("the client grew by %d KiB", after.rss-before.rss)
	}
	f.answersAgain(parent, worker)
	f.stop()
}
