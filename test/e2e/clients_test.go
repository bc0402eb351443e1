package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
)

// The network of a test with one client: the server is .1, and both pools lie in
// one subnet, so that a client's address from the first is refused once only the
// second is configured.
const clientConfig = `
interfaces: [eth0]
valid-lifetime: %ds
subnets:
  - subnet: 198.18.0.0/24
    pools: [198.18.0.%d-198.18.0.%d]
    options: {routers: [198.18.0.1], domain-name-servers: [198.18.0.53], domain-name: lab.example}
`

var (
	firstPool  = dhcp4.Range{First: dhcp4.MustParseAddr("198.18.0.100"), Last: dhcp4.MustParseAddr("198.18.0.149")}
	secondPool = dhcp4.Range{First: dhcp4.MustParseAddr("198.18.0.200"), Last: dhcp4.MustParseAddr("198.18.0.249")}
	serverAddr = dhcp4.MustParseAddr("198.18.0.1")
)

func configFor(life time.Duration, r dhcp4.Range) string {
	return fmt.Sprintf(clientConfig, int(life.Seconds()), r.First&0xff, r.Last&0xff)
}

// stage is one client and one server on a switch.
type stage struct {
	t      *testing.T
	sw     *netlab.Switch
	srv    *server
	client *netlab.Client
	rec    *netlab.Capture
	mark   int // frames before it have been looked at
	limit  time.Duration
	life   time.Duration // of a lease: T1 is half of it, T2 7/8
}

func newStage(t *testing.T, kind netlab.Kind, life time.Duration) *stage {
	t.Helper()
	l := newLab(t)
	s := &stage{t: t, sw: try(l.Switch("lan"))(t), limit: 20 * time.Second, life: life}
	sh, ch := try(l.Host("server"))(t), try(l.Host("client"))(t)
	check(t, s.sw.Join(sh, "eth0", "198.18.0.1/24"))
	check(t, s.sw.Join(ch, "eth0"))
	s.rec = record(t, s.sw)
	s.srv = serve(t, sh, configFor(life, firstPool), Judged(t, lessor, sh, "eth0")...)
	s.client = ch.Client(kind, "eth0")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s wrote:\n%s", kind, tail(s.client.Log(), 6000))
		}
	})
	return s
}

// next returns the next DHCP message from a host that is of the given type,
// and moves past it.
func (s *stage) next(from string, typ dhcp4.MessageType, within time.Duration) (*netlab.Frame, *dhcp4.View) {
	s.t.Helper()
	f, mark, err := s.rec.Wait(s.mark, within, func(f *netlab.Frame) bool { return f.From == from && f.Type() == typ })
	if err != nil {
		s.t.Fatalf("message of type %d from the %s: %v", typ, from, err)
	}
	s.mark = mark
	v, _ := f.View()
	return f, &v
}

// request expects the client's next REQUEST for addr in the form of a state (one of several:
// "A or B"), and the server's answer to it of the given type.
func (s *stage) request(state string, addr dhcp4.Addr, answer dhcp4.MessageType, within time.Duration) *netlab.Frame {
	s.t.Helper()
	f, mark, err := s.rec.Wait(s.mark, within, func(f *netlab.Frame) bool {
		return f.From == "client" && f.Type() == dhcp4.Request && strings.Contains(state, stateOf(f))
	})
	if err != nil {
		s.t.Fatalf("REQUEST in state %s: %v", state, err)
	}
	s.mark = mark
	v, _ := f.View()
	if got := max(v.CIAddr(), requested(&v)); got != addr {
		s.t.Fatalf("REQUEST in state %s asks for %s, want %s", state, got, addr)
	}
	xid := v.XID()
	reply, mark, err := s.rec.Wait(s.mark, 3*time.Second, func(f *netlab.Frame) bool {
		v, ok := f.View()
		return ok && f.From == "server" && v.XID() == xid
	})
	if err != nil {
		s.t.Fatalf("answer to the REQUEST in state %s: %v", state, err)
	}
	s.mark = mark
	if reply.Type() != answer {
		s.t.Fatalf("the REQUEST in state %s was answered by type %d, want %d: %s", state, reply.Type(), answer, reply)
	}
	return f
}

var (
	requested = Requested
	stateOf   = StateOf
)

// awaitIn waits until the client's interface has an address of r.
func (s *stage) awaitIn(r dhcp4.Range, within time.Duration) dhcp4.Addr {
	s.t.Helper()
	a, err := s.client.Await(within, func(a netip.Addr) bool {
		addr, ok := dhcp4.AddrFromNetip(a)
		return ok && r.Contains(addr)
	})
	check(s.t, err)
	addr, _ := dhcp4.AddrFromNetip(a)
	return addr
}

// start starts the client and waits until it has an address of the first pool.
func (s *stage) start() dhcp4.Addr {
	s.t.Helper()
	check(s.t, s.client.Start())
	a := s.awaitIn(firstPool, s.limit)
	s.mark = s.rec.Mark()
	return a
}

// restart cuts the client's power and expects the form of its first REQUEST, and
// the same address.
func (s *stage) restart(state string, addr dhcp4.Addr) {
	s.t.Helper()
	// dhclient writes its lease file when its script is done, after the address is there.
	time.Sleep(2 * time.Second)
	check(s.t, s.client.PowerOff())
	s.mark = s.rec.Mark()
	check(s.t, s.client.Start())
	s.request(state, addr, dhcp4.Ack, s.limit)
	if got := s.awaitIn(firstPool, s.limit); got != addr {
		s.t.Fatalf("the address was %s before the restart and is %s", addr, got)
	}
}

// lose waits until the client has given up its address.
func (s *stage) lose(within time.Duration) {
	s.t.Helper()
	_, err := s.client.Await(within, func(a netip.Addr) bool { return !a.IsValid() })
	check(s.t, err)
}

// shrink reloads the server with the second pool only.
func (s *stage) shrink() {
	s.t.Helper()
	s.mark = s.rec.Mark()
	s.srv.reload(s.t, configFor(24*time.Second, secondPool))
}

// moves expects, after shrink, the default NAK, by a frame to the client alone, in answer
// to the next renewal, and the client in the new range.
func (s *stage) moves(addr dhcp4.Addr, within time.Duration) {
	s.t.Helper()
	s.request("RENEWING", addr, dhcp4.Nak, within)
	s.refused(addr)
	for s.deaf() {
		s.t.Log("udhcpc was deaf to the NAK")
		s.request("RENEWING or REBINDING", addr, dhcp4.Nak, 40*time.Second)
		s.refused(addr)
	}
	s.awaitIn(secondPool, s.limit)
}

// deaf reports whether the client could not hear the NAK that it was sent. udhcpc sends a
// renewal from a socket that is connected to the server and closed at once. What is answered
// before that, the kernel gives to that socket and not to the one that listens: a NAK waits for
// no disk, and the lab's cables are short. It renews again half a minute later, and rebinds
// then, from a packet socket, with another that listens.
func (s *stage) deaf() bool {
	return s.client.Kind == netlab.Udhcpc && s.client.Proc().WaitOutput("received DHCP NAK", 5*time.Second) != nil
}

// refused expects that the frame looked at last, a NAK, went to the client alone.
func (s *stage) refused(addr dhcp4.Addr) {
	s.t.Helper()
	nak := &s.rec.Frames()[s.mark-1]
	if nak.DstMAC != s.client.Host.MAC("eth0") || nak.Dst != addr {
		s.t.Errorf("the NAK went to %x, %s; want the client's %x, %s", nak.DstMAC, nak.Dst, s.client.Host.MAC("eth0"), addr)
	}
}

// lives takes a client through every state of a lease.
func (s *stage) lives(restartState string) {
	s.t.Helper()
	const slack = 8 * time.Second
	addr := s.start()

	renewal := s.request("RENEWING", addr, dhcp4.Ack, s.life/2+slack)
	if renewal.Dst != serverAddr || renewal.DstMAC != s.srv.host.MAC("eth0") {
		s.t.Errorf("the renewal went to %s, %x", renewal.Dst, renewal.DstMAC)
	}

	check(s.t, s.sw.Block(s.client.Host, netlab.BlockUnicast))
	s.request("REBINDING", addr, dhcp4.Ack, s.life)
	if got := s.client.Host.Addr("eth0"); got != addr.Netip() {
		s.t.Fatalf("after the rebinding the address is %s, want %s", got, addr)
	}

	check(s.t, s.sw.Block(s.client.Host, netlab.BlockDHCP))
	s.lose(s.life + slack)
	check(s.t, s.sw.Block(s.client.Host, netlab.BlockNothing))
	if got := s.awaitIn(firstPool, 60*time.Second); got != addr {
		s.t.Errorf("the address was %s before it was lost and is %s", addr, got)
	}

	s.restart(restartState, addr)
	s.shrink()
	s.moves(addr, s.life/2+slack)
}

// dhclient restarts into INIT-REBOOT with the lease file that it kept. It has no alarm for
// T2: it rebinds when it repeats a renewal after T2, and the lab's does so every 1 to 3 s. So
// its T2 is 5 s before the end, at 28 s; where 3 s were left it often rebound too late or never.
func TestDhclientLivesThroughEveryState(t *testing.T) {
	t.Parallel()
	newStage(t, netlab.Dhclient, 33*time.Second).lives("INIT-REBOOT")
}

// dhcpcd restarts into INIT-REBOOT too.
func TestDhcpcdLivesThroughEveryState(t *testing.T) {
	t.Parallel()
	newStage(t, netlab.Dhcpcd, 24*time.Second).lives("INIT-REBOOT")
}

// systemd-networkd does not send INIT-REBOOT after a restart: it discovers again.
func TestNetworkdLivesThroughEveryState(t *testing.T) {
	t.Parallel()
	newStage(t, netlab.Networkd, 24*time.Second).lives("SELECTING")
}

// udhcpc ignores options 58 and 59 and takes any lease for one of at least 122 s: it
// renews at 61 s and at 92 s, rebinds at 93 s and gives up at 97 s. So its life is told in
// tests that run side by side. Each has its lease before it lets others run, and waits while
// those run that must be alone. It never sends INIT-REBOOT.
const udhcpcLife = 122 * time.Second

func udhcpcStage(t *testing.T) (s *stage, addr dhcp4.Addr) {
	t.Helper()
	s = newStage(t, netlab.Udhcpc, udhcpcLife)
	return s, s.start()
}

func TestUdhcpcRenewsAndRestarts(t *testing.T) {
	s, addr := udhcpcStage(t)
	t.Parallel()
	s.request("RENEWING", addr, dhcp4.Ack, 70*time.Second)
	s.restart("SELECTING", addr)
}

func TestUdhcpcMoves(t *testing.T) {
	s, addr := udhcpcStage(t)
	s.shrink()
	t.Parallel()
	s.moves(addr, 70*time.Second)
}

func TestUdhcpcRebinds(t *testing.T) {
	s, addr := udhcpcStage(t)
	check(t, s.sw.Block(s.client.Host, netlab.BlockUnicast))
	t.Parallel()
	s.request("REBINDING", addr, dhcp4.Ack, 110*time.Second)
}

func TestUdhcpcLosesItsLease(t *testing.T) {
	s, addr := udhcpcStage(t)
	check(t, s.sw.Block(s.client.Host, netlab.BlockDHCP))
	t.Parallel()
	s.lose(140 * time.Second)
	check(t, s.sw.Block(s.client.Host, netlab.BlockNothing))
	if got := s.awaitIn(firstPool, s.limit); got != addr {
		t.Errorf("the address was %s before it was lost and is %s", addr, got)
	}
}

// The clients' scripts wrote the name server of the lease where they run, and
// nothing where we run.
func TestClientsLeaveThisMachineAlone(t *testing.T) {
	t.Parallel()
	before := try(os.ReadFile("/etc/resolv.conf"))(t)
	for _, kind := range []netlab.Kind{netlab.Dhclient, netlab.Udhcpc, netlab.Dhcpcd} {
		s := newStage(t, kind, udhcpcLife)
		s.start()
		own, ok := "", false
		for end := time.Now().Add(5 * time.Second); !ok && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			b := try(os.ReadFile(s.client.Host.Path("/etc/resolv.conf")))(t)
			own = string(b)
			ok = own != string(before)
		}
		if !ok {
			t.Errorf("%s did not write its own resolv.conf: %q", kind, own)
		}
		s.client.Kill()
	}
	if after := try(os.ReadFile("/etc/resolv.conf"))(t); string(after) != string(before) {
		t.Errorf("the real resolv.conf was %q and is %q", before, after)
	}
}
