package engine_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"lessor/dhcp4"
	sysclock "lessor/internal/clock"
	"lessor/internal/engine"
	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/store/pebble"
)

// bubbleClock shows the time of a synctest bubble, in which it passes only while all
// goroutines wait: seconds cost nothing.
type bubbleClock struct{ start time.Time }

func (c bubbleClock) Now() lease.Instant {
	d := int64(time.Since(c.start))
	return lease.Instant{M: 1000*lease.Second + d, W: 1_790_000_000*lease.Second + d}
}

func (bubbleClock) BootID() lease.BootID { return lease.BootID{1} }

func (c bubbleClock) NewAlarm() (sysclock.Alarm, error) {
	a := &bubbleAlarm{clock: c, c: make(chan struct{}, 1)}
	a.timer = time.AfterFunc(time.Hour, func() {
		select {
		case a.c <- struct{}{}:
		default:
		}
	})
	a.timer.Stop()
	return a, nil
}

type bubbleAlarm struct {
	clock bubbleClock
	timer *time.Timer
	c     chan struct{}
}

func (a *bubbleAlarm) Set(at int64) {
	if at == lease.Never {
		a.timer.Stop()
		return
	}
	a.timer.Reset(time.Duration(at - a.clock.Now().M))
}

func (a *bubbleAlarm) C() <-chan struct{} { return a.c }
func (a *bubbleAlarm) Close() error       { a.timer.Stop(); return nil }

// recorded is a store that remembers what it called durable.
type recorded struct {
	store.Store
	l *account
}

func (r recorded) Commit(ctx context.Context, m lease.Mark, cs []lease.Change, res []store.Result) error {
	err := r.Store.Commit(ctx, m, cs, res)
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	for i := range cs {
		if err == nil && res[i].Outcome == store.Durable && !cs[i].CompareOnly {
			b := cs[i].After
			b.HW = bytes.Clone(b.HW)
			r.l.durable[b.Addr] = b
		}
	}
	return err
}

// promise is an ACK that was read.
type promise struct {
	mac [6]byte
	end int64
}

// account is what the stations know, and what the store said.
type account struct {
	mu       sync.Mutex
	durable  map[dhcp4.Addr]lease.Binding
	promises map[dhcp4.Addr]promise // those that were not given back
}

// nthLife is one life of a machine with a server and twenty stations, in which one call
// fails.
type nthLife struct {
	*world
	x       nth
	disk    *vfs.MemFS
	sockets bool // it is the calls of the network that fail, else those of files
	clock   bubbleClock
	account account
	rng     *rand.Rand
	clients []*client
	holds   []dhcp4.Addr // by client

	store  *pebble.Store
	done   int // exchanges
	missed int // exchanges without the answer that was due, since the last good one
}

// runNth plays the script of 200 exchanges, on two starts of the server; call at fails.
func runNth(t *testing.T, sockets bool, at int64, forever bool) (calls int64, what string) {
	synctest.Test(t, func(t *testing.T) {
		l := &nthLife{world: prepare(t), sockets: sockets, disk: vfs.NewCrashableMem(), clock: bubbleClock{time.Now()}, rng: rand.New(rand.NewPCG(1, 2))}
		l.x.at, l.x.forever = at, forever
		l.account = account{durable: map[dhcp4.Addr]lease.Binding{}, promises: map[dhcp4.Addr]promise{}}
		for i := range 20 {
			l.clients = append(l.clients, l.client(i))
		}
		l.holds = make([]dhcp4.Addr, len(l.clients))
		for _, until := range []int{120, 200} {
			l.begin()
			for l.done < until && l.missed < 10 && !t.Failed() {
				l.done++
				l.exchange(l.rng.IntN(len(l.clients)))
			}
			l.afterwards()
			l.end()
		}
		calls, what = l.x.calls(), l.x.failed()
		if t.Failed() {
			t.Fatalf("call %d, for ever %t, of sockets %t: %s", at, forever, sockets, what)
		}
	})
	return calls, what
}

// begin opens the store and starts the server. Where the fault keeps it from starting,
// it is mended: a service manager would try again.
func (l *nthLife) begin() {
	l.t.Helper()
	for try := 0; ; try++ {
		err := l.try()
		if err == nil {
			return
		}
		if l.x.failed() == "" || try > 2 {
			l.t.Fatalf("start %d after %q failed: %v", try, l.x.failed(), err)
		}
		l.x.mend()
	}
}

func (l *nthLife) try() (err error) {
	o := pebble.Options{FS: l.disk, HistoryRetention: -1, Now: func() int64 { return l.clock.Now().W }}
	net := nthNet{l.host, &l.x}
	if l.sockets {
		o.FS = l.disk
	} else {
		o.FS, net.x = nthFS{l.disk, &l.x}, &nth{}
	}
	if l.store, err = pebble.Open("/state/db", o); err != nil {
		return err
	}
	l.lines = &logBuffer{}
	l.log = newTestLog(l.world)
	l.engine, err = engine.Load(l.t.Context(), engine.Config{Clock: l.clock, Net: net, Store: recorded{l.store, &l.account},
		Log: l.log, Policy: mustPolicy(l.t, testConfig)})
	if err == nil {
		ctx, cancel := context.WithTimeout(l.t.Context(), 10*time.Second)
		defer cancel()
		err = l.engine.Start(ctx)
	}
	if err != nil {
		l.store.Close()
		l.log.Close()
	}
	return err
}

// end stops the server and closes the store: both come to an end, whatever fails. That
// no goroutine is left is the bubble's to see.
func (l *nthLife) end() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := l.engine.Stop(ctx); err != nil {
		l.t.Errorf("Stop: %v", err)
	}
	if n := l.engine.Panics(); n > 0 {
		l.t.Errorf("%d panics:\n%s", n, l.lines.b.String())
	}
	if err := l.store.Close(); err != nil && l.x.failed() == "" {
		l.t.Errorf("closing the store: %v", err)
	}
	l.log.Close()
}

// exchange is one step of station i: it gets a lease, extends it, gives it back, or asks
// for the one it had.
func (l *nthLife) exchange(i int) {
	c, a := l.clients[i], l.holds[i]
	time.Sleep(time.Second)
	switch kind := l.rng.IntN(10); {
	case a == 0:
		c.discover()
		o, ok := l.answer(i, dhcp4.Offer)
		if !ok {
			return
		}
		c.request(o.addr)
	case kind == 0:
		l.account.forget(a) // the message may get lost, the promise is over either way
		l.holds[i] = 0
		c.send(dhcp4.Release, a, addrOption(dhcp4.OptDHCPServerIdentifier, serverAddr))
		return
	case kind < 3:
		c.send(dhcp4.Request, 0, addrOption(dhcp4.OptDHCPRequestedAddress, a))
	default:
		c.renew(a)
	}
	l.answer(i, dhcp4.Ack)
}

func (a *account) forget(addr dhcp4.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.promises, addr)
}

// answer waits for station i's answer. Silence and NAK are counted; an ACK is checked
// against what is durable and what others were promised.
func (l *nthLife) answer(i int, want dhcp4.MessageType) (message, bool) {
	l.t.Helper()
	c, sent := l.clients[i], l.clock.Now().M
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	m, err := c.reply(ctx)
	if err != nil || m.typ != want {
		if err == nil && l.holds[i] != 0 {
			l.t.Errorf("station %d, which holds %v, is answered with %v", i, l.holds[i], m)
		}
		l.missed++
		return m, false
	}
	l.missed = 0
	if want != dhcp4.Ack {
		return m, true
	}
	end := sent + int64(m.time)*lease.Second
	l.account.mu.Lock()
	defer l.account.mu.Unlock()
	mac := c.ep.MAC()
	if p, ok := l.account.promises[m.addr]; ok && p.mac != mac && p.end > sent {
		l.t.Errorf("%v is promised to %v and to %v (I1)", m.addr, p.mac, mac)
	}
	if b := l.account.durable[m.addr]; b.End < end || !bytes.Equal(b.HW, mac[:]) {
		l.t.Errorf("%v is promised until %d, durable is %d for %x (I2)", m.addr, end, b.End, b.HW)
	}
	l.account.promises[m.addr] = promise{mac, end}
	l.holds[i] = m.addr
	return m, true
}

// afterwards cuts the power in thought, ends the fault, and waits for the server to be
// well again.
func (l *nthLife) afterwards() {
	l.t.Helper()
	if l.x.failed() != "" {
		l.afterCut("while it fails")
		l.x.mend()
	}
	l.missed = 0
	l.x.pause(true)
	defer l.x.pause(false)
	fresh := l.client(1000 + l.done)
	l.clients, l.holds = append(l.clients, fresh), append(l.holds, 0)
	for range 6 { // 12 s: a renewal each 2 s
		if l.exchange(len(l.clients) - 1); l.holds[len(l.holds)-1] != 0 {
			break
		}
	}
	if l.holds[len(l.holds)-1] == 0 {
		l.t.Errorf("a new client is not served within 12 s after the fault: %v", l.lines.ids(l.t))
	}
	for i := range l.clients {
		if a := l.holds[i]; a != 0 && l.account.promises[a].end > l.clock.Now().M {
			l.clients[i].renew(a)
			if m, ok := l.answer(i, dhcp4.Ack); !ok || m.time != 600 {
				l.t.Errorf("after the fault the holder of %v is answered with %v", a, m)
			}
		}
	}
	l.afterCut("when it is over")
}

// afterCut looks at the disk as a power cut now would leave it: what was promised is
// there.
func (l *nthLife) afterCut(when string) {
	l.t.Helper()
	cut := l.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * l.rng.IntN(3), RNG: l.rng})
	st, err := pebble.Open("/state/db", pebble.Options{FS: cut, HistoryRetention: -1})
	if err != nil {
		l.t.Errorf("%s: the store cannot be opened after a cut: %v", when, err)
		return
	}
	defer st.Close()
	got := records(l.t, st)
	l.account.mu.Lock()
	defer l.account.mu.Unlock()
	for a, p := range l.account.promises {
		if b := got[a]; p.end > l.clock.Now().M && (b.End < p.end || !bytes.Equal(b.HW, p.mac[:])) {
			l.t.Errorf("%s: %v was promised to %x until %d, after a cut the store has %+v (recovery: %+v)", when, a, p.mac, p.end, b, st.Recovery())
		}
	}
}

// TestNthCallFails lets each call of the network and each of the store's files, in a
// script of 200 exchanges and two starts, fail once and for ever. Nobody loses what was
// promised, nobody is promised what is not durable, and when the fault is over the server
// serves. Here a sample of the calls has its turn, in `make soak` every one.
func TestNthCallFails(t *testing.T) {
	for _, sockets := range []bool{true, false} {
		calls, _ := runNth(t, sockets, 0, false)
		t.Logf("%d calls, sockets %t", calls, sockets)
		begin := time.Now()
		runs := 0
		seen := map[string]int{}
		for at := int64(1); at <= calls && !t.Failed(); at = nthNext(at, calls) {
			for _, forever := range []bool{false, true} {
				_, what := runNth(t, sockets, at, forever)
				seen[what]++
				runs++
			}
		}
		t.Logf("%d runs in %v: %v", runs, time.Since(begin).Round(time.Millisecond), seen)
	}
}

// nthNext is the call whose turn comes after call at: the first calls, with which all
// begins, each have one.
func nthNext(at, calls int64) int64 {
	if nthEvery || at < 6 {
		return at + 1
	}
	return at + max(1, calls/8)
}
