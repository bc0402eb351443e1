package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/client/setup"
	"lessor/internal/clock"
	"lessor/internal/config"
	"lessor/internal/engine"
	"lessor/internal/event"
	"lessor/internal/lease"
	"lessor/internal/link"
	"lessor/internal/link/memnet"
	"lessor/internal/store/memory"
	"lessor/internal/wire"
)

// virtual is a machine's clock inside a synctest bubble: time passes when all wait. A
// test may suspend the machine and set its wall clock.
type virtual struct {
	mu     sync.Mutex
	start  time.Time
	boot   lease.BootID
	slept  time.Duration
	wall   time.Duration // by which the wall clock was set
	alarms []*alarm
	jumps  []chan struct{}
}

func newVirtual() *virtual { return &virtual{start: time.Now(), boot: lease.BootID{1}} }

func (v *virtual) Now() lease.Instant {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now()
}

func (v *virtual) now() lease.Instant {
	passed := time.Since(v.start) + v.slept
	return lease.Instant{M: 1000*lease.Second + int64(passed), W: 1_790_000_000*lease.Second + int64(passed+v.wall)}
}

func (v *virtual) BootID() lease.BootID { return v.boot }

func (v *virtual) Suspended() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return int64(v.slept)
}

// suspend lets d pass while nothing runs: neither goroutine nor timer.
func (v *virtual) suspend(d time.Duration) { v.jump(d, 0) }

// setWall sets the wall clock forward by d.
func (v *virtual) setWall(d time.Duration) { v.jump(0, d) }

func (v *virtual) jump(slept, wall time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.slept += slept
	v.wall += wall
	for _, a := range v.alarms {
		a.arm()
	}
	for _, c := range v.jumps {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (v *virtual) NewJumps() (clock.Jumps, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := make(chan struct{}, 1)
	v.jumps = append(v.jumps, c)
	return jumps(c), nil
}

type jumps chan struct{}

func (j jumps) C() <-chan struct{} { return j }
func (j jumps) Close() error       { return nil }

func (v *virtual) NewAlarm() (clock.Alarm, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	a := &alarm{v: v, at: math.MaxInt64, c: make(chan struct{}, 1)}
	v.alarms = append(v.alarms, a)
	return a, nil
}

type alarm struct {
	v     *virtual
	at    int64
	timer *time.Timer
	c     chan struct{}
}

func (a *alarm) arm() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
	if a.at == math.MaxInt64 {
		return
	}
	a.timer = time.AfterFunc(time.Duration(a.at-a.v.now().M), func() {
		select {
		case a.c <- struct{}{}:
		default:
		}
	})
}

func (a *alarm) Set(at int64) {
	a.v.mu.Lock()
	defer a.v.mu.Unlock()
	a.at = at
	a.arm()
}

func (a *alarm) C() <-chan struct{} { return a.c }

func (a *alarm) Close() error {
	a.Set(math.MaxInt64)
	return nil
}

// host is an interface of memnet configured as setup.Host would. What fails is set by the test.
type host struct {
	w     *world
	mu    sync.Mutex
	on    *setup.Config // what is on the interface
	since time.Time     // since when
	file  []byte
	hooks []string
	fail  map[string]int // how often the next calls of a method fail
	calls map[string]int
}

func (h *host) enter(what string) error {
	h.calls[what]++
	if h.fail[what] > 0 {
		h.fail[what]--
		return fmt.Errorf("%s does not work today", what)
	}
	return nil
}

func (h *host) Up() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.enter("up"); err != nil {
		return err
	}
	h.w.eth0.Load().SetUp(true)
	return nil
}

func (h *host) Apply(c *setup.Config) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := c.Check(); err != nil {
		h.w.t.Errorf("%+v: %v", c, err)
	}
	if err := h.enter("apply"); err != nil {
		return err
	}
	h.on, h.since = c, time.Now()
	h.w.eth0.Load().SetAddrs(c.Addr)
	return nil
}

func (h *host) Clear() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.enter("clear"); err != nil {
		return err
	}
	h.on, h.since = nil, time.Now()
	h.w.eth0.Load().SetAddrs()
	return nil
}

func (h *host) ReadLeases() ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.file, h.enter("read")
}

func (h *host) WriteLeases(b []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.enter("write"); err != nil {
		return err
	}
	h.file = slices.Clone(b)
	return nil
}

func (h *host) Hook(e *setup.HookEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := e.Check(); err != nil {
		h.w.t.Errorf("a hook: %v", err)
	}
	h.hooks = append(h.hooks, e.Event)
}

// set lets the next n calls of a method fail.
func (h *host) set(what string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail[what] = n
}

// address is what is on the interface, 0 for none.
func (h *host) address() dhcp4.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.on == nil {
		return 0
	}
	return h.on.Addr.Addr
}

func (h *host) told() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.hooks)
}

const serverConfig = `
interfaces: [eth0]
valid-lifetime: 600
conflict-check: off
subnets:
  - subnet: 192.0.2.0/24
    pools: [192.0.2.100-192.0.2.199]
    options: {routers: 192.0.2.1, domain-name-servers: 192.0.2.1}
`

// world is a client, and a server that is the real engine, on a network in memory.
type world struct {
	t      *testing.T
	clock  *virtual
	net    *memnet.Network
	sw     *memnet.Switch
	client *memnet.Host
	eth0   atomic.Pointer[memnet.Interface] // of the client
	host   *host
	links  link.ClientNet // what the runner uses; the client host unless the test wraps it
	conf   client.Config

	mu      sync.Mutex
	reports []*Report

	runner *Runner
	cancel context.CancelFunc
	ended  chan struct{}
	result error
}

var clientMAC = wire.MAC{2, 0, 0x5e, 0x10, 0, 1}
var serverMAC = wire.MAC{2, 0, 0x5e, 0x20, 0, 1}

// inWorld runs test in a synctest bubble with a server that serves.
func inWorld(t *testing.T, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, clock: newVirtual(), net: memnet.New(), conf: client.Config{Fast: true, Detection: client.DetectOff}}
		w.sw = w.net.Switch("lan")
		w.client = w.net.Host()
		w.links = w.client
		w.eth0.Store(w.client.Add("eth0", w.sw, clientMAC))
		w.host = &host{w: w, fail: map[string]int{}, calls: map[string]int{}}
		defer w.serve()() // deferred, since a test that fails fatally must leave nobody waiting
		defer w.stop()
		test(w)
		w.stop()
		if w.runner != nil && w.runner.Panics() != 0 {
			t.Errorf("%d panics: %v", w.runner.Panics(), w.notes())
		}
	})
}

// serve starts a server and returns what stops it.
func (w *world) serve() (stop func()) {
	w.t.Helper()
	c, problems := config.Parse("test.yaml", []byte(serverConfig))
	if err := problems.Err(); err != nil {
		w.t.Fatal(err)
	}
	h := w.net.Host()
	h.Add("eth0", w.sw, serverMAC, dhcp4.Prefix{Addr: dhcp4.MustParseAddr("192.0.2.1"), Bits: 24})
	log := event.NewLog(slog.NewTextHandler(io.Discard, nil), event.Names{})
	e, err := engine.Load(w.t.Context(), engine.Config{Clock: w.clock, Net: h, Store: memory.New(), Log: log, Policy: c.Policy()})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := e.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return func() {
		if err := e.Stop(context.Background()); err != nil {
			w.t.Errorf("the server: %v", err)
		}
		log.Close()
	}
}

// mute lets no frame reach the server, or lets them again.
func (w *world) mute(on bool) {
	if !on {
		w.net.SetHook(nil)
		return
	}
	w.net.SetHook(func(tr memnet.Transit) int {
		if tr.To == serverMAC {
			return 0
		}
		return 1
	})
}

// start starts a runner; change changes its options.
func (w *world) start(change ...func(*Options)) {
	w.t.Helper()
	o := Options{Interface: "eth0", Client: w.conf, Secret: [16]byte{7}, Net: w.links, Host: w.host, Clock: w.clock, Report: w.report}
	for _, c := range change {
		c(&o)
	}
	var err error
	if w.runner, err = New(o); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.ended = cancel, make(chan struct{})
	go func() {
		w.result = w.runner.Run(ctx)
		close(w.ended)
	}()
}

// stop ends the runner, if one runs.
func (w *world) stop() {
	if w.cancel != nil {
		w.cancel()
		<-w.ended
		w.cancel = nil
	}
}

func (w *world) report(r *Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.Status == nil || r.At.IsZero() {
		w.t.Errorf("a report without a status or a time: %+v", r)
	}
	w.reports = append(w.reports, r)
}

// all is everything that was reported so far.
func (w *world) all() []*Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.reports)
}

func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports = nil
}

func (w *world) notes() (all []string) {
	for _, r := range w.all() {
		if r.Note != "" {
			all = append(all, r.Note)
		}
	}
	return all
}

func (w *world) noted(part string) bool {
	return slices.ContainsFunc(w.notes(), func(s string) bool { return strings.Contains(s, part) })
}

// story is the reported states in order.
func (w *world) story() (all []string) {
	for _, r := range w.all() {
		if r.Event != nil && r.Event.Kind == client.EventState {
			all = append(all, stateName(r.Event.To)+" ("+r.Event.Reason.String()+")")
		}
	}
	return all
}

// saw reports whether the state was reported since forget.
func (w *world) saw(state string) func() bool {
	return func() bool {
		return slices.ContainsFunc(w.story(), func(s string) bool { return strings.HasPrefix(s, state+" ") })
	}
}

// pass lets d pass and everybody come to rest.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// until waits for is for at most limit of virtual time and returns how long it took.
func (w *world) until(limit time.Duration, what string, is func() bool) time.Duration {
	w.t.Helper()
	start := time.Now()
	for synctest.Wait(); !is(); synctest.Wait() {
		if time.Since(start) > limit {
			w.t.Fatalf("waited %v in vain: %s\nstates: %v\nnotes: %v", limit, what, w.story(), w.notes())
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(start)
}

func (w *world) state(s string) func() bool {
	return func() bool { return w.runner.Status().State == s }
}

// bound starts a runner and waits until it has an address, which it returns.
func (w *world) bound(change ...func(*Options)) dhcp4.Addr {
	w.t.Helper()
	w.start(change...)
	w.until(30*time.Second, "bound", w.state("bound"))
	a := w.host.address()
	if a == 0 {
		w.t.Fatal("bound, and nothing is on the interface")
	}
	return a
}

// failingNet is a net whose ports do what a test wants.
type failingNet struct {
	link.ClientNet
	open func() error                            // before each OpenClient
	port func(p link.ClientPort) link.ClientPort // wraps what was opened
}

func (n *failingNet) OpenClient(l wire.Link) (link.ClientPort, error) {
	if n.open != nil {
		if err := n.open(); err != nil {
			return nil, err
		}
	}
	p, err := n.ClientNet.OpenClient(l)
	if err == nil && n.port != nil {
		p = n.port(p)
	}
	return p, err
}

var errToday = errors.New("it does not work today")
