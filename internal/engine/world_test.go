package engine_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"lessor/dhcp4"
	sysclock "lessor/internal/clock"
	"lessor/internal/config"
	"lessor/internal/engine"
	"lessor/internal/event"
	"lessor/internal/lease"
	"lessor/internal/link"
	"lessor/internal/link/memnet"
	"lessor/internal/policy"
	"lessor/internal/store"
	"lessor/internal/wire"
)

// clock is a machine's clocks that only a test moves.
type clock struct {
	mu     sync.Mutex
	now    lease.Instant
	boot   byte
	alarms []*alarm
}

func newClock() *clock {
	return &clock{now: lease.Instant{M: 1000 * lease.Second, W: 1_790_000_000 * lease.Second}}
}

func (c *clock) Now() lease.Instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) BootID() lease.BootID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return lease.BootID{1 + c.boot}
}

// reboot has CLOCK_BOOTTIME begin anew.
func (c *clock) reboot() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.boot++
	c.now.M, c.alarms = 5*lease.Second, nil
}

func (c *clock) NewAlarm() (sysclock.Alarm, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &alarm{clock: c, at: lease.Never, c: make(chan struct{}, 1)}
	c.alarms = append(c.alarms, a)
	return a, nil
}

// advance lets time pass on both clocks.
func (c *clock) advance(d time.Duration) { c.move(d, d) }

// move lets time pass on CLOCK_BOOTTIME and moves the wall clock by another amount.
func (c *clock) move(m, w time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.M += int64(m)
	c.now.W += int64(w)
	for _, a := range c.alarms {
		a.ring()
	}
}

type alarm struct {
	clock *clock
	at    int64
	c     chan struct{}
}

func (a *alarm) ring() {
	if a.at <= a.clock.now.M {
		a.at = lease.Never
		select {
		case a.c <- struct{}{}:
		default:
		}
	}
}

func (a *alarm) Set(at int64) {
	a.clock.mu.Lock()
	defer a.clock.mu.Unlock()
	a.at = at
	a.ring()
}

func (a *alarm) C() <-chan struct{} { return a.c }
func (a *alarm) Close() error       { return nil }

// logBuffer keeps the lines of a log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// ids are the message ids of the lines so far.
func (l *logBuffer) ids(t testing.TB) (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		var v struct{ ID string }
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.ID == "" {
			t.Errorf("a log line without an id: %s", line)
		}
		ids = append(ids, v.ID)
	}
	return ids
}

const testConfig = `
interfaces: [eth0]
valid-lifetime: 600
conflict-check: off
subnets:
  - subnet: 192.0.2.0/24
    pools: [192.0.2.100-192.0.2.199]
`

func mustPolicy(t testing.TB, yaml string) *policy.Policy {
	t.Helper()
	c, problems := config.Parse("test.yaml", []byte(yaml))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return c.Policy()
}

// world is a server on a network in memory.
type world struct {
	t      testing.TB
	clock  *clock
	net    *memnet.Network
	sw     *memnet.Switch
	host   *memnet.Host
	eth0   *memnet.Interface
	log    *event.Log
	lines  *logBuffer
	engine *engine.Engine

	panics    uint64 // that the test brings about
	stopFails bool   // the test has seen Stop fail
}

type option func(*engine.Config)

func withNet(wrap func(link.Net) link.Net) option {
	return func(c *engine.Config) { c.Net = wrap(c.Net) }
}

// newWorld starts a server over st; the test's end stops it and checks that nothing
// is left behind. The store is closed then.
func newWorld(t testing.TB, st store.Store, opts ...option) *world {
	t.Helper()
	w := prepare(t)
	w.start(st, opts...)
	return w
}

func prepare(t testing.TB) *world {
	w := &world{t: t, clock: newClock(), net: memnet.New()}
	w.sw = w.net.Switch("lan")
	w.host = w.net.Host()
	w.eth0 = w.host.Add("eth0", w.sw, wire.MAC{2, 0, 0, 0, 0, 1}, dhcp4.Prefix{Addr: dhcp4.MustParseAddr("192.0.2.1"), Bits: 24})
	return w
}

func (w *world) start(st store.Store, opts ...option) {
	w.t.Helper()
	before := runtime.NumGoroutine()
	w.lines = &logBuffer{}
	w.log = newTestLog(w)
	c := engine.Config{Clock: w.clock, Net: w.host, Store: st, Log: w.log, Policy: mustPolicy(w.t, testConfig)}
	for _, o := range opts {
		o(&c)
	}
	var err error
	if w.engine, err = engine.Load(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
	if err := w.engine.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.finish(st, before) })
}

func newTestLog(w *world) *event.Log {
	return event.NewLog(slog.NewJSONHandler(w.lines, nil), event.Names{})
}

func (w *world) finish(st store.Store, goroutines int) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := w.engine.Stop(ctx); err != nil != w.stopFails {
		w.t.Errorf("Stop: %v", err)
	}
	if err := st.Close(); err != nil {
		w.t.Errorf("closing the store: %v", err)
	}
	w.log.Close()
	if n := w.engine.Panics(); n != w.panics {
		w.t.Errorf("%d panics were recovered, want %d:\n%s", n, w.panics, w.lines.b.String())
	}
	var n int
	for range 100 {
		if n = runtime.NumGoroutine(); n <= goroutines {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	buf := make([]byte, 1<<20)
	w.t.Errorf("%d goroutines are left, %d at the start:\n%s", n, goroutines, buf[:runtime.Stack(buf, true)])
}

// eventually waits for something that other goroutines bring about.
func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	for range 500 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("waited in vain: %s; the log so far: %v", what, w.lines.ids(w.t))
}

func (w *world) logged(id string) func() bool {
	return func() bool { return w.count(id) > 0 }
}

func (w *world) count(id string) (n int) {
	for _, l := range w.lines.ids(w.t) {
		if l == id {
			n++
		}
	}
	return n
}

func (w *world) status() engine.Status {
	w.t.Helper()
	s, err := w.engine.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// client is a DHCP client whose every step the test takes.
type client struct {
	w   *world
	ep  *memnet.Endpoint
	xid uint32
	buf []byte
}

func (w *world) client(n int) *client {
	mac := wire.MAC{6, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(mac[2:], uint32(n))
	return &client{w: w, ep: w.sw.Endpoint(mac), xid: uint32(n) << 12}
}

// message is a reply as a client sees it.
type message struct {
	typ  dhcp4.MessageType
	addr dhcp4.Addr
	time uint32 // option 51
}

func (m message) String() string {
	return fmt.Sprintf("%s %s for %d s", event.TypeName(m.typ), m.addr, m.time)
}

func addrOption(c dhcp4.Code, a dhcp4.Addr) dhcp4.Option {
	return dhcp4.Option{Code: c, Data: a.Append(nil)}
}

// send sends a message of the client with a new xid: by broadcast, or with ciaddr
// set by unicast to the server, as a renewing client does.
func (c *client) send(t dhcp4.MessageType, ciaddr dhcp4.Addr, opts ...dhcp4.Option) {
	c.xid++
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: c.xid, CIAddr: ciaddr}
	mac := c.ep.MAC()
	copy(h.CHAddr[:], mac[:])
	opts = append([]dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(t)}}}, opts...)
	c.buf, _ = dhcp4.AppendMessage(c.buf[:0], &h, opts, nil, 576)
	s := wire.Send{Data: c.buf, MAC: wire.BroadcastMAC, Src: 0, Dst: dhcp4.Broadcast, SrcPort: 68, DstPort: 67}
	if ciaddr != 0 {
		s.MAC, s.Src, s.Dst = c.w.eth0.MAC(), ciaddr, serverAddr
	}
	c.ep.SendDHCP(s)
}

var serverAddr = dhcp4.MustParseAddr("192.0.2.1")

func (c *client) discover() { c.send(dhcp4.Discover, 0) }

func (c *client) request(a dhcp4.Addr) {
	c.send(dhcp4.Request, 0, addrOption(dhcp4.OptDHCPServerIdentifier, serverAddr), addrOption(dhcp4.OptDHCPRequestedAddress, a))
}

func (c *client) renew(a dhcp4.Addr) { c.send(dhcp4.Request, a) }

// reply waits for the answer to the last message.
func (c *client) reply(ctx context.Context) (m message, err error) {
	for {
		f, err := c.ep.Wait(ctx)
		if err != nil {
			return m, err
		}
		var v dhcp4.View
		if f.IsARP || f.DstPort != 68 || v.Parse(f.Data) != nil || v.XID() != c.xid {
			continue
		}
		m = message{typ: v.MessageType(), addr: v.YIAddr()}
		m.time, _ = v.Uint32(dhcp4.OptDHCPLeaseTime)
		return m, nil
	}
}

// expect waits for an answer of type t.
func (c *client) expect(t dhcp4.MessageType) message {
	c.w.t.Helper()
	ctx, cancel := context.WithTimeout(c.w.t.Context(), 5*time.Second)
	defer cancel()
	m, err := c.reply(ctx)
	if err != nil || m.typ != t {
		c.w.t.Fatalf("got %v (%v), want %s; the log so far: %v", m, err, event.TypeName(t), c.w.lines.ids(c.w.t))
	}
	return m
}

// silent checks that no answer comes although the server has had time for one.
func (c *client) silent(why string) {
	c.w.t.Helper()
	if err := c.w.engine.Ping(c.w.t.Context()); err != nil && !errors.Is(err, engine.ErrStopped) {
		c.w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.w.t.Context(), 100*time.Millisecond)
	defer cancel()
	if m, err := c.reply(ctx); err == nil {
		c.w.t.Fatalf("got %v, want silence: %s", m, why)
	}
}

// bind does a whole DORA.
func (c *client) bind() dhcp4.Addr {
	c.w.t.Helper()
	c.discover()
	o := c.expect(dhcp4.Offer)
	c.request(o.addr)
	a := c.expect(dhcp4.Ack)
	if a.addr != o.addr {
		c.w.t.Fatalf("offered %s, acknowledged %s", o.addr, a.addr)
	}
	return a.addr
}
