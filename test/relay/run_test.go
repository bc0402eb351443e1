package relay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv4"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/wire"
	"lessor/test/e2e"
)

// exits runs lessor on the router and checks how it ends.
func (s *site) exits(code int, text string, args ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := s.router.Run(ctx, args...)
	exit, _ := errors.AsType[*exec.ExitError](err)
	if exit == nil || exit.ExitCode() != code || !strings.Contains(out, text) {
		s.t.Errorf("%q: %v, want exit code %d with %q; it wrote\n%s", args, err, code, text, out)
	}
}

func TestWhatKeepsItFromStarting(t *testing.T) {
	s := newSite(t)
	start := append([]string{lessor, "relay"}, simple...)
	s.exits(4, "needs CAP_NET_RAW and CAP_NET_BIND_SERVICE", append([]string{"/usr/bin/setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"}, start...)...)
	one := func(ifname, port string) []string {
		return []string{"--downstream", ifname, "--server", serverAddr, "--source-port", port}
	}
	s.relay(one("eth1", "6767")...)
	s.exits(6, fmt.Sprintf("(pid %d): stop it", s.agent.PID()), start...)
	s.exits(6, "port 67 on eth1 is used", append([]string{lessor, "relay"}, one("eth1", "6768")...)...)
	s.exits(6, "control socket", append([]string{lessor, "relay"}, one("eth2", "6768")...)...)
	check(t, s.agent.Stop(5*time.Second))
	s.exits(4, "nobody listens", lessor, "relay", "status")
}

// TestWithTheRightsOfItsUnit: another user, two capabilities, and of /proc only processes.
func TestWithTheRightsOfItsUnit(t *testing.T) {
	s := newSite(t)
	s.start(netlab.Dhcpd)
	run := try(os.MkdirTemp("", "lessor-relay-"))(t) // not below a directory of root's alone
	defer os.RemoveAll(run)
	check(t, os.Chown(run, 65534, 65534))
	const caps = "+net_raw,+net_bind_service"
	args := append([]string{"/usr/bin/unshare", "--mount", "/bin/sh", "-c", `mount -t proc -o subset=pid proc /proc && exec "$@"`, "sh",
		"/usr/bin/setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all," + caps, "--ambient-caps=-all," + caps, "--bounding-set=-all," + caps, "--no-new-privs",
		lessor, "relay", "--control", filepath.Join(run, "control.sock")}, simple...)
	p := try(s.router.Start(netlab.Spec{Args: args, Guard: true}))(t)
	if err := p.WaitOutput("RELAY_STARTED", 10*time.Second); err != nil {
		t.Fatalf("%v\n%s", err, p.Output())
	}
	s.bound(s.client(netlab.Udhcpc, 0), 0)
}

// TestInterfaceIsAwaited: one that does not exist yet is served when it appears (L4).
func TestInterfaceIsAwaited(t *testing.T) {
	s := newSite(t)
	s.relay("--downstream", "eth9", "--server", serverAddr)
	if i := s.status().Interfaces[0]; !strings.Contains(i.State, "is not there") {
		t.Errorf("%+v", i)
	}
	lan := try(s.lab.Switch("lan9"))(t)
	check(t, lan.Join(s.router, "eth9", "198.18.9.1/24"))
	begin := time.Now()
	check(t, s.agent.WaitOutput("LINK_READY", 10*time.Second))
	t.Logf("served after %v", time.Since(begin))
	h := try(s.lab.Host("station"))(t)
	check(t, lan.Join(h, "eth0"))
	st := try(e2e.NewStation(h, "eth0"))(t)
	defer st.Close()
	m := e2e.Discover(e2e.TestMAC(1), 1)
	check(t, st.Send([][]byte{m.Frame()}))
	if _, _, err := s.core.Wait(0, 5*time.Second, func(f *netlab.Frame) bool {
		v, ok := f.View()
		return ok && v.GIAddr() == dhcp4.MustParseAddr("198.18.9.1")
	}); err != nil {
		t.Error(err)
	}
}

// TestReload: SIGHUP reads the file again, and a file with errors changes nothing.
func TestReload(t *testing.T) {
	s := newSite(t)
	const first = "relay: {downstream: [eth1], servers: [" + serverAddr + "], circuit-id: 'a ${interface}'}\n"
	conf := s.writeFile(s.router, "relay.yaml", first)
	s.relay("-c", conf)
	st := [2]*e2e.Station{s.station(0), s.station(1)}
	xid := uint32(0)
	relayed := func(n int, info string) {
		t.Helper()
		xid++
		m := e2e.Discover(e2e.TestMAC(n), xid)
		check(t, st[n].Send([][]byte{m.Frame()}))
		f, _, err := s.core.Wait(0, 5*time.Second, func(f *netlab.Frame) bool { v, ok := f.View(); return ok && v.XID() == xid })
		if err != nil || string(agentInfo(f)) != info {
			t.Errorf("lan%d: %v, option 82 %q", n+1, err, agentInfo(f))
		}
	}
	reload := func(text, says string) {
		t.Helper()
		s.writeFile(s.router, "relay.yaml", text)
		check(t, s.agent.Signal(syscall.SIGHUP))
		check(t, s.agent.WaitOutput(says, 10*time.Second))
	}
	relayed(0, "\x01\x06a eth1")
	reload("relay: {downstream: [eth1, eth2], servers: [nowhere]}\n", "CONFIG_REFUSED")
	relayed(0, "\x01\x06a eth1")
	reload("relay: {downstream: [eth1, {name: eth2, circuit-id: b}], servers: ["+serverAddr+"], circuit-id: 'c ${interface}'}\n", "interface=eth2")
	relayed(0, "\x01\x06c eth1")
	relayed(1, "\x01\x01b")
	if s.status().Config != conf {
		t.Errorf("%+v", s.status())
	}
}

// TestSourcePort: another port towards the servers (RFC 8357).
func TestSourcePort(t *testing.T) {
	s := newSite(t)
	s.start(netlab.Kea)
	s.relay(append([]string{"--source-port", "6767"}, simple...)...)
	s.bound(s.client(netlab.Dhclient, 0), 0)
	f, _, err := s.core.Wait(0, time.Second, func(f *netlab.Frame) bool { return f.Type() == dhcp4.Request })
	if err != nil || f.SrcPort != 6767 || !strings.HasSuffix(string(agentInfo(f)), "\x13\x00") {
		t.Errorf("%v, %v, option 82 %q", err, f, agentInfo(f))
	}
}

// TestFlood is F9: 50,000 requests a second of made-up clients on one lan, for about four
// seconds. The honest client of the other lan gets every answer, and the relay agent does
// not grow by more than 16 MiB.
func TestFlood(t *testing.T) {
	const rate = 50_000
	s := newSite(t)
	check(t, s.core.Stop()) // 150,000 frames are not to be kept
	check(t, s.wire[0].Stop())
	s.relay(append([]string{"--log-level", "info"}, simple...)...)
	honest := wire.MAC{0x02, 0xaa, 0x5e, 0x10, 0, 1}
	s.answer(honest)
	st := [2]*e2e.Station{s.station(0), s.station(1)}
	before := s.rss()

	stop := make(chan struct{})
	var sent int
	var flood sync.WaitGroup
	flood.Go(func() {
		base := e2e.Discover(e2e.TestMAC(1), 0)
		tpl := e2e.NewTemplate(base)
		sent, _ = e2e.Flood(st[0], rate, stop, func(n int, dst []byte) []byte {
			return tpl.Append(dst, uint32(n)*2654435761, uint32(n)*2246822519)
		})
	})
	const asked = 150
	var mu sync.Mutex
	answered := map[uint32]bool{}
	missing := func() (xids []uint32) {
		mu.Lock()
		defer mu.Unlock()
		for i := range uint32(asked) {
			if !answered[i] {
				xids = append(xids, i)
			}
		}
		return xids
	}
	done := make(chan struct{})
	var hear sync.WaitGroup
	hear.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			_ = st[1].Receive(50*time.Millisecond, func(b []byte) {
				if f, ok := netlab.DecodeFrame(b); ok && f.Type() == dhcp4.Offer && of(&f, honest) {
					v, _ := f.View()
					mu.Lock()
					answered[v.XID()] = true
					mu.Unlock()
				}
			})
		}
	})
	ask := func(xid uint32) {
		m := e2e.Discover(honest, xid)
		check(t, st[1].Send([][]byte{m.Frame()}))
		time.Sleep(20 * time.Millisecond)
	}
	for i := range uint32(asked) {
		ask(i)
	}
	time.Sleep(500 * time.Millisecond)
	late := missing()
	for range 2 { // a client asks again; the kernel of a busy machine may lose a frame before it is received
		for _, xid := range missing() {
			ask(xid)
		}
		time.Sleep(200 * time.Millisecond)
	}
	close(stop)
	flood.Wait()
	close(done)
	hear.Wait()
	grown, status := s.rss()-before, s.status()
	t.Logf("%d requests in 4 s, %d relayed, %d lost in sockets, %d at sending; grown by %d KiB; %d of %d honest ones asked again",
		sent, status.ToServers, status.SocketDropped, status.SendFailed, grown, len(late), asked)
	if m := missing(); len(m) > 0 {
		t.Errorf("the honest client got no answer to %d of %d: %+v", len(m), asked, status)
	}
	if grown > 16<<10 {
		t.Errorf("the relay agent grew by %d KiB", grown)
	}
}

// rss is the resident memory of the relay agent in KiB.
func (s *site) rss() (kib int) {
	s.t.Helper()
	text := string(try(os.ReadFile(fmt.Sprintf("/proc/%d/status", s.agent.PID())))(s.t))
	_, rest, _ := strings.Cut(text, "VmRSS:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		s.t.Fatal(err)
	}
	return kib
}

// answer makes the server's host answer the requests of one client and leave all others in the
// kernel.
func (s *site) answer(honest wire.MAC) {
	s.t.Helper()
	var c *ipv4.PacketConn
	check(s.t, s.server.Do(func() error {
		udp, err := net.ListenUDP("udp4", &net.UDPAddr{Port: 67})
		if err == nil {
			c = ipv4.NewPacketConn(udp)
		}
		return err
	}))
	prog := try(bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 8 + 28, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(honest[:]), SkipFalse: 1},
		bpf.RetConstant{Val: 0xffff}, bpf.RetConstant{Val: 0},
	}))(s.t)
	check(s.t, c.SetBPF(prog))
	s.t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			n, _, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			b[0] = 2
			copy(b[16:], dhcp4.MustParseAddr("198.18.2.77").Append(nil))
			for i := 240; i+2 < n && b[i] != 255; i += 2 + int(b[i+1]) {
				if b[i] == 53 {
					b[i+2] = byte(dhcp4.Offer)
				}
			}
			_, _ = c.WriteTo(b[:n], nil, from)
		}
	}()
}
