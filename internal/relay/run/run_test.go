package run_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/event"
	"lessor/internal/link"
	"lessor/internal/link/memnet"
	"lessor/internal/local"
	"lessor/internal/relay"
	"lessor/internal/relay/run"
	"lessor/internal/wire"
)

func addr(s string) dhcp4.Addr            { return dhcp4.MustParseAddr(s) }
func prefix(s string, n int) dhcp4.Prefix { return dhcp4.Prefix{Addr: addr(s), Bits: n} }

var (
	clientHW = wire.MAC{2, 0, 0x5e, 0x10, 0, 9}
	serverHW = wire.MAC{2, 0, 0x5e, 0x10, 0, 1}
	server   = addr("192.0.2.1")
)

// world is a host with clients on eth1 and eth2 and a server on eth0.
type world struct {
	t    *testing.T
	host *memnet.Host
	net  *memNet
	core *memnet.Interface
	eth1 *memnet.Interface
	eth2 *memnet.Interface

	server  *memnet.Endpoint
	client1 *memnet.Endpoint
	client2 *memnet.Endpoint

	runner *run.Runner
	stop   context.CancelFunc
	log    syncBuffer
}

// memNet is a memnet.Host as a run.Net: replies come by a port on eth0.
type memNet struct {
	*memnet.Host
	w       *world
	openErr error

	mu      sync.Mutex
	refused []wire.LinkID
	noRoute bool
}

func (n *memNet) OpenShared(l wire.Link) (link.Port, error) {
	if n.openErr != nil {
		return nil, n.openErr
	}
	return n.Open(l)
}
func (n *memNet) PathMTU(dhcp4.Addr) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.noRoute {
		return 0, errors.New("network is unreachable")
	}
	return 1400, nil
}
func (n *memNet) Interfaces() ([]link.Interface, error) { return nil, nil }

func (n *memNet) OpenUpstream(port uint16) (run.Upstream, error) {
	if port != 67 {
		return nil, errors.New("another port than 67")
	}
	p, err := n.Open(wire.Link{ID: n.w.core.ID(), Name: "eth0", MAC: n.w.core.MAC(), MTU: 1500, Addrs: []dhcp4.Prefix{prefix("192.0.2.2", 24)}})
	return &upstream{p, n}, err
}

type upstream struct {
	link.Port
	n *memNet
}

func (u *upstream) Receive(b *link.Batch) error {
	err := u.Port.Receive(b)
	for i := range b.Packets {
		b.Packets[i].Link = 0
	}
	return err
}

func (u *upstream) Refuse(ids []wire.LinkID) error {
	u.n.mu.Lock()
	defer u.n.mu.Unlock()
	u.n.refused = slices.Clone(ids)
	return nil
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func config() relay.Config {
	circuit, err := relay.Template("${interface}")
	if err != nil {
		panic(err)
	}
	return relay.Config{Servers: []dhcp4.Addr{server},
		Downstream: []relay.Downstream{{Name: "eth1", CircuitID: circuit}, {Name: "eth2", CircuitID: circuit}}}
}

func newWorld(t *testing.T) *world {
	n := memnet.New()
	core, lan1, lan2 := n.Switch("core"), n.Switch("lan1"), n.Switch("lan2")
	w := &world{t: t, host: n.Host()}
	w.core = w.host.Add("eth0", core, wire.MAC{2, 0, 0x5e, 0x10, 1, 0}, prefix("192.0.2.2", 24))
	w.eth1 = w.host.Add("eth1", lan1, wire.MAC{2, 0, 0x5e, 0x10, 1, 1}, prefix("198.18.1.1", 24))
	w.eth2 = w.host.Add("eth2", lan2, wire.MAC{2, 0, 0x5e, 0x10, 1, 2}, prefix("198.18.2.1", 24))
	for _, i := range []*memnet.Interface{w.core, w.eth1, w.eth2} {
		i.SetUp(true)
		i.SetCarrier(true)
	}
	w.server = core.Endpoint(serverHW, server)
	w.client1, w.client2 = lan1.Endpoint(clientHW), lan2.Endpoint(clientHW)
	w.net = &memNet{Host: w.host, w: w}
	return w
}

func (w *world) start(c relay.Config) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := event.NewLog(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}), event.Names{})
	r, err := run.Start(ctx, run.Options{Relay: c, Net: w.net, Log: l})
	if err != nil {
		cancel()
		w.t.Fatal(err)
	}
	w.runner, w.stop = r, cancel
	w.t.Cleanup(func() {
		s, err := r.Status(context.Background())
		if err == nil && s.Panics != 0 {
			w.t.Errorf("%d panics", s.Panics)
		}
		cancel()
		select {
		case <-r.Done():
		case <-time.After(5 * time.Second):
			w.t.Error("the runner does not end")
		}
		l.Close()
		if w.t.Failed() {
			w.t.Log(w.log.String())
		}
	})
}

func discover(xid uint32) []byte {
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: xid, CHAddr: [16]byte(append(clientHW[:], make([]byte, 10)...))}
	b, _ := dhcp4.AppendMessage(nil, &h, []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{1}}}, nil, 1400)
	return b
}

func broadcast(data []byte) wire.Send {
	return wire.Send{Data: data, MAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, SrcPort: 68, DstPort: 67}
}

// await returns the next DHCP message that e receives.
func (w *world) await(e *memnet.Endpoint) (memnet.Frame, *dhcp4.View) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for {
		f, err := e.Wait(ctx)
		if err != nil {
			w.t.Fatalf("no message came: %v", err)
		}
		v := new(dhcp4.View)
		if v.Parse(f.Data) == nil {
			return f, v
		}
	}
}

// exchange sends a DISCOVER from e, answers it, and checks that the answer comes back to e.
func (w *world) exchange(e *memnet.Endpoint, xid uint32) (request *dhcp4.View) {
	w.t.Helper()
	e.SendDHCP(broadcast(discover(xid)))
	f, v := w.await(w.server)
	if v.XID() != xid {
		w.t.Fatalf("the server gets xid %d, want %d", v.XID(), xid)
	}
	answer := bytes.Clone(f.Data)
	answer[0] = 2
	copy(answer[16:], addr("198.18.1.77").Append(nil))
	w.server.SendDHCP(wire.Send{MAC: w.core.MAC(), Src: server, Dst: v.GIAddr(), SrcPort: 67, DstPort: 67, Data: answer})
	back, r := w.await(e)
	if r.XID() != xid || r.Has(dhcp4.OptDHCPAgentOptions) || back.DstMAC != clientHW || back.Dst != addr("198.18.1.77") {
		w.t.Fatalf("the client gets %+v", back)
	}
	return v
}

// eventually waits until ok.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not after 5 s: %s", what)
		}
	}
}

func (w *world) status() *run.Status {
	w.t.Helper()
	s, err := w.runner.Status(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func TestRelaysBothWays(t *testing.T) {
	w := newWorld(t)
	w.start(config())
	for i, e := range []*memnet.Endpoint{w.client1, w.client2} {
		v := w.exchange(e, uint32(i+1))
		info, _ := v.Get(dhcp4.OptDHCPAgentOptions, nil)
		if want := "\x01\x04eth" + string(rune('1'+i)); string(info) != want || v.Hops() != 1 {
			t.Errorf("option 82 is %q, want %q; hops %d", info, want, v.Hops())
		}
	}
	s := w.status()
	if s.Requests != 2 || s.Replies != 2 || s.ToServers != 2 || s.ToClients != 2 || s.SendFailed != 0 || len(s.Dropped) != 0 {
		t.Errorf("%+v", s)
	}
	w.net.mu.Lock()
	if !slices.Equal(w.net.refused, []wire.LinkID{w.eth1.ID(), w.eth2.ID()}) {
		t.Errorf("replies are refused from %v", w.net.refused)
	}
	w.net.mu.Unlock()
	if i := s.Interfaces[1]; i.Name != "eth2" || i.State != "served" || i.GIAddr != "198.18.2.1" || i.Addresses[0] != "198.18.2.1/24" {
		t.Errorf("%+v", i)
	}
}

// An interface that goes away, comes back, gets another address or another name is followed (L4).
func TestInterfacesComeAndGo(t *testing.T) {
	w := newWorld(t)
	w.eth2.SetUp(false)
	w.start(config())
	w.exchange(w.client1, 1)
	if s := w.status().Interfaces[1]; s.State != "waiting" {
		t.Errorf("%+v", s)
	}
	w.eth2.SetUp(true)
	served := func() bool { return w.status().Interfaces[1].State == "served" }
	w.eventually("eth2 is served", served)
	w.exchange(w.client2, 2)
	w.eth2.SetUp(false)
	w.eventually("eth2 is let go", func() bool { return !served() })
	w.eth2.SetUp(true)
	w.eventually("eth2 is served again", served)

	w.eth2.SetAddrs() // its socket stays whole
	w.eventually("eth2 without an address is let go", func() bool { return !served() })
	w.eth2.SetAddrs(prefix("198.18.7.1", 24))
	w.eventually("the new address is known", func() bool { return w.status().Interfaces[1].GIAddr == "198.18.7.1" })
	if v := w.exchange(w.client2, 3); v.GIAddr() != addr("198.18.7.1") {
		t.Errorf("giaddr %s", v.GIAddr())
	}
	w.eth2.Rename("lan0")
	w.eventually("a renamed interface is served", func() bool {
		w.client2.SendDHCP(broadcast(discover(4)))
		time.Sleep(5 * time.Millisecond)
		f, ok := w.server.Receive()
		return ok && bytes.Contains(f.Data, []byte("lan0"))
	})
	if !strings.Contains(w.log.String(), "LINK_LOST") || !strings.Contains(w.log.String(), "LINK_READY") {
		t.Errorf("the log says\n%s", w.log.String())
	}
}

// TestMTU: the way to the server takes 1400 octets, and a request of 1395 gets no option 82.
func TestMTU(t *testing.T) {
	w := newWorld(t)
	w.start(config())
	w.client1.SendDHCP(broadcast(append(discover(1), make([]byte, 1395-28-300)...)))
	w.client1.SendDHCP(broadcast(discover(2)))
	seen := map[uint32]bool{}
	for len(seen) < 2 {
		_, v := w.await(w.server)
		seen[v.XID()] = v.Has(dhcp4.OptDHCPAgentOptions)
	}
	if !seen[1] || !seen[2] { // PAD is no reason
		t.Errorf("option 82: %v", seen)
	}
	long := discover(3)
	end := bytes.IndexByte(long[240:], 255) + 240
	long = append(long[:end:end], bytes.Repeat(append([]byte{43, 253}, make([]byte, 253)...), 4)...)
	long = append(append(long, 43, byte(1395-28-len(long)-3)), make([]byte, 1395-28-len(long)-3)...)
	w.client1.SendDHCP(broadcast(append(long, 255)))
	if _, v := w.await(w.server); v.XID() != 3 || v.Has(dhcp4.OptDHCPAgentOptions) {
		t.Errorf("xid %d has option 82", v.XID())
	}
	if s := w.status(); len(s.Omitted) != 1 || s.Omitted[0] != (run.Counter{Name: "no-room", Count: 1}) {
		t.Errorf("%+v", s)
	}
	w.eventually("that is in the log", func() bool { return strings.Contains(w.log.String(), "AGENT_INFO_OMITTED") })
}

func TestBadFramesAreCounted(t *testing.T) {
	w := newWorld(t)
	w.start(config())
	s := broadcast(discover(1))
	frame := link.AppendFrame(nil, clientHW, 1, &s)
	frame[60]++ // under the checksum
	w.client1.Send(frame)
	w.eventually("the frame is counted", func() bool { st := w.status(); return len(st.Frames) == 1 && st.Frames[0].Count == 1 })
}

func TestConfigure(t *testing.T) {
	w := newWorld(t)
	c := config()
	c.Downstream = c.Downstream[:1]
	w.start(c)
	w.exchange(w.client1, 1)
	if err := w.runner.Configure(context.Background(), config()); err != nil {
		t.Fatal(err)
	}
	w.eventually("eth2 is served", func() bool { return w.status().Interfaces[1].State == "served" })
	w.exchange(w.client2, 2)
	if w.status().ToServers != 2 {
		t.Errorf("counters began anew: %+v", w.status())
	}
	c = config()
	c.SourcePort = 6767
	if err := w.runner.Configure(context.Background(), c); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("another source port: %v", err)
	}
	w.stop()
	<-w.runner.Done()
	if err := w.runner.Configure(context.Background(), config()); !errors.Is(err, run.ErrEnded) {
		t.Errorf("after the end: %v", err)
	}
}

// TestFlood: an honest client behind a flood on its own interface gets all its answers, and
// nothing is left behind by the flood (F9).
func TestFlood(t *testing.T) {
	w := newWorld(t)
	w.start(config())
	ctx, cancel := context.WithCancel(context.Background())
	var flood sync.WaitGroup
	flood.Go(func() {
		for i := uint32(1 << 31); ctx.Err() == nil; i++ {
			w.client1.SendDHCP(broadcast(discover(i)))
			if i%64 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	w.server.SetListening(false)
	h := dhcp4.Header{Op: 2, HType: 1, HLen: 6, GIAddr: addr("198.18.2.1"), YIAddr: addr("198.18.2.9"), CHAddr: [16]byte(append(clientHW[:], make([]byte, 10)...))}
	for i := range uint32(200) {
		h.XID = i
		b, _ := dhcp4.AppendMessage(nil, &h, []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{5}}}, []byte("\x01\x04eth2"), 1400)
		w.server.SendDHCP(wire.Send{MAC: w.core.MAC(), Src: server, Dst: h.GIAddr, SrcPort: 67, DstPort: 67, Data: b})
		if _, v := w.await(w.client2); v.XID() != i {
			t.Fatalf("xid %d, want %d", v.XID(), i)
		}
	}
	cancel()
	flood.Wait()
	if s := w.status(); s.ToServers == 0 || s.ToClients != 200 {
		t.Errorf("%+v", s)
	}
}

// TestWarnings: what keeps answers from coming is said.
func TestWarnings(t *testing.T) {
	w := newWorld(t)
	c := config()
	c.Servers = append(c.Servers, addr("198.18.2.7"))
	c.Downstream[0].GIAddr = addr("203.0.113.7")
	c.Downstream = append(c.Downstream, relay.Downstream{Name: "eth8"})
	w.start(c)
	for _, want := range []string{"id=SERVER_DOWNSTREAM server=198.18.2.7 interface=eth2", "id=GIADDR_MISSING giaddr=203.0.113.7", "id=LINK_MISSING interface=eth8"} {
		w.eventually(want, func() bool { return strings.Contains(w.log.String(), want) })
	}
	w.net.mu.Lock()
	w.net.noRoute = true
	w.net.mu.Unlock()
	if err := w.runner.Configure(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	w.eth2.SetAddrs(prefix("198.18.7.1", 24)) // a reason to look again
	w.eventually("no route is said", func() bool { return strings.Contains(w.log.String(), "id=SERVER_UNREACHABLE server=192.0.2.1") })
}

func TestStartErrors(t *testing.T) {
	w := newWorld(t)
	w.net.openErr = &link.PortTakenError{Port: 67, Link: "eth1"}
	l := event.NewLog(slog.DiscardHandler, event.Names{})
	defer l.Close()
	_, err := run.Start(context.Background(), run.Options{Relay: config(), Net: w.net, Log: l})
	if _, ok := errors.AsType[*link.PortTakenError](err); !ok {
		t.Errorf("%v", err)
	}
	if _, err := run.Start(context.Background(), run.Options{Relay: config()}); err == nil {
		t.Error("started without a net")
	}
}

func TestControlSocket(t *testing.T) {
	w := newWorld(t)
	w.start(config())
	w.client1.SendDHCP(broadcast(append(discover(1)[:28], discover(1)[29:]...)))
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := local.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	h := run.Serve(l, w.runner, func(s *run.Status) { s.Version = "1.2.3" })
	defer h.Close()
	c := local.NewClient(path)
	defer c.Close()
	var s run.Status
	w.eventually("a drop is counted", func() bool {
		if err := c.Get(context.Background(), "GET", "/v1/relay", nil, &s); err != nil {
			t.Fatal(err)
		}
		return len(s.Dropped) == 1 && s.Dropped[0] == run.Counter{Name: "bad-cookie", Count: 1}
	})
	if text, _ := json.Marshal(&s); s.Version != "1.2.3" || len(s.Servers) != 1 || !bytes.Contains(text, []byte(`"to-servers":0`)) {
		t.Errorf("%s", text)
	}
	w.eventually("the drop is in the log", func() bool { return strings.Contains(w.log.String(), "RELAY_DROP") })
	w.stop()
	<-w.runner.Done()
	if err := c.Get(context.Background(), "GET", "/v1/relay", nil, &s); err == nil {
		t.Error("a relay agent that has ended says how it is")
	}
	if _, err := net.Dial("unix", path); err != nil {
		t.Error(err)
	}
}
